"""The operator itself: killed, without a right that it needs, and without an API server."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from api.cluster_access import ROOT
from api.cluster_client_access import kubeconfig_with
from e2e import manifests
from e2e.manifests import Json, step
from e2e.operator_process import Operator
from e2e.story import Given, Then, When, manifest_text, on_the_cluster
from e2e.world import World

pytestmark = on_the_cluster

LIMITED = "limited"


async def test_killed_operator_goes_on_where_it_was(given: Given, when: When, then: Then, world: World) -> None:
    """Killed in the middle of a step, the operator leaves everything as it is; started again, it takes the rollout to its end."""
    await given.a_released_app(step(25, "3s"), step(100))
    await when.the_image_becomes("v2")
    await then.the_route_carries(25)

    await world.operator.kill()
    await world.stays("the route carries 25%", lambda: world.status["weight"] == 25, seconds=4)
    await world.operator.start()

    await then.promoted_to("v2")
    then.weights_were(25, 100, 0)


async def test_version_that_comes_while_the_operator_is_away(given: Given, when: When, then: Then, world: World) -> None:
    """A template that changes while no operator runs is held by the API server, and rolled out once one runs again."""
    await given.a_released_app(step(50), step(100))
    pods = world.pods("v1")
    await world.operator.kill()

    await when.the_image_becomes("v2")
    await world.stays("v1 serves alone", lambda: world.ready("v1") == 4 and not world.pods("v2"), seconds=2)
    then.pods_are_those_of(pods)
    await world.operator.start()

    await then.promoted_to("v2")
    then.weights_were(50, 100, 0)


async def test_missing_permission_to_write_is_named(given: Given, then: Then, world: World, tmp_path: Path) -> None:
    """A verb that the operator lacks stands in the status with its resource; once it is granted, the Release goes on by itself."""
    await given.an_app()
    await given.a_policy(step(50), step(100))
    await world.operator.stop()
    world.operator = await limited_operator(world, tmp_path, without=("patch", "deployments"))
    await world.operator.ready()

    await world.apply(manifests.release())
    await then.stalled("NoPermission", "patch deployments.apps checkout", world.namespace)

    await world.kubectl("apply", "-f", "-", stdin=manifest_text(binding(world, "ClusterRole", "tidegate")))
    await then.in_force("v1")


async def test_missing_permission_to_read_is_named(given: Given, when: When, then: Then, world: World, tmp_path: Path) -> None:
    """An operator that may not see routes says so, and does not touch an app whose route it cannot see."""
    await given.an_app()
    await given.a_policy(step(50), step(100))
    pods = world.pods("v1")
    await world.operator.stop()
    world.operator = await limited_operator(world, tmp_path, without=("list", "httproutes"))
    await world.operator.ready()

    await world.apply(manifests.release())

    await then.stalled("NoPermission", "httproutes.gateway.networking.k8s.io", world.namespace)
    then.pods_are_those_of(pods)
    then.weights_were()


async def limited_operator(world: World, folder: Path, *, without: tuple[str, str]) -> Operator:
    """Start an operator whose rights in this namespace are those of deploy/ but for one verb on one resource."""
    verb, resource = without
    roles = yaml.safe_load_all((ROOT / "deploy" / "operator" / "rbac.yaml").read_text())
    rules = next(role["rules"] for role in roles if role["kind"] == "ClusterRole" and role["metadata"]["name"] == "tidegate")
    less = [{**rule, "verbs": [one for one in rule["verbs"] if one != verb or resource not in rule["resources"]]} for rule in rules]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": LIMITED}}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": LIMITED}, "rules": less}
    status, said = await world.kubectl("apply", "-f", "-", stdin=manifest_text(account, role, binding(world, "Role", LIMITED)))
    assert status == 0, said
    status, token = await world.kubectl("create", "token", LIMITED, "--duration=1h")
    assert status == 0, token
    operator = Operator(folder, kubeconfig_with(token.strip(), folder / "kubeconfig"), [world.namespace], {})
    await operator.start()
    return operator


def binding(world: World, kind: str, name: str) -> Json:
    """Return the binding of a role to the limited account in this namespace."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{LIMITED}-{name}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": LIMITED, "namespace": world.namespace}],
    }


@pytest.fixture
def elsewhere(tmp_path: Path, kubeconfig: Path) -> Path:
    """A kubeconfig whose API server is not there."""
    content = yaml.safe_load(kubeconfig.read_text())
    for cluster in content["clusters"]:
        cluster["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


async def test_api_server_that_is_not_there_is_named(tmp_path: Path, elsewhere: Path) -> None:
    """Without an API server the operator says in its log whom it cannot reach, is not ready, and goes on trying."""
    operator = Operator(tmp_path, elsewhere, ["shop"], {})
    await operator.start()

    await operator.said("Cannot connect to host 127.0.0.1:1")

    assert operator.running
    assert await operator.readiness() != 200
    await operator.kill()
