"""Whether people's own queries can tell bad events at all: by what labels there are."""

import pytest

from tidegate.api.metric import Source
from tidegate.prometheus.answers import Result, Trouble
from tidegate.prometheus.labelling import instead, own_queries, unlabelled

TOTAL = 'orders_total{namespace="shop",pod=~"c"}'
BAD = 'orders_total{namespace="shop",pod=~"c",result="failed"}'


class Series:
    """A Prometheus with series of one metric, which knows the selectors that are asked here."""

    def __init__(self, *series: dict[str, str]) -> None:
        self.series = [{"namespace": "shop", **one} for one in series]
        self.asked: list[str] = []

    async def ask(self, query: str) -> Result | Trouble:
        self.asked.append(query)
        inside = query[query.index("{") + 1 : query.index("}")]
        found = [one for one in self.series if all(self._holds(one, condition) for condition in inside.split(",") if condition)]
        if query.startswith("count("):
            return Result([{"metric": {}, "value": [0, str(len(found))]}] if found else [])
        return Result([{"metric": {"__name__": "orders_total", **one}, "value": [0, "1"]} for one in found])

    @staticmethod
    def _holds(one: dict[str, str], condition: str) -> bool:
        label, value = condition.split('"', maxsplit=1)[0].rstrip("=~!"), condition.split('"')[1]
        return (one.get(label, "") == value) is ("!" not in condition)


async def test_no_series_has_the_label():
    """Then no bad event can ever show, and what there is instead is said."""
    series = Series({"pod": "c", "state": "ok"}, {"pod": "s", "state": "ok"})

    words = await own_queries(series.ask, (BAD, TOTAL), namespace="shop")

    assert words == "bad events cannot be told from good ones: no series orders_total has a label result (there are state)"


async def test_no_bad_event_yet():
    """The label is there, with other values."""
    series = Series({"pod": "c", "result": "ok"})

    assert await own_queries(series.ask, (BAD, TOTAL), namespace="shop") == ""


async def test_the_label_comes_with_the_first_bad_event():
    """Elsewhere it has come; here nothing has failed."""
    series = Series({"pod": "c"}, {"pod": "other", "result": "failed"})

    assert await own_queries(series.ask, (BAD, TOTAL), namespace="shop") == ""


async def test_all_of_stable_has_the_label_and_the_new_version_has_not():
    """It has been renamed."""
    series = Series({"pod": "c", "outcome": "ok"}, {"pod": "s", "result": "ok"})
    stable = ('orders_total{namespace="shop",pod=~"s",result="failed"}', 'orders_total{namespace="shop",pod=~"s"}')

    words = await own_queries(series.ask, (BAD, TOTAL), stable, namespace="shop")

    assert words is not None
    assert words.endswith("no series orders_total has a label result (there are outcome)")


async def test_no_series_yet():
    """Nobody knows."""
    assert await own_queries(Series({"pod": "s"}).ask, (BAD, TOTAL), namespace="shop") is None


async def test_a_server_that_is_away():
    """Nor here."""

    async def ask(_: str) -> Trouble:
        return Trouble("away")

    assert await own_queries(ask, (BAD, TOTAL), namespace="shop") is None


@pytest.mark.parametrize(
    ("bad", "total"),
    [
        ("failed_total", "orders_total"),
        ('failed_total{pod=~"c"}', TOTAL),
        ('orders_total{pod=~"c",error_type=~".+"}', TOTAL),
        ('orders_total{pod=~"c",error_type!=""}', TOTAL),
        ('orders_total{pod=~"c",status!="ok"}', TOTAL),
        (TOTAL, TOTAL),
        ("{{", "orders_total"),
    ],
)
async def test_what_says_nothing_is_not_asked(bad, total):
    """A counter of its own for bad events, or a label that only they have, need not be there."""
    series = Series({"pod": "c"})

    assert await own_queries(series.ask, (bad, total), namespace="shop") == ""
    assert series.asked == []


async def test_a_quotient_in_one_query():
    """Its parts are the total and the bad ones."""
    query = f"(sum(rate({BAD}[1m])) or vector(0)) / sum(rate({TOTAL}[1m]))"

    words = await own_queries(Series({"pod": "c"}).ask, (query, query), namespace="shop")

    assert words == "bad events cannot be told from good ones: no series orders_total has a label result"


async def test_without_names_the_whole_metric_counts():
    """As lint asks, which knows no pods."""
    bad, total = 'orders_total{pod=~"{{canaryPods}}",result="failed"}', 'orders_total{pod=~"{{canaryPods}}"}'

    assert await unlabelled(Series({"pod": "z", "result": "ok"}).ask, bad, total) == ""
    assert "no series orders_total has a label result" in await unlabelled(Series({"pod": "z"}).ask, bad, total)


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ([{"status": "2xx", "method": "GET"}], "no label code, but status (2xx)"),
        ([{"http_status_class": "success", "method": "GET"}], "no label code, but http_status_class"),
        ([{"method": "GET"}], "no label code (there are method): let the application count by it"),
        ([{}], "no label code: let the application count by it"),
        ([{"code": "OK"}], "its values are OK, which Tidegate does not know from the source HTTP"),
        ([{"code": "x" * 500}], "its values are " + "x" * 39 + "…, which"),
    ],
)
def test_what_there_is_instead(series, words):
    """The nearest label is named, and never more than a few."""
    assert words in instead(Source.HTTP, "code", series)


@pytest.mark.parametrize("where", ['namespace="payments"', 'namespace=~"shop"', 'namespace!="shop"', 'team="shop"'])
async def test_labels_of_another_namespace_are_not_named(where):
    """What others' series are labelled with is no concern of this one's people; that the label is missing is."""
    series = Series({"namespace": "payments", "team": "shop", "vault": "root"}, {"namespace": "shop", "team": "shop", "vault": "x"})
    total = f"orders_total{{{where}}}"

    words = await own_queries(series.ask, (total.replace("}", ',result="failed"}'), total), namespace="shop")

    assert words == "bad events cannot be told from good ones: no series orders_total has a label result"
