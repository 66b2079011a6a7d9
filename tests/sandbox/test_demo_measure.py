"""From what the demo recorded to the numbers that it is judged by."""

import json

import pytest

from tidegate_sandbox.demo import measure
from tidegate_sandbox.demo.probe import Probe
from tidegate_sandbox.demo.scenario import GateTerms
from tidegate_sandbox.demo.seen import PodSeen, RouteSeen, canary_weight
from tidegate_sandbox.loadgen import Answer

ERRORS = GateTerms("error-rate", interval=2, window=10, min_samples=20, points=1.0)
LATENCY = GateTerms("p99-latency", interval=2, window=15, min_samples=100, percent=10.0)


def answer(at: float, version: str, *, seconds: float = 0.0, status: int = 200) -> Answer:
    return Answer(at, at, seconds, version, "pod", status)


def pod(version: str, *, name: str = "p", restarts: int = 0, gone_at: float | None = None) -> PodSeen:
    return PodSeen(name, version, f"hash-{version}", ready=True, restarts=restarts, first_at=0, gone_at=gone_at)


def test_a_breach_is_visible_from_the_first_evaluation_beyond_the_limit_on_enough_requests():
    """Probes without data or with too few requests show nothing yet, however bad their value is."""
    probes = [
        Probe(1.0, canary=None, stable=None, samples=None),
        Probe(1.2, canary=0.5, stable=0.0, samples=8),
        Probe(1.4, canary=0.5, stable=None, samples=30),
        Probe(1.6, canary=0.009, stable=0.0, samples=30),
        Probe(1.8, canary=0.05, stable=0.0, samples=30),
        Probe(2.0, canary=0.06, stable=0.0, samples=30),
    ]

    assert measure.breach_visible_at(probes, ERRORS) == 1.8
    assert measure.breach_visible_at(probes[:4], ERRORS) is None


def test_a_version_that_was_shut_out_at_once_has_no_more_requests_than_it_has():
    """Rates leave out the 23 requests that its series began with, and the 12 after them are too few for the gate's window."""
    probes = [Probe(1.0, canary=None, stable=0.0, samples=None), Probe(2.0, 1.0, 0.0, 18.0), Probe(3.0, 1.0, 0.0, 14.0)]

    assert measure.breach_visible_at(probes, ERRORS, shut=True) == 2.0
    assert measure.breach_visible_at(probes, ERRORS) is None
    assert measure.breach_visible_at(probes[:1], ERRORS, shut=True) is None


def test_samples_are_rounded_as_whole_requests():
    """Prometheus extrapolates: 19.6 requests are 20."""
    assert measure.breach_visible_at([Probe(1.0, 0.05, 0.0, 19.6)], ERRORS) == 1.0
    assert measure.breach_visible_at([Probe(1.0, 0.05, 0.0, 19.4)], ERRORS) is None


@pytest.mark.parametrize(
    ("terms", "canary", "stable", "beyond"),
    [
        (ERRORS, 0.012, 0.002, True),
        (ERRORS, 0.0119, 0.002, False),
        (ERRORS, 0.0, 0.05, False),
        (LATENCY, 0.330, 0.300, True),
        (LATENCY, 0.329, 0.300, False),
        (LATENCY, 0.450, 0.300, True),
        (LATENCY, 0.200, 0.300, False),
    ],
)
def test_an_increase_of_exactly_the_limit_is_beyond_it(terms: GateTerms, canary: float, stable: float, beyond: bool):
    """Limits relative to stable are strict, in points and in percent."""
    assert measure.beyond(terms, canary, stable) is beyond


def test_the_spread_of_a_good_version_tells_how_near_noise_came_to_the_limit():
    """Only probes with enough data count."""
    probes = [Probe(1, 0.9, 0.3, 50), Probe(2, 0.309, 0.3, 250), Probe(3, 0.297, 0.3, 300)]

    spread = measure.ratios(probes, LATENCY)

    assert spread is not None
    assert (spread.least, spread.greatest) == pytest.approx((0.99, 1.03))
    assert measure.ratios(probes[:1], LATENCY) is None


def test_traffic_is_on_stable_after_the_last_request_that_went_elsewhere():
    """Requests count by when they were sent: an answer that takes long says nothing of where later ones go."""
    answers = [answer(10.0, "v3"), answer(11.9, "v3", seconds=0.5), answer(11.5, "v3", seconds=0.01), answer(20.0, "v2")]

    assert measure.stable_since(answers, "v3", []) == pytest.approx(11.49)


def test_envoys_own_counter_has_a_say_in_when_traffic_was_on_stable():
    """The later of the two measurements counts; a counter that begins anew is no request."""
    answers = [answer(10.0, "v3")]

    assert measure.stable_since(answers, "v3", [(9.0, 40), (10.4, 41)]) == 10.4
    assert measure.stable_since(answers, "v3", [(9.0, 40), (9.5, 41), (12.0, 0)]) == 10.0
    assert measure.stable_since([], "v3", [(9.0, 40)]) is None


def test_weights_are_told_once_and_only_while_the_route_is_split():
    """Stages of the route in which the user's own Service carries the traffic are no weights of the canary."""
    weights = [None, 0.0, 10.0, 100.0, None, None]

    assert measure.weights_seen(RouteSeen(at, weight) for at, weight in enumerate(weights)) == [0, 10, 100]


def test_a_version_that_is_back_at_zero_shows_it():
    """A version that is shut out ends with weight 0."""
    assert measure.weights_seen(RouteSeen(at, weight) for at, weight in enumerate([None, 0.0, 10.0, 0.0, 0.0])) == [0, 10, 0]


@pytest.mark.parametrize(
    ("backends", "weight"),
    [
        ([{"name": "checkout"}], None),
        (
            [{"name": "checkout", "weight": 1}, {"name": "checkout-stable", "weight": 0}, {"name": "checkout-canary", "weight": 0}],
            None,
        ),
        ([{"name": "checkout-stable", "weight": 90}, {"name": "checkout-canary", "weight": 10}], 10.0),
        (
            [
                {"name": "checkout", "weight": 0},
                {"name": "checkout-stable", "weight": 0},
                {"name": "checkout-canary", "weight": 100},
            ],
            100.0,
        ),
    ],
)
def test_the_canarys_share_is_read_from_the_route(backends: list[dict[str, object]], weight: float | None):
    """Its share of what the operator's two Services carry; none while the user's own Service carries traffic."""
    assert canary_weight({"spec": {"rules": [{"backendRefs": backends}]}}) == weight


def test_old_pods_that_make_room_are_no_restart():
    """A promotion stops the pods of the version before; those that were judged stay."""
    before = [pod("v1"), pod("v1")]
    after = [pod("v1", gone_at=5.0), pod("v1", gone_at=5.0), pod("v2"), pod("v2")]

    assert measure.pods_restarted(before, after, "v2") == 0


def test_a_judged_pod_that_was_replaced_or_whose_container_restarted_is_counted():
    """A pod of the serving version that is gone counts, and so does each restart of a container since the act began."""
    before = [pod("v1", restarts=2)]
    after = [pod("v1", restarts=2, gone_at=5.0), pod("v2", gone_at=6.0), pod("v2", restarts=1)]

    assert measure.pods_restarted(before, after, "v2") == 2


def test_pods_that_were_gone_before_the_act_are_not_held_against_it():
    """What an earlier act did is that act's."""
    before = [pod("v2", gone_at=1.0), pod("v2")]

    assert measure.pods_restarted(before, before, "v2") == 0


def test_requests_of_the_operator_are_counted_by_agent_and_time():
    """Each request counts once, however many lines the audit log has of it; half a last line is no trouble."""

    def line(number: int, agent: str, second: int) -> str:
        moment = f"2026-01-02T03:04:{second:02d}.000000Z"
        return json.dumps({"auditID": str(number), "userAgent": agent, "requestReceivedTimestamp": moment}, separators=(",", ":"))

    lines = [
        line(1, "tidegate/0.1.0", 4),
        line(2, "tidegate/0.1.0", 6),
        line(2, "tidegate/0.1.0", 6),
        line(3, "kubectl/v1.36", 7),
        line(4, "tidegate/0.1.0", 8),
        line(5, "tidegate/0.1.0", 10),
        line(6, "tidegate/0.1.0", 9)[:-20],
    ]
    begun = 1767323045.0  # 03:04:05

    assert measure.api_requests(lines, "tidegate/", begun, begun + 5) == 2
