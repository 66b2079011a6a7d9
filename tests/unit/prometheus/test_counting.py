"""Looks of gates that are judged by Evidence: raw counters in, what was counted since the look before out."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.gate import Gate
from tidegate.judge.reading import Counts, Reading, Shown, Tally
from tidegate.prometheus import samples
from tidegate.prometheus.counters import raw_counters
from tidegate.prometheus.queries import Names
from tidegate.prometheus.reader import Reader
from unit.prometheus.conftest import TIMES

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s", "c", 80)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def gate(*, stable: bool = True, **fields: object) -> Gate:
    """A gate with counters whose queries are one word each."""
    versions = {"canary": {"bad": "canary_bad", "total": "canary_total"}}
    if stable:
        versions["stable"] = {"bad": "stable_bad", "total": "stable_total"}
    limit = {"versusStable": {"maxIncrease": {"percent": 10}}} if stable else {"threshold": {"max": 0.05}}
    return Gate.model_validate({"name": "errors", "metric": {"counters": versions}, **limit, **fields})


def says(prometheus, **values: float) -> None:
    """Let each counter have one series, of one pod."""
    for query, value in values.items():
        prometheus.gives([{"metric": {"pod": query.split("_")[0]}, "value": [0, str(value)]}], to=query)


@pytest.fixture
def reader(prometheus, connect):
    made = Reader({"default": connect(prometheus.address)}, collecting=0.001)
    yield made
    made.close()


async def primed(reader: Reader, a_gate: Gate, prometheus) -> None:
    says(prometheus, canary_total=100, canary_bad=10, stable_total=1000, stable_bad=20)
    assert await reader.prime(a_gate, NAMES, "abc", at(0)) == ""


class TestCounting:
    """From one look to the next."""

    async def test_what_was_counted_since_the_baseline(self, prometheus, reader):
        """Of both versions, over the same time."""
        await primed(reader, gate(), prometheus)
        says(prometheus, canary_total=150, canary_bad=12, stable_total=1400, stable_bad=21)

        reading = await reader.read(gate(), NAMES, "abc", at(10))

        counts = Counts(at(0), Tally(50.0, 2.0), Tally(400.0, 1.0), until=at(10))
        assert reading == Reading("errors", "abc", at(10), counts=counts, shown=Shown(1, 1))
        assert {one["time"] for one in prometheus.parameters[6:]} == {"1767323055.000"}

    async def test_a_fixed_limit_needs_no_stable(self, prometheus, reader):
        """And does not ask for it."""
        await primed(reader, gate(stable=False), prometheus)
        says(prometheus, canary_total=150, canary_bad=12)

        reading = await reader.read(gate(stable=False), NAMES, "abc", at(10))

        assert reading.counts == Counts(at(0), Tally(50.0, 2.0), until=at(10))
        assert {one["query"] for one in prometheus.parameters} == {"canary_total", "canary_bad", "timestamp(\ncanary_total\n)"}

    async def test_a_first_look_without_a_baseline_takes_it(self, prometheus, reader):
        """As after a restart of the operator; nothing is wrong with that."""
        says(prometheus, canary_total=100, stable_total=1000, canary_bad=1, stable_bad=1)
        first = await reader.read(gate(), NAMES, "abc", at(0))
        says(prometheus, canary_total=110, stable_total=1100)

        second = await reader.read(gate(), NAMES, "abc", at(10))

        assert first == Reading("errors", "abc", at(0))
        assert second.counts == Counts(at(0), Tally(10.0), Tally(100.0), until=at(10))

    async def test_one_failure_stops_both_versions(self, prometheus, reader):
        """The look after covers the time of the one that failed."""
        await primed(reader, gate(), prometheus)
        says(prometheus, canary_total=150, canary_bad=12, stable_total=1400, stable_bad=21)
        prometheus.refuses("no such function", to="stable_bad")
        failed = await reader.read(gate(), NAMES, "abc", at(10))
        says(prometheus, canary_total=160, canary_bad=13, stable_total=1500, stable_bad=25)

        reading = await reader.read(gate(), NAMES, "abc", at(20))

        assert failed.counts is None
        assert failed.trouble == "Prometheus connection default: Prometheus reports: no such function (HTTP 400)"
        assert reading.counts == Counts(at(0), Tally(60.0, 3.0), Tally(500.0, 5.0), until=at(20))

    async def test_an_instant_that_has_been_looked_at(self, prometheus, reader):
        """Gives nothing, and no trouble."""
        await primed(reader, gate(), prometheus)

        assert await reader.read(gate(), NAMES, "abc", at(0)) == Reading("errors", "abc", at(0), shown=Shown(1, 1))

    async def test_no_errors_are_no_series(self, prometheus, reader):
        """Counters of codes that never occurred do not exist."""
        await primed(reader, gate(), prometheus)
        says(prometheus, canary_total=150, stable_total=1400)
        prometheus.gives([], to="canary_bad")
        prometheus.gives([], to="stable_bad")

        reading = await reader.read(gate(), NAMES, "abc", at(10))

        assert reading.counts == Counts(at(0), Tally(50.0, 0.0), Tally(400.0, 0.0), until=at(10))

    async def test_never_more_bad_events_than_events(self, prometheus, reader):
        """Of two counters that are not read in one scrape, one may be ahead."""
        await primed(reader, gate(), prometheus)
        says(prometheus, canary_total=102, canary_bad=15, stable_total=1000, stable_bad=20)

        reading = await reader.read(gate(), NAMES, "abc", at(10))

        assert reading.counts is not None
        assert reading.counts.canary == Tally(2.0, 2.0)

    async def test_values_that_are_no_numbers_are_no_samples(self, prometheus, reader):
        """A counter that is NaN now has a value at the next look."""
        await primed(reader, gate(), prometheus)
        prometheus.gives([{"metric": {"pod": "canary"}, "value": [0, "NaN"]}], to="canary_total")
        await reader.read(gate(), NAMES, "abc", at(10))
        says(prometheus, canary_total=130)

        reading = await reader.read(gate(), NAMES, "abc", at(20))

        assert reading.counts is not None
        assert reading.counts.canary.total == 30.0


def sampled(prometheus, **seconds: float) -> None:
    """Let the counters of a version be samples of such a time."""
    for version, second in seconds.items():
        series = [{"metric": {"pod": version}, "value": [0, str(at(second).timestamp())]}]
        prometheus.gives(series, to=f"timestamp(\n{version}_total\n)")


class TestTimes:
    """Samples have times of their own, whenever it is looked."""

    async def test_how_old_the_newest_samples_are(self, prometheus, reader):
        """Of each version, whether anything is handed out or not."""
        sampled(prometheus, canary=-3, stable=-10)
        await primed(reader, gate(), prometheus)
        sampled(prometheus, canary=-1, stable=-9)

        reading = await reader.read(gate(), NAMES, "abc", at(5))

        assert (reading.newest, reading.newest_stable) == (at(-1), at(-9))

    async def test_where_nobody_tells(self, prometheus, reader):
        """It is not made up."""
        await primed(reader, gate(), prometheus)

        reading = await reader.read(gate(), NAMES, "abc", at(5))

        assert (reading.newest, reading.newest_stable) == (None, None)

    async def test_what_stable_has_no_sample_of_yet_is_held_back(self, prometheus, reader):
        """And handed out once it has one: what both have counted is of the same time."""
        sampled(prometheus, canary=-3, stable=-10)
        await primed(reader, gate(), prometheus)
        says(prometheus, canary_total=150, canary_bad=50)
        sampled(prometheus, canary=12)
        first = await reader.read(gate(), NAMES, "abc", at(15))
        says(prometheus, stable_total=1400, stable_bad=21)
        sampled(prometheus, stable=20)

        second = await reader.read(gate(), NAMES, "abc", at(25))

        assert first.counts == Counts(at(0), Tally(0.0), Tally(0.0), until=at(0))
        assert second.counts == Counts(at(0), Tally(50.0, 40.0), Tally(400.0, 1.0), until=at(20))

    async def test_an_older_answer_of_another_replica(self, prometheus, reader):
        """Far less than half, and no restart."""
        sampled(prometheus, canary=-3)
        await primed(reader, gate(stable=False), prometheus)
        says(prometheus, canary_total=20, canary_bad=2)
        sampled(prometheus, canary=-9)

        reading = await reader.read(gate(stable=False), NAMES, "abc", at(5))

        assert reading.counts == Counts(at(0), Tally(0.0), until=at(5))

    async def test_bad_events_of_the_same_scrape(self, prometheus, reader):
        """Their series have labels of their own; they have the time of the process that counts them."""
        sampled(prometheus, canary=-3)
        await primed(reader, gate(stable=False), prometheus)
        process = {"pod": "canary", "code": "500"}
        prometheus.gives([{"metric": process, "value": [0, "7"]}], to="canary_bad")
        says(prometheus, canary_total=90)
        sampled(prometheus, canary=-9)

        reading = await reader.read(gate(stable=False), NAMES, "abc", at(5))

        assert reading.counts == Counts(at(0), Tally(0.0), until=at(5))

    async def test_bad_events_of_nobody_knows_whom(self, prometheus, reader):
        """Where a time is missing, none is believed: events and bad ones are handed out together."""
        sampled(prometheus, canary=-3, stable=-10)
        prometheus.gives([{"metric": {"pod": "canary", "instance": "a"}, "value": [0, "3"]}], to="canary_bad")
        says(prometheus, canary_total=100, stable_total=1000, stable_bad=20)
        await reader.prime(gate(), NAMES, "abc", at(0))
        prometheus.gives([{"metric": {"pod": "canary", "instance": "a"}, "value": [0, "5"]}], to="canary_bad")
        says(prometheus, canary_total=110)
        sampled(prometheus, canary=4)

        reading = await reader.read(gate(), NAMES, "abc", at(5))

        assert reading.newest is None

    async def test_queries_that_cannot_be_joined(self, prometheus, reader):
        """Are asked one by one from then on, without times."""
        await primed(reader, gate(), prometheus)
        prometheus.gives([0, "107"], to="canary_total")
        await reader.read(gate(), NAMES, "abc", at(5))
        prometheus.parameters.clear()

        reading = await reader.read(gate(), NAMES, "abc", at(10))

        assert reading.trouble == ""
        assert not any(TIMES.match(one["query"]) for one in prometheus.parameters)

    async def test_a_mistake_that_passes(self, prometheus, reader):
        """What fails together and one by one is asked together again, with times."""
        await primed(reader, gate(), prometheus)
        prometheus.refuses("too many samples", status=422, to="canary_bad")
        failed = await reader.read(gate(), NAMES, "abc", at(5))
        says(prometheus, canary_bad=11)
        sampled(prometheus, canary=8, stable=9)

        reading = await reader.read(gate(), NAMES, "abc", at(10))

        assert failed.trouble
        assert (reading.newest, reading.newest_stable) == (at(8), at(9))


class TestBaselines:
    """When counting begins, and when it begins anew."""

    async def test_whether_counting_has_begun(self, prometheus, reader):
        """For a gate, a Release and a revision."""
        await primed(reader, gate(), prometheus)
        other = Names("shop", "other", "", "", "", "s", "c", 0)

        assert reader.primed(gate(), NAMES, "abc")
        assert not reader.primed(gate(), NAMES, "def")
        assert not reader.primed(gate(), other, "abc")
        assert not reader.primed(gate(name="other"), NAMES, "abc")
        assert reader.primed(gate(interval="10s"), NAMES, "abc")

    @pytest.mark.parametrize("changed", [gate(stable=False), gate(connection="other")])
    async def test_another_metric_is_counted_anew(self, prometheus, reader, changed):
        """What was counted of the one before says nothing."""
        await primed(reader, gate(), prometheus)

        assert not reader.primed(changed, NAMES, "abc")

    async def test_the_end_of_a_warm_up(self, prometheus, reader):
        """What was counted before is thrown away."""
        await primed(reader, gate(), prometheus)
        says(prometheus, canary_total=150, canary_bad=40, stable_total=1400, stable_bad=21)
        await reader.prime(gate(), NAMES, "abc", at(60))
        says(prometheus, canary_total=151, canary_bad=40, stable_total=1401, stable_bad=21)

        reading = await reader.read(gate(), NAMES, "abc", at(70))

        assert reading.counts == Counts(at(60), Tally(1.0, 0.0), Tally(1.0, 0.0), until=at(70))

    async def test_counting_goes_on_where_another_process_has_stopped(self, prometheus, reader):
        """The counters are read as they were at its last look."""
        says(prometheus, canary_total=100, canary_bad=10, stable_total=1000, stable_bad=20)
        assert await reader.resume(gate(), NAMES, "abc", at(0)) == ""
        assert reader.primed(gate(), NAMES, "abc")
        says(prometheus, canary_total=150, canary_bad=12, stable_total=1400, stable_bad=21)

        reading = await reader.read(gate(), NAMES, "abc", at(45))

        assert reading.counts == Counts(at(0), Tally(50.0, 2.0), Tally(400.0, 1.0), until=at(45))

    async def test_counting_begins_anew_where_nothing_is_known_of_then(self, prometheus, reader):
        """As after a Prometheus has lost its data."""
        for query in ("canary_total", "canary_bad", "stable_total", "stable_bad"):
            prometheus.gives([], to=query)

        assert await reader.resume(gate(), NAMES, "abc", at(0)) == ""
        assert not reader.primed(gate(), NAMES, "abc")

    async def test_counting_begins_where_another_process_has_begun(self, prometheus, reader):
        """It has judged nothing: what was not scraped yet when it began counts from zero, as it would have there."""
        says(prometheus, stable_total=1000, stable_bad=20)
        for query in ("canary_total", "canary_bad"):
            prometheus.gives([], to=query)
        assert await reader.resume(gate(), NAMES, "abc", at(0), counted=False) == ""
        assert reader.primed(gate(), NAMES, "abc")
        says(prometheus, canary_total=150, canary_bad=12, stable_total=1400, stable_bad=21)

        reading = await reader.read(gate(), NAMES, "abc", at(35))

        assert reading.counts == Counts(at(0), Tally(150.0, 12.0), Tally(400.0, 1.0), until=at(35))

    async def test_it_does_not_where_nothing_is_known_of_then(self, prometheus, reader):
        """Neither of stable nor of the new version, as after a Prometheus has lost its data."""
        for query in ("canary_total", "canary_bad", "stable_total", "stable_bad"):
            prometheus.gives([], to=query)

        assert await reader.resume(gate(), NAMES, "abc", at(0), counted=False) == ""
        assert not reader.primed(gate(), NAMES, "abc")

    async def test_a_baseline_that_cannot_be_taken(self, prometheus, reader):
        """It is said why, and counting has not begun."""
        prometheus.refuses("too busy", status=503)

        trouble = await reader.prime(gate(), NAMES, "abc", at(0))

        assert trouble == "Prometheus connection default: Prometheus reports: too busy (HTTP 503)"
        assert not reader.primed(gate(), NAMES, "abc")

    async def test_what_is_forgotten(self, prometheus, reader):
        """The Release is gone, or its rollout has ended."""
        await primed(reader, gate(), prometheus)

        reader.forget("shop", "checkout")

        assert not reader.primed(gate(), NAMES, "abc")

    async def test_a_gate_of_limits_has_no_baseline(self, prometheus, reader):
        """There is nothing to ask for."""
        preset = {"preset": {"source": "Envoy", "measure": "ErrorRate"}}
        a_gate = Gate.model_validate({"name": "g", "judge": "Limit", "metric": preset, "threshold": {"max": 0.01}})

        assert await reader.prime(a_gate, NAMES, "abc", at(0)) == ""
        assert reader.primed(a_gate, NAMES, "abc")
        assert prometheus.paths == []

    async def test_an_unknown_connection(self, reader):
        """Those that there are, are named."""
        trouble = "there is no Prometheus connection other for namespace shop, there are: default"

        assert await reader.prime(gate(connection="other"), NAMES, "abc", at(0)) == trouble
        assert (await reader.read(gate(connection="other"), NAMES, "abc", at(0))).trouble == trouble

    async def test_an_unknown_variable(self, prometheus, reader):
        """A mistake in the policy is told, and Prometheus is not asked."""
        counters = {"canary": {"bad": "{{pod}}", "total": "x"}}
        a_gate = Gate.model_validate({"name": "g", "metric": {"counters": counters}, "threshold": {"max": 0.01}})

        assert (await reader.prime(a_gate, NAMES, "abc", at(0))).startswith("unknown variable {{pod}}")
        assert (await reader.read(a_gate, NAMES, "abc", at(1))).trouble.startswith("unknown variable {{pod}}")
        assert prometheus.paths == []


class TestNoCounters:
    """Answers that are no counters."""

    @pytest.mark.parametrize(
        ("series", "words"),
        [
            ({"values": [[0, "1"]]}, "the query gave a range of values, expected counters: leave the range away"),
            ({"histogram": [0, {}]}, "the query gave a histogram, expected counters: take histogram_count() of it"),
            ({}, "the query gave no value, expected counters"),
            ({"value": [0, "text"]}, "the query gave a text, expected counters"),
            ({"value": [0, "-1"]}, "the query gave a number below 0, expected counters"),
            ({"value": 7}, "the answer has no value that Tidegate knows"),
        ],
    )
    async def test_it_is_said_what_they_are(self, prometheus, reader, series, words):
        """Every other query of the gate is fine."""
        await primed(reader, gate(), prometheus)
        prometheus.gives([{"metric": {}, **series}], to="canary_total")

        reading = await reader.read(gate(), NAMES, "abc", at(10))

        assert (reading.counts, reading.trouble) == (None, words)

    async def test_a_scalar_is_a_counter_without_labels(self, prometheus, reader):
        """Somebody has summed all of it up."""
        await primed(reader, gate(stable=False), prometheus)
        prometheus.gives([0, "7"], to="canary_total")
        await reader.read(gate(stable=False), NAMES, "abc", at(10))
        prometheus.gives([0, "9"], to="canary_total")

        reading = await reader.read(gate(stable=False), NAMES, "abc", at(20))

        assert reading.counts == Counts(at(10), Tally(2.0, 0.0), until=at(20))

    async def test_a_series_twice(self, prometheus, reader):
        """Nobody knows which of them counts."""
        await primed(reader, gate(), prometheus)
        prometheus.gives([{"metric": {"pod": "a"}, "value": [0, "1"]}] * 2, to="canary_total")

        reading = await reader.read(gate(), NAMES, "abc", at(10))

        assert reading.trouble == "the answer has a series twice"

    async def test_too_many_series(self, prometheus, reader, monkeypatch):
        """They are followed one by one, so there is a limit."""
        monkeypatch.setattr(samples, "MOST_COUNTED", 2)
        await primed(reader, gate(), prometheus)
        prometheus.gives([{"metric": {"pod": str(pod)}, "value": [0, "1"]} for pod in range(3)], to="canary_total")

        reading = await reader.read(gate(), NAMES, "abc", at(10))

        assert reading.trouble == "the query gave 3 series, at most 2 are followed (budgets.seriesPerGate): sum by (pod) (...)"


class TestLatencies:
    """Histograms of both versions, at the bounds that both have."""

    LATENCY = Gate.model_validate(
        {
            "name": "latency",
            "metric": {"preset": {"source": "HTTP", "measure": "Latency"}},
            "versusStable": {"maxIncrease": {"percent": 10}},
        }
    )

    def buckets(self, prometheus, version: str, counts: dict[str, int]) -> None:
        """Let a version's pod have a classic histogram; the queries are recognized by the pods that they select."""
        pods = {"canary": "c", "stable": "s"}[version]
        series = [{"metric": {"pod": pods, "le": le}, "value": [0, str(count)]} for le, count in counts.items()]
        query = next(text for text in self.queries if f'pod=~"{pods}"' in text and "_bucket" in text)
        prometheus.gives(series, to=query)

    @pytest.fixture(autouse=True)
    def queries_of_the_gate(self, prometheus):
        asked = raw_counters(self.LATENCY, NAMES)
        assert asked.stable is not None
        self.queries = [text for version in (asked.canary, asked.stable) for _, text in version.buckets]
        prometheus.gives([])

    async def test_slow_requests_are_counted_at_every_bound(self, prometheus, reader):
        """Those that took longer."""
        for version in ("canary", "stable"):
            self.buckets(prometheus, version, {"0.1": 50, "0.5": 90, "+Inf": 100})
        await reader.prime(self.LATENCY, NAMES, "abc", at(0))
        self.buckets(prometheus, "canary", {"0.1": 55, "0.5": 99, "+Inf": 110})
        self.buckets(prometheus, "stable", {"0.1": 58, "0.5": 100, "+Inf": 110})

        reading = await reader.read(self.LATENCY, NAMES, "abc", at(10))

        canary, stable = Tally(10.0, over=(5.0, 1.0)), Tally(10.0, over=(2.0, 0.0))
        assert reading.counts == Counts(at(0), canary, stable, (0.1, 0.5), until=at(10))

    async def test_a_version_with_other_buckets(self, prometheus, reader):
        """Only what both have can be compared."""
        self.buckets(prometheus, "canary", {"0.1": 0, "0.2": 0, "0.5": 0, "+Inf": 0})
        self.buckets(prometheus, "stable", {"0.1": 0, "0.5": 0, "+Inf": 0})
        await reader.prime(self.LATENCY, NAMES, "abc", at(0))
        self.buckets(prometheus, "canary", {"0.1": 5, "0.2": 7, "0.5": 9, "+Inf": 10})
        self.buckets(prometheus, "stable", {"0.1": 8, "0.5": 10, "+Inf": 10})

        reading = await reader.read(self.LATENCY, NAMES, "abc", at(10))

        assert reading.counts is not None
        assert reading.counts.bounds == (0.1, 0.5)

    async def test_versions_that_have_no_bucket_in_common(self, prometheus, reader):
        """It is said."""
        self.buckets(prometheus, "canary", {"0.3": 0, "+Inf": 0})
        self.buckets(prometheus, "stable", {"0.1": 0, "+Inf": 0})
        await reader.prime(self.LATENCY, NAMES, "abc", at(0))
        self.buckets(prometheus, "canary", {"0.3": 5, "+Inf": 10})
        self.buckets(prometheus, "stable", {"0.1": 5, "+Inf": 10})

        reading = await reader.read(self.LATENCY, NAMES, "abc", at(10))

        assert reading.trouble == "the histograms of the versions have no bound in common at which requests can be compared"

    async def test_a_histogram_without_its_last_bucket(self, prometheus, reader):
        """Nobody knows how many requests there were: it is not there."""
        await reader.prime(self.LATENCY, NAMES, "abc", at(0))
        self.buckets(prometheus, "canary", {"0.1": 5, "0.5": 9})

        reading = await reader.read(self.LATENCY, NAMES, "abc", at(10))

        assert (reading.counts, reading.trouble) == (None, "")

    async def test_only_the_shape_that_there_is_is_asked_for(self, prometheus, reader):
        """Once both versions have shown theirs."""
        for version in ("canary", "stable"):
            self.buckets(prometheus, version, {"0.1": 50, "+Inf": 100})
        await reader.prime(self.LATENCY, NAMES, "abc", at(0))
        await reader.read(self.LATENCY, NAMES, "abc", at(10))
        prometheus.parameters.clear()

        await reader.read(self.LATENCY, NAMES, "abc", at(20))

        counters = [one["query"] for one in prometheus.parameters if not TIMES.match(one["query"])]
        assert len(counters) == 2
        assert all("_bucket" in query for query in counters)
        assert len(prometheus.parameters) == 6


class TestHints:
    """Why a version has no data."""

    HTTP = Gate.model_validate(
        {
            "name": "errors",
            "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
            "threshold": {"max": 0.05},
        }
    )
    COUNT = 'count(http_requests_total{namespace="shop"})'
    WORDS = 'no series http_requests_total has pod=~"c": the metric exists with other values of pod (e.g. web-1, web-2)'

    @pytest.fixture(autouse=True)
    def other_pods(self, prometheus):
        """A Prometheus that has the metric, of other pods of the namespace."""
        prometheus.gives([])
        prometheus.gives_value("2", to="count(http_requests_total)")
        prometheus.gives_value("2", to=self.COUNT)
        examples = [{"metric": {"pod": pod}, "value": [0, "1"]} for pod in ("web-2", "web-1")]
        prometheus.gives(examples, to='topk(3, count by (pod) (http_requests_total{namespace="shop"}))')

    async def hint(self, reader: Reader, a_gate: Gate, seconds: float) -> str:
        """Look, until a hint is there; each look is a moment later."""
        for step in range(200):
            reading = await reader.read(a_gate, NAMES, "abc", at(seconds + step / 1000))
            assert reading.trouble == ""
            if reading.hint:
                return reading.hint
            await asyncio.sleep(0.005)
        return ""

    async def test_the_label_that_matches_nothing_is_named(self, reader):
        """With values that there are; at a later look, for it is found out on the side."""
        first = await reader.read(self.HTTP, NAMES, "abc", at(0))

        assert first.hint == ""
        assert await self.hint(reader, self.HTTP, 1) == self.WORDS

    async def test_gates_that_are_judged_by_limits_have_hints_too(self, reader):
        """Where a preset has no data."""
        assert await self.hint(reader, self.HTTP.model_copy(update={"judge": "Limit"}), 1) == self.WORDS

    async def test_a_diagnosis_is_made_once_a_minute_at_most(self, prometheus, reader):
        """However often the gate looks."""
        await self.hint(reader, self.HTTP, 1)
        for second in range(10, 20):
            await reader.read(self.HTTP, NAMES, "abc", at(second))

        assert [one["query"] for one in prometheus.parameters].count(self.COUNT) == 1

    async def test_a_hint_ends_with_the_silence(self, prometheus, reader):
        """The pods have been scraped at last."""
        await self.hint(reader, self.HTTP, 1)
        prometheus.gives([{"metric": {"pod": "c"}, "value": [0, "1"]}])

        reading = await reader.read(self.HTTP, NAMES, "abc", at(10))

        assert reading.hint == ""
        assert reading.counts is not None


def preset(source: str, measure: str, **fields: object) -> Gate:
    metric = {"preset": {"source": source, "measure": measure}}
    return Gate.model_validate({"name": "g", "metric": metric, **(fields or {"versusStable": {"maxIncrease": {"percent": 10}}})})


def native(**pods: tuple[int, int]) -> list[dict[str, object]]:
    """Histograms of pods: requests of 0.5 to 1 s, and of 1 to 2 s."""
    return [
        {
            "metric": {"pod": pod},
            "histogram": [
                0,
                {
                    "count": str(fast + slow),
                    "sum": "0",
                    "buckets": [[0, "0.5", "1", str(fast)], [0, "1", "2", str(slow)]],
                },
            ],
        }
        for pod, (fast, slow) in pods.items()
    ]


class TestPresets:
    """What presets are made of."""

    async def test_native_histograms(self, prometheus, reader):
        """Where there is no classic one."""
        a_gate = preset("HTTP", "Latency")
        asked = raw_counters(a_gate, NAMES)
        assert asked.stable is not None
        (_, canary), (_, stable) = asked.canary.buckets[1], asked.stable.buckets[1]
        prometheus.gives([])
        prometheus.gives(native(c=(10, 0)), to=canary)
        prometheus.gives(native(s=(10, 0)), to=stable)
        await reader.prime(a_gate, NAMES, "abc", at(0))
        prometheus.gives(native(c=(14, 6)), to=canary)
        prometheus.gives(native(s=(19, 1)), to=stable)

        reading = await reader.read(a_gate, NAMES, "abc", at(10))

        assert reading.counts is not None
        assert reading.counts.stable is not None
        slower = dict(zip(reading.counts.bounds, reading.counts.canary.over, strict=True))
        assert (reading.counts.canary.total, slower[0.5], slower[1.0], slower[2.0]) == (10.0, 10.0, 6.0, 0.0)

    async def test_a_histogram_that_nobody_knows(self, prometheus, reader):
        """Another server's idea of one."""
        a_gate = preset("HTTP", "Latency")
        prometheus.gives([{"metric": {}, "histogram": [0, {"buckets": "many"}]}])

        trouble = await reader.prime(a_gate, NAMES, "abc", at(0))

        assert trouble.startswith("the query gave a histogram, expected counters")

    async def test_restarts_per_pod_hour(self, prometheus, reader):
        """A crash of one container of two pods in a quarter of an hour."""
        a_gate = preset("Kubernetes", "Restarts", threshold={"max": 1})

        def restarts(**pods: int) -> None:
            prometheus.gives([{"metric": {"pod": pod, "container": "app"}, "value": [0, str(n)]} for pod, n in pods.items()])

        restarts(a=3, b=0)
        await reader.prime(a_gate, NAMES, "abc", at(0))
        restarts(a=4, b=0)

        reading = await reader.read(a_gate, NAMES, "abc", at(900))

        assert reading.counts == Counts(at(0), Tally(total=0.5, bad=1.0), until=at(900))

    async def test_the_first_requests_through_a_gateway(self, prometheus, reader):
        """Its counters of the new version's Service appear with the first request, and all of them count."""
        a_gate = preset("Envoy", "ErrorRate", threshold={"max": 0.05})
        asked = raw_counters(a_gate, NAMES)
        envoy = {"instance": "10.0.0.7:8002"}
        prometheus.gives([])
        prometheus.gives([{"metric": envoy, "value": [0, "2"]}], to=asked.witnesses)
        await reader.prime(a_gate, NAMES, "abc", at(0))
        for query in (asked.canary.total, asked.canary.bad):
            prometheus.gives([{"metric": envoy, "value": [0, "5"]}], to=query)

        reading = await reader.read(a_gate, NAMES, "abc", at(10))

        assert reading.counts == Counts(at(0), Tally(5.0, 5.0), until=at(10))
