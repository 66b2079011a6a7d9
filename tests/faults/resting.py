"""What stands in a place after a journey: by it, a journey with a fault is held against one without."""

from __future__ import annotations

from e2e import invariants
from e2e.manifests import NAME, Json
from faults import asking, flagging, grouping
from faults.checking import ended
from faults.deciding import outcomes
from faults.place import Place


def at_rest(place: Place) -> Json:
    """Return what stands in a place after a journey, without what differs from run to run."""
    release, status = place.release, place.status
    deployment = place.history.get("Deployment", NAME) or {"metadata": {}, "spec": {"template": {}}}
    conditions = {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())}
    last = status.get("lastRollout") or {}
    return {
        "release": {
            "there": bool(release),
            "finalizers": release.get("metadata", {}).get("finalizers", []),
            "phase": status.get("phase"),
            "weight": status.get("weight"),
            "stable": {key: (status.get("stable") or {}).get(key) for key in ("revision", "version")},
            "rolling": [name for name in ("candidate", "rollout", "step", "gates", "originalRules") if status.get(name)],
            "last": {key: last.get(key) for key in ("version", "revision", "outcome", "cause")},
            "rejected": sorted((one["version"], one["cause"]) for one in status.get("rejected", ())),
            "handled": str(status.get("handledRequest", "")).partition("/")[0],
            "conditions": conditions,
        },
        "others": grouping.others_at_rest(place),
        "flags": flagging.left(place),
        "decisions": outcomes(place),
        "jobs": ended(place),
        "asked": asking.left(place),
        "reviews": len(status.get("reviews", ())),
        "deployment": {
            "labels": deployment["metadata"].get("labels", {}),
            "replicas": deployment["spec"].get("replicas"),
            "paused": bool(deployment["spec"].get("paused")),
            "template": deployment["spec"]["template"],
        },
        "route": place.route["spec"]["rules"],
        "routeAsWritten": invariants.the_route_is_as_written(place),
        "services": {
            service["metadata"]["name"]: {"selector": service["spec"]["selector"], "owners": _owners(service)}
            for service in place.history.all("Service")
        },
        "replicaSets": {
            rs["metadata"]["labels"]["pod-template-hash"]: {
                "image": rs["spec"]["template"]["spec"]["containers"][0]["image"],
                "wanted": rs["spec"]["replicas"],
                "owners": _owners(rs),
                "ready": (rs.get("status") or {}).get("readyReplicas", 0),
                "marks": sorted(label for label in rs["metadata"]["labels"] if label.startswith("tidegate")),
            }
            for rs in place.history.all("ReplicaSet")
        },
        "pods": sorted(pod["spec"]["containers"][0]["image"] for pod in _living(place)),
    }


def _living(place: Place) -> list[Json]:
    return [pod for pod in place.history.all("Pod") if not pod["metadata"].get("deletionTimestamp")]


def _owners(obj: Json) -> list[str]:
    return sorted(owner["kind"] for owner in obj["metadata"].get("ownerReferences", ()))
