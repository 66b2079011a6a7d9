"""The cases themselves, and the table."""

from __future__ import annotations

from field import cases, report
from field.case import filled, merged
from field.checks import CHECKS
from field.hands import HANDS
from field.manifests import shop
from field.play import Result


def test_each_case_can_be_played() -> None:
    """Names are unique, and what a case refers to is there."""
    names = [one.name for one in cases.ALL]
    assert len(names) == len(set(names))
    for one in cases.ALL:
        assert one.right
        assert set(one.before) | set(one.then) <= set(shop())
        assert set(one.checks) <= set(CHECKS)
        assert set(one.hands) <= set(HANDS)
        assert one.then or one.kubectl


def test_a_merge_patch_replaces_lists_and_takes_fields_away() -> None:
    """As RFC 7386 has it."""
    assert merged({"a": {"b": 1, "c": [1, 2]}}, {"a": {"b": None, "c": [3], "d": 4}}) == {"a": {"c": [3], "d": 4}}


def test_words_are_filled_in_wherever_they_stand() -> None:
    """Values and names of fields; no word changes what it was filled into."""
    assert filled({"$A": ["x$A", 1, {"y": "$B"}]}, {"$A": "a", "$B": "b"}) == {"a": ["xa", 1, {"y": "b"}]}


def test_the_table_is_honest() -> None:
    """A wrong case says what is wrong, and failures that the change itself has caused stand apart."""
    good = Result("good", "kind", "promoted", "", "promoted", "v2 serves", 100, 0, 3)
    bad = Result("bad", "kind", "promoted", "", "under way", "waits", 100, 7, 0, wrong="7 of 100 requests failed")

    said = report.table([good, bad])

    assert "| good | kind | promoted | 0 (and 3 by what befell Service or pods) | 100 | right |" in said
    assert "| bad | kind | under way | 7 | 100 | **wrong**: 7 of 100 requests failed |" in said
    assert "1 of 2 cases are right." in said
