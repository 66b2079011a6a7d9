"""The word that a leader leaves for the next one, by which that knows whether it has seen everything."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.cluster.election import NOTE
from tidegate.controller.observe.relations import Relations
from tidegate.controller.process.handover import knows, note
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.store import Store
from tidegate.traffic.routers import Routers

RELATIONS = Relations(Routers.all())
KINDS = {"Release": "releases", "Deployment": "deployments", "ReplicaSet": "rs", "Service": "services", "HTTPRoute": "routes"}


def obj(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": str(version)}}


def seen(**versions: int) -> Store:
    """Return a store in which there are two Releases and one of everything else."""
    store = Store(ManualClock())
    for kind in KINDS:
        store.upsert(kind, obj(kind, "checkout", versions.get(kind, 10)))
    store.upsert("Release", obj("Release", "cart", 11))
    return store


def test_who_has_seen_the_same_knows_everything() -> None:
    """Given caches that are level with the leader's, nothing has to be read."""
    assert knows(seen(), note(seen(), RELATIONS), RELATIONS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_who_has_not_seen_the_last_write_does_not(kind: str) -> None:
    """Given one object of any kind in an older state than the leader's, not everything is known."""
    assert not knows(seen(), note(seen(**{kind: 20}), RELATIONS), RELATIONS)


def test_newer_objects_are_as_good() -> None:
    """Watches of all kinds but Releases go on in the meantime, in order: what is newer stands for everything before."""
    assert knows(seen(Deployment=20, Service=30), note(seen(), RELATIONS), RELATIONS)


def test_release_that_is_newer_than_another_one_proves_nothing() -> None:
    """Events of Releases are not taken in in their order: one that was seen late does not stand for the others."""
    leader, standby = seen(Release=20), seen()
    standby.upsert("Release", obj("Release", "cart", 21))

    assert not knows(standby, note(leader, RELATIONS), RELATIONS)


def test_release_that_has_gone_is_missed() -> None:
    """Given a Release fewer than the leader had seen, not everything is known."""
    leader, standby = seen(), seen()
    leader.remove("Release", obj("Release", "cart", 12))

    assert not knows(standby, note(leader, RELATIONS), RELATIONS)


@pytest.mark.parametrize("broken", [{}, {f"{NOTE}Release": "0" * 32}, {f"{NOTE}{kind}": "no number" for kind in KINDS}])
def test_without_a_whole_note_nothing_is_known(broken: dict[str, str]) -> None:
    """After a crash there is no note; a strange one is none either."""
    assert not knows(seen(), broken, RELATIONS)
