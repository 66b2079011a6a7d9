"""Looks of gates: taken when they are due, off the way of decisions; what they find is handed in as readings."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from tidegate.api.gate import BreachAction, Gate
from tidegate.api.status import GateStatus
from tidegate.controller.looks.direct import DirectLane
from tidegate.controller.looks.subject import Subject
from tidegate.controller.observe.references import ReleaseKey
from tidegate.engine.gate_status import fails
from tidegate.engine.plan import Look
from tidegate.engine.rules.split import is_of_split, origin_of
from tidegate.judge.evidence.gate import interval_of
from tidegate.judge.reading import Reading
from tidegate.prometheus.gate_reader import LiveGateReader
from tidegate.runtime.clock import Clock, Moment
from tidegate.runtime.queue import Lane
from tidegate.runtime.scheduler import Scheduler
from tidegate.runtime.turns import Turns, Work

log = structlog.get_logger(__name__)

SHORTEST_TICK, LONGEST_TICK = 0.1, 3.0
"""Seconds of the grid on which looks are due, so that those of many Releases are asked together: a tenth of the interval. Each has
its turn at one of the ticks, so that those that were rolled out together are not looked at all at once."""
LATE = timedelta(seconds=0.5)
"""A look that is taken no later than this after its tick is evaluated at that tick, so that it is still asked with the others."""
TOGETHER = 0.05
"""Seconds for which a reading waits for those of other looks of its Release that are under way: one decision for all. None that is
beyond a limit waits."""
RESUMED_WITHIN = timedelta(minutes=10)
"""After a longer time without an operator counters count anew: who knows what has become of them."""


@dataclass(frozen=True)
class Arrival:
    """A reading that has come in.

    Attributes:
        reading: what was read.
        beyond: whether it is beyond the limit of a gate whose breach rolls back.
        at: when it came in, on the monotonic clock.
    """

    reading: Reading
    beyond: bool
    at: float


class Looks:
    """Takes the looks that plans ask for, each gate of each Release at most once at a time.

    A reading stays until a decision has been made on it. One of a revision that is no longer wanted is handed in, too: the
    decision knows what to do with it.

    Args:
        clock: the time at which queries are evaluated.
        reader: asks Prometheus.
        arrived: told of each reading's Release, and of the lane that it deserves.
        turns: measures for how long looks hold the event loop.
        direct: reads pods directly; None where that is not done.

    Attributes:
        quiet: takes a reading in without a decision and returns what its gate says then, where nothing but numbers is new in it;
            None where a decision is to be made. By default one always is.
    """

    quiet: Callable[[ReleaseKey, Reading], GateStatus | None]

    def __init__(
        self,
        *,
        clock: Clock,
        reader: LiveGateReader,
        arrived: Callable[[ReleaseKey, Lane], None],
        turns: Turns | None = None,
        direct: DirectLane | None = None,
    ) -> None:
        self._clock, self._turns, self._direct = clock, turns, direct
        self.quiet = lambda *_: None
        if direct is not None:
            direct.hand_in = self._hand_in
        self._reader = reader
        self._arrived = arrived
        self._scheduler: Scheduler[tuple[ReleaseKey, str]] = Scheduler(clock)
        self._subjects: dict[ReleaseKey, Subject] = {}
        self._wanted: dict[ReleaseKey, frozenset[str]] = {}
        self._flying: dict[tuple[ReleaseKey, str], asyncio.Task[None]] = {}
        self._arrivals: dict[ReleaseKey, list[Arrival]] = {}
        self._taken: dict[ReleaseKey, set[str]] = {}
        self.patient: set[ReleaseKey] = set()
        """Releases that somebody brings to the queue once they were looked at: only what is beyond a limit does so before."""

    def plan(self, key: ReleaseKey, looks: Iterable[Look], subject: Subject | None, reckoned: Moment) -> None:
        """Take these looks of a Release from now on, and no others.

        A gate that is being looked at is not looked at a second time: what it finds brings the Release back, and with it the
        next look. A reading that came in while the plan was made puts the next look off, too: one moment counts once.

        Args:
            key: the Release.
            looks: what to look at, and when.
            subject: what is looked at; None for nothing.
            reckoned: the moment that the looks' times were reckoned from.
        """
        wanted = {look.gate: look.at for look in looks} if subject is not None else {}
        for gate in self._wanted.pop(key, frozenset()) - set(wanted):
            self._scheduler.drop((key, gate))
        if subject is None or not wanted:
            self._taken.pop(key, None)
            if self._direct is not None:
                self._direct.forget(key)
            if self._subjects.pop(key, None) is not None:
                self._reader.forget(*key)
            return
        self._subjects[key], self._wanted[key] = subject, frozenset(wanted)
        if self._direct is not None:
            self._direct.follow(key, subject, self._wanted[key])
        arrivals = (arrival.reading for arrival in self.waiting(key) if arrival.reading.revision == subject.revision)
        seen = {reading.gate: reading.at for reading in arrivals}
        for gate, at in wanted.items():
            if (key, gate) not in self._flying:
                # A look at the split goes with that of the gate that it comes from.
                origin = origin_of(gate) if wanted.get(origin_of(gate)) == at else gate
                interval = subject.gates[origin].interval
                due = max(at, seen[origin] + interval) if origin in seen else at
                looked = origin in seen or origin in subject.states
                # One that comes sooner than the interval says does so because it must: it waits for no turn.
                soon = origin in subject.states and due < subject.states[origin].at + interval
                due = _in_turn(key, due, interval) if looked and not soon else _aligned(due, interval)
                now = reckoned.wall_at(self._clock.monotonic())
                self._scheduler.set((key, gate), self._first(key, subject, gate, due, now), reckoned)

    def _first(self, key: ReleaseKey, subject: Subject, name: str, at: datetime, now: datetime) -> datetime:
        """Return when a gate is to be looked at: counters are first read as soon as they count, to know from where they rise."""
        gate = subject.gates[name]
        if subject.since is None or self._reader.primed(gate, subject.names, subject.revision):
            return at
        if self._left_at(key, gate, subject, now) is not None:
            # What was counted before is asked for as of then: there is time to ask for all Releases together.
            return min(at, _aligned(now, gate.interval))
        return min(at, max(now, subject.since + gate.initial_delay))

    def _left_at(self, key: ReleaseKey, gate: Gate, subject: Subject, now: datetime) -> datetime | None:
        """Return until when a process before this one has counted, if counting goes on from there; None where it begins anew.

        Of a process that has ended before its first look was stored, that is from where on it has: all that came since counts.
        """
        state = subject.states.get(gate.name)
        if subject.since is None or gate.name in self._taken.get(key, ()):
            return None
        if state is None:
            return _untold(gate, subject.since, subject.begun, now)
        if not subject.since < state.at < now <= state.at + RESUMED_WITHIN:
            return None
        known = state.evidence.until if state.evidence is not None else None
        return known if known is not None and subject.since <= known <= state.at else state.at

    def awaits(self, key: ReleaseKey, until: datetime) -> bool:
        """Whether a look of a Release is under way, or due by a time."""
        slots = [(key, gate) for gate in self._wanted.get(key, ())]
        return any(slot in self._flying or ((due := self._scheduler.due(slot)) is not None and due <= until) for slot in slots)

    def waiting(self, key: ReleaseKey) -> tuple[Arrival, ...]:
        """Return what has come in and has not been decided on, oldest first."""
        return tuple(sorted(self._arrivals.get(key, ()), key=lambda arrival: arrival.reading.at))

    def decided(self, key: ReleaseKey) -> None:
        """Let go of what has come in: it has been decided on."""
        self._arrivals.pop(key, None)

    def recount(self, key: ReleaseKey) -> None:
        """Let go of everything that bears a time by a clock that has been stepped since: counters count anew from now on."""
        self.decided(key)
        self._reader.forget(*key)

    def urgent(self, key: ReleaseKey) -> bool:
        """Whether a reading that may roll back waits to be decided on."""
        return any(arrival.beyond for arrival in self._arrivals.get(key, ()))

    def forget(self, key: ReleaseKey) -> None:
        """Take no more looks of a Release."""
        self.plan(key, (), None, Moment.of(self._clock))
        self.decided(key)

    async def run(self) -> None:
        """Take looks until cancelled."""
        try:
            if self._direct is not None:
                await self._direct.open()
            await self._scheduler.run(self._start)
        finally:
            for task in self._flying.values():
                task.cancel()
            if self._direct is not None:
                await self._direct.close()

    def _hand_in(self, key: ReleaseKey, gate: Gate, reading: Reading, beyond: bool) -> None:  # noqa: FBT001 - see `HandIn`
        """Take a reading that fails its gate, between two looks: nobody is waited for."""
        if gate.name in self._wanted.get(key, ()):
            self._arrivals.setdefault(key, []).append(Arrival(reading, beyond, self._clock.monotonic()))
            self._arrived(key, Lane.URGENT if beyond else Lane.NORMAL)

    def _start(self, slot: tuple[ReleaseKey, str]) -> None:
        key, name = slot
        subject = self._subjects.get(key)
        if subject is None or name not in subject.gates or slot in self._flying:
            return
        rest = self._reader.rest(*key, name)
        if rest > 0:
            # What was counted meanwhile is in the next look.
            now = Moment.of(self._clock)
            self._scheduler.set(slot, now.wall + timedelta(seconds=rest), now)
        else:
            look = partial(self._look, key, subject.gates[name], subject)
            measured = look() if self._turns is None else self._turns.of(Work(*key, name), look)
            self._flying[slot] = asyncio.create_task(measured, name=f"look {key} {name}")

    async def _primed(self, key: ReleaseKey, gate: Gate, subject: Subject, at: datetime) -> bool:
        """Whether the counters of a gate count already; where another process has counted, they do from its last look on."""
        primed = self._reader.primed(gate, subject.names, subject.revision)
        left = None if primed else self._left_at(key, gate, subject, at)
        self._taken.setdefault(key, set()).add(gate.name)
        if left is None:
            return primed
        await self._reader.resume(gate, subject.names, subject.revision, left, counted=gate.name in subject.states)
        return self._reader.primed(gate, subject.names, subject.revision)

    async def _look(self, key: ReleaseKey, gate: Gate, subject: Subject) -> None:
        now, failed, new = Moment.of(self._clock), False, True
        at = _instant(now.wall, gate.interval, subject.earliest)
        try:
            new = not await self._primed(key, gate, subject, at)
            reading = await self._reading(gate, subject, at)
            failed = _fails(key, gate, reading, subject)
        except Exception as error:  # a bug in one look must not end the looks of all others
            log.exception("look failed", release=str(key), gate=gate.name)
            # A look that found nothing still counts as one: the next is due an interval later, and not at once.
            reading = Reading(gate=gate.name, revision=subject.revision, at=at, trouble=f"the look failed ({type(error).__name__})")
        finally:
            del self._flying[key, gate.name]
        if new and reading.counts is None and not reading.trouble:
            # From here on the counters count: nothing to be judged yet.
            if gate.name in self._wanted.get(key, frozenset()):
                self._scheduler.set((key, gate.name), _aligned(at + gate.interval, gate.interval), now)
            return
        if not failed and self._goes_on(key, gate, subject, reading):
            return
        beyond = failed and gate.on_breach is BreachAction.ROLLBACK and not gate.dry_run
        self._arrivals.setdefault(key, []).append(Arrival(reading, beyond, self._clock.monotonic()))
        if beyond:
            # What is beyond a limit waits for no other work.
            self._arrived(key, Lane.URGENT)
        elif key in self.patient:
            return
        elif any((key, other) in self._flying for other in self._wanted.get(key, ())):
            asyncio.get_running_loop().call_later(TOGETHER, self._arrived_late, key)
        else:
            self._arrived(key, Lane.NORMAL)

    def _goes_on(self, key: ReleaseKey, gate: Gate, subject: Subject, reading: Reading) -> bool:
        """Take a reading in without a decision, if it needs none, and have the next look taken; return whether that was done."""
        wanted, current = self._wanted.get(key, frozenset()), self._subjects.get(key)
        # What the split does is judged by a decision, and so is all that comes with its looks.
        alone = key not in self._arrivals and not any(map(_is_split, wanted))
        # Gates that are looked at together are taken in one after the other; what was planned is the same as long as its gates are.
        same = current is not None and current.gates is subject.gates
        state = self.quiet(key, reading) if same and alone and gate.name in wanted else None
        if state is None or current is None:
            return False
        self._subjects[key] = replace(current, states={**current.states, gate.name: state})
        interval = interval_of(gate, state)
        due = state.at + interval
        due = _in_turn(key, due, gate.interval) if interval == gate.interval else _aligned(due, gate.interval)
        self._scheduler.set((key, gate.name), due, Moment.of(self._clock))
        return True

    def _arrived_late(self, key: ReleaseKey) -> None:
        """Bring a Release back for what has come in, unless it was decided on with what came after it."""
        if key in self._arrivals:
            self._arrived(key, Lane.NORMAL)

    async def _reading(self, gate: Gate, subject: Subject, at: datetime) -> Reading:
        if subject.split_at is not None and is_of_split(gate):
            return await self._reader.around(gate, subject.names, subject.revision, at, subject.split_at)
        read = self._reader.read
        return await read(gate, subject.names, subject.revision, at, subject.since, weight_since=subject.weight_since)


def _fails(key: ReleaseKey, gate: Gate, reading: Reading, subject: Subject) -> bool:
    """Whether a reading is beyond the limit; one that cannot be judged is handed in all the same, for the decision to say so."""
    try:
        return fails(gate, reading, subject.states.get(gate.name), alpha=subject.alpha, alone=subject.alone)
    except Exception as error:  # noqa: BLE001 - a bug in one gate's judging must not lose what was read
        cause = f"{type(error).__name__}: {error}"
        log.warning("a look could not be judged at once", release=key.name, namespace=key.namespace, gate=gate.name, cause=cause)
        return False


def _untold(gate: Gate, since: datetime, begun: datetime | None, now: datetime) -> datetime | None:
    """Return when counting began under a process before this one that has left no look; None where it begins, or began, under this.

    Args:
        gate: whose counters. During its warm-up nothing counts.
        since: when the new version first got traffic.
        begun: since when this process knows the Release.
        now: the time.
    """
    warm = since + gate.initial_delay
    return warm if begun is not None and warm < begun and warm < now <= warm + RESUMED_WITHIN else None


def _is_split(name: str) -> bool:
    return origin_of(name) != name


def _tick(interval: timedelta) -> float:
    return min(LONGEST_TICK, max(SHORTEST_TICK, interval.total_seconds() / 10))


def _aligned(at: datetime, interval: timedelta) -> datetime:
    """Put a look off to the next tick of the grid that all looks with such an interval share."""
    tick = _tick(interval)
    return datetime.fromtimestamp(math.ceil(round(at.timestamp() / tick, 6)) * tick, UTC)


def _in_turn(key: ReleaseKey, at: datetime, interval: timedelta) -> datetime:
    """Return a tick at which a Release has its turn, at most half an interval before a time; else one that is nearer to its turn.

    Releases that were rolled out together are looked at together. If they break together as well, all would be found and shut in
    one instant, the last of them seconds late. So each has its turn at one tick of the interval, by its name.
    """
    tick = _tick(interval)
    turns = math.ceil(round(interval.total_seconds() / tick, 6))
    due = math.ceil(round(at.timestamp() / tick, 6))
    late = (due - zlib.crc32(f"{key.namespace}/{key.name}".encode())) % turns
    return datetime.fromtimestamp((due - min(late, turns // 2)) * tick, UTC)


def _instant(now: datetime, interval: timedelta, since: datetime | None) -> datetime:
    """Return the evaluation time of a look: gates that are due together ask the same question only once.

    That is the tick that has just passed; for one that is late, now, cut to half a tick, so that many that are late are still asked
    with a few requests; and to tenths of a second where even that lies before the new version got traffic.
    """
    tick = _tick(interval)
    due = _cut(now, tick)
    if now - due <= LATE and (since is None or due >= since):
        return due
    late = _cut(now, max(SHORTEST_TICK, min(LATE.total_seconds(), tick / 2)))
    return late if since is None or late >= since else _cut(now, SHORTEST_TICK)


def _cut(at: datetime, seconds: float) -> datetime:
    return datetime.fromtimestamp(math.floor(round(at.timestamp() / seconds, 6)) * seconds, UTC)
