"""Many services, one bad release: all of them are mid-canary when Prometheus says in one instant that every new version is bad.

More routes wait to be shut than there are workers, so the statuses are put off until all of them are shut: whoever dies in between
leaves routes that are shut and statuses that do not say why.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping

from e2e import manifests
from e2e.manifests import NAME, App, Json
from e2e.world import condition_of, image_of, weights
from faults.journeys import BAD, HELD_AT_HALF, POLICY, Journey
from faults.place import Place
from faults.wire import Written
from faults.writes import Asked
from tidegate.api.names import FIELD_MANAGER, LABEL_RELEASE, Cause
from tidegate.controller.process.app import URGENT_WORKERS

SERVICES = 20
WORKERS = 1
AT_ONCE = WORKERS + URGENT_WORKERS
"""Passes that may take traffic from bad versions side by side: all other Releases wait for one of these to end."""
GATHERING = 1.5
"""Seconds in which each gate is looked at once, at an interval of one second."""
PATIENT = 3.0
"""How many times as long as for one Release it may take."""
_SHUTS = re.compile(r"(-\d+)-stable=100,\1-canary=0$")


def names() -> list[str]:
    """Return the names of the services."""
    return [f"{NAME}-{number:02}" for number in range(1, SERVICES + 1)]


def named(manifest: Json, name: str) -> Json:
    """Return a manifest of the shop as that of one of many services."""
    return dict(json.loads(json.dumps(manifest).replace(f'"{NAME}"', f'"{name}"')))


# The journey.


async def begins_half_way(place: Place) -> None:
    """Every service has a new version that has half of its traffic, and stays there."""
    place.patience *= PATIENT
    await place.apply(manifests.policy(*HELD_AT_HALF, **POLICY))
    await asyncio.gather(*(_serves(place, name) for name in names()))
    await _all(place, "v1 is available", lambda name: _available(place, name))
    await place.operator.ready()
    await asyncio.gather(*(place.apply(named(manifests.release(), name)) for name in names()))
    await _all(place, "the Release is Ready", lambda name: _managed(place, name))
    await asyncio.gather(*(_deploy(place, name, "v2") for name in names()))
    await _all(place, "the route carries 50%", lambda name: _half_way(place, name))


async def _serves(place: Place, name: str) -> None:
    await place.apply(named(manifests.service(), name))
    await place.apply(named(manifests.route(f"{name}.{place.host}"), name))
    await _deploy(place, name, "v1")


async def _deploy(place: Place, name: str, version: str) -> None:
    await place.apply(named(manifests.deployment(App(version=version, replicas=1)), name))


async def turns_bad(place: Place) -> None:
    """The error rates of all new versions turn bad at once."""
    place.prometheus.keep_back()
    await asyncio.sleep(GATHERING)
    place.prometheus.numbers.canary = BAD
    place.prometheus.answer_all()
    await _all(place, "it is rolled back", lambda name: _is_over(place, name))


async def _all(place: Place, what: str, holds: Callable[[str], bool]) -> None:
    """Wait until something holds for each service."""
    left = names()

    def settled() -> bool:
        left[:] = [name for name in left if not holds(name)]
        return not left

    try:
        await place.until(what, settled)
    except AssertionError as error:
        first, _, rest = str(error).partition("\n")
        raise AssertionError(f"{first} of {', '.join(left)}\n{rest}") from None


def _available(place: Place, name: str) -> bool:
    deployment = place.history.get("Deployment", name) or {}
    return (deployment.get("status") or {}).get("availableReplicas") == 1


def _managed(place: Place, name: str) -> bool:
    release, deployment = place.history.get("Release", name) or {}, place.history.get("Deployment", name) or {"metadata": {}}
    return condition_of(release, "Ready").get("status") == "True" and LABEL_RELEASE in deployment["metadata"].get("labels", {})


def _half_way(place: Place, name: str) -> bool:
    return share_of(_route(place, name), name) == 50 and "since" in (status_of(place, name).get("step") or {})


def _is_over(place: Place, name: str) -> bool:
    status = status_of(place, name)
    return status.get("phase") == "RolledBack" and not status.get("candidate") and _is_as_written(place, name)


BURST = Journey(
    "burst",
    begins_half_way,
    turns_bad,
    most=50,
    undone_by=(Cause.GATE,),
    large=True,
    settings={"workers": WORKERS, "query_timeout": "10s"},
)


# What there is to see.


def share_of(route: Json, name: str) -> float:
    """Return the share in percent that the new version of a service has in its route."""
    own = weights(route)[0] if route else {}
    return 100 * own.get(f"{name}-canary", 0) / (sum(own.values()) or 1)


def at_rest(place: Place) -> Json:
    """Return what stands there after the burst, service by service."""
    return {name: _rest_of(place, name) for name in names()}


def _rest_of(place: Place, name: str) -> Json:
    status, deployment = status_of(place, name), place.history.get("Deployment", name) or {"spec": {}}
    last, stable = status.get("lastRollout") or {}, status.get("stable") or {}
    return {
        "phase": status.get("phase"),
        "weight": status.get("weight"),
        "stable": stable.get("version"),
        "rolling": [field for field in ("candidate", "rollout", "step", "gates", "originalRules") if status.get(field)],
        "last": {key: last.get(key) for key in ("version", "outcome", "cause")},
        "rejected": [(entry["version"], entry["cause"]) for entry in status.get("rejected", ())],
        "conditions": {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())},
        "paused": bool(deployment["spec"].get("paused")),
        "routeAsWritten": _is_as_written(place, name),
        "services": sorted(one["metadata"]["name"] for one in place.history.all("Service") if _is_of(one, name)),
        "pods": sorted(image_of({"spec": {"template": pod}}) for pod in place.history.all("Pod") if _lives(pod, name)),
    }


def put_off(written: Iterable[Written]) -> int:
    """Return how many verdicts were put off at one instant at most: acted on, and not yet sent to be stored.

    A verdict that is not put off keeps its worker busy until it is stored: there are never more of them than passes at once.
    """
    shut, stored = dict[str, float](), dict[str, float]()
    for one in sorted((one for one in written if one.status < 300), key=lambda one: one.at):
        if shuts(one.asked):
            shut.setdefault(one.name, one.answered)
        elif is_verdict(one.asked):
            stored.setdefault(one.name, one.at)
    return max((_waiting(shut, stored, at) for at in shut.values()), default=0)


def _waiting(shut: Mapping[str, float], stored: Mapping[str, float], at: float) -> int:
    return sum(since <= at < stored.get(name, math.inf) for name, since in shut.items())


def shuts(asked: Asked) -> bool:
    """Whether a write takes all traffic from the new version of one of the services."""
    return asked.kind.resource.startswith("httproutes") and _SHUTS.search(asked.says) is not None


def is_verdict(asked: Asked) -> bool:
    """Whether a write stores that a version is bad."""
    return asked.kind.resource == "releases.tidegate.dev/status" and asked.says.startswith("phase=RollingBack")


def status_of(place: Place, name: str) -> Json:
    """Return the status of a service's Release as it is now."""
    return (place.history.get("Release", name) or {}).get("status") or {}


def _route(place: Place, name: str) -> Json:
    return place.history.get("HTTPRoute", name) or {}


def _is_as_written(place: Place, name: str) -> bool:
    now = _route(place, name)
    first = place.history.versions("HTTPRoute", name)[0].object
    managers = {entry["manager"] for entry in now["metadata"].get("managedFields", ())} if now else set()
    return bool(now) and now["spec"] == first["spec"] and FIELD_MANAGER not in managers


def _is_of(obj: Json, name: str) -> bool:
    return bool(obj["metadata"]["name"] in {name, f"{name}-stable", f"{name}-canary"})


def _lives(pod: Json, name: str) -> bool:
    return pod["metadata"].get("labels", {}).get("app") == name and not pod["metadata"].get("deletionTimestamp")
