"""Durations and times on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.base import Duration, Model, Time, format_duration, format_time, parse_duration, parse_time


class Sample(Model):
    some_hold: Duration = timedelta(0)
    some_time: Time | None = None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta(0)),
        ("30m", timedelta(minutes=30)),
        ("1h30m", timedelta(minutes=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("1m500ms", timedelta(seconds=60, milliseconds=500)),
        ("720h", timedelta(days=30)),
    ],
)
def test_duration_is_read(text: str, expected: timedelta) -> None:
    """Numbers with the units h, m, s and ms add up; `ms` is not `m` with an `s` behind it."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5d", "-1s", "PT5M", "1.5h", "1h 30m", "30 m", "1h\n"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """The error shows how a duration is written."""
    with pytest.raises(ValueError, match="write for example 30s, 5m or 1h30m"):
        parse_duration(text)


@given(st.integers(0, 30 * 24 * 3_600_000).map(lambda span: timedelta(milliseconds=span)))
def test_duration_comes_back(span: timedelta) -> None:
    """Each duration of up to 30 days is read as it was written, to the millisecond."""
    assert parse_duration(format_duration(span)) == span


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis wants them naive
def test_time_comes_back_to_the_millisecond(moment: datetime) -> None:
    """A time is read as it was written; what is below a millisecond is dropped."""
    assert parse_time(format_time(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_times_are_in_utc() -> None:
    """A time with another offset is turned, one without any is taken for UTC."""
    eastern = datetime(2026, 11, 21, 14, tzinfo=timezone(timedelta(hours=2)))

    assert format_time(eastern) == "2026-11-21T12:00:00.000Z"
    assert parse_time("2026-11-21T12:00:00") == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert parse_time("2026-11-21t12:00:00z") == datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_models_speak_camel_case_and_leave_out_what_is_absent() -> None:
    """On the wire names are camelCase; absent values are not written, for null would be a value to server-side apply."""
    sample = Sample.model_validate({"someHold": "90s", "fromALaterVersion": 1})

    assert sample.to_wire() == {"someHold": "1m30s"}


def test_models_with_the_same_fields_share_the_set_of_their_names() -> None:
    """Of thousands of statuses each would keep a set of its own, which takes more memory than their values."""
    one, other = Sample(some_hold=timedelta(1)), Sample.model_validate({"someHold": "2h"})

    assert one.model_fields_set is other.model_fields_set == {"some_hold"}
    assert one.model_copy(update={"some_hold": timedelta(3)}).model_fields_set is one.model_fields_set


def test_a_copy_has_what_was_given_to_it_and_changes_nothing_of_what_it_was_made_of() -> None:
    """What was given is shared, so nobody may add to it."""
    one, now = Sample(some_hold=timedelta(1)), datetime(2026, 12, 24, tzinfo=UTC)
    copied = one.model_copy(update={"some_time": now})

    assert Sample(some_hold=timedelta(1), some_time=now) == copied
    assert (one.some_time, one.model_fields_set) == (None, {"some_hold"})
    assert copied.model_dump(exclude_unset=True, by_alias=True) == {"someHold": "24h", "someTime": "2026-12-24T00:00:00.000Z"}
    assert copied.model_copy(deep=True) == copied
