"""The selectors in people's own PromQL: which metrics it names, and with which conditions. One pass, whatever the text is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

_TOKENS = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|`[^`]*+`)|(?P<comment>\#[^\n]*+)|(?P<open>["'`][\s\S]*+)"""
    r"|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*+)|(?P<operator>=~|!~|!=|=)|(?P<other>[^\s])"
)


_MOST = 64
"""Selectors of one query that are looked at: they are compared with each other, and asked for one by one."""


NAMESPACES = frozenset({"namespace", "exported_namespace", "k8s_namespace_name"})
"""Labels that hold the namespace that a series is of."""


@dataclass(frozen=True)
class Condition:
    """One condition on a label, as it is written.

    Attributes:
        label: name of the label.
        operator: `=`, `!=`, `=~` or `!~`.
        value: the value, with its quotes.
    """

    label: str
    operator: str
    value: str

    @property
    def text(self) -> str:
        """The condition as PromQL."""
        return f"{self.label}{self.operator}{self.value}"

    @property
    def wants(self) -> bool:
        """Whether only series that have the label can match, with a value that is asked for."""
        return self.operator in ("=", "=~") and self.value[1:-1] not in ("", ".*", ".+")

    def keeps_to(self, namespace: str) -> bool:
        """Whether only series of this namespace can match."""
        return self.label in NAMESPACES and self.operator == "=" and self.value[1:-1] == namespace


@dataclass(frozen=True)
class Selector:
    """A selector.

    Attributes:
        metric: name of the metric.
        conditions: conditions on its labels; none where it stands without braces, or with empty ones.
    """

    metric: str
    conditions: tuple[Condition, ...] = ()


def selectors(promql: str) -> tuple[Selector, ...]:
    """Return the first 64 selectors of a query that are written as `metric{...}`; those that are not understood are left out."""
    return tuple(islice(dict.fromkeys(found for found, braced in _found(promql) if braced), _MOST))


def mentions(promql: str) -> tuple[Selector, ...]:
    """Return the first 64 selectors of a query, and every other name that could be one: functions and labels are among them."""
    return tuple(islice(dict.fromkeys(found for found, _ in _found(promql)), _MOST))


def of_scraped_series(promql: str) -> bool:
    """Whether a query is one selector and nothing else, of series that were scraped.

    The names of those that rules record have colons (https://prometheus.io/docs/practices/rules/#naming).
    """
    tokens = _tokens(promql)
    if not tokens or tokens[0][0] != "name" or ":" in tokens[0][1]:
        return False
    if len(tokens) == 1:
        return True
    conditions, end = _conditions(tokens, 2) if tokens[1][1] == "{" else (None, 0)
    return conditions is not None and end == len(tokens)


def _found(promql: str) -> Iterator[tuple[Selector, bool]]:
    tokens = _tokens(promql)
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        if kind != "name":
            continue
        if at == len(tokens) or tokens[at][1] != "{":
            yield Selector(text), False
            continue
        conditions, at = _conditions(tokens, at + 1)
        if conditions is not None:
            yield Selector(text, conditions), True


def _tokens(promql: str) -> list[tuple[str, str]]:
    """Return the tokens up to the end, or to a string that does not end."""
    tokens = []
    for found in _TOKENS.finditer(promql):
        kind = found.lastgroup or ""
        if kind == "open":
            break
        if kind != "comment":
            tokens.append((kind, found[0]))
    return tokens


def _conditions(tokens: list[tuple[str, str]], at: int) -> tuple[tuple[Condition, ...] | None, int]:
    """Return the conditions up to the closing brace, and where to go on; None where they are not understood."""
    conditions = []
    while at < len(tokens) and tokens[at][1] != "}":
        kinds = tuple(kind for kind, _ in tokens[at : at + 3])
        if kinds != ("name", "operator", "string"):
            return None, at
        label, operator, value = (text for _, text in tokens[at : at + 3])
        conditions.append(Condition(label, operator, value))
        at += 3
        if at < len(tokens) and tokens[at][1] == ",":
            at += 1
    return (tuple(conditions), at + 1) if at < len(tokens) else (None, at)
