"""Which of all faults the full run meets, and in which order: there are some ten thousand, and an hour is enough for some of them.

What is planned, by rule:

1. The operator dies before and after every write of every journey. In every journey it dies after each write of one and the same
   run, and meets watches that never tell of a deletion; where weight waits for metrics, Prometheus goes through all of its moods.
2. Each kind of fault meets each kind of request, reads and writes, and each watch, in one journey at least; what befalls two
   operators meets each kind of write. Which write of which journey, the injection's name decides: it is the same in every run.
3. Each journey of one Release meets at least 40 faults.
4. The burst of many Releases meets all that is meant for it.

Then comes more, for as long as there is time:

5. Each kind of fault meets each write that says something else than all others, in one journey at least; what is written late, lost
   or on stale knowledge comes first.
6. All the rest, in an order that is the same in every run.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from faults.plan import Injection
from faults.scenes import SCENES
from faults.writes import Asked

ALWAYS = {"kill-before", "kill-after", "kill-every", "without-deletions"}
"""Kinds that every write, or every journey, meets."""
WORST = {"kill-late", "late", "lost", "stale", "leader-write-late", "leader-hangs"}
"""Kinds by which most has been found: they come first where there is time for more than what is planned."""
FEWEST = 40
"""Faults that each journey of one Release meets at least."""


@dataclass(frozen=True)
class Rounds:
    """All injections of some journeys, in the order of their worth.

    Attributes:
        planned: what the full run consists of.
        more: what it meets besides, as far as there is time.
    """

    planned: tuple[Injection, ...]
    more: tuple[Injection, ...]


def rounds(found: Iterable[Injection]) -> Rounds:
    """Order injections by the rule."""
    left = sorted(found, key=_turn)
    always, left = _split(left, lambda one: one.kind in ALWAYS or _is_about_prometheus(one) or SCENES[one.journey].large)
    first, left = _firsts(left, _by_kind_of_request)
    few, left = _up_to_fewest([*always, *first], left)
    distinct, left = _firsts(left, _by_what_it_says)
    worst, distinct = _split(distinct, lambda one: one.kind in WORST)
    return Rounds(tuple(_long_first([*always, *first, *few])), (*worst, *distinct, *left))


def _turn(one: Injection) -> int:
    return zlib.crc32(one.name.encode())


def _is_about_prometheus(one: Injection) -> bool:
    return one.name.split("/")[1].startswith("prometheus")


def _by_kind_of_request(one: Injection) -> Hashable:
    """Return what rule 2 tells apart: the fault, and the kind of request or the watch that it strikes."""
    if isinstance(one.target, Asked):
        return one.kind, str(one.target.kind)
    return one.kind, str(one.target or one.name.split("/")[1])


def _by_what_it_says(one: Injection) -> Hashable:
    """Return what rule 5 tells apart: the fault, and what the write says, whichever time it says so."""
    return (one.kind, str(replace(one.target, nth=0))) if isinstance(one.target, Asked) else _by_kind_of_request(one)


def _firsts(found: Sequence[Injection], key: Callable[[Injection], Hashable]) -> tuple[list[Injection], list[Injection]]:
    """Return the first of each key, and the others."""
    met: set[Hashable] = set()

    def is_first(one: Injection) -> bool:
        known = key(one) in met
        met.add(key(one))
        return not known

    return _split(found, is_first)


def _up_to_fewest(have: Sequence[Injection], left: Sequence[Injection]) -> tuple[list[Injection], list[Injection]]:
    """Return what journeys with few faults get besides, and the others."""
    counts = Counter(one.journey for one in have)

    def is_wanted(one: Injection) -> bool:
        wanted = counts[one.journey] < FEWEST
        counts[one.journey] += wanted
        return wanted

    return _split(left, is_wanted)


def _split(found: Iterable[Injection], holds: Callable[[Injection], bool]) -> tuple[list[Injection], list[Injection]]:
    yes: list[Injection] = []
    no: list[Injection] = []
    for one in found:
        (yes if holds(one) else no).append(one)
    return yes, no


def _long_first(found: Iterable[Injection]) -> list[Injection]:
    """Begin with what takes long, so that nothing of it is left when all else is done."""
    return sorted(found, key=lambda one: (not one.long, _turn(one)))
