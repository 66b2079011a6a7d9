"""East comes after west: a real operator before one API server, which reads another one that goes away and comes back."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.cluster_access import needs_api, run
from api.operator_access import NAME, Json, Prometheus, Scene, install, router_of, scene_in
from api.second_cluster import SecondCluster, second_cluster
from tidegate.api.base import format_time, parse_time

pytestmark = [*needs_api, pytest.mark.timeout(240), pytest.mark.xdist_group("west")]
SOAK = timedelta(seconds=3)
GATE: Json = {
    "name": "errors",
    "metric": {"promql": {"canary": "canary_errors", "unit": "Ratio"}},
    "threshold": {"max": 0.01},
    "interval": "1s",
    "window": "10s",
}


@dataclass
class Clusters:
    """Two clusters: what west promotes, east waits for."""

    east: Scene
    west: SecondCluster
    staging: str

    async def promote(self, version: str) -> datetime:
        """Have west's Release promote a version now, as its operator would write it."""
        now = datetime.now(UTC)
        stable = {"revision": version, "version": version, "replicas": 1, "ready": 1, "images": {"app": f"{NAME}:{version}"}}
        change = json.dumps({"status": {"stable": {**stable, "promotedAt": format_time(now)}}})
        patch = ("patch", "release", NAME, "--subresource=status", "--type=merge", "--patch", change)
        await asyncio.to_thread(self.west.kubectl, "-n", self.staging, *patch)
        return now

    async def started(self, version: str) -> Json:
        """Wait until east has given a version half of the traffic."""
        return await self.east.until(
            lambda status: (status.get("candidate") or {}).get("version") == version and status["weight"] == 50
        )

    async def waits(self, words: str) -> Json:
        """Wait until east waits for west with these words."""
        return await self.east.until(
            lambda status: (
                any(one["barrier"] == "Upstream" for one in status.get("waitingFor") or ()) and words in status["message"]
            )
        )


@pytest.fixture
async def prometheus() -> AsyncIterator[Prometheus]:
    """Whatever is rolled out is well until a test says otherwise."""
    prometheus = Prometheus()
    await prometheus.start()
    yield prometheus
    await prometheus.stop()


@pytest.fixture(scope="module")
def west(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondCluster]:
    """Return the other cluster, which takes ten seconds to start."""
    with second_cluster(tmp_path_factory.mktemp("second")) as west:
        yield west


@pytest.fixture
async def clusters(west: SecondCluster, tmp_path: Path, prometheus: Prometheus) -> AsyncIterator[Clusters]:
    """v1 is in force in both; east comes after west, and may read one namespace there."""
    await asyncio.to_thread(install)
    staging = f"staging-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(west.kubectl, "create", "namespace", staging)
    spec = {"targetRef": {"name": NAME}, "policyRef": {"name": "production"}}
    release = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": {"name": NAME}, "spec": spec}
    await asyncio.to_thread(west.kubectl, "-n", staging, "create", "-f", "-", stdin=json.dumps(release))
    async with scene_in(tmp_path) as east, router_of(east):
        both = Clusters(east, west, staging)
        await both.promote("v1")
        await east.policy(steps=[{"weight": 50, "hold": "1h"}, {"weight": 100}], gates=[GATE])
        await east.deployment()
        await east.service()
        await east.route()
        await east.release(
            route=True, after=[{"release": NAME, "namespace": staging, "cluster": "west", "soak": f"{SOAK.seconds}s"}]
        )
        kubeconfig, allow = str(west.reader(tmp_path / "west")), [{"from": [east.namespace], "to": [staging]}]
        await east.start(
            clusters={"west": {"kubeconfig": kubeconfig, "allow": allow}},
            connections=[{"name": "default", "address": prometheus.address}],
        )
        await east.idle()
        yield both


async def test_east_waits_for_what_west_proves_and_holds_while_it_is_away(clusters: Clusters, prometheus: Prometheus) -> None:
    """Started after the soak; with west away a breach rolls back and nothing starts; back, it goes on by itself."""
    east, west = clusters.east, clusters.west
    where = f"{NAME} in {clusters.staging} (cluster west)"

    await east.set_image(f"{NAME}:v2")
    await clusters.waits(f"v2 waits for {where} to have run v2 for 3s: v1 serves there")
    promoted = await clusters.promote("v2")
    begun = await clusters.started("v2")
    assert parse_time(begun["rollout"]["startedAt"]) >= promoted + SOAK - timedelta(milliseconds=1)

    await asyncio.to_thread(west.stop)
    prometheus.canary = 0.5
    await east.until(lambda status: status["phase"] == "RolledBack" and status["weight"] == 0)

    prometheus.canary = 0.0
    await east.set_image(f"{NAME}:v3")
    told = await clusters.waits("nothing was heard from cluster west since ")
    (entry,) = told["waitingFor"]
    assert entry["what"].startswith(f"{where}: nothing was heard from cluster west since ")
    assert "check that its API server runs" in entry["what"]
    listed = await asyncio.to_thread(run, "tidegate", "waits", "--namespace", east.namespace)
    assert where in listed.stdout, listed.stderr

    await asyncio.to_thread(west.start)
    await clusters.promote("v3")
    await clusters.started("v3")

    assert west.asked() == {("list", "releases"), ("watch", "releases")}


async def test_a_release_that_goes_there_and_a_namespace_that_may_not_be_read(clusters: Clusters) -> None:
    """What was proved is no more once the other Release is gone; of other namespaces nothing is said."""
    east, west = clusters.east, clusters.west
    await east.set_image(f"{NAME}:v2")
    await clusters.waits("v1 serves there")

    await asyncio.to_thread(west.kubectl, "-n", clusters.staging, "delete", "release", NAME)
    await clusters.waits("there is no such Release: it was deleted, or was never there")
    other = {"spec": {"after": [{"release": NAME, "namespace": "kube-system", "cluster": "west"}]}}
    await east.admin.merge_patch(
        f"/apis/tidegate.dev/v1alpha1/namespaces/{east.namespace}/releases/{NAME}", other, manager="kubectl"
    )

    await clusters.waits(f"the operator's configuration lets no Release of {east.namespace} read those of kube-system there")


async def test_what_west_proves_is_taken_over_by_who_follows_it(clusters: Clusters) -> None:
    """Its images are rolled out here without anybody deploying them; the status says from which cluster they come."""
    east, staging = clusters.east, clusters.staging
    follow = {"spec": {"after": None, "follow": {"release": NAME, "namespace": staging, "cluster": "west"}}}
    await east.admin.merge_patch(
        f"/apis/tidegate.dev/v1alpha1/namespaces/{east.namespace}/releases/{NAME}", follow, manager="kubectl"
    )

    await clusters.promote("v2")

    status = await clusters.started("v2")
    taken = status["followed"]
    assert (taken["release"], taken["namespace"], taken["cluster"]) == (NAME, staging, "west")
    assert taken["images"] == {"app": f"{NAME}:v2"}
