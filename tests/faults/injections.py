"""The faults: each is armed at a place before its journey is told, and knows afterwards whether it has struck."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from e2e.prometheus_stand_in import Mood
from e2e.world import canary_share
from faults.oracle import Violation
from faults.place import DOWN, Place
from faults.prometheus import Lie
from faults.wire import Mood as Watching
from faults.wire import Stream, Trap
from faults.writes import Asked, Kind

HOUR = 3600.0
LATE = 11.0
"""Seconds by which an answer is later than the operator waits for one."""
TOLD_AGAIN = {"events", "localsubjectaccessreviews"}
"""Requests that each start makes again."""
BLIND = 3.0
"""Seconds for which Prometheus is of no use."""
BLINK = 1.0
"""Seconds until an answer that came before has been dealt with, on a machine that is busy."""


@dataclass
class Armed:
    """A fault that is in place.

    Attributes:
        traps: for requests.
        struck: how often it has struck, as far as no trap knows.
        checks: what has to be looked at afterwards.
    """

    place: Place
    traps: list[Trap] = field(default_factory=list)
    struck: int = 0
    checks: list[Callable[[], list[Violation]]] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def trap(self, wanted: Asked | Kind | Callable[[Asked], bool], **what: Any) -> Trap:
        """Set a trap on every wire."""
        trap = Trap(wanted, **what)
        self.traps.append(trap)
        for operator in self.place.operators:
            operator.wire.traps.append(trap)
        return trap

    def soon(self, what: Coroutine[Any, Any, None]) -> None:
        """Do something beside the journey."""
        self._tasks.append(asyncio.create_task(what))

    @property
    def hits(self) -> int:
        """How often it has struck."""
        return self.struck + sum(trap.sprung for trap in self.traps)

    async def heal(self) -> None:
        """Let the world be kind again; an exception of what went on beside the journey is raised."""
        for operator in self.place.operators:
            operator.wire.traps.clear()
            operator.wire.cut_off = False
            operator.breathe()
            operator.antidote()
            await operator.up()
        for task in self._tasks:
            if not task.done():
                task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error


Arm = Callable[[Armed], None]
"""Puts a fault in place."""


# Crashes, at one write.


def kill_before(target: Asked) -> Arm:
    """The operator dies before its write has left it."""
    return lambda armed: _set(armed.trap(target, before=armed.place.first.crash, passes=False, answers=False))


def kill_after(target: Asked) -> Arm:
    """The operator dies after its write was done, and before it knows."""
    return lambda armed: _set(armed.trap(target, after=armed.place.first.crash, answers=False))


def kill_late(target: Asked) -> Arm:
    """The operator dies while its write is on the way; the write arrives when the next one is at work."""

    def arm(armed: Armed) -> None:
        async def die_and_wait() -> None:
            await armed.place.first.crash()
            await asyncio.sleep(DOWN + 1.2)

        armed.trap(target, before=die_and_wait, answers=False)

    return arm


def kill_every(_: object = None) -> Arm:
    """The operator dies after each of its writes: the first time that it is met."""

    def arm(armed: Armed) -> None:
        met: set[Asked] = set()

        def fresh(asked: Asked) -> bool:
            # Each start tells the last Events again, and asks again who may decide.
            told = replace(asked, nth=0) if asked.kind.resource.split(".")[0] in TOLD_AGAIN else asked
            known = told in met
            met.add(told)
            return asked.kind.writes and not known and asked.says != "numbers"

        armed.trap(fresh, after=armed.place.first.crash, answers=False, times=None)

    return arm


def _set(_: Trap) -> None:
    return None


# Answers, to one write or to a kind of request.


def answered(status: int, *, times: int = 1, **headers: str) -> Callable[[Asked | Kind], Arm]:
    """The API server refuses."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda target: lambda armed: _set(armed.trap(target, passes=False, status=status, headers=named, times=times))


def reset(target: Asked | Kind, *, times: int = 1) -> Arm:
    """The connection breaks before the request arrives."""
    return lambda armed: _set(armed.trap(target, passes=False, answers=False, times=times))


def lost(target: Asked | Kind, *, times: int = 1) -> Arm:
    """The request is carried out, and its answer is lost."""
    return lambda armed: _set(armed.trap(target, answers=False, times=times))


def slow(target: Asked | Kind, *, seconds: float = 2.0, times: int = 1) -> Arm:
    """The request takes its time."""
    return lambda armed: _set(armed.trap(target, delay=seconds, times=times))


def late(target: Asked | Kind) -> Arm:
    """The request is carried out long after the operator has given it up."""
    return slow(target, seconds=LATE)


# Watches, around one write.


def on_watches(act: Callable[[Place], Awaitable[None]], *, before: bool = True) -> Callable[[Asked], Arm]:
    """Something happens to the watches when a write comes, or when it was answered."""

    def at(target: Asked) -> Arm:
        def arm(armed: Armed) -> None:
            async def strike() -> None:
                await act(armed.place)

            armed.trap(target, **{"before" if before else "after": strike})

        return arm

    return at


def _beside(what: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(what)
    _running.add(task)
    task.add_done_callback(_running.discard)


_running: set[asyncio.Task[None]] = set()


async def stale(place: Place) -> None:
    """What happens in a second and a half is told only afterwards."""
    held = _all(place, Watching.HELD)

    async def release() -> None:
        await asyncio.sleep(1.5)
        await _each(held, Stream.release)

    _beside(release())


async def dropped(place: Place) -> None:
    """What happens in a second is never told: history is too short, and what is there is listed anew."""
    deaf = _all(place, Watching.DEAF)

    async def expire() -> None:
        await asyncio.sleep(1.0)
        await _each(deaf, Stream.expire)

    _beside(expire())


async def torn(place: Place) -> None:
    """What happens in half a second is told only after the watches were made anew."""
    deaf = _all(place, Watching.DEAF)

    async def cut() -> None:
        await asyncio.sleep(0.5)
        for stream in deaf:
            stream.cut()

    _beside(cut())


async def replayed(place: Place) -> None:
    """What was told is told once more."""
    streams = place.wire.of("")

    async def repeat() -> None:
        await asyncio.sleep(0.15)
        await _each(streams, Stream.repeat)

    _beside(repeat())


async def expired(place: Place) -> None:
    """Every watch ends with status 410."""
    await _each(place.wire.of(""), Stream.expire)


def silent(resource: str) -> Callable[[Asked], Arm]:
    """From a write on, nothing comes by the open watches of a resource, until the operator gives them up."""

    async def fall_silent(place: Place) -> None:
        for stream in place.wire.of(resource):
            stream.mood = Watching.SILENT

    return on_watches(fall_silent)


def _all(place: Place, mood: Watching) -> list[Stream]:
    streams = place.wire.of("")
    for stream in streams:
        stream.mood = mood
    return streams


async def _each(streams: list[Stream], act: Callable[[Stream], Awaitable[None]]) -> None:
    await asyncio.gather(*(act(stream) for stream in streams), return_exceptions=True)


# Watches, all along.


def lagging(resource: str) -> Arm:
    """What a watch tells comes in bunches, up to eight tenths of a second late."""

    def arm(armed: Armed) -> None:
        async def lag() -> None:
            while True:
                streams = armed.place.wire.of(resource)
                for stream in streams:
                    stream.mood = Watching.HELD
                armed.struck += bool(streams)
                await asyncio.sleep(0.8)
                await _each(streams, Stream.release)

        armed.soon(lag())

    return arm


def without_deletions(_: object = None) -> Arm:
    """No watch ever tells that something has gone."""

    def arm(armed: Armed) -> None:
        for stream in armed.place.wire.of(""):
            stream.without_deletions = True
            armed.struck += 1

    return arm


# Starts.


def at_the_start(fault: Callable[[Kind], Arm], crash_at: Asked) -> Callable[[Kind], Arm]:
    """A kind of request that is made when the operator starts fails when it is started again in the middle."""

    def at(kind: Kind) -> Arm:
        def arm(armed: Armed) -> None:
            fault(kind)(armed)
            armed.trap(crash_at, after=armed.place.first.crash, answers=False)

        return arm

    return at


# Prometheus.


def blind(how: Mood | Lie, *, share: float, delay: float = 0.0) -> Arm:
    """For some seconds after the route has come to give a share, Prometheus is of no use; weights must not move meanwhile."""

    def arm(armed: Armed) -> None:
        place, marks = armed.place, list[int]()

        async def turn() -> None:
            await place.history.until(lambda: canary_share(place.route) == share, within=60)
            await _confuse(place, how, delay)
            # A look that was answered just before may still count.
            await asyncio.sleep(BLINK)
            armed.struck += 1
            marks.append(len(place.recorder.changes))
            await asyncio.sleep(BLIND)
            marks.append(len(place.recorder.changes))
            await _confuse(place, Mood.NUMBERS, 0.0)

        def moved() -> list[Violation]:
            told = place.recorder.changes[marks[0] : marks[1] if len(marks) > 1 else None] if marks else []
            shares = {canary_share(seen.object) for seen in told if seen.kind == "HTTPRoute"} - {share}
            words = f"weight went from {share:g}% to {sorted(shares)} while Prometheus was {how.name}"
            return [Violation("blind-is-not-bad", words)] if shares else []

        armed.checks.append(moved)
        armed.soon(turn())

    return arm


async def _confuse(place: Place, how: Mood | Lie, delay: float) -> None:
    place.prometheus.delay = delay
    place.prometheus.lie = how if isinstance(how, Lie) else Lie.TRUTH
    await place.prometheus.be(how if isinstance(how, Mood) else Mood.NUMBERS)


# Judges.


def poisoned(gate: str) -> Arm:
    """The judge of one gate raises at every look; all others are judged and acted on, and it is Undecided."""

    def arm(armed: Armed) -> None:
        place = armed.place
        for operator in place.operators:
            operator.poison(gate)
        armed.struck += 1

        def contained() -> list[Violation]:
            looks = [name for operator in place.operators for name in operator.poisoned]
            if set(looks) == {gate}:
                return []
            return [Violation("contained", f"the judge of {gate} was to fail, and of these it is told: {looks}")]

        armed.checks.append(contained)

    return arm


# Clocks.


def clock(seconds: float) -> Callable[[Asked], Arm]:
    """When a write comes, the operator's clock is stepped."""

    def at(target: Asked) -> Arm:
        def arm(armed: Armed) -> None:
            async def step() -> None:
                armed.place.first.step_clock(seconds)

            armed.trap(target, before=step)

        return arm

    return at
