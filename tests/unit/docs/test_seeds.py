"""The page of five release processes: no line without what does it here, and the test that shows it."""

from __future__ import annotations

import re

from unit.docs.pages import ROOT, text_of

PAGE = text_of("docs/seeds.md")
SECTIONS = {title: body for part in PAGE.split("\n## ")[1:] for title, _, body in [part.partition("\n")]}
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
PROCESSES = ("A hub of workflows", "A promotion pipeline", "A platform on a trunk", "Seven phases", "A release manager with an API")


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its head."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_there_are_five_processes_and_what_is_missing() -> None:
    assert [*PROCESSES, "Not there"] == list(SECTIONS)
    assert [10 <= len(rows(name)) for name in PROCESSES] == [True] * 5


def test_no_line_is_without_what_shows_it() -> None:
    """Each has three cells, and the last one names a test or a command that runs one."""
    for name in PROCESSES:
        for row in rows(name):
            assert 3 == len(row), row
            shown = [ROOT / "docs" / path for path in LINK.findall(row[2])]
            assert [path for path in shown if path.is_file()] == shown, row
            assert shown or "`make " in row[2], row
            tests = [path for path in shown if "tests" in path.parts]
            assert tests or "`make " in row[2] or "results" in row[2], row


def test_what_is_not_there_says_what_to_do_until_then() -> None:
    assert all(len(row) == 2 and row[1] for row in rows("Not there"))
