"""Asks the API server whether those who have decided may still do so, at the moment at which their decisions are to count."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tidegate.api.names import FIELD_MANAGER, GROUP
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import LOCAL_SUBJECT_ACCESS_REVIEWS, RELEASES
from tidegate.controller.observe.admission import Admission
from tidegate.controller.observe.decisions import Decisions
from tidegate.governance.decisions import CAREFUL, DecisionView
from tidegate.runtime.store import Object

AT_ONCE = 4
"""Questions at a time for one Release."""


class Rights:
    """Reads them.

    Args:
        cluster: the API.
        decisions: finds decisions.
        admission: knows how far decisions can be believed.
    """

    def __init__(self, cluster: Cluster, decisions: Decisions, admission: Admission) -> None:
        self._cluster, self._decisions, self._admission = cluster, decisions, admission

    def asked(self, namespace: str, release: str) -> str:
        """Return what is asked for a Release: of another set of decisions it is another question."""
        found = self._open(namespace, release)
        return " ".join([release, *sorted(one.uid for one in found)])

    async def read(self, namespace: str, asked: str) -> list[Object]:
        """Return of each decision whether whoever has made it may do so now.

        Args:
            namespace: of the Release.
            asked: as `asked` has said it.

        Raises:
            ApiError: it is not known.
        """
        release, *uids = asked.split(" ")
        found = [one for one in self._open(namespace, release) if one.uid in uids]
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(one: DecisionView) -> Object:
            async with turns:
                return {"metadata": {}, "uid": one.uid, "allowed": await self._may(namespace, release, one)}

        # Of the same moment, and asked together: a vote counts a request's time earlier.
        standing, may = await asyncio.gather(self._admission.fresh(), asyncio.gather(*map(ask, found)))
        return [] if standing.trouble else list(may)

    def _open(self, namespace: str, release: str) -> Iterable[DecisionView]:
        return [one for one in self._decisions.of(namespace, release).views if one.action not in CAREFUL]

    async def _may(self, namespace: str, release: str, one: DecisionView) -> bool:
        attributes = {
            "namespace": namespace,
            "verb": one.action.lower(),
            "group": GROUP,
            "resource": RELEASES.plural,
            "name": release,
        }
        if one.role:
            attributes["subresource"] = one.role
        review = {
            "apiVersion": LOCAL_SUBJECT_ACCESS_REVIEWS.api_version,
            "kind": LOCAL_SUBJECT_ACCESS_REVIEWS.kind,
            "metadata": {"namespace": namespace},
            "spec": {"user": one.by, "groups": list(one.groups), "resourceAttributes": attributes},
        }
        path = LOCAL_SUBJECT_ACCESS_REVIEWS.path(namespace)
        answer = await self._cluster.create(path, review, manager=FIELD_MANAGER)
        return bool((answer.get("status") or {}).get("allowed"))
