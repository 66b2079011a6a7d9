"""One form of a JSON value, whoever writes it, and what has none is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.governance.canonical import LARGEST, canonical, digest

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    TEXT | st.booleans() | st.integers(-LARGEST + 1, LARGEST - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_was_stored_has_the_hash_that_it_had(value: Any) -> None:
    """JSON that went somewhere and came back, with other spaces and another order of names, is the same."""
    stored = json.loads(json.dumps(value, indent=3))
    turned = dict(reversed(stored.items())) if isinstance(stored, dict) else stored

    assert digest(value) == digest(turned)


@given(VALUES, VALUES)
def test_two_values_never_have_one_form(one: Any, other: Any) -> None:
    """The form can be read again, and says the same."""
    assert json.loads(canonical(one)) == one
    if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
        assert canonical(one) != canonical(other)


def test_it_is_that_of_the_rfc() -> None:
    """Names are in the order of UTF-16, control characters in the shortest form, and nothing is normalised."""
    value = {"\u20ac": "e\u0301", "\r": 1, "\U0001f600": [True, -0], "\ufb33": "\u000f\n", "1": {}}

    expected = '{"\\r":1,"1":{},"\u20ac":"e\u0301","\U0001f600":[true,0],"\ufb33":"\\u000f\\n"}'
    assert canonical(value).decode() == expected


@pytest.mark.parametrize(
    "value", [1.0, 0.5, float("nan"), LARGEST, -LARGEST, None, {1: "a"}, "\ud800", {"\udc00": 1}, [[{"a": 2.0}]], b"a"]
)
def test_what_would_come_back_otherwise_is_refused(value: Any) -> None:
    """Fractions, whole numbers that others round, absent values, names that are no text and halves of characters."""
    with pytest.raises(ValueError):  # noqa: PT011 - its words are of no concern
        canonical(value)
