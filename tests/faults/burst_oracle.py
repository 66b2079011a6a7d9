"""What must hold at every instant of a burst, and at its end: a route that was shut stays shut, whoever dies."""

from __future__ import annotations

import math
from collections.abc import Sequence

from faults.burst import AT_ONCE, names, put_off, share_of, status_of
from faults.journeys import LIMIT
from faults.oracle import ENDS, Violation
from faults.place import Place
from faults.recorder import Instant, instants
from faults.standing import own_weights, owners, ready_pods, weighted
from tidegate.api.names import Cause


def untold(place: Place) -> list[str]:
    """Return in words of which verdicts no Event tells."""
    told = {event["involvedObject"]["name"] for event in place.recorder.events() if event["reason"] in ENDS}
    return [f"no Event tells why {name} was rolled back" for name in names() if name not in told]


def shown(place: Place) -> list[Violation]:
    """Return why a burst was none: its clean run has to show that verdicts are put off."""
    most = put_off(one for operator in place.operators for one in operator.wire.written)
    if most > AT_ONCE:
        return []
    return [Violation("is-a-burst", f"{most} verdicts of {len(names())} were put off at once, and {AT_ONCE} would be busy anyway")]


def check(place: Place, *, since: int, shut_within: float = math.inf) -> list[Violation]:
    """Look at every instant of a burst, and return what must not be, the first of each kind."""
    watch = Watch(names())
    for instant in instants(place.recorder.changes):
        watch.look(instant, judging=instant.seen.order > since)
    watch.in_time(place.prometheus.first_bad(most=LIMIT), within=shut_within)
    watch.violations += [Violation("explained", words) for words in untold(place)]
    watch.violations += [Violation("ends-rejected", words) for words in _not_rejected(place)]
    first: dict[str, Violation] = {}
    for violation in watch.violations:
        first.setdefault(violation.invariant, violation)
    return list(first.values())


def _not_rejected(place: Place) -> list[str]:
    found = []
    for name in names():
        status = status_of(place, name)
        last, rejected = status.get("lastRollout") or {}, status.get("rejected") or [{}]
        ended = (status.get("phase"), last.get("outcome"), last.get("cause"), rejected[-1].get("cause"))
        if ended != ("RolledBack", "RolledBack", Cause.GATE, Cause.GATE):
            found.append(f"{name} has ended as {ended}")
    return found


class Watch:
    """Looks at one change after another.

    Args:
        services: the names of the services.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(services)
        self._shut: dict[str, float] = {}
        self._rejected: dict[str, set[str]] = {}
        self.violations: list[Violation] = []

    def look(self, now: Instant, *, judging: bool) -> None:
        """Look at what stands there now; what was before the journey is not judged."""
        if not judging or now.seen.type == "DELETED":
            return
        match now.seen.kind:
            case "HTTPRoute":
                self._route(now)
            case "ReplicaSet":
                self._replica_set(now)
            case "Release":
                self._release(now)

    def in_time(self, bad: float | None, *, within: float) -> None:
        """See that each route was shut in time after the first bad answer (time.time)."""
        if bad is None:
            return
        for name in sorted(self._services):
            lasted = self._shut.get(name, math.inf) - bad
            if lasted > within:
                self._fail("shut-in-time", f"the bad version of {name} kept its traffic for {lasted:.1f} s")

    def _fail(self, invariant: str, words: str, now: Instant | None = None) -> None:
        where = f" (version {now.seen.order}: {now.seen.type} {now.seen.kind} {now.seen.name})" if now is not None else ""
        self.violations.append(Violation(invariant, words + where))

    def _route(self, now: Instant) -> None:
        name = now.seen.name
        share, before = share_of(now.seen.object, name), share_of(now.before, name) if now.before else 0.0
        if share == 0:
            self._shut.setdefault(name, now.seen.at)
        elif name in self._shut:
            self._fail("stays-shut", f"a route that was shut gives the bad version {share:g}% again", now)
        if share > before:
            self._fail("earned", f"weight rose from {before:g}% to {share:g}%", now)
        for rule in own_weights(now, name):
            if rule and not sum(rule.values()):
                self._fail("somebody-serves", f"no backend has weight: {rule}", now)
        for service in weighted(now, name):
            found = now.get("Service", service)
            if found is None or not ready_pods(now, found["spec"]["selector"]):
                self._fail("ready-pods", f"the route gives weight to Service {service}, which has no ready pod", now)

    def _replica_set(self, now: Instant) -> None:
        app = now.seen.object["metadata"]["labels"]["app"]
        route = now.get("HTTPRoute", app)
        stopped = now.seen.object["spec"]["replicas"] == 0 and now.before is not None and now.before["spec"]["replicas"] > 0
        if stopped and "Release" in owners(now.seen.object) and route is not None and share_of(route, app) > 0:
            self._fail("drained", f"pods of the new version of {app} are stopped while it has traffic", now)

    def _release(self, now: Instant) -> None:
        name, status = now.seen.name, now.seen.object.get("status") or {}
        rollout, told = status.get("rollout") or {}, {entry["revision"] for entry in status.get("rejected", ())}
        if rollout.get("undo") and status.get("candidate"):
            told.add(status["candidate"]["revision"])
        if rollout.get("undo") not in {None, Cause.GATE}:
            self._fail("undone-for-a-reason", f"{name} is undone because of {rollout['undo']}", now)
        if forgotten := self._rejected.get(name, set()) - told:
            self._fail("rejected-stays-out", f"{name}: a rejection was forgotten: {sorted(forgotten)}", now)
        self._rejected.setdefault(name, set()).update(told)
