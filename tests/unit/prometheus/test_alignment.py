"""Counts of both versions, cut at one instant although each process is scraped at instants of its own."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tidegate.judge.histogram import cumulative
from tidegate.prometheus.alignment import LONGEST, PATIENCE, Alignment, Labels, Pace, Rise, Value
from tidegate.prometheus.events import Events

START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
FIFTEEN = timedelta(seconds=15)
INF = float("inf")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def rise(name: str, start: float, end: float, total: float = 100, bad: float = 1) -> Rise:
    return Rise((("pod", name),), at(start), at(end), Events(total, bad))


def pace(newest: float, gap: float | None = 15) -> Pace:
    return Pace(at(newest), None if gap is None else timedelta(seconds=gap))


def begun() -> Alignment:
    alignment = Alignment()
    alignment.begin(at(0))
    return alignment


def totals(values: Iterable[Value]) -> float:
    return sum(value.total for value in values)


class Scrapes:
    """Pods of stable and of the new version, scraped every 15 s at phases of their own, each with 100 requests a scrape."""

    def __init__(self, canary: dict[str, float], stable: dict[str, float]) -> None:
        self.alignment = begun()
        self.phases = {"canary": canary, "stable": stable}
        self.handed: dict[str, float] = {"canary": 0.0, "stable": 0.0}
        self.cuts: list[float] = []

    def look(self, second: float, before: float, *, loud: tuple[float, float] = (0, 0)) -> None:
        """Take in the scrapes since the look before; those of stable fail in half of their requests in an interval."""
        found: dict[str, list[Rise]] = {"canary": [], "stable": []}
        paces: dict[str, list[Pace]] = {"canary": [], "stable": []}
        for version, phases in self.phases.items():
            for name, phase in phases.items():
                number = (second - phase) // 15
                newest = phase + 15 * number
                paces[version].append(pace(newest))
                if newest > before:
                    hit = version == "stable" and newest - 15 < loud[1] and newest > loud[0]
                    found[version].append(rise(name, newest - 15, newest, bad=50 if hit else 1))
        until = self.alignment.take(at(second), found["canary"], found["stable"], paces["canary"], paces["stable"])
        if until > self.alignment.cut:
            for version, values in zip(("canary", "stable"), self.alignment.released(until), strict=True):
                self.handed[version] += totals(values)
            self.cuts.append((until - START).total_seconds())


class TestWaiting:
    """Until when is told by the processes of stable."""

    def test_the_new_version_waits_for_stable(self):
        """Its window that ends after stable's last sample is handed out later."""
        alignment = begun()

        assert alignment.take(at(20), [rise("c", 3, 18)], [rise("s", 0, 10)], [pace(18)], [pace(10)]) == at(10)
        assert alignment.released(at(10)) == ((), (Events(100, 1),))
        assert alignment.take(at(30), [], [rise("s", 10, 25)], [pace(18)], [pace(25)]) == at(25)
        assert alignment.released(at(25)) == ((Events(100, 1),), (Events(100, 1),))

    def test_all_processes_of_stable_are_waited_for(self):
        """The one whose sample is the oldest tells until when."""
        assert begun().take(at(20), [], [], [pace(18)], [pace(10), pace(4), pace(17)]) == at(4)

    def test_one_that_is_late_is_not_waited_for(self):
        """After one and a half of its windows; before that, it is."""
        assert begun().take(at(40), [], [], [pace(38)], [pace(36), pace(15.5)]) == at(15.5)
        assert begun().take(at(40), [], [], [pace(38)], [pace(36), pace(15)]) == at(36)

    def test_one_that_is_gone_is_not_waited_for(self):
        """Where there is none, nobody has to be waited for."""
        assert begun().take(at(40), [rise("c", 23, 38)], [], [pace(38)], []) == at(40)

    def test_no_window_is_waited_for_for_ever(self):
        """However seldom a process was sampled."""
        late = pace(10, gap=3600)

        assert begun().take(at(500), [], [], [pace(500)], [pace(495), late]) == at(495)
        assert late.window == LONGEST

    def test_a_gateway_tells_of_both_at_once(self):
        """Nothing waits, however loud stable is."""
        alignment = begun()
        for end in (10, 25, 40, 55):
            ours, theirs = rise("e", end - 15, end), rise("e", end - 15, end, bad=90)
            until = alignment.take(at(end + 1), [ours], [theirs], [pace(end)], [pace(end)])

            assert until == at(end)
            assert [totals(values) for values in alignment.released(until)] == [100, 100]

    def test_the_last_cut_is_never_undercut(self):
        """A process of stable that comes back with an old sample."""
        alignment = begun()
        alignment.take(at(40), [], [], [pace(38)], [pace(36)])
        alignment.released(at(36))

        assert alignment.take(at(41), [], [rise("t", 0, 30)], [pace(38)], [pace(36), pace(30)]) == at(36)


class TestLoudness:
    """Where stable fails more than usual, nothing is cut."""

    def test_a_cut_is_refused_while_stable_is_loud_nearby(self):
        """The window in which an outage of both lies is handed out whole, for both versions."""
        scrapes = Scrapes({"c": 7}, {"s": 0})
        for second in range(5, 200, 5):
            scrapes.look(second, second - 5, loud=(61, 70))

        # The outage lies in stable's window that ends at 75; the new version's are cut at 75 and at 60.
        assert 75 not in scrapes.cuts
        assert {60, 90} <= set(scrapes.cuts)
        assert scrapes.handed["stable"] == 100 * 13
        assert scrapes.handed["canary"] == 100 * 13

    def test_what_is_loud_for_long_is_cut_all_the_same(self):
        """After some windows of patience."""
        scrapes = Scrapes({"c": 7}, {"s": 0})
        for second in range(5, 400, 5):
            scrapes.look(second, second - 5, loud=(61, 300))

        within = [cut for cut in scrapes.cuts if 75 <= cut <= 300]
        assert within
        gaps = [second - first for first, second in pairwise(scrapes.cuts)]
        assert max(gaps) <= 15 * (PATIENCE + 2)

    def test_what_was_loud_becomes_usual(self):
        """A stable version that fails more from now on does not hold counts back for ever."""
        scrapes = Scrapes({"c": 7}, {"s": 0})
        for second in range(5, 3000, 5):
            scrapes.look(second, second - 5, loud=(61, 3000))

        last = scrapes.cuts[-4:]
        assert [15, 15, 15] == [second - first for first, second in pairwise(last)]

    @pytest.mark.parametrize("bad", [1, 100])
    def test_the_new_version_has_no_say(self, bad):
        """Otherwise the bets would not be fair."""
        alignment = begun()

        assert alignment.take(at(20), [rise("c", 3, 18, bad=bad)], [rise("s", 0, 10)], [pace(18)], [pace(10)]) == at(10)

    def test_slow_requests_are_loud_too(self):
        """Beyond the bound that few exceed as a rule."""
        alignment = begun()

        def latencies(start: float, end: float, fast: float) -> Rise:
            return Rise((("pod", "s"),), at(start), at(end), cumulative({0.1: fast, 1.0: 1000, INF: 1000}))

        for end in range(15, 90, 15):
            alignment.take(at(end), [], [latencies(end - 15, end, 990)], [pace(end + 7)], [pace(end)])
            alignment.released(at(end))

        assert alignment.take(at(90), [rise("c", 82, 97)], [latencies(75, 90, 100)], [pace(97)], [pace(90)]) == at(75)

    def test_an_idle_weekend_changes_nothing(self):
        """After tens of thousands of windows without requests an outage is as loud as before."""
        alignment = begun()
        for number in range(1, 30_000):
            alignment.take(at(number), [], [rise("s", number - 1, number, 0, 0)], [], [pace(number, 1)])
            alignment.released(at(number))

        until = alignment.take(
            at(30_016), [rise("c", 29_999, 30_012)], [rise("s", 29_999, 30_010, bad=90)], [pace(30_012)], [pace(30_010)]
        )
        assert until == at(29_999)


class TestMemory:
    """What is remembered is bounded."""

    def test_windows_that_are_long_ago(self):
        """A stable version that is loud all the time."""
        alignment = begun()
        process: Labels = (("pod", "s"),)
        for number in range(1, 3000):
            value = Events(100, 100 if number % 50 == 0 else 0)
            alignment.take(at(number), [], [Rise(process, at(number - 1), at(number), value)], [], [pace(number, 1)])
            alignment.released(at(number))

        assert len(alignment._loud) <= 4 * LONGEST.total_seconds() / 50 + 1


def test_a_baseline_that_is_taken_anew():
    """What waited is let go of: a warm-up has ended."""
    alignment = begun()
    alignment.take(at(20), [rise("c", 3, 18)], [rise("s", 0, 10)], [pace(18)], [pace(10)])
    alignment.begin(at(21))

    assert alignment.take(at(30), [], [rise("s", 10, 25)], [pace(18)], [pace(25)]) == at(25)
    assert alignment.released(at(25)) == ((), (Events(100, 1),))
