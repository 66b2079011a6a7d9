"""What a load that changes and the pods that follow it come to: seconds of too few pods, and how they are told."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from bench.measure import Figure

ENOUGH = 1.15
"""A pod may use so many times its target: the autoscaler's own tolerance, and what its whole percents hide."""
UNMEASURED, NO_END = "-", "no end"


@dataclass(frozen=True)
class Look:
    """One look at the shop.

    Attributes:
        at: time.monotonic.
        load: for how many pods at their target it is.
        shown: the load of the last window of the metrics that held but one.
        busiest: how many times its target the busiest pods use.
        alone: how many times its target a pod of the stable version would use if it served alone.
        ready: pods that are ready, of all versions.
        size: what the Deployment is to have.
        told: the utilization that the autoscaler tells, in percent of the request.
    """

    at: float
    load: float
    shown: float
    busiest: float
    alone: float
    ready: int
    size: int
    told: int | None

    @property
    def short(self) -> bool:
        """Whether too few pods serve, or too few to be rolled back to."""
        return max(self.busiest, self.alone) > ENOUGH

    @property
    def small(self) -> bool:
        """Whether the Deployment is to have too few pods."""
        return self.load > ENOUGH * self.size


@dataclass(frozen=True)
class Answer:
    """How the pods followed one change of the load.

    Attributes:
        phase: in which the rollout was.
        change: of the load, in words.
        corrected: whether an operator sees the autoscaler; None where there is no operator.
        into: seconds into a window of the metrics at which the load changed.
        short: for how many seconds too few pods served, or were there to be rolled back to; infinite where there was no end of it
            while it was looked at.
        overdue: seconds from when the metrics showed nothing but the new load until there were enough pods for good; 0 where they
            were there before, infinite likewise. This is what an autoscaler can be held to.
        decided: the same until the Deployment was to have enough pods for good: what is overdue but for their start.
    """

    phase: str
    change: str
    corrected: bool | None
    into: float
    short: float
    overdue: float
    decided: float

    @property
    def followed(self) -> bool:
        """Whether there were enough pods in the end."""
        return math.isfinite(self.short)


def seconds_short(looks: Iterable[Look]) -> float:
    """Return for how many seconds there were too few pods."""
    return sum(after.at - look.at for look, after in itertools.pairwise(looks) if look.short)


def overdue(looks: Sequence[Look], load: float, *, lacks: Callable[[Look], bool] = attrgetter("short")) -> float:
    """Return for how many seconds pods were still too few, counted from when the metrics showed nothing but this load.

    Args:
        looks: from the change of the load on.
        load: what it became.
        lacks: what is too few; by default the pods that serve.
    """
    shown = next((look.at for look in looks if look.load == look.shown == load), math.inf)
    ends = [after.at for look, after in itertools.pairwise(looks) if lacks(look)]
    return max(0.0, ends[-1] - shown) if ends else 0.0


def account(looks: Sequence[Look]) -> str:
    """Tell what changed from the first look on, for a person who reads a test's output."""
    found, before = list[str](), None
    for look in looks:
        told = (look.load, look.shown, look.size, look.ready, look.told, round(look.busiest, 2), round(look.alone, 2))
        if told != before:
            words = "load {:g}, shown {:g}, {} wanted, {} ready, told {}, busiest {}, alone {}".format(*told)
            found.append(f"{look.at - looks[0].at:6.2f} s: {words}")
            before = told
    return "\n".join(found)


# The report.


def table(answers: Sequence[Answer]) -> list[str]:
    """Return the table in Markdown: median and worst of each phase and change, without and with the correction."""
    lines = [
        "| phase | the load | without the correction | with it | after the metrics show it: without | with |",
        "|---|---|---|---|---|---|",
    ]
    for phase, change in _rows(answers):
        found = [answer for answer in answers if (answer.phase, answer.change) == (phase, change)]
        without, corrected = ([a for a in found if bool(a.corrected) is seen] for seen in (False, True))
        cells = [_cell([a.short for a in part]) for part in (without, corrected)]
        cells += [_cell([a.overdue for a in part]) for part in (without, corrected)]
        lines.append(f"| {phase} | {change} | " + " | ".join(cells) + " |")
    return lines


def figures(answers: Sequence[Answer], *, bound: float) -> list[Figure]:
    """Return the worst of each phase and change as figures; with the correction, they are to keep a bound.

    Args:
        answers: what was measured.
        bound: seconds until the Deployment is large enough: one period of the autoscaler, and what measuring adds to it.
    """
    found = list[Figure]()
    for corrected, words in ((None, "no operator"), (False, "without the correction"), (True, "with the correction")):
        of_it = [answer for answer in answers if answer.corrected is corrected]
        for phase, change in _rows(of_it):
            part = [answer for answer in of_it if (answer.phase, answer.change) == (phase, change)]
            cell = f"{phase}, load {change}, {words}: seconds of too few pods"
            limit, worst = bound if corrected else None, f"worst of {len(part)}"
            found += [
                Figure(f"{cell}, {worst}", max(a.short for a in part)),
                Figure(f"{cell} after the metrics show all of it, {worst}", max(a.overdue for a in part)),
                Figure(f"{cell} wanted after that, {worst}", max(a.decided for a in part), limit),
            ]
    return found


def _rows(answers: Iterable[Answer]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((answer.phase, answer.change) for answer in answers))


def _cell(seconds: Sequence[float]) -> str:
    return " / ".join(map(_words, (statistics.median(seconds), max(seconds)))) if seconds else UNMEASURED


def _words(seconds: float) -> str:
    return f"{seconds:.1f}" if math.isfinite(seconds) else NO_END
