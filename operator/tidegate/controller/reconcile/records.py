"""Writes ReleaseRecords: in a lane of its own, in nobody's way, each once and as it was decided.

A record stands in the Release's status until it is known to be written, and each pass offers it. Its name follows from Release and
number, so whoever writes it again, after a crash at whichever point, finds it there. Nothing of a record is kept in memory, and
none is ever read again but that one; the metrics are made of all of them, once at the start.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import structlog

from tidegate.api.kept import read_text
from tidegate.api.names import API_VERSION, LABEL_RELEASE
from tidegate.api.recorded import PendingRecord
from tidegate.api.status import ReleaseStatus
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import AlreadyExists, ApiError, Forbidden, NotFound
from tidegate.cluster.resources import RELEASE_RECORDS
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.references import ReleaseKey
from tidegate.engine.recording import without_written
from tidegate.governance.records import name_of
from tidegate.runtime.clock import Clock
from tidegate.runtime.sharding import WHOLE, Shard
from tidegate.runtime.store import Object

log = structlog.get_logger(__name__)

WRITERS = 2
"""Writes that are under way at once: those of breaches need the connections, too."""
MOST_WAITING = 10_000
"""Records that may wait to be written; those beyond are offered again."""
AGAIN_SECONDS = (0.5, 2.0, 10.0)
"""Between attempts at one; after the last it is left to a pass to come."""
READ_AGAIN_SECONDS = 60.0
"""Between attempts at reading what was written before."""
REMEMBERED = 4096
"""Records that are known to be written, until their Releases' statuses say so."""
TERMINATING = "NamespaceTerminating"
"""Cause of the refusal of whatever is created in a namespace that is being deleted."""


class _Task(NamedTuple):
    key: ReleaseKey
    uid: str
    pending: PendingRecord

    @property
    def id(self) -> tuple[str, int]:
        return self.uid, self.pending.number


class Records:
    """Writes them.

    Args:
        cluster: the API.
        told: takes each record that is written, and calls once it is kept elsewhere, too: until then the status has it.
        clock: waits between attempts.
        moved: brings a Release back to the queue, for its status to note that its record is written.
        metrics: count each record that is given up for now, and show what all of them come to.
        namespaces: whose records count for that; none for those of all.
        shard: the Releases whose records count for it.
    """

    def __init__(
        self,
        cluster: Cluster,
        told: Callable[[Object, Callable[[], None]], None],
        *,
        clock: Clock,
        moved: Callable[[ReleaseKey], None],
        metrics: Metrics,
        namespaces: Sequence[str] = (),
        shard: Shard = WHOLE,
    ) -> None:
        self._cluster, self._clock, self._moved, self._metrics, self._told = cluster, clock, moved, metrics, told
        self._namespaces, self._shard = namespaces, shard
        self._waiting: asyncio.Queue[_Task] = asyncio.Queue()
        self._known: set[tuple[str, int]] = set()
        self._written: OrderedDict[tuple[str, int], None] = OrderedDict()

    def tell(self, release: Object, status: ReleaseStatus) -> None:
        """Have those written that a stored status has.

        Args:
            release: the Release.
            status: its status; it is stored.
        """
        metadata = release["metadata"]
        key = ReleaseKey(metadata["namespace"], metadata["name"])
        for one in status.records.pending if status.records is not None else ():
            task = _Task(key, metadata["uid"], one)
            if task.id not in self._known and task.id not in self._written and self._waiting.qsize() < MOST_WAITING:
                self._known.add(task.id)
                self._waiting.put_nowait(task)

    def settled(self, release: Object, status: ReleaseStatus) -> ReleaseStatus:
        """Return a status that does not keep what is known to be written."""
        if status.records is None or not status.records.pending:
            return status
        uid = release["metadata"]["uid"]
        return without_written(status, [one.number for one in status.records.pending if (uid, one.number) in self._written])

    async def run(self) -> None:
        """Write, until cancelled; and read once what processes before this one have written."""
        async with asyncio.TaskGroup() as writers:
            writers.create_task(self._read())
            for _ in range(WRITERS):
                writers.create_task(self._write_all())

    async def _read(self) -> None:
        """Have all records that there are counted, page by page, with nothing of them kept but what the metrics need."""
        for namespace in self._namespaces or (None,):
            while True:
                try:
                    await self._cluster.list(RELEASE_RECORDS.path(namespace), slim=self._count)
                    break
                except ApiError as error:
                    log.warning("records of before could not be counted for metrics", namespace=namespace or "", cause=str(error))
                    if isinstance(error, Forbidden | NotFound):
                        break
                await self._clock.sleep(READ_AGAIN_SECONDS)

    def _count(self, record: Object) -> None:
        spec = record.get("spec")
        if isinstance(spec, dict) and self._shard.has(str(spec.get("namespace")), str(spec.get("release"))):
            self._metrics.delivery.add(spec)

    async def _write_all(self) -> None:
        while True:
            task, there = await self._waiting.get(), None
            try:
                there = await self._write(task)
            finally:
                # What waits to be kept elsewhere is known until it is: nobody is to write it again meanwhile.
                if there is None:
                    self._known.discard(task.id)
            if there is not None:
                self._told(there, partial(self._done, task)) if there else self._done(task)

    def _done(self, task: _Task) -> None:
        """Note that a record need not be in its Release's status any more."""
        self._known.discard(task.id)
        self._written[task.id] = None
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
        self._moved(task.key)

    async def _write(self, task: _Task) -> Object | None:
        """Write one, and delete those that are not kept any more.

        Returns:
            The record; an empty one where there is none to be had; None where it is yet to be written.
        """
        spec = read_text(task.pending.kept)
        if spec is None:
            log.error("a record cannot be read: somebody has changed status.records", **_place(task))
            return {}
        error: ApiError | None = None
        for wait in (*AGAIN_SECONDS, None):
            try:
                stored = await self._stored(task, spec)
            except ApiError as failed:
                if isinstance(failed, Forbidden) and any(cause.reason == TERMINATING for cause in failed.causes):
                    return _object(task, spec)
                error = failed
                if wait is not None:
                    await self._clock.sleep(wait)
            else:
                self._check(task, spec, stored)
                self._metrics.delivery.add(spec)
                await self._delete_older(task, spec)
                return _object(task, spec)
        assert error is not None
        self._metrics.unwritten(error.reason or type(error).__name__)
        log.warning("a record could not be written", **_place(task), cause=str(error))
        return None

    async def _stored(self, task: _Task, spec: dict[str, Any]) -> dict[str, Any]:
        """Return the spec of the record as the API server has it, written now or before."""
        body = _object(task, spec)
        try:
            found = await self._cluster.create(RELEASE_RECORDS.path(task.key.namespace), body)
        except AlreadyExists:
            found = await self._cluster.get(RELEASE_RECORDS.path(task.key.namespace, body["metadata"]["name"]))
        return dict(found.get("spec") or {})

    def _check(self, task: _Task, spec: dict[str, Any], stored: dict[str, Any]) -> None:
        """Log the head of the chain, by which whoever deletes its end is found out, or that something else is stored."""
        if stored == spec:
            where = {"release": task.key.name, "namespace": task.key.namespace, "id": spec.get("id")}
            log.info("rollout recorded", number=task.pending.number, hash=spec.get("hash"), **where)
            return
        lacking = sorted(spec.keys() - stored.keys())
        cure = f"the CRD lacks {', '.join(lacking)}: apply crds/" if lacking else "somebody else has written one of its name"
        log.error("a record is not as it was written", **_place(task), hash=spec.get("hash"), cause=cure)

    async def _delete_older(self, task: _Task, spec: dict[str, Any]) -> None:
        """Delete the records before the checkpoint, the youngest first: where one is gone, those before it are, too."""
        for number in range(int(spec.get("checkpoint", 1)) - 1, 0, -1):
            try:
                await self._cluster.delete(RELEASE_RECORDS.path(task.key.namespace, name_of(task.key.name, task.uid, number)))
            except NotFound:
                return
            except ApiError as error:
                # The next record is another occasion.
                log.warning("an old record could not be deleted", **_place(task), old=number, cause=str(error))
                return


def _object(task: _Task, spec: dict[str, Any]) -> Object:
    """Return a record as it is to be."""
    name = name_of(task.key.name, task.uid, task.pending.number)
    metadata = {"name": name, "namespace": task.key.namespace, "labels": {LABEL_RELEASE: task.key.name}}
    return {"apiVersion": API_VERSION, "kind": RELEASE_RECORDS.kind, "metadata": metadata, "spec": spec}


def _place(task: _Task) -> dict[str, Any]:
    return {"release": task.key.name, "namespace": task.key.namespace, "number": task.pending.number}
