"""How many lives are tried: some in every run, ten times as many, and other ones each time, with `make fuzz`."""

from unit.fuzz.effort import EFFORT

TIMES = min(EFFORT, 10)
