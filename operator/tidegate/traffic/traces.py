"""Leaving no trace in objects that belong to the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.api.names import FIELD_MANAGER
from tidegate.traffic.backends import Json


def forget(obj: Mapping[str, Any], *, manager: str = FIELD_MANAGER) -> list[Json] | None:
    """Return the JSON patch that removes our entries from an object's managedFields; None where there are none.

    Once a field is as the user wrote it, nothing of it is ours. Yet the API server has noted us as the last to write it, and
    would refuse the user's next server-side apply that changes it. The entries are named by position, so the patch rests on
    the resourceVersion.
    """
    entries = obj["metadata"].get("managedFields") or []
    ours = [index for index, entry in enumerate(entries) if entry.get("manager") == manager]
    if not ours:
        return None
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": obj["metadata"]["resourceVersion"]}
    if len(ours) == len(entries):
        # An empty list would be taken for "no opinion": only a list of one empty entry clears it.
        return [test, {"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    return [test, *({"op": "remove", "path": f"/metadata/managedFields/{index}"} for index in reversed(ours))]
