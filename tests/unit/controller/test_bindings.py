"""Reading what is bound to Services by name: kinds that are not there cost nothing, and one that cannot be read stops nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate.cluster.errors import ApiError
from tidegate.controller.observe.bindings import FRESH_SECONDS, INSTALLED_SECONDS, MOST_FAILURES, Bindings
from tidegate.traffic.routers import Routers
from unit.controller.api_server import ApiServer
from unit.controller.stage import Stage

Json = dict[str, Any]

GATEWAY, ISTIO = "gateway.networking.k8s.io", "networking.istio.io"
POLICIES = f"/apis/{GATEWAY}/v1alpha3/namespaces/shop/backendtlspolicies"
RULES = f"/apis/{ISTIO}/v1/namespaces/shop/destinationrules"


def version(name: str, *plurals: str) -> Json:
    return {"version": name, "resources": [{"resource": one, "verbs": ["get", "list", "watch"]} for one in plurals]}


def installed(api: ApiServer, **groups: list[Json]) -> None:
    """Say which kinds there are, by the first label of their group."""
    full = {"gateway": GATEWAY, "istio": ISTIO, "apps": "apps"}
    api.apis = [{"metadata": {"name": full[name]}, "versions": versions} for name, versions in groups.items()]


def policy(api: ApiServer, *services: str) -> None:
    refs = [{"group": "", "kind": "Service", "name": name} for name in services]
    metadata = {"namespace": "shop", "name": "tls"}
    api.objects[f"{POLICIES}/tls"] = {"kind": "BackendTLSPolicy", "metadata": metadata, "spec": {"targetRefs": refs}}


@pytest.fixture
def asked(stage: Stage) -> list[str]:
    """Every path that the API is asked for, as it comes."""
    found: list[str] = []
    stage.cluster._sender.observe = lambda verb, resource, status, seconds: found.append(resource)
    return found


@pytest.fixture
def bindings(stage: Stage) -> Bindings:
    return Bindings(stage.cluster, clock=stage.clock, routers=Routers.all())


async def read(bindings: Bindings) -> list[Any]:
    return [one.get("unread") or one["metadata"]["name"] for one in await bindings.read("shop", "checkout")]


async def test_kinds_that_are_not_there_are_not_asked_for(bindings: Bindings, api: ApiServer, asked: list[str]) -> None:
    """One question which kinds there are, a minute long, and not one more where there are none."""
    installed(api, apps=[version("v1", "deployments")], gateway=[version("v1", "gatewayclasses")])

    assert [] == await read(bindings)
    assert [] == await read(bindings)

    assert ["/apis"] == asked


async def test_kind_is_read_in_the_version_that_has_it(bindings: Bindings, stage: Stage, api: ApiServer, asked: list[str]) -> None:
    """Given a group whose first version lacks the kind, it is read in the one that has it; one that comes later is seen later."""
    installed(api, gateway=[version("v1", "gateways"), version("v1alpha3", "backendtlspolicies")])
    policy(api, "checkout")

    assert ["tls"] == await read(bindings)
    assert ["/apis", f"backendtlspolicies.{GATEWAY}"] == asked

    installed(api)
    stage.clock.advance(INSTALLED_SECONDS)
    assert [] == await read(bindings)


async def test_many_releases_of_a_namespace_share_a_reading(
    bindings: Bindings, stage: Stage, api: ApiServer, asked: list[str]
) -> None:
    """Those that start together take what the first of them has read, and after a second it is read again."""
    installed(api, gateway=[version("v1alpha3", "backendtlspolicies")])
    policy(api, "checkout", "ledger")

    found = await asyncio.gather(*(bindings.read("shop", name) for name in ("checkout", "ledger", "other")))
    stage.clock.advance(FRESH_SECONDS)
    await bindings.read("shop", "checkout")

    assert [1, 1, 0] == [len(one) for one in found]
    assert ["/apis", *[f"backendtlspolicies.{GATEWAY}"] * 2] == asked


async def test_routes_that_name_the_service_are_read(bindings: Bindings, api: ApiServer) -> None:
    """With all else: whether a Release names them is for whoever knows the Release."""
    installed(api, gateway=[version("v1", "httproutes")])
    for name, service in (("web", "checkout"), ("other", "ledger")):
        rules = [{"backendRefs": [{"name": service, "port": 80}]}]
        metadata = {"namespace": "shop", "name": name}
        path = f"/apis/{GATEWAY}/v1/namespaces/shop/httproutes/{name}"
        api.objects[path] = {"kind": "HTTPRoute", "metadata": metadata, "spec": {"rules": rules}}

    assert ["web"] == await read(bindings)


async def test_kind_that_may_not_be_read_is_told(bindings: Bindings, api: ApiServer) -> None:
    """A right that is missing stops nobody, and is named."""
    installed(api, istio=[version("v1", "destinationrules")], gateway=[version("v1alpha3", "backendtlspolicies")])
    policy(api, "checkout")
    api.fault("GET", "/destinationrules", status=403)

    assert [f"no right to list destinationrules.{ISTIO}", "tls"] == sorted(await read(bindings))


async def test_kind_that_fails_is_gone_on_without(bindings: Bindings, stage: Stage, api: ApiServer) -> None:
    """Given a conversion webhook that is down, it is tried a few times, and then told; once it is up it is read."""
    installed(api, gateway=[version("v1alpha3", "backendtlspolicies")])
    policy(api, "checkout")
    broken = api.fault("GET", "/backendtlspolicies", status=500)

    for _ in range(MOST_FAILURES - 1):
        with pytest.raises(ApiError):
            await read(bindings)
    assert [f"backendtlspolicies.{GATEWAY} could not be listed"] == await read(bindings)

    api.faults.remove(broken)
    stage.clock.advance(FRESH_SECONDS)
    assert ["tls"] == await read(bindings)


async def test_kind_that_goes_meanwhile_is_none(bindings: Bindings, api: ApiServer) -> None:
    """Given a CRD that is removed after it was seen, there are no objects of it."""
    installed(api, gateway=[version("v1alpha3", "backendtlspolicies")])
    api.fault("GET", "/backendtlspolicies", status=404)

    assert [] == await read(bindings)
