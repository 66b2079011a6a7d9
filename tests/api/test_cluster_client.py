"""The client against a real API server: what it refuses, and in which words, is nothing a test can make up."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from api.cluster_client_access import (
    api_server,
    config_map,
    config_map_path,
    fresh_kind,
    kubeconfig_with,
    needs_api_server,
)
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
)
from tidegate.cluster.resources import CONFIG_MAPS, DEPLOYMENTS, Resource
from tidegate.runtime.errors import Outcome, outcome_of

pytestmark = needs_api_server


def deployment(namespace: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": "checkout"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": "checkout"},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


async def test_apply_creates_and_owns(cluster: Cluster, place: str):
    """The first apply creates; what one apply leaves out, the next removes; an apply that says the same is no write."""
    created = await cluster.apply(config_map(place, "a", x="1", y="2"))
    changed = await cluster.apply(config_map(place, "a", x="1"))
    same = await cluster.apply(config_map(place, "a", x="1"))

    assert {"x": "1", "y": "2"} == created["data"]
    assert {"x": "1"} == changed["data"]
    assert changed["metadata"]["resourceVersion"] == same["metadata"]["resourceVersion"]
    assert {"tidegate"} == {entry["manager"] for entry in changed["metadata"]["managedFields"]}


async def test_apply_without_force_names_whose_field_it_is(cluster: Cluster, place: str):
    """The conflict says which field and which manager; with force the field is taken over."""
    await cluster.apply(config_map(place, "a", x="theirs"), manager="gitops")

    with pytest.raises(Conflict) as refused:
        await cluster.apply(config_map(place, "a", x="ours"), force=False)

    (cause,) = refused.value.causes
    assert ("FieldManagerConflict", ".data.x") == (cause.reason, cause.field)
    assert '"gitops"' in cause.message
    assert {"x": "ours"} == (await cluster.apply(config_map(place, "a", x="ours")))["data"]


async def test_apply_with_a_version_is_a_precondition(cluster: Cluster, place: str):
    """An apply that carries an outdated resourceVersion is refused: nothing is overwritten unseen."""
    before = await cluster.apply(config_map(place, "a", x="1"))
    await cluster.merge_patch(config_map_path(place, "a"), {"data": {"z": "3"}}, manager="someone")
    stale = config_map(place, "a", x="2")
    stale["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]

    with pytest.raises(Conflict):
        await cluster.apply(stale)


async def test_apply_to_the_status(cluster: Cluster, place: str):
    """The subresource is written, the rest of the object is not."""
    await cluster.create(DEPLOYMENTS.path(place), deployment(place, replicas=3))
    status = {**deployment(place), "status": {"observedGeneration": 1, "replicas": 2}}
    del status["spec"]

    written = await cluster.apply(status, subresource="status")

    assert (3, 2) == (written["spec"]["replicas"], written["status"]["replicas"])


@pytest.mark.parametrize(
    "test",
    [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "test", "path": "/data/x", "value": "other"},
        {"op": "test", "path": "/data/missing", "value": "1"},
        {"op": "test", "path": "/metadata/annotations/none", "value": "1"},
    ],
    ids=["version", "value", "key", "parent"],
)
async def test_failed_test_of_a_json_patch_is_a_conflict(cluster: Cluster, place: str, test: dict[str, str]):
    """A lost race, to be tried again after a fresh look; and nothing was written."""
    await cluster.create(CONFIG_MAPS.path(place), config_map(place, "a", x="1"))

    with pytest.raises(Conflict) as refused:
        await cluster.json_patch(config_map_path(place, "a"), [test, {"op": "replace", "path": "/data/x", "value": "2"}])

    assert Outcome.RETRY is outcome_of(refused.value)
    assert {"x": "1"} == (await cluster.get(config_map_path(place, "a")))["data"]


async def test_json_patch_with_a_test_that_holds(cluster: Cluster, place: str):
    """The precondition on the version lets the write through."""
    created = await cluster.create(CONFIG_MAPS.path(place), config_map(place, "a", x="1"))
    version = created["metadata"]["resourceVersion"]
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}

    patched = await cluster.json_patch(config_map_path(place, "a"), [test, {"op": "replace", "path": "/data/x", "value": "2"}])

    assert {"x": "2"} == patched["data"]


async def test_invalid_object_names_its_fields(cluster: Cluster, place: str):
    """What no repetition can mend is Terminal, with the field that is wrong."""
    with pytest.raises(Invalid) as refused:
        await cluster.create(DEPLOYMENTS.path(place), deployment(place, replicas=-1))

    assert [("FieldValueInvalid", "spec.replicas")] == [(c.reason, c.field) for c in refused.value.causes]
    assert Outcome.TERMINAL is outcome_of(refused.value)


async def test_malformed_request_is_a_bug(cluster: Cluster, place: str):
    """What the API cannot even read is our fault, and loud."""
    with pytest.raises(ApiError) as refused:
        await cluster.create(CONFIG_MAPS.path(place), {"apiVersion": "v1", "kind": "ConfigMap", "data": "text"})

    assert 400 == refused.value.status
    assert Outcome.BUG is outcome_of(refused.value)


async def test_missing_and_existing(cluster: Cluster, place: str):
    """404 and 409 each have their kind, and say what they are about."""
    await cluster.create(CONFIG_MAPS.path(place), config_map(place, "a"))

    with pytest.raises(AlreadyExists):
        await cluster.create(CONFIG_MAPS.path(place), config_map(place, "a"))
    with pytest.raises(NotFound, match=f'get configmaps b in {place}: configmaps "b" not found'):
        await cluster.get(config_map_path(place, "b"))
    with pytest.raises(NotFound):
        await cluster.list(Resource("nowhere.tidegate.dev", "v1", "things", "Thing").path())


async def test_update_from_an_outdated_version(cluster: Cluster, place: str):
    """A replace is only for those who have seen the newest."""
    created = await cluster.create(CONFIG_MAPS.path(place), config_map(place, "a", x="1"))
    await cluster.update(config_map_path(place, "a"), {**created, "data": {"x": "2"}})

    with pytest.raises(Conflict):
        await cluster.update(config_map_path(place, "a"), {**created, "data": {"x": "3"}})


async def test_delete_only_the_one_that_was_meant(cluster: Cluster, place: str):
    """An object of the same name that was created again is not deleted by mistake."""
    created = await cluster.create(CONFIG_MAPS.path(place), config_map(place, "a"))

    with pytest.raises(Conflict):
        await cluster.delete(config_map_path(place, "a"), uid="someone-else")
    await cluster.delete(config_map_path(place, "a"), uid=created["metadata"]["uid"], propagation="Background")
    with pytest.raises(NotFound):
        await cluster.get(config_map_path(place, "a"))


async def test_missing_permission_is_named(cluster: Cluster, place: str, tmp_path: Path):
    """A ServiceAccount without rights is told which right it lacks; a wrong token is told apart from that."""
    accounts = Resource("", "v1", "serviceaccounts", "ServiceAccount")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "poor"}}
    await cluster.create(accounts.path(place), account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    granted = await cluster.create(accounts.path(place, "poor", "token"), request)

    async with api_server(kubeconfig_with(granted["status"]["token"], tmp_path / "poor")) as poor:
        with pytest.raises(Forbidden) as refused:
            await poor.apply(deployment(place))
    assert f"patch deployments.apps in {place}" == refused.value.permission
    assert f'User "system:serviceaccount:{place}:poor" cannot patch' in refused.value.message

    async with api_server(kubeconfig_with("made-up", tmp_path / "stranger")) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.list(CONFIG_MAPS.path(place))


async def test_list_page_by_page(cluster: Cluster, place: str):
    """Pages of two over five objects are one consistent list, and its items say what they are."""
    for name in "abcde":
        await cluster.create(CONFIG_MAPS.path(place), config_map(place, name))

    found = await cluster.list(CONFIG_MAPS.path(place), limit=2)

    # Where controllers run, one of them puts its own ConfigMap into every namespace.
    assert list("abcde") == [item["metadata"]["name"] for item in found.items if "-" not in item["metadata"]["name"]]
    assert {("v1", "ConfigMap")} == {(item["apiVersion"], item["kind"]) for item in found.items}
    newest = max(int(item["metadata"]["resourceVersion"]) for item in found.items)
    assert int(found.resource_version) >= newest


async def test_list_by_selector(cluster: Cluster, place: str):
    """Selection happens in the server."""
    for name in "ab":
        labelled = config_map(place, name)
        labelled["metadata"]["labels"] = {"which": name}
        await cluster.create(CONFIG_MAPS.path(place), labelled)

    by_label = await cluster.list(CONFIG_MAPS.path(place), label_selector="which=a")
    by_field = await cluster.list(CONFIG_MAPS.path(place), field_selector="metadata.name=b")

    assert [["a"], ["b"]] == [[item["metadata"]["name"] for item in found.items] for found in (by_label, by_field)]


async def test_watch_sees_a_life(cluster: Cluster, place: str):
    """Creation, change and deletion arrive in order, each with a higher version; the deletion has one of its own."""
    start = (await cluster.list(CONFIG_MAPS.path(place))).resource_version
    await cluster.create(CONFIG_MAPS.path(place), config_map(place, "a"))
    await cluster.merge_patch(config_map_path(place, "a"), {"data": {"x": "1"}})
    await cluster.delete(config_map_path(place, "a"))

    seen = []
    async with asyncio.timeout(20), aclosing(cluster.watch(CONFIG_MAPS.path(place), start)) as events:
        async for event in events:
            seen.append((event.type, int(event.object["metadata"]["resourceVersion"])))
            if event.type == "DELETED":
                break

    assert ["ADDED", "MODIFIED", "DELETED"] == [what for what, _ in seen]
    versions = [int(start), *(version for _, version in seen)]
    assert versions == sorted(set(versions))


async def test_watch_ends_when_its_life_is_over(cluster: Cluster, place: str):
    """The server ends the stream in good order, after a last bookmark."""
    start = (await cluster.list(CONFIG_MAPS.path(place))).resource_version
    opened: list[bool] = []

    async with asyncio.timeout(20):
        watch = cluster.watch(CONFIG_MAPS.path(place), start, lifetime=1, on_open=lambda: opened.append(True))
        types = {event.type async for event in watch}

    assert types <= {"BOOKMARK"}
    assert [True] == opened


async def test_watch_from_before_the_servers_memory(cluster: Cluster):
    """History that is gone is Expired."""
    async with asyncio.timeout(60), fresh_kind(cluster) as things:
        with pytest.raises(Expired):
            await anext(cluster.watch(things.path(), "1"))


async def test_version_of_the_server(cluster: Cluster):
    """Paths that are no resources can be read too."""
    assert "1" == (await cluster.get("/version"))["major"]
