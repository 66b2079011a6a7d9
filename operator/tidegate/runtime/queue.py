"""The work queue: keys, not events, with one pass in flight per key and four lanes of priority.

Semantics are those of client-go's work queue (k8s.io/client-go/util/workqueue): a key that is added while it waits is
the same entry, and a key that is added while it is being processed comes back once that pass is done. So a pass always
starts after the newest event it has to answer for, and no key is ever worked on twice at once.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Hashable
from enum import IntEnum
from typing import Generic, TypeVar

from tidegate.runtime.clock import Clock

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST = 0.05
BACKOFF_CAP = 30.0
LOW_LANE_SHARE = 10
"""Every tenth pick below the urgent lane goes to the low lane if a key waits there, so that a saturated normal lane
delays a re-list but never starves it. The urgent lane is never passed over."""

DECIDED_LANE_SHARE = 2
"""Of every two picks one goes to the normal lane if a key waits there: nobody keeps others from being looked at by deciding without
end."""


class Lane(IntEnum):
    """Priority of a key; a lower number goes first."""

    URGENT = 0
    """Breaches, aborts, rollbacks."""
    DECIDED = 1
    """What a person has decided, who looks on until it counts."""
    NORMAL = 2
    """Fresh edits and due times."""
    LOW = 3
    """Objects that merely came with a list; nothing says that they changed."""


class KeyedQueue(Generic[K]):
    """A queue of keys for one event loop. Not for use from other threads.

    Args:
        clock: measures how long keys wait.
        jitter: returns a number in [0, 1) for the back-off's jitter.
    """

    def __init__(self, clock: Clock, *, jitter: random.Random | None = None) -> None:
        self._clock = clock
        self._random = jitter or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._lanes: dict[Lane, OrderedDict[K, float]] = {lane: OrderedDict() for lane in Lane}
        self._waiting: dict[K, Lane] = {}
        self._processing: dict[K, Lane] = {}
        self._dirty: dict[K, tuple[Lane, float]] = {}
        self._failures: dict[K, int] = {}
        self._getters: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._picks = 0

    def add(self, key: K, lane: Lane = Lane.NORMAL) -> None:
        """Asks for a pass over `key`. A key that already waits moves up if `lane` is higher, and never down."""
        if key in self._processing:
            marked, since = self._dirty.get(key, (lane, self._clock.monotonic()))
            self._dirty[key] = (min(marked, lane), since)
            return
        self._put(key, lane, self._clock.monotonic())

    async def get(self, lowest: Lane = Lane.LOW) -> K:
        """The next key; it counts as being processed until `done(key)`.

        Args:
            lowest: keys of lower lanes are left to others.
        """
        while (best := self._best()) is None or best > lowest:
            getter = asyncio.get_running_loop().create_future()
            self._getters[lowest].append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                # The wake-up may already have been spent on this getter: pass it on, or the key waits for the next add.
                if getter in self._getters[lowest]:
                    self._getters[lowest].remove(getter)
                elif (best := self._best()) is not None:
                    self._wake(best)
                raise
        key, lane = self._pick()
        self._processing[key] = lane
        if (left := self._best()) is not None:
            # This getter may have been woken for what is left, and another, who does not take that, for what it has taken.
            self._wake(left)
        return key

    def done(self, key: K) -> None:
        """Ends the pass over `key`; the key waits again if it was added meanwhile.

        Raises:
            KeyError: if `key` is not being processed.
        """
        del self._processing[key]
        if key in self._dirty:
            lane, since = self._dirty.pop(key)
            self._put(key, lane, since)

    def retry(self, key: K) -> float:
        """Counts one more failure of `key` and returns how many seconds to wait before it is added again.

        0.05 s doubling to 30 s, shortened by up to a fifth at random so that keys that failed together part ways.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2**16 is far past the cap already; an unbounded exponent would overflow after a week of failures.
        delay = min(BACKOFF_CAP, BACKOFF_FIRST * 2.0 ** min(failures, 16))
        return delay * (1.0 - 0.2 * self._random.random())

    def forget(self, key: K) -> None:
        """Resets the back-off of `key`."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often in a row `key` has failed."""
        return self._failures.get(key, 0)

    def lane(self, key: K) -> Lane | None:
        """The lane `key` waits in, or was taken from; None if the queue does not hold it."""
        return self._waiting.get(key, self._processing.get(key))

    def depth(self, lane: Lane | None = None) -> int:
        """How many keys wait, in one lane or in all; keys being processed do not count."""
        return len(self._waiting) if lane is None else len(self._lanes[lane])

    def fresh(self, lane: Lane) -> bool:
        """Whether a key waits in a lane that has not failed before."""
        return any(key not in self._failures for key in self._lanes[lane])

    def in_flight(self) -> int:
        """How many keys are being processed."""
        return len(self._processing)

    def oldest_age(self) -> float:
        """Seconds that the longest-waiting key has waited; 0.0 if none waits."""
        since = min((entry for lane in self._lanes.values() for entry in lane.values()), default=None)
        return 0.0 if since is None else self._clock.monotonic() - since

    def _put(self, key: K, lane: Lane, since: float) -> None:
        waiting_in = self._waiting.get(key)
        if waiting_in is not None:
            if lane >= waiting_in:
                return
            since = self._lanes[waiting_in].pop(key)
        self._waiting[key] = lane
        self._lanes[lane][key] = since
        self._wake(lane)

    def _pick(self) -> tuple[K, Lane]:
        lane = self._best()
        assert lane is not None
        if lane is not Lane.URGENT:
            self._picks += 1
            if self._picks % LOW_LANE_SHARE == 0 and self._lanes[Lane.LOW]:
                lane = Lane.LOW
            elif lane is Lane.DECIDED and self._picks % DECIDED_LANE_SHARE == 0 and self._lanes[Lane.NORMAL]:
                lane = Lane.NORMAL
        key, _ = self._lanes[lane].popitem(last=False)
        del self._waiting[key]
        return key, lane

    def _best(self) -> Lane | None:
        return next((lane for lane in Lane if self._lanes[lane]), None)

    def _wake(self, lane: Lane) -> None:
        """Wake one that takes keys of a lane; of several, the one that takes the fewest others."""
        for lowest in Lane:
            getters = self._getters[lowest]
            while lowest >= lane and getters:
                getter = getters.popleft()
                if not getter.done():
                    getter.set_result(None)
                    return
