"""The worked examples of `original_of`: what somebody edits in a split rule is kept, in the scale of what was there before."""

from __future__ import annotations

import re

import pytest

from tidegate.engine.snapshot import RouteStage
from tidegate.traffic.backends import Backends, Names, original_of, written

NAMES = Names("shop", "web")
ROW = re.compile(r"^ {8}(web \d[^\n]*?) {2,}(web \d[^\n]*?) {2,}\S", re.MULTILINE)
EXAMPLES = ROW.findall(original_of.__doc__ or "")


def backends_of(words: str) -> Backends:
    """Read `web 3, legacy 1`."""
    return [{"name": name, "weight": int(weight)} for name, weight in (entry.split() for entry in words.split(", "))]


USERS = backends_of("web 3, legacy 1")


@pytest.mark.parametrize(("there", "original"), EXAMPLES)
def test_each_example_of_the_docstring_is_true(there: str, original: str):
    """Each line of the docstring is what the function returns."""
    assert backends_of(original) == original_of(backends_of(there), NAMES, lambda: [USERS])


def test_the_first_example_is_what_the_operator_writes():
    """The story that the docstring begins with is the operator's own write, and without a reading its shares are the same."""
    there = backends_of(EXAMPLES[0][0])

    assert there == written(USERS, NAMES, stage=RouteStage.SPLIT, weight=10)
    assert backends_of("web 30, legacy 10") == original_of(there, NAMES, list)
    assert len(EXAMPLES) == 5
