"""Leaving no trace in objects that belong to the user.

The API server notes who wrote a field last, and would refuse the user's next server-side apply for the sake of a field that is long
as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.api.names import FIELD_MANAGER
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import Conflict
from tidegate.traffic.backends import Json

ATTEMPTS = 5
"""How often the entries are looked up anew: others write to an object at the very moment at which it changes."""


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


def marked(obj: Mapping[str, Any], *, manager: str = FIELD_MANAGER) -> bool:
    """Whether an object has an entry of ours in its managedFields; of a cached object only that is known."""
    return any(entry.get("manager") == manager for entry in obj["metadata"].get("managedFields") or ())


async def leave_none(written: Mapping[str, Any] | None, seen: Mapping[str, Any], path: str, cluster: Cluster) -> bool:
    """Erase our mark from an object that is as its users wrote it, and return whether anything was written, now or just before.

    Args:
        written: the object as this pass has put it back; None where an earlier one did, and perhaps got no further.
        seen: the object as it was cached.
        path: its path.
        cluster: the API.

    Raises:
        ApiError: the API refused.
    """
    if written is None and not marked(seen):
        return False
    erased = await erase(await cluster.get(path) if written is None else written, path, cluster)
    return erased or written is not None


async def erase(obj: Mapping[str, Any], path: str, cluster: Cluster) -> bool:
    """Remove our entries from an object's managedFields, and return whether there were any.

    The change that went before has been noticed by others, such as a router that writes the object's status: an object that has
    changed since is read again.

    Args:
        obj: the object as it was written or read last.
        path: its path.
        cluster: the API.

    Raises:
        ApiError: the API refused; a `Conflict` means that others write all the time.
    """
    for attempt in range(1, ATTEMPTS + 1):
        patch = forget(obj)
        if patch is None:
            return False
        try:
            await cluster.json_patch(path, patch)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
            obj = await cluster.get(path)
        else:
            break
    return True
