"""The glossary and the code have the same words."""

from __future__ import annotations

import re
from enum import Enum

import pytest

from tidegate.api.gate import BreachAction, Judge, NoDataVerdict
from tidegate.api.names import Phase, Verdict
from tidegate.engine.snapshot import RouteStage, Verb
from unit.docs.pages import ROOT, text_of

TERM = re.compile(r"^\| ([^|`]+) \| `(\w+)` \| ([^|]+) \|$", re.MULTILINE)
FIELD, INSIDE = text_of("docs/glossary.md").split("## Words of the inside")
TERMS = [found.groups() for found in TERM.finditer(FIELD + INSIDE)]


def test_each_word_of_the_glossary_is_in_the_code() -> None:
    """Given a name in the second column, then the operator's source has it: no word outlives what it named."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "operator" / "tidegate").rglob("*.py"))
    names = set(re.findall(r"\w+", code))

    assert [] == [name for _, name, _ in TERMS if name not in names]


def test_each_word_is_there_once() -> None:
    """Given two lines for one word, then it is not known which is meant."""
    terms = [term for term, _, _ in TERMS]

    assert len(terms) > 50
    assert sorted(set(terms)) == sorted(terms)


@pytest.mark.parametrize(
    "names", [Phase, Verb, Verdict, BreachAction, NoDataVerdict, Judge, RouteStage], ids=lambda one: one.__name__
)
def test_what_the_api_calls_things_is_in_the_glossary(names: type[Enum]) -> None:
    """Given a phase, request, verdict, action, judge or stage of the API, then the glossary has it."""
    there = {word.lower() for word in re.findall(r"`([\w-]+)`", FIELD)}
    words = [one.value if isinstance(one.value, str) else one.name for one in names]

    assert [] == [word for word in words if word.lower() not in there]


def test_the_words_that_names_are_made_of_are_those_of_the_glossary() -> None:
    """The list in CONTRIBUTING.md is made of the glossary's first table; a new term goes into both."""
    terms = ", ".join(term for term, _, _ in TERM.findall(FIELD))
    text = " ".join(text_of("CONTRIBUTING.md").split())

    assert f"Names are the field's own ([glossary](docs/glossary.md)): {terms}." in text
