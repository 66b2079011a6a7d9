"""With the cluster's own HorizontalPodAutoscaler: while two versions have pods, those that serve are enough for the load.

The autoscaler reads a metrics API of the tests, in which pods without traffic are idle and the others share the load.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from api.cluster_access import apply, kubectl
from api.cluster_client_access import kubeconfig_with
from e2e import manifests
from e2e.busy_shop import START, BusyShop
from e2e.conftest import ACCOUNT, SYSTEM
from e2e.manifests import NAME, Json, step
from e2e.metrics_api import WINDOW, MetricsApi
from e2e.operator_process import Operator
from e2e.story import HELD, Given, Then, When, one_loop
from e2e.world import PATIENCE, World
from tidegate.api.names import FIELD_MANAGER
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import HORIZONTAL_POD_AUTOSCALERS
from tidegate_sandbox.cluster import ClusterInfo, NoSandboxError
from tidegate_sandbox.controlplane import AUTOSCALER_SECONDS

NEEDED = {"api", "controllers", "kwok", "gateway"}
SLACK = 6.0
"""Seconds for a machine that is busy with other tests."""
SOON = 2 * (WINDOW + AUTOSCALER_SECONDS + START) + SLACK
"""A window of the metrics, a look of the autoscaler and the start of a pod, twice: a first window may hold but a part of the rise,
without a rollout as well."""
COUNTED = 2 * (WINDOW + AUTOSCALER_SECONDS)
"""Until the autoscaler has counted pods that have become ready."""
TABLE = os.environ.get("TIDEGATE_AUTOSCALER_TABLE")
"""A file for the numbers of docs/autoscaling.md: with it, every phase is measured without the correction, too."""
PREVIEW, HALF, BAKE = (step(0, HELD, replicas="100%"), step(100)), (step(50, HELD), step(100)), (step(100, HELD),)


def _why_not() -> str:
    try:
        missing = NEEDED - set(ClusterInfo.from_environment().parts)
    except NoSandboxError as error:
        return str(error)
    return f"the sandbox is without {', '.join(sorted(missing))}" if missing else ""


pytestmark = [
    pytest.mark.e2e,
    one_loop,
    pytest.mark.skipif(bool(_why_not()), reason=f"not enough of a sandbox: {_why_not()}"),
    pytest.mark.skipif(not os.environ.get("TIDEGATE_LONG"), reason="takes five minutes: set TIDEGATE_LONG=1"),
    # There can be but one metrics API in a cluster.
    pytest.mark.xdist_group("metrics-api"),
]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def metrics(admin: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MetricsApi]:
    api = MetricsApi(admin, tmp_path_factory.mktemp("metrics"))
    await api.start()
    yield api
    await api.stop()


@pytest.fixture(scope="module")
def unsighted(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig with all rights of the operator but those on autoscalers: it cannot know of any."""
    name, group = "tidegate-unsighted", "rbac.authorization.k8s.io"
    role = json.loads(kubectl("get", "clusterrole", ACCOUNT, "-o", "json"))
    rules = [rule for rule in role["rules"] if "autoscaling" not in rule["apiGroups"]]
    assert len(rules) == len(role["rules"]) - 1
    api, metadata = {"apiVersion": f"{group}/v1"}, {"metadata": {"name": name}}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}]

    def binding(role: str) -> Json:
        reference = {"apiGroup": group, "kind": "ClusterRole", "name": role}
        return {
            **api,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{name}-{role}"},
            "roleRef": reference,
            "subjects": subjects,
        }

    manifest = yaml.safe_dump_all(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}},
            {**api, "kind": "ClusterRole", **metadata, "rules": rules},
            binding(name),
            binding(f"{ACCOUNT}-cluster"),
        ]
    )
    apply(manifest)
    token = kubectl("create", "token", name, "--namespace", SYSTEM, "--duration=1h").strip()
    yield kubeconfig_with(token, tmp_path_factory.mktemp("unsighted") / "kubeconfig")
    kubectl("delete", "-f", "-", stdin=manifest)


@pytest_asyncio.fixture(loop_scope="session")
async def operator(request: pytest.FixtureRequest, admin: Cluster, namespace: str, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator that sees autoscalers, or one that must not."""
    sighted = getattr(request, "param", True)
    found = Operator(tmp_path, request.getfixturevalue("kubeconfig" if sighted else "unsighted"), [namespace], {})
    await found.start()
    yield found
    await found.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(world: World, metrics: MetricsApi) -> AsyncIterator[BusyShop]:
    found = BusyShop(world)
    metrics.follow(world.namespace, found.samples)
    async with found.open():
        yield found


async def rolled_out_to(given: Given, when: When, then: Then, world: World, shop: BusyShop, *steps: Json) -> None:
    """A shop with four busy pods under an autoscaler, and a rollout that is held at its first step."""
    await world.apply(manifests.service())
    await world.apply(manifests.route(world.host))
    await shop.deploy("v1")
    await when.scaled_to(4)
    await given.a_policy(*steps)
    await shop.steady(4, seconds=COUNTED, within=PATIENCE)
    await shop.autoscale()
    await given.a_release()
    await shop.deploy("v2")
    await then.the_route_carries(steps[0]["weight"])
    await world.history.until(lambda: False, within=COUNTED)
    await shop.steady(4, seconds=COUNTED, within=PATIENCE)


async def rise(world: World, shop: BusyShop, load: float, *, within: float) -> tuple[float, float]:
    """More load: return for how many seconds too few pods served, and too few to be rolled back to."""
    shop.wanted, since = load, time.monotonic()
    await world.history.until(lambda: shop.load == load, within=WINDOW + SLACK)
    await world.history.until(lambda: shop.enough(seconds=1.5), within=within)
    print(shop.account(since - 8))
    return shop.overloaded(since), shop.overloaded(since, alone=True)


PHASES = {
    "preview": (PREVIEW, 8.0, False),
    "paused": (PREVIEW, 8.0, True),
    "weight 50": (HALF, 6.0, False),
    "bake": (BAKE, 8.0, False),
}
"""By phase: steps, the load that its idle pods hide from the autoscaler, and whether a person has paused the rollout."""


@pytest.mark.parametrize("phase", PHASES)
async def test_pods_for_the_load_in_every_phase(
    given: Given, when: When, then: Then, world: World, shop: BusyShop, metrics: MetricsApi, phase: str
) -> None:
    """The load rises by just as much as the pods of the new version hide: the pods that serve follow, and a rollback finds enough.

    When it falls, so does the number of pods; when it doubles in the very moment of the rollback, the stable pods follow.
    """
    steps, hidden, paused = PHASES[phase]
    await rolled_out_to(given, when, then, world, shop, *steps)
    if paused:
        await when.asked_to("pause")
        await then.the_phase_is("Paused")

    busy, alone = await rise(world, shop, hidden, within=SOON + PATIENCE)
    note(phase, "load rises by what is hidden", True, busy, alone)
    assert 0 < max(busy, alone) <= SOON
    await then.event("Scaled", "HorizontalPodAutoscaler checkout")

    shop.wanted = 4.0
    await shop.steady(4, seconds=COUNTED, within=PATIENCE)
    since = time.monotonic()
    await when.asked_to("rollback")
    shop.wanted = 8.0
    await then.the_phase_is("RolledBack")
    await shop.calm(within=SOON + PATIENCE)
    print(shop.account(since))
    note(phase, "load doubles at the rollback", True, shop.overloaded(since), shop.overloaded(since, alone=True))
    assert shop.overloaded(since) <= SOON
    await the_autoscaler_was_never_written(world)


@pytest.mark.parametrize("operator", [False], indirect=True)
@pytest.mark.parametrize("phase", PHASES if TABLE else ["preview"])
async def test_operator_that_may_not_see_autoscalers(
    given: Given, when: When, then: Then, world: World, shop: BusyShop, metrics: MetricsApi, phase: str
) -> None:
    """Without the right to autoscalers everything goes its way but for the correction, and the log says so.

    What the correction is for shows: with as many idle as busy pods, the autoscaler takes twice the load for fine.
    """
    steps, hidden, paused = PHASES[phase]
    await rolled_out_to(given, when, then, world, shop, *steps)
    if paused:
        await when.asked_to("pause")
        await then.the_phase_is("Paused")

    busy, alone = await rise(world, shop, hidden, within=60 if TABLE else SOON)
    note(phase, "load rises by what is hidden", False, busy, alone)

    assert max(busy, alone) > SOON - 3
    assert 4 == shop.size()
    assert any(line.get("resource") == "horizontalpodautoscalers.autoscaling" for line in world.operator.lines())
    assert "True" != world.condition("Stalled").get("status"), world.condition("Stalled")
    await when.asked_to("rollback")
    await then.the_phase_is("RolledBack")
    await shop.calm(within=PATIENCE)


async def the_autoscaler_was_never_written(world: World) -> None:
    """By the object's own account and by the audit log."""
    found = await world.cluster.get(HORIZONTAL_POD_AUTOSCALERS.path(world.namespace, NAME))
    assert FIELD_MANAGER not in {entry["manager"] for entry in found["metadata"]["managedFields"]}
    verbs = {
        entry["verb"]
        for line in world.info.audit_log.read_text().splitlines()
        if (entry := json.loads(line)).get("objectRef", {}).get("resource") == HORIZONTAL_POD_AUTOSCALERS.plural
        and entry["user"]["username"].startswith(f"system:serviceaccount:{SYSTEM}:")
    }
    assert verbs <= {"get", "list", "watch"}


def note(phase: str, what: str, corrected: bool, busy: float, alone: float) -> None:
    """Keep a measured number for the docs."""
    found: dict[str, Any] = {"phase": phase, "what": what, "corrected": corrected, "busy": round(busy, 1), "alone": round(alone, 1)}
    print(json.dumps(found))
    if TABLE:
        with Path(TABLE).open("a") as table:
            table.write(json.dumps(found) + "\n")
