"""HTTPRoutes of Gateway API v1: from the raw object to what the engine sees, and from a wanted stage to a JSON patch.

Every rule that gives weight to the user's Service is shifted. Nothing but the `backendRefs` of such rules is written: other
rules, matches, filters (a RequestMirror to the Service among them) and timeouts keep what they are.

Rules have no names that can be relied on, and a user may add, remove or reorder them while a rollout is on. So what was noted
of a rule is looked for at its index first and then among all that was noted of the route, and counts where it explains what
is there (see `backends.original_of`). Port and filters of the user's entries are read from the rule itself, so the worst that a
mix-up could do is to restore another scale of weights that means the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.api.base import plain
from tidegate.api.originals import OriginalRule
from tidegate.cluster.resources import HTTP_ROUTES
from tidegate.engine.plan import Role, own_name, users_name
from tidegate.engine.route import RouteKind, RouteRef
from tidegate.engine.snapshot import RouteStage, RouteView, Warm
from tidegate.traffic.backends import (
    MAX_BACKENDS,
    Backends,
    Form,
    Json,
    Names,
    Whose,
    form_of,
    has_room,
    led_to,
    original_of,
    written,
)
from tidegate.traffic.notes import note, read, recall
from tidegate.traffic.our_marks import marked
from tidegate.traffic.router import Router

KIND = RouteKind(HTTP_ROUTES.kind, "spec.traffic.gatewayAPI", "httpRoutes", "spec.rules[].backendRefs")
"""What messages call an HTTPRoute."""
MESSAGE_LIMIT = 500
"""Characters of a router's words that are passed on."""
ORIGINAL_LIMIT = 8192
"""Characters of one rule's backends that the status of a Release can hold."""
MARKS_OF_TOOLS = frozenset(
    {
        "argocd.argoproj.io/tracking-id",
        "argocd.argoproj.io/instance",
        "kustomize.toolkit.fluxcd.io/name",
        "helm.toolkit.fluxcd.io/name",
    }
)
"""Labels and annotations by which tools know what they apply again by themselves: Argo CD and Flux. Argo CD may be told to use
app.kubernetes.io/instance, which Helm uses as well and applies nothing by."""
LEAVE_OUT_FILTERED = frozenset({"gateway.envoyproxy.io/gatewayclass-controller"})
"""Controllers whose data planes leave out backends of weight 0 where a backendRef has filters: Envoy Gateway makes a cluster of
each then. It always does with EnvoyProxy.spec.mergeBackends, which is not seen here."""


class HTTPRouteRouter(Router):
    """HTTPRoutes of Gateway API v1.

    Args:
        warm_weights: of which controllers the data planes leave out backends of weight 0, by the controllers' names.
    """

    kind = KIND
    resource = HTTP_ROUTES

    def __init__(self, warm_weights: Mapping[str, bool] | None = None) -> None:
        self._warm_weights = warm_weights or {}

    def led_to(self, route: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield namespace and name of each Service that an HTTPRoute gives weight to."""
        return led_to(route)

    def observe(
        self,
        route: Mapping[str, Any] | None,
        *,
        name: str,
        namespace: str,
        service: str,
        known: Sequence[OriginalRule] = (),
    ) -> RouteView:
        """Return what the engine sees of an HTTPRoute (see `observe`)."""
        told = self._warm_weights
        return observe(route, name=name, namespace=namespace, service=service, known=known, warm_weights=told)

    def render(
        self,
        route: Mapping[str, Any],
        *,
        stage: RouteStage,
        weight: int,
        originals: Sequence[OriginalRule],
        service: str,
        warm: Warm | None = None,
    ) -> list[Json] | None:
        """Return the JSON patch that brings an HTTPRoute to a stage (see `render`)."""
        return render(route, stage=stage, weight=weight, originals=originals, service=service, warm=warm)


@dataclass(frozen=True)
class Acceptance:
    """What the parents of a route say of it as it is now.

    Attributes:
        accepted: every parent has accepted it.
        trouble: what parents say against it, in their words.
        silent: parents that have said nothing about it as it is now, neither for nor against it, by kind and name.
        heard: at least one has accepted it.
        controllers: names of the controllers that say so.
    """

    accepted: bool = False
    trouble: str = ""
    silent: tuple[str, ...] = ()
    heard: bool = False
    controllers: frozenset[str] = frozenset()


def observe(
    route: Mapping[str, Any] | None,
    *,
    name: str,
    namespace: str,
    service: str,
    known: Sequence[OriginalRule] = (),
    warm_weights: Mapping[str, bool] | None = None,
) -> RouteView:
    """Return what the engine sees of an HTTPRoute; `since` is left to the caller, who knows the time.

    Args:
        route: the raw object; None where there is none.
        name: its name.
        namespace: its namespace.
        service: name of the user's Service.
        known: what was noted of rules earlier, of this route and of others.
        warm_weights: of which controllers the data planes leave out backends of weight 0, by the controllers' names; of those that
            are not named, what is known counts (see `leaves_out`).

    Returns:
        The view. Its `originals` are complete: one for each rule that is a concern of ours, under its present index. If rules
        differ, `weight` is the greatest share that the canary has in one of them.
    """
    if route is None:
        return RouteView(KIND, name, exists=False, matches=False, accepted=False)
    names = Names(namespace, service)
    forms = [form for _, _, form in _concerned(route, names)]
    said = acceptance(route)
    if not forms:
        return RouteView(KIND, name, matches=False, accepted=said.accepted, trouble=said.trouble)
    originals, stage = {at: original for at, _, original in _originals(route, names, known)}, min(form.stage for form in forms)
    return RouteView(
        KIND,
        name,
        stage=stage,
        uniform=_are_alike(forms),
        weight=float(max(form.share for form in forms) * 100),
        warm=next((form.warm for form in forms if form.warm is not None), None),
        warms=leaves_out(route, originals.values(), warm_weights or {}) and all(has_room(one, names) for one in originals.values()),
        accepted=said.accepted,
        trouble=said.trouble or _unfit(originals, names),
        originals=tuple(_noted(name, originals)),
        our_marks=stage is RouteStage.USER and marked(route) and not _shifted(route),
        ports=frozenset(_ports(route, names)),
        silent=said.silent,
        heard=said.heard,
        controllers=said.controllers,
        applied=_is_applied_again(route["metadata"]),
    )


def _are_alike(forms: Sequence[Form]) -> bool:
    return all(form.proper for form in forms) and len({(form.stage, form.share, form.warm) for form in forms}) == 1


def _is_applied_again(metadata: Mapping[str, Any]) -> bool:
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    return not MARKS_OF_TOOLS.isdisjoint(marks)


def _noted(name: str, originals: Mapping[int, Backends]) -> Iterator[OriginalRule]:
    for index, original in originals.items():
        if len(text := note(original)) <= ORIGINAL_LIMIT:
            yield OriginalRule(route=name, rule=index, backend_refs=text)


def render(
    route: Mapping[str, Any],
    *,
    stage: RouteStage,
    weight: int,
    originals: Sequence[OriginalRule],
    service: str,
    warm: Warm | None = None,
) -> list[Json] | None:
    """Return the JSON patch that brings every rule that is a concern of ours to a stage; None where nothing changes.

    The patch fails if the route was recreated or its spec has changed since it was read.

    Args:
        route: the raw object.
        stage: the wanted stage.
        weight: the canary's share in percent, 0 to 100; matters at SPLIT only.
        originals: what was noted of the rules; what the user has written since goes first.
        service: name of the user's Service.
        warm: whose backend gets next to nothing beside the one that has all the rest; None for nobody's.
    """
    metadata = route["metadata"]
    names = Names(metadata["namespace"], service)
    changes: list[Json] = []
    for index, backends, original in _originals(route, names, originals):
        wanted = written(original, names, stage=stage, weight=weight, warm=warm)
        if wanted != backends:
            changes.append({"op": "replace", "path": f"/spec/rules/{index}/backendRefs", "value": wanted})
    if not changes:
        return None
    # The generation moves with the spec alone: a router's news in the status are no reason to fail.
    tests = [{"op": "test", "path": f"/metadata/{key}", "value": metadata[key]} for key in ("uid", "generation")]
    return [*tests, *changes]


def _concerned(route: Mapping[str, Any], names: Names) -> Iterator[tuple[int, Backends, Form]]:
    """Yield index, backends and form of each rule that is a concern of ours."""
    for index, rule in enumerate((route.get("spec") or {}).get("rules") or ()):
        backends = list(rule.get("backendRefs") or ())
        form = form_of(backends, names)
        if form is not None:
            yield index, backends, form


def _ports(route: Mapping[str, Any], names: Names) -> Iterator[int]:
    """Yield the ports of the user's Service that rules name, by its name or by that of one of the operator's."""
    for _, backends, _ in _concerned(route, names):
        for entry in backends:
            if names.whose(entry) is not Whose.OTHER and (port := entry.get("port")):
                yield int(port)


def _shifted(route: Mapping[str, Any]) -> bool:
    """Whether a rule is shifted for any Service, perhaps by another Release: our entry in managedFields is then none too many."""
    for rule in (route.get("spec") or {}).get("rules") or ():
        named = {str(backend.get("name")) for backend in rule.get("backendRefs") or ()}
        users = filter(None, (users_name(name, Role.CANARY) for name in named))
        if any(own_name(user, Role.STABLE) in named for user in users):
            return True
    return False


def _originals(route: Mapping[str, Any], names: Names, known: Sequence[OriginalRule]) -> Iterator[tuple[int, Backends, Backends]]:
    """Yield index, backends as they are and backends as the user wrote them, of each rule that is a concern of ours."""
    mine = RouteRef(KIND, route["metadata"]["name"]).noted(known)
    read_back = ((rule.rule, read(rule.backend_refs)) for rule in mine)
    noted = {number: backends for number, backends in read_back if backends is not None}
    for index, backends, _ in _concerned(route, names):

        def recalled(index: int = index, backends: Backends = backends) -> list[Backends]:
            found = [(rule, *recall(of_rule, backends, names)) for rule, of_rule in noted.items()]
            return [whole for _, whole, _ in sorted(found, key=lambda one: (not one[2], one[0] != index, one[0]))]

        yield index, backends, original_of(backends, names, recalled)


def _unfit(originals: Mapping[int, Backends], names: Names) -> str:
    """Return why a rule cannot be shifted, in words; empty where all can."""
    for index, original in originals.items():
        most = len(written(original, names, stage=RouteStage.ENTERING, weight=0))
        if most > MAX_BACKENDS:
            return f"rule {index} would have {most} backends during a rollout; Gateway API allows {MAX_BACKENDS}"
        if len(note(original)) > ORIGINAL_LIMIT:
            return f"the backends of rule {index} take more than the {ORIGINAL_LIMIT} characters that the status can store"
    return ""


def leaves_out(route: Mapping[str, Any], originals: Iterable[Backends], told: Mapping[str, bool]) -> bool:
    """Whether the data plane of a parent leaves out backends of weight 0, by what was told and what is known.

    It is asked of whoever has ever spoken of a present parent: what speaks of the present generation only would forget it with each
    write.

    Args:
        route: the raw object.
        originals: the backends of its rules as the user wrote them.
        told: what the operator's configuration says of controllers, by their names.
    """
    spec, parents = route.get("spec") or {}, (route.get("status") or {}).get("parents") or ()
    namespace = route["metadata"]["namespace"]
    wanted = {_parent_key(reference, namespace) for reference in spec.get("parentRefs") or ()}
    names = {str(one.get("controllerName")) for one in parents if _parent_key(one["parentRef"], namespace) in wanted}
    filtered = any(entry.get("filters") for backends in originals for entry in backends)
    return any(told.get(name, filtered and name in LEAVE_OUT_FILTERED) for name in names)


def acceptance(route: Mapping[str, Any]) -> Acceptance:
    """Return what the parents of a route say of it as it is now.

    A parent may have entries of several controllers: one that is there no more leaves its own behind. An entry counts if it speaks
    of the present generation; one that does not say of which counts only where no other of the parent's does. A parent has one
    controller, and none accepts for a parent that is not its own, but a former one may have refused the very generation that the
    present one takes: so one that accepts is enough. Neither the order of entries matters nor what a former controller said last.
    """
    spec, parents = route.get("spec") or {}, (route.get("status") or {}).get("parents") or ()
    wanted = spec.get("parentRefs") or ()
    if not wanted:
        return Acceptance(trouble="it names no parent (spec.parentRefs)")
    namespace, generation = route["metadata"]["namespace"], int(route["metadata"].get("generation") or 0)
    entries: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for parent in parents:
        entries.setdefault(_parent_key(parent["parentRef"], namespace), []).append(parent)
    fine, silent, troubles, controllers = 0, [], [], set[str]()
    for reference in wanted:
        name = f"{reference.get('kind') or 'Gateway'} {reference['name']}"
        of_parent = entries.get(_parent_key(reference, namespace), ())
        found = _counting(of_parent, generation)
        against = [words for conditions in found for words in _against(conditions)]
        if any(_accepts(conditions) for conditions in found):
            fine += 1
            controllers |= {str(entry.get("controllerName")) for entry in of_parent if _is_of(entry, generation)}
        elif against:
            troubles += [f"{name}: {words}" for words in against]
        else:
            silent.append(name)
    trouble = "; ".join(troubles)
    return Acceptance(fine == len(wanted), trouble, tuple(silent), heard=fine > 0, controllers=frozenset(controllers))


def _counting(entries: Iterable[Mapping[str, Any]], generation: int) -> list[dict[str, Json]]:
    """Return the conditions, by type, of those entries of a parent that speak of the present generation."""
    said: list[dict[str, Json]] = []
    unsaid: list[dict[str, Json]] = []
    for entry in entries:
        conditions: Sequence[Json] = entry.get("conditions") or ()
        current = {c["type"]: c for c in conditions if _is_current(c, generation)}
        if current:
            states = any(c.get("observedGeneration") is not None for c in current.values())
            (said if states else unsaid).append(current)
    return said or unsaid


def _is_of(entry: Mapping[str, Any], generation: int) -> bool:
    return any(_is_current(condition, generation) for condition in entry.get("conditions") or ())


def _accepts(conditions: Mapping[str, Json]) -> bool:
    accepted = all(conditions.get(kind, {}).get("status") == "True" for kind in ("Accepted", "ResolvedRefs"))
    return accepted and not any(_against(conditions))


def _against(conditions: Mapping[str, Json]) -> Iterator[str]:
    for kind, bad in (("Accepted", "False"), ("ResolvedRefs", "False"), ("PartiallyInvalid", "True")):
        condition = conditions.get(kind)
        if condition is not None and condition["status"] == bad:
            words = plain(condition.get("message") or "no message", MESSAGE_LIMIT)
            yield f"{kind} is {bad} ({condition.get('reason') or 'no reason'}): {words}"


def _is_current(condition: Mapping[str, Any], generation: int) -> bool:
    """Whether a condition speaks of the present generation; a router that does not say of which is taken at its word."""
    observed = condition.get("observedGeneration")
    return observed is None or int(observed) >= generation


def _parent_key(reference: Mapping[str, Any], namespace: str) -> tuple[object, ...]:
    return (
        reference.get("group", "gateway.networking.k8s.io"),
        reference.get("kind") or "Gateway",
        reference.get("namespace") or namespace,
        reference["name"],
        reference.get("sectionName"),
        reference.get("port"),
    )
