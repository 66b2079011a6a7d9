"""A Release that follows another: what is proved there is taken over here once, whoever dies at whichever write."""

from __future__ import annotations

from datetime import UTC, datetime

from e2e.manifests import NAME, REGISTRY, Json
from e2e.manifests import release as plain
from faults.place import Place
from tidegate.cluster.resources import RELEASES

UPSTREAM = "staging"
"""Name of the other Release. Its workload is not there, so that nothing is done about it; its status says what it has promoted."""


def other() -> Json:
    """Return the Release that is followed."""
    found = plain(routed=False)
    return {**found, "metadata": {"name": UPSTREAM}, "spec": {**found["spec"], "targetRef": {"name": UPSTREAM}}}


async def proves(place: Place, version: str) -> None:
    """The other Release has promoted a version, as its status says."""
    promoted = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    stable = {"revision": version, "version": version, "replicas": 1, "ready": 1, "promotedAt": promoted}
    status = {"stable": {**stable, "images": {"app": f"{REGISTRY}/{NAME}:{version}"}}}
    await place.patch(RELEASES.path(place.namespace, UPSTREAM, "status"), {"status": status})


async def follows(place: Place) -> None:
    """The Release begins to follow another one, which has promoted a version."""
    await place.apply(other())
    # Or what it decides on that one at first would take back what is written here.
    await place.until("the other is decided on", lambda: bool((place.history.get("Release", UPSTREAM) or {}).get("status")))
    await place.apply(plain(follow={"release": UPSTREAM}))
    await proves(place, "v2")
    await place.until("v2 is taken over", lambda: (place.status.get("followed") or {}).get("version") == "v2")
