"""Windows against a calendar that is counted minute by minute, over the nights on which clocks change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.api.windows import Denial, Recurrence, Windows
from tidegate.governance import windows as windows_module
from tidegate.governance.windows import MOST_TICKS, State, WindowError, check, closed, state

ZONES = (
    "Europe/Berlin",
    "Australia/Lord_Howe",  # half an hour
    "Asia/Beirut",  # at midnight
    "America/Havana",  # at midnight, and back at 01:00
    "America/Nuuk",  # on Saturday evening
    "Africa/Cairo",  # on Friday's midnight
    "Africa/Casablanca",  # for Ramadan, the other way round
    "Antarctica/Troll",  # two hours
    "Asia/Gaza",
    "UTC",
)
MINUTE = timedelta(minutes=1)
AROUND = 6 * 24 * 60


@lru_cache
def changes(zone: str) -> tuple[datetime, ...]:
    """Instants at which clocks of a zone change, from 2024 to 2029, and one at which none does."""
    place, at = ZoneInfo(zone), datetime(2024, 1, 1, tzinfo=UTC)
    found = [datetime(2026, 7, 1, 10, tzinfo=UTC)]
    while at.year < 2030:
        following = at + timedelta(hours=1)
        if at.astimezone(place).utcoffset() != following.astimezone(place).utcoffset():
            found.append(following)
        at = following
    return tuple(found)


@dataclass(frozen=True)
class Span:
    """What the clock of a place shows, minute by minute: the definition of begin and end in nothing but what people see."""

    start: datetime
    shown: tuple[datetime, ...]
    latest: tuple[datetime, ...]
    earliest: tuple[datetime, ...]

    def begin(self, wall: datetime) -> int:
        """The first minute at which the clock shows the time, or a later one."""
        return bisect_left(self.latest, wall)

    def end(self, wall: datetime) -> int:
        """The first minute from which on the clock never shows an earlier time again."""
        return bisect_left(self.earliest, wall)


@lru_cache
def span(zone: str, middle: datetime) -> Span:
    start, place = middle - AROUND * MINUTE, ZoneInfo(zone)
    shown = tuple((start + n * MINUTE).astimezone(place).replace(tzinfo=None, fold=0) for n in range(2 * AROUND))
    return Span(start, shown, tuple(accumulate(shown, max)), tuple(accumulate(reversed(shown), min))[::-1])


@dataclass(frozen=True)
class Field:
    """A field of an expression, with the numbers that it stands for."""

    text: str
    values: frozenset[int]


def fields(low: int, high: int) -> st.SearchStrategy[Field]:
    one = st.integers(low, high)
    steps = st.integers(1, 20).map(lambda n: Field(f"*/{n}", frozenset(range(low, high + 1, n))))
    ranges = st.tuples(one, one).map(lambda ends: Field(f"{min(ends)}-{max(ends)}", frozenset(range(min(ends), max(ends) + 1))))
    lists = st.sets(one, min_size=1, max_size=4).map(lambda each: Field(",".join(map(str, sorted(each))), frozenset(each)))
    return st.one_of(st.just(Field("*", frozenset(range(low, high + 1)))), lists, ranges, steps)


@dataclass(frozen=True)
class Cron:
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        return " ".join(field.text for field in (self.minute, self.hour, self.day, self.month, self.weekday))

    def on(self, day: datetime) -> bool:
        days = day.day in self.day.values, (day.weekday() + 1) % 7 in {one % 7 for one in self.weekday.values}
        both = self.day.text.startswith("*") or self.weekday.text.startswith("*")
        return day.month in self.month.values and (all(days) if both else any(days))

    def times(self, first: datetime, last: datetime) -> Iterator[datetime]:
        day = first.replace(hour=0, minute=0)
        while day <= last:
            if self.on(day):
                for hour in sorted(self.hour.values):
                    yield from (day.replace(hour=hour, minute=minute) for minute in sorted(self.minute.values))
            day += timedelta(days=1)


CRONS = st.builds(
    Cron,
    fields(0, 59),
    fields(0, 23),
    fields(1, 31),
    st.just(Field("*", frozenset(range(1, 13)))),
    fields(0, 7),
)
LENGTHS = st.one_of(st.integers(1, 90), st.sampled_from((60, 480, 1440, 2880))).map(lambda minutes: minutes * MINUTE)
RULES = st.lists(st.tuples(CRONS, LENGTHS), max_size=2)


def open_minutes(there: Span, allow: list[tuple[Cron, timedelta]], deny: list[tuple[Cron, timedelta]]) -> list[bool]:
    """Whether each minute is open, counted."""

    def covered(rules: list[tuple[Cron, timedelta]]) -> list[bool]:
        marks = [0] * (len(there.shown) + 1)
        for cron, length in rules:
            for wall in cron.times(there.shown[0] - timedelta(days=3), there.shown[-1]):
                begin, end = there.begin(wall), there.end(wall + length)
                if begin < end:
                    marks[begin] += 1
                    marks[end] -= 1
        return [count > 0 for count in accumulate(marks[:-1])]

    yes, no = covered(allow), covered(deny)
    return [(one or not allow) and not other for one, other in zip(yes, no, strict=True)]


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, datetime, list[tuple[Cron, timedelta]], list[tuple[Cron, timedelta]], int, int]:
    zone = draw(st.sampled_from(ZONES))
    middle = draw(st.sampled_from(changes(zone)))
    allow, deny = draw(RULES), draw(RULES)
    near = draw(st.one_of(st.integers(-200, 200), st.integers(-2 * 24 * 60, 2 * 24 * 60)))
    return zone, middle, allow, deny, AROUND + near, draw(st.integers(0, 59))


def windows(zone: str, allow: list[tuple[Cron, timedelta]], deny: list[tuple[Cron, timedelta]]) -> Windows:
    return Windows(
        time_zone=zone,
        allow=tuple(Recurrence(cron=cron.text, duration=length) for cron, length in allow),
        deny=tuple(Denial(cron=cron.text, duration=length) for cron, length in deny),
    )


@settings(max_examples=60, deadline=None)
@given(cases())
@pytest.mark.no_cover
def test_windows_are_those_of_a_calendar_that_is_counted(case: tuple[str, datetime, list, list, int, int]) -> None:
    """Open, shut, and the next opening are what a calendar says that is counted minute by minute, also where clocks change."""
    zone, middle, allow, deny, at, second = case
    there = span(zone, middle)
    counted = open_minutes(there, allow, deny)
    asked = windows(zone, allow, deny)
    now = there.start + at * MINUTE + second * timedelta(seconds=1)

    found = state(asked, now)

    assert counted[at] == found.open
    last = len(counted) if found.until is None else min(len(counted), (found.until - there.start) // MINUTE)
    assert {counted[at]} == set(counted[at:last])
    if not found.open and found.complete and last < len(counted):
        assert counted[last]
    if found.open and found.until is not None:
        assert found.until > now


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def one(zone: str, cron: str, length: timedelta) -> Windows:
    return Windows(time_zone=zone, allow=(Recurrence(cron=cron, duration=length),))


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("zone", "cron", "length", "day", "first", "last"),
    [
        pytest.param("Europe/Berlin", "0 22 * * *", 8 * HOUR, "2026-03-28", "21:00", "04:00", id="a night that is an hour shorter"),
        pytest.param("Europe/Berlin", "0 22 * * *", 8 * HOUR, "2026-10-24", "20:00", "05:00", id="a night that is an hour longer"),
        pytest.param("Europe/Berlin", "30 2 * * *", 2 * HOUR, "2026-03-29", "01:00", "02:30", id="begins in the gap"),
        pytest.param("Europe/Berlin", "30 1 * * *", 1 * HOUR, "2026-03-29", "00:30", "01:00", id="ends in the gap"),
        pytest.param("Europe/Berlin", "30 2 * * *", 2 * HOUR, "2026-10-25", "00:30", "03:30", id="begins in the overlap"),
        pytest.param("Europe/Berlin", "30 1 * * *", 1 * HOUR, "2026-10-24", "23:30", "01:30", id="ends in the overlap"),
        pytest.param("Australia/Lord_Howe", "45 1 * * *", HOUR, "2026-04-04", "14:45", "16:15", id="back by half an hour"),
        pytest.param("Pacific/Apia", "0 9 * * *", 48 * HOUR, "2011-12-28", "19:00", "19:00", id="a day that there was not"),
    ],
)
def test_the_night_of_a_change(zone: str, cron: str, length: timedelta, day: str, first: str, last: str) -> None:
    """A window begins and ends by the clock of its place, also on the night on which that changes."""
    rules = one(zone, cron, length)
    begin = utc(f"{day}T{first}")
    end = utc(f"{day}T{last}")
    end += timedelta(days=1) if end <= begin else timedelta(0)

    assert state(rules, begin).open
    assert state(rules, end - MINUTE).open
    before, after = state(rules, begin - MINUTE), state(rules, end)
    assert [(False, begin)] == [(before.open, before.until)] if zone != "Pacific/Apia" else True
    assert not after.open or zone == "Pacific/Apia"


def test_a_window_that_lies_in_the_gap_does_not_come_that_night() -> None:
    """From 02:10 for half an hour is nothing on the night that has no such half hour."""
    rules = one("Europe/Berlin", "10 2 * * *", HOUR / 2)

    found = state(rules, utc("2026-03-29T00:00"))

    assert (False, utc("2026-03-30T00:10")) == (found.open, found.until)


HOLIDAYS = Windows(
    time_zone="Europe/Berlin",
    allow=(Recurrence(cron="0 9 * * 1-4", duration=8 * HOUR),),
    deny=(Denial(cron="0 0 24 12 *", duration=96 * HOUR, reason="holidays"),),
)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ("2026-11-30T07:59", "closed until Mon 09:00 Europe/Berlin"),
        ("2026-12-03T16:00", "closed until Mon 09:00 Europe/Berlin"),
        ("2026-12-23T16:00", "closed until Mon 09:00 Europe/Berlin (holidays)"),
        ("2026-12-22T23:30", "closed until Wed 09:00 Europe/Berlin"),
        ("2026-12-21T16:00", "closed until Tue 09:00 Europe/Berlin"),
    ],
)
def test_people_read_until_when_on_the_clock_of_the_place(now: str, words: str) -> None:
    """The next opening is said on the windows' own clock, with the reasons of what lies between."""
    assert words == closed(state(HOLIDAYS, utc(now)), HOLIDAYS, utc(now))


def test_a_reason_is_one_line_without_commands_for_a_terminal() -> None:
    """Whoever reads a status is not whoever wrote the policy."""
    rules = Windows(time_zone="UTC", deny=(Denial(cron="0 0 * * *", duration=20 * HOUR, reason="end\n of\x1b[2J"),))
    now = utc("2026-11-30T12:00")

    assert "closed until Mon 20:00 UTC (end of\ufffd[2J)" == closed(state(rules, now), rules, now)


def test_an_opening_that_is_weeks_away_is_said_with_its_date() -> None:
    """A weekday alone would be read as this week's."""
    rules = one("America/New_York", "0 9 1 2 *", HOUR)
    now = utc("2026-12-01T00:00")

    assert "closed until Mon 2027-02-01 09:00 America/New_York" == closed(state(rules, now), rules, now)


def test_what_is_denied_always_never_opens() -> None:
    """Windows that leave nothing are shut, and no time is given."""
    rules = Windows(time_zone="UTC", deny=(Denial(cron="* * * * *", duration=24 * HOUR, reason="retired"),))
    now = utc("2026-12-01T00:00")

    found = state(rules, now)

    assert not found.open
    assert found.until is not None
    assert not found.complete
    assert "closed until at least " in closed(found, rules, now)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 9 * *", "'0 9 * *' is not five fields: minute, hour, day of the month, month, day of the week"),
        ("0 0 9 * * 1", "'0 0 9 * * 1' is not five fields: minute, hour, day of the month, month, day of the week"),
        ("@daily", "'@daily' is not five fields: minute, hour, day of the month, month, day of the week"),
        ("60 9 * * *", "'60 9 * * *' cannot be read: bad minute"),
        ("0 9 31 2 *", "'0 9 31 2 *' cannot be read: bad day-of-month"),
        ("0 0 */29 2 MON#5", "'0 0 */29 2 MON#5' never comes: no day fits it"),
    ],
)
def test_what_cannot_be_read_is_shut_and_says_why(cron: str, words: str) -> None:
    """Windows that nobody can read are shut: a typing error opens nothing."""
    rules = Windows(time_zone="UTC", deny=(Denial(cron=cron, duration=HOUR),))
    now = utc("2026-12-01T00:00")

    found = state(rules, now)

    assert State(open=False, since=now, until=None, trouble=words) == found
    assert f"closed, because it cannot be read: {words}" == closed(found, rules, now)
    with pytest.raises(WindowError):
        check(rules.deny[0])


@pytest.mark.parametrize("name", ["Europe/Berln", "Nowhere", "../../etc/passwd", "/etc/localtime", "", "Europe", "a\0b"])
def test_a_zone_that_the_machine_does_not_know_is_shut_and_says_so(name: str) -> None:
    """Whatever a zone is called, it is looked up, and a file outside of the database is none."""
    rules = Windows.model_construct(time_zone=name, allow=(), deny=())

    found = state(rules, utc("2026-12-01T00:00"))

    assert not found.open
    assert found.trouble.startswith(f"time zone {name} is not known to the operator")


TEXTS = st.one_of(
    st.text(max_size=120),
    st.lists(st.text(alphabet="0123456789*/,-#LWMONFRI ", max_size=12), min_size=5, max_size=5).map(" ".join),
)


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(1, 60 * 24 * 30))
@pytest.mark.no_cover
def test_any_text_is_read_or_refused(text: str, minutes: int) -> None:
    """No text is more than an answer in words, or an answer."""
    denial = Denial.model_construct(cron=text, duration=minutes * MINUTE, reason="")

    found = state(Windows.model_construct(time_zone="Europe/Berlin", allow=(), deny=(denial,)), utc("2026-12-01T00:00"))

    assert found.trouble or found.open or found.until is None or found.until > found.since


def test_hostile_windows_cost_a_bounded_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows by the minute that shut each other are looked at a bounded number of times, and then asked again later."""
    steps, real = [0], windows_module._ticks

    def counting(cron: str, wall: datetime) -> tuple[datetime | None, datetime | None]:
        steps[0] += 1
        return real(cron, wall)

    monkeypatch.setattr(windows_module, "_ticks", counting)
    rules = Windows(
        time_zone="Europe/Berlin",
        allow=tuple(Recurrence(cron=f"{n}-59/2 * * * *", duration=MINUTE) for n in range(0, 20, 2)),
        deny=tuple(Denial(cron=f"{n}-59/2 * * * *", duration=MINUTE, reason=f"reason {n}") for n in range(0, 40, 2)),
    )
    now = utc("2026-12-01T00:00")

    found = state(rules, now)

    assert (False, False) == (found.open, found.complete)
    assert found.until is not None
    assert found.until > now
    assert steps[0] <= MOST_TICKS
    again = state(rules, found.until)
    assert again.until is not None
    assert again.until > found.until


def test_what_is_known_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass of each second asks the calendar once, until the state changes; clocks may be stepped back."""
    now = utc("2026-12-23T16:00")
    first = state(HOLIDAYS, now)
    monkeypatch.setattr(windows_module, "_Calendar", None)

    assert first is state(HOLIDAYS, now + timedelta(days=2))

    monkeypatch.undo()
    assert state(HOLIDAYS, now - MINUTE).open
    assert not state(HOLIDAYS, now).open
