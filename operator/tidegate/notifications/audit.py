"""The audit stream: one JSON line for each transition, each decision that came to something and each record, for who keeps them.

A thread of its own writes, so a disk that hangs holds nothing else up. A line is written at least once: the status keeps a
transition until it is, and what was written in the last minute before a process dies may be there twice, with one id.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
import structlog

from tidegate.api.addresses import without_secrets
from tidegate.api.base import format_time, plain
from tidegate.api.outbox import TransitionStatus
from tidegate.engine.plan import Settled
from tidegate.notifications.config import AuditConfig
from tidegate.notifications.hooks import data_of
from tidegate.notifications.message import LONGEST, Object, message_of

log = structlog.get_logger(__name__)

MOST = 10_000
"""Lines that may wait where one of a transition comes. For decisions and records, which nobody tells again, twice as many."""
AGAIN_SECONDS = 5.0
"""Between tries while the file cannot be written."""
REMEMBERED = 20_000
"""Releases of which it is known how far they are written."""
SPOKEN = ("release", "action", "by", "role", "revision", "digest", "check", "result", "toVersion", "reason")
"""Fields of a decision that stand in its line."""
Line = tuple[bytes, Callable[[], None]]


class Audit:
    """A sink that writes lines.

    Args:
        config: where they go.
        cluster: name of this cluster; None for none.
        moved: told of each Release (namespace and name) of which a line was written.
        decision: returns a ReleaseDecision by namespace and name; None where it is gone.
    """

    name = "audit"
    early = False

    def __init__(
        self,
        config: AuditConfig,
        *,
        cluster: str | None,
        moved: Callable[[str, str], None],
        decision: Callable[[str, str], Object | None],
    ) -> None:
        self._file, self._cluster, self._moved, self._decision = config.file, cluster, moved, decision
        self._waiting: queue.Queue[Line | None] = queue.Queue()
        self._done: OrderedDict[str, int] = OrderedDict()
        self._put_off: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._torn = False

    def wants(self, release: Object, event: str, type_: str) -> bool:  # noqa: ARG002 - an account leaves nothing out
        """Whether it is to be told: of all that happens."""
        return True

    def take(self, release: Object, transition: TransitionStatus, *, again: bool) -> None:  # noqa: ARG002 - its id tells
        """Have the line of a transition written, after those of its Release that were put off; returns at once."""
        uid, number = release["metadata"]["uid"], transition.number
        if uid not in self._put_off and self._waiting.qsize() < MOST:
            self._write_soon(release, transition)
            return
        # It stays in the status until it is written.
        log.warning("an audit line was put off: too many wait", id=f"{uid}.{number}")
        self._put_off[uid] = (self._put_off.get(uid, (number, number))[0], number)
        while len(self._put_off) > REMEMBERED:
            self._put_off.popitem(last=False)

    def _write_soon(self, release: Object, transition: TransitionStatus) -> None:
        message = message_of(release, transition, cluster=self._cluster)
        line = {"stream": "audit", "kind": "transition", "type": transition.type, **data_of(message)}

        def written() -> None:
            self._done[message.uid] = max(message.number, self._done.get(message.uid, 0))
            self._done.move_to_end(message.uid)
            while len(self._done) > REMEMBERED:
                self._done.popitem(last=False)
            self._moved(message.namespace, message.release)

        self._put(line, written)

    def taken(self, release: Object, transition: TransitionStatus) -> bool:
        """Whether its line is written; one that was put off is on its way from here on, where there is room."""
        uid, number = release["metadata"]["uid"], transition.number
        if self._done.get(uid, 0) >= number:
            return True
        first, last = self._put_off.get(uid, (0, -1))
        if first <= number <= last and self._waiting.qsize() < MOST:
            if number < last:
                self._put_off[uid] = (number + 1, last)
            else:
                del self._put_off[uid]
            self._write_soon(release, transition)
        return False

    def decided(self, namespace: str, settled: Settled, at: datetime) -> None:
        """Have it written what became of a decision; returns at once.

        Args:
            namespace: of the ReleaseDecision.
            settled: which, and what became of it.
            at: since when.
        """
        decision = self._decision(namespace, settled.name)
        spec = (decision.get("spec") if decision is not None else None) or {}
        found = {name: spec.get(name) for name in SPOKEN}
        line = {
            "stream": "audit",
            "kind": "decision",
            "id": f"{settled.uid}.{settled.outcome.value}",
            "time": format_time(at),
            "namespace": namespace,
            "decision": settled.name,
            "outcome": settled.outcome.value,
            "message": plain(settled.message, LONGEST),
            "url": without_secrets(spec.get("url"), LONGEST),
            "cluster": self._cluster,
            **{name: plain(value, LONGEST) for name, value in found.items() if isinstance(value, str)},
        }
        self._put({name: value for name, value in line.items() if value}, lambda: None)

    def recorded(self, record: Object, written: Callable[[], None]) -> None:
        """Have a record written, whole: with its hash and that of the one before, so that the stream is a copy of the chain.

        Args:
            record: the ReleaseRecord.
            written: called once its line is written.
        """
        spec = record["spec"]
        line = {
            "stream": "audit",
            "kind": "record",
            "id": f"{spec.get('releaseUID')}.record-{spec.get('number')}",
            "time": spec.get("endedAt"),
            "namespace": spec.get("namespace"),
            "release": spec.get("release"),
            "cluster": self._cluster,
            "record": {"metadata": {name: record["metadata"].get(name) for name in ("name", "namespace")}, "spec": spec},
        }
        self._put({name: value for name, value in line.items() if value}, written)

    def start(self) -> None:
        """Begin to write."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    async def stop(self, *, within: float) -> None:
        """Write what waits for so many seconds, and end; what is left is written by the next life."""
        if self._thread is None:
            return
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join, within)
        self._ended.set()
        self._thread = None

    def _put(self, line: Mapping[str, Any], written: Callable[[], None]) -> None:
        if self._waiting.qsize() >= 2 * MOST:
            log.error("an audit line was dropped: too many wait", id=line["id"])
            return
        self._waiting.put((orjson.dumps(line) + b"\n", written))

    def _run(self) -> None:
        """Write lines, in the thread."""
        while (one := self._waiting.get()) is not None:
            line, written = one
            failed = False
            while not self._ended.is_set():
                try:
                    self._write(line)
                except OSError as error:
                    if not failed:
                        log.error("the audit file cannot be written", cause=error.strerror or type(error).__name__)  # noqa: TRY400
                    failed = True
                    self._ended.wait(AGAIN_SECONDS)
                else:
                    assert self._loop is not None
                    with contextlib.suppress(RuntimeError):
                        self._loop.call_soon_threadsafe(written)
                    break

    def _write(self, line: bytes) -> None:
        if self._file is None:
            self._write_all(sys.stderr.fileno(), line)
            return
        # Opened for each line: whoever rotates the file need tell nobody.
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            self._write_all(descriptor, line)
        finally:
            os.close(descriptor)

    def _write_all(self, descriptor: int, line: bytes) -> None:
        """Write a line; where a full disk has cut one short before, on a line of its own."""
        rest = b"\n" + line if self._torn else line
        sent = 0
        try:
            while sent < len(rest):
                sent += os.write(descriptor, rest[sent:])
        except OSError:
            self._torn = self._torn or sent > 0
            raise
        self._torn = False
