"""What each limit of the policies in examples/ does: within it nothing, beyond it what the policy says.

For the judge Limit the two are as near to the limit as one likes. The judge Evidence looks for a quarter more bad events than
allowed, and for multiples of that; a fifth more it still finds, so that is how far beyond the limit the stories go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import pytest

from simulation.policies import events
from tidegate.api.names import Phase, Verdict
from unit.examples.traffic import EXAMPLES, Number, Numbers, Restarts, Share, Shop, Slow

MINUTES_OF_LOOKS = 15
"""How long a version is watched, in minutes of the simulated clock."""


class Action(Enum):
    """What is done about a version beyond a limit."""

    ROLLED_BACK = auto()
    PAUSED = auto()
    HELD = auto()
    TOLD = auto()
    RECORDED = auto()


@dataclass(frozen=True)
class Limit:
    """One limit of one policy.

    Attributes:
        policy: file in examples/, without `policy-` and `.yaml`.
        gate: its name there.
        within: numbers of a version just within the limit.
        beyond: numbers of a version just beyond it.
        action: what is done about the second.
        ask: roles that are asked.
    """

    policy: str
    gate: str
    within: Numbers
    beyond: Numbers
    action: Action
    ask: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.policy}: {self.gate}"


LIMITS = (
    # Error rate less than 1 point above stable, P99 less than 10% above stable, availability at least 99.9%.
    Limit("seed", "error-rate", Share(0.014, 0.005), Share(0.018, 0.005), Action.ROLLED_BACK),
    Limit("seed", "p99-latency", Slow(0.210, 0.200), Slow(0.245, 0.200), Action.PAUSED),
    Limit("seed", "availability", Share(0.0009, 0.0009), Share(0.0012, 0.0012), Action.ROLLED_BACK),
    # Availability 99.95%, P95 under 300 ms, error rate under 0.1%, success over 99.9%, SLO checks in budget.
    Limit("slo", "availability", Share(0.00045, 0.0003), Share(0.0006, 0.0003), Action.ROLLED_BACK),
    Limit("slo", "p95-latency", Slow(0.290, 0.1), Slow(0.33, 0.1), Action.ROLLED_BACK),
    Limit("slo", "error-rate", Share(0.0009, 0.0005), Share(0.0012, 0.0005), Action.ROLLED_BACK),
    Limit("slo", "success-rate", Share(0.0009, 0.0005), Share(0.0012, 0.0005), Action.ROLLED_BACK),
    Limit("slo", "error-budget", Number(0.99), Number(1.01), Action.HELD),
    # error_threshold 0.05, response_time_threshold 2000, performance degradation over 20%.
    Limit("thresholds", "error-rate", Share(0.048, 0.02), Share(0.06, 0.02), Action.ROLLED_BACK),
    Limit("thresholds", "response-time", Slow(1.9, 0.1), Slow(2.2, 0.1), Action.ROLLED_BACK),
    Limit("thresholds", "performance", Slow(0.115, 0.1), Slow(0.135, 0.1), Action.ROLLED_BACK),
    # Critical error in the first 5 minutes, error rate over 10%, performance degradation, data integrity, non-critical.
    Limit("decision-matrix", "critical-errors", Number(0), Number(1), Action.ROLLED_BACK),
    Limit("decision-matrix", "error-rate", Share(0.097, 0.02), Share(0.12, 0.02), Action.PAUSED, ("architect",)),
    Limit("decision-matrix", "performance", Slow(0.115, 0.1), Slow(0.135, 0.1), Action.PAUSED, ("architect", "qa")),
    Limit("decision-matrix", "data-integrity", Number(0), Number(1), Action.ROLLED_BACK),
    Limit("decision-matrix", "non-critical", Share(0.014, 0.010), Share(0.018, 0.010), Action.TOLD),
    # CPU, memory and container restarts per pod and hour.
    Limit("saturation", "cpu", Number(0.9), Number(0.91), Action.PAUSED, ("capacity",)),
    Limit("saturation", "memory", Number(0.9), Number(0.91), Action.PAUSED, ("capacity",)),
    Limit("saturation", "restarts", Restarts(0.05), Restarts(0.5), Action.ROLLED_BACK),
    # The key objective of the scored policy, within its warning limit and beyond its own, and a gate on trial.
    Limit("scoring", "error-rate", Share(0.009, 0.005), Share(0.018, 0.005), Action.ROLLED_BACK),
    Limit("dry-run", "slow-requests", Slow(0.1, 0.1), Slow(0.11, 0.1), Action.RECORDED),
    # The others.
    Limit("http", "error-rate", Share(0.0095, 0.005), Share(0.012, 0.005), Action.ROLLED_BACK),
    Limit("http", "median-latency", Slow(0.115, 0.1), Slow(0.135, 0.1), Action.TOLD),
    Limit("promql", "orders-per-request", Number(0.086, 0.1), Number(0.085, 0.1), Action.PAUSED),
)
each_limit = pytest.mark.parametrize("limit", LIMITS, ids=str)


def watched(limit: Limit, numbers: Numbers) -> Shop:
    """Return the shop some minutes after a version with these numbers got its first traffic."""
    shop = Shop(f"policy-{limit.policy}.yaml")
    first = shop.policy.steps[0].weight
    shop.rolls_out(first)
    shop.numbers[limit.gate] = numbers
    shop.crank(MINUTES_OF_LOOKS * 60, until=lambda: shop.status.phase is not Phase.PROGRESSING, every=10)
    return shop


@each_limit
def test_within_the_limit_nothing_is_done(limit: Limit):
    """A version just within the limit goes its way: no verdict against it, no pause, no Event about a breach."""
    shop = watched(limit, limit.within)

    said = shop.said(limit.gate)
    assert said is not None
    assert said.verdict is not Verdict.FAIL, said.message
    assert [] == events(shop, "GateBreached")
    assert shop.status.last_rollout is None
    assert shop.status.rollout is not None
    assert shop.status.rollout.paused is None


@each_limit
def test_beyond_the_limit_the_policy_acts(limit: Limit):
    """A version just beyond the limit is found out within minutes, and what the policy says is done."""
    shop = watched(limit, limit.beyond)

    said = shop.said(limit.gate)
    assert said is not None
    assert said.verdict is Verdict.FAIL, said.message
    match limit.action:
        case Action.ROLLED_BACK:
            rolled_back(shop, limit)
        case Action.PAUSED:
            paused(shop, limit)
        case Action.HELD:
            held(shop, limit)
        case Action.TOLD:
            told(shop, limit, "warning only")
        case Action.RECORDED:
            told(shop, limit, "dry run")


def rolled_back(shop: Shop, limit: Limit) -> None:
    """All traffic is on stable, and the version is remembered as rejected."""
    assert shop.status.phase is Phase.ROLLING_BACK
    assert shop.status.weight == 0
    assert shop.status.rejected
    assert f"gate {limit.gate}: " in shop.status.rejected[-1].message


def paused(shop: Shop, limit: Limit) -> None:
    """The weight is kept, one alert is given, and those who are to decide are named."""
    assert shop.status.phase is Phase.PAUSED
    assert shop.status.weight == shop.policy.steps[0].weight
    assert shop.status.rollout.paused.gate == limit.gate
    assert limit.ask == shop.status.rollout.paused.ask
    (alert,) = events(shop, "GateBreached")
    assert not limit.ask or f"waits for {' and '.join(limit.ask)} to resume, promote or roll back" in alert


def held(shop: Shop, limit: Limit) -> None:
    """Neither paused nor rolled back: the weight stays where it is, and the status says what it waits for."""
    shop.crank(3600, every=20)
    assert shop.status.phase is Phase.PROGRESSING
    assert shop.status.weight == shop.policy.steps[0].weight
    assert f"waits for gate {limit.gate}: " in shop.status.message


def told(shop: Shop, limit: Limit, why: str) -> None:
    """It is said once, and the rollout goes on to its end."""
    (notice,) = events(shop, "GateBreached")
    assert f"Gate {limit.gate} is breached ({why})" in notice
    assert shop.crank(4 * 3600, until=lambda: shop.status.stable.version == "v2", every=20), shop.status.message


def test_every_gate_of_every_example_is_told():
    """No gate of an example is without its story."""
    gates = {(limit.policy, limit.gate) for limit in LIMITS}
    told_elsewhere = {
        ("scoring", "p95-latency"),
        ("scoring", "availability"),
        ("scoring", "cpu"),
        ("scoring", "memory"),
        ("dry-run", "error-rate"),
        ("blue-green", "error-rate"),
    }
    names = [path.stem.removeprefix("policy-") for path in EXAMPLES.glob("policy-*.yaml")]

    assert {(name, gate) for name in names for gate in Shop(f"policy-{name}.yaml").gates} == gates | told_elsewhere
