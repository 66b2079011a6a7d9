"""One channel: a sink that takes transitions at once, and tells them in its own time.

It has its own buffer, tasks, connections and threads, so a receiver that hangs, refuses or is gone delays nothing but its own
messages. What is told has an id that stays: where the process dies between a delivery and the note of it, it is sent again.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

import structlog

from tidegate.api.base import format_duration
from tidegate.api.outbox import TransitionStatus
from tidegate.notifications.config import ChannelConfig, NotificationsConfig
from tidegate.notifications.couriers import courier_of
from tidegate.notifications.incidents import ended
from tidegate.notifications.lanes import Lane, Lanes, backoff
from tidegate.notifications.message import Message, Object, message_of, takes
from tidegate.notifications.pauses import Pauses
from tidegate.notifications.repeats import Told, addition, is_repeat, unsaid
from tidegate.notifications.secrets import SecretError
from tidegate.notifications.sending import CONNECTIONS, Answer
from tidegate.runtime.clock import Clock

log = structlog.get_logger(__name__)
K = TypeVar("K")
V = TypeVar("V")

NEWS = timedelta(days=1)
"""What is older is no news. Clocks are wrong by less."""
FOR_SOME_SECONDS = 600.0
"""For so long a message that some of its recipients have is tried for the others: greylisting is over by then, a full mailbox may
be so for days, and what comes after it in its Release is for all."""
REMEMBERED = 20_000
"""Releases of which it is known how far they were told, and causes that were told."""


class Outcome(StrEnum):
    """What has become of a message, or of a try."""

    DELIVERED = "delivered"
    REPEATED = "repeated"
    """The same was told not long ago."""
    FAILED = "failed"
    """A try that is made again."""
    REFUSED = "refused"
    EXPIRED = "expired"
    OVERFLOWED = "overflowed"


class Channel:
    """Tells one receiver.

    Args:
        config: the channel.
        settings: what holds for all channels.
        clock: the time.
        count: told of each outcome, by the channel's name.
        moved: told of each Release (namespace and name) of which something was told: its status is to note that.
        dropped: told of each message that is given up, and why.
    """

    early = False

    def __init__(
        self,
        config: ChannelConfig,
        settings: NotificationsConfig,
        *,
        clock: Clock,
        count: Callable[[str, str], None],
        moved: Callable[[str, str], None],
        dropped: Callable[[Message, str], None],
    ) -> None:
        self.name = config.name
        self._config, self._settings, self._clock = config, settings, clock
        self._count, self._moved, self._dropped = count, moved, dropped
        self._courier = courier_of(config)
        self._repeat_after = config.repeat_after if config.repeat_after is not None else settings.repeat_after
        self._lanes = Lanes()
        self._done: OrderedDict[str, int] = OrderedDict()
        self._told: OrderedDict[tuple[str, int, tuple[str, str, str]], Told] = OrderedDict()
        self._over: OrderedDict[str, int] = OrderedDict()
        self._pauses, self._trouble = Pauses(), ""
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []

    def wants(self, release: Object, event: str, type_: str) -> bool:
        """Whether it is to be told of something that happens to a Release."""
        return takes(self._config, release, event, type_)

    def take(self, release: Object, transition: TransitionStatus, *, again: bool) -> None:  # noqa: ARG002 - its id tells
        """Take what has happened; returns at once."""
        if not self.wants(release, transition.id, transition.type):
            return
        message = message_of(release, transition, cluster=self._settings.cluster)
        over = self._lanes.add(message, self._clock.monotonic())
        if over is not None:
            self._drop(over, Outcome.OVERFLOWED, "too many messages wait for this channel")
        self._idle.clear()
        self._wake.set()

    def taken(self, release: Object, transition: TransitionStatus) -> bool:
        """Whether it is done with what it took: delivered, given up, or none of its own."""
        if self._done.get(release["metadata"]["uid"], 0) >= transition.number:
            return True
        return not self.wants(release, transition.id, transition.type)

    def waiting(self) -> int:
        """How many messages wait to be told."""
        return len(self._lanes)

    def start(self) -> None:
        """Begin to tell, on the running loop."""
        self._tasks = [asyncio.create_task(self._run(), name=f"channel {self.name}") for _ in range(CONNECTIONS)]

    async def stop(self, *, within: float) -> None:
        """Tell what waits for so many seconds, and end; what is left is told by the next life."""
        if self._tasks and not self._idle.is_set() and self._may_tell(self._clock.monotonic()):
            await self._clock.sleep(within, wake=self._idle)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._courier.close()

    def _may_tell(self, now: float) -> bool:
        """Whether anything that waits may be told now, as far as pauses go."""
        ailing = self._pauses.ailing
        return now >= self._pauses.until and (self._lanes.others(ailing) or any(until <= now for until in ailing.values()))

    async def _run(self) -> None:
        while True:
            lane = await self._next()
            try:
                await self._tell(lane)
            except asyncio.CancelledError:
                self._lanes.give_back(lane)
                raise
            except Exception as error:  # noqa: BLE001 - what it says may be a secret
                self._has_bug(error)
                if lane.under_way:
                    self._lanes.again(lane, self._clock.monotonic() + backoff(lane.failures + 1))
            if not self._lanes:
                self._idle.set()

    async def _next(self) -> Lane:
        """Wait for something to tell that is not to be left alone."""
        while True:
            now = self._clock.monotonic()
            due: float | None = self._pauses.until
            if now >= self._pauses.until:
                lane = self._lanes.next(now, self._pauses.ailing)
                if lane is not None:
                    return lane
                due = min((at for at in (self._lanes.due(), self._pauses.due(now)) if at is not None), default=None)
            self._wake.clear()
            if due is None:
                await self._wake.wait()
            else:
                await self._clock.sleep(due - now, wake=self._wake)

    async def _tell(self, lane: Lane) -> None:
        """Make one try with the first message of a lane."""
        message, since = lane.messages[0]
        # What was told before an incident was over is news again after it.
        past = self._over.get(message.uid, 0)
        cause = (message.uid, past, message.cause) if message.cause is not None else None
        before = self._told.get(cause) if cause is not None else None
        if (words := self._too_late(message, since)) is not None:
            self._pauses.over(message.namespace)
            self._drop(message, Outcome.EXPIRED, words)
            self._end(lane)
            return
        if cause is not None and before is not None and is_repeat(before, message.at, self._repeat_after):
            self._told[cause] = unsaid(before)
            self._count(self.name, Outcome.REPEATED)
            self._end(lane)
            return
        answer = self._enough(await self._try(message, addition(before)), message, since)
        if answer.delivered:
            if self._pauses.delivered(message.namespace):
                self._wake.set()
            if cause is not None:
                _remember(self._told, cause, Told(message.at))
            if ended(self._config, message.event) is not None:
                _remember(self._over, message.uid, past + 1)
            self._count(self.name, Outcome.DELIVERED)
            self._end(lane)
        elif answer.final:
            self._pauses.over(message.namespace)
            self._drop(message, Outcome.REFUSED, answer.words)
            self._end(lane)
        else:
            self._count(self.name, Outcome.FAILED)
            self._again(lane, message, answer)

    async def _try(self, message: Message, more: str) -> Answer:
        now = self._clock.now()
        try:
            return await self._courier.deliver(message.saying(more), now)
        except SecretError as error:
            return Answer(words=str(error))
        except Exception as error:  # noqa: BLE001 - as above
            self._has_bug(error)
            return Answer(words=f"internal error ({type(error).__name__}), see the operator's log")

    def _enough(self, answer: Answer, message: Message, since: float) -> Answer:
        """Return what has become of a try; what some have is done with after a while, as more comes that is for all."""
        if not answer.partly or self._clock.monotonic() - since < FOR_SOME_SECONDS:
            return answer
        where = {"release": message.release, "namespace": message.namespace, "id": message.id}
        log.warning("a notification was given up for some of its recipients", channel=self.name, cause=answer.words, **where)
        return Answer(delivered=True)

    def _has_bug(self, error: Exception) -> None:
        """Log where a bug is, and not what its error says."""
        where = traceback.format_tb(error.__traceback__)[-3:]
        log.error("a channel has a bug", channel=self.name, error=type(error).__name__, where=where)

    def _again(self, lane: Lane, message: Message, answer: Answer) -> None:
        """Have a message tried again, and leave its namespace alone for a while, or the receiver: what ails one often ails more."""
        now, self._trouble = self._clock.monotonic(), answer.words
        if answer.partly:
            # The receiver is there, so nobody else waits.
            first = not lane.failures
            if self._pauses.delivered(message.namespace):
                self._wake.set()
        else:
            first = self._pauses.failed(message.namespace, now, answer.after)
        wait = max(answer.after or 0.0, backoff(lane.failures + 1))
        self._lanes.again(lane, now + wait)
        say = log.warning if first else log.debug
        say(
            "a notification was not delivered and is tried again",
            channel=self.name,
            release=message.release,
            namespace=message.namespace,
            cause=answer.words,
            seconds=round(wait, 1),
        )

    def _too_late(self, message: Message, since: float) -> str | None:
        """Return why a message is not tried any more; None where it is."""
        if abs(self._clock.now() - message.at) >= NEWS:
            return "it is older than a day"
        if self._clock.monotonic() - since >= self._settings.give_up_after.total_seconds():
            return f"it could not be delivered for {format_duration(self._settings.give_up_after)}: {self._trouble}"
        return None

    def _end(self, lane: Lane) -> None:
        """Note that the first message of a lane is done with, and have the Release's status note it."""
        message, _ = lane.messages[0]
        self._lanes.done(lane)
        _remember(self._done, message.uid, max(message.number, self._done.get(message.uid, 0)))
        self._moved(message.namespace, message.release)

    def _drop(self, message: Message, outcome: Outcome, words: str) -> None:
        self._count(self.name, outcome)
        log.warning(
            "a notification was dropped",
            channel=self.name,
            release=message.release,
            namespace=message.namespace,
            id=message.id,
            transition=message.event,
            text=message.text,
            cause=words,
        )
        self._dropped(message, words)


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > REMEMBERED:
        memory.popitem(last=False)
