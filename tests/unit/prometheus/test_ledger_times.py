"""The ledger where samples have times: replicas of Prometheus, restarts, and whole lives of scrapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.judge.histogram import Histogram, cumulative
from tidegate.prometheus.ledger import Events, Increases, Labels, Ledger, Sighting

START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def one(name: str, sampled: float, total: float, bad: float | None = None, *, born: float | None = None) -> dict[Labels, Sighting]:
    labels = (("pod", name),)
    return {labels: Sighting(labels, Events(total, bad), at(sampled), None if born is None else at(born))}


def summed(increases: Increases | None, version: str = "canary") -> tuple[float, float]:
    values = () if increases is None else (increases.canary if version == "canary" else increases.stable) or ()
    events = [value for value in values if isinstance(value, Events)]
    return sum(value.total for value in events), sum(value.bad or 0.0 for value in events)


def follow(*samples: dict[Labels, Sighting]) -> list[tuple[float, float]]:
    """Take the first sample as the baseline, the others at looks of 15 s, of a gate with a fixed limit."""
    ledger = Ledger()
    ledger.prime(at(0), samples[0], None)
    return [summed(ledger.advance(at(15 * number), sample, None)) for number, sample in enumerate(samples[1:], 1)]


class TestReplicas:
    """Two replicas of Prometheus behind one address."""

    @pytest.mark.parametrize("older", [(2, 0), (60, 6), (100, 10)])
    def test_a_sample_that_is_no_newer_counts_nothing(self, older):
        """Whatever its value is; of a young series it is often less than half."""
        found = follow(one("c", -5, 0), one("c", 10, 100, 10), one("c", 8, *older), one("c", 40, 130, 12))

        assert found == [(100, 10), (0, 0), (30, 2)]

    def test_clocks_that_differ_a_little(self):
        """A sample that seems to be a second newer and is a little lower is the older one; it is no restart."""
        found = follow(one("c", 0, 1000, 100), one("c", 1, 990, 99), one("c", 15, 1020, 101))

        assert found == [(0, 0), (20, 1)]

    def test_a_sample_from_the_future(self):
        """A clock that was put back: nothing is counted twice, and counting goes on when time has come round."""
        found = follow(one("c", 0, 100), one("c", 3600, 110), one("c", 30, 120), one("c", 3610, 125))

        assert found == [(10, 0), (0, 0), (15, 0)]


class TestRestarts:
    """A newer sample that is lower is that of a process that began anew."""

    def test_it_had_counted_more_than_half_of_its_predecessor(self):
        """All that it has is new."""
        assert follow(one("c", 0, 100, 50), one("c", 15, 70, 7)) == [(70, 7)]

    def test_it_had_counted_more_than_its_predecessor(self):
        """The start of the process has moved on: 19 requests with 7 bad are those of one life, not 9 of two."""
        assert follow(one("c", 0, 10, 8, born=-100), one("c", 15, 19, 7, born=5)) == [(19, 7)]
        assert follow(one("c", 0, 10, 5, born=-100), one("c", 15, 19, 7, born=5)) == [(19, 7)]

    def test_bad_events_that_fell_tell_as_well(self):
        """Where nobody tells of starts."""
        assert follow(one("c", 0, 10, 8), one("c", 15, 19, 7)) == [(19, 7)]

    def test_starts_that_are_reckoned_anew(self):
        """They jitter by a second; that is no restart."""
        assert follow(one("c", 0, 10, born=-100), one("c", 15, 19, born=-98.5), one("c", 30, 29, born=-100)) == [(9, 0), (10, 0)]

    def test_a_start_that_is_not_told_for_a_while(self):
        """What was counted meanwhile is not counted again when it is told."""
        assert follow(one("c", 0, 10, born=-100), one("c", 15, 7), one("c", 30, 12, born=5)) == [(7, 0), (5, 0)]

    def test_its_counter_of_bad_events_comes_back_later(self):
        """It restarted while that was gone; what was counted since then is not counted again."""
        found = follow(one("c", 0, 100, 10), one("c", 15, 150), one("c", 30, 160, 3), one("c", 45, 170, 4))

        assert found == [(50, 0), (10, 3), (10, 1)]

    def test_histograms(self):
        """All buckets, where the process says that it began anew."""
        process = (("pod", "c"),)

        def sample(sampled: float, born: float, fast: float, total: float) -> dict[Labels, Sighting]:
            return {process: Sighting(process, cumulative({0.1: fast, float("inf"): total}), at(sampled), at(born))}

        ledger = Ledger()
        ledger.prime(at(0), sample(0, -100, 5, 10), None)
        increases = ledger.advance(at(15), sample(15, 5, 6, 19), None)

        assert increases is not None
        (value,) = increases.canary
        assert isinstance(value, Histogram)
        assert (value.total, value.over([0.1])) == (19, (13,))


class TestStarts:
    """What a process says of its start tells whether all that it counted is new."""

    def test_a_pod_of_stable_that_started_after_the_baseline(self):
        """Without a start it would give no more than a baseline."""
        ledger = Ledger()
        ledger.prime(at(0), one("c", -5, 10), one("s", -5, 10))

        increases = ledger.advance(
            at(30), one("c", 25, 20), one("s", 25, 20) | one("t", 25, 40, born=10) | one("u", 25, 7, born=-9)
        )

        assert summed(increases, "stable") == (50, 0)

    def test_after_another_process_has_counted(self):
        """What began after its last look was not taken in by it."""
        ledger = Ledger()
        ledger.prime(at(0), one("c", -5, 10), None, resumed=True)

        increases = ledger.advance(at(30), one("c", 25, 20) | one("d", 25, 5, born=10) | one("e", 25, 5, born=-50), None)

        assert summed(increases) == (15, 0)


class TestNewest:
    """How old what is known is."""

    def test_of_both_versions(self):
        """Whatever was handed out."""
        ledger = Ledger()
        ledger.prime(at(0), one("c", -5, 10) | one("d", -2, 10), one("s", -9, 10))
        assert ledger.newest == (at(-2), at(-9))

        ledger.advance(at(10), one("d", 6, 10), one("s", -9, 10))

        assert ledger.newest == (at(6), at(-9))


class TestSuccession:
    """Another process goes on counting from the last cut, and not from the last look: what was held back is not lost."""

    @staticmethod
    def answer(second: float, phases: dict[str, float]) -> dict[Labels, Sighting]:
        """Samples as they are found at an instant: each pod counts a request a second, and half of them fail."""
        found: dict[Labels, Sighting] = {}
        for name, phase in phases.items():
            sampled = phase + 15 * ((second - phase) // 15)
            found |= one(name, sampled, 1000 + sampled, 500 + sampled / 2)
        return found

    @pytest.mark.parametrize("ends", range(40, 100, 5))
    def test_nothing_is_lost(self, ends):
        """Whenever the first process ends."""
        ours, theirs = {"c": 3.0, "d": 11.0}, {"s": 7.0, "t": 13.0}

        def counted(ledger: Ledger, looks: range) -> tuple[float, float, datetime]:
            sums, until = [0.0, 0.0], START
            for second in looks:
                increases = ledger.advance(at(second), self.answer(second, ours), self.answer(second, theirs))
                assert increases is not None
                sums = [sums[0] + summed(increases)[0], sums[1] + summed(increases, "stable")[0]]
                until = increases.until
            return sums[0], sums[1], until

        whole, first, second = Ledger(), Ledger(), Ledger()
        for ledger in (whole, first):
            ledger.prime(at(0), self.answer(0, ours), self.answer(0, theirs))
        *expected, _ = counted(whole, range(5, 200, 5))
        *before, cut = counted(first, range(5, ends, 5))
        known = (cut - START).total_seconds()
        second.prime(cut, self.answer(known, ours), self.answer(known, theirs), resumed=True)
        *after, _ = counted(second, range(ends + 20, 200, 5))

        assert expected == [one_part + other for one_part, other in zip(before, after, strict=True)]


@dataclass
class Pod:
    """A process that is scraped by several replicas, each at a phase of its own."""

    version: str
    name: str
    interval: int
    phases: tuple[int, ...]
    begins: int
    tells: bool
    restarts: frozenset[int]
    born: int = 0
    total: int = 0
    bad: int = 0
    ever: tuple[int, int] = (0, 0)
    samples: list[Sighting | None] = field(default_factory=list)

    @property
    def labels(self) -> Labels:
        """What it is known by."""
        return (("pod", self.name),)

    def live(self, second: int, total: int, bad: int) -> None:
        """One second: perhaps a restart, traffic, and scrapes."""
        if second < self.begins:
            return
        if second == self.begins or second in self.restarts:
            self.born, self.total, self.bad = second, 0, 0
        self.total, self.bad = self.total + total, self.bad + bad
        self.ever = (self.ever[0] + total, self.ever[1] + bad)
        self.samples = self.samples or [None for _ in self.phases]
        for replica, phase in enumerate(self.phases):
            if second % self.interval == phase % self.interval:
                born = at(self.born) if self.tells else None
                self.samples[replica] = Sighting(self.labels, Events(self.total, self.bad or None), at(second), born)


@dataclass(frozen=True)
class Course:
    """Pods, traffic by the second, the seconds of looks and the replica that answers each, and the second of the baseline."""

    pods: tuple[Pod, ...]
    traffic: tuple[tuple[int, int], ...]
    looks: tuple[tuple[int, int], ...]
    primed: int


LIFE = 150
REST = 400
"""Seconds without traffic at the end, in which all is handed out that was held back."""


@st.composite
def courses(draw: st.DrawFn, *, restarts: bool) -> Course:
    replicas = draw(st.integers(1, 2))
    pods = []
    for version, most in (("c", 2), ("s", 3)):
        for number in range(draw(st.integers(1, most))):
            times = st.integers(1, LIFE)
            pods.append(
                Pod(
                    version,
                    f"{version}{number}",
                    draw(st.sampled_from([5, 15, 30])),
                    tuple(draw(st.integers(0, 29)) for _ in range(replicas)),
                    draw(st.sampled_from([-60, -60, 0, 40])),
                    draw(st.booleans()),
                    draw(st.frozensets(times, max_size=3)) if restarts else frozenset(),
                )
            )
    traffic = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
    step = draw(st.sampled_from([1, 4, 5, 15, 30, 60]))
    primed = draw(st.integers(0, 30))
    looks = [(second, draw(st.integers(0, replicas - 1))) for second in range(primed + step, LIFE, step)]
    looks += [(second, number % replicas) for number, second in enumerate(range(LIFE, LIFE + REST, 10))]
    return Course(tuple(pods), tuple((total, min(total, bad)) for total, bad in traffic), tuple(looks), primed)


class Life:
    """A course lived through a ledger, checked at each look: what was handed out, what happened, and what scrapes saw."""

    def __init__(self, course: Course) -> None:
        self.course, self.ledger = course, Ledger()
        self.counted = {"c": (0.0, 0.0), "s": (0.0, 0.0)}
        self.base: dict[Labels, Events] = {}
        self.first: dict[Labels, Events] = {}
        self.newest: dict[Labels, Sighting] = {}
        self.until = at(course.primed)

    def live(self) -> Life:
        """Live all of it."""
        looks = dict(self.course.looks)
        for second in range(-60, LIFE + REST):
            self._traffic(second)
            if second == self.course.primed:
                self._prime(second)
            elif second > self.course.primed and second in looks:
                self._look(second, looks[second])
        return self

    def truth(self, version: str) -> tuple[float, float]:
        """Events and bad ones since the baseline."""
        pods = self._pods(version)
        known = [self.base.get(pod.labels, Events(0.0, 0.0)) for pod in pods]
        return (
            sum(pod.ever[0] for pod in pods) - sum(value.total for value in known),
            sum(pod.ever[1] for pod in pods) - sum(value.bad or 0.0 for value in known),
        )

    def scraped(self, version: str) -> tuple[float, float]:
        """Events and bad ones in the newest samples, without those of the baseline; for pods that never restart."""
        total, bad = 0.0, 0.0
        for pod in self._pods(version):
            if pod.labels in self.newest:
                # A pod of stable that is met later counts from then on, unless it says that it started after the baseline.
                young = version == "c" or (pod.tells and pod.begins > self.course.primed + 2)
                origin = self.base.get(pod.labels) or (Events(0.0, 0.0) if young else self.first[pod.labels])
                value = events(self.newest[pod.labels])
                total, bad = total + value.total - origin.total, bad + (value.bad or 0.0) - (origin.bad or 0.0)
        return total, bad

    def _pods(self, version: str) -> list[Pod]:
        return [pod for pod in self.course.pods if pod.version == version]

    def _answer(self, version: str, replica: int) -> dict[Labels, Sighting]:
        found = [pod.samples[replica] for pod in self._pods(version) if pod.samples]
        return {sample.process: sample for sample in found if sample is not None}

    def _traffic(self, second: int) -> None:
        for number, pod in enumerate(self.course.pods):
            traffic = self.course.traffic[(second // 7 + number) % len(self.course.traffic)]
            pod.live(second, *(traffic if second < LIFE else (0, 0)))

    def _prime(self, second: int) -> None:
        canary, stable = self._answer("c", 0), self._answer("s", 0)
        self.newest = canary | stable
        self.base = {name: events(sample) for name, sample in self.newest.items()}
        self.ledger.prime(at(second), canary, stable)

    def _look(self, second: int, replica: int) -> None:
        canary, stable = self._answer("c", replica), self._answer("s", replica)
        increases = self.ledger.advance(at(second), canary, stable)
        if increases is None:
            return
        for name, sample in (canary | stable).items():
            self.first.setdefault(name, events(sample))
            before = self.newest.get(name)
            if before is None or (sample.at is not None and before.at is not None and sample.at > before.at):
                self.newest[name] = sample
        assert increases.since == self.until <= increases.until <= at(second)
        self.until = increases.until
        for version, name in (("c", "canary"), ("s", "stable")):
            more, before_it = summed(increases, name), self.counted[version]
            assert min(more) >= 0
            self.counted[version] = (before_it[0] + more[0], before_it[1] + more[1])
            assert all(found <= happened for found, happened in zip(self.counted[version], self.truth(version), strict=True))


def events(sample: Sighting) -> Events:
    assert isinstance(sample.value, Events)
    return sample.value


@settings(max_examples=150, deadline=None)
@given(courses(restarts=True))
def test_never_more_than_happened(course):
    """Whatever the phases, the restarts, the replicas and the looks are."""
    Life(course).live()


@settings(max_examples=150, deadline=None)
@given(courses(restarts=False))
def test_all_that_scrapes_saw_where_nothing_restarts(course):
    """Held back for a while, perhaps, and then handed out: nothing is lost, and nothing comes twice."""
    life = Life(course).live()

    assert life.counted == {version: life.scraped(version) for version in "cs"}
