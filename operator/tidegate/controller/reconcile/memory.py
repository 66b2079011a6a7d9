"""What is kept in memory of a Release between passes. All of it can be lost: what has to survive stands in the status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import structlog

from tidegate.api.edits import edited
from tidegate.api.kept import opened
from tidegate.api.names import Reason
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import ReleaseStatus
from tidegate.cluster.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid
from tidegate.controller.observe.parsing import stored_status
from tidegate.controller.reconcile.overtaken import overtaken
from tidegate.controller.reconcile.status_patch import Gist, Weight, fingerprint, slight, weigh
from tidegate.engine.snapshot import Blocker
from tidegate.runtime.errors import Retry, Terminal
from tidegate.runtime.store import Change, Object

log = structlog.get_logger(__name__)

COUNTS_SECONDS = 10.0
"""How long a status may wait to be stored in which only numbers of pods have changed: most often there is news by then."""
BEGUN_SECONDS = 3.0
"""How long one may in which nothing is new but that a first step has begun: quick pods are there by then."""
PASSING_SECONDS = 1.0
"""How long a status may wait to be stored in which there is nothing new but what passes by itself."""
HELD_SECONDS = 10.0
"""How long one may in which nothing is new but what is known of a step that is held for long; less where three checks take less."""
_CHECKS = 3
_PATIENCE = {
    Weight.PASSING: PASSING_SECONDS,
    Weight.BEGUN: BEGUN_SECONDS,
    Weight.HELD: HELD_SECONDS,
    Weight.COUNTS: COUNTS_SECONDS,
}
CLOCK_STEP = 2.0
"""Seconds by which the wall clock must have gained or lost at once to have been stepped."""
PERSISTENT = 6
"""Passes in a row that fail, over some three seconds, before what another try may mend is told in the status."""


@dataclass(slots=True)
class Memory:
    """One Release between two passes.

    Attributes:
        uid: which object this is about; another one of the same name begins anew.
        status: the status that was decided last; what is stored may lag behind it in its numbers. None before the first decision.
        offered: what was sent last to be stored, in its wire form; None once it is stored.
        sent: what was stored last, as fingerprints: the wire form of a status takes twenty kilobytes. None where it is not known.
        stored: what the API server made of it, likewise. Another operator's or a person's status is told by it.
        since: when the status was read from what is stored, on the monotonic clock; a process before may have decided more.
        unsaved: the status that was decided last could not be stored, or is to be stored later: it counts, and not what is stored.
        postponed: it has been put off, and is to be stored as soon as nothing more urgent waits.
        written: when the status was stored last, on the monotonic clock; by another process: how its gates say it, the last look.
        light: what differs from what is stored weighs so much, and no more, since when, likewise; None where it is none of what may
            wait some seconds.
        passing: what was decided last is no more than that something is waited for that is over in a moment.
        trouble: why the last pass could not write what it wanted, as far as people have to know.
        failures: passes in a row in which something could not be written.
        offset: of the wall clock against the monotonic one when the status was last decided on, in seconds; None before that.
        numbered: number of the last transition that is stored.
        handed: number of the last one that was handed to sinks which wait for that.
        breached: when the reading came in, on the monotonic clock, that has rolled back, until the routes are shifted.
    """

    uid: str
    status: ReleaseStatus | None = None
    offered: Mapping[str, Any] | None = None
    sent: Gist | None = None
    stored: int | None = None
    since: float = float("-inf")
    unsaved: bool = False
    postponed: bool = False
    written: float = float("-inf")
    light: tuple[Weight, float] | None = None
    passing: bool = False
    trouble: Blocker | None = None
    failures: int = 0
    offset: float | None = None
    numbered: int = 0
    handed: int = 0
    breached: float | None = None
    _wired: tuple[ReleaseStatus | None, dict[str, Any]] | None = None
    _gist: tuple[Mapping[str, Any], Gist] | None = None
    _weighed: tuple[ReleaseStatus, Weight] | None = None
    _printed: tuple[Mapping[str, Any], int] | None = None

    @property
    def wire(self) -> dict[str, Any]:
        """The decided status in its wire form."""
        if self._wired is None or self._wired[0] is not self.status:
            self._wired = (self.status, (self.status or ReleaseStatus()).to_wire())
        return self._wired[1]

    def known(self, release: Object, now: float) -> ReleaseStatus:
        """Return the status to decide on.

        That is what was decided last, unless somebody else has stored another status since; but what was decided and could not be
        stored is given up only for what has come further: it may be the verdict on a version.

        Args:
            release: the Release as stored.
            now: the time, on the monotonic clock.
        """
        current = release.get("status") or {}
        printed = self._print_of(current)
        if self.status is not None and printed == self.stored:
            return self.status
        # Unpacked once: decisions are weighed against it at each pass until one is stored, half a minute after a restart.
        document = opened(current)
        theirs = stored_status(release, document)
        if self.status is not None and self.unsaved and not overtaken(self.status, theirs):
            return self.status
        if self.status is not None:
            metadata = release["metadata"]
            log.warning("the status was changed by somebody else", release=metadata["name"], namespace=metadata["namespace"])
        self.status, self.stored, self.since = _shared(theirs), printed, now
        self.numbered, self._weighed = self.status.outbox.last if self.status.outbox is not None else 0, None
        self.unsaved = self.postponed = False
        # Fingerprints are of our own types, so what is stored has to be wholly what was read of it.
        self.sent = self._gist_of(self.wire) if weigh(document, self.wire) is Weight.NONE else None
        return self.status

    def decide(self, status: ReleaseStatus, *, passing: bool = False) -> None:
        """Note what was decided.

        Args:
            status: the status.
            passing: it says no more than that something is waited for that is over in a moment.
        """
        self.status, self.passing = status, passing

    def take_in(self, status: ReleaseStatus) -> None:
        """Note a status in which no more than numbers of gates has changed since the one before, of which nothing is kept.

        Args:
            status: that one with a look in it.
        """
        if self._weighed is not None:
            same = self._weighed[0] is self.status and self._weighed[1] <= Weight.NUMBERS
            self._weighed = (status, Weight.NUMBERS) if same else None
        self.status = status

    def stepped(self, offset: float) -> float:
        """Return by how many seconds the wall clock was stepped since the last decision; 0 where it only went on.

        Args:
            offset: of the wall clock against the monotonic one, in seconds.
        """
        before, self.offset = self.offset, offset
        if before is None and self.status is not None and self.written == float("-inf"):
            # Another process has written it: a mere restart is no reason to write again.
            self.written = max((gate.at.timestamp() - offset for gate in self.status.gates), default=self.written)
        step = 0.0 if before is None else offset - before
        return step if abs(step) > CLOCK_STEP else 0.0

    def at_rest(self, offset: float) -> bool:
        """Whether what was decided last stands: stored but for numbers, with nothing in its way, and by the clock as it is.

        Args:
            offset: of the wall clock against the monotonic one, in seconds.
        """
        well = self.trouble is None and self.failures == 0 and not self.unsaved and not self.postponed
        return well and self.offset is not None and abs(offset - self.offset) <= CLOCK_STEP and self.written > float("-inf")

    def due(self, release: Object, heartbeat: float, now: float) -> float | None:
        """Return when the decided status is to be stored, on the monotonic clock; None where it is.

        Args:
            release: the Release as stored.
            heartbeat: seconds that numbers alone may wait after the last write.
            now: the time, on the monotonic clock.
        """
        weight = self._weight(release)
        if weight is Weight.DECISION and self.passing and not self.unsaved:
            weight = Weight.PASSING
        if (patience := _PATIENCE.get(weight)) is None:
            self.light = None
            # A gate's time may lie ahead of a clock that is wrong now, or was then.
            return {Weight.NONE: None, Weight.NUMBERS: min(self.written, now) + heartbeat}.get(weight, now)
        if self.light is None or self.light[0] is not weight:
            self.light = weight, now
        return self.light[1] + (min(patience, self._checks()) if weight is Weight.HELD else patience)

    def _checks(self) -> float:
        """Return the seconds that three checks of the gate take that is checked most often."""
        rollout = self.status.rollout if self.status is not None else None
        intervals = [gate.interval.total_seconds() for gate in rollout.spec.gates] if rollout is not None else []
        return _CHECKS * min(intervals, default=HELD_SECONDS)

    def _weight(self, release: Object) -> Weight:
        current, status = release.get("status") or {}, self.status or ReleaseStatus()
        if self.sent is None or self._print_of(current) != self.stored:
            return weigh(opened(current), self.wire)
        if self._weighed is not None and self._weighed[0] is not status:
            before, weight = self._weighed
            # Where no more than numbers differed, and no more than numbers has changed since, it still is numbers at most.
            since = slight(before, status) if weight <= Weight.NUMBERS else None
            self._weighed = None if since is None else (status, max(weight, since))
        if self._weighed is None:
            # What the API server leaves out of a status, because its CRD is older, is not sent again and again.
            self._weighed = status, self.sent.weigh(self._gist_of(self.wire))
        return self._weighed[1]

    def _print_of(self, current: Mapping[str, Any]) -> int:
        """Return the fingerprint of what is stored, which one pass asks for several times."""
        if self._printed is None or self._printed[0] is not current:
            self._printed = current, fingerprint(current)
        return self._printed[1]

    def _gist_of(self, wire: Mapping[str, Any]) -> Gist:
        if self._gist is None or self._gist[0] is not wire:
            self._gist = wire, Gist.of(wire)
        return self._gist[1]

    def kept(self, release: Object, at: float | None) -> None:
        """Note that the decided status is stored, or that what is stored is close enough for now.

        Args:
            release: the Release as stored.
            at: when it was written, on the monotonic clock; None where there was nothing to write.
        """
        self.stored, self.unsaved, self.postponed = self._print_of(release.get("status") or {}), False, False
        self.numbered = self._last_number
        if at is not None:
            self.sent, self.written, self._weighed = self._gist_of(self.offered or {}), at, None
        self.offered = None

    @property
    def _last_number(self) -> int:
        """Number of the last transition in what was offered; where nothing was, in what was decided, which says the same."""
        if self.offered is not None:
            return int((self.offered.get("outbox") or {}).get("last", 0))
        return self.status.outbox.last if self.status is not None and self.status.outbox is not None else 0

    def echoed(self, change: Change) -> bool:
        """Whether a change of the Release is nothing but the status that was sent last."""
        old, new = change.old, change.new
        if old is None or new is None or self.offered is None or opened(new.get("status") or {}) != self.offered:
            return False
        return _rest(old) == _rest(new)

    def note(self, failed: Exception | None) -> bool:
        """Note how a pass's writes ended, and return whether what people have to know has changed."""
        self._wired = self._gist = self._printed = None
        self.failures = self.failures + 1 if failed is not None else 0
        before, self.trouble = self.trouble, trouble_of(failed, self.failures)
        return before != self.trouble


@dataclass(frozen=True, slots=True)
class _Policy:
    """A policy that is known by its JSON: not all that is in one has a hash."""

    text: bytes
    spec: RolloutPolicySpec = field(compare=False)


@lru_cache(maxsize=256)
def _first_of(policy: _Policy) -> RolloutPolicySpec:
    """Return the first of equal policies: thousands of rollouts are under a few."""
    return policy.spec


def _shared(status: ReleaseStatus) -> ReleaseStatus:
    if status.rollout is None:
        return status
    spec = status.rollout.spec
    policy = _Policy(orjson.dumps(spec.to_wire(), option=orjson.OPT_SORT_KEYS), spec)
    return edited(status, rollout=edited(status.rollout, spec=_first_of(policy)))


def _rest(release: Object) -> dict[str, Any]:
    """Return all of a Release but its status."""
    metadata = {name: value for name, value in release["metadata"].items() if name != "resourceVersion"}
    return {name: value for name, value in release.items() if name not in {"status", "metadata"}} | {"metadata": metadata}


def trouble_of(error: Exception | None, failures: int) -> Blocker | None:
    """Return what people have to know of an error: what they must mend at once, what another try may mend if it lasts.

    Args:
        error: why a pass could not write what it wanted; None where it could.
        failures: passes in a row that failed.
    """
    if isinstance(error, Forbidden):
        return Blocker(Reason.NO_PERMISSION, str(error))
    lasting = failures >= PERSISTENT
    if isinstance(error, Invalid) or (isinstance(error, ApiError) and lasting):
        return Blocker(Reason.CONFLICT if isinstance(error, Conflict | AlreadyExists) else Reason.API_ERROR, str(error))
    if isinstance(error, Terminal) or (isinstance(error, Retry) and lasting):
        return Blocker(Reason(error.reason) if error.reason in {*Reason} else Reason.CONFLICT, error.message)
    return None
