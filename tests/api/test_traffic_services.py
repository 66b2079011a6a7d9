"""The operator's Services on a real API server, beside a user's Service with real endpoints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from api.cluster_access import needs_api, run
from api.shop import LABELS, NAME, Shop, garbage_collector_knows_releases, shop_of
from tidegate.api.originals import PortStatus
from tidegate.cluster.errors import AlreadyExists, Conflict
from tidegate.cluster.resources import ENDPOINT_SLICES, RELEASES, SERVICES
from tidegate.engine.plan import DeleteService, EnsureService, PinService, Role
from tidegate.engine.snapshot import ServiceView
from tidegate.runtime.errors import Retry, Terminal
from tidegate.traffic.service_writes import ServiceAction, perform
from tidegate.traffic.services import Services, body, service_view, user_view

pytestmark = [*needs_api, pytest.mark.undeployed]

Json = dict[str, Any]
PORT = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}
LEADS = (PortStatus(port=80, protocol="TCP", target="http"),)


def service_body(name: str = NAME, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": LABELS, "ports": [PORT], **spec},
    }


@dataclass
class Shelf:
    """The Services of a shop, as the user and the operator treat them."""

    shop: Shop

    def apply(self, body: Json) -> str:
        """Apply a manifest as its user, without force; return what went wrong, empty where nothing did."""
        done = run(
            *("kubectl", "apply", "--server-side", "--field-manager=user", "-n", self.shop.namespace, "-f", "-"),
            stdin=json.dumps(body),
        )
        return done.stderr if done.returncode else ""

    async def services(self) -> Services:
        found = {s["metadata"]["name"]: s for s in (await self.shop.cluster.list(SERVICES.path(self.shop.namespace))).items}
        return Services(
            release=NAME,
            release_uid=self.shop.release_uid,
            user=found[NAME],
            stable=found.get(f"{NAME}-stable"),
            canary=found.get(f"{NAME}-canary"),
        )

    async def perform(self, action: ServiceAction, *, on: Services | None = None) -> bool:
        return await perform(action, services=on or await self.services(), cluster=self.shop.cluster)

    async def view(self, role: Role) -> ServiceView | None:
        of_it = f"kubernetes.io/service-name={NAME}-{role.value}"
        slices = await self.shop.cluster.list(ENDPOINT_SLICES.path(self.shop.namespace), label_selector=of_it)
        services = await self.services()
        return service_view(services, role, slices=slices.items, ports={port["port"] for port in services.user["spec"]["ports"]})


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    async with shop_of("tidegate-services") as shop:
        await shop.open(replicas=2)
        shelf = Shelf(shop)
        assert shelf.apply(service_body()) == ""
        yield shelf


async def test_service_has_the_endpoints_of_its_revision(shelf: Shelf) -> None:
    """The Service of a revision gets the ready pods of that revision as endpoints, and no others."""
    revision = (await shelf.shop.view()).template.revision

    assert await shelf.perform(EnsureService(Role.STABLE, revision))
    assert await shelf.perform(EnsureService(Role.CANARY, "nothing"))

    async with asyncio.timeout(30):
        while (stable := await shelf.view(Role.STABLE)) is None or stable.endpoints < 2:  # noqa: ASYNC110 - a controller's doing
            await asyncio.sleep(0.1)
    assert stable == ServiceView(name=f"{NAME}-stable", revision=revision, endpoints=2, current=True, targets=LEADS)
    assert await shelf.view(Role.CANARY) == ServiceView(
        name=f"{NAME}-canary", revision="nothing", endpoints=0, current=True, targets=LEADS
    )


async def test_ready_pods_without_the_named_port_are_no_endpoints(shelf: Shelf) -> None:
    """Given a version that calls its port otherwise, its pods are ready and in a slice without ports: none can be reached."""
    renamed = {"op": "replace", "path": "/spec/template/spec/containers/0/ports/0/name", "value": "web"}
    shelf.shop.kubectl("patch", "deployment", NAME, "--type=json", "-p", json.dumps([renamed]))
    revision = (await shelf.shop.until(lambda view: view.settled and view.template.exists)).template.revision

    await shelf.perform(EnsureService(Role.CANARY, revision))

    async with asyncio.timeout(60):
        while (canary := await shelf.view(Role.CANARY)) is None or canary.portless < 2:  # noqa: ASYNC110 - a controller's doing
            await asyncio.sleep(0.1)
    assert canary.endpoints == 0
    assert canary.gap.startswith("2 ready pods have no port named http, which is the targetPort of port 80 of Service checkout")


async def test_second_pass_writes_nothing(shelf: Shelf) -> None:
    """A Service that is as it should be, with all the API server has filled in, is left alone."""
    await shelf.perform(EnsureService(Role.STABLE, "abc"))

    assert await shelf.perform(EnsureService(Role.STABLE, "abc")) is False


async def test_service_follows_the_users(shelf: Shelf) -> None:
    """Given a port that the user replaced, and another revision, the Service follows without leaving the old port behind."""
    await shelf.perform(EnsureService(Role.STABLE, "abc"))
    moved = {**PORT, "port": 8080, "appProtocol": "kubernetes.io/h2c"}
    assert shelf.apply(service_body(ports=[moved], sessionAffinity="ClientIP")) == ""
    outdated = await shelf.view(Role.STABLE)

    assert await shelf.perform(EnsureService(Role.STABLE, "def"))

    assert outdated is not None
    assert not outdated.current
    view, stored = await shelf.view(Role.STABLE), (await shelf.services()).stable
    moved_to = (PortStatus(port=8080, protocol="TCP", target="http", app_protocol="kubernetes.io/h2c"),)
    assert view == ServiceView(name=f"{NAME}-stable", revision="def", endpoints=0, current=True, targets=moved_to)
    assert stored is not None
    assert stored["spec"]["ports"] == [moved]


async def test_service_of_somebody_else_is_never_overwritten(shelf: Shelf) -> None:
    """Given a Service of the needed name, seen or not yet seen, it stays as it is and the error names it."""
    unseen = await shelf.services()
    assert shelf.apply(service_body(f"{NAME}-stable", selector={"app": "theirs"})) == ""
    theirs = (await shelf.services()).stable

    with pytest.raises(Terminal, match=f"Service {NAME}-stable exists and does not belong to Release {NAME}"):
        await shelf.perform(EnsureService(Role.STABLE, "abc"))
    with pytest.raises(AlreadyExists):
        await shelf.perform(EnsureService(Role.STABLE, "abc"), on=unseen)
    assert await shelf.perform(DeleteService(Role.STABLE)) is False

    assert (await shelf.services()).stable == theirs


async def test_service_made_anew_by_somebody_else_is_not_overwritten(shelf: Shelf) -> None:
    """Given that our Service was deleted and its name taken since it was seen, nothing is written."""
    await shelf.perform(EnsureService(Role.STABLE, "abc"))
    seen = await shelf.services()
    shelf.shop.kubectl("delete", "service", f"{NAME}-stable")
    assert shelf.apply(service_body(f"{NAME}-stable", selector={"app": "theirs"})) == ""

    for action in (EnsureService(Role.STABLE, "def"), DeleteService(Role.STABLE)):
        with pytest.raises(Conflict):
            await shelf.perform(action, on=seen)


async def test_service_that_is_gone_is_made_anew(shelf: Shelf) -> None:
    """Given that our Service was deleted since it was seen, correcting it creates it as it is to be."""
    await shelf.perform(EnsureService(Role.STABLE, "abc"))
    seen = await shelf.services()
    shelf.shop.kubectl("delete", "service", f"{NAME}-stable")

    assert await shelf.perform(EnsureService(Role.STABLE, "def"), on=seen)

    assert await shelf.view(Role.STABLE) == ServiceView(name=f"{NAME}-stable", revision="def", targets=LEADS)


async def test_first_write_that_comes_late_changes_nothing(shelf: Shelf) -> None:
    """Given a Service that was made and turned to another revision meanwhile, the write that was to make it is refused."""
    unseen = await shelf.services()
    await shelf.perform(EnsureService(Role.CANARY, "v2"))
    await shelf.perform(EnsureService(Role.CANARY, "v3"))
    there = (await shelf.services()).canary

    with pytest.raises(AlreadyExists):
        await shelf.perform(EnsureService(Role.CANARY, "v2"), on=unseen)

    assert (await shelf.services()).canary == there


async def test_correction_that_comes_late_changes_nothing(shelf: Shelf) -> None:
    """Given a Service that was turned to a third revision meanwhile, turning it to the second is refused."""
    await shelf.perform(EnsureService(Role.CANARY, "v1"))
    seen = await shelf.services()
    await shelf.perform(EnsureService(Role.CANARY, "v3"))
    there = (await shelf.services()).canary

    with pytest.raises(Conflict):
        await shelf.perform(EnsureService(Role.CANARY, "v2"), on=seen)

    assert (await shelf.services()).canary == there


async def test_service_that_was_applied_once_follows_the_users(shelf: Shelf) -> None:
    """Given a Service that an earlier version of the operator has applied server-side, correcting it leaves no old port behind."""
    services = await shelf.services()
    await shelf.shop.cluster.apply(body(services, Role.STABLE, revision="abc"))
    moved = {**PORT, "port": 8080}
    assert shelf.apply(service_body(ports=[moved])) == ""

    assert await shelf.perform(EnsureService(Role.STABLE, "def"))

    stored = (await shelf.services()).stable
    assert stored is not None
    assert stored["spec"]["ports"] == [moved]
    assert stored["spec"]["selector"] == {**LABELS, "pod-template-hash": "def"}


async def test_service_is_deleted_once(shelf: Shelf) -> None:
    """A second deletion does nothing."""
    await shelf.perform(EnsureService(Role.CANARY, "abc"))
    seen = await shelf.services()

    assert await shelf.perform(DeleteService(Role.CANARY))
    assert await shelf.perform(DeleteService(Role.CANARY), on=seen) is False
    assert (await shelf.services()).canary is None


async def test_users_service_becomes_headless(shelf: Shelf) -> None:
    """Given a user's Service that was recreated as a headless one, ours is recreated, too: it cannot change."""
    await shelf.perform(EnsureService(Role.STABLE, "abc"))
    shelf.shop.kubectl("delete", "service", NAME)
    assert shelf.apply(service_body(clusterIP="None")) == ""

    with pytest.raises(Retry, match="is recreated"):
        await shelf.perform(EnsureService(Role.STABLE, "abc"))
    assert await shelf.perform(EnsureService(Role.STABLE, "abc"))

    stable = (await shelf.services()).stable
    assert stable is not None
    assert stable["spec"]["clusterIP"] == "None"


async def test_pin_leaves_no_trace(shelf: Shelf) -> None:
    """Given a Service that was pinned and freed, the user changes its selector by a plain server-side apply."""
    before = (await shelf.services()).user["spec"]

    assert await shelf.perform(PinService("abc"))
    assert user_view((await shelf.services()).user).revision == "abc"
    assert await shelf.perform(PinService(None))

    assert (await shelf.services()).user["spec"] == before
    assert shelf.apply(service_body(selector={**LABELS, "tier": "front"})) == ""
    assert (await shelf.services()).user["spec"]["selector"] == {**LABELS, "tier": "front"}


async def test_pin_rests_on_the_selector_that_was_seen(shelf: Shelf) -> None:
    """Given a selector that the user has changed since, the pin is refused."""
    seen = await shelf.services()
    assert shelf.apply(service_body(selector={"app": "other"})) == ""

    with pytest.raises(Conflict):
        await shelf.perform(PinService("abc"), on=seen)


@pytest.mark.parametrize("propagation", ["Foreground", "Background"])
async def test_deleting_the_release_leaves_the_services_to_the_operator(shelf: Shelf, propagation: str) -> None:
    """Given a Release with the operator's finalizer, deleting it takes no Service that a route may still name."""
    garbage_collector_knows_releases(shelf.shop)
    path = RELEASES.path(shelf.shop.namespace, NAME)
    await shelf.shop.cluster.merge_patch(path, {"metadata": {"finalizers": ["tidegate.dev/handback"]}})
    for role in Role:
        await shelf.perform(EnsureService(role, "abc"))

    await shelf.shop.cluster.delete(path, propagation=propagation)
    await asyncio.sleep(3)

    assert [await shelf.view(role) for role in Role] == [
        ServiceView(name=f"{NAME}-{role.value}", revision="abc", targets=LEADS) for role in Role
    ]
