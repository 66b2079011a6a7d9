"""Counts that come more often than every few seconds: what they say is known at once, and what they are is told together.

Failures that come together lie within a second or two, and what lasts longer is an outage: the laws of events that come in bursts
take what comes in one interval for one burst, and what comes in the next for another. Where counts come every second, a burst is
cut in two and counts twice, and each second of one outage adds to what is usual for stable, until the bursts of a service that has
them are evidence against a version that is as good as stable. So the seconds of a block are added up, and each second the tests
are what they would be if the block had ended there. At its end they are what they are where counts come that often.

When a block ends depends on nothing but time. While the traffic is split evenly over it, what independent events are worth by then
is the same as second by second.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.judge.evidence import pooling
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.reading import Tally

SHORTEST = 5.0
"""Seconds that a block lasts."""
LONGEST = 2 * SHORTEST
"""Seconds of one at most: what comes after a gap, or lasts as long by itself, is no part of the same burst."""
MOST_BOUNDS = 160
"""Bounds at which one can go on: with more of them it would have no room in the status, beside what waits for the other version."""
_EARLY = 0.25
"""Seconds by which one may be shorter: samples that are taken every five seconds are never quite that far from each other."""
LEAST = 8
"""Floats of a block that goes on, without those at the bounds."""


def whole(block: Interval) -> bool:
    """Whether a block stands for itself: it is long enough, or has too many bounds to go on."""
    return block.end - block.start >= SHORTEST - _EARLY or len(block.bounds) > MOST_BOUNDS


def joined(block: Interval, interval: Interval) -> Interval | None:
    """Return a block with the next interval in it; None where that must begin another one."""
    if block.alone != interval.alone or interval.end - block.start > LONGEST:
        return None
    return pooling.joined(block, interval)


def to_floats(block: Interval) -> list[float]:
    """Return a block as it is stored."""
    canary, stable, size = block.canary, block.stable or Tally(0.0), len(block.bounds)
    nothing = (0.0,) * size
    facts = [block.start, block.end, float(block.alone), float(block.stable is not None)]
    counts = [canary.total, canary.bad, stable.total, stable.bad]
    return [*facts, *counts, *block.bounds, *(canary.over or nothing), *(stable.over or nothing)]


def of_floats(found: Sequence[float]) -> Interval:
    """Read a block as it is stored."""
    start, end, alone, compares, total, bad, stable_total, stable_bad = found[:LEAST]
    size = (len(found) - LEAST) // 3
    bounds, over, other = (tuple(found[LEAST + place * size : LEAST + (place + 1) * size]) for place in range(3))
    stable = Tally(stable_total, stable_bad, other) if compares else None
    return Interval(Tally(total, bad, over), stable, start, end, bounds, alone=bool(alone))
