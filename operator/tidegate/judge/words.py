"""Numbers as people read them: ratios as percent, times in ms or s, with as many digits as tell something."""

from __future__ import annotations

import math
from datetime import timedelta

from tidegate.api.metric import Measure, Unit

DIGITS = 3
"""Significant digits of a number in a message, unless more are needed to tell it from its limit."""
MOST_DIGITS = 9


def quantity(value: float, unit: Unit, digits: int = DIGITS) -> str:
    """Write a value of a metric in its unit.

    Args:
        value: ratio 0 to 1, seconds, or a plain number; infinite values have words of their own.
        unit: the metric's unit.
        digits: significant digits; for a ratio near 1 they are counted on its distance from 1, so 0.99896 is 99.896%.
    """
    if unit is Unit.RATIO:
        return percent(value * 100, digits)
    if unit is Unit.SECONDS and abs(value) < 1:
        return f"{number(value * 1000, digits)} ms"
    return f"{number(value, digits)} s" if unit is Unit.SECONDS else number(value, digits)


def percent(value: float, digits: int = DIGITS) -> str:
    """Write a number of percent, counting digits on the distance from 100 where that is nearer than 0."""
    if 50 < value < 100:
        return f"{_trim(f'{value:.{min(_decimals(100 - value, digits), MOST_DIGITS)}f}')}%"
    return f"{number(value, digits)}%" if math.isfinite(value) else number(value, digits)


def points(value: float, unit: Unit, digits: int = DIGITS) -> str:
    """Write a difference of two values: percentage points for ratios (value 1 is one point), else in the unit."""
    if unit is Unit.RATIO:
        text = number(value, digits)
        return f"{text} point" if text == "1" else f"{text} points"
    return quantity(value, unit, digits)


def number(value: float, digits: int = DIGITS) -> str:
    """Write a number with so many significant digits, no trailing zeros, and commas between thousands."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e15:
        return f"{value:.{digits - 1}e}"
    return _trim(f"{value:,.{_decimals(value, digits)}f}")


def count(value: float) -> str:
    """Write a number of things, rounded: rates that are extrapolated over a window give fractions."""
    return f"{round(value):,}"


def requests(value: float) -> str:
    """Write a number of requests."""
    text = count(value)
    return "1 request" if text == "1" else f"{text} requests"


def age(span: timedelta) -> str:
    """Write how old something is, or how long it has lasted, e.g. `45 s`, `4 min` or `3 h`."""
    seconds = max(0.0, span.total_seconds())
    for size, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if round(seconds / size) < (100 if size == 1 else 120):
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds / 86400)} days"


def times(ratio: float, measure: Measure | None) -> str:
    """Write how the new version compares with stable: the ratio of the bad shares, or of two latencies."""
    match measure:
        case Measure.AVAILABILITY:
            what = "many not answered"
        case Measure.LATENCY:
            what = "long"
        case Measure.TAIL:
            what = "many slow"
        case _:
            what = "high"
    text = number(ratio, 2)
    return f"just as {what}" if text == "1" else f"{text} times as {what}"


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
