"""What a Release leaves behind whose finalizer was taken off."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tidegate.api.names import ANNOTATION_RELEASE_UID, FIELD_MANAGER, LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE
from tidegate.cluster.client import Cluster
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.relations import SERVICE_OF_SLICE
from tidegate.controller.reconcile.leftovers import SWEEP_SECONDS, Left, Leftovers, steps
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.sharding import Shard, shard_of
from tidegate.runtime.store import Store
from tidegate.traffic.routers import Routers
from unit.controller import objects
from unit.controller.api_server import ApiServer
from unit.controller.objects import NAME, NAMESPACE, Json

KEY = ReleaseKey(NAMESPACE, NAME)
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
CANARY_SET = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets/{NAME}-bbbb"
CANARY_SERVICE = f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}-canary"
BY_US = [{"manager": FIELD_MANAGER, "operation": "Update"}]


def canary(*, replicas: int = 0, uid: str = "gone") -> Json:
    """A ReplicaSet of a version that was rolled out; the garbage collector has taken the Release out of its owners."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "uid": "namespace"}}
    found = objects.replica_set(namespace, "checkout:v2", hashed="bbbb", replicas=replicas)
    found["metadata"]["labels"] |= {LABEL_RELEASE: NAME, "tidegate.dev/role": "canary"}
    found["metadata"]["annotations"][ANNOTATION_RELEASE_UID] = uid
    return found


def own_service(role: str = "canary") -> Json:
    """One of the operator's Services."""
    found = objects.service(f"{NAME}-{role}")
    found["metadata"]["labels"] = {LABEL_RELEASE: NAME, "tidegate.dev/role": role}
    return found


def held(image: str = "checkout:v2") -> Json:
    """The Deployment as the operator has left it."""
    found = objects.deployment(image, paused=True, labels={LABEL_RELEASE: NAME})
    found["metadata"]["managedFields"] = BY_US
    return found


@dataclass
class Place:
    """A namespace, and who looks for what is left behind in it."""

    api: ApiServer
    store: Store
    leftovers: Leftovers
    clock: ManualClock
    trusted: bool = True

    def add(self, obj: Json) -> Json:
        return self.api.put(obj, self.store)

    def gone_amid_a_rollout(self, *, image: str = "checkout:v2", replicas: int = 0) -> None:
        """Put there what the review has found: a held Deployment that v1 serves, and v2's ReplicaSet."""
        deployment = self.add(held(image))
        self.add(objects.replica_set(deployment))
        self.add(canary(replicas=replicas))
        self.add(own_service())
        self.add(objects.service())
        self.add(objects.route())

    async def twice(self) -> None:
        for _ in range(2):
            await self.leftovers.sweep()

    @property
    def deployment(self) -> Json:
        return self.api.objects[DEPLOYMENT]


@pytest.fixture
async def place(api: ApiServer) -> AsyncIterator[Place]:
    clock = ManualClock()
    store = Store(clock, labels=(SERVICE_OF_SLICE, LABEL_RELEASE, LABEL_POD_TEMPLATE_HASH))
    async with Cluster(api.connection()) as cluster:
        made: list[Place] = []
        leftovers = Leftovers(cluster, store, Routers.all(), clock=clock, trusted=lambda: made[0].trusted)
        made.append(Place(api, store, leftovers, clock))
        yield made[0]


async def test_what_is_left_behind_is_collected(place: Place) -> None:
    """ReplicaSet and Service go, and the Deployment loses its label; it stays paused, for its template would roll out."""
    place.gone_amid_a_rollout()

    await place.twice()

    assert CANARY_SET not in place.api.objects
    assert CANARY_SERVICE not in place.api.objects
    assert LABEL_RELEASE not in place.deployment["metadata"].get("labels", {})
    assert place.deployment["spec"]["paused"] is True


@pytest.mark.parametrize(("index", "collects"), [(shard_of(NAMESPACE, NAME, 2), True), (1 - shard_of(NAMESPACE, NAME, 2), False)])
async def test_what_is_left_behind_is_collected_by_one_of_those_who_share_out(api: ApiServer, index: int, collects: bool) -> None:
    """Of two operators with a shard each the one whose Release it was collects it, and the other leaves it alone."""
    clock = ManualClock()
    store = Store(clock, labels=(SERVICE_OF_SLICE, LABEL_RELEASE, LABEL_POD_TEMPLATE_HASH))
    async with Cluster(api.connection()) as cluster:
        leftovers = Leftovers(cluster, store, Routers.all(), clock=clock, trusted=lambda: True, shard=Shard(index, 2))
        place = Place(api, store, leftovers, clock)
        place.gone_amid_a_rollout()

        await place.twice()

    assert (CANARY_SET not in api.objects) is collects


async def test_deployment_whose_template_serves_is_let_go(place: Place) -> None:
    """Where letting go changes nothing, the Deployment is its people's again altogether."""
    place.gone_amid_a_rollout(image="checkout:v1")

    await place.twice()

    assert "paused" not in place.deployment["spec"]


async def test_nothing_is_done_at_first_sight(place: Place) -> None:
    """A Release may come right after what is labelled for it: what is there once is looked at again."""
    place.gone_amid_a_rollout()

    await place.leftovers.sweep()
    place.add(objects.release())
    await place.twice()

    assert [] == place.api.requests


async def test_nothing_is_done_on_lists_that_cannot_be_trusted(place: Place) -> None:
    """While it is not known which Releases there are, each may be there."""
    place.gone_amid_a_rollout()
    place.trusted = False

    await place.twice()

    assert [] == place.api.requests


@pytest.mark.parametrize("weight", [0, 25])
async def test_what_a_route_still_names_is_left_as_it_is(place: Place, weight: int) -> None:
    """Given a route that was never put back, Service, pods and label stay until it is."""
    place.gone_amid_a_rollout(replicas=1)
    pair = [
        {"name": f"{NAME}-stable", "port": 80, "weight": 100 - weight},
        {"name": f"{NAME}-canary", "port": 80, "weight": weight},
    ]
    place.add(objects.route(NAME, {"name": NAME, "port": 80, "weight": 0}, *pair))
    await place.twice()
    assert [] == place.api.requests

    place.add(objects.route())
    await place.twice()

    assert CANARY_SET not in place.api.objects
    assert CANARY_SERVICE not in place.api.objects


async def test_pods_stay_that_the_deployment_cannot_do_without(place: Place) -> None:
    """Given a Deployment that has not all of its own pods, those of the version that was rolled out may be what serves."""
    place.gone_amid_a_rollout(replicas=2)
    short = held()
    short["status"]["availableReplicas"] = 1
    place.add(short)

    await place.twice()

    assert CANARY_SET in place.api.objects
    assert NAME == place.deployment["metadata"]["labels"][LABEL_RELEASE]


async def test_label_that_the_operator_has_not_written_stays(place: Place) -> None:
    """A label that stands in Git before its Release comes is no leftover."""
    deployment = held()
    del deployment["metadata"]["managedFields"]
    place.add(deployment)

    await place.twice()

    assert [] == place.api.requests


async def test_what_only_bears_a_label_is_looked_at_more_and_more_rarely(place: Place) -> None:
    """It is nothing that a Release has left, and each look reads a whole namespace: after an hour that is once in ten minutes."""
    place.add(objects.deployment(labels={LABEL_RELEASE: "nobody"}))
    looked = place.api.fault("GET", "/replicasets", status=0)

    found = []
    for _ in range(180):
        await place.leftovers.sweep()
        place.clock.advance(SWEEP_SECONDS)
        found.append(looked.hits)

    assert 7 == found[89]
    assert 10 == found[-1]


async def test_release_of_the_same_name_is_told_from_the_one_that_is_gone(place: Place) -> None:
    """Given a new Release of that name about another Deployment, the old one's ReplicaSet goes, by the uid that is noted."""
    place.gone_amid_a_rollout()
    release = objects.release(targetRef={"name": "ledger"})
    release["metadata"]["uid"] = "new"
    place.add(release)
    place.leftovers.came(KEY)

    await place.twice()

    assert CANARY_SET not in place.api.objects
    assert CANARY_SERVICE in place.api.objects
    assert NAME == place.deployment["metadata"]["labels"][LABEL_RELEASE]


@pytest.mark.parametrize("uid", ["gone", "new"])
async def test_what_a_release_has_itself_is_its_own(place: Place, uid: str) -> None:
    """Given a Release of that name about the same Deployment, its ReplicaSets are its own affair, whoever made them."""
    place.gone_amid_a_rollout()
    place.add(canary(uid=uid))
    release = objects.release()
    release["metadata"]["uid"] = "new"
    place.add(release)
    place.leftovers.came(KEY)

    await place.twice()

    assert [] == place.api.requests


async def test_refusal_is_tried_again(place: Place) -> None:
    """Given an API server that refuses a deletion, the rest waits, and the next look does it all."""
    place.gone_amid_a_rollout()
    refusing = place.api.fault("DELETE", "/services/", status=500, times=20)
    await place.twice()
    assert CANARY_SET in place.api.objects

    place.api.faults.remove(refusing)
    await place.twice()

    assert CANARY_SET not in place.api.objects


def test_steps_rest_on_what_was_seen() -> None:
    """A ReplicaSet that has got pods since, or a Deployment that was changed, is refused by the preconditions."""
    seen: dict[str, Any] = {"uid": "u", "resourceVersion": "7", "generation": 3}
    rs, deployment = canary(), held("checkout:v1")
    serving = objects.replica_set(deployment | {"metadata": deployment["metadata"] | seen})
    for obj in (rs, deployment, serving):
        obj["metadata"] |= seen
    before = copy.deepcopy(deployment)

    deletion, label, let_go = steps(Left(name=NAME, replica_sets=[rs], deployments=[deployment], all_sets=[rs, serving]))

    assert (deletion.uid, deletion.version) == ("u", "7")
    assert {"op": "test", "path": "/metadata/uid", "value": "u"} == label.patch[0]
    assert {"op": "test", "path": "/metadata/generation", "value": 3} in let_go.patch
    assert before == deployment
