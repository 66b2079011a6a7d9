"""Looks: the queries of a gate, asked at one instant, and what comes together from the answers."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tidegate.api.gate import Gate
from tidegate.judge.reading import AtWeight, Reading, Shown
from tidegate.prometheus.queries import Names
from tidegate.prometheus.reader import Reader

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s", "c", 80)


def gate(canary: str = "canary", **fields: object) -> Gate:
    promql = {"canary": canary, "stable": "stable", "samples": "samples"}
    limit = {"versusStable": {"maxIncrease": {"points": 1}}}
    return Gate.model_validate({"name": "errors", "metric": {"promql": promql}, **limit, **fields})


@pytest.fixture
def reader(prometheus, connect):
    """A reader with one connection."""
    return Reader({"default": connect(prometheus.address)})


async def test_a_reading_has_the_value_of_each_query(prometheus, reader):
    """Each to its field, all at the same instant."""
    prometheus.gives_value("0.2", to="canary")
    prometheus.gives_value("0.1", to="stable")
    prometheus.gives_value("300", to="samples")
    prometheus.gives_value("1767323040", to="max(timestamp(canary))")
    prometheus.gives_value("1767323999", to="max(timestamp(stable))")
    prometheus.gives_value("3", to="count(canary)")
    prometheus.gives_value("12", to="count(stable)")

    reading = await reader.read(gate(), NAMES, "abc", AT)

    newest = AT - timedelta(seconds=5)
    known = {"canary": 0.2, "stable": 0.1, "canary_samples": 300.0}
    assert reading == Reading("errors", "abc", AT, **known, newest=newest, newest_stable=AT, shown=Shown(3, 12))
    assert {parameters["time"] for parameters in prometheus.parameters} == {"1767323045.000"}


async def test_presets_count_the_requests_of_both(prometheus, reader):
    """And how many processes there are of each; of the times of samples, there are none before 1970."""
    prometheus.gives_value("1")
    metric = {"preset": {"source": "Envoy", "measure": "ErrorRate"}}
    limit = {"judge": "Limit", "versusStable": {"maxIncrease": {"points": 1}}}
    preset = Gate.model_validate({"name": "errors", "metric": metric, **limit})

    reading = await reader.read(preset, NAMES, "abc", AT)

    first = datetime.fromtimestamp(1, UTC)
    shown = Shown(1, 1, "bad events are identified by the label envoy_response_code")
    known = {"canary": 1.0, "stable": 1.0, "canary_samples": 1.0, "stable_samples": 1.0}
    assert reading == Reading("errors", "abc", AT, **known, newest=first, newest_stable=first, shown=shown)


async def test_requests_at_the_present_weight(prometheus, reader):
    """The window of a value reaches back beyond the weight; the requests that let the weight rise are asked for apart."""
    prometheus.gives_value("1")
    metric = {"promql": {"canary": "canary", "unit": "Ratio", "samples": "n[{{window}}]"}}
    own = Gate.model_validate({"name": "errors", "metric": metric, "threshold": {"max": 1}})
    since = AT - timedelta(seconds=20.76)

    reading = await reader.read(own, NAMES, "abc", AT, AT - timedelta(hours=1), weight_since=since)
    young = await reader.read(own, NAMES, "abc", AT, AT - timedelta(hours=1), weight_since=AT - timedelta(seconds=0.5))

    assert reading.at_weight == AtWeight(since, 1.0)
    assert young.at_weight is None
    assert {"n[1m]", "n[20s700ms]"} <= {parameters["query"] for parameters in prometheus.parameters}


async def test_age_of_samples_is_no_trouble(prometheus, reader):
    """Where nobody can tell how old samples are, there is a value all the same."""
    prometheus.gives_value("0.2")
    prometheus.gives([{"metric": {"pod": pod}, "value": [0, "1"]} for pod in "ab"], to="max(timestamp(canary))")

    reading = await reader.read(gate(), NAMES, "abc", AT)

    assert (reading.canary, reading.trouble, reading.newest) == (0.2, "", None)


async def test_no_data_is_no_trouble(prometheus, reader):
    """The judge has words for it."""
    prometheus.gives([])

    assert await reader.read(gate(), NAMES, "abc", AT) == Reading("errors", "abc", AT, shown=Shown(0, 0))


async def test_trouble_leaves_the_values_that_there_are(prometheus, reader):
    """A fixed limit needs no stable."""
    prometheus.gives_value("0.2", to="canary")
    prometheus.gives_value("300", to="samples")
    prometheus.refuses("no such function")

    reading = await reader.read(gate(), NAMES, "abc", AT)

    trouble = "Prometheus connection default: Prometheus reports: no such function (HTTP 400)"
    assert reading == Reading("errors", "abc", AT, canary=0.2, canary_samples=300.0, trouble=trouble)


async def test_an_unknown_connection(reader):
    """Those that there are, are named."""
    reading = await reader.read(gate(connection="other"), NAMES, "abc", AT)

    assert reading.trouble == "there is no Prometheus connection other for namespace shop, there are: default"


async def test_no_connections():
    """The operator may be run without Prometheus."""
    reading = await Reader({}).read(gate(), NAMES, "abc", AT)

    assert reading.trouble == "there is no Prometheus connection default for namespace shop, there are: none"


async def test_an_unknown_variable(prometheus, reader):
    """A mistake in the policy is told, and Prometheus is not asked."""
    reading = await reader.read(gate("{{pod}}"), NAMES, "abc", AT)

    assert reading.trouble.startswith("unknown variable {{pod}}: there are namespace, ")
    assert prometheus.paths == []


async def test_the_same_query_at_the_same_instant_is_asked_once(prometheus, reader):
    """Gates of one Release share the number of requests."""
    prometheus.gives_value("1")

    readings = await asyncio.gather(*(reader.read(gate(), NAMES, "abc", AT) for _ in range(5)))

    assert [reading.canary for reading in readings] == [1.0] * 5
    beside = ["count(canary)", "count(stable)", "max(timestamp(canary))", "max(timestamp(stable))"]
    assert sorted(parameters["query"] for parameters in prometheus.parameters) == ["canary", *beside, "samples", "stable"]


async def test_another_instant_is_asked_again(prometheus, reader):
    """Every look is a new one."""
    prometheus.gives_value("1")

    await asyncio.gather(*(reader.read(gate(), NAMES, "abc", AT + timedelta(seconds=n)) for n in range(2)))
    await reader.read(gate(), NAMES, "abc", AT)

    assert len(prometheus.parameters) == 21


async def test_a_cancelled_look_does_not_take_the_answer_from_another(prometheus, reader):
    """One Release is deleted while another waits for the same query."""
    prometheus.gives_value("1")
    cancelled = asyncio.create_task(reader.read(gate(), NAMES, "abc", AT))
    other = asyncio.create_task(reader.read(gate(), NAMES, "abc", AT))
    await asyncio.sleep(0)
    cancelled.cancel()

    assert (await other).canary == 1.0


async def test_the_window_does_not_reach_back_to_the_candidate_before(prometheus, reader):
    """The counters of the canary's Service also hold what a rejected candidate did a moment ago."""
    prometheus.gives_value("1")

    for age in (0, 20.7, 3600):
        await reader.read(gate("x[{{window}}]"), NAMES, "abc", AT, since=AT - timedelta(seconds=age))

    asked = [parameters["query"] for parameters in prometheus.parameters if parameters["query"].startswith("x")]
    assert asked == ["x[1s]", "x[20s700ms]", "x[1m]"]


async def test_every_query_is_observed(prometheus, connect):
    """By connection, with its time, and whether there was an answer."""
    seen: list[tuple[str, bool]] = []
    prometheus.gives_value("1")
    prometheus.gives([], to="stable")
    prometheus.refuses("no")
    prometheus.gives_value("1", to="canary")

    def observe(connection: str, seconds: float, ok: bool) -> None:
        assert 0 <= seconds < 60
        seen.append((connection, ok))

    reader = Reader({"default": connect(prometheus.address)}, observe)

    await reader.read(gate(), NAMES, "abc", AT)

    assert sorted(seen) == [*[("default", False)] * 5, *[("default", True)] * 2]


async def test_closing(prometheus, connect):
    """After that, looks say so."""
    reader = Reader({"default": connect(prometheus.address)})
    reader.close()

    reading = await reader.read(gate(), NAMES, "abc", AT)

    assert reading.trouble == "Prometheus connection default: it is closed"


async def test_looks_at_splits_of_different_ages_share_requests(prometheus, reader):
    """Routes of ten Releases were split at ten instants: what was before and since is asked of all as of now, in few requests."""
    prometheus.gives_value("1")
    metric = {"preset": {"source": "Envoy", "measure": "ErrorRate"}}
    limit = {"judge": "Limit", "versusStable": {"maxIncrease": {"points": 1}}}
    preset = Gate.model_validate({"name": "errors", "metric": metric, **limit})
    names = [replace(NAMES, service=f"s{number}", stable_service=f"s{number}-stable") for number in range(10)]
    ages = [timedelta(seconds=20.7 + number) for number in range(10)]

    looks = [reader.around(preset, one, "abc", AT, AT - age) for one, age in zip(names, ages, strict=True)]
    found = await asyncio.gather(*looks)

    assert all(one.around is not None for one in found)
    assert {"1767323045.000"} == {parameters["time"] for parameters in prometheus.parameters}
    assert 60 == len(prometheus.parameters)
    assert len(prometheus.paths) <= 4
    assert any("[5m] offset 20s700ms" in parameters["query"] for parameters in prometheus.parameters)


async def test_what_was_before_a_split_is_asked_for_until_it_has_settled(prometheus, reader):
    """From half a minute after the split on it is known, and only what came since is asked for; another split is asked anew."""
    prometheus.gives_value("1")
    metric = {"preset": {"source": "Envoy", "measure": "ErrorRate"}}
    preset = Gate.model_validate({"name": "errors", "metric": metric, "versusStable": {"maxIncrease": {"points": 1}}})

    async def asked(after: float, split_at: datetime = AT) -> int:
        before = len(prometheus.parameters)
        found = await reader.around(preset, NAMES, "abc", AT + timedelta(seconds=after), split_at)
        assert found.around is not None
        assert [1.0] * 6 == [
            number for one in (found.around.before, found.around.lately, found.around.after) for number in (one.total, one.bad)
        ]
        return len(prometheus.parameters) - before

    assert [6, 6, 2, 2] == [await asked(after) for after in (10, 30, 40, 50)]
    assert 6 == await asked(60, AT + timedelta(seconds=55))
    reader.forget(NAMES.namespace, NAMES.release)
    assert 6 == await asked(70)
