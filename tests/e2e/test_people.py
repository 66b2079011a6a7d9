"""What people and tools read, and what they are told when something is wrong or missing."""

from __future__ import annotations

import pytest
import yaml

from api.cluster_access import run
from e2e import manifests
from e2e.manifests import NAME, App, Json, exact_gate, step
from e2e.story import HELD, Given, Then, When, on_the_cluster
from e2e.world import World, condition_of

pytestmark = on_the_cluster


def kstatus(release: Json) -> str:
    """Say what Flux and kpt say of an object with standard conditions (sigs.k8s.io/cli-utils, pkg/kstatus)."""
    status = release.get("status") or {}
    if release["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration") != release["metadata"]["generation"]:
        return "InProgress"
    if condition_of(release, "Stalled").get("status") == "True":
        return "Failed"
    reconciling = condition_of(release, "Reconciling").get("status") == "True"
    return "InProgress" if reconciling or condition_of(release, "Ready").get("status") != "True" else "Current"


async def test_kubectl_wait_and_kstatus(given: Given, when: When, then: Then, world: World) -> None:
    """CI waits with kubectl for the version that it has just applied; GitOps tools read Current, InProgress and Failed rightly."""
    await given.prometheus(canary=0.0)
    await given.a_released_app(step(50, "2s"), step(100), gates=(exact_gate(),))
    assert kstatus(world.release) == "Current"
    assert (await world.kubectl("wait", "--for=condition=Ready", f"release/{NAME}", "--timeout=10s"))[0] == 0

    await world.apply(manifests.release(images={"app": "registry.example/checkout:v2"}))
    waited, said = await world.kubectl("wait", "--for=condition=Promoted", f"release/{NAME}", "--timeout=80s")
    assert waited == 0, said
    await then.promoted_to("v2")
    assert kstatus(world.release) == "Current"
    during = [
        kstatus(seen.object) for seen in world.history.versions("Release", NAME) if seen.object.get("status", {}).get("candidate")
    ]
    assert {"InProgress"} == set(during)

    await when.prometheus_shows(canary=0.2)
    await world.apply(manifests.release(images={"app": "registry.example/checkout:v3"}))
    await then.rolled_back_to("v2")
    assert kstatus(world.release) == "Failed"
    assert (await world.kubectl("wait", "--for=condition=Ready", f"release/{NAME}", "--timeout=1s"))[0] != 0


@pytest.mark.parametrize(
    ("manifest", "named"),
    [
        pytest.param(manifests.release(images={"App!": "x:1"}), "spec.images", id="a container's name"),
        pytest.param({**manifests.release(), "spec": {"policyRef": {"name": "p"}}}, "spec.targetRef", id="no target"),
        pytest.param(
            {**manifests.release(), "spec": {**manifests.release()["spec"], "traffic": {"service": NAME}}},
            "spec.traffic",
            id="no router",
        ),
        pytest.param(manifests.policy(step(50), step(20), step(100)), "spec.steps", id="weights that fall"),
        pytest.param(manifests.policy(step(50)), "spec.steps", id="no step at 100"),
        pytest.param(manifests.policy(step(100, "soon")), "spec.steps[0].hold", id="a hold that is no duration"),
        pytest.param(manifests.policy(step(100), gates=(exact_gate(failureLimit=3, of=2),)), "failureLimit", id="limit above of"),
    ],
)
async def test_wrong_manifest_is_refused_by_name(namespace: str, manifest: Json, named: str) -> None:
    """The API server refuses what can be seen to be wrong, and its message names the field."""
    done = run("kubectl", "apply", "--namespace", namespace, "-f", "-", stdin=yaml.safe_dump(manifest))

    assert done.returncode != 0
    assert named in done.stderr


async def test_what_only_the_operator_sees_is_told_and_mended(given: Given, then: Then, world: World) -> None:
    """Images for a container that does not exist make the Release Stalled with the reason; once mended, it goes on by itself."""
    await given.a_released_app(step(100))

    await world.apply(manifests.release(images={"sidecar": "registry.example/sidecar:v1"}))
    await then.stalled("InvalidSpec", "spec.images", "no container sidecar", "there are app")

    await world.apply(manifests.release(images={"app": "registry.example/checkout:v2"}))
    await then.promoted_to("v2")


async def test_what_is_missing_may_come_later(given: Given, when: When, then: Then, world: World) -> None:
    """Deployment, policy, Service and route are missing at first; each is named, and once it is there the Release goes on."""
    await world.operator.ready()
    await world.apply(manifests.release())
    await then.stalled("MissingWorkload", "spec.targetRef", "Deployment checkout was not found")

    await world.apply_app(App())
    await then.stalled("MissingPolicy", "spec.policyRef", "RolloutPolicy production was not found")

    await given.a_policy(step(50), step(100))
    await then.stalled("MissingService", "spec.traffic.service", "Service checkout was not found")

    await world.apply(manifests.service())
    await then.stalled("MissingRoute", "spec.traffic.gatewayAPI", "HTTPRoute checkout was not found")

    await world.apply(manifests.route(world.host))
    await then.promoted_to("v1")
    await when.the_image_becomes("v2")
    await then.promoted_to("v2")


async def test_request_that_is_none_is_refused(given: Given, world: World, then: Then, when: When) -> None:
    """A misspelt request is refused where it is written; one that makes no sense now is answered with an Event that says why."""
    await given.a_released_app(step(50, HELD), step(100))

    status, said = await world.kubectl("annotate", "release", NAME, "tidegate.dev/request=promot/1")
    assert status != 0
    assert "the verb is promote, rollback, rollback-and-hold, pause, resume or retry" in said

    request = await when.asked_to("promote")
    await then.event("RequestRefused", request, "no rollout is in progress")
    assert world.status["phase"] == "Idle"
