"""What the demo plays is the seed policy, and each version's fault is in its image."""

import itertools
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate_sandbox import demo_service
from tidegate_sandbox.demo import probe, scenario
from tidegate_sandbox.demo.scenario import GateTerms

SEED = scenario.ROOT / "examples" / "policy-seed.yaml"


def decisive(path: Path) -> list[Any]:
    """What a policy allows and does, without its times and where its telemetry comes from."""
    spec = yaml.safe_load(path.read_text())["spec"]
    limits = [
        (gate["name"], gate["metric"]["preset"]["measure"], gate.get("versusStable"), gate.get("threshold"), gate["onBreach"])
        for gate in spec["gates"]
    ]
    return [[step["weight"] for step in spec["steps"]], limits]


def test_the_demo_plays_the_seed_policy():
    """Its steps, gates, limits and actions are those of examples/policy-seed.yaml."""
    assert decisive(scenario.MANIFESTS / "policy.yaml") == decisive(SEED)


def test_the_demo_judges_itself_by_the_policy_that_it_applies():
    """Interval, window, limit and least number of requests are read from the manifest."""
    terms = scenario.read_policy()

    assert terms.weights == (10, 100)
    assert terms.gates["error-rate"] == GateTerms("error-rate", interval=2, window=10, min_samples=20, points=1)
    assert terms.gates["p99-latency"].percent == 10


@pytest.mark.parametrize("act", scenario.ACTS, ids=lambda act: act.version)
def test_every_version_has_an_image_with_its_fault(act: scenario.Act):
    """The environment of an image is one that the demo service understands, and says what the story says."""
    entry = scenario.images()[scenario.image(act.version)]

    settings = demo_service.read_settings({**entry["env"], "TIDEGATE_IMAGE_TAG": act.version})

    assert (settings.version, settings.error_rate > 0, settings.latency_factor > 1) == (
        act.version,
        act.gate == "error-rate",
        act.gate == "p99-latency",
    )


@pytest.mark.parametrize(("now", "window"), [(100.0, 1), (100.3, 1), (104.1, 5), (110.0, 10), (160.0, 10)])
def test_a_window_grows_with_the_time_since_the_first_request(now: float, window: int):
    """A Service's counters also hold what the version before got, so the window is the gate's only once it is full."""
    terms = GateTerms("error-rate", interval=2, window=10, min_samples=20, points=1)

    assert probe.window_at(terms, since=100.0, now=now) == window


def test_the_probes_ask_of_the_right_pods_and_services():
    """The new version's numbers and stable's come from their own Service and their own pods."""
    errors, latency = probe.error_rate("checkout-canary", "checkout-stable"), probe.p99_latency("new1", "old1")

    assert 'envoy_cluster_name="shop_checkout-canary_80"' in errors.canary
    assert 'envoy_cluster_name="shop_checkout-stable_80"' in errors.stable
    assert 'envoy_cluster_name="shop_checkout-canary_80"' in errors.samples
    assert 'pod_template_hash="new1"' in latency.canary
    assert 'pod_template_hash="old1"' in latency.stable
    assert 'pod_template_hash="new1"' in latency.samples


@pytest.mark.parametrize("requests", [200, 300])
def test_two_hundred_requests_tell_a_tenth_more_at_the_p99_from_noise(requests: int):
    """The P99 of any such stretch lies within a percent of what is set, for any start of the draws."""
    app = yaml.safe_load_all((scenario.MANIFESTS / "app.yaml").read_text())
    deployment = next(document for document in app if document["kind"] == "Deployment")
    variables = {entry["name"]: entry["value"] for entry in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    p99s = []
    for seed in range(50):
        behaviour = demo_service.Behaviour(demo_service.read_settings({**variables, "SEED": str(seed)}))
        drawn = sorted(behaviour.latency() for _ in range(requests))
        p99s.append(drawn[round(0.99 * requests) - 1])

    assert (min(p99s), max(p99s)) == pytest.approx((0.6, 0.6), rel=0.01)


def test_errors_come_evenly():
    """Of a version that fails 5% of its requests there is no run of 34 without an error, and none of 12 with two."""
    for seed in range(50):
        behaviour = demo_service.Behaviour(demo_service.read_settings({"ERROR_RATE": "0.05", "SEED": str(seed)}))
        failed = [number for number in range(1000) if behaviour.fails()]
        gaps = [later - earlier for earlier, later in itertools.pairwise(failed)]

        assert {13, 21, 34} >= set(gaps)


def test_errors_do_not_pick_fast_or_slow_requests():
    """What fails is as slow as what does not: the two draws do not depend on each other."""
    behaviour = demo_service.Behaviour(demo_service.read_settings({"ERROR_RATE": "0.05", "SEED": "1"}))
    drawn = [(behaviour.latency(), behaviour.fails()) for _ in range(10_000)]
    middle = statistics.median(seconds for seconds, _ in drawn)

    slow = [failed for seconds, failed in drawn if seconds > middle]

    assert sum(slow) / len(slow) == pytest.approx(0.05, abs=0.005)
