"""Cases of telemetry, of pods that are not ready, and of what people type."""

from __future__ import annotations

from e2e.manifests import Json, step
from field.case import Case, End, Outcome, Scraping
from field.manifests import HELD, container, gate, policy, template

UNTOLD = "errors that cannot be told"
TWICE = "pods scraped twice"
RESTARTS = "restarts that are not counted"
UNREADY = "why pods are not ready"
PEOPLE = "what a person types"

_STATUS = ["$PYTHON", "$SERVICES/status_service.py"]
_RELATIVE = {"versusStable": {"maxIncrease": {"points": 1}}}
_HELD_AT_HALF = policy(step(50, HELD), step(100), gates=(gate("HTTP", "ErrorRate", **_RELATIVE),))
_SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
_SHORT = policy(step(50, "4s"), step(100), progressDeadline="15s")
_PROXY = {"name": "mesh-proxy", "image": "registry.example/proxy:1", "restartPolicy": "Always"}
_NOTHING_LISTENS = {"tcpSocket": {"port": 15021}, "periodSeconds": 1}


def _unknown_label(name: str, measure: str, sample: bool = False, **limit: object) -> Case:
    def app(version: str, **env: str) -> Json:
        return template(container(version, command=_STATUS, env=env), annotations=_SCRAPED)

    return Case(
        name,
        UNTOLD,
        f"requests are counted by `status`, and the preset's {measure} looks for `code`; the new version fails 40% of its requests",
        (End(Outcome.UNDER_WAY, ("code",)), End(Outcome.REFUSED, ("code",))),
        before={
            "Deployment": app("v1"),
            "RolloutPolicy": policy(step(50, "6s"), step(100), gates=(gate("HTTP", measure, **limit),)),
        },
        then={"Deployment": app("v2", ERROR_RATE="0.4")},
        ill=frozenset({"v2"}),
        stays=6,
        sample=sample,
    )


def _twice(name: str, scraping: Scraping) -> Case:
    return Case(
        name,
        TWICE,
        f"pods are scraped {scraping}",
        (End(Outcome.UNDER_WAY, ("requests",)),),
        before={"RolloutPolicy": _HELD_AT_HALF},
        then={"Deployment": template(container("v2"))},
        scraping=scraping,
        checks=("requests_are_counted_once",),
        stays=8,
        sample=scraping is Scraping.TWICE,
    )


def _restarts(name: str, story: str, **more: object) -> Case:
    sidecar = {
        "name": "mesh-proxy",
        "image": "registry.example/proxy:1",
        "restartPolicy": "Always",
        "env": [{"name": "PORT", "value": "0"}],
    }
    wanted = gate("Kubernetes", "Restarts", threshold={"max": 1}, **more)
    return Case(
        name,
        RESTARTS,
        story,
        (End(Outcome.ROLLED_BACK, ("restarts",)),),
        before={
            "Deployment": template(container("v1"), initContainers=[sidecar]),
            "RolloutPolicy": policy(step(50, HELD), step(100), gates=(wanted,)),
        },
        then={"Deployment": template(container("v2"), initContainers=[sidecar])},
        scraping=Scraping.KUBE_STATE,
        sample=not more,
    )


def _unready(name: str, story: str, words: tuple[str, ...], **pod: object) -> Case:
    return Case(
        name,
        UNREADY,
        story,
        (End(Outcome.UNDONE, words),),
        before={"RolloutPolicy": _SHORT},
        then={"Deployment": template(container("v2"), **pod)},
        load=10,
        sample=name == "readiness-gate",
    )


CASES = (
    _unknown_label("status-label-relative", "ErrorRate", sample=True, **_RELATIVE),
    _unknown_label("status-label-limit", "Availability", judge="Limit", window="10s", threshold={"min": 0.99}),
    _twice("two-jobs", Scraping.TWICE),
    _twice("two-replicas", Scraping.REPLICAS),
    _restarts("sidecar-restarts", "a native sidecar of the new version restarts all the time, and nothing else does"),
    _restarts("sidecar-restarts-limit", "the same under judge Limit", judge="Limit", window="15s"),
    _unready(
        "readiness-gate",
        "a readiness gate of the new version is never answered",
        ("shop.example/registered",),
        readinessGates=[{"conditionType": "shop.example/registered"}],
    ),
    _unready(
        "sidecar-unready",
        "a native sidecar of the new version is up and never ready",
        ("mesh-proxy",),
        initContainers=[{**_PROXY, "command": ["sleep", "9999"], "readinessProbe": _NOTHING_LISTENS}],
    ),
    _unready(
        "init-endless",
        "an init container of the new version does not end",
        ("migrate",),
        initContainers=[{"name": "migrate", "image": "registry.example/migrate:1", "command": ["sleep", "9999"]}],
    ),
    _unready(
        "sidecar-never-started",
        "a native sidecar of the new version never passes its startup probe",
        ("mesh-proxy",),
        initContainers=[{**_PROXY, "command": ["sleep", "9999"], "startupProbe": {**_NOTHING_LISTENS, "failureThreshold": 600}}],
    ),
    Case(
        "rollout-pause",
        PEOPLE,
        "a person pauses the Deployment with kubectl, to make several changes and to resume once",
        (End(Outcome.UNDER_WAY, ("kubectl rollout pause", "tidegate.dev/request")),),
        kubectl=("rollout", "pause", "deployment/checkout"),
        sample=True,
        load=10,
    ),
)
