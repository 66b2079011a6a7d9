"""What all senders push, given to the rollouts that want it: for which namespaces each may, and what is too old to be judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from tidegate.judge.histogram import Histogram
from tidegate.prometheus.push.request import Pushed, Sample
from tidegate.prometheus.push.rounds import Delivery, Fate, Pushes
from tidegate.runtime.clock import Clock

OLDEST, FURTHEST = 120.0, 15.0
"""Seconds by which a sample may be older than now, and later: what is older was judged by Prometheus, or by nobody."""
_A_TURN = 100
"""Series that are taken in at one turn."""
MOST_HELD = 200_000
"""Series and edges of histograms of all rollouts that are remembered; half of them for one namespace."""
LOST = 150.0
"""Seconds for which what is new of a sender is not counted whole, once one of its requests was refused: that may have had it."""
_PLACES = (("namespace", "pod"), ("k8s_namespace_name", "k8s_pod_name"))
"""Labels that name a pod: those of a scrape's target, and those of an OpenTelemetry collector. A program may say one of them of
itself: where both are there they have to agree."""


REFUSED = (Fate.NAMESPACE, Fate.LATE, Fate.FUTURE, Fate.INVALID)
"""What a sender is told that it was not written."""


class Intake:
    """Gives what is pushed to those who want it.

    Args:
        clock: the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wanting: dict[str, dict[Pushes, None]] = {}
        self._lost: dict[str, float] = {}
        self._doubtful: dict[str, float] = {}
        self._held: Counter[str] = Counter()

    def add(self, namespace: str, rounds: Pushes) -> None:
        """Hand on to these from now on what is pushed for a namespace."""
        self._wanting.setdefault(namespace, {})[rounds] = None

    def drop(self, namespace: str, rounds: Pushes) -> None:
        """Hand on no more to these."""
        wanting = self._wanting.get(namespace, {})
        wanting.pop(rounds, None)
        if not wanting:
            self._wanting.pop(namespace, None)
            self._doubtful.pop(namespace, None)

    def hold(self, namespace: str, more: int) -> bool:
        """Take room for so many series or edges more, and return whether there is that much; less gives it back."""
        if more > 0 and (self._held.total() + more > MOST_HELD or self._held[namespace] + more > MOST_HELD // 2):
            return False
        self._held[namespace] += more
        if not self._held[namespace]:
            del self._held[namespace]
        return True

    @property
    def held(self) -> int:
        """How many series and edges are remembered."""
        return self._held.total()

    @property
    def wanting(self) -> int:
        """How many want what is pushed."""
        return sum(map(len, self._wanting.values()))

    def names(self) -> frozenset[bytes]:
        """Return the names of the metrics that are wanted of anybody."""
        wanted: frozenset[bytes] = frozenset()
        return wanted.union(*(rounds.names for some in self._wanting.values() for rounds in some))

    def lose(self, sender: str) -> None:
        """Take note that a request of a sender was refused: nobody knows what was in it."""
        self._lost[sender] = self._clock.monotonic()

    def take(self, sender: str, namespaces: Collection[str], series: Sequence[Pushed], fates: Counter[Fate]) -> Iterator[None]:
        """Take series in turn by turn.

        Args:
            sender: who has pushed them.
            namespaces: for which it may push.
            series: of names that somebody wants.
            fates: what becomes of their samples; it is added to.
        """
        for place, one in enumerate(series):
            self._take(sender, namespaces, one, fates)
            if place % _A_TURN == _A_TURN - 1:
                yield

    def _take(self, sender: str, namespaces: Collection[str], one: Pushed, fates: Counter[Fate]) -> None:
        came = self._clock.monotonic()
        places = _places(one)
        if not places:
            fates[Fate.UNWANTED] += len(one.samples)
            return
        namespace, pod = places[0]
        if namespace not in namespaces or any(other != places[0] for other in places):
            fates[Fate.NAMESPACE] += len(one.samples)
            return
        samples = self._timely(one.samples, fates)
        wanting = self._wanting.get(namespace, {})
        if wanting and len(samples) < len(one.samples):
            # The pods of a namespace say what these are: others' samples are as sound as they were.
            self._doubtful[namespace] = came
        if not samples:
            return
        lost = max(self._lost.get(sender, -math.inf), self._doubtful.get(namespace, -math.inf))
        delivery = Delivery(sender, came, whole=came - lost > LOST)
        # Each of them, whatever the first one says.
        found = {rounds.take(pod, one, samples, delivery) for rounds in wanting}
        fates[next((fate for fate in (Fate.TAKEN, Fate.COPY) if fate in found), Fate.UNWANTED)] += len(samples)

    def _timely(self, samples: Sequence[Sample], fates: Counter[Fate]) -> list[Sample]:
        now, found = self._clock.now().timestamp(), list[Sample]()
        for one in samples:
            seconds = one.at / 1000
            if seconds < now - OLDEST:
                fates[Fate.LATE] += 1
            elif seconds > now + FURTHEST:
                fates[Fate.FUTURE] += 1
            elif not (one.value is None or isinstance(one.value, Histogram) or 0 <= one.value < math.inf):
                fates[Fate.INVALID] += 1
            else:
                found.append(one)
        return found


def _places(one: Pushed) -> list[tuple[str, str]]:
    """Return namespace and name of the pod that a series is of, by each of the labels that name one."""
    named = ((one.labels.get(namespace, ""), one.labels.get(pod, "")) for namespace, pod in _PLACES)
    return [place for place in named if all(place)]
