"""From the caches to a snapshot: everything around one Release at one instant, without a single request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from tidegate.api.base import parse_time
from tidegate.api.names import ANNOTATION_REQUEST, FINALIZER, Reason
from tidegate.api.originals import OriginalRule
from tidegate.api.release import ReleaseSpec, Traffic
from tidegate.api.status import ReleaseStatus
from tidegate.controller.observe.autoscalers import Autoscalers
from tidegate.controller.observe.beside import own_service, ports_of, services_around, user_service
from tidegate.controller.observe.decisions import Decided, Decisions
from tidegate.controller.observe.governance import Governance
from tidegate.controller.observe.members import Members
from tidegate.controller.observe.parsing import request_of
from tidegate.controller.observe.questions import NOTHING, Answers
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.relations import SERVICE_OF_SLICE
from tidegate.controller.observe.specs import Specs
from tidegate.controller.observe.upstreams import Elsewhere, Upstreams, overlaid, unlooked
from tidegate.controller.observe.views import Views, mark
from tidegate.controller.observe.workloads import pods_of, strangers_among, workload_around
from tidegate.engine.plan import Role, own_name
from tidegate.engine.route import RouteRef
from tidegate.engine.routing import traffic_in_force
from tidegate.engine.snapshot import Blocker, ReleaseView, RouteView, ServiceView, Snapshot, WorkloadView
from tidegate.governance.flags import FlagView
from tidegate.governance.runs import RunView
from tidegate.judge.reading import Reading
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object, Store
from tidegate.traffic import services
from tidegate.traffic.bindings import unfollowed
from tidegate.traffic.routers import Routers
from tidegate.traffic.selection import Pods, shared
from tidegate.workloads.kind import WorkloadObjects
from tidegate.workloads.kinds import KINDS
from tidegate.workloads.objects import labels_of

V = TypeVar("V")


@dataclass(frozen=True)
class ReleaseObjects:
    """The raw objects around one Release at one instant, for the writes.

    Attributes:
        key: which Release.
        release: the Release as stored.
        spec: what it asks for, with the traffic that is in force.
        traffic_later: it asks for other traffic than is in force.
        workload: the workload and what is around it; None where it is missing.
        orphans: what keeps pods and would be left behind by a Release that goes.
        former: the Service that was pinned, where the user does not name it any more; None where it is missing.
        services: the Service that the user named and the operator's own; None where the user's is missing.
        routes: the routes; None where one is missing.
    """

    key: ReleaseKey
    release: Object
    spec: ReleaseSpec
    traffic_later: bool
    workload: WorkloadObjects | None
    orphans: tuple[Object, ...]
    former: services.Services | None
    services: services.Services | None
    routes: Mapping[RouteRef, Object | None]


class Gatherer:
    """Makes snapshots.

    Views of the workload, of Services and of routes are kept while a rollout is on.

    Args:
        store: the caches.
        routers: read routes.
        clock: the time.
        warm_up: seconds that a route must have been seen in a form before the next.
        delays: seconds by which data planes may be behind the word of their controllers, by the controllers' names.
        step_replicas_limit: pods that a step may have although its workload has fewer.
        records_kept: how many records of each Release are kept.
        unread: says of a kind why it is not known which objects of it there are.
        namespaces: namespaces that are served; empty for all.
        decisions: finds what people have decided; None where nothing can be decided.
        by_decision: people promote, resume and retry by decision alone.
        elsewhere: reads Releases of other clusters.
        runs: knows what was seen of the Jobs and requests of a Release's checks.
        members: reads the other members of groups; by default there are none.
        flags: knows what was seen of the definitions of its flags.
    """

    def __init__(
        self,
        store: Store,
        routers: Routers,
        *,
        clock: Clock,
        warm_up: float,
        delays: Mapping[str, float] | None = None,
        step_replicas_limit: int = 0,
        records_kept: int = 50,
        unread: Callable[[str], str] = lambda _: "",
        namespaces: Collection[str] = (),
        decisions: Decisions | None = None,
        by_decision: bool = False,
        elsewhere: Elsewhere = unlooked,
        runs: Callable[[ReleaseKey], Mapping[str, RunView]] = lambda _: {},
        members: Members | None = None,
        flags: Callable[[ReleaseKey], Mapping[str, FlagView]] = lambda _: {},
    ) -> None:
        self._store, self._routers, self._clock = store, routers, clock
        self._specs, self._runs, self._flags, self._members = Specs(store), runs, flags, members or Members(store)
        self._autoscalers = Autoscalers(store, clock=clock)
        self._warm_up, self._step_replicas_limit, self._delays = warm_up, step_replicas_limit, delays or {}
        self._upstreams = Upstreams(store, namespaces=namespaces, elsewhere=elsewhere)
        self._governance = Governance(
            store,
            unread,
            self._upstreams,
            specs=self._specs,
            decisions=decisions,
            by_decision=by_decision,
            records_kept=records_kept,
        )
        self._forms: dict[str, dict[str, tuple[tuple[object, ...], float]]] = {}
        self._views = Views(store)

    def collect(
        self,
        key: ReleaseKey,
        status: ReleaseStatus,
        *,
        pods: Iterable[Object] | None = None,
        stable_pods: Iterable[Object] | None = None,
    ) -> ReleaseObjects | None:
        """Return what is around a Release.

        Args:
            key: which.
            status: what has been decided. The version that is rolled out, routes that are not as the user wrote them and a Service
                that may be pinned count, whatever the spec names.
            pods: pods of the new version; None where they were not read.
            stable_pods: pods of the version in force; None where they were not read.

        Returns:
            The raw objects; None where there is no such Release.

        Raises:
            Terminal: its spec is not valid, and none that was valid is known; the message names the field.
        """
        release = self._store.get("Release", key.namespace, key.name)
        if release is None:
            return None
        asked, pinned = overlaid(self._specs.of(release), status), status.pinned_service
        traffic, named = self._traffic(key, asked, status)
        spec = asked.model_copy(update={"traffic": traffic}) if traffic is not asked.traffic else asked
        workload = workload_around(self._store, key, release=release, spec=spec, status=status, pods=pods, stable_pods=stable_pods)
        return ReleaseObjects(
            key=key,
            release=release,
            spec=spec,
            traffic_later=traffic is not asked.traffic,
            workload=workload,
            orphans=KINDS[spec.target_ref.kind].orphans(self._store, release, workload),
            services=services_around(
                self._store,
                key,
                release,
                spec.traffic.service if spec.traffic is not None else None,
                pods=self._pods(release, workload, status) if workload else None,
                targets=status.stable_targets,
            ),
            former=services_around(
                self._store, key, release, pinned if spec.traffic is None or spec.traffic.service != pinned else None
            ),
            routes=self._routes(key, named, status) if traffic is not None else {},
        )

    def _traffic(self, key: ReleaseKey, spec: ReleaseSpec, status: ReleaseStatus) -> tuple[Traffic | None, tuple[RouteRef, ...]]:
        """Return the traffic in force, and which routes it names."""

        def is_about(rule: OriginalRule, service: str) -> bool:
            router, name, known = self._routers.of(rule.of_kind), rule.route, status.original_rules
            if router is None:
                return False
            route = self._store.get(router.resource.kind, key.namespace, name)
            return router.observe(route, name=name, namespace=key.namespace, service=service, known=known).matches

        named = self._routers.named(spec.traffic)
        traffic = traffic_in_force(spec, status, routed=bool(named), is_about=is_about)
        return traffic, named if traffic is spec.traffic else ()

    def snapshot(
        self,
        objects: ReleaseObjects,
        *,
        now: datetime,
        status: ReleaseStatus,
        readings: tuple[Reading, ...],
        blockers: Iterable[Blocker],
        keep_held: bool,
        answers: Answers = NOTHING,
        known_since: datetime | None = None,
        entitled: Mapping[str, bool] | None = None,
    ) -> Snapshot:
        """Return what the engine sees.

        Args:
            objects: the raw objects.
            now: the time.
            status: the status that was decided last.
            readings: looks that have come in.
            blockers: what stands in the way, as far as the caller knows.
            keep_held: whether the workload stays held between rollouts.
            answers: what was read around the user's Service.
            known_since: since when the status is known here; None where that is of no concern.
            entitled: whether those who have decided may still do so; None where that was not asked.
        """
        workload, others = objects.workload, self._others(objects.workload, answers.selected)
        policy, wrong = self._specs.policy(objects.key.namespace, objects.spec.policy_ref)
        routes = tuple(self._route_view(ref, objects, route, status, now=now) for ref, route in objects.routes.items())
        return Snapshot(
            release=_release_view(objects),
            status=status,
            policy=policy,
            workload=self._workload_view(objects, status) if workload else None,
            orphans=tuple(rs["metadata"]["name"] for rs in objects.orphans),
            user_service=self._user_service(objects, routes, status, answers, others),
            former_service=services.user_view(objects.former.user) if objects.former else None,
            stable_service=self._own_service(objects, routes, status, Role.STABLE),
            canary_service=self._own_service(objects, routes, status, Role.CANARY),
            routes=routes,
            readings=readings,
            keep_held=keep_held,
            blockers=(*blockers, *self._blockers(objects, status, answers, others, wrong)),
            warm_up=self._warm_up,
            step_replicas_limit=self._step_replicas_limit,
            known_since=known_since,
            governance=self._governance.view(objects.release, objects.spec, entitled, *self._seen(objects.key)),
            following=self._upstreams.followed(objects.key.namespace, objects.spec, workload, status) if workload else None,
            group=self._members.view(objects.key, objects.spec),
        )

    def _others(self, workload: WorkloadObjects | None, selected: Iterable[Object] | None) -> tuple[str, ...] | None:
        return strangers_among(self._store, workload, selected) if workload and selected is not None else None

    def _seen(self, key: ReleaseKey) -> tuple[Mapping[str, RunView], Mapping[str, FlagView]]:
        return self._runs(key), self._flags(key)

    def _blockers(
        self, objects: ReleaseObjects, status: ReleaseStatus, answers: Answers, others: tuple[str, ...] | None, wrong: str
    ) -> Iterator[Blocker]:
        """Yield what stands in the way by what the objects say; `wrong` is what is wrong with the policy."""
        beside, workload, bound = objects.services, objects.workload, answers.bound
        found = (
            self._specs.invalid(objects.release),
            Blocker(Reason.MISSING_POLICY, wrong) if wrong and status.rollout is None else None,
            workload.unsupported() if workload else None,
            # Of two Releases on one workload the second is told that alone: all else that differs follows from it.
            services.unsupported(beside, beside.pods) if beside and not (workload and workload.held_by_another) else None,
            shared(beside.user, workload.label, others) if beside and workload and others else None,
            unfollowed(beside.name, bound) if beside and bound is not None else None,
        )
        yield from (blocker for blocker in found if blocker is not None)

    def _workload_view(self, objects: ReleaseObjects, status: ReleaseStatus) -> WorkloadView:
        workload = objects.workload
        assert workload is not None
        made_of = (objects.spec, *workload.read, *_of_workload(workload), *map(mark, workload.read_pods))
        view = self._view(objects.release, "workload", made_of, status, workload.view)
        autoscaler = self._autoscalers.view(objects.spec.target_ref.kind, workload.own, view.arms)
        return view if autoscaler is view.autoscaler else replace(view, autoscaler=autoscaler)

    def _pods(self, release: Object, workload: WorkloadObjects, status: ReleaseStatus) -> Pods:
        if status.rollout is None:
            return pods_of(workload)
        return self._views.of(release, "pods", _of_workload(workload), lambda: pods_of(workload))

    def _user_service(
        self,
        objects: ReleaseObjects,
        routes: tuple[RouteView, ...],
        status: ReleaseStatus,
        answers: Answers,
        others: tuple[str, ...] | None,
    ) -> ServiceView | None:
        beside, stable = objects.services, status.stable.revision if status.stable else None
        if beside is None:
            return None

        def made() -> ServiceView | None:
            return user_service(
                self._store, beside, routes, stable=stable, endpoints=answers.endpoints, others=others, bound=answers.bound
            )

        if answers.endpoints is not None:
            # What serves and where is looked at each time.
            return made()
        made_of = (*_of_services(objects, beside), ports_of(routes), stable, others, answers.bound)
        return self._view(objects.release, "user's Service", made_of, status, made)

    def _own_service(
        self, objects: ReleaseObjects, routes: tuple[RouteView, ...], status: ReleaseStatus, role: Role
    ) -> ServiceView | None:
        beside = objects.services
        if beside is None:
            return None
        slices = self._store.versions_by_label("EndpointSlice", beside.namespace, SERVICE_OF_SLICE, own_name(beside.name, role))
        made_of = (*_of_services(objects, beside), ports_of(routes), slices)
        return self._view(
            objects.release, f"{role} Service", made_of, status, lambda: own_service(self._store, beside, role, routes)
        )

    def _view(self, release: Object, name: str, made_of: tuple[object, ...], status: ReleaseStatus, make: Callable[[], V]) -> V:
        if status.rollout is None:
            self._views.forget(release["metadata"]["uid"])
            return make()
        return self._views.of(release, name, made_of, make)

    def decided(self, release: Object) -> Decided:
        """Return what people have decided on a Release."""
        return self._governance.decided(release)

    def forget(self, uid: str) -> None:
        """Forget what was kept of an object that is gone."""
        self._autoscalers.forget(uid)
        self._specs.forget(uid)
        self._forms.pop(uid, None)
        self._views.forget(uid)

    def _routes(self, key: ReleaseKey, named: Sequence[RouteRef], status: ReleaseStatus) -> dict[RouteRef, Object | None]:
        """Return the routes that are named, and those that are shifted, whatever is named."""
        noted = [(self._routers.of(rule.of_kind), rule.route) for rule in status.original_rules]
        changed = [RouteRef(router.kind, name) for router, name in noted if router is not None]
        found = {ref: self._store.get(ref.kind.label, key.namespace, ref.name) for ref in (*named, *changed)}
        return {ref: route for ref, route in found.items() if route is not None or ref in named}

    def _route_view(
        self, ref: RouteRef, objects: ReleaseObjects, route: Object | None, status: ReleaseStatus, *, now: datetime
    ) -> RouteView:
        assert objects.spec.traffic is not None
        service, known = objects.spec.traffic.service, status.original_rules

        def observed() -> RouteView:
            router, namespace = self._routers.shifts(ref), objects.key.namespace
            return router.observe(route, name=ref.name, namespace=namespace, service=service, known=known)

        if route is None:
            return observed()
        view = self._view(objects.release, ref.label, (objects.spec, mark(route), known), status, observed)
        # Of one route, Releases of several Services each see their own rules.
        forms = self._forms.setdefault(route["metadata"]["uid"], {})
        form = (view.stage, view.weight, view.warm, view.uniform, view.accepted)
        if not view.in_force:
            forms.pop(service, None)
            return view
        if forms.get(service, (None,))[0] != form:
            forms[service] = (form, self._clock.monotonic())
        delay = max((self._delays.get(name, 0.0) for name in view.controllers), default=0.0)
        return replace(view, since=now - timedelta(seconds=self._clock.monotonic() - forms[service][1] - delay))


def _of_workload(workload: WorkloadObjects) -> tuple[object, ...]:
    return tuple(mark(obj) for obj in workload.objects)


def _of_services(objects: ReleaseObjects, beside: services.Services) -> tuple[object, ...]:
    """Return what the views of Services are made of, but for routes and endpoints."""
    found = (beside.user, beside.stable, beside.canary)
    return (*map(mark, found), beside.targets, *(_of_workload(objects.workload) if objects.workload else ()))


def _release_view(objects: ReleaseObjects) -> ReleaseView:
    metadata = objects.release["metadata"]
    deleting, created = metadata.get("deletionTimestamp"), metadata.get("creationTimestamp")
    return ReleaseView(
        namespace=objects.key.namespace,
        name=objects.key.name,
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        spec=objects.spec,
        deleting=parse_time(deleting) if deleting else None,
        finalizer=FINALIZER in (metadata.get("finalizers") or ()),
        request=request_of((metadata.get("annotations") or {}).get(ANNOTATION_REQUEST)),
        traffic_later=objects.traffic_later,
        created=parse_time(created) if created else None,
        labels=labels_of(objects.release),
    )
