"""Looks that need no pass: nothing but numbers is new in them, so they are taken into the status as it was decided last.

The status is written with its next heartbeat, as it would be after a pass for each of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

import structlog

from tidegate.api.status import GateStatus
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.reconcile.groups import Targets, Timers
from tidegate.controller.reconcile.memory import Memory
from tidegate.engine.quiet import taken_in
from tidegate.judge.reading import Reading
from tidegate.runtime.clock import Moment

log = structlog.get_logger(__name__)

_CLOSE = timedelta(seconds=1)
"""By less than this a heartbeat is not brought forward: clocks drift, and each time is one more for the heap."""


class QuietLooks:
    """Takes them in.

    Args:
        memories: what is known of Releases.
        busy: those that a pass is being made over: what it decides counts, and not what was decided before.
        targets: where what is found goes to.
        timers: the time, and what brings a Release back.
    """

    def __init__(
        self, memories: Mapping[ReleaseKey, Memory], busy: Collection[ReleaseKey], targets: Targets, timers: Timers
    ) -> None:
        self._memories, self._busy = memories, busy
        self._metrics, self._timers = targets.metrics, timers

    def take(self, key: ReleaseKey, reading: Reading) -> GateStatus | None:
        """Take a look in; return what its gate says then, None where a pass has to decide on it."""
        try:
            return self._take(key, reading)
        except Exception:  # a bug must not end the looks of a gate: the pass meets it as well, and says so
            log.exception("a check could not be added to the status", release=key.name, namespace=key.namespace, gate=reading.gate)
            return None

    def _take(self, key: ReleaseKey, reading: Reading) -> GateStatus | None:
        memory, now = self._memories.get(key), Moment.of(self._timers.clock)
        if memory is None or memory.status is None or key in self._busy or not memory.at_rest(now.offset):
            return None
        status = taken_in(memory.status, reading, now.wall, known_since=now.wall_at(memory.since))
        if status is None:
            return None
        memory.take_in(status)
        self._metrics.show_gates(*key, status)
        self._write_in_time(key, memory, now)
        return next(state for state in status.gates if state.name == reading.gate)

    def _write_in_time(self, key: ReleaseKey, memory: Memory, now: Moment) -> None:
        """Have the numbers written a heartbeat after the last write."""
        due, beat = self._timers.due.due(key), now.wall_at(min(memory.written, now.monotonic)) + self._timers.heartbeat
        if due is None or due > beat + _CLOSE:
            self._timers.due.set(key, beat, now)
