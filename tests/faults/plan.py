"""Which faults there are: for each journey, from what its clean run has written and asked, each with a name of its own.

Which of them the full run meets, and by what rule, is said in `rounds`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from e2e.prometheus_stand_in import Mood
from faults import burst_faults, replicas
from faults import injections as fault
from faults.injections import HOUR, Arm
from faults.prometheus import Lie
from faults.scenes import SCENES
from faults.writes import Asked, Kind

WATCHED = (
    *("releases", "httproutes", "deployments", "replicasets", "services", "endpointslices"),
    *("horizontalpodautoscalers", "rolloutpolicies", "clusterrolloutpolicies", "releasefreezes", "releasedecisions", "namespaces"),
)
KILLS: dict[str, Callable[[Asked], Arm]] = {
    "kill-before": fault.kill_before,
    "kill-after": fault.kill_after,
    "kill-late": fault.kill_late,
}
ANSWERS: dict[str, Callable[[Any], Arm]] = {
    "lost": fault.lost,
    "reset": fault.reset,
    "403": fault.answered(403),
    "409": fault.answered(409),
    "429": fault.answered(429, Retry_After="1"),
    "500": fault.answered(500),
    "503": fault.answered(503),
    "slow": fault.slow,
    "late": fault.late,
}
WATCHES: dict[str, Callable[[Asked], Arm]] = {
    "stale": fault.on_watches(fault.stale),
    "dropped": fault.on_watches(fault.dropped),
    "torn": fault.on_watches(fault.torn),
    "replayed": fault.on_watches(fault.replayed, before=False),
    "expired": fault.on_watches(fault.expired, before=False),
}
SHARED_OUT = ("promotion", "breach")
"""Journeys that two operators go which share Releases out."""
CLOCKS: dict[str, Callable[[Asked], Arm]] = {"clock-ahead": fault.clock(HOUR), "clock-behind": fault.clock(-HOUR)}
MOODS: dict[str, Mood | Lie] = {
    "away": Mood.REFUSES,
    "error": Mood.ERROR,
    "hangs": Mood.HANGS,
    "nan": Mood.NAN,
    "empty": Mood.EMPTY,
    "several": Mood.SEVERAL,
    **{lie.value: lie for lie in Lie if lie is not Lie.TRUTH},
}


@dataclass(frozen=True)
class Learned:
    """What a clean run has shown.

    Attributes:
        writes: each write once, in order.
        kinds: the kinds of request.
        starting: those that are made at the operator's start only.
        rest: what stood there at the end.
    """

    writes: tuple[Asked, ...]
    kinds: tuple[Kind, ...]
    starting: tuple[Kind, ...]
    rest: Any


@dataclass(frozen=True)
class Injection:
    """One fault in one journey.

    Attributes:
        name: `<journey>/<where>/<kind>`.
        arm: puts it in place.
        says: what it strikes, in words.
        target: the write, or the kind of request, that it strikes; None where it strikes something else.
        long: it may take more than a minute.
        operators: how many there are.
        shards: into how many parts these share Releases out.
    """

    name: str
    arm: Arm
    says: str = ""
    target: Asked | Kind | None = None
    long: bool = False
    operators: int = 1
    shards: int = 1

    @property
    def journey(self) -> str:
        """The journey's name."""
        return self.name.split("/")[0]

    @property
    def kind(self) -> str:
        """The kind of fault."""
        return self.name.split("/")[2]

    @property
    def waits(self) -> bool:
        """Whether it passes most of its time waiting: for an answer, for a watch that is silent, or for a lease."""
        return self.long or self.operators > 1

    @property
    def alias(self) -> str:
        """Its name by what it strikes, which is the same in runs whose writes come in another order."""
        return f"{self.journey}/{self.says}/{self.kind}"


def all_of(journey: str, learned: Learned) -> Iterator[Injection]:
    """Yield every injection of a journey."""
    if SCENES[journey].large:
        yield from _in_a_burst(journey)
        return
    found = (_at_writes(journey, learned), _at_kinds(journey, learned), _all_along(journey, learned))
    others = (_blind(journey), _poisoned(journey), _replicas(journey, learned))
    for one in chain.from_iterable((*found, *others)):
        if not (SCENES[journey].by_the_clock and "clock" in one.kind):
            yield one


def _at_writes(journey: str, learned: Learned) -> Iterator[Injection]:
    for number, write in enumerate(learned.writes, 1):
        for kind, at in (KILLS | ANSWERS | WATCHES | CLOCKS).items():
            yield Injection(f"{journey}/write-{number}/{kind}", at(write), str(write), write, long=kind == "late")


def _at_kinds(journey: str, learned: Learned) -> Iterator[Injection]:
    middle = learned.writes[len(learned.writes) // 2]
    for kind in (*learned.kinds, *(kind for kind in learned.starting if not kind.writes)):
        for name, make in ANSWERS.items():
            if name == "409" and not kind.writes:
                continue
            at = fault.at_the_start(make, middle) if kind in learned.starting else make
            yield Injection(f"{journey}/{kind}/{name}", at(kind), f"{kind}", kind, long=name == "late")


def _all_along(journey: str, learned: Learned) -> Iterator[Injection]:
    yield Injection(f"{journey}/every-write/kill-every", fault.kill_every(), "every write", long=True)
    yield Injection(f"{journey}/watches/without-deletions", fault.without_deletions())
    early = learned.writes[len(learned.writes) // 3]
    for resource in WATCHED:
        yield Injection(f"{journey}/{resource}/lagging", fault.lagging(resource))
        yield Injection(f"{journey}/{resource}/silent", fault.silent(resource)(early), str(early), long=True)
    yield Injection(f"{journey}/all/lagging", fault.lagging(""))


def _blind(journey: str) -> Iterator[Injection]:
    shares = {"promotion": (50, 100), "breach": (50,), "scaling": (50,), "overlay": (100,)}.get(journey, ())
    for share in shares:
        for name, mood in MOODS.items():
            yield Injection(f"{journey}/prometheus-at-{share}/{name}", fault.blind(mood, share=share))
        yield Injection(f"{journey}/prometheus-at-{share}/slow", fault.blind(Mood.NUMBERS, share=share, delay=1.5))


def _poisoned(journey: str) -> Iterator[Injection]:
    if journey == "breach":
        yield Injection(f"{journey}/judge/poisoned", fault.poisoned("errors"), "the judge of errors")


def _replicas(journey: str, learned: Learned) -> Iterator[Injection]:
    decided = [number for number, write in enumerate(learned.writes, 1) if "events" not in write.kind.resource]
    for number in decided:
        write = learned.writes[number - 1]
        for kind, at in replicas.STRIKES.items():
            yield Injection(f"{journey}/two-at-write-{number}/{kind}", at(write), str(write), write, operators=2)
        for kind in replicas.SHARED_OUT if journey in SHARED_OUT else ():
            at, where = replicas.STRIKES[kind], f"shards-at-write-{number}"
            yield Injection(f"{journey}/{where}/shard-{kind}", at(write), str(write), write, operators=2, shards=2)
    middle = decided[len(decided) // 2]
    for kind, at in replicas.LONG_STRIKES.items():
        write = learned.writes[middle - 1]
        yield Injection(f"{journey}/two-at-write-{middle}/{kind}", at(write), str(write), write, operators=2, long=True)


def _in_a_burst(journey: str) -> Iterator[Injection]:
    for strike in burst_faults.strikes():
        yield Injection(f"{journey}/{strike.where}/{strike.kind}", strike.arm, strike.says, operators=strike.operators)


def matching(found: Sequence[Injection], patterns: Sequence[str]) -> list[Injection]:
    """Return the injections whose names match one of the patterns, as a shell has them; or whose names by what they strike do."""
    return [
        one for one in found if any(fnmatch.fnmatchcase(name, pattern) for name in (one.name, one.alias) for pattern in patterns)
    ]


def journeys_of(patterns: Sequence[str]) -> list[str]:
    """Return the journeys that these patterns can mean."""
    return [name for name in SCENES if any(fnmatch.fnmatchcase(name, pattern.split("/")[0]) for pattern in patterns)]
