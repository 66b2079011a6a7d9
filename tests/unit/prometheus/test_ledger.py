"""The ledger: what was counted between two looks, whatever happened to the processes meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.judge.histogram import Histogram, cumulative
from tidegate.prometheus.alignment import Alignment, Pace, Rise
from tidegate.prometheus.budgets import SERIES, Size
from tidegate.prometheus.ledger import Events, Labels, Ledger, Sighting

START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def pod(name: str) -> Labels:
    return (("pod", name),)


def seen(**counters: float | tuple[float, float]) -> dict[Labels, Sighting]:
    """Counters of pods: all events, or all and the bad ones."""
    values = {pod(name): Events(*(value if isinstance(value, tuple) else (value,))) for name, value in counters.items()}
    return {labels: Sighting(labels, value) for labels, value in values.items()}


def summed(increases: tuple[Events | Histogram, ...] | None) -> tuple[float, float]:
    events = [one for one in increases or () if isinstance(one, Events)]
    return sum(one.total for one in events), sum(one.bad or 0 for one in events)


def primed(canary: dict[Labels, Sighting], stable: dict[Labels, Sighting] | None = None, **fields: bool) -> Ledger:
    ledger = Ledger(**fields)
    ledger.prime(at(0), canary, stable if stable is not None else {})
    return ledger


class TestIncreases:
    """What counts."""

    def test_what_was_counted_before_the_baseline_does_not_count(self):
        """A warm-up is left out."""
        ledger = primed(seen(c=(100, 10)), seen(s=(1000, 20)))

        increases = ledger.advance(at(10), seen(c=(130, 15)), seen(s=(1400, 21)))

        assert increases is not None
        assert at(0) == increases.since
        assert (30, 5) == summed(increases.canary)
        assert (400, 1) == summed(increases.stable)

    def test_each_look_counts_from_the_one_before(self):
        """And every event once."""
        ledger = primed(seen(c=0), seen(s=0))
        ledger.advance(at(10), seen(c=10), seen(s=100))

        increases = ledger.advance(at(20), seen(c=25), seen(s=110))

        assert increases is not None
        assert at(10) == increases.since
        assert ((15, 0), (10, 0)) == (summed(increases.canary), summed(increases.stable))

    def test_the_first_error_counts(self):
        """Its counter appears with 1, and not with 0 before."""
        ledger = primed(seen(c=100))

        increases = ledger.advance(at(10), seen(c=(110, 1)), {})

        assert increases is not None
        assert (10, 1) == summed(increases.canary)

    def test_a_gate_without_stable(self):
        """A fixed limit follows the new version alone."""
        ledger = Ledger()
        ledger.prime(at(0), seen(c=5), None)

        increases = ledger.advance(at(10), seen(c=7), None)

        assert increases is not None
        assert increases.stable is None
        assert (2, 0) == summed(increases.canary)

    def test_without_a_baseline_there_is_nothing_to_count_from(self):
        """It must be taken first."""
        with pytest.raises(ValueError, match="no baseline"):
            Ledger().advance(at(0), {}, {})

    def test_a_baseline_that_is_taken_anew(self):
        """The end of a warm-up."""
        ledger = primed(seen(c=0), seen(s=0))
        ledger.prime(at(60), seen(c=50), seen(s=500))

        increases = ledger.advance(at(70), seen(c=51), seen(s=503))

        assert increases is not None
        assert at(60) == increases.since
        assert ((1, 0), (3, 0)) == (summed(increases.canary), summed(increases.stable))


class TestResets:
    """Processes that start anew."""

    def test_a_process_that_started_anew_counts_from_0(self):
        """What it has now is new."""
        ledger = primed(seen(c=(100, 50)))

        increases = ledger.advance(at(10), seen(c=(7, 3)), {})

        assert increases is not None
        assert (7, 3) == summed(increases.canary)

    def test_its_errors_count_from_0_too(self):
        """Although their counter was not there at the first look after."""
        ledger = primed(seen(c=(100, 50)))
        ledger.advance(at(10), seen(c=7), {})

        increases = ledger.advance(at(20), seen(c=(9, 1)), {})

        assert increases is not None
        assert (2, 1) == summed(increases.canary)

    def test_each_series_for_itself(self):
        """A sum over pods would have hidden it."""
        ledger = primed(seen(a=100, b=100))

        increases = ledger.advance(at(10), seen(a=190, b=10), {})

        assert increases is not None
        assert (100, 0) == summed(increases.canary)

    def test_an_older_sample_of_another_replica(self):
        """Two replicas of Prometheus behind one address scrape at different times: nothing is counted twice."""
        ledger = primed(seen(c=(100, 10)))
        ledger.advance(at(10), seen(c=(140, 14)), {})

        older = ledger.advance(at(20), seen(c=(120, 12)), {})
        newer = ledger.advance(at(30), seen(c=(150, 15)), {})

        assert older is not None
        assert newer is not None
        assert (0, 0) == summed(older.canary)
        assert (10, 1) == summed(newer.canary)

    def test_errors_that_fell_while_all_rose(self):
        """The process was so busy after a restart that only its errors tell."""
        ledger = primed(seen(c=(100, 50)))

        increases = ledger.advance(at(10), seen(c=(120, 2)), {})

        assert increases is not None
        assert (20, 2) == summed(increases.canary)


class TestSeriesThatComeAndGo:
    """Pods come, go, and are missed by scrapes."""

    def test_a_missed_scrape_loses_nothing(self):
        """The last value is kept."""
        ledger = primed(seen(c=100), seen(s=100))
        missed = ledger.advance(at(10), {}, seen(s=150))

        increases = ledger.advance(at(20), seen(c=130), seen(s=180))

        assert missed is not None
        assert increases is not None
        assert ((0, 0), (50, 0)) == (summed(missed.canary), summed(missed.stable))
        assert ((30, 0), (30, 0)) == (summed(increases.canary), summed(increases.stable))

    def test_a_new_pod_of_the_new_version_counts_from_0(self):
        """It is this version's own, and so is all that it counted."""
        ledger = primed({}, seen(s=100))

        increases = ledger.advance(at(10), seen(c=(5, 5)), seen(s=190))

        assert increases is not None
        assert ((5, 5), (90, 0)) == (summed(increases.canary), summed(increases.stable))

    def test_a_pod_of_stable_that_was_never_seen_gives_a_baseline_only(self):
        """It may have run for weeks, and only its target was away."""
        ledger = primed(seen(c=1), seen(s=100))
        first = ledger.advance(at(10), seen(c=2), seen(s=110, t=5000))

        second = ledger.advance(at(20), seen(c=3), seen(s=120, t=5003))

        assert first is not None
        assert second is not None
        assert (10, 0) == summed(first.stable)
        assert (13, 0) == summed(second.stable)

    def test_a_new_counter_of_a_process_that_is_known_counts_from_0(self):
        """As that of a status code that stable never gave before."""
        ledger = primed({}, {})
        process = pod("s")
        ledger.prime(at(0), {}, {(("code", "200"),): Sighting(process, Events(100))})

        increases = ledger.advance(
            at(10), seen(c=1), {(("code", f"{code}"),): Sighting(process, Events(n)) for code, n in ((200, 110), (500, 3))}
        )

        assert increases is not None
        assert (13, 0) == summed(increases.stable)

    def test_before_the_first_series_of_the_new_version_time_stands_still(self):
        """Both versions are counted over the same time."""
        ledger = primed({}, seen(s=100))

        nothing = ledger.advance(at(10), {}, seen(s=200))
        increases = ledger.advance(at(20), seen(c=10), seen(s=300))

        assert nothing is None
        assert increases is not None
        assert at(0) == increases.since
        assert (200, 0) == summed(increases.stable)


class TestResuming:
    """Another process has counted before: what it took in counts once."""

    def test_counting_goes_on_from_the_last_look(self):
        """Nothing that happened since is lost."""
        ledger = Ledger()
        ledger.prime(at(0), seen(c=(100, 10)), seen(s=(1000, 20)), resumed=True)

        increases = ledger.advance(at(45), seen(c=(190, 12)), seen(s=(1900, 21)))

        assert increases is not None
        assert at(0) == increases.since
        assert ((90, 2), (900, 1)) == (summed(increases.canary), summed(increases.stable))

    def test_a_pod_that_was_missed_at_the_last_look_gives_a_baseline_only(self):
        """Whether it has just started or was counted before cannot be known; from there on it counts."""
        ledger = Ledger()
        ledger.prime(at(0), seen(a=100), seen(s=0), resumed=True)

        first = ledger.advance(at(10), seen(a=110, b=500), seen(s=10))
        second = ledger.advance(at(20), seen(a=120, b=505, c=3), seen(s=20))

        assert first is not None
        assert second is not None
        assert [(10, 0), (18, 0)] == [summed(first.canary), summed(second.canary)]


class TestServices:
    """A gateway's counters of a Service go on from one version to the next."""

    def test_the_first_requests_to_a_service_of_a_gateway_that_is_known(self):
        """It was scraped before, and had no such series."""
        ledger = Ledger(by_service=True)
        ledger.prime(at(0), {}, seen(envoy=100))

        increases = ledger.advance(at(10), seen(envoy=(4, 4)), seen(envoy=190))

        assert increases is not None
        assert (4, 4) == summed(increases.canary)

    def test_a_gateway_that_is_known_although_stable_has_no_series(self):
        """A witness is enough."""
        ledger = Ledger(by_service=True)
        ledger.prime(at(0), {}, {}, witnesses=[pod("envoy")])

        increases = ledger.advance(at(10), seen(envoy=(4, 4)), {})

        assert increases is not None
        assert (4, 4) == summed(increases.canary)

    def test_a_gateway_that_was_away_may_still_count_for_the_version_before(self):
        """So its series give a baseline only."""
        ledger = Ledger(by_service=True)
        ledger.prime(at(0), {}, {})
        first = ledger.advance(at(10), seen(envoy=(900, 900)), seen(envoy=5000))

        second = ledger.advance(at(20), seen(envoy=(910, 901)), seen(envoy=5100))

        assert first is not None
        assert second is not None
        assert ((0, 0), (0, 0)) == (summed(first.canary), summed(first.stable))
        assert ((10, 1), (100, 0)) == (summed(second.canary), summed(second.stable))


class TestForgotten:
    """Sums of series that a gateway forgets while it runs: what has fallen may be what the others counted long ago."""

    @pytest.mark.parametrize("dated", [True, False])
    @pytest.mark.parametrize(
        ("before", "after"), [((500, 300), (100, 90)), ((500, 300), (510, 20)), ((500, 0), (510, 20))], ids=["all", "bad", "good"]
    )
    def test_a_sum_that_has_fallen_gives_a_baseline(self, before, after, dated):
        """And counts from there on."""
        ledger = Ledger(by_service=True, forgets=True)

        def look(seconds, value):
            found = seen(envoy=value)
            if dated:
                found = {name: one._replace(at=at(seconds)) for name, one in found.items()}
            return found if seconds == 0 else summed(ledger.advance(at(seconds), found, {}).canary)

        ledger.prime(at(0), look(0, before), {})
        assert look(10, after) == (0, 0)
        assert look(20, (after[0] + 5, after[1] + 1)) == (5, 1)

    def test_first_bad_ones_after_none_were_there_count_from_a_baseline(self):
        """The counter of bad events that is back with less was forgotten meanwhile."""
        ledger = Ledger(by_service=True, forgets=True)
        ledger.prime(at(0), seen(envoy=(500, 300)), {})
        assert summed(ledger.advance(at(10), seen(envoy=(510, None)), {}).canary) == (10, 0)
        assert summed(ledger.advance(at(20), seen(envoy=(520, 4)), {}).canary) == (0, 0)
        assert summed(ledger.advance(at(30), seen(envoy=(530, 6)), {}).canary) == (10, 2)

    def test_an_older_sample_is_no_fall(self):
        """It is the answer of another replica of Prometheus, after which the next one counts no request twice."""
        ledger = Ledger(by_service=True, forgets=True)
        ledger.prime(at(0), seen(envoy=(500, 30)), {})
        assert summed(ledger.advance(at(10), seen(envoy=(490, 29)), {}).canary) == (0, 0)
        assert summed(ledger.advance(at(20), seen(envoy=(520, 32)), {}).canary) == (20, 2)


class TestTime:
    """Looks that come twice or too late."""

    @pytest.mark.parametrize("seconds", [10, 5])
    def test_an_instant_that_is_not_after_the_last_gives_nothing(self, seconds):
        """Nothing is taken in, either."""
        ledger = primed(seen(c=0), seen(s=0))
        ledger.advance(at(10), seen(c=10), seen(s=10))

        assert ledger.advance(at(seconds), seen(c=5), seen(s=5)) is None
        increases = ledger.advance(at(20), seen(c=12), seen(s=13))

        assert increases is not None
        assert ((2, 0), (3, 0)) == (summed(increases.canary), summed(increases.stable))


class TestMemory:
    """What is remembered is bounded."""

    def test_pods_of_stable_that_are_gone_for_long_are_dropped(self):
        """And give a baseline if they come back."""
        ledger = primed(seen(c=1), seen(old=100))
        ledger.advance(at(25 * 3600), seen(c=2), seen(s=1))

        increases = ledger.advance(at(25 * 3600 + 10), seen(c=3), seen(s=2, old=150))

        assert increases is not None
        assert (1, 0) == summed(increases.stable)

    def test_too_many_series(self):
        """The oldest go, and from then on a series that is new is not counted from 0: it may be one of those."""
        ledger = primed(seen(a=1, b=1, c=1))
        ledger.keep_within(Size(3, 10**6))
        ledger.advance(at(10), seen(d=1, e=1), {})

        increases = ledger.advance(at(20), seen(d=3, e=1, a=1, b=1), {})

        assert increases is not None
        assert (2, 0) == summed(increases.canary)


def latencies(**pods: dict[float, float]) -> dict[Labels, Sighting]:
    return {pod(name): Sighting(pod(name), cumulative(buckets)) for name, buckets in pods.items()}


INF = float("inf")


class TestHistograms:
    """All buckets of a process fall together."""

    def test_they_rise(self):
        """Bucket by bucket."""
        ledger = primed(latencies(c={0.1: 90, INF: 100}))

        increases = ledger.advance(at(10), latencies(c={0.1: 95, INF: 110}), {})

        assert increases is not None
        (histogram,) = increases.canary
        assert isinstance(histogram, Histogram)
        assert (10, (5,)) == (histogram.total, histogram.over([0.1]))

    def test_a_process_that_started_anew(self):
        """All that it has is new."""
        ledger = primed(latencies(c={0.1: 90, INF: 100}))

        increases = ledger.advance(at(10), latencies(c={0.1: 3, INF: 8}), {})

        assert increases is not None
        (histogram,) = increases.canary
        assert isinstance(histogram, Histogram)
        assert (8, (5,)) == (histogram.total, histogram.over([0.1]))

    def test_an_older_sample(self):
        """Nothing is counted."""
        ledger = primed(latencies(c={0.1: 90, INF: 100}))

        increases = ledger.advance(at(10), latencies(c={0.1: 80, INF: 90}), {})

        assert increases is not None
        assert () == increases.canary


@st.composite
def happenings(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Histories: what happens, to which pod, with how many events and how many bad ones."""
    kinds = ["traffic"] * 4 + ["restart", "look", "look", "missed", "failed", "twice", "late", "older"]
    step = st.tuples(st.sampled_from(kinds), st.integers(0, 3), st.integers(0, 50), st.integers(0, 50))
    return [(kind, which, total, min(bad, total)) for kind, which, total, bad in draw(st.lists(step, max_size=60))]


class World:
    """Pods that count, and a Prometheus that scrapes them, more or less.

    The new version's pods appear with their first event; stable's are there all along, and the last one is first scraped later.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.counters: dict[tuple[str, int], list[int]] = {("s", number): [100, 10] for number in range(4)}
        self.samples: dict[tuple[str, int], tuple[int, int]] = {}
        self.truth = {"c": [0, 0], "s": [0, 0]}
        self.counted = {"c": [0.0, 0.0], "s": [0.0, 0.0]}
        self.now = 0.0
        ledger.prime(at(0), {}, self.sample("s", without={3}))

    def sample(self, version: str, without: set[int] = frozenset()) -> dict[Labels, Sighting]:
        found = {}
        for (whose, number), (total, bad) in self.counters.items():
            if whose == version and number not in without:
                found[pod(f"{whose}{number}")] = Sighting(pod(f"{whose}{number}"), Events(total, bad or None))
                self.samples[whose, number] = (total, bad)
        return found

    def traffic(self, version: str, number: int, total: int, bad: int) -> None:
        if total == 0 and (version, number) not in self.counters:
            return
        counter = self.counters.setdefault((version, number), [0, 0])
        for index, amount in enumerate((total, bad)):
            counter[index] += amount
            self.truth[version][index] += amount

    def look(self, canary: dict[Labels, Sighting], stable: dict[Labels, Sighting], instant: float | None = None) -> None:
        if instant is None:
            self.now += 1
        increases = self.ledger.advance(at(self.now if instant is None else instant), canary, stable)
        if increases is not None:
            for version, found in (("c", increases.canary), ("s", increases.stable)):
                for index, amount in enumerate(summed(found)):
                    self.counted[version][index] += amount

    def older(self, version: str, before: dict[tuple[str, int], tuple[int, int]]) -> dict[Labels, Sighting]:
        """What another replica says, whose scrapes are older; by less than half."""
        return {
            pod(f"{whose}{number}"): Sighting(pod(f"{whose}{number}"), Events(total, bad or None))
            for (whose, number), (total, bad) in before.items()
            if whose == version and total * 2 >= self.samples[whose, number][0] and total <= self.counters[whose, number][0]
        }

    def live(self, story: list[tuple[str, int, int, int]], *, restarts: bool) -> None:
        before: dict[tuple[str, int], tuple[int, int]] = {}
        for kind, number, total, bad in story:
            match kind:
                case "traffic":
                    self.traffic("c", number, total, bad)
                    self.traffic("s", number, 3 * total, bad)
                case "restart" if restarts:
                    before = {key: sample for key, sample in before.items() if key[1] != number}
                    for version in "cs":
                        if (version, number) in self.counters:
                            self.counters[version, number] = [0, 0]
                case "look":
                    before = dict(self.samples)
                    self.look(self.sample("c"), self.sample("s"))
                case "missed":
                    self.look(self.sample("c", without={number}), self.sample("s", without={number}))
                case "failed":
                    self.now += 1
                case "twice":
                    self.look(self.sample("c"), self.sample("s"), self.now)
                case "late":
                    self.look(self.sample("c"), self.sample("s"), self.now - 0.5)
                case "older":
                    self.look(self.older("c", before), self.older("s", before))


@settings(max_examples=300)
@given(happenings())
def test_never_more_than_happened(story):
    """Whatever restarts, is missed, comes twice, late, or from another replica."""
    world = World(Ledger())

    world.live(story, restarts=True)
    world.look(world.sample("c"), world.sample("s"))

    for version in "cs":
        for counted, happened in zip(world.counted[version], world.truth[version], strict=True):
            assert 0 <= counted <= happened


@settings(max_examples=300)
@given(happenings())
def test_all_that_happened_where_it_can_be_known(story):
    """Without restarts nothing is lost: not by missed scrapes, failed looks, repeated ones, or older answers."""
    world = World(Ledger())

    world.live(story, restarts=False)
    last = world.counters["s", 3][0] - 100
    world.look(world.sample("c"), world.sample("s"))

    assert world.truth["c"] == world.counted["c"] or not world.ledger.met
    # What the pod that was not scraped at the baseline did before it first was is not known.
    assert world.truth["s"][0] - last <= world.counted["s"][0] <= world.truth["s"][0] or not world.ledger.met


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(40, 400), st.integers(0, 40), st.integers(0, 19)), min_size=1, max_size=20))
def test_all_that_happened_across_restarts_that_can_be_seen(lives):
    """A pod that is looked at before it ends, and again soon after it has begun anew, loses no event."""
    ledger = Ledger()
    ledger.prime(at(0), {}, {})
    counted, happened = 0.0, 0
    for number, (total, bad, soon) in enumerate(lives):
        for step, value in enumerate((Events(soon, min(bad, soon) or None), Events(total, min(bad, total) or None))):
            increases = ledger.advance(at(2 * number + step + 1), {pod("c"): Sighting(pod("c"), value)}, {})
            counted += summed(increases.canary if increases else None)[0]
        happened += total

    assert happened == counted


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 30), min_size=3, max_size=3)), max_size=40))
def test_never_more_slow_requests_than_happened(story):
    """Of histograms, at every bound, across restarts that are seen or not."""
    bounds = (0.1, 1.0)
    ledger = Ledger()
    ledger.prime(at(0), {}, {})
    counts, truth, counted = [0, 0, 0], [0, 0, 0], [0.0, 0.0, 0.0]
    for second, (restarts, new) in enumerate(story, start=1):
        counts = [(0 if restarts else count) + more for count, more in zip(counts, new, strict=True)]
        truth = [count + more for count, more in zip(truth, new, strict=True)]
        value = cumulative({0.1: counts[0], 1.0: counts[0] + counts[1], INF: sum(counts)})
        increases = ledger.advance(at(second), {pod("c"): Sighting(pod("c"), value)}, {})
        for one in increases.canary if increases else ():
            assert isinstance(one, Histogram)
            found = (one.total, *one.over(bounds))
            counted = [count + more for count, more in zip(counted, found, strict=True)]

    slower = (sum(truth), truth[1] + truth[2], truth[2])
    assert all(count <= happened for count, happened in zip(counted, slower, strict=True))


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 7), max_size=3, unique=True), st.integers(0, 20), st.sampled_from([None, 0, 3, 7])),
        max_size=40,
    )
)
def test_never_more_than_happened_however_little_is_remembered(story):
    """Pods of the new version come, go and begin anew; no more series are remembered than a look may show."""
    ledger = Ledger()
    ledger.keep_within(Size(4, 4 * SERIES))
    ledger.prime(at(0), {}, seen(s=1))
    counters, happened, counted = [0.0] * 8, 0.0, 0.0
    for look, (shown, amount, restarted) in enumerate(story):
        counters = [counter + amount for counter in counters]
        happened += 8 * amount
        if restarted is not None:
            counters[restarted] = 0.0
        increases = ledger.advance(at(look + 1), seen(**{f"p{number}": counters[number] for number in shown}), seen(s=1))
        counted += summed(increases.canary if increases else None)[0]
        assert ledger.size.series <= 4

    assert counted <= happened


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 5)), max_size=60), st.integers(0, 12))
def test_nothing_is_lost_where_windows_are_joined(story, most):
    """Windows that wait for stable's next scrape are kept within a bound, and all that was counted in them comes out, once."""
    alignment = Alignment()
    alignment.begin(at(0))
    ends, total, bad = [0.0] * 4, 0.0, 0.0
    for process, length, amount in story:
        start, ends[process] = ends[process], ends[process] + length
        one = Rise(pod(str(process)), at(start), at(ends[process]), Events(amount, amount / 2))
        total, bad = total + amount, bad + amount / 2
        # Stable tells nothing new, so that nothing may be handed out.
        assert alignment.take(at(ends[process]), [one], [], [], [Pace(at(0), timedelta(hours=1))]) == at(0)
        alignment.thin(most)
        assert alignment.waiting <= max(most, 4)

    released, _ = alignment.released(at(1000))

    assert summed(released) == (total, bad)
