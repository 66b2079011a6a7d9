"""Which queries give a scalar is told by their text only where that is certain."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.prometheus.scalars import is_scalar


@pytest.mark.parametrize(
    "promql",
    [
        "1",
        "-0.5",
        "1e3",
        "0x1F",
        "Inf",
        "time()",
        "scalar(sum(x))",
        "scalar(a) / (scalar(b) + 1)",
        "100 * scalar(a{b=')'}) # x",
        "pi ()",
    ],
)
def test_scalars(promql):
    """Numbers, functions that give them, and arithmetic of these."""
    assert is_scalar(promql)


@pytest.mark.parametrize(
    "promql",
    [
        "",
        "x",
        "time",
        "time + 1",
        "scalar",
        "scalar(a) * b",
        "vector(1)",
        "1 + x",
        "sum(scalar(x))",
        "scalar(x",
        "scalar(a)[5m:1m]",
        "()",
        "'1'",
        "scalar(a) > bool 1",
        "scalar(a) offset 5m",
        "max(scalar(a))",
        "1_000",
        "scalarx(a)",
    ],
)
def test_others(promql):
    """What is a vector, may be one, or is nothing at all."""
    assert not is_scalar(promql)


@given(st.text(alphabet="scalr()time 12.e\"'`#{}\n*", max_size=200))
def test_any_text(promql):
    """It never fails."""
    assert is_scalar(promql) in (True, False)


@pytest.mark.parametrize(
    "piece", ["(", ")", "1", ".", "e", "scalar(", '"', "`", "'", "#", "\\", "1.", " ", "time()", "0x", "{", '"\\']
)
def test_it_takes_linear_time(piece):
    """Whatever is repeated as often as a query may be long."""
    began = time.perf_counter()
    is_scalar((piece * 4096)[:4096])
    assert time.perf_counter() - began < 0.5
