"""Counters are followed within budgets: of a gate, a Release, a namespace, and all together."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.api.gate import Gate
from tidegate.judge.reading import Tally
from tidegate.prometheus.budgets import SERIES, Holder, Holdings, Size, Unread
from tidegate.prometheus.config import Budgets
from tidegate.prometheus.queries import Names
from tidegate.prometheus.reader import Reader
from unit.prometheus.test_counting import NAMES, at, gate

SMALL = Budgets(series_per_gate=10, series_per_release=15, series=40, bytes_per_gate=64 * 1024, bytes_per_release=96 * 1024)


def holder(namespace: str = "shop", release: str = "checkout", gate: str = "errors") -> Holder:
    return Holder(namespace, release, gate)


def series(number: int) -> Size:
    return Size(number, number * SERIES)


class TestHoldings:
    """What one gate may hold depends on what others do."""

    def test_a_gate(self):
        """The reason names the number, the budget and the cure."""
        assert Holdings(SMALL).refusal(holder(), series(11)) == (
            "too much to follow: 11 series, a gate may have 10 (budgets.seriesPerGate): "
            "ask for fewer series, such as sum by (pod) (...)"
        )

    def test_a_release(self):
        """All of its gates together."""
        holdings = Holdings(SMALL)
        holdings.hold(holder(gate="errors"), series(9))

        assert holdings.refusal(holder(gate="latency"), series(6)) == ""
        assert holdings.refusal(holder(gate="latency"), series(7)) == (
            "too much to follow: 7 series beside 9 of others, all gates of a Release may have 15 (budgets.seriesPerRelease): "
            "ask for fewer series, such as sum by (pod) (...), or fewer gates"
        )

    def test_a_namespace_has_half(self):
        """So that there is room for others, however many Releases it has."""
        holdings = Holdings(SMALL)
        for number in range(2):
            holdings.hold(holder(release=f"app-{number}"), series(9))

        assert "all Releases of a namespace may have 20 (budgets.series, half of it)" in holdings.refusal(
            holder(release="app-2"), series(3)
        )
        assert holdings.refusal(holder("other"), series(10)) == ""

    def test_all_together(self):
        """And it says so in numbers, and nobody's name."""
        holdings = Holdings(SMALL)
        for namespace in ("a", "b", "c", "d"):
            holdings.hold(holder(namespace), series(9))

        refusal = holdings.refusal(holder("e"), series(5))

        assert refusal.startswith(
            "too much to follow: 5 series beside 36 of others, all Releases together may have 40 (budgets.series)"
        )

    def test_bytes(self):
        """A histogram of many buckets is one series, and large."""
        assert Holdings(SMALL).refusal(holder(), Size(1, 96 * 1024)) == (
            "too much to follow: 0.1 MiB of counters, a gate may have 0.1 MiB (budgets.bytesPerGate): "
            "ask for fewer series, such as sum by (pod) (...)"
        )

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(*[st.integers(0, 2)] * 3, st.integers(0, 12), st.booleans()), max_size=60))
    def test_no_sum_ever_exceeds_its_budget(self, story):
        """Whatever comes and goes; and what is forgotten is free again."""
        holdings, held = Holdings(SMALL), dict[Holder, int]()
        for namespace, release, number, wanted, forgotten in story:
            one = holder(f"n{namespace}", f"r{release}", f"g{number}")
            if forgotten:
                holdings.forget(*one[:2])
                held = {other: size for other, size in held.items() if other[:2] != one[:2]}
            elif not holdings.refusal(one, series(wanted)):
                assert wanted <= holdings.room(one).series
                holdings.hold(one, series(wanted))
                held[one] = wanted

            def total(*group: str, held: dict[Holder, int] = held) -> int:
                return sum(size for other, size in held.items() if other[: len(group)] == group)

            assert holdings.total.series == total() <= 40
            assert all(total(*one[:1]) <= 20 and total(*one[:2]) <= 15 and total(*one) <= 10 for one in held)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10)), max_size=60), st.integers(1, 10))
    def test_a_namespace_that_has_nothing_finds_room(self, story, wanted):
        """Unless two others have everything."""
        holdings = Holdings(SMALL)
        for release, size in story:
            one = holder("greedy", f"r{release}")
            if not holdings.refusal(one, series(size)):
                holdings.hold(one, series(size))

        assert holdings.refusal(holder("other"), series(wanted)) == ""


class TestUnread:
    """What is read at the same time is bounded, over all threads."""

    def test_who_has_to_wait_gives_up_in_time(self):
        """And says so."""
        unread = Unread(100)
        with unread.given_back():
            unread.take(80, time.monotonic())
            failed = []

            def other() -> None:
                with unread.given_back():
                    try:
                        unread.take(30, time.monotonic())
                    except TimeoutError:
                        failed.append(True)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            assert failed == [True]
            assert unread.held == 80
        assert unread.held == 0

    def test_whoever_waits_is_told(self):
        """As soon as somebody has read."""
        unread, taken, began = Unread(100), threading.Event(), threading.Event()

        def other() -> None:
            with unread.given_back():
                began.set()
                unread.take(100, time.monotonic() + 60)
                taken.set()

        thread = threading.Thread(target=other)
        with unread.given_back():
            unread.take(60, time.monotonic())
            thread.start()
            began.wait(60)
            assert not taken.is_set()
            unread.take(10, time.monotonic())
            assert unread.held == 10
        assert taken.wait(60)
        thread.join()
        assert unread.held == 0

    def test_one_that_is_larger_than_all_is_read_alone(self):
        """It does not wait for ever."""
        unread = Unread(100)
        with unread.given_back():
            unread.take(1000, time.monotonic())
            assert unread.held == 100


class Clock:
    """Monotonic seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Crowd:
    """A reader with small budgets, before a Prometheus whose counters have as many series as the test says."""

    def __init__(self, prometheus, connect, budgets: Budgets = SMALL) -> None:
        self.prometheus, self.clock = prometheus, Clock()
        self.reader = Reader({"default": connect(prometheus.address)}, collecting=0.001, budgets=budgets, clock=self.clock)

    def says(self, value: int, **pods: int) -> None:
        """Let counters have so many series, each with this value."""
        for query, many in pods.items():
            found = [{"metric": {"pod": f"{query.split('_')[0]}-{pod}"}, "value": [0, str(value)]} for pod in range(many)]
            self.prometheus.gives(found, to=query)

    def asked(self) -> int:
        """How many queries there were since this was asked last."""
        asked = len(self.prometheus.parameters)
        self.prometheus.parameters.clear()
        return asked


@pytest.fixture
def crowd(prometheus, connect):
    made = Crowd(prometheus, connect)
    yield made
    made.reader.close()


def names(release: str) -> Names:
    return Names("shop", release, release, f"{release}-stable", f"{release}-canary", "s", "c", 80)


class TestReader:
    """Beyond its budget a gate is Undecided, and says why."""

    async def test_too_many_series_of_one_query(self, crowd):
        """They are counted in the thread that asks, and nothing of them is kept."""
        crowd.says(1, canary_total=11, canary_bad=0, stable_total=1, stable_bad=0)

        trouble = await crowd.reader.prime(gate(), NAMES, "abc", at(0))

        assert trouble == "the query gave 11 series, at most 10 are followed (budgets.seriesPerGate): sum by (pod) (...)"
        assert crowd.reader.holdings.total == (0, 0)
        assert not crowd.reader.primed(gate(), NAMES, "abc")

    async def test_too_many_of_both_versions(self, crowd):
        """A gate is one, whatever it compares."""
        crowd.says(1, canary_total=6, canary_bad=0, stable_total=6, stable_bad=0)

        trouble = await crowd.reader.prime(gate(), NAMES, "abc", at(0))

        assert trouble.startswith("too much to follow: 12 series, a gate may have 10 (budgets.seriesPerGate)")

    async def test_a_gate_that_grows_says_so_and_goes_on_when_it_has_shrunk(self, crowd):
        """Nothing is lost: what was counted meanwhile is in the look that comes through. Nor is it asked for in between."""
        crowd.says(100, canary_total=2, canary_bad=0, stable_total=2, stable_bad=0)
        assert await crowd.reader.prime(gate(), NAMES, "abc", at(0)) == ""
        crowd.says(110, canary_total=30)
        grown = await crowd.reader.read(gate(), NAMES, "abc", at(10))
        crowd.says(150, canary_total=2, stable_total=2)
        crowd.asked()

        crowd.clock.now = 59.0
        again = await crowd.reader.read(gate(), NAMES, "abc", at(20))
        assert crowd.asked() == 0
        crowd.clock.now = 61.0
        shrunk = await crowd.reader.read(gate(), NAMES, "abc", at(70))

        assert grown.trouble == again.trouble
        assert grown.trouble.startswith("the query gave 30 series, at most 10 are followed")
        assert grown.counts is None
        assert shrunk.counts is not None
        assert shrunk.counts.since == at(0)
        assert shrunk.counts.canary == Tally(100.0, 0.0)

    async def test_another_metric_is_asked_at_once(self, crowd):
        """Who has mended the policy does not wait."""
        crowd.says(1, canary_total=11, canary_bad=0, stable_total=1, stable_bad=0, canary_sum=1)
        assert await crowd.reader.prime(gate(), NAMES, "abc", at(0))
        pair = {"bad": "canary_bad", "total": "canary_sum"}
        mended = {"counters": {"canary": pair, "stable": {"bad": "stable_bad", "total": "stable_total"}}}

        assert await crowd.reader.prime(gate(metric=mended), NAMES, "abc", at(1)) == ""

    async def test_all_gates_of_a_release(self, crowd):
        """Those that came first count on; the room of one that is gone is free again."""
        crowd.says(1, canary_total=5, canary_bad=0, stable_total=5, stable_bad=0)
        for number in range(2):
            told = await crowd.reader.prime(gate(name=f"g{number}"), NAMES, "abc", at(0))
        assert "10 series beside 10 of others, all gates of a Release may have 15 (budgets.seriesPerRelease)" in told
        assert (await crowd.reader.read(gate(name="g0"), NAMES, "abc", at(10))).counts is not None

        crowd.reader.forget("shop", "checkout")

        assert crowd.reader.holdings.total == (0, 0)
        assert await crowd.reader.prime(gate(name="g1"), NAMES, "abc", at(20)) == ""

    async def test_pods_that_come_and_go_stay_within_the_budget(self, crowd):
        """The oldest of those that are gone are forgotten first."""
        crowd.says(1, canary_total=4, canary_bad=0, stable_total=4, stable_bad=0)
        assert await crowd.reader.prime(gate(), NAMES, "abc", at(0)) == ""
        for look in range(1, 6):
            pods = [{"metric": {"pod": f"c-{look}-{pod}"}, "value": [0, "5"]} for pod in range(5)]
            crowd.prometheus.gives(pods, to="canary_total")
            assert (await crowd.reader.read(gate(), NAMES, "abc", at(10 * look))).trouble == ""

        assert crowd.reader.holdings.total.series <= 10

    async def test_others_are_not_concerned(self, crowd):
        """However much one asks for."""
        crowd.says(1, canary_total=30, canary_bad=0, stable_total=1, stable_bad=0)
        assert await crowd.reader.prime(gate(), NAMES, "abc", at(0))
        crowd.says(1, canary_total=2)

        assert await crowd.reader.prime(gate(), names("other"), "abc", at(1)) == ""

    async def test_latencies_are_reckoned_by_their_buckets(self, prometheus, connect):
        """One series each, but many numbers."""
        crowd = Crowd(prometheus, connect, Budgets(bytes_per_gate=64 * 1024, bytes_per_release=64 * 1024))
        latency = Gate.model_validate(
            {"name": "slow", "metric": {"preset": {"source": "HTTP", "measure": "Latency"}}, "threshold": {"max": 1}}
        )
        edges = [*(str(edge / 10) for edge in range(40)), "+Inf"]
        prometheus.gives(
            [{"metric": {"pod": f"p{pod}", "le": edge}, "value": [0, "1"]} for pod in range(30) for edge in edges],
        )

        trouble = await crowd.reader.prime(latency, NAMES, "abc", at(0))
        crowd.reader.close()

        assert trouble.startswith("too much to follow: ")
        assert "of counters, a gate may have" in trouble
        assert "(budgets.bytesPerGate)" in trouble
