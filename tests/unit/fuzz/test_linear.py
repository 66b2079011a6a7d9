"""No text that people or servers write costs more than linear time: four times the text, four times the time at most.

Times are those of the thread's processor, and only compared with each other: of what grows with the square, four times the text
costs sixteen times the time on any machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tidegate.prometheus.answers import Result
from tidegate.prometheus.labelling import own_queries
from tidegate.prometheus.presets import TELEMETRY
from tidegate.prometheus.promql import fill, self_contained
from tidegate.prometheus.selectors import mentions, of_scraped_series, selectors
from unit.fuzz.expressions import METHODS, Expression, examples, expressions, others, shapes

_SIZES = (64, 512)
"""Repeats: few first, or what is cubic would not end."""
_TIMES = 4
_MOST_GROWTH = 8.0
"""Between what is linear, 4, and what is quadratic, 16."""
_TRIES = 6
_MOST_TOLD = 3
_KNOWN = [
    "tidegate.cli.manifests: re.search(schema['pattern'], value)",
    "tidegate.prometheus.direct.wanted: re.compile(expression, re.DOTALL)",
]
"""The patterns of the CRDs and those of presets, which are tried as well."""
_VALUES = {"namespace": "shop", "service": "cart"}


def seconds(work: Callable[[], object], times: int) -> float:
    """Return the processor time of the quickest of several runs."""

    def once() -> float:
        begun = time.thread_time()
        work()
        return time.thread_time() - begun

    return min(once() for _ in range(times))


def growth(work: Callable[[str], object], text: Callable[[int], str], repeats: int) -> float:
    """Return by how much the time grows with four times the repeats; of several tries the least."""
    least = float("inf")
    few, many = text(repeats), text(_TIMES * repeats)
    for tried in range(_TRIES):
        runs = 1 if tried == 0 else 5
        least = min(least, seconds(lambda: work(many), runs) / max(seconds(lambda: work(few), runs), 1e-7))
        if least <= _MOST_GROWTH:
            break
    return least


def worst(work: Callable[[str], object], tried: Iterator[tuple[str, str, str]], sizes: tuple[int, ...] = _SIZES) -> list[str]:
    """Return the first shapes for which the time grows by more than the text."""
    found = []
    for start, unit, end in tried:
        for repeats in sizes:
            grown = growth(work, lambda n, start=start, unit=unit, end=end: f"{start}{unit * n}{end}", repeats)  # type: ignore[misc]
            if grown > _MOST_GROWTH:
                found.append(f"{start!r} + {unit!r} * {repeats} + {end!r}: {grown:.0f} times")
                break
        if len(found) >= _MOST_TOLD:
            break
    return found


def driven(pattern: re.Pattern[str], method: str) -> Callable[[str], object]:
    """Return what a method of an expression does with a text."""
    match method:
        case "finditer":
            return lambda text: sum(1 for _ in pattern.finditer(text))
        case "sub":
            return lambda text: pattern.sub("", text)
        case _:
            return getattr(pattern, method)  # type: ignore[no-any-return]


def schema_patterns() -> list[str]:
    """Return the patterns of the CRDs, which `tidegate lint` tries with Python's expressions."""

    def of(schema: object) -> Iterator[str]:
        if isinstance(schema, dict):
            if isinstance(schema.get("pattern"), str):
                yield schema["pattern"]
            for child in schema.values():
                yield from of(child)
        elif isinstance(schema, list):
            for child in schema:
                yield from of(child)

    files = sorted((Path(__file__).parents[3] / "crds").glob("*.yaml"))
    return list(dict.fromkeys(one for file in files for each in yaml.safe_load_all(file.read_text()) for one in of(each)))


def test_every_expression_is_known() -> None:
    """Regular expressions are constants of their modules, where the next test finds them; a new one cannot be forgotten."""
    assert _KNOWN == others()
    assert len(expressions()) > 15


@pytest.mark.parametrize("expression", expressions(), ids=str)
def test_expression_is_linear(expression: Expression) -> None:
    """No text makes an expression of the operator try again and again."""
    pattern = expression.pattern
    for method in expression.used:
        assert [] == worst(driven(pattern, method), iter(shapes(pattern.pattern, pattern.flags & re.IGNORECASE)))


@pytest.mark.parametrize("pattern", schema_patterns())
def test_pattern_of_a_schema_is_linear(pattern: str) -> None:
    """Nor does any text make the patterns of the CRDs do that."""
    assert [] == worst(driven(re.compile(pattern), "search"), iter(shapes(pattern)))


def preset_patterns() -> list[str]:
    """Return the expressions of the table of presets, which labels on pods' pages are tried with."""
    found = [
        one.value
        for known in TELEMETRY.values()
        for told in (known.errors, known.unanswered)
        for where in (known.always, told.bad, *(which for _, which in told.unseen))
        for one in where
        if one.operator != "="
    ]
    return list(dict.fromkeys([*found, *(told.known for known in TELEMETRY.values() for told in (known.errors, known.unanswered))]))


@pytest.mark.parametrize("pattern", preset_patterns())
def test_pattern_of_a_preset_is_linear(pattern: str) -> None:
    """Nor does any text make those of presets do that."""
    assert [] == worst(driven(re.compile(pattern, re.DOTALL), "fullmatch"), iter(shapes(pattern)))


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"{{\s*(.*?)\s*}}", "sub"),
        (r"#[^\n]*|{{.*?}}", "sub"),
        (r'"(?:[^"\\]|\\.)*"|[^"]', "finditer"),
        (r"\s*[a-z]+\s*(?:\{[^{}]*\})?\s*", "fullmatch"),
        (r"\d+\.?\d*([kMG])?", "fullmatch"),
        (r"([^.\[\]]+)(?![^\[]*\])|\[(\d+)\]", "findall"),
        (r"gate: (.+?)\.$", "search"),
    ],
)
def test_expression_that_is_not_linear_is_found(pattern: str, method: str) -> None:
    """The test above sees what it is for."""
    assert [] != worst(driven(re.compile(pattern), method), iter(shapes(pattern)), sizes=(64,))


@pytest.mark.parametrize("expression", expressions(), ids=str)
def test_shapes_go_into_the_expression(expression: Expression) -> None:
    """At least one example of each expression is matched by it, so what is repeated behind its beginnings is met there."""
    pattern = expression.pattern
    assert any(pattern.search(one) for one in examples(pattern.pattern, pattern.flags & re.IGNORECASE))


@pytest.mark.parametrize("function", [lambda text: fill(text, _VALUES), self_contained, selectors, mentions, of_scraped_series])
def test_query_is_read_in_linear_time(function: Callable[[str], object]) -> None:
    """Whatever people write as PromQL is gone through once."""

    def work(text: str) -> None:
        with contextlib.suppress(ValueError):
            function(text)

    starts = ("", '"', "'", "`", "{{", '"{{', "x{", 'x{a="', "#")
    units = (
        " ",
        "a",
        "{",
        "}",
        "{{",
        "}}",
        '"',
        "\\",
        '\\"',
        "\"'",
        "{{ ",
        "{{service}}",
        "(",
        "()",
        'a{b="c"}',
        '"{{',
        "\n",
        "a=",
    )
    assert [] == worst(work, ((start, unit, end) for start in starts for unit in units for end in ("", '"', "}}")))


def test_selectors_of_a_query_are_compared_in_linear_time() -> None:
    """However many selectors two queries have, comparing each with each is bounded."""

    async def nothing(_: str) -> Result:
        return Result([])

    def work(text: str) -> None:
        asyncio.run(own_queries(nothing, (text, text.replace('",c="d"', '"')), namespace="shop"))

    assert growth(work, lambda n: " + ".join(f'a{{b="{number}",c="d"}}' for number in range(n)), 256) <= _MOST_GROWTH


@pytest.mark.parametrize("unit", [" ", "{{", "{", '\\"', "{{ "])
def test_query_that_froze_the_operator_costs_nothing(unit: str) -> None:
    """A quoted string with `{{` and thousands of spaces took a minute at each look; it takes less than a millisecond."""
    query = f'vector(0) or x{{a="{{{{{unit * 4096}'[:4094] + '"}'

    def work() -> None:
        with contextlib.suppress(ValueError):
            fill(query, _VALUES)

    assert 4096 == len(query)
    assert seconds(work, 5) < 0.001


def test_methods_are_those_of_expressions() -> None:
    """Every method that is driven is one."""
    assert all(hasattr(re.compile(""), method) for method in METHODS)
