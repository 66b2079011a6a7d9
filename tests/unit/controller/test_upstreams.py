"""What a Release may know of others, as their objects say it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tidegate.api.base import format_duration
from tidegate.api.followed import FollowedStatus
from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE
from tidegate.api.release import After, ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.upstreams import Upstreams, overlaid, told_apart, view_of
from tidegate.controller.observe.workloads import workload_around
from tidegate.governance.upstreams import UpstreamView
from tidegate.runtime.clock import SystemClock
from tidegate.runtime.shelf import Key
from tidegate.runtime.store import Change, Store
from unit.controller import objects
from unit.controller.objects import NAME, Json

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
STABLE: Json = {
    "revision": "aaaa",
    "version": "v1.4",
    "replicas": 3,
    "ready": 3,
    "images": {"app": "checkout:v1.4"},
    "promotedAt": "2026-11-30T12:00:00Z",
}


def upstream(stable: Any = STABLE, *, namespace: str = "staging", **status: Any) -> Json:
    """Return a Release as it is stored."""
    found = objects.release()
    found["metadata"] = {**found["metadata"], "namespace": namespace, "uid": "staging-1", "resourceVersion": "7"}
    return {**found, "status": {"stable": stable, **status}}


def test_all_that_proves_is_read_off_the_status():
    """Version, images and moments are those of the stable version."""
    found = view_of(upstream(phase="Progressing", message="all kinds of text"), "staging", NAME)

    assert found == UpstreamView(
        release=NAME,
        namespace="staging",
        uid="staging-1",
        version="v1.4",
        revision="aaaa",
        images={"app": "checkout:v1.4"},
        promoted_at=NOON,
    )


def test_claims_beside_the_status_count_for_nothing():
    """What anybody with a right on Releases may write proves no version."""
    claimed = upstream({**STABLE, "version": "v1.3"})
    claimed["spec"] = {**claimed["spec"], "version": "v1.4", "images": {"app": "checkout:v1.4"}}
    claimed["metadata"] |= {"labels": {"version": "v1.4"}, "annotations": {"promotedAt": "2026-11-30T12:00:00Z"}}

    assert view_of(claimed, "staging", NAME).version == "v1.3"


@pytest.mark.parametrize(
    "status", [None, {}, {"stable": None}, {"stable": []}, {"stable": {"promotedAt": "x"}}, {"stable": "v1.4"}]
)
def test_a_status_that_cannot_be_read_proves_nothing(status: Any):
    """As far as others may know, no version serves there."""
    found = view_of({**upstream(), "status": status}, "staging", NAME)

    assert (found.exists, found.version, found.promoted_at) == (True, "", None)


def test_the_text_of_a_version_is_bounded():
    """One line of 128 characters at most, whatever somebody has written into the status."""
    found = view_of(upstream({**STABLE, "version": "v1\n" * 42}), "staging", NAME)

    assert len(found.version) <= 128
    assert "\n" not in found.version


def test_others_are_found_where_the_release_names_them():
    """By default in its own namespace; what is not there is known as such, and so is a namespace that is not served."""
    store = Store(SystemClock(), labels=(), needed=lambda *_: True)
    store.upsert("Release", upstream())
    after = [After(release=NAME, namespace="staging"), After(release="ledger")]

    there, gone = (one.upstream for one in Upstreams(store).views("shop", after))

    assert (there.exists, there.version) == (True, "v1.4")
    assert (gone.exists, gone.namespace) == (False, "shop")
    (unserved,) = Upstreams(store, namespaces=["shop"]).views("shop", after[:1])
    assert unserved.upstream.unread == "this operator does not serve namespace staging"
    assert not unserved.upstream.version


def test_others_of_another_cluster_are_asked_for_there():
    """With the namespace of who asks; which namespaces this operator serves does not matter there."""
    asked: list[tuple[str, ...]] = []

    def elsewhere(own: str, cluster: str, namespace: str, name: str) -> UpstreamView:
        asked.append((own, cluster, namespace, name))
        return view_of(upstream(namespace=namespace), namespace, name, cluster)

    upstreams = Upstreams(Store(SystemClock()), namespaces=["shop"], elsewhere=elsewhere)
    after = [After(release=NAME, cluster="west"), After(release=NAME, namespace="staging", cluster="west")]

    found = [one.upstream.name for one in upstreams.views("shop", after)]

    assert found == [f"{NAME} in shop (cluster west)", f"{NAME} in staging (cluster west)"]
    assert asked == [("shop", "west", "shop", NAME), ("shop", "west", "staging", NAME)]


@pytest.mark.parametrize(("cluster", "soak"), [("west", "2h"), ("north", "0s"), (None, "0s")])
def test_the_soak_of_what_is_followed_is_asked_of_the_same_release(cluster: str | None, soak: str):
    """By name, namespace and cluster."""
    after = {"release": NAME, "namespace": "staging", "soak": "2h", **({"cluster": cluster} if cluster else {})}
    follow = {"release": NAME, "namespace": "staging", "cluster": "west"}
    spec = ReleaseSpec.model_validate(objects.release(after=[after], follow=follow)["spec"])
    store = Store(SystemClock(), labels=(LABEL_RELEASE, LABEL_POD_TEMPLATE_HASH))
    deployment = objects.deployment()
    store.upsert("Deployment", {**deployment, "metadata": deployment["metadata"] | {"uid": "1", "resourceVersion": "1"}})
    workload = workload_around(
        store, ReleaseKey("shop", NAME), release=upstream(namespace="shop"), spec=spec, status=ReleaseStatus(), pods=None
    )
    assert workload is not None

    view = Upstreams(store).followed("shop", spec, workload, ReleaseStatus())

    assert view is not None
    assert format_duration(view.soak) == soak


def change(old: Json | None, new: Json | None) -> Change:
    """Return a change of the Release in staging."""
    return Change(Key("Release", "staging", NAME), old, new)


@pytest.mark.parametrize(
    "new",
    [
        None,
        upstream({**STABLE, "version": "v1.5"}),
        upstream({**STABLE, "images": {"app": "checkout:v1.5"}}),
        upstream({**STABLE, "rolledBackAt": "2026-11-30T13:00:00Z"}),
        upstream({**STABLE, "trouble": "CrashLoopBackOff"}),
        upstream({**STABLE, "replicas": 0}),
        upstream(phase="RollingBack"),
    ],
)
def test_what_may_prove_or_not_is_told(new: Json | None):
    """Each of these may open or close what comes after it."""
    assert told_apart(change(upstream(), new))
    assert told_apart(change(new, upstream()))


@pytest.mark.parametrize(
    "new",
    [
        upstream(),
        upstream({**STABLE, "replicas": 7, "ready": 1}),
        upstream(phase="Progressing", message="step 1 of 3", weight=5, gates=[{"name": "errors"}]),
    ],
)
def test_what_proves_nothing_wakes_nobody(new: Json):
    """A rollout writes its status with every look; those that come after are not asked each time."""
    assert not told_apart(change(upstream(), new))


def test_what_was_taken_over_is_laid_over_the_spec():
    """The spec itself stays its user's; a name of the version's own in it goes before that of the other Release."""
    spec = ReleaseSpec.model_validate(objects.release(follow={"release": NAME, "namespace": "staging"})["spec"])
    taken = FollowedStatus(release=NAME, namespace="staging", version="v1.4", images={"app": "checkout:v1.4"}, at=NOON)
    status = ReleaseStatus(followed=taken)

    assert overlaid(spec, status).images == {"app": "checkout:v1.4"}
    assert overlaid(spec, status).version == "v1.4"
    assert spec.images == {}
    assert overlaid(spec.model_copy(update={"version": "mine"}), status).version == "mine"
    assert overlaid(spec, ReleaseStatus()) is spec
    assert overlaid(spec.model_copy(update={"follow": None}), status).images == {}
