"""Prints the table of docs/autoscaling.md: `PYTHONPATH=operator:tests python -m simulation.autoscaling_table`."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from simulation.autoscaler import Autoscaler
from simulation.policies import carried, idle, policy, step

PODS = 20
START = 10.0
"""Seconds that pods take to start."""
MOMENTS = range(0, 15, 3)
"""Seconds by which the rise is put off, since it may come early or late in a window of the metrics."""
LOOKS = range(5, 20, 5)
"""Seconds until the autoscaler's first look, which may come early or late after a window of the metrics as well."""
LOOKED_AT = 180.0
EVERY = 0.5
PHASES = {
    "no rollout": None,
    "preview, 100% idle pods": policy(step(0, "1h", replicas="100%"), step(100)),
    "5%": policy(step(5, "1h"), step(100)),
    "25%": policy(step(25, "1h"), step(100)),
    "50%": policy(step(50, "1h"), step(100)),
    "bake": policy(step(100, "1h")),
}
HIDDEN = {"no rollout": 1.25, "preview, 100% idle pods": 2.0, "5%": 1.05, "25%": 1.25, "50%": 1.5, "bake": 2.0}
"""By how much the load may rise in each phase before an autoscaler alone sees it for certain; without a rollout, for comparison."""
HEAD = (
    "| phase | the load rises to | autoscaler alone | with the correction | after the metrics show it: alone | corrected |",
    "|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Seconds:
    """What a rise of the load came to; infinite where there was no end of it while it was looked at.

    Attributes:
        short: for how many seconds too few pods served.
        overdue: until when they did, in seconds from when the metrics showed nothing but the new load.
    """

    short: float
    overdue: float


def after_a_change(phase: str, factor: float, moment: float, first: float, *, corrected: bool) -> Seconds:
    """Return for how long too few pods serve after the load has changed at once."""
    scaler = _in_phase(phase, first, corrected=corrected)
    scaler.run(61 + moment)
    world, since, shown, last, short = scaler.world, scaler.world.now, math.inf, 0.0, 0.0
    scaler.load = PODS * factor
    while world.now < since + LOOKED_AT:
        scaler.run(EVERY)
        if scaler.sampled - scaler.window >= since:
            shown = min(shown, scaler.sampled)
        if scaler.short():
            short, last = short + EVERY, world.now
    if last > since + LOOKED_AT - 1:
        return Seconds(math.inf, math.inf)
    return Seconds(short, max(0.0, last - shown))


def _in_phase(phase: str, first: float, *, corrected: bool) -> Autoscaler:
    spec = PHASES[phase]
    world = idle(spec or policy(step(100)), replicas=PODS)
    world.cluster.start_up = {"v1": START, "v2": START}
    scaler = Autoscaler(world, float(PODS), corrected=corrected, first=first)
    scaler.run(60)
    if spec is not None:
        world.apply("v2")
        while carried(world) is None:
            scaler.run(EVERY)
    return scaler


def row(phase: str, factor: float) -> str:
    """Return a line of the table: median and worst over the moments."""
    moments = list(itertools.product(MOMENTS, LOOKS))
    alone, corrected = ([after_a_change(phase, factor, *when, corrected=seen) for when in moments] for seen in (False, True))
    columns = [[one.short for one in alone], [one.short for one in corrected]]
    columns += [[one.overdue for one in alone], [one.overdue for one in corrected]]
    return f"| {phase} | {factor:.0%} | " + " | ".join(map(_cell, columns)) + " |"


def _cell(found: Sequence[float]) -> str:
    return " / ".join(
        f"{seconds:.0f}" if math.isfinite(seconds) else "no end" for seconds in (statistics.median(found), max(found))
    )


def main() -> None:
    """Print the table."""
    print("\n".join(HEAD))
    for phase, factor in HIDDEN.items():
        for change in sorted({factor, 2.0}):
            print(row(phase, change), flush=True)


if __name__ == "__main__":
    main()
