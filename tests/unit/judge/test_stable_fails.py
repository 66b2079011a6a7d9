"""A relative gate whose stable side fails too lets nothing pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.judge import limit
from tidegate.judge.evidence import gate as evidence
from tidegate.judge.reading import Counts, Reading, Tally

AT = datetime(2026, 1, 1, tzinfo=UTC)


def a_gate(judge: str, measure: str) -> Gate:
    versus = {"maxIncrease": {"points": 5}} if measure == "ErrorRate" else {"maxDecrease": {"points": 5}}
    metric = {"preset": {"source": "HTTP", "measure": measure}}
    return Gate.model_validate({"name": "g", "metric": metric, "judge": judge, "versusStable": versus, "onBreach": "Rollback"})


@pytest.mark.parametrize("measure", ["ErrorRate", "Availability"])
@pytest.mark.parametrize("bad", [1.0, 0.5])
def test_as_bad_as_a_failing_stable_is_no_pass(measure: str, bad: float):
    """Given both versions failing alike, neither judge says Pass or clear, and the message says why."""
    value = bad if measure == "ErrorRate" else 1 - bad
    counts = Counts(AT - timedelta(seconds=60), Tally(20_000, 20_000 * bad), Tally(20_000, 20_000 * bad))
    reading = Reading("g", "b", AT, canary=value, stable=value, canary_samples=20_000, stable_samples=20_000, counts=counts)

    for found in (
        limit.judge(a_gate("Limit", measure), reading),
        evidence.judge(a_gate("Evidence", measure), reading, None, alpha=0.01),
    ):
        assert (found.verdict, found.clear) == (Verdict.UNDECIDED, False), found.message
        assert "stable itself is failing" in found.message
