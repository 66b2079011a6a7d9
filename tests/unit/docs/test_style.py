"""Sentences that users see are plain: none has a pattern that STYLE.md advises against, and the first clause fits a terminal."""

from __future__ import annotations

import pytest

from messages import style
from messages.catalogue import FOLDER, written
from unit.docs.pages import text_of

ALLOWED = set(written("allowed"))
"""What has a pattern all the same, as `<pattern>: <sentence>`: only ever shorter."""
FILES = sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem not in {"allowed", "untold"})
READ_AS_THEY_ARE = ("status", "events", "verdicts")


def offences() -> set[str]:
    """Return all sentences with a pattern, and those whose first clause is too long."""
    told = {(name, line) for name in FILES for line in written(name)}
    told |= {("reference", cell.strip()) for line in text_of("docs/reference.md").splitlines() for cell in line.split("|")[4:5]}
    found = {f"{pattern}: {line}" for _, line in told for pattern in style.found(line)}
    long = {line for name, line in told if name in READ_AS_THEY_ARE and len(style.first_clause(line)) > style.LONGEST}
    return found | {f"first clause: {line}" for line in long}


def test_no_new_sentence_has_a_pattern_to_be_avoided() -> None:
    """Given a sentence that must be read twice, then it is found here; STYLE.md has what to write instead."""
    assert set() == offences() - ALLOWED


def test_what_is_allowed_only_gets_shorter() -> None:
    """Given a sentence that was rewritten, then it is struck off the list."""
    assert set() == ALLOWED - offences()


@pytest.mark.parametrize(
    ("sentence", "patterns"),
    [
        ("the route was put back", ["put right, put back"]),
        ("v2 begins anew", ["anew"]),
        ("the Service of which the routes are shifted", ["of which"]),
        ("requests find nobody", ["nobody"]),
        ("as onDeadline says", ["told, says, asks of programs"]),
        ("nothing is known unless it is read", ["double negation"]),
        ("v2 has all traffic; v1 keeps running for 3s", []),
        ("the API server does not know releases.tidegate.dev: apply crds/ first", []),
    ],
)
def test_patterns_are_what_they_say(sentence: str, patterns: list[str]) -> None:
    """Each pattern finds what it is for, and plain sentences have none."""
    assert patterns == style.found(sentence)
