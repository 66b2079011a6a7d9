"""Releases over which a process has died: they are looked at last, so that one of them cannot keep the others from being served.

Whatever it is, an object that ends the process ends the next one, too, if that begins with it. What was under way is in a file of
the container's (`runtime/mark.py`), and what is known of it in another; a leader keeps that in the Lease, too, for other replicas.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from tidegate.cluster.election import KEPT
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.process.leadership import instance
from tidegate.runtime.clock import Clock
from tidegate.runtime.mark import MarkFile
from tidegate.runtime.queue import Lane
from tidegate.runtime.scheduler import Scheduler
from tidegate.runtime.turns import Turns, Work

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 0.5
"""Between looks whether all others have had their turn."""
LAST_SECONDS = 60.0
"""So long all others have at most to get their first turn."""
FIRST_SECONDS, FACTOR, MOST_SECONDS = 15.0, 4, 900.0
"""Seconds for which a Release is left alone after the second death in a row, how many times as long after each one more, and at
most."""
UNCERTAIN = 2
"""Deaths that count at most where a Release was under way with others, and it was nobody's turn."""
SURVIVED_SECONDS = 300.0
"""After this long at work on it without a death, nothing is suspected any more."""
TOO_LONG_SECONDS = 5.0
"""Holding the event loop for so long is like a death: a Lease may be lost by it."""
MOST_SUSPECTS = 64
NOTE = f"{KEPT}suspects"
"""The annotation of the Lease: deaths by Release, as JSON."""


def folder_of(configured: Path | None) -> Path | None:
    """Return where marks are kept; None for nowhere, as outside of a cluster unless a folder is configured."""
    if configured is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return Path(tempfile.gettempdir())
    return configured


class Suspects:
    """Puts Releases off over which a process has died, and measures who holds the event loop.

    Args:
        clock: the time.
        metrics: the operator's own.
        folder: where marks are kept; None for nowhere.
        add: brings a Release to the queue.
        suffix: tells files from those of another operator in the same process.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        metrics: Metrics,
        folder: Path | None,
        add: Callable[[ReleaseKey, Lane], None],
        suffix: str = "",
    ) -> None:
        self._clock, self._metrics, self._add = clock, metrics, add
        self._path = folder / f"tidegate-{instance()}{suffix}.suspects" if folder is not None else None
        self._deaths: dict[ReleaseKey, int] = {}
        self._put_off: dict[ReleaseKey, Lane] = {}
        self._before: set[ReleaseKey] = set()
        self._met: set[ReleaseKey] = set()
        self._began = 0.0
        self._due: Scheduler[tuple[bool, ReleaseKey]] = Scheduler(clock)
        self._mark = self._open(folder / f"tidegate-{instance()}{suffix}.mark") if folder is not None else None
        self.turns = Turns(self._held, mark=self._mark)
        """Measures pieces of work."""

    def note(self) -> dict[str, str]:
        """Return what is known, as an annotation of the Lease."""
        return {NOTE: json.dumps({str(key): deaths for key, deaths in self._deaths.items()})} if self._deaths else {}

    def begin(self, kept: Mapping[str, str]) -> None:
        """Begin to put Releases off, before the first of them is looked at.

        Args:
            kept: what leaders before have kept in the Lease.
        """
        for key, deaths in _parsed(kept.get(NOTE, "")).items():
            self._deaths[key] = max(deaths, self._deaths.get(key, 0))
        self._began = self._clock.monotonic()
        for number, (key, deaths) in enumerate(sorted(self._deaths.items(), key=lambda item: item[1])):
            wait = _wait(deaths)
            self._put_off[key] = Lane.LOW
            # One by one where several are suspected again: then the one that is worked on alone is the one.
            self._due.set_after((True, key), wait + number if wait else AGAIN_SECONDS)
            log.warning(
                "a process has died over a Release, which is looked at last",
                release=key.name,
                namespace=key.namespace,
                deaths=deaths,
                after=wait,
            )
        self._store()

    def add(self, key: ReleaseKey, lane: Lane) -> None:
        """Bring a Release to the queue; one that is put off, once its time has come."""
        if key in self._put_off:
            self._put_off[key] = min(lane, self._put_off[key])
            return
        if self._put_off and key not in self._met:
            self._before.add(key)
        self._add(key, lane)

    def puts_off(self, key: ReleaseKey) -> bool:
        """Whether a Release is put off."""
        return key in self._put_off

    def done(self, key: ReleaseKey) -> None:
        """Take note that a pass over a Release has ended: it has had its turn."""
        if self._put_off:
            self._met.add(key)
            self._before.discard(key)

    async def run(self) -> None:
        """Bring Releases whose time has come, until cancelled."""
        await self._due.run(self._fire)

    def close(self) -> None:
        """End in order: nothing was under way."""
        if self._mark is not None:
            self._mark.close()

    def _fire(self, slot: tuple[bool, ReleaseKey]) -> None:
        put_off, key = slot
        if not put_off:
            self._deaths.pop(key, None)
            self._store()
            return
        if self._before and self._clock.monotonic() - self._began < LAST_SECONDS:
            self._due.set_after(slot, AGAIN_SECONDS)
            return
        self._add(key, self._put_off.pop(key))
        if not self._put_off:
            self._met.clear()
            self._before.clear()
        self._due.set_after((False, key), SURVIVED_SECONDS)

    def _held(self, work: Work, seconds: float) -> None:
        where = {"release": work.release, "namespace": work.namespace, "gate": work.gate or None}
        log.warning("work on a Release kept all others waiting", **where, seconds=round(seconds, 3))
        self._metrics.loop_held.labels(work.namespace, work.release, work.gate).inc()
        if seconds >= TOO_LONG_SECONDS:
            key = ReleaseKey(work.namespace, work.release)
            self._count(key)
            self._due.set_after((False, key), SURVIVED_SECONDS)
            self._store()

    def _count(self, key: ReleaseKey, *, most: int | None = None) -> None:
        if key in self._deaths or len(self._deaths) < MOST_SUSPECTS:
            deaths = self._deaths.get(key, 0)
            self._deaths[key] = deaths + 1 if most is None else max(deaths, min(deaths + 1, most))

    def _open(self, path: Path) -> MarkFile | None:
        """Read what processes before have left."""
        try:
            if self._path is not None and self._path.exists():
                self._deaths = _parsed(self._path.read_text(encoding="utf-8"))
            mark = MarkFile(path)
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or type(error).__name__
            log.warning("work in progress cannot be recorded: if this process dies, the next one does not know of it", cause=cause)
            return None
        for work in mark.left:
            where = {"release": work.release, "namespace": work.namespace, "gate": work.gate or None}
            log.error("the process before died over a Release", **where, certain=mark.certain)
        # One of several that were under way is the one at most: none of them is left alone for long.
        for key in {ReleaseKey(work.namespace, work.release) for work in mark.left}:
            self._count(key, most=None if mark.certain else UNCERTAIN)
        self._store()
        return mark

    def _store(self) -> None:
        if self._began:
            self._metrics.suspects.set(len(self._deaths))
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            if self._deaths:
                new = self._path.with_suffix(".new")
                new.write_text(json.dumps({str(key): deaths for key, deaths in self._deaths.items()}), encoding="utf-8")
                new.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)


def _wait(deaths: int) -> float:
    """Return for how many seconds a Release is left alone after so many deaths; 0.0 where it only comes after all others."""
    return 0.0 if deaths < 2 else min(MOST_SECONDS, FIRST_SECONDS * FACTOR ** min(deaths - 2, 8))


def _parsed(text: str) -> dict[ReleaseKey, int]:
    """Read deaths by Release; what is not as it should be is left out."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    found: dict[ReleaseKey, int] = {}
    for name, deaths in list(document.items())[:MOST_SUSPECTS] if isinstance(document, dict) else ():
        namespace, _, release = name.partition("/")
        if namespace and release and type(deaths) is int and deaths > 0:
            found[ReleaseKey(namespace, release)] = deaths
    return found
