"""Quantities as the API server reads them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tidegate.workloads.quantities import quantity


def as_float(found: Decimal | None) -> float | None:
    return None if found is None else float(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500m", 0.5),
        ("2", 2),
        (80, 80),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 1e18),
        ("1.5Gi", 1.5 * 2**30),
        ("250u", 0.00025),
        ("1n", 1e-9),
        ("-1", -1),
        (".5k", 500),
        (None, None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("K", None),
        ("5mm", None),
        ([], None),
    ],
)
def test_quantities(text: object, expected: float | None) -> None:
    """Quantities as the API writes them; whatever else stands there is none."""
    assert (pytest.approx(expected) if expected is not None else None) == as_float(quantity(text))


SUFFIXES = {"": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
BINARY = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}


@given(number=st.decimals(-(10**6), 10**6, places=3), suffix=st.sampled_from([*SUFFIXES, *BINARY]))
def test_every_quantity_is_its_number_times_its_suffix(number: Any, suffix: str) -> None:
    """All suffixes, with all numbers."""
    assert pytest.approx(float(number) * {**SUFFIXES, **BINARY}[suffix], rel=1e-9, abs=1e-15) == as_float(
        quantity(f"{number}{suffix}")
    )


@given(st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.lists(st.integers(), max_size=2)))
def test_no_input_breaks_the_reading_of_quantities(value: object) -> None:
    """At worst it is none."""
    found = quantity(value)

    assert found is None or math.isfinite(found)
