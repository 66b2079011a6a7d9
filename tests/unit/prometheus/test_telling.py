"""No bad series is not no bad events: what cannot be told good or bad is no data, with the reason and the cure."""

from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.gate import Gate
from tidegate.judge.reading import Counts, Tally
from tidegate.prometheus.counters import Kind, raw_counters
from tidegate.prometheus.presets import Version
from tidegate.prometheus.queries import Names, queries
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.samples import CountError, Form, Part, compact
from tidegate.prometheus.telling import MOST, UNTOLD, Told, Untold, beside

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s", "c", 80)
NONE = (
    "bad answers of the new version cannot be told from good ones: the label code identifies them on none of its requests; "
    "its series have no label code, but status (200, 500): "
    "use counters of your own (metric.counters), or relabel it to code when it is scraped"
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def errors(source: str = "HTTP", measure: str = "ErrorRate", **fields: object) -> Gate:
    metric = {"preset": {"source": source, "measure": measure}}
    return Gate.model_validate({"name": "errors", "metric": metric, "versusStable": {"maxIncrease": {"points": 1}}, **fields})


def series(*values: float, untold: float | None = None, pod: str = "x") -> list[dict[str, object]]:
    """An answer for one pod: of all its requests and, beside them, of those that cannot be told."""
    found = [{"metric": {"pod": pod}, "value": [0, str(value)]} for value in values]
    if untold is not None:
        found.append({"metric": {"pod": pod, UNTOLD: "yes"}, "value": [0, str(untold)]})
    return found


def told(data: object) -> Told:
    """Such an answer, read."""
    read = compact(Form(Kind.SHARE, grouped=True, seconds=1.0, most=10), Part.TOTAL, data)
    return Told(read.counters, read.untold)


class Shop:
    """A Prometheus that knows the counters of the two versions of one gate."""

    def __init__(self, prometheus, a_gate: Gate) -> None:
        self._prometheus, self._asked = prometheus, raw_counters(a_gate, NAMES)
        prometheus.gives([])

    def says(self, canary: tuple[float, float | None], stable: tuple[float, float | None], bad: float = 0.0) -> None:
        """Let both versions have requests, so many of which cannot be told, and the new version bad ones."""
        assert self._asked.stable is not None
        for version, (total, untold) in ((self._asked.canary, canary), (self._asked.stable, stable)):
            self._prometheus.gives(series(total, untold=untold), to=version.total)
        self._prometheus.gives(series(bad) if bad else [], to=self._asked.canary.bad)
        self._prometheus.gives([], to=self._asked.stable.bad)

    def examples(self, *labels: dict[str, str], pods: str = "c") -> None:
        """Let the series that cannot be told have these labels."""
        query = f'topk(20, http_requests_total{{namespace="shop",pod=~"{pods}",code!~"[0-9]+|[0-9](?:xx|XX)"}})'
        self._prometheus.gives([{"metric": one, "value": [0, "1"]} for one in labels], to=query)


@pytest.fixture
def shop(prometheus):
    return Shop(prometheus, errors())


@pytest.fixture
def reader(prometheus, connect):
    made = Reader({"default": connect(prometheus.address)}, collecting=0.001)
    yield made
    made.close()


class TestEvidence:
    """Counts between two looks."""

    async def test_a_label_of_another_name(self, shop, reader):
        """Then nothing is counted from the first look on, and what there is instead is named."""
        shop.examples({"status": "200", "method": "GET"}, {"status": "500", "method": "GET"})
        shop.says((0, 0), (900, 900))
        await reader.prime(errors(), NAMES, "abc", at(0))
        shop.says((106, 106), (985, 985))

        reading = await reader.read(errors(), NAMES, "abc", at(10))

        assert (reading.counts, reading.trouble) == (None, NONE)

    async def test_groups_where_codes_are_needed(self, prometheus, reader):
        """2xx and 5xx tell errors, but not whether something answered."""
        a_gate = errors(measure="Availability")
        Shop(prometheus, a_gate).says((50, 50), (900, 900))
        query = 'topk(20, http_requests_total{namespace="shop",pod=~"c",code!~"[0-9]+"})'
        prometheus.gives([{"metric": {"code": "2xx"}, "value": [0, "1"]}], to=query)
        await reader.prime(a_gate, NAMES, "abc", at(0))

        reading = await reader.read(a_gate, NAMES, "abc", at(10))

        assert "its values are 2xx, which Tidegate does not know from the source HTTP" in reading.trouble
        assert reading.counts is None

    async def test_good_answers_alone_are_no_trouble(self, shop, reader):
        """A healthy service has no series of errors."""
        shop.says((0, None), (900, None))
        await reader.prime(errors(), NAMES, "abc", at(0))
        shop.says((106, None), (985, None))

        reading = await reader.read(errors(), NAMES, "abc", at(10))

        assert reading.trouble == ""
        assert reading.counts == Counts(at(0), Tally(106.0, 0.0), Tally(85.0, 0.0), until=at(10))

    async def test_stable_has_no_label(self, shop, reader):
        """Then there is nothing to compare with, known before it has had another request."""
        shop.examples({"status": "200"}, pods="s")
        shop.says((0, None), (900, 900))
        await reader.prime(errors(), NAMES, "abc", at(0))
        shop.says((10, None), (900, 900), bad=5)

        reading = await reader.read(errors(), NAMES, "abc", at(10))

        assert reading.counts is None
        assert reading.trouble.startswith(
            "bad answers of stable cannot be told from good ones: the label code identifies them on none"
        )
        assert "status (200)" in reading.trouble

    async def test_stable_does_not_matter_where_it_is_not_compared_with(self, prometheus, reader):
        """A threshold is about the new version alone."""
        a_gate = errors(versusStable=None, threshold={"max": 0.01})
        asked = raw_counters(a_gate, NAMES)
        prometheus.gives([])
        prometheus.gives(series(100), to=asked.canary.total)
        await reader.prime(a_gate, NAMES, "abc", at(0))
        prometheus.gives(series(150), to=asked.canary.total)

        reading = await reader.read(a_gate, NAMES, "abc", at(10))

        assert reading.counts == Counts(at(0), Tally(50.0, 0.0), until=at(10))

    async def test_some_requests_without_the_label(self, shop, reader):
        """They are not taken for good ones, and the share of them is told for a while after they have stopped."""
        shop.says((100, 0), (900, None))
        await reader.prime(errors(), NAMES, "abc", at(0))
        shop.says((200, 12), (950, None))
        some = await reader.read(errors(), NAMES, "abc", at(10))
        shop.says((300, 12), (1000, None))
        fewer = await reader.read(errors(), NAMES, "abc", at(20))
        shop.says((100_300, 12), (1000, None))
        few = await reader.read(errors(), NAMES, "abc", at(30))

        assert "12% of its requests have no known value of the label code" in some.trouble
        assert some.counts is None
        assert "5.9% of its requests" in fewer.trouble
        assert (few.trouble, few.counts is None) == ("", False)

    async def test_old_requests_without_the_label_do_not_count(self, shop, reader):
        """Only what is counted from now on is judged."""
        shop.says((500, 400), (900, None))
        await reader.prime(errors(), NAMES, "abc", at(0))
        shop.says((600, 400), (950, None))

        reading = await reader.read(errors(), NAMES, "abc", at(10))

        assert reading.trouble == ""
        assert reading.counts == Counts(at(0), Tally(100.0, 0.0), Tally(50.0, 0.0), until=at(10))

    async def test_calls_whose_failures_no_status_shows(self, prometheus, reader):
        """GRPC through Envoy: every answer is 200, and the failure is in the trailers."""
        a_gate = errors("Envoy")
        Shop(prometheus, a_gate).says((100, 100), (900, 900))
        await reader.prime(a_gate, NAMES, "abc", at(0))

        reading = await reader.read(a_gate, NAMES, "abc", at(10))

        assert "they are gRPC calls, whose failures no HTTP status shows: use the preset source GRPC" in reading.trouble

    async def test_the_cure_is_not_asked_for_at_every_look(self, prometheus, shop, reader):
        """What else there is does not change from look to look; beyond that, counters, their times and births are asked for."""
        shop.examples({"status": "200"})
        shop.says((10, 10), (900, None))
        await reader.prime(errors(), NAMES, "abc", at(0))
        for number in range(1, 4):
            await reader.read(errors(), NAMES, "abc", at(number))

        asked = [one["query"] for one in prometheus.parameters]
        assert len([query for query in asked if query.startswith("topk(20")]) == 1
        # Copies are looked for once, too.
        assert len(asked) == 4 * 8 + 1 + 1


class TestLimit:
    """Values over a window."""

    @pytest.mark.parametrize("measure", ["ErrorRate", "Availability"])
    async def test_there_are_requests_and_no_value(self, prometheus, reader, measure):
        """The value is absent where it could not be told, and that is said, with the cure."""
        a_gate = errors(measure=measure, judge="Limit")
        asked = queries(a_gate, NAMES)
        prometheus.gives([])
        assert asked.canary_samples is not None
        prometheus.gives_value("106", to=asked.canary_samples)
        prometheus.gives([{"metric": {"status": "2xx"}, "value": [0, "1"]}])
        prometheus.gives([], to=asked.canary)
        prometheus.gives([], to=asked.stable)
        prometheus.gives([], to=asked.stable_samples)

        reading = await reader.read(a_gate, NAMES, "abc", at(10))

        assert reading.canary is None
        assert reading.trouble == (
            "bad answers of the new version cannot be told from good ones: more than 0.1% of its requests have no known value of "
            "the label code; its series have no label code, but status (2xx): "
            "use counters of your own (metric.counters), or relabel it to code when it is scraped"
        )

    async def test_no_requests_are_no_trouble(self, prometheus, reader):
        """They are no data, as before."""
        a_gate = errors(judge="Limit")
        prometheus.gives([])
        for query in (queries(a_gate, NAMES).canary_samples, queries(a_gate, NAMES).stable_samples):
            prometheus.gives_value("0", to=query)

        assert (await reader.read(a_gate, NAMES, "abc", at(10))).trouble == ""

    async def test_an_error_budget(self, prometheus, reader):
        """Of the whole service."""
        budget = {"source": "HTTP", "objective": 0.999}
        a_gate = Gate.model_validate({"name": "g", "metric": {"errorBudget": budget}, "threshold": {"max": 1}})
        asked = queries(a_gate, NAMES)
        prometheus.gives([])
        prometheus.gives_value("1000", to=asked.canary_samples)

        reading = await reader.read(a_gate, NAMES, "abc", at(10))

        assert asked.canary.endswith(
            ' unless on() (sum(rate(http_requests_total{namespace="shop",pod=~"c|s",code!~"[0-9]+|[0-9](?:xx|XX)"}[6h]))'
            ' > 0.001 * sum(rate(http_requests_total{namespace="shop",pod=~"c|s"}[6h])))'
        )
        assert reading.trouble.startswith("bad answers of the service cannot be told from good ones")


class TestUntold:
    """What is followed, whatever the counters do."""

    def test_a_query_is_taken_apart_again(self):
        """Nothing of the label is left."""
        assert beside("a", "b") == 'a or label_replace(b, "tidegate_untold", "yes", "", "")'
        read = told(series(3, untold=2))
        assert (list(read.events.values()), list(read.untold.values())) == ([3.0], [2.0])
        assert read.events.keys() == read.untold.keys()

    def test_a_restart_counts_from_zero(self):
        """As the ledger has it; a little less is the answer of another replica."""
        followed = Untold()
        followed.begin({Version.CANARY: told(series(1000, untold=0))})
        followed.take(at(0), {Version.CANARY: told(series(990, untold=0))})
        followed.take(at(1), {Version.CANARY: told(series(10, untold=10))})

        assert list(followed.too_many()) == [(Version.CANARY, 1.0)]

    @pytest.mark.parametrize("data", [None, [], "x", [7], [{"metric": {}, "value": ["0", "NaN"]}], [{"metric": {}, "value": [0]}]])
    def test_odd_answers_count_nothing(self, data):
        """They are no counters, or there is no value."""
        try:
            answer = told(data)
        except CountError:
            return
        followed = Untold()
        followed.begin({Version.CANARY: answer})
        followed.take(at(0), {Version.CANARY: answer})

        assert list(followed.too_many()) == []

    def test_what_is_gone_is_forgotten_where_it_is_too_much(self):
        """And what comes after that need not be new."""
        followed = Untold()
        followed.begin({})
        for look in range(4):
            pods = [one for pod in range(MOST // 2 + 1) for one in series(5, pod=f"{look}-{pod}")]
            followed.take(at(look), {Version.CANARY: told(pods)})
        assert followed.counters <= 2 * MOST

        followed.take(at(10), {Version.CANARY: told(series(1000, untold=5, pod="old"))})
        assert list(followed.too_many()) == []

    def test_series_of_a_gateway_may_be_anothers(self):
        """What a Service's series have counted when they are first met is no news, unless nothing of it can be told."""
        followed = Untold(by_service=True)
        followed.begin({})
        followed.take(at(0), {Version.CANARY: told(series(1000, untold=500))})
        assert list(followed.too_many()) == []

        followed.take(at(1), {Version.CANARY: told(series(1100, untold=600))})
        assert list(followed.too_many()) == [(Version.CANARY, 1.0)]

    def test_what_a_gateway_has_forgotten_is_not_counted_again(self):
        """The sum of the series that are left falls, and what they have counted long ago is no news."""
        followed = Untold(by_service=True, forgets=True)
        followed.begin({Version.CANARY: told(series(10_000, untold=300, pod="edge"))})
        followed.take(at(0), {Version.CANARY: told(series(20_000, untold=300, pod="edge"))})
        followed.take(at(1), {Version.CANARY: told(series(900, untold=100, pod="edge"))})
        assert list(followed.too_many()) == []
