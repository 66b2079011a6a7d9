"""What the policies in examples/ do over a whole rollout."""

from __future__ import annotations

import pytest

from simulation.policies import events
from tidegate.api.names import Phase, Verdict
from unit.examples.traffic import EXAMPLES, Number, Share, Shop, Slow

POLICIES = sorted(path.name for path in EXAMPLES.glob("policy-*.yaml"))


@pytest.mark.parametrize("policy", POLICIES)
def test_good_version_is_promoted(policy: str):
    """Under every example, a version as good as stable gets to the end by itself, through all steps, and nothing is told of it."""
    shop = Shop(policy)

    shop.apply("v2")
    promoted = shop.crank(12 * 3600, until=lambda: shop.status.stable.version == "v2", every=20)

    assert promoted, shop.status.message
    assert [step.weight for step in shop.policy.steps if step.weight] == [weight for weight in shop.weights if weight]
    assert [] == events(shop, "GateBreached", "GateUndecided")


def test_critical_error_after_five_minutes_is_not_critical_any_more():
    """The gate on critical errors is looked at for the first five minutes only; afterwards it stops nobody."""
    shop = Shop("policy-decision-matrix.yaml")
    shop.rolls_out(10)
    shop.crank(5 * 60 + 10, every=5)
    shop.numbers["critical-errors"] = Number(3)

    promoted = shop.crank(4 * 3600, until=lambda: shop.status.stable.version == "v2", every=20)

    assert promoted, shop.status.message


def test_critical_error_in_the_first_minutes_is_rolled_back_within_a_look():
    """A critical error in the fifth minute is acted on at the next look, five seconds later at most."""
    shop = Shop("policy-decision-matrix.yaml")
    shop.rolls_out(10)
    shop.crank(4.5 * 60, every=5)
    shop.numbers["critical-errors"] = Number(1)

    assert shop.crank(6, until=lambda: shop.status.weight == 0)
    assert shop.status.phase is Phase.ROLLING_BACK


def test_failed_check_rolls_back_at_once():
    """Data that does not add up is acted on at the next look, also while another gate has paused the rollout."""
    shop = Shop("policy-decision-matrix.yaml")
    shop.rolls_out(10)
    shop.numbers["error-rate"] = Share(0.3)
    assert shop.crank(120, until=lambda: shop.status.phase is Phase.PAUSED)
    assert "waits for architect to resume, promote or roll back" in shop.status.message

    shop.numbers["data-integrity"] = Number(1)

    assert shop.crank(11, until=lambda: shop.status.weight == 0)
    assert "gate data-integrity: " in shop.status.rejected[-1].message


def test_spent_budget_keeps_a_rollout_from_beginning():
    """While the budget of the service is being spent too fast, the new version gets no traffic at all; afterwards it begins."""
    shop = Shop("policy-slo.yaml")
    shop.numbers["error-budget"] = Number(2.5)
    shop.apply("v2")
    shop.crank(1800, every=20)
    assert [0] == shop.weights
    assert "error-budget" in shop.status.message

    shop.numbers["error-budget"] = Number(0.4)

    assert shop.crank(120, until=lambda: shop.status.weight == 5), shop.status.message


def test_a_version_that_only_fails_is_shut_at_the_first_look():
    """Under the seed policy, a version that answers nothing but errors is shut at the first look, on 25 requests."""
    shop = Shop("policy-seed.yaml")
    shop.rolls_out(10)
    shop.numbers["error-rate"] = Share(1.0, 0.005, requests=25)
    shop.crank(31, until=lambda: shop.status.weight == 0)

    said = shop.said("error-rate")
    assert said is not None
    assert ("F", 0) == (said.looks, shop.status.weight)


def test_score_of_a_slower_version_ends_the_step_with_a_warning():
    """15% slower is in the warning range of the scored policy: half of 3 is lost of 10, and the step ends with 85%."""
    shop = Shop("policy-scoring.yaml")
    shop.rolls_out(10)
    shop.numbers["p95-latency"] = Slow(0.115, 0.1)

    assert shop.crank(3600, until=lambda: shop.carried == 50, every=10), shop.status.message

    (warning,) = events(shop, "ScoreWarning")
    assert warning.startswith("Step 1 ends with a warning: score 85% (pass at 90%, warn at 75%); error-rate 4 of 4, ")
    assert "p95-latency 1.5 of 3 (warning: " in warning


def test_score_that_is_too_low_rolls_back_at_the_end_of_the_step():
    """Too slow costs all of 3, an unavailable answer in 500 another 2: 50% of the weights are not enough, and the words say so."""
    shop = Shop("policy-scoring.yaml")
    shop.rolls_out(10)
    shop.numbers |= {"p95-latency": Slow(0.13, 0.1), "availability": Share(0.002)}
    shop.crank(600, every=10)
    assert (Phase.PROGRESSING, 10) == (shop.status.phase, shop.status.weight)

    assert shop.crank(900, until=lambda: shop.status.weight == 0, every=10)

    message = shop.status.rejected[-1].message
    assert message.startswith("score 50% (pass at 90%, warn at 75%); error-rate 4 of 4, p95-latency 0 of 3 (beyond the limit: ")
    assert "availability 0 of 2 (beyond the limit: " in message


def test_weight_0_costs_nothing():
    """A gate of weight 0 that fails stands in the status, and the steps end as if it were not there."""
    shop = Shop("policy-scoring.yaml")
    shop.numbers["memory"] = Number(0.99)
    shop.apply("v2")

    assert shop.crank(3600, until=lambda: shop.carried == 100, every=10), shop.status.message

    said = shop.said("memory")
    assert said is not None
    assert said.verdict is Verdict.FAIL


def test_blue_green_goes_back_with_one_write():
    """Blue-green: everything moves at once, and a version with 2% errors where 1% is allowed gives everything back."""
    shop = Shop("policy-blue-green.yaml")
    shop.rolls_out(100)
    shop.numbers["error-rate"] = Share(0.02)

    assert shop.crank(600, until=lambda: shop.status.weight == 0), shop.status.message
    assert [0, 100, 0] == shop.weights
