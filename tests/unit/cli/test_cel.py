"""The rules of the kinds, evaluated without an API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tidegate.api.crds import KINDS, build_schema
from tidegate.cli.cel import CelError, compiled, holds


def rules(schema: dict[str, Any]) -> Iterator[str]:
    """Every rule of a schema, at any depth."""
    yield from (one["rule"] for one in schema.get("x-kubernetes-validations", ()))
    for child in [
        *schema.get("properties", {}).values(),
        *(schema[key] for key in ("items", "additionalProperties") if key in schema),
    ]:
        yield from rules(child)


@pytest.mark.parametrize("rule", sorted({rule for kind in KINDS for rule in rules(build_schema(kind))}))
def test_every_rule_of_the_kinds_can_be_read(rule: str) -> None:
    """A rule that somebody adds to a model, and that goes beyond what is known here, is noticed now and not in somebody's lint."""
    assert compiled(rule).source == rule


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        ("self > 1 && self <= 3", 3, True),
        ("self == 2 || self != 2", 7, True),
        ("!(self < 1)", 0, False),
        ("-self == 3", -3, True),
        ("self - 1.0 + 2.0 == 4.5", 3.5, True),
        ("self in ['a', \"b\"]", "b", True),
        ("has(self.a) != has(self.b)", {"a": 1, "b": 2}, False),
        ("self[size(self) - 1].weight == 100", [{"weight": 5}, {"weight": 100}], True),
        ("self.map(s, s.weight).isSorted()", [{"weight": 5}, {"weight": 1}], False),
        ("self.all(s, self.exists_one(t, t == s))", [1, 2, 2], False),
        ("self.exists(s, s > 1) && self.filter(s, s > 1).size() == 1", [1, 2], True),
        ("[has(self.a), has(self.b)].exists_one(given, given)", {"b": 0}, True),
        ("duration(self) >= duration('1m30s')", "90s", True),
        ("self.matches('^[a-z]+$')", "aB", False),
        ("self.all(name, size(name) <= 3)", {"abc": 1, "abcd": 2}, False),
        ("self == true", True, True),
        ("self ? true : false", False, False),
    ],
)
def test_rules_mean_what_cel_has_them_mean(rule: str, value: Any, kept: bool) -> None:
    """Operators, macros and functions do what the specification of the language says."""
    assert kept is holds(rule, value)


def test_what_decides_early_spares_the_rest() -> None:
    """`||` and `&&` do not look at what is not there if they need not."""
    assert holds("!has(self.a) || self.a.b > 1", {})
    assert not holds("has(self.a) && self.a.b > 1", {})


@pytest.mark.parametrize(
    "rule",
    [
        "self.oldSelf()",
        "self == 7 ? 1 : 2",
        "self - 1.0 == 6.0",
        "quantity(self) > quantity('1')",
        "self ==",
        "(self",
        "self self",
        "self.a.b",
        "size(self)",
        "self @ 1",
        "self.all(x)",
        "[1",
        "",
    ],
)
def test_what_is_not_known_is_an_error_and_never_true(rule: str) -> None:
    """A rule beyond the known part of the language, or one that does not fit its value, does not pass unseen."""
    with pytest.raises(CelError):
        holds(rule, 7)
