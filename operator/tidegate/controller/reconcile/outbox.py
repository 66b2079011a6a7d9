"""From what a status keeps to the sinks that tell of it: each transition once in a life of the operator.

What the status keeps at the start of a life is handed on again: the life before may have ended before a sink had it, or before it
was stored that it had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import structlog

from tidegate.api.outbox import KEPT, TransitionStatus
from tidegate.api.status import ReleaseStatus
from tidegate.controller.reconcile.memory import Memory
from tidegate.controller.reconcile.sinks.sink import Account, Sink
from tidegate.engine import outbox
from tidegate.engine.plan import Notice, Settled, notice_of
from tidegate.engine.transitions import TransitionsDropped
from tidegate.runtime.store import Object

log = structlog.get_logger(__name__)

_DROPPED = notice_of(TransitionsDropped(""))
"""Comes with the others where there is no room for all."""


class Outbox:
    """Hands what has happened on to sinks.

    Args:
        sinks: those that are to be told.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = {sink.name: sink for sink in sinks}

    def start(self) -> None:
        """Let all sinks begin to deliver, on the running loop."""
        for sink in self._sinks.values():
            sink.start()

    async def stop(self, *, within: float) -> None:
        """Let all sinks deliver what waits, side by side, for so many seconds."""
        ended = await asyncio.gather(*(sink.stop(within=within) for sink in self._sinks.values()), return_exceptions=True)
        for sink, error in zip(self._sinks, ended, strict=True):
            if isinstance(error, Exception):
                log.error("a sink could not be stopped", sink=sink, exc_info=error)

    def put(
        self, release: Object, status: ReleaseStatus, notices: Sequence[Notice], at: datetime
    ) -> tuple[ReleaseStatus, tuple[TransitionStatus, ...]]:
        """Return a status that keeps what has happened with its decision, and what that is.

        Args:
            release: the Release.
            status: the status that was decided.
            notices: what has happened.
            at: when it was decided, with zone.
        """
        if not notices:
            return status, ()
        box = status.outbox or outbox.EMPTY
        full = len(box.transitions) + len(notices) > KEPT
        kinds = {(one.transition.id, one.type.value) for one in (*notices, *([_DROPPED] if full else []))}
        behind = {one.name for one in box.sinks}
        # A sink that wants none of it, and lacks nothing, need not be noted to have taken it, with a write of its own.
        told = [name for name, sink in self._sinks.items() if name in behind or _wants(sink, release, kinds)]
        return outbox.put(status, notices, at, told)

    def tell(self, release: Object, fresh: Sequence[TransitionStatus]) -> None:
        """Log what a decision has brought about, and hand it on to those who do not wait for the status to be stored.

        Args:
            release: the Release.
            fresh: what is new.
        """
        metadata = release["metadata"]
        for one in fresh:
            say = log.warning if one.id == TransitionsDropped.id else log.info
            say(one.message, reason=one.reason, release=metadata["name"], namespace=metadata["namespace"])
            for sink in self._sinks.values():
                if sink.early:
                    _hand(sink, release, one)

    def tell_stored(self, release: Object, memory: Memory) -> None:
        """Hand on what the status keeps and is stored: no other life of the operator can give these numbers to something else.

        Args:
            release: the Release.
            memory: what is known of it; it notes what is handed on.
        """
        handed, memory.handed = memory.handed, max(memory.handed, memory.numbered)
        if memory.status is None or memory.handed == handed:
            return
        for sink in self._sinks.values():
            if not sink.early:
                for one in outbox.untaken(memory.status, sink.name):
                    if handed < one.number <= memory.handed:
                        _hand(sink, release, one)

    def tell_again(self, release: Object, memory: Memory) -> None:
        """Hand on what the status keeps from an earlier life of the operator; each sink may have it already."""
        if memory.status is not None:
            for sink in self._sinks.values():
                for one in outbox.untaken(memory.status, sink.name):
                    _hand(sink, release, one, again=True)
        memory.handed = memory.numbered

    def decided(self, namespace: str, settled: Settled, at: datetime) -> None:
        """Tell those who want to know what became of a decision.

        Args:
            namespace: of the ReleaseDecision.
            settled: which, and what became of it.
            at: since when.
        """
        for name, sink in self._sinks.items():
            if isinstance(sink, Account):
                try:
                    sink.decided(namespace, settled, at)
                except Exception:
                    log.exception("a sink could not take a decision", sink=name)

    def recorded(self, record: Object, written: Callable[[], None]) -> None:
        """Hand a record to the sink that keeps an account, where there is one.

        Args:
            record: the ReleaseRecord.
            written: called once it is kept there; at once where nobody keeps one.
        """
        account = next((sink for sink in self._sinks.values() if isinstance(sink, Account)), None)
        if account is None:
            written()
            return
        try:
            account.recorded(record, written)
        except Exception:
            log.exception("a sink could not take a record")
            written()

    def settled(self, release: Object, status: ReleaseStatus) -> ReleaseStatus:
        """Return a status that keeps no more than what a sink may not have taken."""
        return outbox.settled(status, lambda sink, one: _has(self._sinks[sink], release, one), self._sinks)


# A mistake in a sink is in the way of no pass: it lacks the transition, and the next life of the operator hands it on again.


def _wants(sink: Sink, release: Object, kinds: Iterable[tuple[str, str]]) -> bool:
    try:
        return any(sink.wants(release, *kind) for kind in kinds)
    except Exception as error:  # noqa: BLE001 - its traceback would be in the log at every pass
        log.warning("a sink does not know whether it wants a transition", sink=sink.name, error=repr(error))
        return True


def _hand(sink: Sink, release: Object, transition: TransitionStatus, *, again: bool = False) -> None:
    try:
        sink.take(release, transition, again=again)
    except Exception:
        log.exception("a sink could not take a transition", sink=sink.name, id=transition.id)


def _has(sink: Sink, release: Object, transition: TransitionStatus) -> bool:
    try:
        return sink.taken(release, transition)
    except Exception as error:  # noqa: BLE001 - its traceback would be in the log at every pass
        log.warning("a sink does not know whether it has a transition", sink=sink.name, id=transition.id, error=repr(error))
        return False
