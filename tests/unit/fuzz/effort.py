"""How much the fuzz tests try: a little in every run, and as much as one likes with TIDEGATE_FUZZ.

`TIDEGATE_FUZZ=100 pytest tests/unit/fuzz` tries a hundred times as many examples, other ones each time, and keeps those that fail.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EFFORT = int(os.environ.get("TIDEGATE_FUZZ", "1"))
"""Factor for the number of examples; at 1 they are the same in every run."""


def fuzz(examples: int) -> settings:
    """Return the settings of a fuzz test.

    Args:
        examples: how many are tried in a usual run.
    """
    return settings(max_examples=examples * EFFORT, suppress_health_check=list(HealthCheck))
