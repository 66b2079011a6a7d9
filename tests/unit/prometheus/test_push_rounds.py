"""What is pushed is counted once or not at all: in pieces, late, twice, by several readers, and across restarts."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.push import Push
from tidegate.prometheus.config import PushedConfig
from tidegate.prometheus.direct.followed import Round
from tidegate.prometheus.direct.text import Series as Wishes
from tidegate.prometheus.push import intake
from tidegate.prometheus.push.counting import GRACE
from tidegate.prometheus.push.intake import LOST, Intake
from tidegate.prometheus.push.request import Found, Message, read
from tidegate.prometheus.push.rounds import Fate, Pushes
from tidegate.runtime.clock import ManualClock
from unit.prometheus.direct_pages import wanted
from unit.prometheus.pushed import STALE, Native, Series, v2

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD = "2026-01-01T11:00:00Z"


def pod(name: str, started: str | None = OLD) -> dict[str, Any]:
    """Return a pod as the lane has it."""
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "phase": "Running", "started": started}


class Shop:
    """A Release whose pods somebody scrapes every 15 s and pushes, one process each."""

    def __init__(self, *wishes: Any, per_pod: int = 100) -> None:
        self.clock = ManualClock(START)
        self.intake = Intake(self.clock)
        self.wishes = wishes or (wanted(),)
        self.pushes = Pushes(self.intake, "shop", Push(), PushedConfig(series_per_pod=per_pod), self.clock)
        self.listed([pod("c")], [pod("s")])
        self.fates: Counter[Fate] = Counter()
        self.pages: list[Round] = []

    def listed(self, canary: list[dict[str, Any]], stable: list[dict[str, Any]]) -> None:
        self.pushes.listed(Wishes(self.wishes), canary, stable)

    def push(self, *some: Series, sender: str = "agent", namespaces: Iterable[str] = ("shop",)) -> None:
        """Push series, as one request."""
        found = Found()
        for _ in read(Message.V2, v2(*some), self.intake.names(), found):
            pass
        for _ in self.intake.take(sender, frozenset(namespaces), found.series, self.fates):
            pass

    def at(self, seconds: float) -> int:
        """Return a time as samples have it."""
        return int((START.timestamp() + seconds) * 1000)

    def counter(self, seconds: float, value: float | bytes, code: str = "200", **labels: str) -> Series:
        """Return a sample of the counter of requests of the new version's pod."""
        named = {"__name__": "http_requests_total", "namespace": "shop", "pod": "c", "code": code} | labels
        return Series({name: text for name, text in named.items() if text}, [(self.at(seconds), value)])

    def birth(self, seconds: float, value: float) -> Series:
        labels = {"__name__": "process_start_time_seconds", "namespace": "shop", "pod": "c"}
        return Series(labels, [(self.at(seconds), START.timestamp() + value)])

    def round(self, seconds: float) -> Round:
        """Let the time be so many seconds after the start, and return what is new."""
        self.clock.advance(seconds - (self.clock.now() - START).total_seconds())
        found = asyncio.run(self.pushes.round())
        self.pages.append(found)
        return found

    def scrape(self, seconds: float, good: float, bad: float | None = None, **labels: str) -> Round:
        """Push what a scrape has found, and return what is new after it."""
        self.clock.advance(max(0.0, seconds - (self.clock.now() - START).total_seconds()))
        codes = {"200": good} | ({} if bad is None else {"500": bad})
        self.push(*(self.counter(seconds, value, code, **labels) for code, value in codes.items()))
        return self.round(seconds + GRACE)

    def counts(self) -> list[tuple[float, float | None]]:
        """Return what pages of the new version said, one after the other."""
        return [one.page.counted[self.wishes[0]].events for found in self.pages for one in found.canary]


def test_scrapes_become_pages_with_their_times() -> None:
    """What a scrape has found is a page of that time; of the first one all is counted from."""
    shop = Shop()
    found = shop.scrape(1, 100, 5)
    shop.scrape(16, 120, 9)

    assert shop.counts() == [(105, 5), (129, 9)]
    (page,) = found.canary
    assert page.at == START + timedelta(seconds=1)
    assert page.target.pod == "c"
    assert (found.missed, [one.words for one in found.missed_stable]) == ([], ["no sample of it has been pushed yet"])


def test_nothing_is_said_twice() -> None:
    """Without a newer sample there is no page."""
    shop = Shop()
    shop.scrape(1, 100)
    assert shop.round(12).canary == []


def test_series_of_one_scrape_come_apart() -> None:
    """A page waits until all series that are known have a sample of its time, whichever request brings it."""
    shop = Shop()
    shop.scrape(1, 100, 5)
    shop.clock.advance(10)
    shop.push(shop.counter(16, 110))
    assert shop.round(18).canary == []
    shop.push(shop.counter(16, 25, "500"))
    shop.round(19)
    assert shop.counts() == [(105, 5), (135, 25)]


def test_series_that_is_late_counts_later() -> None:
    """After a while a series that is missing is not waited for; it has counted nothing until it comes, and then all of it."""
    shop = Shop()
    shop.scrape(1, 100, 5)
    shop.scrape(16, 110)
    shop.push(shop.counter(16, 25, "500"))
    shop.scrape(31, 120, 26)
    assert shop.counts() == [(105, 5), (115, 5), (146, 26)]


def test_half_of_the_first_scrape_is_no_beginning() -> None:
    """A series that is met with the second scrape may have been there before anybody listened: it does not count whole."""
    shop = Shop()
    shop.scrape(1, 100)
    shop.scrape(16, 110, 5000)
    shop.scrape(31, 120, 5003)
    assert shop.counts() == [(100, None), (110, 0), (123, 3)]


def test_first_errors_count() -> None:
    """A series that is new from the third scrape on began there, and counts whole."""
    shop = Shop()
    shop.scrape(1, 100)
    shop.scrape(16, 110)
    shop.scrape(31, 120, 30)
    assert shop.counts()[-1] == (150, 30)


def test_young_process_has_no_past() -> None:
    """Of a process that began when somebody listened already, a series that is new with the second scrape counts whole."""
    shop = Shop()
    shop.listed([pod("c", "2026-01-01T12:00:05Z")], [])
    shop.scrape(10, 100)
    shop.scrape(25, 110, 40)
    assert shop.counts() == [(100, None), (150, 40)]


def test_what_may_have_been_lost_is_not_counted_whole() -> None:
    """Once a request of its sender was refused, a series that is new may have been in that."""
    shop = Shop()
    shop.scrape(1, 100)
    shop.scrape(16, 110)
    shop.intake.lose("agent")
    shop.scrape(31, 120, 3000)
    shop.scrape(46, 130, 3001)
    assert shop.counts()[-1] == (131, 1)
    shop.scrape(46 + LOST, 140, 3001)
    shop.scrape(61 + LOST, 140, 3001)
    shop.push(shop.counter(76 + LOST, 150), shop.counter(76 + LOST, 7, "503"))
    shop.round(105 + LOST)
    assert shop.counts()[-1] == (158, 8)


def test_doubts_of_one_namespace_are_its_own() -> None:
    """What a pod of another namespace exposes takes nothing from a version here: its first errors count whole all the same."""
    shop = Shop()
    other = Pushes(shop.intake, "other", Push(), PushedConfig(), shop.clock)
    other.listed(Wishes(shop.wishes), [pod("c")], [])
    none = shop.counter(0, math.nan, namespace="other")
    for number in range(3):
        shop.push(none)
        shop.scrape(1 + 15 * number, 100)
    shop.push(none)
    shop.scrape(46, 150, 50)
    assert shop.counts()[-1] == (200, 50)


def test_first_scrape_after_a_gap_is_no_beginning() -> None:
    """Prometheus has judged what came meanwhile, and of the first scrape afterwards a part may be lost."""
    shop = Shop()
    for number in range(4):
        shop.scrape(1 + 15 * number, 100)
    shop.scrape(1200, 900)
    shop.scrape(1215, 900, 401)
    shop.scrape(1230, 900, 403)
    assert [bad for _, bad in shop.counts()[-3:]] == [None, 0, 2]


def test_restart_is_told_series_by_series() -> None:
    """A counter that fell began again: what others have counted meanwhile is neither lost nor counted twice."""
    shop = Shop()
    shop.scrape(1, 1000, 50)
    shop.scrape(16, 1010, 50)
    shop.scrape(31, 7, 2)
    assert shop.counts() == [(1050, 50), (1060, 50), (1069, 52)]


def test_restart_that_has_caught_up_is_told_by_its_start() -> None:
    """A process that says that it started later has counted all that it says, even where that is more than before."""
    shop = Shop()
    for seconds, value, birth in ((1, 5, -100), (16, 6, -100), (31, 8, 20)):
        shop.push(shop.birth(seconds, birth))
        shop.scrape(seconds, value)
    assert shop.counts() == [(5, None), (6, None), (14, None)]


def test_start_of_a_series_tells_as_well() -> None:
    """So does the time since which a series says that it counts."""
    shop = Shop()
    labels = {"__name__": "http_requests_total", "namespace": "shop", "pod": "c", "code": "200"}
    for seconds, value, start in ((1, 5.0, -100), (16, 6.0, -100), (31, 8.0, 20)):
        shop.push(Series(labels, [(shop.at(seconds), value, shop.at(start))]))
        shop.round(seconds + GRACE)
    assert shop.counts() == [(5, None), (6, None), (14, None)]


def test_end_of_a_series_takes_nothing_away() -> None:
    """A series that is said to be over is not waited for, and what it counted stays; if it goes on, it goes on from there."""
    shop = Shop()
    shop.scrape(1, 100, 5)
    shop.clock.advance(9)
    shop.push(shop.counter(16, 110), shop.counter(16, STALE, "500"))
    shop.round(17)
    shop.clock.advance(14)
    shop.push(shop.counter(31, 120))
    shop.round(32)
    shop.scrape(46, 130, 8)
    assert shop.counts() == [(105, 5), (115, 5), (125, 5), (138, 8)]


def test_process_that_says_only_that_it_is_there_has_counted_nothing() -> None:
    """A process that has told its start, and no requests, has had none: its page is there, without the series."""
    shop = Shop()
    shop.push(shop.birth(1, -100))
    (page,) = shop.round(1 + GRACE).canary
    assert not page.page.counted[wanted()].found


def test_samples_that_come_twice_count_once() -> None:
    """A request that is sent again, or out of order, adds nothing."""
    shop = Shop()
    shop.scrape(1, 100, 5)
    shop.push(shop.counter(1, 100), shop.counter(-14, 90))
    shop.scrape(16, 120, 5)
    shop.push(shop.counter(16, 120), shop.counter(16, 90))
    shop.scrape(31, 130, 5)
    assert shop.counts() == [(105, 5), (125, 5), (135, 5)]


@pytest.mark.parametrize("label", ["__replica__", "prometheus_replica", "replica", "job", "prometheus"])
def test_one_of_several_readers_is_listened_to(label: str) -> None:
    """Of two replicas that scrape a pod one is counted; the other takes over once the first is silent, from where that was."""
    shop = Shop()
    for seconds in (1, 16, 31):
        shop.push(shop.counter(seconds, 100 + seconds, **{label: "a"}), shop.counter(seconds - 0.5, 99 + seconds, **{label: "b"}))
        shop.round(seconds + GRACE)
    assert shop.counts() == [(101, None), (116, None), (131, None)]
    assert shop.fates == {Fate.TAKEN: 3, Fate.COPY: 3}

    shop.scrape(46, 146, **{label: "b"})
    assert len(shop.counts()) == 3
    shop.scrape(76, 176, **{label: "b"})
    shop.scrape(91, 191, **{label: "b"})
    assert shop.counts()[-1] == (191, None)


def test_two_senders_are_two_readers() -> None:
    """Two that push the same series without any label between them are told apart by who they are."""
    shop = Shop()
    shop.scrape(1, 100)
    shop.push(shop.counter(2, 50), sender="other")
    shop.scrape(16, 120)
    assert shop.counts() == [(100, None), (120, None)]
    assert shop.fates[Fate.COPY] == 1


def test_readers_that_no_label_tells_apart_are_told() -> None:
    """Where two scrape a pod under labels of their own, its series never come together: it is not judged, and the cure is named."""
    shop = Shop()
    for number in range(16):
        shop.scrape(1 + 15 * number, 100 + number, site="a")
        shop.push(shop.counter(8 + 15 * number, 100 + number, site="b"))
    found = shop.round(16 * 15 + 14)
    assert found.canary == []
    assert next(one.words for one in found.missed).endswith("give each an external label __replica__")


def test_clocks_of_readers_that_differ_make_no_restart() -> None:
    """A counter that is a little lower a moment later was read by another clock: it did not begin again."""
    shop = Shop()
    shop.scrape(1, 1000)
    shop.scrape(16, 1010)
    shop.scrape(18, 1005)
    shop.scrape(31, 1020)
    assert shop.counts()[-1] == (1020, None)


def test_processes_of_one_pod_are_pages_of_their_own() -> None:
    """Containers of one pod that are scraped at two ports are two processes."""
    shop = Shop()
    shop.push(shop.counter(1, 10, instance="10.0.0.1:80"), shop.counter(2, 1000, instance="10.0.0.1:81"))
    found = shop.round(2 + GRACE)
    assert sorted(one.page.counted[wanted()].events.total for one in found.canary) == [10, 1000]
    assert len({one.target.uid for one in found.canary}) == 2


def test_other_namespaces_and_pods_are_nobodys() -> None:
    """A sender is believed for its namespaces alone, and for pods that the Release's versions have."""
    shop = Shop()
    shop.push(shop.counter(0, 1, namespace="bank"))
    shop.push(shop.counter(0, 1), namespaces=("bank",))
    shop.push(shop.counter(0, 1, pod="d"), shop.counter(0, 1, pod=""))
    found = shop.round(GRACE)
    assert (found.canary, found.stable) == ([], [])
    assert shop.fates == {Fate.NAMESPACE: 2, Fate.UNWANTED: 2}


def test_labels_that_name_two_pods_name_none() -> None:
    """What a program says of itself makes its samples no other pod's, whichever of the labels it can choose."""
    shop = Shop(wanted("OpenTelemetry"))
    own = {"k8s_namespace_name": "shop", "k8s_pod_name": "c", "http_response_status_code": "500"}
    named = {"__name__": "http_server_request_duration_seconds_count"} | own
    shop.push(Series({**named, "namespace": "shop", "pod": "s"}, [(shop.at(0), 7.0)]))
    found = shop.round(GRACE)
    assert (found.canary, found.stable) == ([], [])
    assert shop.fates == {Fate.NAMESPACE: 1}
    shop.push(Series({**named, "namespace": "shop", "pod": "c"}, [(shop.at(5), 7.0)]))
    assert len(shop.round(12 + GRACE).canary) == 1
    shop.push(Series(named, [(shop.at(20), 7.0)]))
    assert len(shop.round(20 + 2 * GRACE).canary) == 1


@pytest.mark.parametrize(
    ("seconds", "value", "fate"),
    [
        (-121, 1.0, Fate.LATE),
        (16, 1.0, Fate.FUTURE),
        (0, -1.0, Fate.INVALID),
        (0, math.nan, Fate.INVALID),
        (0, math.inf, Fate.INVALID),
    ],
)
def test_samples_that_are_none(seconds: float, value: float, fate: Fate) -> None:
    """Samples that are too old, of the future, or no counters are left out, and what their sender sends next may lack them."""
    shop = Shop()
    shop.push(shop.counter(seconds, value))
    assert shop.fates == {fate: 1}
    assert shop.round(GRACE).canary == []


def test_pod_with_too_many_series_is_not_judged() -> None:
    """Of a pod of which some series are left out nobody knows the share of bad requests."""
    shop = Shop(per_pod=2)
    shop.push(*(shop.counter(0, 1, code) for code in ("200", "500", "503")))
    found = shop.round(GRACE)
    assert found.canary == []
    assert [one.words for one in found.missed] == ["more of the wanted series are pushed for it than are taken (push.seriesPerPod)"]


def test_pod_with_too_many_buckets_is_not_judged() -> None:
    """Buckets of native histograms are bounded as well: one with many of them is left out, and one with few is not."""
    few, many = Shop(TAIL, per_pod=10), Shop(TAIL, per_pod=10)
    labels = {"__name__": "http_request_duration_seconds", "namespace": "shop", "pod": "c"}
    for shop, buckets in ((few, 20), (many, 60)):
        native = Native(shop.at(0), 3, {2 * place: 1 for place in range(buckets // 2)})
        shop.push(Series(labels, histograms=[native.message]))
    words = "more of the wanted series are pushed for it than are taken (push.seriesPerPod)"
    assert [len(shop.round(GRACE).canary) for shop in (few, many)] == [1, 0]
    assert [[one.words for one in shop.pages[0].missed] for shop in (few, many)] == [[], [words]]


def test_all_rollouts_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what is remembered is one namespace's, whoever pushes how much; what pods have held that are gone is free again."""
    monkeypatch.setattr(intake, "MOST_HELD", 4)
    shop = Shop()
    shop.push(*(shop.counter(0, 1, code) for code in ("200", "500", "503")))
    found = shop.round(GRACE)
    assert found.canary == []
    assert [one.words for one in found.missed] == [
        "more series are pushed for all rollouts, or for those of its namespace, than are remembered"
    ]
    assert shop.intake.held == 2
    shop.listed([pod("d")], [])
    assert shop.intake.held == 0
    shop.push(shop.counter(10, 1, pod="d"))
    assert (len(shop.round(10 + GRACE).canary), shop.intake.held) == (1, 1)
    shop.pushes.close()
    assert shop.intake.held == 0


def test_silent_pod_is_told() -> None:
    """A pod of which no sample came for two intervals and more is named."""
    shop = Shop()
    shop.scrape(1, 100)
    assert [one.words for one in shop.round(50).missed] == ["no sample of it was pushed for 49s"]


def test_nobody_wants_anything_once_it_is_over() -> None:
    """Names are wanted while a rollout is on, and nothing is kept after it."""
    shop = Shop()
    assert shop.intake.names() == {b"http_requests_total", b"process_start_time_seconds"}
    shop.pushes.close()
    assert (shop.intake.names(), shop.intake.wanting) == (frozenset(), 0)
    shop.push(shop.counter(0, 1))
    assert shop.fates == {}


TAIL = wanted(measure="Tail")


def buckets(shop: Shop, seconds: float, counts: dict[str, float]) -> list[Series]:
    labels = {"__name__": "http_request_duration_seconds_bucket", "namespace": "shop", "pod": "c"}
    return [Series({**labels, "le": edge}, [(shop.at(seconds), value)]) for edge, value in counts.items()]


def test_classic_histograms_are_put_together() -> None:
    """A histogram counts once all its buckets are there; half of one is left for the next time."""
    shop = Shop(TAIL)
    shop.push(*buckets(shop, 1, {"0.1": 10, "1": 15, "+Inf": 20}))
    shop.round(1 + GRACE)
    shop.push(*buckets(shop, 16, {"0.1": 20, "+Inf": 40}))
    shop.round(16 + GRACE)
    shop.push(*buckets(shop, 31, {"0.1": 20, "1": 45, "+Inf": 60}))
    shop.round(31 + GRACE)
    found = [one.page.counted[TAIL].histogram for found in shop.pages for one in found.canary]
    assert [None if one is None else (one.up_to(0.1), one.up_to(1.0), one.total) for one in found] == [
        (10, 15, 20),
        (10, 15, 20),
        (20, 45, 60),
    ]


def test_native_histograms_are_added_up() -> None:
    """So do native ones, whose increase is counted when they began again."""
    shop = Shop(TAIL)
    labels = {"__name__": "http_request_duration_seconds", "namespace": "shop", "pod": "c"}
    for seconds, slow in ((1, 5), (16, 9), (31, 2)):
        native = Native(shop.at(seconds), 0, {0: 10 if slow > 2 else 1, 2: slow})
        shop.push(Series(labels, histograms=[native.message]))
        shop.round(seconds + GRACE)
    found = [one.page.counted[TAIL].histogram for found in shop.pages for one in found.canary]
    assert [None if one is None else (one.up_to(1.0), one.total) for one in found] == [(10, 15), (10, 19), (11, 22)]


def test_histogram_in_both_shapes_counts_once() -> None:
    """Where a histogram is pushed as native and as classic buckets, the shape that comes first is counted."""
    events = wanted("OpenTelemetry")
    shop = Shop(events)
    labels = {
        "__name__": "http_server_request_duration_seconds",
        "namespace": "shop",
        "pod": "c",
        "http_response_status_code": "200",
    }
    for seconds in (1, 16):
        both = [
            Series(labels | {"__name__": f"{labels['__name__']}_count"}, [(shop.at(seconds), 10.0 * seconds)]),
            Series(labels, histograms=[Native(shop.at(seconds), 0, {0: 10 * seconds}).message]),
        ]
        shop.push(*both)
        shop.round(seconds + GRACE)
    assert shop.counts() == [(10, None), (160, None)]


@given(st.data())
def test_nothing_counts_more_than_it_happened(data: st.DataObject) -> None:
    """However scrapes are cut into requests, delayed, doubled or left out, pages never fall and never tell more than the truth."""
    shop = Shop()
    truth, sent = {"200": 0.0, "500": 0.0}, [0.0]
    shop.scrape(1, 0, 0)
    for number in range(1, 8):
        seconds = 1 + 15 * number
        for code in truth:
            truth[code] += data.draw(st.integers(0, 50))
        sent.append(sum(truth.values()))
        shop.clock.advance(max(0.0, seconds - (shop.clock.now() - START).total_seconds()))
        for code in data.draw(st.permutations(sorted(truth))):
            for _ in range(data.draw(st.integers(0, 2))):
                shop.push(shop.counter(seconds, truth[code], code))
            shop.round((shop.clock.now() - START).total_seconds() + data.draw(st.integers(0, 7)))
    shop.scrape(200, truth["200"], truth["500"])
    totals = [total for total, _ in shop.counts()]
    assert totals == sorted(totals)
    assert totals[-1] == sum(truth.values())
    assert all(total <= sent[-1] for total in totals)
