"""What the bench writes: a list of figures as JSON, and tables to read."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Figure


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: its heading.
        text: how to read the table.
        table: lines of Markdown.
        figures: what it measured.
    """

    title: str
    text: str
    table: list[str]
    figures: list[Figure]


def keep(section: Section, path: Path) -> None:
    """Store a section, so that a later run of other parts can write it again beside its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wire = {"title": section.title, "text": section.text, "table": section.table}
    path.write_text(json.dumps({**wire, "figures": [figure.to_wire() for figure in section.figures]}))


def kept(path: Path) -> Section | None:
    """Return a section that was stored; None where there is none."""
    if not path.exists():
        return None
    wire = json.loads(path.read_text())
    return Section(wire["title"], wire["text"], wire["table"], [Figure.from_wire(figure) for figure in wire["figures"]])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]


def minutes(seconds: float) -> str:
    """Write a time, in seconds where it is less than two minutes."""
    if math.isinf(seconds):
        return "never"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def write_json(sections: Sequence[Section], path: Path) -> None:
    """Write all figures as a list of {cell, measured, limit, holds}."""
    figures = [figure.to_wire() for section in sections for figure in section.figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")


def write_page(sections: Sequence[Section], path: Path, *, setting: str) -> None:
    """Write the page of results.

    Args:
        sections: in order.
        path: the page.
        setting: how many runs, on what.
    """
    lines = [*INTRODUCTION, *_wrapped(setting), "", *_summary(sections), ""]
    for section in sections:
        lines += [f"## {section.title}", "", *_wrapped(section.text), "", *section.table, ""]
    path.write_text("\n".join(lines).rstrip() + "\n")


def _summary(sections: Sequence[Section]) -> list[str]:
    figures = [figure for section in sections for figure in section.figures if figure.limit is not None]
    failed = [figure for figure in figures if not figure.holds]
    if not failed:
        return [f"All {len(figures)} figures that have a limit are within it."]
    rows = [
        [figure.cell, f"{figure.measured:.3g}", f"{figure.limit:.3g}", figure.note] for figure in failed if figure.limit is not None
    ]
    head = f"{len(figures) - len(failed)} of {len(figures)} figures that have a limit are within it. These are not:"
    return [head, "", *table(["figure", "measured", "limit", "why"], rows)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


INTRODUCTION = [
    "# What the judge was measured to do",
    "",
    "Written by `make bench-judge`, which generates the traffic, shows it to the judge Evidence and to what other tools do",
    "with the same counts, and also writes `bench/results/judge.json`. How the judge works is in [judge.md](judge.md).",
    "",
]
