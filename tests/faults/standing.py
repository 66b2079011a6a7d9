"""What stands in a namespace at one instant, in the terms in which invariants are stated."""

from __future__ import annotations

from collections.abc import Iterable

from e2e.manifests import NAME, Json
from e2e.world import weights
from faults.recorder import Instant
from tidegate.api.kept import opened
from tidegate.api.names import LABEL_POD_TEMPLATE_HASH

STABLE, CANARY = f"{NAME}-stable", f"{NAME}-canary"


def status_of(now: Instant) -> Json:
    """Return the Release's status, with what the operator keeps for itself in fields; empty where there is none."""
    return opened((now.get("Release", NAME) or {}).get("status") or {})


def own_weights(now: Instant, app: str = NAME) -> list[dict[str, int]]:
    """Return, rule by rule, the weights of an app's Service and of the operator's two."""
    route, own = now.get("HTTPRoute", app), {app, f"{app}-stable", f"{app}-canary"}
    return [{name: one for name, one in rule.items() if name in own} for rule in weights(route)] if route else []


def weighted(now: Instant, app: str = NAME) -> dict[str, float]:
    """Return the Services of an app that have weight, each with its share."""
    found: dict[str, float] = {}
    for rule in own_weights(now, app):
        whole = sum(rule.values())
        found |= {name: max(weight / whole, found.get(name, 0.0)) for name, weight in rule.items() if weight}
    return found


def ready_pods(now: Instant, selector: Json) -> list[Json]:
    """Return the pods that a selector selects and that are ready and not being stopped."""
    return [
        pod
        for pod in now.all("Pod")
        if selects(selector, pod["metadata"].get("labels", {}))
        and not pod["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions", ()))
    ]


def endpoints(now: Instant, service: str) -> int:
    """Return how many endpoints of a Service are ready."""
    return sum(
        bool((endpoint.get("conditions") or {}).get("ready"))
        for piece in now.all("EndpointSlice")
        if piece["metadata"]["labels"].get("kubernetes.io/service-name") == service
        for endpoint in piece.get("endpoints") or ()
    )


def revision_behind(now: Instant, service: str) -> str | None:
    """Return the revision that a Service selects."""
    found = now.get("Service", service)
    return found["spec"]["selector"].get(LABEL_POD_TEMPLATE_HASH) if found else None


def revision_of(replica_set: Json) -> str | None:
    """Return a ReplicaSet's revision."""
    revision: str | None = replica_set["metadata"]["labels"].get(LABEL_POD_TEMPLATE_HASH)
    return revision


def selects(selector: Json, labels: Json) -> bool:
    """Whether a selector of plain labels selects these."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def owners(obj: Json) -> set[str]:
    """Return the kinds of an object's owners."""
    return {owner["kind"] for owner in obj["metadata"].get("ownerReferences", ())}


def without_backends(route: Json) -> Json:
    """Return a route's spec but for its backends."""
    rules = [{key: value for key, value in rule.items() if key != "backendRefs"} for rule in route["spec"]["rules"]]
    return {**route["spec"], "rules": rules}


def fields_of(obj: Json, manager: str) -> Iterable[str]:
    """Yield what a field manager owns, as far as it matters here: fields of the spec by name, labels by key."""
    for entry in obj["metadata"].get("managedFields", ()):
        if entry["manager"] != manager:
            continue
        fields = entry.get("fieldsV1") or {}
        yield from (name.removeprefix("f:") for name in fields.get("f:spec", {}))
        for part, inner in fields.get("f:metadata", {}).items():
            keys = [key.removeprefix("f:") for key in inner if key != "."]
            yield from (f"{part.removeprefix('f:')}/{key}" for key in keys)
