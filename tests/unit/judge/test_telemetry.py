"""What a look has found of a gate's metric, as the status says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.gate import Gate
from tidegate.judge.reading import Reading, Shown
from tidegate.judge.telemetry import in_words

AT = datetime(2026, 1, 1, tzinfo=UTC)
BY_CODE = "bad events are identified by the label code"


def gate(*, stable: bool = True, **metric: object) -> Gate:
    limit = {"versusStable": {"maxIncrease": {"points": 1}}} if stable else {"threshold": {"max": 0.01}}
    metric = metric or {"preset": {"source": "HTTP", "measure": "ErrorRate"}}
    return Gate.model_validate({"name": "g", "metric": metric, **limit})


RESTARTS = {"preset": {"source": "Kubernetes", "measure": "Restarts"}}
OWN = {"promql": {"canary": "x", "stable": "y", "unit": "Ratio"}}


@pytest.mark.parametrize(
    ("of", "shown", "ages", "words"),
    [
        (
            gate(),
            Shown(2, 3, BY_CODE),
            (9, 12),
            f"the new version: 2 processes, newest sample 9 s old; stable: 3 processes, newest sample 12 s old; {BY_CODE}",
        ),
        (gate(), Shown(0, 1), (300, 12), "the new version: no processes; stable: 1 process, newest sample 12 s old"),
        (gate(stable=False, **RESTARTS), Shown(1), (None, None), "the new version: 1 container"),
        (gate(**OWN), Shown(1200, 1), (None, None), "the new version: 1,200 series; stable: 1 series"),
        (gate(**OWN), None, (5, 5), ""),
    ],
)
def test_in_words(of: Gate, shown: Shown | None, ages: tuple[int | None, int | None], words: str):
    """How much of each version, how fresh, and how bad events are told; nothing of what nobody has said."""
    newest, newest_stable = (None if age is None else AT - timedelta(seconds=age) for age in ages)
    reading = Reading("g", "abc", AT, newest=newest, newest_stable=newest_stable, shown=shown)

    assert in_words(of, reading) == words


@pytest.mark.parametrize("shown", [None, Shown(2)])
def test_a_clock_that_is_off_is_named_first(shown: Shown | None):
    """Whatever else is known: the ages of samples have to be read with it."""
    words = "Prometheus' clock is 60 min behind the operator's"

    assert in_words(gate(stable=False), Reading("g", "abc", AT, shown=shown, clock=words)).startswith(words)
