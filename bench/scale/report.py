"""From the kept groups to the list of figures and the table of the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.measure import Figure
from bench.report import table
from bench.scale.figures import ROWS, Row

BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def read(path: Path) -> list[Figure]:
    """Return the figures of one group."""
    return [Figure.from_wire(wire) for wire in json.loads(path.read_text())["figures"]]


def merged(results: Path, groups: Iterable[Path]) -> list[Figure]:
    """Return the figures of groups, and for all others what was written last, in the order of the report.

    Args:
        results: the list that was written last.
        groups: files of the groups that take the places of theirs.
    """
    written = [Figure.from_wire(wire) for wire in json.loads(results.read_text())] if results.exists() else []
    found = {figure.cell: figure for figure in [*written, *(figure for path in groups for figure in read(path))]}
    # A limit may have been changed since a group was measured.
    return [Figure(row.cell, one.measured, row.limit, one.note) for row in ROWS if (one := found.get(row.cell)) is not None]


def kept(folder: Path) -> list[Path]:
    """Return the files of all groups that are kept, but for those of trials."""
    return [path for path in sorted(folder.glob("*.json")) if not path.name.endswith(".quick.json")]


def samples(path: Path) -> dict[str, Any] | None:
    """Return what a group has sampled over its time; None where it was not measured, or samples nothing."""
    found: dict[str, Any] | None = json.loads(path.read_text()).get("samples") if path.exists() else None
    return found


def write(figures: Sequence[Figure], results: Path, page: Path) -> None:
    """Write the results, and the tables between the marks of the page.

    Raises:
        ValueError: the page has no marks.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps([figure.to_wire() for figure in figures], indent=1) + "\n")
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for figures: it needs the lines {BEGIN} and {END}")
    page.write_text("\n".join([before + begin, "", *tables(figures), "", end + after]))


def tables(figures: Sequence[Figure]) -> list[str]:
    """Return the table of figures with limits, beside the peers', and that of those which are only printed."""
    by_cell = {figure.cell: figure for figure in figures}
    limited = [(row, by_cell[row.cell]) for row in ROWS if row.limit is not None and row.cell in by_cell]
    printed = [(row, by_cell[row.cell]) for row in ROWS if row.limit is None and row.cell in by_cell]
    head = ["figure", "Argo Rollouts 1.10", "Flagger 1.44", "limit", "Tidegate", "holds"]
    rows = [[row.cell, row.argo, row.flagger, number(row.limit), number(one.measured), _holds(one)] for row, one in limited]
    return [
        *table(head, rows),
        "",
        "Printed only:",
        "",
        *table(["figure", "Tidegate", "note"], [[row.cell, number(one.measured), one.note] for row, one in printed]),
    ]


def line(figure: Figure) -> str:
    """Return one line about a figure."""
    limit = "" if figure.limit is None else f", at most {number(figure.limit)}: {_holds(figure)}"
    return f"{figure.cell}: {number(figure.measured)}{limit}" + (f"  ({figure.note})" if figure.note else "")


def number(value: float | None) -> str:
    """Write a figure with three digits that count."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _holds(figure: Figure) -> str:
    return "yes" if figure.holds else "NO"


__all__ = ["BEGIN", "END", "Row", "kept", "line", "merged", "number", "read", "samples", "table", "tables", "write"]
