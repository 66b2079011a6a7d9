"""All that is known of one gate while a rollout is on, and how a look changes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.api.metric import Measure
from tidegate.judge.evidence import blocks, bursts, header, latency, outlook, pooling, ratio_interval, state
from tidegate.judge.evidence.header import Header
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.limits import COMPARING, TEMPERED, Limits
from tidegate.judge.evidence.numbers import bounded, countable, log_mean, never_rising, rising
from tidegate.judge.reading import Counts, Tally

OVERLAP = 0.1
"""Seconds by which an interval may begin before the end of the last one: times in the status are rounded."""
SELDOM = 30.0
"""Most seconds between two computations of what is only shown: the ratio's interval, how many requests are still needed, words."""
_GROWN = 0.1
"""Part of the time so far after which that is computed again: at first at every look."""
_ROUNDED = 0.01
"""Seconds by which a time in the status may differ from the one in memory."""
_MOST = 1e12
"""Most requests in an interval that are believed."""
_FADING = 120.0
"""Seconds over which the present rate of requests is averaged."""
_HARDLY = 1e-9
"""Requests in that time that are none: after a day of silence what fades is too little to divide by."""


@dataclass(frozen=True)
class Totals:
    """What was counted so far, or the bad ones at the bound of latency that matters most.

    Attributes:
        canary: the new version.
        stable: the stable version; zero where the gate does not compare with it.
        bound: bound of latency in seconds that `bad` refers to; None where events are bad in themselves.
    """

    canary: Tally
    stable: Tally
    bound: float | None = None


class Trial:
    """The tests of one gate, with their states.

    Args:
        limits: the gate's limits.
        text: `EvidenceStatus.state` of the look before; empty at the first, or to begin anew.
        origin: when counting begins, if it begins now; else when it began, which is believed where the clock was set since.
    """

    def __init__(self, limits: Limits, text: str, origin: datetime) -> None:
        self.limits = limits
        self._weights: list[float] | None = None
        self._totals: Totals | None = None
        self._harm: float | None = None
        self._proof: float | None = None
        self._block: Interval | None = None
        self._before: list[list[float]] = []
        interval = ratio_interval.FLOATS if limits.compares and not limits.of_latency else 0
        lengths = (header.FLOATS, bursts.FLOATS, bursts.FLOATS, interval, 0, *limits.lengths)
        found = _decoded(text, limits.fingerprint, lengths)
        self.resumed = found is not None
        if found is None:
            began = Header(origin.timestamp())
            rest = [bursts.begin(), bursts.begin(), [0.0] * interval, pooling.begin(), *(test.begin() for test in limits.tests)]
        else:
            began, rest = Header.of_floats(found[0]), found[1:]
        if abs(began.origin - origin.timestamp()) > _ROUNDED:
            began.origin = origin.timestamp()
        self._header = began
        self._go_on_from(rest[: len(lengths) - 1])
        if len(rest) == len(lengths):
            self._take_in(blocks.of_floats(rest[-1]))

    def text(self) -> str:
        """Return what the next look goes on from."""
        known = [self._header.to_floats(), *(self._stretches if self._block is None else self._before)]
        if self._block is not None:
            known.append(blocks.to_floats(self._block))
        return state.encode(self.limits.fingerprint, known)

    @property
    def _stretches(self) -> list[list[float]]:
        """All that changes with what is counted, but for the header."""
        return [self.stable_spread, self.own_spread, self.ratios, self.waiting, *self.states]

    def _go_on_from(self, stretches: Sequence[list[float]]) -> None:
        self.stable_spread, self.own_spread, self.ratios, self.waiting, *self.states = stretches
        self._weights = self._totals = self._harm = self._proof = None

    @property
    def spread(self) -> list[float]:
        """What is known of bursts."""
        if not self.limits.compares:
            return self.own_spread
        join = bursts.calmer if self.limits.of_latency else bursts.joined
        return join(self.stable_spread, self.own_spread)

    @property
    def since(self) -> datetime:
        """From when on requests have been counted."""
        return datetime.fromtimestamp(self._header.origin, UTC)

    @property
    def until(self) -> datetime:
        """Until when they have been; what came later is still to be handed in."""
        return datetime.fromtimestamp(self._header.origin + self._header.end, UTC)

    @property
    def elapsed(self) -> float:
        """Seconds from then to the end of the last interval."""
        return self._header.end

    def take(self, counts: Counts, at: datetime, *, alone: bool) -> str:
        """Take a look's counts into the tests.

        Args:
            counts: of the interval.
            at: its end, where the counts do not tell it.
            alone: all traffic is on the new version.

        Returns:
            Why the counts cannot be used; empty where they were.
        """
        origin = self._header.origin
        start, end = counts.since.timestamp() - origin, (counts.until or at).timestamp() - origin
        if counts.until is not None and counts.until <= counts.since:
            return ""
        if end <= start or start < self._header.end - OVERLAP:
            return "what was counted overlaps with what has been counted before"
        interval = _interval(counts, max(0.0, start), end, poisson=self.limits.measure is Measure.RESTARTS, alone=alone)
        if interval is None:
            return "the counts are no numbers of requests"
        self.add(interval)
        return ""

    def add(self, interval: Interval) -> None:
        """Take an interval of sound counts into the totals, and into the tests once both versions have some."""
        self._add_up(interval)
        block = None if self._block is None else blocks.joined(self._block, interval)
        if block is not None:
            self._go_on_from(self._before)
        self._take_in(block or interval)

    def _take_in(self, block: Interval) -> None:
        """Take a block into the tests: for good if it is whole, and else until more of it is known."""
        self._block, self._before = (None, []) if blocks.whole(block) else (block, [list(one) for one in self._stretches])
        self._harm = self._proof = self._totals = None
        pooled = pooling.take(self.waiting, block) if self.limits.compares else block
        watched = latency.watched(self.states[0]) if self.limits.of_latency and self.states else None
        for test, one in zip(self.limits.tests, self.states, strict=True):
            seen = pooled if isinstance(test, COMPARING) else block
            if seen is not None:
                test.add(one, self._careful(seen))
        if pooled is not None:
            self._learn(pooled, watched)

    def _careful(self, interval: Interval) -> Interval:
        """Return an interval for tests that divide its evidence by what was known before it."""
        if not (self.limits.of_latency or interval.alone):
            return interval
        one, factor = interval, bursts.careful(self.weights)
        return Interval(one.canary, one.stable, one.start, one.end, one.bounds, factor, one.alone)

    def _learn(self, interval: Interval, watched: float | None) -> None:
        canary, stable = interval.canary, interval.stable
        if watched is not None and watched != latency.watched(self.states[0]):
            # How requests beyond another bound come says little of those beyond this one.
            self.own_spread, self.stable_spread, self._weights = bursts.begin(), bursts.begin(), None
        self._learn_bursts(interval)
        if self.ratios and stable is not None and canary.total > 0 and stable.total > 0:
            ratio_interval.add(self.ratios, canary.total, canary.bad, stable.total, stable.bad)

    def _add_up(self, interval: Interval) -> None:
        known, canary, stable = self._header, interval.canary, interval.stable
        known.end = interval.end
        known.canary_requests += canary.total
        known.canary_bad += canary.bad
        if stable is not None:
            known.stable_requests += stable.total
            known.stable_bad += stable.bad
        seconds = interval.end - interval.start
        fading = math.exp(-seconds / _FADING)
        known.recent = known.recent * fading + canary.total
        known.seconds = known.seconds * fading + seconds

    def harm(self) -> float:
        """Return the evidence that a limit is exceeded: the mean of all limits' e-processes, as a natural logarithm."""
        if self._harm is None:
            logs = [test.harm(one) for test, one in zip(self.limits.tests, self.states, strict=True)]
            self._harm = bounded(log_mean(logs)) if logs else 0.0
        return self._harm

    def proof(self) -> float:
        """Return the evidence that all limits are kept, as a natural logarithm: the weakest of them."""
        if self._proof is None:
            self._proof = min([test.proof(one) for test, one in zip(self.limits.tests, self.states, strict=True)], default=0.0)
        return self._proof

    @property
    def _stable_tells(self) -> bool:
        """Whether stable alone says how bad events come."""
        return self.limits.compares and bursts.telling(self.stable_spread)

    @property
    def _bursts_told(self) -> bool:
        """Whether how bad events come was seen, of stable or of the new version."""
        return self._stable_tells or bursts.known(self.own_spread)

    @property
    def weights(self) -> list[float]:
        """The probability of each phi in `bursts.GRID`: certainty of 1 for restarts."""
        if self._weights is None:
            self._weights = bursts.weights_at(1.0) if self.limits.measure is Measure.RESTARTS else bursts.weights(self.spread)
        return self._weights

    @property
    def bursts(self) -> float:
        """The mean of phi: how many times as much bad events vary as independent ones would."""
        return bursts.mean(self.weights)

    @property
    def bursts_known(self) -> bool:
        """Whether the factor rests on what was seen."""
        return bursts.known(self.spread)

    @property
    def samples(self) -> float:
        """Requests of the new version so far; pod-hours where restarts are counted."""
        return self._header.canary_requests

    @property
    def tested(self) -> float:
        """Requests of the new version that the limits are tested on: of latencies, those since bounds were chosen."""
        return self.totals.canary.total if self.limits.of_latency else self.samples

    @property
    def totals(self) -> Totals:
        """What was counted, as it is shown."""
        if self._totals is None:
            self._totals = self._counted()
        return self._totals

    def _counted(self) -> Totals:
        known = self._header
        if not self.limits.of_latency:
            return Totals(Tally(known.canary_requests, known.canary_bad), Tally(known.stable_requests, known.stable_bad))
        slower = outlook.telling(self.limits, self.states)
        if slower is None:
            if self.states:
                return Totals(*latency.requests(self.states[0]))
            return Totals(Tally(known.canary_requests), Tally(known.stable_requests))
        return Totals(slower.canary, slower.stable, slower.bound)

    @property
    def per_minute(self) -> float:
        """Requests of the new version per minute, lately; 0 where it has been silent for so long that no rate can be told."""
        known = self._header
        return 60 * known.recent / known.seconds if known.seconds > 0 and known.recent > _HARDLY else 0.0

    def show(self, alpha: float, *, now: bool) -> bool:
        """Compute the ratio's interval and how many requests are still needed, if they are old, or now; return whether it did.

        Args:
            alpha: chance that the interval fails; what is needed is 1 / alpha.
            now: even if they are not old.
        """
        known = self._header
        if not now and known.end < known.shown + min(SELDOM, _GROWN * max(0.0, known.shown)):
            return False
        known.shown = known.end
        if self.ratios:
            ends = ratio_interval.interval(self.ratios, alpha, self.bursts)
            known.low, known.high = (-1.0 if end is None else end for end in ends)
        found = outlook.outlook(
            self.limits, self.states, self.averages(), self.samples, now=(self.harm(), self.proof()), needed=-math.log(alpha)
        )
        known.target = -1.0 if found is None else self.samples + found.requests
        known.drift = 0.0 if found is None else 1.0 if found.harm else -1.0
        return True

    def averages(self) -> Interval:
        """Return what an interval with one request of the new version holds on average."""
        known = self._header
        n = max(known.canary_requests, 1e-12)
        canary, stable = Tally(1.0, known.canary_bad / n), Tally(known.stable_requests / n, known.stable_bad / n)
        bounds: tuple[float, ...] = ()
        if self.limits.of_latency and self.states:
            bounds, canary, stable = outlook.latencies(self.states[0], known.stable_requests / n)
        return Interval(canary, stable, known.end, known.end + 1.0, bounds, bursts.careful(self.weights))

    @property
    def ratio_ends(self) -> tuple[float | None, float | None]:
        """Both ends of the interval of the ratio of bad shares."""
        low, high = self._header.low, self._header.high
        return (low if low >= 0 else None), (high if high >= 0 else None)

    @property
    def needed(self) -> tuple[float, bool] | None:
        """Requests of the new version still needed, and whether for Fail; None where the counts move towards no verdict."""
        known = self._header
        if known.drift == 0:
            return None
        return max(1.0, known.target - known.canary_requests), known.drift > 0

    def _learn_bursts(self, interval: Interval) -> None:
        """Learn from stable's counts; from the new version's own where it is asked as well, or stable is not, or cannot tell."""
        if self.limits.measure is Measure.RESTARTS:
            return
        seconds = interval.end - interval.start
        arms = [(interval.canary, self.own_spread), (interval.stable, self.stable_spread)]
        told = self._stable_tells
        if told and not self.limits.of_latency:
            del arms[0]
        learned = [bursts.add(spread, *self._bad(seen, interval), seconds) for seen, spread in arms if seen is not None]
        if any(learned) or told != self._stable_tells:
            self._weights = None
        for test, one in zip(self.limits.tests, self.states, strict=True):
            if isinstance(test, TEMPERED):
                test.temper(one, self.weights, told=self._bursts_told)

    def _bad(self, seen: Tally, interval: Interval) -> tuple[float, float]:
        """Return the requests and the bad ones of an interval; no requests where it cannot tell which are bad."""
        if not self.limits.of_latency:
            return seen.total, seen.bad
        bound = latency.watched(self.states[0]) if self.states else None
        return (seen.total, seen.over[interval.bounds.index(bound)]) if bound in interval.bounds else (0.0, 0.0)


def _decoded(text: str, fingerprint: int, lengths: Sequence[int]) -> list[list[float]] | None:
    """Return what the look before left, with the block that goes on behind it, if there is one; None where it cannot be read."""
    if not text:
        return None
    return state.decode(text, fingerprint, lengths) or state.decode(text, fingerprint, (*lengths, blocks.LEAST))


def _interval(counts: Counts, start: float, end: float, *, poisson: bool, alone: bool) -> Interval | None:
    """Return sound counts; None where they are not finite numbers of at least 0.

    Counters are not read in one instant, so that a little more may be bad than there is in all; that is cut off.
    """
    canary, stable, bounds = counts.canary, counts.stable, counts.bounds
    arms = [canary] if stable is None else [canary, stable]
    for arm in arms:
        if not (0 <= arm.total <= _MOST and 0 <= arm.bad <= _MOST) or len(arm.over) != len(bounds) or not countable(arm.over):
            return None
    if bounds and not rising(bounds):
        return None
    sound = [
        Tally(arm.total, arm.bad if poisson else min(arm.bad, arm.total), tuple(never_rising(arm.over, arm.total))) for arm in arms
    ]
    return Interval(sound[0], sound[1] if stable is not None else None, start, end, bounds, alone=alone)
