"""How far another clock is off, whatever the network does to the answers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.prometheus.difference import LEAST, Difference, TimeTold, dated
from tidegate.runtime.clock import ManualClock, Moment

HOUR = 3600.0


def moment(monotonic: float) -> Moment:
    """This host's clocks, which agree with the time."""
    return Moment(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=monotonic), monotonic)


def told(off: float, at: float, *, there: float = 0.0, back: float = 0.0, **more: float | None) -> TimeTold:
    """What a server says whose clock is so far ahead, with the seconds that question and answer take."""
    time = moment(at + there).wall.timestamp() + off
    return TimeTold(time, **{"dated": float(int(time)), **more}, sent=at, received=at + there + back)


def seconds(difference: Difference, at: float) -> float:
    return difference.ahead(moment(at)).total_seconds()


@given(
    st.one_of(st.floats(-1e8, 1e8), st.floats(-10, 10)),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)), min_size=1, max_size=8),
    st.booleans(),
)
def test_it_is_as_exact_as_the_quickest_answer(off, ways, date):
    """However slow the others are, in either direction; what is less than a second is no difference."""
    difference = Difference()
    for number, (there, back) in enumerate(ways):
        difference.take(
            told(off, 60.0 * number, there=there, back=back, **({} if date else {"dated": None})), moment(60.0 * number)
        )

    end = 60.0 * len(ways)
    quickest = min(there + back for there, back in ways)
    drift = 0.001 * end
    assert abs(seconds(difference, end) - off) <= quickest / 2 + drift + LEAST + 0.1


@given(st.floats(-1e8, 1e8).filter(lambda off: abs(off) > 100), st.floats(-1e6, 1e6))
def test_a_step_of_this_hosts_clock_is_known_at_once(off, step):
    """Nobody has to be asked again: what was learned is held against a clock that is not stepped."""
    difference, now = Difference(), moment(0)
    difference.take(told(off, 0), now)

    stepped = Moment(now.wall + timedelta(seconds=step), 1.0)

    assert difference.ahead(stepped).total_seconds() == pytest.approx(off - step + 1.0, abs=LEAST + 0.1)


def test_a_clock_that_is_right_is_left_alone():
    """Looks are asked for as ever, and nobody is told anything."""
    difference = Difference()

    assert not difference.take(told(0.4, 0, there=0.3, back=0.1), moment(0))
    assert difference.ahead(moment(1)) == timedelta(0)
    assert difference.in_words(moment(1)) == ""


@pytest.mark.parametrize(("off", "said"), [(-HOUR, "60 min behind"), (HOUR, "60 min ahead of"), (30, "30 s ahead of")])
def test_the_words_name_the_clock_and_the_cure(off, said):
    """With the direction, as seen from this host."""
    difference = Difference()
    difference.take(told(off, 0), moment(0))

    words = f"Prometheus' clock is {said} the operator's: synchronize both, for example with NTP"
    assert difference.in_words(moment(0)) == words


def test_the_time_there_jumps():
    """When a clock that was known is set; what is learned first jumps from this host's time, by which was read until then."""
    difference = Difference()

    assert difference.take(told(-HOUR, 0), moment(0))
    assert not difference.take(told(-HOUR, 60), moment(60))
    assert difference.take(told(0, 120), moment(120))
    assert seconds(difference, 120) == 0


def test_small_changes_keep_the_difference_as_it_is():
    """Many Releases ask for one instant, which must not differ by what was learned in between."""
    difference = Difference()
    found = set()
    for number in range(20):
        difference.take(told(-HOUR + 0.02 * (number % 7), 60.0 * number, there=0.05, back=0.05), moment(60.0 * number))
        found.add(seconds(difference, 60.0 * number))

    assert len(found) == 1


class TestAnswersThatContradictThemselves:
    """The date of a response and the time in it are of different clocks, or of different times."""

    @pytest.mark.parametrize("off", [-HOUR, HOUR, -30.0])
    def test_it_is_not_believed(self, off):
        """An hour of a cache, or half a minute by which a store shows an older state on purpose, is no clock's."""
        difference = Difference()
        now = moment(0).wall.timestamp()

        assert not difference.take(told(off, 0, dated=now), moment(0))
        assert seconds(difference, 0) == 0

    def test_what_was_known_stays(self):
        """An answer out of a cache is none."""
        difference = Difference()
        difference.take(told(-HOUR, 0), moment(0))
        difference.take(told(-2 * HOUR, 60, dated=moment(60).wall.timestamp()), moment(60))

        assert seconds(difference, 60) == -HOUR

    def test_people_are_told_beyond_a_minute(self):
        """They see samples that seem to be old, and may look for the cause."""
        difference = Difference()
        difference.take(told(-30, 0, dated=moment(0).wall.timestamp()), moment(0))
        assert difference.in_words(moment(0)) == ""

        difference.take(told(-HOUR, 60, dated=moment(60).wall.timestamp()), moment(60))
        assert difference.in_words(moment(60)).startswith(
            "Prometheus evaluates queries at a time 60 min behind the operator's clock"
        )

        difference.take(told(0, 120), moment(120))
        assert difference.in_words(moment(120)) == ""


def test_a_state_that_is_shown_late_on_purpose():
    """VictoriaMetrics is asked to show that of a second ago: its clock is right."""
    difference = Difference()
    difference.take(told(-1.0, 0, late=1.0, dated=moment(0).wall.timestamp()), moment(0))

    assert seconds(difference, 0) == 0


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Thu, 01 Jan 2026 00:00:10 GMT", 10.0),
        ("Thu, 01 Jan 2026 00:00:10 -0000", 10.0),
        *(
            (header, None)
            for header in (None, "", "yesterday", "Thu, 99 Jan 2026 00:00:10 GMT", "Thu, 01 Jan 2026 00:00:10 +99999999")
        ),
    ],
)
def test_dates_of_responses(header, found):
    """Whatever stands there, it is a time or none."""
    base = ManualClock().now().timestamp()

    assert dated(header) == (None if found is None else base + found)
