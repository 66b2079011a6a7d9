"""One simulated rollout through the ledger and the judge."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter

from bench.rollouts import ALPHA
from bench.scrapes.pods import Arm, Sample, arms
from bench.scrapes.scene import Scene

from tidegate.api.gate import Gate
from tidegate.api.status import GateStatus
from tidegate.backtest.simulate import EPOCH
from tidegate.engine.gate_status import judged
from tidegate.judge.evidence.gate import CLOSER, OFTENER
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.numbers import powers_of_ten
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Counts, Reading, Tally
from tidegate.prometheus.alignment import Labels
from tidegate.prometheus.counters import RawCounters, raw_counters
from tidegate.prometheus.ledger import MOST_SAMPLES, Ledger, Sighting
from tidegate.prometheus.promql import Names
from tidegate.prometheus.samples import counts

NAMES = Names("bench", "bench", "bench", "bench-stable", "bench-canary", "stable-.*", "canary-.*", 80)


@dataclass(frozen=True)
class Ran:
    """What came of a rollout.

    Attributes:
        failed: seconds from its beginning to the look at which each gate failed; infinite where it did not.
        bad: bad requests of the new version from its fault until the first gate failed, or in all; all of them where it is slow.
        counted: requests of the new version and of stable that the ledger counted.
        scraped: requests that a scrape has seen, up to the last one that a look was shown.
        true: requests up to there.
        counted_bad: bad requests of both that the ledger counted.
        scraped_bad: bad requests among those scraped.
    """

    failed: tuple[float, ...]
    bad: float
    counted: tuple[float, float]
    scraped: tuple[float, float]
    true: tuple[float, float]
    counted_bad: tuple[float, float]
    scraped_bad: tuple[float, float]


@dataclass(frozen=True)
class Scraped:
    """A job for worker processes: rollouts of one scene.

    Attributes:
        scene: what happens.
        gates: gates that look at the same counters.
        alpha: chance of a false alarm that each may take.
        whole: go through the status at each look, as the operator does, instead of keeping the tests in memory.
    """

    scene: Scene
    gates: tuple[Gate, ...]
    alpha: float = ALPHA
    whole: bool = False

    def __call__(self, numbers: list[int]) -> list[Ran]:
        """Return what came of each rollout."""
        return [self._one(number) for number in numbers]

    def _one(self, number: int) -> Ran:
        rng, scene = random.Random(f"{self.scene!r}:{number}"), self.scene
        pods = arms(scene, rng)
        shown = _Shown(pods, scene)
        accounts = _Account(self.gates[0])
        watched = [_Watched(gate, self.alpha, whole=self.whole) for gate in self.gates]
        shown.until(-scene.hidden)
        accounts.prime(_at(0.0), *shown.answer(0), [arm.labels for arm in pods if scene.gateway])
        baseline = shown.seen(0)
        before, time = 0.0, rng.uniform(0, scene.look) if scene.first is None else scene.first
        while time <= scene.seconds:
            for instant in _instants(before, time, scene.scrape):
                shown.until(instant - scene.hidden)
                replica = rng.randrange(scene.replicas) if scene.replicas > 1 else 0
                found = accounts.look(_at(instant), *shown.answer(replica))
                for one in watched:
                    if found is not None:
                        one.look(found, _at(instant), time)
            if all(math.isfinite(one.failed) for one in watched):
                break
            before, time = time, time + min(one.soon(scene.look) for one in watched)
        until = min(scene.seconds, *(one.failed for one in watched))
        slow = scene.fault is not None and scene.fault.slower > 1
        bad = sum(arm.served(scene.onset, until, rng, bad=not slow) for arm in pods if arm.of_canary)
        scraped, true, scraped_bad = (
            _passed(pods, baseline, shown.ever, which) for which in (attrgetter("scraped"), attrgetter("true"), attrgetter("bad"))
        )
        failed = tuple(one.failed for one in watched)
        return Ran(failed, bad, accounts.counted, scraped, true, accounts.counted_bad, scraped_bad)


def _at(time: float) -> datetime:
    return EPOCH + timedelta(seconds=time)


def _instants(before: float, now: float, scrape: float) -> list[float]:
    """Return when counters are read at a look, so that no sample is passed over; as `Ledger.between`."""
    number = min(MOST_SAMPLES, max(1, round((now - before) / scrape)))
    return [now - scrape * left for left in range(number - 1, -1, -1)]


class _Shown:
    """What each replica would answer at a time."""

    def __init__(self, pods: Sequence[Arm], scene: Scene) -> None:
        self._pods = pods
        self._coming = sorted((sample for arm in pods for sample in arm.samples), key=attrgetter("at"))
        self._next = 0
        self._views: list[tuple[dict[Labels, Sighting], dict[Labels, Sighting]]] = [({}, {}) for _ in range(scene.replicas)]
        self._last: list[dict[int, Sample]] = [{} for _ in range(scene.replicas)]
        self.ever: dict[int, Sample] = {}

    def until(self, time: float) -> None:
        """Take in all samples up to a time."""
        while self._next < len(self._coming) and self._coming[self._next].at <= time:
            sample = self._coming[self._next]
            arm = self._pods[sample.arm]
            self._views[sample.replica][0 if arm.of_canary else 1][arm.labels] = sample.sighting
            self._last[sample.replica][sample.arm] = sample
            self._next += 1

    def answer(self, replica: int) -> tuple[dict[Labels, Sighting], dict[Labels, Sighting]]:
        """Return the series of the new version and of stable that a replica has now."""
        for arm, sample in self._last[replica].items():
            known = self.ever.get(arm)
            if known is None or known.at < sample.at:
                self.ever[arm] = sample
        canary, stable = self._views[replica]
        return dict(canary), dict(stable)

    def seen(self, replica: int) -> dict[int, Sample]:
        """Return the last sample of each process and version that a replica has."""
        return dict(self._last[replica])


def _passed(
    pods: Sequence[Arm], baseline: dict[int, Sample], ever: dict[int, Sample], which: Callable[[Sample], float]
) -> tuple[float, float]:
    """Return what was counted of both versions between the baseline and the last samples that were seen."""
    passed = [0.0, 0.0]
    for number, sample in ever.items():
        before = baseline.get(number)
        passed[0 if pods[number].of_canary else 1] += which(sample) - (which(before) if before else 0.0)
    return passed[0], passed[1]


@dataclass
class _Account:
    """The ledger of gates that look at the same counters; what `prometheus.evidence.Accounts` does once series are read."""

    gate: Gate
    counted: tuple[float, float] = (0.0, 0.0)
    counted_bad: tuple[float, float] = (0.0, 0.0)
    asked: RawCounters = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.asked = raw_counters(self.gate, NAMES)
        self.ledger = Ledger(by_service=self.asked.by_service, forgets=self.asked.forgets)

    def prime(
        self, at: datetime, canary: dict[Labels, Sighting], stable: dict[Labels, Sighting], witnesses: Sequence[Labels]
    ) -> None:
        self.ledger.prime(at, canary, stable, witnesses)

    def look(self, at: datetime, canary: dict[Labels, Sighting], stable: dict[Labels, Sighting]) -> Counts | None:
        """Take a look in and return what was counted since the one before, as the judge takes it."""
        increases = self.ledger.advance(at, canary, stable)
        if increases is None:
            return None
        found = counts(self.asked, increases, len(canary), at)
        stable_found = found.stable or Tally(0.0)
        self.counted = (self.counted[0] + found.canary.total, self.counted[1] + stable_found.total)
        self.counted_bad = (self.counted_bad[0] + found.canary.bad, self.counted_bad[1] + stable_found.bad)
        return found


class _Watched:
    """A gate with what it knows."""

    def __init__(self, gate: Gate, alpha: float, *, whole: bool) -> None:
        self._gate, self._alpha, self._whole = gate, alpha, whole
        self._trial: Trial | None = None
        self._state: GateStatus | None = None
        self._harm = 0.0
        self.failed = math.inf

    def soon(self, look: float) -> float:
        """Return the seconds until the next look."""
        harm = powers_of_ten(self._harm)
        if self._state is not None and self._state.evidence is not None:
            harm = self._state.evidence.harm
        if math.isfinite(self.failed) or round(harm, 2) < CLOSER:
            return look
        return min(look, max(1.0, look / OFTENER))

    def look(self, found: Counts, at: datetime, time: float) -> None:
        """Judge what a look counted."""
        if math.isfinite(self.failed):
            return
        if found.until is not None and found.until <= found.since:
            # Nothing was handed out: what is known stays as it is.
            return
        if self._whole:
            self._state = judged(self._gate, Reading(self._gate.name, "r", at, counts=found), self._state, alpha=self._alpha)
            fails = self._state.looks.endswith("F")
        else:
            if self._trial is None:
                self._trial = Trial(limits_of(self._gate), "", found.since)
            trouble = self._trial.take(found, at, alone=False)
            if trouble:
                raise RuntimeError(trouble)
            self._harm = self._trial.harm()
            fails = self._harm >= -math.log(self._alpha)
        if fails:
            self.failed = time
