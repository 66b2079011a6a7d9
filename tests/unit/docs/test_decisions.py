"""The decisions in docs/adr: numbers, heads, parts, and an index that says the same."""

from __future__ import annotations

from datetime import date

from unit.docs.decisions import BACK, PAGE, decisions
from unit.docs.pages import DOCS, text_of


def test_decisions_are_numbered_without_gaps_and_have_their_four_parts() -> None:
    """The number of the file is that of the title, and each page says what else could have been done."""
    for expected, one in enumerate(decisions(), 1):
        assert one.number == f"{expected:04}"
        assert one.page.startswith(f"{one.number}-")
        text = (DOCS / "adr" / one.page).read_text(encoding="utf-8")
        assert [part for part in ("Context", "Decision", "Consequences", "Rejected") if f"**{part}.**" not in text] == []


def test_each_head_says_when_and_whether_it_still_holds() -> None:
    """Date and status come first; a decision is superseded if, and only if, its head says by which."""
    for one in decisions():
        assert list(one.head)[:2] == ["Date", "Status"], one.page
        assert set(one.head) - {"Date", "Status"} <= set(BACK), one.page
        assert date.fromisoformat(one.head["Date"]).isoformat() == one.head["Date"]
        assert one.head["Status"] == ("Superseded" if "Superseded by" in one.head else "Accepted"), one.page


def test_what_changes_a_decision_is_named_on_both_pages() -> None:
    """Whoever comes by the old page is led to the new one, and the other way round."""
    known = {one.number: one for one in decisions()}
    for one in known.values():
        for relation, back in BACK.items():
            named = one.others(relation)
            assert (relation in one.head) == bool(named), f"{one.page}: {relation}"
            assert sorted(named) == named
            assert [other for other in named if one.number not in known[other].others(back)] == [], f"{one.page}: {relation}"
            assert all(later > one.number for later in named if relation.endswith("by"))


def test_links_in_heads_are_whole() -> None:
    """What follows a relation is links to pages and nothing else."""
    for one in decisions():
        for relation in BACK:
            assert PAGE.sub("", one.head.get(relation, "")).strip(", ") == "", one.page


def test_the_index_shows_what_the_heads_say() -> None:
    """One row for each decision, in order, made of its head."""
    rows = [line for line in text_of("docs/adr/README.md").splitlines() if line.startswith("| [")]

    assert rows == [one.row for one in decisions()]
