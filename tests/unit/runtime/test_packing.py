"""Texts of objects that are alike are kept small, and read again as they were."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidegate.runtime.clock import ManualClock
from tidegate.runtime.packing import Press, pack, pulled
from tidegate.runtime.store import Store

TEXTS = st.binary(max_size=3000) | st.builds(lambda piece, times: piece * times, st.binary(max_size=200), st.integers(0, 300))


@given(texts=st.lists(TEXTS, max_size=5))
def test_what_is_pressed_is_read_as_it_was(texts: list[bytes]) -> None:
    """Whatever came first, and however long a text is, pressing loses nothing and makes nothing longer."""
    press = Press()

    for text in texts:
        pressed, like = press.press("Deployment", text)
        assert text == pulled(pressed, like)
        assert len(pressed) <= len(text)


def deployment(name: str) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": f"registry.example/team/{name}:v1",
        "env": [{"name": f"SETTING_{number}", "value": f"value-{number}-of-{name}"} for number in range(12)],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 5},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], "schedulerName": "default-scheduler"}}
    metadata = {"namespace": "shop", "name": name, "uid": name, "resourceVersion": "7"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 2, "template": template}}


def test_objects_that_are_alike_take_a_quarter() -> None:
    """Given Deployments by the same tool, those after the first take less than a quarter of their text."""
    press, texts = Press(), [pack(deployment(name)) for name in ("checkout", "cart", "search", "payments")]

    sizes = [(len(press.press("Deployment", text)[0]), len(text)) for text in texts]

    assert all(4 * pressed < whole for pressed, whole in sizes), sizes


def test_store_reads_objects_as_they_came() -> None:
    """Given objects of several kinds, each is read as it was put in, after a change as well, and found by its owner."""
    store = Store(ManualClock())
    objects = [deployment(name) for name in ("checkout", "cart")]
    owned = copy.deepcopy(objects[0]) | {"kind": "ReplicaSet"}
    owned["metadata"] |= {"uid": "rs", "ownerReferences": [{"kind": "Deployment", "name": "checkout", "uid": "checkout"}]}
    changed = copy.deepcopy(objects[1])
    changed["metadata"]["resourceVersion"], changed["spec"]["replicas"] = "8", 5

    for one in (*objects, owned, changed):
        store.upsert(one["kind"], one)

    assert [changed, objects[0]] == store.objects("Deployment")
    assert [owned] == store.owned_by("checkout")
    assert store.remove("Deployment", changed) is not None
    assert store.get("Deployment", "shop", "cart") is None
