"""The shop that all cases start from, and the few ways in which their manifests differ."""

from __future__ import annotations

from typing import Any

from e2e import manifests
from e2e.manifests import NAME, App, Json, Pods, step

HELD = "1h"
"""A hold that no case waits for."""
SPLIT_IN_TWO = (step(50, "8s"), step(100, "4s"))


def shop() -> dict[str, Json]:
    """Return the user's manifests by kind: two pods behind a Service and a route, released in two steps without gates."""
    return {
        "Service": manifests.service(),
        "HTTPRoute": manifests.route("$HOST"),
        "Deployment": manifests.deployment(App(pods=Pods.REAL, replicas=2)),
        "RolloutPolicy": manifests.policy(*SPLIT_IN_TWO),
        "Release": manifests.release(),
    }


def container(version: str, *, port: int = 8080, port_name: str = "http", **more: Any) -> Json:
    """Return the container `app` of a version.

    Args:
        version: tag of its image.
        port: on which it listens.
        port_name: what its port is called.
        more: other fields; `env` is given as a map.
    """
    env = {"SHUTDOWN_GRACE": "2", "LATENCY_MS": "2", "PORT": str(port), **more.pop("env", {})}
    return {
        "name": "app",
        "image": f"{manifests.REGISTRY}/{NAME}:{version}",
        "ports": [{"name": port_name, "containerPort": port}],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": port}, "periodSeconds": 1},
        **more,
    }


def template(*containers: Json, labels: Json | None = None, annotations: Json | None = None, **more: Any) -> Json:
    """Return a merge patch that gives a Deployment these containers, labels of its pods, and other fields of their spec."""
    metadata = {"labels": labels or {}, "annotations": annotations or {}}
    return {"spec": {"template": {"metadata": metadata, "spec": {"containers": list(containers), **more}}}}


def policy(*steps: Json, gates: tuple[Json, ...] = (), **more: Any) -> Json:
    """Return a merge patch that gives the policy these steps and gates."""
    return {"spec": {"steps": list(steps), "gates": list(gates), **more}}


def gate(source: str, measure: str, name: str = "gate", **more: Any) -> Json:
    """Return a gate on a preset that rolls back, and looks every two seconds."""
    metric = {"preset": {"source": source, "measure": measure}}
    return {"name": name, "metric": metric, "onBreach": "Rollback", "interval": "2s", **more}


def ports(*given: tuple[str, int, int | str]) -> Json:
    """Return a merge patch that gives the Service these ports: name, port and target."""
    return {"spec": {"ports": [{"name": name, "port": port, "targetPort": target} for name, port, target in given]}}
