"""The bench stops rollouts where the whole judge stops them."""

import random

import pytest
from bench.rollouts import ALPHA, AVAILABLE, NO_INCREASE, ONE_POINT, P99, TAIL, Rollouts
from bench.thin import ThinGate

from tidegate.api.gate import Gate
from tidegate.api.policy import RolloutPolicySpec
from tidegate.backtest.simulate import run
from tidegate.backtest.traffic import Fault, Latency, Traffic, generate

LATENCY = Latency()
CASES = [
    pytest.param(NO_INCREASE, Traffic(3000, duration=900, fault=Fault(times=3, onset=300)), id="errors"),
    pytest.param(NO_INCREASE, Traffic(3000, duration=900, bursts=5, fault=Fault(times=8, onset=300)), id="errors in bursts"),
    pytest.param(NO_INCREASE, Traffic(20, share=0.3, duration=3600, fault=Fault(onset=600)), id="little traffic"),
    pytest.param(NO_INCREASE, Traffic(3000, duration=60, fault=Fault()), id="everything fails"),
    pytest.param(NO_INCREASE, Traffic(2000, duration=600), id="a healthy version"),
    pytest.param(ONE_POINT, Traffic(3000, duration=600, fault=Fault(times=6, onset=120)), id="one point"),
    pytest.param(AVAILABLE, Traffic(3000, duration=900, unanswered=0.001, fault=Fault(times=5, onset=120)), id="availability"),
    pytest.param(P99, Traffic(6000, 0.3, duration=900, fault=Fault(1.0, slower=3), latency=LATENCY), id="quantile"),
    pytest.param(TAIL, Traffic(3000, duration=600, fault=Fault(1.0, onset=120, slower=1.6), latency=LATENCY), id="tail"),
]


@pytest.mark.parametrize("seed", ["1", "2"])
@pytest.mark.parametrize(("gate", "traffic"), CASES)
def test_the_same_looks_fail(gate: Gate, traffic: Traffic, seed: str) -> None:
    """What the bench leaves out changes no verdict and no time."""
    canary, stable = generate(traffic, random.Random(seed))

    look = ThinGate(gate, ALPHA, traffic).first_fail(canary, stable, traffic.ticks)

    spec = RolloutPolicySpec.model_validate({"steps": [{"weight": 100}], "gates": [gate], "confidence": 1 - ALPHA})
    assert run(spec, traffic, seed).stopped == (None if look is None else look * traffic.tick)


def test_the_first_of_several_gates_stops() -> None:
    """A rollout under several gates is stopped by whichever fails first, and what was served until then is counted."""
    traffic = Traffic(3000, duration=600, unanswered=0.001, fault=Fault(times=20, onset=300))
    together, *apart = (Rollouts(traffic, gates=gates)([1])[0] for gates in ((ONE_POINT, AVAILABLE), (ONE_POINT,), (AVAILABLE,)))

    stops = [one["Tidegate"] for one in apart]

    assert min(stops, key=lambda stop: stop.look or 9999) == together["Tidegate"]
    assert 0 < together["Tidegate"].since_fault < together["Tidegate"].bad
