"""Views that are kept for as long as what they were made of is the same.

While a rollout is on, a pass comes with every look, and nearly all of what it sees is what the last one saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tidegate.runtime.store import Object, Store

V = TypeVar("V")


class Views:
    """Keeps views of what is around Releases that are being rolled out.

    While a rollout is on, a Release is decided on at every look of its gates, and little of what is around it has changed.

    Args:
        store: the caches; where their history goes back, views are made anew.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, dict[str, tuple[tuple[object, ...], Any]]] = {}

    def of(self, release: Object, name: str, made_of: tuple[object, ...], make: Callable[[], V]) -> V:
        """Return a view, the same one again where it would be made of the same.

        Args:
            release: whose.
            name: of the view, among those of the Release.
            made_of: all that it is made of: objects by their marks, and all else.
            make: makes it.
        """
        kept = self._kept.setdefault(release["metadata"]["uid"], {})
        made_of, before = (self._store.rewinds, *made_of), kept.get(name)
        if before is not None and before[0] == made_of:
            view: V = before[1]
            return view
        view = make()
        kept[name] = (made_of, view)
        return view

    def forget(self, uid: str) -> None:
        """Keep nothing of a Release: it is gone, or none of its rollouts is on."""
        self._kept.pop(uid, None)


def mark(obj: Object | None) -> tuple[str, str] | None:
    """Return what tells an object in one version from all others; None for none."""
    if obj is None:
        return None
    metadata = obj["metadata"]
    return metadata["uid"], metadata["resourceVersion"]
