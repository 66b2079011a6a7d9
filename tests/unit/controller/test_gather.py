"""From raw objects to a snapshot."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidegate.api.names import LABEL_RELEASE, Reason
from tidegate.api.originals import OriginalRule, PortStatus
from tidegate.api.status import ReleaseStatus, RevisionStatus
from tidegate.controller.observe.gather import Gatherer, ReleaseObjects
from tidegate.controller.observe.parsing import stored_status
from tidegate.controller.observe.questions import Answers
from tidegate.engine.handover.deployment.view import Owner
from tidegate.engine.snapshot import RouteStage, RouteView, ServiceView, Snapshot, Verb, Warm
from tidegate.runtime.errors import Terminal
from tidegate.traffic.routers import Routers
from unit.controller import objects
from unit.controller.objects import NAME, NAMESPACE, Json
from unit.controller.stage import DEPLOYMENT_PATH, KEY, PATH, Stage

LEADS = (PortStatus(port=80, protocol="TCP", target="8080"),)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def status_of(candidate: str | None, *routes: str) -> ReleaseStatus:
    """Return the status of a Release of which a version is rolled out, and routes are shifted."""
    version = RevisionStatus(revision=candidate, version="v2") if candidate is not None else None
    rules = tuple(OriginalRule(route=name, rule=0, backend_refs="[]") for name in routes)
    return ReleaseStatus(candidate=version, original_rules=rules)


def collect(stage: Stage) -> ReleaseObjects:
    around = stage.gatherer.collect(KEY, ReleaseStatus())
    assert around is not None
    return around


def snapshot(stage: Stage, *, now: datetime = NOW, status: ReleaseStatus | None = None) -> Snapshot:
    around = collect(stage)
    known = status or stored_status(around.release)
    return stage.gatherer.snapshot(around, now=now, status=known, readings=(), blockers=(), keep_held=False)


async def test_everything_around_a_release_is_seen(stage: Stage) -> None:
    """Deployment, ReplicaSets, policy, Services, endpoints and routes are in the snapshot, each as the engine sees it."""
    stage.at_ten_percent()

    seen = snapshot(stage)

    assert seen.workload is not None
    assert {"aaaa": Owner.DEPLOYMENT, "bbbb": Owner.RELEASE} == {rs.revision: rs.owner for rs in seen.workload.arms}
    assert "RolloutPolicy/production" == (seen.policy.label if seen.policy else "")
    assert NAME == (seen.user_service.name if seen.user_service else "")
    assert [("aaaa", 1), ("bbbb", 1)] == [(s.revision, s.endpoints) for s in (seen.stable_service, seen.canary_service) if s]
    assert [(RouteStage.SPLIT, 10)] == [(route.stage, route.weight) for route in seen.routes]
    assert () == seen.blockers


@pytest.mark.parametrize(
    ("weights", "missing"), [((90, 10), 1), ((100, 0), 0), ((0, 100), 1)], ids=["both serve", "stable serves", "the new one serves"]
)
async def test_users_service_is_to_have_the_endpoints_that_have_weight(
    stage: Stage, weights: tuple[int, int], missing: int
) -> None:
    """Given slices of the user's Service that name stable's pod alone, they lack the new version's if it has weight."""
    stage.at_ten_percent()
    pairs = zip(("stable", "canary"), weights, strict=True)
    stage.add(objects.route(NAME, *({"name": f"{NAME}-{role}", "port": 80, "weight": weight} for role, weight in pairs)))
    read = [{"endpoints": [{"addresses": ["10.0.0.1"], "targetRef": {"uid": "stable"}}], "ports": [{"name": "", "port": 8080}]}]
    around = collect(stage)

    def seen(endpoints: list[Json] | None) -> ServiceView | None:
        status = stored_status(around.release)
        return stage.gatherer.snapshot(
            around, now=NOW, status=status, readings=(), blockers=(), keep_held=False, answers=Answers(endpoints=endpoints)
        ).user_service

    assert ServiceView(NAME, None, endpoints=1, missing_endpoints=missing, alone=None, followed=None, targets=LEADS) == seen(read)
    assert ServiceView(NAME, None, alone=None, followed=None, targets=LEADS) == seen(None)


async def test_service_of_another_workload_is_in_the_way(stage: Stage) -> None:
    """Given a Service whose selector does not fit the Deployment's template, that is a blocker, and so the engine sees it."""
    stage.at_ten_percent()
    strange = objects.service()
    strange["spec"]["selector"] = {"app": "ledger", "pod-template-hash": "aaaa"}
    stage.add(strange)

    seen = snapshot(stage)

    misses, why = frozenset({"aaaa", "bbbb"}), "it selects app=ledger, they have app=checkout"
    unread = ServiceView(NAME, "aaaa", selects=False, misses=misses, alone=None, followed=None, targets=LEADS, astray=why)
    assert unread == seen.user_service
    assert [Reason.INVALID_SPEC] == [blocker.reason for blocker in seen.blockers]
    assert "Service checkout selects app=ledger, the pods of Deployment checkout have app=checkout" in seen.blockers[0].message


async def test_route_that_the_spec_no_longer_names_counts_until_it_is_put_back(stage: Stage) -> None:
    """Given a route that was taken out of the spec on the way, it is seen as long as it is not as the user wrote it."""
    stage.at_ten_percent()
    stage.add(objects.route("former"))

    around = stage.gatherer.collect(KEY, status_of("bbbb", "former", "deleted"))

    assert [f"HTTPRoute {NAME}", "HTTPRoute former"] == [route.label for route in (around.routes if around else ())]


@pytest.mark.parametrize("service", ["shop", None], ids=["another Service", "no traffic"])
async def test_routes_that_are_shifted_count_for_their_service(stage: Stage, service: str | None) -> None:
    """Given a spec that has come to mean other traffic, the Service of the shifted routes counts, with those that are there."""
    stage.at_ten_percent()
    stage.add(objects.route("former"))
    routes = {"httpRoutes": [{"name": "elsewhere"}]}
    traffic = {"traffic": {"service": service, "gatewayAPI": routes}} if service else {}
    stage.add(objects.release(route=False, **traffic))
    status = status_of("bbbb", NAME, "former", "deleted").model_copy(update={"shifted_service": NAME})

    around = stage.gatherer.collect(KEY, status)

    assert around is not None
    assert around.traffic_later
    assert NAME == (around.spec.traffic.service if around.spec.traffic else None)
    assert [f"HTTPRoute {NAME}", "HTTPRoute former"] == [route.label for route in around.routes]


async def test_nothing_is_seen_of_a_release_that_is_not_there(stage: Stage) -> None:
    """There is no snapshot of a Release that has gone."""
    assert stage.gatherer.collect(KEY, ReleaseStatus()) is None


async def test_what_is_missing_is_not_seen(stage: Stage) -> None:
    """A Release alone has no workload, policy or Service, and its route is known not to be there."""
    stage.add(objects.release())

    seen = snapshot(stage)

    assert (None, None, None) == (seen.workload, seen.policy, seen.user_service)
    assert [False] == [route.exists for route in seen.routes]


async def test_replica_set_between_two_owners_is_seen(stage: Stage) -> None:
    """Between the Release's letting go and the Deployment's adoption nobody owns a ReplicaSet; its revision tells."""
    stage.adopted()
    orphan = objects.replica_set(stage.api.objects["/apis/apps/v1/namespaces/shop/deployments/checkout"], hashed="bbbb")
    del orphan["metadata"]["ownerReferences"]
    stage.add(orphan)

    def names(status: ReleaseStatus) -> list[str]:
        around = stage.gatherer.collect(KEY, status)
        return [rs["metadata"]["name"] for rs in around.workload.replica_sets] if around and around.workload else []

    assert ["checkout-aaaa"] == names(ReleaseStatus())
    assert ["checkout-aaaa", "checkout-bbbb"] == names(status_of("bbbb"))


async def test_replica_set_without_its_deployment_is_an_orphan(stage: Stage) -> None:
    """The Deployment is deleted in the middle of a rollout: the new version's ReplicaSet goes with the Release."""
    stage.at_ten_percent()
    deployment, release = stage.api.objects[DEPLOYMENT_PATH], copy.deepcopy(stage.api.objects[PATH])
    release["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    stage.store.remove("Deployment", deployment)
    assert (None, ()) == (snapshot(stage).workload, snapshot(stage).orphans)
    stage.add(release)
    assert ("checkout-bbbb",) == snapshot(stage).orphans
    stage.add(deployment)
    assert () == snapshot(stage).orphans


async def test_replica_set_of_a_deployment_that_was_made_anew_is_an_orphan(stage: Stage) -> None:
    """A Deployment of the same name that selects other pods has nothing to do with the ReplicaSet of the one before."""
    stage.at_ten_percent()
    deployment, release = (copy.deepcopy(stage.api.objects[path]) for path in (DEPLOYMENT_PATH, PATH))
    release["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    deployment["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    stage.add(release)
    stage.add(deployment)

    assert ("checkout-bbbb",) == snapshot(stage).orphans


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({"targetRef": {}}, "spec.targetRef.name: is required"),
        ({"policyRef": {"kind": "Other", "name": "x"}}, "spec.policyRef.kind: must be one of"),
        ({"images": {"app": ""}}, "spec.images.app: must not be empty"),
    ],
)
async def test_invalid_spec_is_told_by_field_and_cause(stage: Stage, spec: dict[str, Any], cause: str) -> None:
    """A spec that cannot be read, where none could be before, is told in words, without values."""
    stage.add(objects.release(**spec))

    with pytest.raises(Terminal, match=cause) as raised:
        collect(stage)

    assert Reason.INVALID_SPEC == raised.value.reason


async def test_last_valid_spec_counts_until_the_next(stage: Stage) -> None:
    """Given a spec that becomes invalid, the one before counts, and what is wrong stands in the way of anything new."""
    stage.adopted()
    collect(stage)
    stored = stage.api.objects[f"/apis/tidegate.dev/v1alpha1/namespaces/{NAMESPACE}/releases/{NAME}"]
    stage.add({**stored, "spec": {"targetRef": {}}, "metadata": {**stored["metadata"], "generation": 2}})

    seen = snapshot(stage)

    assert NAME == seen.release.spec.target_ref.name
    assert [Reason.INVALID_SPEC] == [blocker.reason for blocker in seen.blockers]


async def test_invalid_policy_is_told_unless_a_rollout_is_on(stage: Stage) -> None:
    """A policy that cannot be read is none, and its fault is named; a rollout goes on with the policy that it began with."""
    stage.at_ten_percent()
    during = stored_status(collect(stage).release)
    stage.add(objects.policy(steps=[{"weight": 300}]) | {"metadata": {"namespace": "shop", "name": "production", "generation": 2}})

    idle, rolling = snapshot(stage, status=ReleaseStatus()), snapshot(stage, status=during)

    assert (None, None) == (idle.policy, rolling.policy)
    assert [Reason.MISSING_POLICY] == [blocker.reason for blocker in idle.blockers]
    assert "spec.policyRef: RolloutPolicy production is not valid: spec.steps[0].weight" in idle.blockers[0].message
    assert () == rolling.blockers


async def test_policy_whose_queries_cannot_be_filled_is_refused(stage: Stage) -> None:
    """A query that can be filled with no names is found when the policy is read, and not at each look of a rollout."""
    stage.adopted()
    gate = {**objects.policy()["spec"]["gates"][0], "metric": {"promql": {"canary": 'x{pod=~"{{pods}}"}', "unit": "Ratio"}}}
    stage.add(objects.policy(gates=[gate]) | {"metadata": {"namespace": "shop", "name": "production", "generation": 2}})

    seen = snapshot(stage, status=ReleaseStatus())

    assert seen.policy is None
    assert [Reason.MISSING_POLICY] == [blocker.reason for blocker in seen.blockers]
    words = "spec.policyRef: RolloutPolicy production is not valid: spec.gates[0].metric.promql.canary: unknown variable {{pods}}"
    assert seen.blockers[0].message.startswith(words)


async def test_deployment_of_another_release_is_left_alone(stage: Stage) -> None:
    """A Deployment that carries another Release's label is that one's, as long as that Release is there."""
    stage.adopted()
    stage.add(objects.deployment(labels={LABEL_RELEASE: "other"}))
    stale = snapshot(stage)
    stage.add(objects.release("other"))

    assert () == stale.blockers
    assert [Reason.CONFLICT] == [blocker.reason for blocker in snapshot(stage).blockers]


async def test_second_release_of_a_deployment_is_told_one_thing(stage: Stage) -> None:
    """Its Services are that other Release's, too, and carry traffic: of them nothing is said."""
    stage.adopted()
    stage.add(objects.deployment(labels={LABEL_RELEASE: "other"}))
    stage.add(objects.release("other"))
    taken = objects.service(f"{NAME}-stable")
    stage.add({**taken, "metadata": {**taken["metadata"], "labels": {LABEL_RELEASE: "other"}}})

    (blocker,) = snapshot(stage).blockers

    assert blocker.message == f"spec.targetRef: Deployment {NAME} is managed by Release other already"


async def test_label_of_an_unrelated_release_is_taken_over(stage: Stage) -> None:
    """Given a label that names a Release of another Deployment, this one is free, until that Release names it."""
    stage.adopted()
    stage.add(objects.deployment(labels={LABEL_RELEASE: "ledger"}))
    stage.add(objects.release("ledger", targetRef={"name": "ledger"}))
    unrelated = snapshot(stage)
    stage.add(objects.release("ledger", targetRef={"name": NAME}))

    assert () == unrelated.blockers
    assert unrelated.workload is not None
    assert not unrelated.workload.labelled
    assert [Reason.CONFLICT] == [blocker.reason for blocker in snapshot(stage).blockers]


async def test_route_is_known_since_it_took_its_form(stage: Stage) -> None:
    """A route is seen in its form since the first look at it; a change of form, or of acceptance, begins anew."""
    stage.at_ten_percent()
    later = NOW + timedelta(seconds=5)
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes/{NAME}"
    first = snapshot(stage).routes[0]
    stage.clock.advance(5)
    second = snapshot(stage, now=later).routes[0]
    stored = stage.api.objects[path]
    stage.add({**stored, "status": {}})
    refused = snapshot(stage, now=later).routes[0]
    stage.add({**stage.api.objects[path], "status": stored["status"]})
    again = snapshot(stage, now=later).routes[0]

    assert (NOW, NOW) == (first.since, second.since)
    assert refused.since is None
    assert later == again.since


async def test_route_is_in_force_when_its_data_plane_has_it(stage: Stage) -> None:
    """Given a controller that is known to speak before its data plane has a route, that has it so much later."""
    stage.at_ten_percent()
    stage.gatherer = Gatherer(stage.store, Routers.all(), clock=stage.clock, warm_up=1.5, delays={"x": 2.5})

    assert snapshot(stage).routes[0].since == NOW + timedelta(seconds=2.5)


async def test_a_warm_backend_makes_another_form(stage: Stage) -> None:
    """Given a route that is split, when a backend is made warm, then it counts as seen from then on, at the same weight."""
    stage.adopted()
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes/{NAME}"
    stored = stage.api.objects[path]

    def with_weights(*weights: int) -> RouteView:
        names = (NAME, f"{NAME}-stable", f"{NAME}-canary")
        backends = [{"name": name, "port": 80, "weight": weight} for name, weight in zip(names, weights, strict=True)]
        stage.add({**stage.api.objects[path], "spec": {**stored["spec"], "rules": [{"backendRefs": backends}]}})
        return snapshot(stage, now=NOW).routes[0]

    split = with_weights(0, 10_000, 0)
    stage.clock.advance(2)
    warm = with_weights(0, 9_999, 1)

    assert (None, Warm.CANARY) == (split.warm, warm.warm)
    assert split.weight == warm.weight == 0
    assert split.since == warm.since == NOW


async def test_route_of_two_services_has_a_form_for_each(stage: Stage) -> None:
    """Given one route with rules of two Services, each with a Release, what happens to the one is no news to the other."""
    stage.adopted()
    other = objects.release("other", traffic={"service": "other", "gatewayAPI": {"httpRoutes": [{"name": NAME}]}})
    stage.add(other)
    rules = [{"backendRefs": [{"name": NAME, "port": 80}]}, {"backendRefs": [{"name": "other", "port": 80}]}]
    stored = stage.api.objects[f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes/{NAME}"]
    split = [{"name": "other-stable", "port": 80, "weight": 100}, {"name": "other-canary", "port": 80, "weight": 0}]
    rules[1]["backendRefs"] = split
    stage.add({**stored, "spec": {**stored["spec"], "rules": rules}})
    key = KEY._replace(name="other")

    def since(second: float, which: Any) -> datetime | None:
        around = stage.gatherer.collect(which, ReleaseStatus())
        assert around is not None
        now = NOW + timedelta(seconds=second)
        stage.clock.advance((now - stage.clock.now()).total_seconds())
        seen = stage.gatherer.snapshot(around, now=now, status=ReleaseStatus(), readings=(), blockers=(), keep_held=False)
        return seen.routes[0].since

    first = [since(second, which) for second, which in ((0, KEY), (1, key), (2, KEY), (3, key))]

    assert [NOW, NOW + timedelta(seconds=1)] * 2 == first


async def test_nothing_is_kept_of_objects_that_are_gone(stage: Stage) -> None:
    """What was read of an object is forgotten with it."""
    stage.at_ten_percent()
    snapshot(stage)
    for obj in stage.api.objects.values():
        stage.gatherer.forget(obj["metadata"]["uid"])

    assert ({}, {}, {}) == (stage.gatherer._specs._read, stage.gatherer._forms, stage.gatherer._views._kept)


async def test_views_are_made_once_of_the_same_objects(stage: Stage) -> None:
    """Given a rollout around which nothing has changed, the engine sees the same views again; any news makes them anew."""
    stage.at_ten_percent()
    first, second = snapshot(stage), snapshot(stage)
    stage.add(objects.deployment("checkout:v2", replicas=5, paused=True, labels={LABEL_RELEASE: NAME}))
    third = snapshot(stage)

    assert first.workload is not None
    assert second.workload is not None
    assert third.workload is not None
    assert first.workload.template is second.workload.template
    assert first.workload == second.workload
    assert (2, 5) == (second.workload.replicas, third.workload.replicas)
    assert first.routes == third.routes


async def test_views_of_services_are_made_once_of_the_same_objects(stage: Stage) -> None:
    """So are those of Services; what comes or goes among endpoints is seen at once, and so is what people write."""
    stage.at_ten_percent()
    first, second = snapshot(stage), snapshot(stage)
    (path,) = (path for path in stage.api.objects if path.endswith(f"endpointslices/{NAME}-canary-x"))
    slices = stage.api.objects[path]
    stage.add({**slices, "endpoints": []})
    third = snapshot(stage)
    user = stage.api.objects[f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}"]
    stage.add({**user, "spec": {**user["spec"], "selector": {"app": "another"}}})
    fourth = snapshot(stage)

    assert first.user_service is second.user_service
    assert first.stable_service is second.stable_service
    assert first.canary_service is second.canary_service
    assert first.canary_service is not None
    assert third.canary_service is not None
    assert (1, 0) == (first.canary_service.endpoints, third.canary_service.endpoints)
    assert fourth.user_service is not None
    assert not fourth.user_service.selects


async def test_views_are_made_anew_after_history_went_back(stage: Stage) -> None:
    """The same object in the same version may be another one, once etcd was restored."""
    stage.at_ten_percent()
    first = snapshot(stage)
    stage.store.rewinds += 1
    second = snapshot(stage)

    assert first.workload is not None
    assert second.workload is not None
    assert first.workload.template is not second.workload.template
    assert first.workload == second.workload


@pytest.mark.parametrize(
    ("text", "verb", "name"),
    [
        ("promote/1", Verb.PROMOTE, "1"),
        ("retry/a/b", Verb.RETRY, "a/b"),
        ("nonsense/1", None, "1"),
        ("promote", None, ""),
        ("", None, None),
    ],
)
async def test_request_of_a_person(stage: Stage, text: str, verb: Verb | None, name: str | None) -> None:
    """A request is a verb and an id; anything else is one that cannot be carried out."""
    stage.add(objects.release(metadata={"annotations": {"tidegate.dev/request": text}}))

    request = snapshot(stage).release.request

    assert (verb, name) == ((request.verb, request.id) if request else (None, None))


STORED = {
    "phase": "Idle",
    "weight": 0,
    "rejected": [
        {"revision": "bad1", "version": "v2", "cause": "GateBreached", "at": "2026-01-01T00:00:00Z"},
        {"revision": "bad2", "version": "v3", "cause": "BecauseOfTheMoon", "at": "2026-01-01T00:00:00Z"},
    ],
    "stable": {"revision": "aaaa", "version": "v1"},
    "somethingNewer": {"deep": True},
}


def test_status_of_a_newer_operator_is_read_as_far_as_it_can_be() -> None:
    """What is not understood of a status is left out, field by field and item by item; the rest counts, rejections above all."""
    status = stored_status({"metadata": {"name": NAME, "namespace": NAMESPACE}, "status": {**STORED, "phase": "Dreaming"}})

    assert ["bad1"] == [entry.revision for entry in status.rejected]
    assert "aaaa" == (status.stable.revision if status.stable else None)


@pytest.mark.parametrize("status", [{"stable": []}, {"rejected": "none"}, {"rejected": [{}] * 20}, {"weight": "much"}, None])
def test_no_status_is_too_odd_to_be_read(status: Any) -> None:
    """Whatever a hand has written there, a status comes of it."""
    assert ReleaseStatus() == stored_status({"metadata": {"name": NAME, "namespace": NAMESPACE}, "status": status})
