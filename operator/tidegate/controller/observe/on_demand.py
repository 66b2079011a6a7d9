"""What is read only while somebody waits for it: too much to be watched, and never in the way of a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Forbidden
from tidegate.cluster.resources import PODS, Resource
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.runs import ids_of
from tidegate.governance.runs import RunState
from tidegate.runtime.clock import Clock
from tidegate.runtime.own_turns import OwnTurns
from tidegate.runtime.store import Object

log = structlog.get_logger(__name__)

KEPT = frozenset({"namespace", "name", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "ownerReferences"})
"""Fields of the metadata that are kept."""
CONTENT = ("status", "endpoints", "ports")
"""What is kept of a pod and of an EndpointSlice: a pod's spec is the larger part of it, and tells no reason but which of its init
containers are sidecars."""


Read: TypeAlias = Callable[[str, str], Awaitable[list[Object]]]
"""Reads what is asked for, by namespace and value."""

AT_ONCE = 8
"""Lists that are under way at once: the writes of a breach need the connections, too."""
CALLS_AT_ONCE = 64
"""Requests to hooks, likewise; these need no connections that others need."""
CALLS_OF_ONE = 8
"""Those for Releases of one namespace: where its hooks hang, only its own wait."""


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        what: what is read, for logs.
        resource: kind of the objects; None where they are of several kinds.
        label: by which they are found; empty where who asks names it, or asks by a selector.
        patience: seconds between the first two readings.
        at_once: whether the first reading is made without patience, since nothing goes on before it.
        longest: seconds between two readings at most; each time it takes twice as long as the time before.
        at_ease: seconds between two readings while nothing that was read stands in anybody's way.
        optional: whether one who may not read them takes it that there are none.
        settles: tells whether what was read is the last word: it is not read again then, whoever asks on older knowledge. None
            where nothing is.
        joins: tells whether what is asked for now has in it what was asked before. While that is under way, or its last word is not
            noted yet, it is not begun anew, and the rest comes after it. None where anything may be begun anew.
    """

    what: str
    resource: Resource | None
    label: str
    patience: float
    at_once: bool = False
    longest: float = 5.0
    at_ease: float = 600.0
    optional: bool = False
    settles: Callable[[list[Object]], bool] | None = None
    joins: Callable[[str, str], bool] | None = None


def _answered(items: list[Object]) -> bool:
    """Whether a hook of checks has answered, or has not in time; one that could not be called at all is called again."""
    return any(one["state"] != RunState.UNMADE for one in items)


def _has_in_it(before: str, now: str) -> bool:
    """Whether the requests that are asked for now have those in them that were asked for before."""
    return set(ids_of(before)) <= set(ids_of(now))


REASONS = Query("pods of a version", PODS, "", patience=3.0)
"""The pods of a version, for their own reasons for not becoming ready; most are ready before anybody has to ask."""
STABLE_REASONS = Query("pods of stable", PODS, "", patience=10.0, longest=300.0)
"""The pods of the version in force, where some are not ready for longer than pods take to be replaced. Nothing waits for them, and
where nodes are away they are those of many Releases at once."""
USER_ENDPOINTS = Query("endpoints", None, "", patience=1.0, at_once=True)
"""The endpoints of the user's Service, which a route is to be put back to; those of the operator's own are watched. Of several
Services they are read together, as the pods are that they select (see `controller/observe/together.py`)."""
SELECTED = Query("selected pods", None, "", patience=1.0, at_once=True, longest=30.0, optional=True)
"""The pods that the user's Service selects, whoever they belong to."""
BOUND = Query("objects bound to a Service by name", None, "", patience=1.0, at_once=True, longest=60.0)
"""What names the user's Service, see `controller/observe/bindings.py`."""
RUNS = Query("Jobs of checks", None, "", patience=1.0, at_once=True, longest=15.0)
"""Whether the Jobs that check a version are there and how they stand, see `controller/observe/runs.py`."""
CALLS = Query("answers of hooks", None, "", patience=1.0, at_once=True, longest=15.0, settles=_answered, joins=_has_in_it)
"""What hooks of checks answer, see `controller/observe/hooks.py`. An answer may come in while a pass is still writing that began
without it: that pass is not to ask once more."""
FLAGS = Query("definitions of flags", None, "", patience=1.0, at_once=True, longest=15.0)
"""What definitions of flags say, which are written by it, see `controller/observe/flags.py`."""
FLAG_CALLS = Query("answers of hooks of flags", None, "", patience=1.0, at_once=True, longest=15.0)
"""What hooks answer that set flags; on their own, as one that hangs is to keep no switch waiting."""
RIGHTS = Query("rights of those who have decided", None, "", patience=1.0, at_once=True, longest=60.0)
"""Whether they may still decide so, see `controller/observe/rights.py`."""


@dataclass
class _Inquiry:
    """What somebody waits for.

    Attributes:
        value: of the label; the selector where there is no label.
        label: by which they are found.
        due: when to read next, on the monotonic clock.
        patience: seconds from then to the reading after it.
        task: the reading that is under way.
        items: what was read last; None before.
        urgent: nothing goes on before it is read.
        at_ease: nobody waits for the next reading.
    """

    value: str
    label: str
    due: float
    patience: float
    urgent: bool = False
    at_ease: bool = False
    task: asyncio.Task[None] | None = None
    items: list[Object] | None = None


class Inquiries:
    """Lists objects of a Release in the background.

    Args:
        query: what is listed.
        cluster: the API.
        clock: measures patience.
        arrived: told of a Release for which something new was read.
        read: reads it; None where it is one list of one kind.
        at_once: readings that are under way at once.
        of_one: those of them that are for Releases of one namespace; None for as many.
    """

    def __init__(
        self,
        query: Query,
        cluster: Cluster,
        *,
        clock: Clock,
        arrived: Callable[[ReleaseKey], None],
        read: Read | None = None,
        at_once: int = AT_ONCE,
        of_one: int | None = None,
    ) -> None:
        self._query, self._cluster, self._clock, self._arrived = query, cluster, clock, arrived
        self._read_other = read
        self._inquiries: dict[ReleaseKey, _Inquiry] = {}
        self._turns, self._own = asyncio.Semaphore(at_once), OwnTurns()
        self._of_one = of_one if of_one is not None else at_once

    def of(self, key: ReleaseKey, value: str | None) -> list[Object] | None:
        """Return the objects with this value of the label as read last; None where they were not read since somebody waits."""
        inquiry = self._inquiries.get(key)
        return inquiry.items if inquiry is not None and inquiry.value == value else None

    def last(self, key: ReleaseKey) -> list[Object] | None:
        """Return what was read last, whatever was asked for; None where nothing was."""
        inquiry = self._inquiries.get(key)
        return inquiry.items if inquiry is not None else None

    def wanted(self, key: ReleaseKey) -> str | None:
        """Return what is asked for; None where nothing is."""
        inquiry = self._inquiries.get(key)
        return inquiry.value if inquiry is not None else None

    def want(self, key: ReleaseKey, value: str, *, label: str = "", urgent: bool = False, at_ease: bool = False) -> float:
        """Read the objects with this value of the label, unless that was done just now; return seconds to the next time.

        Args:
            key: for which Release.
            value: of the label; the selector where there is none.
            label: by which they are found, where the query leaves that open.
            urgent: it is read at once, for what is to be seen may be over soon.
            at_ease: nobody waits for what may be read next, so it is read rarely: each time costs the API server a request.
        """
        now, patience = self._clock.monotonic(), self._query.patience
        inquiry = self._inquiries.get(key)
        if inquiry is None or (inquiry.value != value and not self._goes_on(inquiry, value)):
            self.forget(key)
            due = now if self._query.at_once else now + patience
            inquiry = self._inquiries[key] = _Inquiry(value, label or self._query.label, due, patience)
        if urgent and not inquiry.urgent:
            inquiry.urgent, inquiry.due, inquiry.patience = True, now, patience
        if at_ease and inquiry.items is not None and not inquiry.at_ease:
            inquiry.due = now + self._query.at_ease
        elif inquiry.at_ease and not at_ease:
            inquiry.due, inquiry.patience = min(inquiry.due, now + patience), patience
        inquiry.at_ease = at_ease and inquiry.items is not None
        if inquiry.task is None and now >= inquiry.due and not self._is_settled(inquiry):
            wait = self._query.at_ease if inquiry.at_ease else inquiry.patience
            inquiry.due, inquiry.patience = now + wait, min(2 * inquiry.patience, self._query.longest)
            inquiry.task = asyncio.create_task(self._read(key, inquiry), name=f"{self._query.what} {key}")
        return inquiry.due - now if inquiry.due > now else patience

    def _goes_on(self, inquiry: _Inquiry, value: str) -> bool:
        """Whether what was asked before comes first: it would be asked twice."""
        if self._query.joins is None or not (inquiry.task is not None or self._is_settled(inquiry)):
            return False
        return self._query.joins(inquiry.value, value)

    def _is_settled(self, inquiry: _Inquiry) -> bool:
        return self._query.settles is not None and inquiry.items is not None and self._query.settles(inquiry.items)

    def forget(self, key: ReleaseKey) -> None:
        """Nobody waits for these any more."""
        inquiry = self._inquiries.pop(key, None)
        if inquiry is not None and inquiry.task is not None:
            inquiry.task.cancel()

    async def stop(self) -> None:
        """End what is being read."""
        tasks = [inquiry.task for inquiry in self._inquiries.values() if inquiry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, key: ReleaseKey, inquiry: _Inquiry) -> None:
        try:
            # Whoever waits for their own turn holds none that others wait for.
            async with self._own.of(key.namespace, self._of_one), self._turns:
                items = await (self._read_other(key.namespace, inquiry.value) if self._read_other else self._list(key, inquiry))
        except ApiError as error:
            log.warning("could not be read", what=self._query.what, release=str(key), cause=str(error))
            if not (self._query.optional and isinstance(error, Forbidden)):
                return
            items = []
        except Exception:
            # Nobody waits for the task itself, so it would end without a word.
            log.exception("could not be read", what=self._query.what, release=str(key))
            return
        finally:
            inquiry.task = None
        before, inquiry.items = inquiry.items, list(items)
        if before is None or _content(before) != _content(inquiry.items):
            self._arrived(key)

    async def _list(self, key: ReleaseKey, inquiry: _Inquiry) -> list[Object]:
        assert self._query.resource is not None
        path = self._query.resource.path(key.namespace)
        selector = f"{inquiry.label}={inquiry.value}" if inquiry.label else inquiry.value
        return (await self._cluster.list(path, label_selector=selector, within=5.0, slim=slim)).items


def slim(obj: Object) -> Object:
    """Keep of an object what is read of it."""
    metadata = {name: value for name, value in obj["metadata"].items() if name in KEPT}
    found = {"metadata": metadata} | {name: obj.get(name) for name in CONTENT if name in obj}
    init = (obj.get("spec") or {}).get("initContainers")
    if init:
        kinds = [{name: container[name] for name in ("name", "restartPolicy") if name in container} for container in init]
        found["spec"] = {"initContainers": kinds}
    return found


def owned(obj: Object) -> Object:
    """Keep of a pod what tells whose it is: its whole status takes ten kilobytes."""
    had = obj["metadata"]
    metadata = {name: had[name] for name in ("namespace", "name", "uid", "deletionTimestamp", "ownerReferences") if name in had}
    # Metadata is not compared with the reading before.
    told = {"uid": had.get("uid"), "ending": "deletionTimestamp" in had}
    return {"metadata": metadata, **told, "status": {"phase": (obj.get("status") or {}).get("phase")}}


def _content(items: list[Object]) -> list[Object]:
    return [{name: value for name, value in item.items() if name != "metadata"} for item in items]
