"""What waits to be sent by a channel: a lane for each Release, so that one order holds for each and none waits for another's.

No I/O and no clock: times are handed in, on the monotonic clock.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType

from tidegate.engine.severity import Severity
from tidegate.notifications.message import Message

PRESSING = frozenset({Severity.WARNING, Severity.CRITICAL})
"""What goes before the rest."""
MOST = 10_000
"""Messages that wait in one channel at most: a thousand Releases keep eight each."""
OF_ONE = 3
"""Messages of one namespace that are under way at once, of the four of a channel: a receiver may hang over what they say."""
BACKOFF_FIRST, BACKOFF_CAP = 1.0, 60.0
"""Seconds between tries of one Release's next message: twice as long each time."""

NOBODY: Mapping[str, float] = MappingProxyType({})


def backoff(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row."""
    return min(BACKOFF_CAP, BACKOFF_FIRST * 2.0 ** min(max(failures, 1) - 1, 16))


@dataclass(slots=True, eq=False)
class Lane:
    """What is to be told of one Release, in its order.

    Attributes:
        uid: of the Release.
        messages: each with when it came in.
        failures: tries of the first that have failed.
        under_way: the first is being sent.
    """

    uid: str
    messages: deque[tuple[Message, float]] = field(default_factory=deque)
    failures: int = 0
    under_way: bool = False

    @property
    def namespace(self) -> str:
        """Whose messages they are; empty where there is none."""
        return self.messages[0][0].namespace if self.messages else ""

    @property
    def pressing(self) -> bool:
        """Whether something in it goes before the rest."""
        return any(message.severity in PRESSING for message, _ in self.messages)


class Lanes:
    """All lanes of one channel."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._ready: OrderedDict[str, Lane] = OrderedDict()
        self._urgent: OrderedDict[str, Lane] = OrderedDict()
        self._later: list[tuple[float, int, Lane]] = []
        self._order = count()
        self._count = 0
        self._under_way: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._count

    def add(self, message: Message, now: float) -> Message | None:
        """Add a message; one that is there already is not added again.

        Returns:
            The message that has to make room; None where there is room.
        """
        lane = self._lanes.get(message.uid)
        if lane is None:
            lane = self._lanes[message.uid] = Lane(message.uid)
            self._ready[message.uid] = lane
        elif any(one.number == message.number for one, _ in lane.messages):
            return None
        lane.messages.append((message, now))
        self._count += 1
        if message.severity in PRESSING and self._ready.pop(message.uid, None) is not None:
            self._urgent[message.uid] = lane
        return self._make_room() if self._count > MOST else None

    def next(self, now: float, ailing: Mapping[str, float] = NOBODY) -> Lane | None:
        """Take the lane whose first message is next; None where none is due.

        Args:
            now: the time.
            ailing: namespaces whose messages have failed last: their turn comes after that of others, and not before these times,
                for one message at a time.
        """
        while self._later and self._later[0][0] <= now:
            _, _, lane = heapq.heappop(self._later)
            self._put(lane)
        busy = self._under_way
        found = self._first(lambda one: one.namespace not in ailing and busy[one.namespace] < OF_ONE)
        if found is None and ailing:
            # One at a time shows whether the receiver takes them again.
            found = self._first(lambda one: not busy[one.namespace] and one.namespace in ailing and ailing[one.namespace] <= now)
        if found is not None:
            found.under_way = True
            busy[found.namespace] += 1
        return found

    def _first(self, counts: Callable[[Lane], bool]) -> Lane | None:
        """Take out the first lane that counts, what presses before the rest; None where there is none."""
        for queue in (self._urgent, self._ready):
            uid = next((uid for uid, lane in queue.items() if counts(lane)), None)
            if uid is not None:
                return queue.pop(uid)
        return None

    def others(self, ailing: Collection[str]) -> bool:
        """Whether messages of other namespaces than these wait."""
        return any(lane.namespace not in ailing for lane in self._lanes.values())

    def due(self) -> float | None:
        """Return when a lane is due that is to be tried again; None where none is."""
        return self._later[0][0] if self._later else None

    def done(self, lane: Lane) -> None:
        """Note that the first message of a lane is done with; the next one of that Release has its turn behind others."""
        self._over(lane)
        lane.messages.popleft()
        self._count -= 1
        lane.failures = 0
        if lane.messages:
            self._put(lane)
        else:
            del self._lanes[lane.uid]

    def again(self, lane: Lane, at: float) -> None:
        """Have the first message of a lane tried again.

        Args:
            lane: the lane.
            at: when.
        """
        self._over(lane)
        lane.failures += 1
        heapq.heappush(self._later, (at, next(self._order), lane))

    def give_back(self, lane: Lane) -> None:
        """Have the first message of a lane sent that was taken and not tried."""
        self._over(lane)
        self._put(lane)

    def _over(self, lane: Lane) -> None:
        """Note that the first message of a lane is not under way any more."""
        lane.under_way = False
        self._under_way[lane.namespace] -= 1
        if not self._under_way[lane.namespace]:
            del self._under_way[lane.namespace]

    def _put(self, lane: Lane) -> None:
        (self._urgent if lane.pressing else self._ready)[lane.uid] = lane

    def _make_room(self) -> Message | None:
        """Take out the second message of the longest lane: its first may be under way, and its last is the latest news."""
        longest = max(self._lanes.values(), key=lambda lane: len(lane.messages))
        if len(longest.messages) < 3:
            return None
        message, _ = longest.messages[1]
        del longest.messages[1]
        self._count -= 1
        return message
