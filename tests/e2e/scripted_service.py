"""The steady service with a script: it gets well when told to, and may count as if it were much busier than its test.

==============  ===========================================================================================
WELL_FILE       While this file exists, it is neither slower nor more faulty than LATENCY_FACTOR=1 and
                ERROR_RATE=0 say (default: none)
COUNT_AS        How many requests it counts for each one that it answers (default 1)
UNANSWERED      Share of the requests it counts that it counts as 503, evenly spread (default 0)
==============  ===========================================================================================

A limit of 99.9% takes some ten thousand requests to tell it from 99.8%; a test has some hundred.
"""

from __future__ import annotations

import bisect
import os
import sys
from pathlib import Path

from e2e.steady_service import Steady
from tidegate_sandbox import demo_service


class Scripted(Steady):
    """Ill until told to be well."""

    def __init__(self, settings: demo_service.Settings) -> None:
        super().__init__(settings)
        self._factor = settings.latency_factor
        self._file = os.environ.get("WELL_FILE", "")

    @property
    def _well(self) -> bool:
        return bool(self._file) and Path(self._file).exists()

    def latency(self) -> float:
        drawn = super().latency()
        return drawn / self._factor if self._well else drawn

    def fails(self) -> bool:
        return super().fails() and not self._well


class Busy(demo_service.Metrics):
    """Counts each answer many times."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self._times = int(os.environ.get("COUNT_AS", "1"))
        self._share, self._due = float(os.environ.get("UNANSWERED", "0")), 0.0

    def observe(self, method: str, code: int, seconds: float) -> None:
        self._due += self._share * self._times
        unanswered = int(self._due)
        self._due -= unanswered
        for status, count in ((code, self._times - unanswered), (503, unanswered)):
            self._requests[method, status] = self._requests.get((method, status), 0) + count
        self._buckets[bisect.bisect_left(demo_service.BUCKETS, seconds)] += self._times
        self._sum += seconds * self._times


if __name__ == "__main__":
    demo_service.Behaviour = Scripted  # type: ignore[misc]
    demo_service.Metrics = Busy  # type: ignore[misc]
    sys.exit(demo_service.main())
