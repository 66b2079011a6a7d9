"""Limits of gates as tests of bad events."""

import pytest

from tidegate.api.gate import Gate
from tidegate.judge.evidence.latency_limit import QuantileThreshold
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.paired import NeverExceeded, PairedTest
from tidegate.judge.evidence.poisson import PoissonTest
from tidegate.judge.evidence.quantile import QuantileRatio
from tidegate.judge.evidence.tail import Tail
from tidegate.judge.evidence.threshold import NoneAllowed, ThresholdTest


def gate(measure, **limit):
    source = "Kubernetes" if measure == "Restarts" else "HTTP"
    return Gate.model_validate({"name": "a-gate", "metric": {"preset": {"source": source, "measure": measure}}, **limit})


def versus(**change):
    return {"versusStable": change}


class TestRelativeToStable:
    @pytest.mark.parametrize(
        ("measure", "change", "slope", "offset", "up"),
        [
            ("ErrorRate", {"maxIncrease": {"percent": 20}}, 1.2, 0.0, True),
            ("ErrorRate", {"maxIncrease": {"points": 1}}, 1.0, 0.01, True),
            ("ErrorRate", {"maxDecrease": {"percent": 20}}, 0.8, 0.0, False),
            ("ErrorRate", {"maxDecrease": {"points": 2}}, 1.0, -0.02, False),
            ("Availability", {"maxDecrease": {"points": 0.5}}, 1.0, 0.005, True),
            ("Availability", {"maxDecrease": {"percent": 5}}, 0.95, 0.05, True),
            ("Availability", {"maxIncrease": {"points": 0.5}}, 1.0, -0.005, False),
            ("Availability", {"maxIncrease": {"percent": 5}}, 1.05, -0.05, False),
        ],
    )
    def test_of_shares(self, measure, change, slope, offset, up):
        """Availability is a share of good ones: what may fall there is what may rise in bad ones."""
        (test,) = limits_of(gate(measure, **versus(**change))).tests

        assert isinstance(test, PairedTest)
        assert (pytest.approx(slope), pytest.approx(offset), up) == (test.slope, test.offset, test.up)

    @pytest.mark.parametrize("change", [{"maxIncrease": {"points": 100}}, {"maxDecrease": {"percent": 100}}])
    def test_what_no_share_exceeds(self, change):
        assert isinstance(limits_of(gate("ErrorRate", **versus(**change))).tests[0], NeverExceeded)

    def test_of_latency(self):
        (quantile,) = limits_of(gate("Latency", **versus(maxIncrease={"percent": 10}))).tests
        (tail,) = limits_of(gate("Tail", **versus(maxIncrease={"percent": 10}))).tests

        assert isinstance(quantile, QuantileRatio)
        assert (0.99, pytest.approx(1.1)) == (quantile.quantile, quantile.kappa)
        assert isinstance(tail, Tail)
        assert pytest.approx(1.1) == tail.rho


class TestFixed:
    @pytest.mark.parametrize(
        ("measure", "threshold", "share", "up"),
        [
            ("ErrorRate", {"max": 0.05}, 0.05, True),
            ("ErrorRate", {"min": 0.05}, 0.05, False),
            ("Availability", {"min": 0.999}, 0.001, True),
            ("Availability", {"max": 0.9}, 0.1, False),
        ],
    )
    def test_of_shares(self, measure, threshold, share, up):
        (test,) = limits_of(gate(measure, threshold=threshold)).tests

        assert isinstance(test, ThresholdTest)
        assert (pytest.approx(share), up) == (test.limit, test.up)

    @pytest.mark.parametrize(
        ("measure", "threshold", "kind"),
        [
            ("ErrorRate", {"max": 0}, NoneAllowed),
            ("ErrorRate", {"max": 1}, NeverExceeded),
            ("Availability", {"min": 1}, NoneAllowed),
            ("Availability", {"min": 0}, NeverExceeded),
            ("Restarts", {"max": 0}, NoneAllowed),
            ("Restarts", {"max": 2}, PoissonTest),
            ("Latency", {"max": 0.3}, QuantileThreshold),
        ],
    )
    def test_kinds(self, measure, threshold, kind):
        """Limits at the ends have nothing to be estimated."""
        assert [kind] == [type(test) for test in limits_of(gate(measure, threshold=threshold)).tests]

    def test_several_limits_are_several_tests(self):
        found = limits_of(gate("ErrorRate", threshold={"min": 0.001, "max": 0.05}, **versus(maxIncrease={"points": 1})))

        assert [PairedTest, ThresholdTest, ThresholdTest] == [type(test) for test in found.tests]


def test_a_gate_is_known_by_its_limits():
    """Another name or action is the same test; another limit or metric is not."""
    one = limits_of(gate("ErrorRate", threshold={"max": 0.05}))

    assert one.fingerprint == limits_of(gate("ErrorRate", threshold={"max": 0.05}, onBreach="Pause")).fingerprint
    assert one.fingerprint != limits_of(gate("ErrorRate", threshold={"max": 0.06})).fingerprint
    assert one.fingerprint != limits_of(gate("Availability", threshold={"max": 0.05})).fingerprint


def test_a_gate_that_cannot_be_tested_has_no_tests():
    assert () == limits_of(gate("Latency", threshold={"min": 0.1})).tests
