"""`tidegate rollback --to`: versions of the past serve again, with their own pod templates, and the requests of all users."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from api.cluster_access import eventually, run
from api.people import of_cluster_role
from e2e.manifests import NAME, Json, Pods, step
from e2e.story import Given, Then, When, on_the_cluster
from e2e.world import World
from tidegate.cluster.resources import DEPLOYMENTS, RELEASE_RECORDS
from tidegate.workloads.templates import normalise
from tidegate_sandbox.controlplane import person_token
from tidegate_sandbox.demo.stage import write_kubeconfig

pytestmark = on_the_cluster


@pytest.fixture
def theirs(world: World, tmp_path: Path) -> Path:
    """Return the kubeconfig of somebody with the role `edit` in the namespace: to go back takes no more."""
    person = of_cluster_role("developer", world.namespace, "edit")
    for what in ("releasedecisions.tidegate.dev", "deployments.apps"):
        eventually(lambda what=what: person.may("create", what), wanted=bool, timeout=90)
    file = tmp_path / "developer.kubeconfig"
    write_kubeconfig(world.info, file, user=person.name, token=person_token(world.info.token, person.name))
    return file


async def typed(world: World, kubeconfig: Path, *arguments: str) -> CompletedProcess[str]:
    """Type `tidegate rollback` in the test's namespace."""
    program = (sys.executable, "-c", "from tidegate.cli.main import app; app()", "rollback", NAME)
    where = ("--namespace", world.namespace, "--kubeconfig", str(kubeconfig))
    return await asyncio.to_thread(run, *program, *arguments, *where)


async def template(world: World) -> Json:
    """Return the Deployment's template as the API server has it."""
    return normalise((await world.cluster.get(DEPLOYMENTS.path(world.namespace, NAME)))["spec"]["template"])


async def recorded(world: World) -> list[Json]:
    """Return what is recorded of each rollout, the oldest first."""
    found = [one["spec"] for one in (await world.cluster.list(RELEASE_RECORDS.path(world.namespace))).items]
    return sorted(found, key=lambda spec: int(spec["number"]))


async def test_versions_of_the_past_serve_again(given: Given, when: When, then: Then, world: World, theirs: Path) -> None:
    """v3, whose ReplicaSet is gone, comes back at once by its recorded images; v2, whose ReplicaSet is there, whole, by steps."""
    await given.an_app(pods=Pods.REAL, replicas=2)
    await given.a_policy(step(50, "1s"), step(100))
    await given.a_release()
    await given.load()
    released = {}
    for version, env in (("v2", {"FLAVOUR": "plain"}), ("v3", {}), ("v4", {})):
        await when.the_image_becomes(version, **env)
        await then.promoted_to(version)
        released[version] = await template(world)
    assert released["v2"]["spec"]["containers"][0]["env"] != released["v4"]["spec"]["containers"][0]["env"]
    gone = world.replica_set("v3")
    assert gone is not None
    await world.kubectl("delete", "replicaset", gone["metadata"]["name"])
    await world.until("the ReplicaSet of v3 is gone", lambda: world.replica_set("v3") is None)

    by_images = await typed(world, theirs, "--to", "v3", "--now", "--wait", "--verify")

    assert 0 == by_images.returncode, by_images.stdout + by_images.stderr
    assert "images of Deployment checkout restored to v3 (record rel_" in by_images.stdout
    await then.promoted_to("v3")
    await then.served_by("v3")
    assert released["v3"] == await template(world)
    await then.event("WeightChanged", "Weight of v3", "to 100%", "full promotion was requested")

    whole = await typed(world, theirs, "--to", "v2", "--verify")

    assert 0 == whole.returncode, whole.stdout + whole.stderr
    assert "template of Deployment checkout restored to v2 (record rel_" in whole.stdout
    assert f"✓ healthy {world.namespace}/checkout v2" in " ".join(whole.stdout.split())
    await then.promoted_to("v2")
    await then.served_by("v2")
    assert released["v2"] == await template(world)
    found = await recorded(world)
    assert [("Promoted", version) for version in ("v2", "v3", "v4", "v3", "v2")] == [
        (one["outcome"], one["to"]["version"]) for one in found
    ]
    assert [50, 100] == [one["weight"] for one in found[-1]["course"]]
