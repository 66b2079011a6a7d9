"""Looks that come more often than scrapes: the versions rise in different looks, for ever, and are compared all the same."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.engine.gate_status import judged
from tidegate.judge.reading import Counts, Reading, Tally

BOUNDS = (0.1, 0.5)
PERCENT = {"versusStable": {"maxIncrease": {"percent": 50}}}
POINT = {"versusStable": {"maxIncrease": {"points": 1}}}
STABLE = Tally(1000.0, 10.0)

Look = tuple[Tally, Tally]


def gate(measure: str = "ErrorRate", **fields: object) -> Gate:
    return Gate.model_validate({"name": "g", "metric": {"preset": {"source": "HTTP", "measure": measure}}, **(fields or PERCENT)})


def by_turns(looks: Iterable[Look]) -> list[Look]:
    """The same counts, first those of the new version and at the next look those of stable."""
    return [look for canary, stable in looks for look in ((canary, nothing_of(stable)), (nothing_of(canary), stable))]


def nothing_of(tally: Tally) -> Tally:
    return Tally(0.0, over=tuple(0.0 for _ in tally.over))


def looks_until(a_gate: Gate, looks: Sequence[Look], wanted: Verdict) -> int | None:
    """Return the number of looks after which the gate has a verdict; None where it never has."""
    state, start = None, datetime(2026, 1, 1, tzinfo=UTC)
    for number, (canary, stable) in enumerate(looks, 1):
        end = start + timedelta(seconds=5)
        bounds = BOUNDS if canary.over else ()
        counts = Counts(start, canary, None if a_gate.versus_stable is None else stable, bounds, until=end)
        state, start = judged(a_gate, Reading("g", "r", end, counts=counts), state, alpha=0.01), end
        if state.verdict is wanted:
            return number
    return None


def slow(total: float, slower: float) -> Tally:
    return Tally(total, over=(slower, 0.0))


@pytest.mark.parametrize(
    ("a_gate", "canary", "stable", "most"),
    [
        (gate(), Tally(100.0, 50.0), STABLE, 2),
        (gate(), Tally(100.0, 100.0), STABLE, 1),
        (gate(), Tally(100.0, 5.0), STABLE, 8),
        (gate(**POINT), Tally(100.0, 50.0), STABLE, 2),
        (gate("Tail"), slow(100.0, 50.0), slow(1000.0, 10.0), 8),
        (gate(threshold={"max": 0.02}), Tally(100.0, 5.0), STABLE, 20),
        (gate(threshold={"max": 0.02}), Tally(100.0, 100.0), STABLE, 1),
    ],
    ids=["half", "all", "a few", "half, points", "half are slow", "a few, fixed limit", "all, fixed limit"],
)
def test_a_version_that_is_worse_fails(a_gate, canary, stable, most):
    """With counts of both in each look, and as soon where they come by turns."""
    together = looks_until(a_gate, [(canary, stable)] * 200, Verdict.FAIL)
    apart = looks_until(a_gate, by_turns([(canary, stable)] * 200), Verdict.FAIL)

    assert together is not None
    assert together <= most
    assert apart is not None
    assert apart <= 2 * together + 1


def test_a_healthy_version_is_proven():
    """So that `requireProof` does not hold it for ever."""
    looks = [(Tally(100.0, 1.0), STABLE)] * 200
    a_gate = gate(requireProof=True, **PERCENT)

    together = looks_until(a_gate, looks, Verdict.PASS)
    apart = looks_until(a_gate, by_turns(looks), Verdict.PASS)

    assert together is not None
    assert together <= 100
    assert apart is not None
    assert apart <= 2 * together + 1


def test_a_fault_that_begins_late():
    """After 120 healthy looks."""
    looks = [(Tally(100.0, 1.0), STABLE)] * 120 + [(Tally(100.0, 5.0), STABLE)] * 40

    together = looks_until(gate(), looks, Verdict.FAIL)
    apart = looks_until(gate(), by_turns(looks), Verdict.FAIL)

    assert together is not None
    assert 120 < together <= 120 + 12
    assert apart is not None
    assert 240 < apart <= 2 * together + 2
