"""What is outside of Releases: what is known of it, and whom it concerns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tidegate.api.names import HOLD_POLICY, Reason
from tidegate.cluster.client import Cluster
from tidegate.controller.observe.informers import Informers
from tidegate.controller.observe.relations import Relations
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.errors import Terminal
from tidegate.runtime.store import Store
from tidegate.traffic.routers import Routers
from unit.controller import objects
from unit.controller.api_server import ApiServer

HOLD = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolic"


class Places:
    """A world on a clock of its own."""

    def __init__(self, api: ApiServer, cluster: Cluster, namespaces: list[str], *, cluster_policies: bool = True) -> None:
        self.api, self.clock, self.again = api, ManualClock(), 0
        self.store = Store(self.clock, labels=())
        self.world = Informers(
            cluster,
            self.store,
            Relations(Routers.all()),
            clock=self.clock,
            namespaces=namespaces,
            jitter=random.Random(1),
            changed=self._changed,
            cluster_policies=cluster_policies,
        )

    def _changed(self) -> None:
        self.again += 1

    def reasons(self, **what: object) -> list[Reason]:
        return [blocker.reason for blocker in self.world.prerequisites(objects.release(**what)).blockers]  # type: ignore[arg-type]


@asynccontextmanager
async def followed(api: ApiServer, *, namespaces: list[str] | None = None, cluster_policies: bool = True) -> AsyncIterator[Places]:
    """Follow everything. Each watch of this API server ends at once, and is made again a moment later."""
    async with Cluster(api.connection()) as cluster:
        places = Places(api, cluster, namespaces or [], cluster_policies=cluster_policies)
        following = [asyncio.create_task(reflector.run()) for reflector in places.world.reflectors]
        try:
            yield places
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


async def known(places: Places) -> None:
    await places.world.first()


async def test_all_is_well(api: ApiServer) -> None:
    """Where everything can be listed, nothing stands in the way."""
    async with followed(api) as places:
        await known(places)

        assert [] == places.reasons()
        assert not places.world.prerequisites(objects.release()).blind
        assert all(ok for _, ok, _ in places.world.report())


async def test_before_anything_is_known_nothing_can_be_decided(api: ApiServer) -> None:
    """Caches that were never filled are no reason to believe that nothing is there."""
    async with Cluster(api.connection()) as cluster:
        places = Places(api, cluster, [])

        assert places.world.prerequisites(objects.release()).blind
        assert {Reason.API_ERROR} == set(places.reasons())
        assert not any(ok for _, ok, _ in places.world.report())


async def test_absent_router_concerns_releases_with_a_route(api: ApiServer) -> None:
    """Without Gateway API, Releases with a route say so; the others, and what is known of the rest, are not touched."""
    api.fault("GET", "/httproutes", status=404, reason="NotFound")
    async with followed(api) as places:
        await known(places)

        assert [Reason.API_ABSENT] == places.reasons()
        assert not places.world.prerequisites(objects.release()).blind
        assert [] == places.reasons(route=False)


@pytest.mark.parametrize(("resource", "blind"), [("replicasets", True), ("rolloutpolicies", False)])
async def test_what_may_not_be_seen_may_be_there(api: ApiServer, resource: str, blind: bool) -> None:
    """Where ReplicaSets were never listed, nothing may be decided; a policy is not needed for what is on."""
    api.fault("GET", f"/{resource}", status=403, reason="Forbidden")
    async with followed(api) as places:
        await known(places)

        found = places.world.prerequisites(objects.release())
        assert [Reason.NO_PERMISSION] == [blocker.reason for blocker in found.blockers]
        assert f"list or watch {resource}" in found.blockers[0].message
        assert blind is found.blind


async def test_cluster_policies_concern_those_who_name_one(api: ApiServer) -> None:
    """With rights in namespaces alone, only Releases that name a cluster policy are told that these are forbidden."""
    api.fault("GET", "/clusterrolloutpolicies", status=403, reason="Forbidden")
    async with followed(api) as places:
        await known(places)

        assert [] == places.reasons()
        assert [Reason.NO_PERMISSION] == places.reasons(policyRef={"kind": "ClusterRolloutPolicy", "name": "all"})


async def test_cluster_policies_that_are_not_served_are_not_asked_for(api: ApiServer) -> None:
    """Installed for single namespaces, nothing of the whole cluster is watched, and who names a cluster policy is told so."""
    api.fault("GET", "/clusterrolloutpolicies", status=403, reason="Forbidden")
    async with followed(api, namespaces=["shop"], cluster_policies=False) as places:
        await known(places)

        found = places.world.prerequisites(objects.release(policyRef={"kind": "ClusterRolloutPolicy", "name": "all"}))
        assert [] == places.reasons()
        assert [Reason.MISSING_POLICY] == [blocker.reason for blocker in found.blockers]
        assert "reads no ClusterRolloutPolicy" in found.blockers[0].message
        assert 0 == api.faults[0].hits


@pytest.mark.parametrize(("cluster_policies", "told"), [(True, "list or watch releasefreezes.tidegate.dev: "), (False, "")])
async def test_freezes_that_may_not_be_read_are_told_apart_from_none(api: ApiServer, cluster_policies: bool, told: str) -> None:
    """Where they are watched and forbidden, it is said so, for barriers to close; it blocks nothing. Where not, there are none."""
    api.fault("GET", "/releasefreezes", status=403, reason="Forbidden")
    async with followed(api, namespaces=["shop"], cluster_policies=cluster_policies) as places:
        await known(places)

        assert [] == places.reasons()
        assert places.world.unread("ReleaseFreeze").startswith(told)
        assert bool(told) is bool(places.world.unread("ReleaseFreeze"))
        assert "" == places.world.unread("Deployment")


async def test_namespace_without_rights_concerns_its_own_releases(api: ApiServer) -> None:
    """Given two namespaces of which one is forbidden, Releases of the other are served."""
    api.fault("GET", "/namespaces/closed/deployments", status=403, reason="Forbidden")
    async with followed(api, namespaces=["shop", "closed"]) as places:
        await known(places)
        closed = objects.release()
        closed["metadata"]["namespace"] = "closed"

        assert [] == places.reasons()
        assert [Reason.NO_PERMISSION] == [blocker.reason for blocker in places.world.prerequisites(closed).blockers]


async def test_kind_of_policies_that_is_missing_ends_the_operator(api: ApiServer) -> None:
    """Without its own kinds there is nothing to serve."""
    api.fault("GET", "/rolloutpolicies", status=404, reason="NotFound")
    async with followed(api) as places:
        with pytest.raises(Terminal, match=r"does not know rolloutpolicies\.tidegate\.dev: apply crds/ first"):
            await known(places)


async def test_releases_are_looked_at_again_when_a_permission_comes(api: ApiServer) -> None:
    """Given a permission that is granted later, every Release is looked at again, though no object has changed."""
    forbidden = api.fault("GET", "/services", status=403, reason="Forbidden")
    async with followed(api) as places:
        await known(places)
        watching = asyncio.create_task(places.world.run())
        await advance(places, lambda: places.clock.sleepers > 0)
        before = places.again
        api.faults.remove(forbidden)
        await advance(places, lambda: places.again > before)
        watching.cancel()

        assert [] == places.reasons()


async def advance(places: Places, holds: Callable[[], bool]) -> None:
    """Let time pass until something holds."""
    for _ in range(2000):
        if holds():
            return
        places.clock.advance(0.5)
        await asyncio.sleep(0.002)
    raise AssertionError("it never did")


def hold_policy(api: ApiServer, *, there: bool) -> None:
    api.faults = [fault for fault in api.faults if "mutatingadmission" not in fault.path]
    if not there:
        api.fault("GET", "/mutatingadmissionpolic", status=404, reason="NotFound")
        return
    for kind, plural in (("MutatingAdmissionPolicy", "ies"), ("MutatingAdmissionPolicyBinding", "ybindings")):
        name = {"name": HOLD_POLICY, "resourceVersion": "1"}
        api.objects[f"{HOLD}{plural}/{HOLD_POLICY}"] = {"apiVersion": "x/v1", "kind": kind, "metadata": name}


async def test_deployments_stay_paused_unless_the_api_server_holds_templates(api: ApiServer) -> None:
    """Only where policy and binding are both there may Deployments run between rollouts; a change is noticed within a minute."""
    async with followed(api) as places:
        hold_policy(api, there=False)
        await known(places)
        absent = places.world.keep_held
        watching = asyncio.create_task(places.world.run())
        hold_policy(api, there=True)
        await advance(places, lambda: not places.world.keep_held)
        present, again = places.world.keep_held, places.again
        del api.objects[f"{HOLD}ybindings/{HOLD_POLICY}"]
        await advance(places, lambda: places.world.keep_held)
        await advance(places, lambda: places.again > again)
        watching.cancel()

    assert absent is True
    assert present is False


@pytest.mark.parametrize(("code", "kept"), [(503, False), (429, False), (500, False), (403, True), (404, True)])
async def test_hold_policy_that_cannot_be_read(api: ApiServer, code: int, kept: bool) -> None:
    """An API server that is away, or has too much to do, changes nothing; one that refuses to tell is no ground to rely on."""
    async with followed(api) as places:
        hold_policy(api, there=True)
        await known(places)
        api.fault("GET", "/mutatingadmissionpolic", status=code)
        await places.world._look_for_hold()

        assert kept is places.world.keep_held


async def test_hold_policy_that_is_forbidden_is_asked_for_less_and_less(api: ApiServer) -> None:
    """Without the right to read it, the policy is looked for after 5 seconds, then 10, and in the end every ten minutes."""
    forbidden = api.fault("GET", "/mutatingadmissionpolic", status=403, reason="Forbidden")
    async with followed(api) as places:
        await known(places)
        waits = []
        for _ in range(9):
            waits.append(places.world._look_again)
            await places.world._look_for_hold()

    assert [5, 10, 20, 40, 80, 160, 320, 600, 600] == waits
    assert 10 == forbidden.hits
