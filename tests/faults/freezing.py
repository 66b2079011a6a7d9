"""Freezes in the midst of it: a version waits for one to end, and another is no reason to keep a bad version's traffic."""

from __future__ import annotations

import math
import time

from e2e.manifests import Json
from e2e.story import Then, When
from faults.place import Place
from tidegate.cluster.resources import RELEASE_FREEZES

COUNTS_WITHIN = 1.0
"""Seconds from the creation of a freeze until nothing may rise any more."""


def freeze(place: Place) -> Json:
    """Return a ReleaseFreeze for the place's namespace alone: others are on the same cluster."""
    named = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [place.namespace]}
    spec = {"reason": "payments are down", "namespaceSelector": {"matchExpressions": [named]}}
    metadata = {"name": f"incident-{place.namespace}"}
    return {"apiVersion": RELEASE_FREEZES.api_version, "kind": RELEASE_FREEZES.kind, "metadata": metadata, "spec": spec}


async def begin_freeze(place: Place) -> None:
    """Freeze releases."""
    await place.apply(freeze(place))
    place.frozen.append((time.time() + COUNTS_WITHIN, math.inf))


async def end_freeze(place: Place) -> None:
    """End the freeze."""
    place.frozen[-1] = (place.frozen[-1][0], time.time())
    await place.delete(RELEASE_FREEZES.path(None, freeze(place)["metadata"]["name"]))


async def waits_for_the_thaw(place: Place) -> None:
    """A version comes during a freeze: it waits, and begins when that has ended."""
    await begin_freeze(place)
    await When(place).the_image_becomes("v2")
    await place.until("v2 waits", lambda: place.status.get("phase") == "Waiting")
    await place.rest(COUNTS_WITHIN)
    await end_freeze(place)


async def turns_bad_in_a_freeze(place: Place, bad: float) -> None:
    """The metrics turn while releases are frozen, and the version has half of the traffic."""
    await begin_freeze(place)
    place.prometheus.numbers.canary = bad
    await Then(place).rolled_back_to("v1")
    await end_freeze(place)
