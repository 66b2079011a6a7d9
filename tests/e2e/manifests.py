"""What the user of a test writes: Deployment, Service, HTTPRoute, policy and Release, all called as in a shop."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

Json = dict[str, Any]

NAME = "checkout"
POLICY = "production"
REGISTRY = "registry.example"


class Pods(Enum):
    """What the pods of a test are."""

    FAKE = "kwok"
    """Objects that turn ready at once and serve nothing: for tests of what the operator writes."""
    REAL = "process"
    """Processes that serve requests through Envoy."""


@dataclass(frozen=True)
class App:
    """The user's Deployment, as they have it in Git.

    Attributes:
        pods: what its pods are.
        version: tag of its image.
        replicas: how many; None leaves the number to others, such as an autoscaler.
        image: the whole image, in place of the version's.
        env: environment of its container.
        annotations: of its pod template.
        command: of its container; by default the image's own.
        port: what its container calls the port that it serves on.
    """

    pods: Pods = Pods.FAKE
    version: str = "v1"
    replicas: int | None = 4
    image: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    port: str = "http"

    def changed(self, **changes: Any) -> App:
        return replace(self, **changes)


def deployment(app: App) -> Json:
    """Return the Deployment."""
    labels = {"app": NAME}
    spec: Json = {"selector": {"matchLabels": labels}, "template": _template(app, labels)}
    if app.replicas is not None:
        spec["replicas"] = app.replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, "spec": spec}


def _template(app: App, labels: dict[str, str]) -> Json:
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"} if app.pods is Pods.REAL else {}
    env = {"SHUTDOWN_GRACE": "2", "LATENCY_MS": "2", **app.env}
    container: Json = {
        "name": "app",
        "image": app.image or f"{REGISTRY}/{NAME}:{app.version}",
        "ports": [{"name": app.port, "containerPort": 8080}],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": app.port}, "periodSeconds": 1},
    }
    if app.command:
        container["command"] = list(app.command)
    pod: Json = {"nodeSelector": {"type": app.pods.value}, "terminationGracePeriodSeconds": 6, "containers": [container]}
    if app.pods is Pods.FAKE:
        pod["tolerations"] = [{"key": "kwok.x-k8s.io/node", "operator": "Exists", "effect": "NoSchedule"}]
    return {"metadata": {"labels": labels, "annotations": {**scraped, **app.annotations}}, "spec": pod}


def service(name: str = NAME) -> Json:
    """Return the Service."""
    spec = {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def route(host: str, *rules: Json) -> Json:
    """Return the HTTPRoute; by default with one rule that names the Service and nothing else."""
    plain = {"backendRefs": [{"name": NAME, "port": 80}]}
    spec = {
        "parentRefs": [{"name": "contour", "namespace": "projectcontour"}],
        "hostnames": [host],
        "rules": copy.deepcopy(list(rules)) or [plain],
    }
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": NAME}, "spec": spec}


def step(weight: int, hold: str = "0s", replicas: int | str | None = None) -> Json:
    """Return a step of a policy."""
    found: Json = {"weight": weight, "hold": hold}
    return found if replicas is None else {**found, "replicas": replicas}


def policy(*steps: Json, gates: tuple[Json, ...] = (), name: str = POLICY, **more: Any) -> Json:
    """Return a RolloutPolicy; without a bake and with a short drain unless told otherwise."""
    spec = {"steps": list(steps), "gates": list(gates), "bake": "0s", "drain": "1s", "progressDeadline": "2m", **more}
    return {"apiVersion": "tidegate.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": name}, "spec": spec}


def release(*, routed: bool = True, **more: Any) -> Json:
    """Return the Release."""
    spec: Json = {"targetRef": {"name": NAME}, "policyRef": {"name": POLICY}, **more}
    if routed:
        spec["traffic"] = {"service": NAME, "gatewayAPI": {"httpRoutes": [{"name": NAME}]}}
    return {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": {"name": NAME}, "spec": spec}


def exact_gate(name: str = "errors", *, most: float = 0.01, **more: Any) -> Json:
    """Return a gate on a ratio that the stand-in answers for: the canary's may be at most this."""
    metric = {"promql": {"canary": f"{name}_of_canary", "unit": "Ratio"}}
    gate = {"name": name, "metric": metric, "threshold": {"max": most}, "interval": "1s", "connection": "stand-in"}
    return {**gate, **more}
