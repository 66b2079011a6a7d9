"""What the caches' objects say of who may let a version through, when, and after what."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.api.base import parse_time
from tidegate.api.release import ReleaseSpec
from tidegate.controller.observe.governance import Governance
from tidegate.governance.freezes import FreezeView
from tidegate.governance.view import UNGOVERNED
from tidegate.runtime.clock import SystemClock
from tidegate.runtime.store import Store

MADE = "2026-11-30T08:00:00Z"
RELEASE = {"metadata": {"name": "checkout", "namespace": "shop", "labels": {"tier": "one"}}}
SPEC = ReleaseSpec.model_validate(
    {"targetRef": {"name": "checkout"}, "policyRef": {"name": "production"}, "environment": "production"}
)


def freeze(name: str = "incident", version: int = 1, **spec: Any) -> dict[str, Any]:
    """Return a ReleaseFreeze as the API server has it."""
    metadata = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "generation": version,
        "creationTimestamp": MADE,
    }
    return {"apiVersion": "tidegate.dev/v1alpha1", "kind": "ReleaseFreeze", "metadata": metadata, "spec": {"reason": "why"} | spec}


def store_of(*objects: dict[str, Any], labels: dict[str, str] | None = None) -> Store:
    """Return caches with these ReleaseFreezes, and the Release's namespace with these labels; without any where None is given."""
    store = Store(SystemClock())
    for obj in objects:
        store.upsert("ReleaseFreeze", obj)
    if labels is not None:
        metadata = {"name": "shop", "uid": "shop", "resourceVersion": "1", "labels": labels}
        store.upsert("Namespace", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return store


def matching(*objects: dict[str, Any], labels: dict[str, str] | None = None) -> list[str]:
    """Return the names of the freezes that match."""
    view = Governance(store_of(*objects, labels=labels), lambda _: "").view(RELEASE, SPEC)
    return [one.name for one in view.freezes]


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({}, True),
        ({"environments": ["production"]}, True),
        ({"environments": ["staging"]}, False),
        ({"releaseSelector": {"matchLabels": {"tier": "one"}}}, True),
        ({"releaseSelector": {"matchLabels": {"tier": "two"}}}, False),
        ({"releaseSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "payments"}}}, True),
        ({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["payments"]}]}}, False),
        ({"namespaceSelector": {"matchLabels": {"team": "payments"}}, "environments": ["staging"]}, False),
    ],
)
def test_all_of_what_a_freeze_asks_for_must_be_so(spec: dict[str, Any], *, counts: bool) -> None:
    """Environment, labels of the Release and labels of its namespace: one that is not so, and the freeze is for others."""
    assert (["incident"] if counts else []) == matching(freeze(**spec), labels={"team": "payments"})


def test_a_freeze_counts_since_it_was_created_where_nothing_else_is_said() -> None:
    """Times of its own come first."""
    later, end = "2026-12-24T00:00:00Z", "2027-01-02T00:00:00Z"
    store = store_of(freeze("now"), freeze("later", **{"from": later, "until": end}))

    found = Governance(store, lambda _: "").view(RELEASE, SPEC).freezes

    made = parse_time(MADE)
    assert {FreezeView("now", "why", made), FreezeView("later", "why", parse_time(later), parse_time(end))} == set(found)


def test_a_reason_is_one_line_without_commands_for_a_terminal() -> None:
    """It stands in the status of every Release that waits."""
    store = store_of(freeze(reason="an\n incident\x1b[2J"))

    (found,) = Governance(store, lambda _: "").view(RELEASE, SPEC).freezes

    assert "an incident\ufffd[2J" == found.reason


def test_a_namespace_whose_labels_are_not_known_is_frozen() -> None:
    """Rather one too many: the reason says why."""
    chosen = freeze(namespaceSelector={"matchLabels": {"team": "payments"}})
    unread = Governance(store_of(chosen, labels={"team": "shop"}), lambda kind: "forbidden" if kind == "Namespace" else "")

    (unseen,) = Governance(store_of(chosen), lambda _: "").view(RELEASE, SPEC).freezes

    assert "why; the labels of this namespace are not known, so it counts here" == unseen.reason
    assert ["incident"] == [one.name for one in unread.view(RELEASE, SPEC).freezes]


def test_a_freeze_that_cannot_be_read_counts_until_it_can() -> None:
    """Somebody meant to stop something; once it is mended, it counts as it says, and once it is gone, nothing is frozen."""
    store = store_of(freeze(until="tomorrow"))
    governance = Governance(store, lambda _: "")
    (broken,) = governance.view(RELEASE, SPEC).freezes
    store.upsert("ReleaseFreeze", freeze(version=2, environments=["staging"]))
    mended = governance.view(RELEASE, SPEC)
    store.remove("ReleaseFreeze", freeze(version=3))

    assert "it could not be read (spec.until: " in broken.reason
    assert broken.reason.endswith("), so it counts everywhere")
    assert [UNGOVERNED, UNGOVERNED] == [mended, governance.view(RELEASE, SPEC)]


def test_it_is_said_why_freezes_could_not_be_read() -> None:
    """A right that is missing, or a list that has not come."""
    view = Governance(store_of(), lambda kind: f"list or watch {kind}").view(RELEASE, SPEC)

    assert "list or watch ReleaseFreeze" == view.freezes_unread
