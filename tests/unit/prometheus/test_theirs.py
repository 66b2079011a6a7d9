"""Looks at a Prometheus whose clock is off: what is asked is in its time, and all that comes back is in this host's."""

import asyncio
import json
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from bench.stand_in import joined_of

from tidegate.api.gate import Gate
from tidegate.controller.looks.looks import Looks
from tidegate.controller.looks.subject import Subject
from tidegate.controller.observe.references import ReleaseKey
from tidegate.engine.plan import Look
from tidegate.judge.reading import Reading, Tally
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.theirs import EVERY, InTheirTime
from tidegate.runtime.clock import ManualClock, Moment
from unit.controller.api_server import settled as until
from unit.prometheus.conftest import send

NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 80)
HOUR = 3600.0
PER_SECOND = 10
BEHIND = "Prometheus' clock is 60 min behind the operator's: synchronize both, for example with NTP"


class Shop:
    """A Prometheus with a clock of its own, which has scraped two pods each second by it, since long ago.

    Attributes:
        ahead: seconds by which its clock is ahead of what this host's showed at first.
        instants: for which it was asked.
    """

    def __init__(self, prometheus, clock: ManualClock, ahead: float) -> None:
        self.prometheus, self.ahead, self.instants = prometheus, ahead, []
        self._clock = clock
        self._base = clock.now().timestamp() - clock.monotonic()
        prometheus.time = self.now
        prometheus.does(self._respond)

    def now(self) -> float:
        """What its clock shows."""
        return self._base + self._clock.monotonic() + self.ahead

    @property
    def asked_for_time(self) -> int:
        return sum(one["query"].startswith("time()") for one in self.prometheus.parameters)

    def _respond(self, handler) -> None:
        given = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query or self.prometheus.body).items()}
        at = float(given["time"])
        self.instants.append(at)
        # It looks back five minutes from the time that is asked for, and has nothing that is newer than its clock.
        newest = min(at, self.now()) // 1
        there = newest > at - 300
        series = []
        for query, labels in joined_of(given["query"]) or [(given["query"], {})]:
            value = newest if "timestamp(" in query else PER_SECOND * (newest % 1e6)
            if there and "bad" not in query and "birth" not in query:
                series.append({"metric": {"pod": "c-aaaaa", "instance": "a", **labels}, "value": [at, str(value)]})
        document = {"status": "success", "data": {"resultType": "vector", "result": series}}
        send(handler, 200, json.dumps(document).encode())


def gate(**fields: object) -> Gate:
    metric = {"counters": {"canary": {"bad": "canary_bad", "total": "canary_total"}}}
    return Gate.model_validate({"name": "errors", "metric": metric, "threshold": {"max": 0.05}, **fields})


LIMIT = Gate.model_validate({"name": "rate", "judge": "Limit", "metric": {"promql": {"canary": "rate"}}, "threshold": {"max": 1e9}})


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def made(clock, prometheus, connect):
    """Make what reads, as a new process has it."""

    def make(**fields: object) -> InTheirTime:
        connection = connect(prometheus.address, **fields)
        known = {"default": connection}
        return InTheirTime(Reader(known, collecting=0.001), known, clock)

    return make


async def look(reader: InTheirTime, a_gate: Gate, clock: ManualClock, *, after: float = 10.0) -> Reading:
    clock.advance(after)
    return await reader.read(a_gate, NAMES, "abc", clock.now(), clock.now() - timedelta(seconds=60))


@pytest.mark.parametrize("ahead", [-HOUR, HOUR, -30 * 24 * HOUR])
async def test_what_is_counted_is_read_from_the_second_look_on(made, prometheus, clock, ahead):
    """By a clock that is far off, with times by this host's."""
    shop, reader = Shop(prometheus, clock, ahead), made()
    began = clock.now() + timedelta(seconds=10)

    first = await look(reader, gate(), clock)
    second = await look(reader, gate(), clock)

    assert (first.trouble, first.counts) == ("", None)
    assert second.at == clock.now()
    assert second.counts is not None
    assert (second.counts.since, second.counts.canary) == (began, Tally(100.0))
    assert second.newest == clock.now()
    assert all(abs(at - shop.now()) <= 10 for at in shop.instants)


async def test_a_look_of_limit(made, prometheus, clock):
    """Its value and the time of its newest sample, and the weight since which it is asked about."""
    Shop(prometheus, clock, -HOUR)

    reading = await look(made(), LIMIT, clock)

    assert reading.canary is not None
    assert reading.at == clock.now()
    assert reading.clock == BEHIND


async def test_a_clock_that_is_right_changes_nothing(made, prometheus, clock):
    """Neither an instant nor a word."""
    shop, reader = Shop(prometheus, clock, 0.3), made()

    reading = await look(reader, LIMIT, clock)

    assert {clock.now().timestamp()} == set(shop.instants)
    assert reading.clock == ""


async def test_this_hosts_clock_is_stepped(made, prometheus, clock):
    """The look after it is asked for in Prometheus' time all the same."""
    shop, reader = Shop(prometheus, clock, 0.0), made()
    await look(reader, gate(), clock)
    clock.step_wall(HOUR)

    reading = await look(reader, gate(), clock)

    assert shop.instants[-1] == pytest.approx(shop.now())
    assert reading.clock == BEHIND
    assert reading.newest == clock.now()


async def test_a_new_process_beside_a_wrong_clock_goes_on_counting(made, prometheus, clock):
    """From the last look of the one before: nothing is lost by its end."""
    Shop(prometheus, clock, -HOUR)
    before = made()
    await look(before, gate(), clock)
    ended = (await look(before, gate(), clock)).at

    clock.advance(20)
    after = made()
    assert await after.resume(gate(), NAMES, "abc", ended) == ""
    assert after.primed(gate(), NAMES, "abc")
    reading = await look(after, gate(), clock)

    assert reading.counts is not None
    assert (reading.counts.since, reading.counts.canary) == (ended, Tally(300.0))


@pytest.mark.parametrize("ahead", [0.0, -HOUR])
async def test_a_new_process_counts_what_the_one_before_has_left_no_look_of(made, prometheus, clock, ahead):
    """Given a version that has had traffic for 35 seconds, and no look at it in the status, its first one has all of that."""
    Shop(prometheus, clock, ahead)
    exposed = clock.now()
    clock.advance(35)
    key, arrived = ReleaseKey("shop", "checkout"), []
    looks = Looks(clock=clock, reader=made(), arrived=lambda *one: arrived.append(one))
    subject = Subject({"errors": gate()}, NAMES, "abc", exposed, begun=clock.now())

    looks.plan(key, [Look("errors", clock.now() + timedelta(seconds=30))], subject, Moment.of(clock))
    running = asyncio.create_task(looks.run())
    clock.advance(3)
    await until(lambda: bool(arrived))
    running.cancel()

    (reading,) = [one.reading for one in looks.waiting(key)]
    assert reading.counts is not None
    assert reading.counts.since == exposed
    assert reading.counts.canary == Tally(PER_SECOND * 38.0)


async def test_what_was_counted_counts_anew_where_the_time_there_jumps(made, prometheus, clock):
    """When Prometheus' clock is set: the times of its samples do not go on from those before."""
    shop, reader = Shop(prometheus, clock, -HOUR), made()
    await look(reader, gate(), clock)
    shop.ahead = 0.0
    clock.advance(EVERY)
    # It is asked for beside a look, and known to the next.
    await look(reader, gate(), clock)
    await settled(reader, clock)

    assert not reader.primed(gate(), NAMES, "abc")
    assert (await look(reader, gate(), clock)).counts is None
    reading = await look(reader, gate(), clock)
    assert reading.counts is not None
    assert reading.counts.canary == Tally(100.0)
    assert reading.clock == ""


async def settled(reader: InTheirTime, clock: ManualClock) -> None:
    """Wait for an answer that nobody waits for."""
    for server in reader._servers.values():
        if server._asking is not None:
            await server._asking


async def test_the_time_is_asked_for_once_a_minute(made, prometheus, clock):
    """However many looks there are, and with a query that no cache has an answer to."""
    shop, reader = Shop(prometheus, clock, -HOUR), made()
    for _ in range(13):
        await look(reader, gate(), clock)
        await settled(reader, clock)

    asked = [one for one in prometheus.parameters if one["query"].startswith("time()")]
    assert len(asked) == shop.asked_for_time == 3
    assert len({one["query"] for one in asked}) == 3
    assert not any("time" in one for one in asked)


async def test_a_server_that_does_not_tell_its_time(made, prometheus, clock):
    """Is looked at by this host's clock, as ever."""
    shop, reader = Shop(prometheus, clock, 0.0), made()
    prometheus.tells_time = lambda: (400, b'{"status":"error","errorType":"bad_data","error":"no selector"}')

    readings = [await look(reader, gate(), clock) for _ in range(3)]

    assert [reading.trouble for reading in readings] == ["", "", ""]
    assert readings[2].counts is not None
    assert shop.asked_for_time <= 2


async def test_who_may_not_ask_a_server_learns_nothing_of_its_clock(made, prometheus, clock):
    """Nor has it asked."""
    shop = Shop(prometheus, clock, -HOUR)

    reading = await look(made(namespaces=["bank"]), LIMIT, clock)

    assert reading.trouble.startswith("there is no Prometheus connection default for namespace shop")
    assert (reading.clock, shop.asked_for_time) == ("", 0)


async def test_victoria_metrics_shows_an_older_state_on_purpose(made, prometheus, clock):
    """By half a minute unless it is asked not to, and its clock is right."""
    shop = Shop(prometheus, clock, 0.0)

    def tells() -> tuple[int, bytes]:
        late = float(prometheus.parameters[-1].get("latency_offset", "30s").removesuffix("s"))
        told = shop.now() - late
        text = f'{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[{told},"{told}"]}}]}},'
        return 200, (text + '"stats":{"seriesFetched": "0","executionTimeMsec":1}}').encode()

    prometheus.tells_time = tells
    prometheus.date = shop.now

    reading = await look(made(), LIMIT, clock)

    assert reading.clock == ""
    assert {clock.now().timestamp()} == set(shop.instants)
    assert shop.asked_for_time == 2


async def test_a_proxy_with_a_date_of_its_own(made, prometheus, clock):
    """Contradicts what Prometheus says: nothing is moved, and people are told."""
    shop = Shop(prometheus, clock, -HOUR)
    prometheus.date = lambda: shop.now() + HOUR

    reading = await look(made(), LIMIT, clock)

    assert {clock.now().timestamp()} == set(shop.instants)
    assert "but the Date header of its responses does not agree" in reading.clock


async def test_without_a_date_the_time_is_believed(made, prometheus, clock):
    """No server has to have one."""
    Shop(prometheus, clock, -HOUR)
    prometheus.date = lambda: None

    assert (await look(made(), LIMIT, clock)).clock == BEHIND


def moment(clock: ManualClock, seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


async def test_what_stable_has_counted_around_the_split(made, prometheus, clock):
    """Is told with the moment of the split by this host's clock."""
    metric = {"preset": {"source": "HTTP", "measure": "ErrorRate"}}
    a_gate = Gate.model_validate({"name": "errors", "metric": metric, "threshold": {"max": 0.05}})
    shop, split_at = Shop(prometheus, clock, -HOUR), moment(clock, -30)

    reading = await made().around(a_gate, NAMES, "abc", clock.now(), split_at)

    assert reading.around is not None
    assert (reading.at, reading.around.since, reading.around.seconds) == (clock.now(), split_at, 30.0)
    assert set(shop.instants) == {shop.now()}
