"""A rollout whose bad answers cannot be told from good ones: it waits and says why, and is never promoted."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.policies import at_weight, carried, events, policy, step
from tidegate.api.names import Phase, Verdict

UNTOLD = "bad answers of the new version cannot be told from good ones: the label code identifies them on none of its requests"


@pytest.mark.parametrize("measure", ["ErrorRate", "Availability"])
@pytest.mark.parametrize("judge", ["Evidence", "Limit"])
def test_it_is_not_promoted(measure: str, judge: str):
    """Given a counter without the label that tells errors, when the hold is over, then the weight stays, with the reason."""
    rise: dict[str, Any] = {"maxIncrease": {"points": 1}} if measure == "ErrorRate" else {"maxDecrease": {"points": 1}}
    metric = {"preset": {"source": "HTTP", "measure": measure}}
    gate = {"name": "errors", "metric": metric, "judge": judge, "versusStable": rise, "onBreach": "Rollback", "interval": "2s"}
    world = at_weight(50, policy(step(50, "15s"), step(100), gates=(gate,), bake="0s", drain="1s", progressDeadline="2m"))
    world.prometheus_trouble = UNTOLD

    world.crank(90)

    (state,) = world.status.gates
    assert carried(world) == 50
    assert world.status.phase is Phase.PROGRESSING
    assert (state.verdict, state.clear, state.undecided_since is None) == (Verdict.UNDECIDED, False, False)
    assert UNTOLD in state.message
    assert any(UNTOLD in text for text in events(world, "GateUndecided"))
