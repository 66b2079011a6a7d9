"""Meets one injection, in a place of its own and in bounded time, and says what became of it."""

from __future__ import annotations

import asyncio
import json
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faults import recording, scenes
from faults.injections import Armed
from faults.journeys import Journey
from faults.oracle import Violation
from faults.place import Grounds, Place, dump
from faults.plan import Injection, Learned
from faults.replicas import told_of_leases
from faults.scenes import SCENES
from faults.writes import Asked

LIMIT = 180.0
"""Seconds that an injection may take."""
LONGER = 3.0
"""How many times as long one of the long kind may take, or one with many Releases: a silent watch is given up after 70 seconds."""
QUIET = 0.6
"""Seconds without a write after which a Release counts as being at rest."""
TURNS = 3
"""Further looks whether an operator that has written at rest goes on to."""
SETTLE = 20.0
"""Seconds that a namespace gets to come to the clean run's end after its journey was told."""
SHUT_WITHIN = 12.0
"""Seconds within which traffic leaves a bad version although one request or one process has failed; on a machine that is busy."""
TIMELY = {"ends", "same-end", "shut-in-time", "stored-on-leaving", "declared-or-refused", "back-again"}
"""Invariants that a machine can violate by being too slow: nothing else is ever tried once more."""
NOT_IN_TIME = ("not within", "no answer within", "TimeoutError")
"""Words by which a failure before or after the journey is known to be one of time, too."""
TRIES = 3
"""How often an injection is tried whose request has not come, and a clean run that has not shown what it is about: runs differ in
their timing."""


@dataclass
class Result:
    """What became of an injection.

    Attributes:
        name: of the injection.
        hits: how often the fault has struck.
        violations: what must not be.
        says: what was struck, in words.
        seconds: how long it took.
        account: everything that is known, where something was violated.
        alone: what became of it once more, with nothing beside it, where it had failed by its time only; None where it was not
            tried.
    """

    name: str
    says: str = ""
    hits: int = 0
    violations: list[Violation] = field(default_factory=list)
    seconds: float = 0.0
    account: str = ""
    alone: Result | None = None

    @property
    def late(self) -> bool:
        """Whether it has failed by its time only: the machine may be to blame.

        What has not come to its end has no Event that tells of it, either.
        """
        others = [violation for violation in self.violations if not _is_of_time(violation)]
        return len(others) < len(self.violations) and all(violation.invariant == "explained" for violation in others)

    @property
    def violated(self) -> list[Violation]:
        """What must not be, and was seen alone, too, where it was tried alone."""
        held = self.alone is not None and self.alone.hits > 0 and not self.alone.violations
        return [] if held else self.violations

    def __str__(self) -> str:
        found = "; ".join(f"{violation.invariant}: {' '.join(violation.message.split())[-300:]}" for violation in self.violations)
        said = found or ("ok" if self.hits else "missed")
        return f"{self.seconds:5.1f} s {self.name}{f' ({self.says})' if self.says else ''} {said}"


def _is_of_time(violation: Violation) -> bool:
    words = any(words in violation.message for words in NOT_IN_TIME)
    return violation.invariant in TIMELY or (violation.invariant == "harness" and words)


Heard = Callable[[Result], None]
"""Is told of each result as it comes."""


async def learn(grounds: Grounds, journey: str) -> Learned:
    """Tell a journey without faults, again where it has not shown what it is about.

    Raises:
        AssertionError: even so, something is not as it must be.
    """
    found = SCENES[journey]
    missing: list[Violation] = []
    for _ in range(TRIES):
        async with asyncio.timeout(_limit(found)), grounds.place(**found.settings) as place:
            learned = await _learn(place, found)
            if not (missing := scenes.shown(place, found)):
                return learned
    raise AssertionError(f"{journey} without any fault: {missing}")


async def _learn(place: Place, journey: Journey) -> Learned:
    await scenes.begin(place, journey)
    await place.rest(QUIET)
    starting = list(place.wire.asked)
    place.wire.listen()
    since = newest(place)
    await journey.tell(place)
    await place.rest(2 * QUIET)
    violations = scenes.check(place, journey, since=since, shut_within=SHUT_WITHIN)
    assert not violations, f"{journey.name} without any fault: {violations}\n{dump(place)}"
    writes = dict.fromkeys(written.asked for written in place.wire.written if not _by_chance(written.asked))
    kinds = sorted({asked.kind for asked in place.wire.asked}, key=str)
    at_start = sorted({asked.kind for asked in starting} - set(kinds), key=str)
    return Learned(tuple(writes), tuple(kinds), tuple(at_start), scenes.at_rest(place, journey))


def _by_chance(asked: Asked) -> bool:
    """Whether it depends on the moment, and not on the journey, if a write comes once more: numbers are stored now and then."""
    return asked.nth > 0 and asked.says in {"numbers", "again"}


async def inject(grounds: Grounds, injection: Injection, learned: Learned) -> Result:
    """Tell a journey with a fault, and check all that must hold; nothing of it is left afterwards."""
    result, journey = Result(injection.name, injection.says), SCENES[injection.journey]
    began = time.monotonic()
    for _ in range(TRIES):
        result = Result(injection.name, injection.says)
        try:
            async with (
                asyncio.timeout(_limit(journey, long=injection.long)),
                grounds.place(operators=injection.operators, shards=injection.shards, **journey.settings) as place,
            ):
                await _tell(place, injection, learned, result)
        except TimeoutError:
            result.violations.append(Violation("ends", "it did not end in time"))
        except Exception:  # noqa: BLE001 - one that fails in an unforeseen way is reported, and does not end the others
            result.violations.append(Violation("harness", traceback.format_exc()[-1500:]))
        result.seconds = time.monotonic() - began
        if result.hits or result.violations:
            break
    return result


def _limit(journey: Journey, *, long: bool = False) -> float:
    return LIMIT * (LONGER if long or journey.large else 1)


async def _tell(place: Place, injection: Injection, learned: Learned, result: Result) -> None:
    journey = SCENES[injection.journey]
    await scenes.begin(place, journey)
    await place.rest(QUIET)
    for operator in place.operators:
        operator.wire.listen()
    since = newest(place)
    if injection.long:
        place.patience *= LONGER
    armed = Armed(place)
    injection.arm(armed)
    await travel(place, journey, armed, result)
    prompt = not injection.long and injection.operators == 1 and "prometheus" not in injection.name
    await conclude(place, journey, learned, since, result, shut_within=SHUT_WITHIN if prompt else math.inf)


async def travel(place: Place, journey: Journey, armed: Armed, result: Result) -> None:
    """Tell a journey while a fault is armed, and let the world be kind again."""
    try:
        await journey.tell(place)
    except AssertionError as error:
        words = str(error).splitlines()[0]
        result.violations.append(Violation("ends" if words.startswith(NOT_IN_TIME) else "as-told", words))
    finally:
        if not armed.hits:
            await place.rest(QUIET)
        result.hits = armed.hits
        try:
            await armed.heal()
            await place.history.until(lambda: told_of_leases(place), within=SETTLE)
        finally:
            result.violations += [violation for check in armed.checks for violation in check()]


async def conclude(
    place: Place, journey: Journey, learned: Learned, since: int, result: Result, *, shut_within: float = math.inf
) -> None:
    """See that everything is as after a clean run, and that everything was as it must be all along."""
    if not result.violations:
        result.violations += await _comes_to(place, journey, learned.rest)
        # Events come when there is time, and behind one that the network keeps back.
        await place.history.until(lambda: not scenes.untold(place, journey), within=SETTLE)
    # All watches have come as far by then as the oracle has to look.
    resting = [] if result.violations else await _rests(place)
    result.violations += scenes.check(place, journey, since=since, shut_within=shut_within)
    result.violations += [] if result.violations else await recording.check(place)
    result.violations += [Violation("no-bugs", operator.bug) for operator in place.operators if operator.bug]
    result.violations += resting
    if result.violations:
        result.account = dump(place)


async def _comes_to(place: Place, journey: Journey, rest: Any) -> list[Violation]:
    """Wait until everything is as it is after a clean run."""
    if await place.history.until(lambda: scenes.at_rest(place, journey) == rest, within=SETTLE):
        return []
    return [Violation("same-end", "; ".join(differences("", rest, scenes.at_rest(place, journey)))[:1500])]


def differences(path: str, wanted: Any, found: Any) -> list[str]:
    """Return in words where two JSON values differ."""
    if wanted == found:
        return []
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            words for key in sorted({*wanted, *found}) for words in differences(f"{path}.{key}", wanted.get(key), found.get(key))
        ]
    return [f"{path.removeprefix('.')} is {json.dumps(found, default=str)} and not {json.dumps(wanted, default=str)}"]


async def _rests(place: Place) -> list[Violation]:
    """See that an operator with nothing to do writes nothing."""
    if not await _works(place, QUIET):
        return []
    # What was on its way may have come in just now, or a Release that was under way at a death had its turn last. Whoever writes
    # without end does so in each of these.
    for _ in range(TURNS):
        await place.rest(2 * QUIET)
        if not (again := await _works(place, 4 * QUIET)):
            return []
    return [Violation("idle-is-free", f"at rest it still writes {again}")]


async def _works(place: Place, seconds: float) -> list[str]:
    """Return what is written in some seconds; what the network has kept back from before is none of it."""
    began = time.monotonic()
    await asyncio.sleep(seconds)
    return [str(one.asked) for operator in place.operators for one in operator.wire.work if one.at > began]


def newest(place: Place) -> int:
    """Return the order of the last change of anything."""
    return max(seen.order for seen in place.recorder.changes)
