"""What becomes of a look that a gate's own judging fails over, outside of the decision."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from unit.controller.objects import NAME, NAMESPACE
from unit.controller.stage import Stage

NO_NUMBER: Any = "many"


async def test_it_is_logged_with_its_state_and_counted(stage: Stage) -> None:
    """Given a value that no judge can reckon with, the pass goes on, the log has the exception, and a metric counts it."""
    stage.at_ten_percent()
    await stage.passes()
    stage.values["error-rate"] = NO_NUMBER
    stage.clock.advance(2.5)
    await stage.look()

    with capture_logs() as logged:
        await stage.passes()

    told = next(line for line in logged if line["event"] == "a gate could not be judged")
    labels = {"namespace": NAMESPACE, "release": NAME, "gate": "error-rate"}
    assert ("error", "error-rate") == (told["log_level"], told["gate"])
    assert "TypeError" in told["exception"]
    assert 1.0 == stage.metrics.registry.get_sample_value("tidegate_gate_unjudged_total", labels)
    assert "could not be judged" in stage.status["gates"][0]["message"]
