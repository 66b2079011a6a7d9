"""The selectors in people's own PromQL."""

import time

import pytest

from tidegate.prometheus.selectors import Selector, mentions, of_scraped_series, selectors


def written(promql: str) -> list[str]:
    return [f"{one.metric}{{{','.join(condition.text for condition in one.conditions)}}}" for one in selectors(promql)]


@pytest.mark.parametrize(
    ("promql", "found"),
    [
        ('sum(rate(x_total{a="1",b=~"2.."}[1m])) / sum(rate(x_total[1m]))', ['x_total{a="1",b=~"2.."}']),
        ("x { a = '}' , b!=`{`, } or y{}", ["x{a='}',b!=`{`}", "y{}"]),
        ('# x{a="1"}\ny{c!~"d\\"}e"}', ['y{c!~"d\\"}e"}']),
        ('"x{a=1}" + z{e="f"}', ['z{e="f"}']),
        ('x{a="1"', []),
        ('x{a="1} + y{b="2"}', []),
        ("x{{a}} + y{b='2'}", ["y{b='2'}"]),
    ],
)
def test_selectors_are_found(promql, found):
    """Whatever is around them; strings and comments are not looked into."""
    assert written(promql) == found


@pytest.mark.parametrize(
    ("promql", "scraped"),
    [
        ("x_total", True),
        (' x_total { a = "}", b=~`2..`, }', True),
        ("x_total{}  # all of them", True),
        ("job:x_total:rate5m", False),
        ('x_total{a="1"}[5m]', False),
        ('x_total{a="1"} or y_total', False),
        ("sum(x_total)", False),
        ('x_total{a="1"', False),
        ('x_total{"a.b"="1"}', False),
        ("2", False),
        ("", False),
    ],
)
def test_one_selector_of_what_was_scraped(promql, scraped):
    """Only its samples have the times of scrapes."""
    assert of_scraped_series(promql) is scraped


def test_names_without_braces_may_be_selectors():
    """As the total in a quotient often is."""
    assert Selector("x_total") in mentions("sum by (pod) (x_total)")


@pytest.mark.parametrize("piece", ["{", "a{", '"', "'a", '\\"', "a ", 'a{b="', "a{b='c',", "`", "# ", "=~"])
def test_long_texts_take_no_longer_than_their_length(piece):
    """Four times the text takes some four times the time, and not sixteen."""

    def seconds(times: int) -> float:
        text = piece * times
        started = time.process_time()
        selectors(text)
        return time.process_time() - started

    short = max(min(seconds(20_000) for _ in range(3)), 1e-3)
    assert min(seconds(80_000) for _ in range(3)) < 10 * short
