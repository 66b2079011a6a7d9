"""Whether something grows is told by parts of the time that are far apart, and by a slope that outliers do not bend."""

from __future__ import annotations

import pytest
from bench.scale.trend import growth, more, second_half, slope, within

HALF_HOUR = 1800.0
TIMES = [10.0 * number for number in range(1, 181)]


def test_a_slope_is_not_bent_by_outliers() -> None:
    """Of every fourth point it is told that something else was going on."""
    straight = [(at, 200 + at / 100) for at in TIMES]
    bent = [(at, 500.0 if number % 4 == 0 else value) for number, (at, value) in enumerate(straight)]

    assert pytest.approx(0.01) == slope(straight)
    assert pytest.approx(0.01, abs=0.002) == slope(bent)
    assert 0 == slope([(at, 5.0) for at in TIMES])


def test_what_is_filled_in_the_first_minutes_is_no_growth() -> None:
    """Of 30 minutes, 5 to 10 count against 25 to 30."""
    filled = [(at, min(200.0, at)) for at in TIMES]
    grown = [(at, 100.0 + (at >= 1500) * 10) for at in TIMES]

    assert 0 == growth([(at, 200.0 if at >= 300 else value) for at, value in filled], HALF_HOUR)
    assert pytest.approx(10) == growth(grown, HALF_HOUR)


def test_a_moment_with_more_handles_is_no_growth() -> None:
    """Medians are compared, and the last sample is among them."""
    handles = [(at, 40.0 if at in {1500.0, 1600.0, 1800.0} else 21.0) for at in TIMES]

    assert 0 == more(handles, HALF_HOUR)
    assert 2 == more([(at, 21.0 + (at > 1300) * 2) for at in TIMES], HALF_HOUR)


def test_a_pool_that_fills_in_the_first_half_is_no_growth() -> None:
    """Of 30 minutes, 15 to 20 count against 25 to 30."""
    assert 0 == more([(at, min(36.0, 30 + at // 100)) for at in TIMES], HALF_HOUR)


def test_parts_of_a_time() -> None:
    """From the beginning on, and before the end."""
    points = [(0.0, 1.0), (10.0, 2.0), (20.0, 3.0)]

    assert [1.0, 2.0] == within(points, 0, 20)
    assert [(10.0, 2.0), (20.0, 3.0)] == second_half(points, 20)
