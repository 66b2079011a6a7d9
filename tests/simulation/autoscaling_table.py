"""Prints the table of docs/autoscaling.md: `PYTHONPATH=operator:tests python -m simulation.autoscaling_table`."""

from __future__ import annotations

import statistics

from simulation.autoscaler import Autoscaler
from simulation.policies import carried, idle, policy, step

PODS = 20
MOMENTS = range(0, 15, 3)
"""Seconds by which the rise is put off, since it may come early or late in a window of the metrics."""
LOOKED_AT = 180.0
PHASES = {
    "no rollout": None,
    "preview, 100% idle pods": policy(step(0, "1h", replicas="100%"), step(100)),
    "5%": policy(step(5, "1h"), step(100)),
    "25%": policy(step(25, "1h"), step(100)),
    "50%": policy(step(50, "1h"), step(100)),
    "bake": policy(step(100, "1h")),
}


def seconds_short(phase: str, factor: float, moment: float, *, corrected: bool) -> float:
    """Return for how many seconds too few pods serve after the load has risen."""
    spec = PHASES[phase]
    world = idle(spec or policy(step(100)), replicas=PODS)
    world.cluster.start_up = {"v1": 10.0, "v2": 10.0}
    scaler = Autoscaler(world, float(PODS), corrected=corrected)
    scaler.run(60)
    if spec is not None:
        world.apply("v2")
        while carried(world) is None:
            scaler.run(0.5)
    scaler.run(61 + moment)
    scaler.load = PODS * factor
    short = 0.0
    for _ in range(round(LOOKED_AT / 0.5)):
        scaler.run(0.5)
        short += 0.5 * scaler.short()
    return short


def cell(phase: str, factor: float, *, corrected: bool) -> str:
    """Return median and worst over the moments."""
    found = [seconds_short(phase, factor, moment, corrected=corrected) for moment in MOMENTS]
    worst = f"over {LOOKED_AT:g}" if max(found) >= LOOKED_AT - 1 else f"{max(found):.0f}"
    middle = statistics.median(found)
    return f"{'over ' if middle >= LOOKED_AT - 1 else ''}{min(middle, LOOKED_AT):.0f} / {worst}"


def main() -> None:
    """Print the table."""
    print("| phase | the load rises to | autoscaler alone | with the correction |\n|---|---|---|---|")
    hidden = {"no rollout": 1.25, "preview, 100% idle pods": 2.0, "5%": 1.05, "25%": 1.25, "50%": 1.5, "bake": 2.0}
    for phase, factor in hidden.items():
        for rise in sorted({factor, 2.0}):
            cells = [cell(phase, rise, corrected=corrected) for corrected in (False, True)]
            print(f"| {phase} | {rise:.0%} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
