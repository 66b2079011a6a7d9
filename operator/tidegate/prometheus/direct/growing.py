"""Whether the pods of gateways that can be read still count a version's requests, where others cannot be read.

A gateway keeps the series of what it has served once. So that a version is on a page says nothing of where its requests go now:
they may all go through the pod that cannot be read, of which Prometheus knows more than a page whose counters stand still.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.wanted import Wanted

PATIENCE = timedelta(seconds=60)
"""For how long counters of a version may stand still while a pod cannot be read: requests can be rare."""
_MOST = 1000
"""Pods that are remembered at most."""


class Growing:
    """Follows the counters of one version."""

    def __init__(self) -> None:
        self._levels: dict[str, float] = {}
        self._since: datetime | None = None
        """When any of them rose, or all pods could be read."""

    def take(self, at: datetime, pages: Iterable[Scraped], wanted: Wanted, *, missed: bool) -> bool:
        """Take the pages of a round in, and return whether they tell of the version.

        Args:
            at: when the round was over.
            pages: of the pods that were read.
            wanted: what counts the version.
            missed: there are pods that could not be read.
        """
        there = False
        if len(self._levels) > _MOST:
            self._levels.clear()
        for one in pages:
            counted = one.page.counted.get(wanted)
            if counted is None:
                continue
            there = there or counted.found
            uid, level = one.target.uid, counted.events.total
            if level > self._levels.get(uid, level):
                self._since = at
            self._levels[uid] = level
        if self._since is None or not missed:
            self._since = at
        return there and at - self._since <= PATIENCE
