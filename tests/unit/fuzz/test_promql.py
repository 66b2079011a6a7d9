"""Names that are put into PromQL stay what they are: text between the quotes in which they stand."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from tidegate.prometheus.promql import fill, pods_of, quoted, self_contained
from unit.fuzz.effort import fuzz

HOSTILE = st.sampled_from(['"', "'", "`", "\\", "\n", "{{service}}", '"} or vector(1) #', "#", "})", "\\x22", "\u2028", "\x00"])
values = st.lists(HOSTILE | st.text(max_size=5), max_size=4).map("".join)
_ESCAPES = {"\\": "\\", "n": "\n", '"': '"', "'": "'"}
"""The escapes that are written; PromQL knows more (https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals)."""


def literal(text: str) -> tuple[str, str]:
    """Read one string literal as PromQL does; return its value and what comes behind it."""
    quote, value, at = text[0], "", 1
    while text[at] != quote:
        assert quote == "`" or text[at] != "\n", "a line ends within quotes"
        if text[at] == "\\" and quote != "`":
            at += 1
            value += _ESCAPES[text[at]]
        else:
            value += text[at]
        at += 1
    return value, text[at + 1 :]


@fuzz(200)
@given(value=values, quote=st.sampled_from(['"', "'"]))
@example(value="a\\", quote='"')
def test_value_within_quotes_is_the_value(value: str, quote: str) -> None:
    """Between quotes, whatever a name holds is read back as that name, and the query goes on behind it as it was written."""
    filled = fill(f"sum(x{{a={quote}pre{{{{service}}}}post{quote}}})", {"service": value})

    read, behind = literal(filled.removeprefix("sum(x{a="))
    assert f"pre{value}post" == read
    assert "})" == behind
    assert value == literal(quoted(value))[0]


@fuzz(150)
@given(value=values)
def test_value_outside_of_quotes_is_harmless_or_refused(value: str) -> None:
    """Outside of quotes a name is put in only where it can be nothing but a name."""
    query = "sum(x_{{service}}:y) > 1 # {{service}}"
    if re.fullmatch(r"[a-zA-Z0-9_:.-]*", value) is None:
        with pytest.raises(ValueError, match="must stand within double quotes"):
            fill(query, {"service": value})
    else:
        assert f"sum(x_{value}:y) > 1 # {{{{service}}}}" == fill(query, {"service": value})


@fuzz(100)
@given(value=values)
def test_value_within_backquotes_is_the_value_or_refused(value: str) -> None:
    """Between backquotes nothing can be escaped: a name that holds one is refused."""
    if "`" in value:
        with pytest.raises(ValueError, match="must stand within double quotes"):
            fill("x{a=`{{service}}`}", {"service": value})
    else:
        assert (value, "}") == literal(fill("x{a=`{{service}}`}", {"service": value}).removeprefix("x{a="))


@fuzz(150)
@given(names=st.lists(st.text(min_size=1, max_size=70), min_size=1, max_size=3))
def test_names_of_pods_match_themselves_alone(names: list[str]) -> None:
    """The expression for a ReplicaSet's pods matches these, whatever characters its name has, and takes none of them as a sign."""
    plain = [re.sub(r"[^a-z0-9.-]", "x", name.lower()) for name in names]
    expression = re.compile(pods_of(plain))

    for name in plain:
        base = f"{name}-"[:58]
        assert expression.fullmatch(f"{base}abcde")
        assert not expression.fullmatch(f"{base}abcd.")
        assert "." not in name or not re.compile(pods_of([name])).fullmatch(f"{base.replace('.', 'y')}abcde")


@fuzz(200)
@given(
    query=st.lists(st.sampled_from(["(", ")", "{", "}", "[", "]", '"', "'", "`", "#", "\n", "a", " or "]), max_size=10).map("".join)
)
def test_query_that_is_joined_closes_what_it_opens(query: str) -> None:
    """A query counts as self-contained only if brackets and quotes around it keep their meaning."""
    if not self_contained(query):
        return
    depth, at, text = 0, 0, f"{query}\n"
    while at < len(text):
        if text[at] in "\"'`":
            at = len(text) - len(literal(text[at:])[1])
            continue
        if text[at] == "#":
            at = text.index("\n", at)
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[at], 0)
        assert depth >= 0
        at += 1
    assert 0 == depth
