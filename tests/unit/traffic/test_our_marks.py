"""Leaving no trace in objects that belong to the user."""

from __future__ import annotations

import jsonpatch

from tidegate.traffic.our_marks import forget


def entry(manager: str) -> dict:
    return {"manager": manager, "operation": "Update", "fieldsV1": {}}


def obj(*managers: str) -> dict:
    return {"metadata": {"resourceVersion": "7", "managedFields": [entry(manager) for manager in managers]}}


def test_our_entries_go_and_others_stay():
    """Entries are named by position: removing several must not shift the wrong ones away."""
    before = obj("tidegate", "kubectl", "tidegate", "flux")

    after = jsonpatch.apply_patch(before, forget(before))

    assert after == obj("kubectl", "flux")


def test_nothing_of_ours_is_nothing_to_do():
    """No entry, no patch."""
    assert forget(obj("kubectl")) is None
    assert forget({"metadata": {}}) is None


def test_list_with_our_entries_alone_is_cleared():
    """An empty list would mean no opinion to the API server; one empty entry clears it."""
    patch = forget(obj("tidegate"))

    assert patch is not None
    assert patch[1] == {"op": "replace", "path": "/metadata/managedFields", "value": [{}]}
