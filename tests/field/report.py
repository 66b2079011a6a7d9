"""The table of cases and outcomes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

from field.play import Result

_SAID = 110
"""Characters of what was said that the table shows."""


def line(result: Result) -> str:
    """Return one result in a line, for people who wait."""
    verdict = "right" if result.right else "WRONG"
    said = textwrap.shorten(result.wrong or result.said, _SAID, placeholder=" ...")
    return f"{verdict}  {result.case:<28} {result.outcome or 'not played':<12} {result.seconds:5.0f} s  {said}"


def table(results: Sequence[Result]) -> str:
    """Return all results as one table in Markdown, and how many are right."""
    rows = ["| case | kind of fault | outcome | failed | of requests | |", "|---|---|---|---|---|---|"]
    for one in results:
        own = f" (and {one.own} by what befell Service or pods)" if one.own else ""
        verdict = "right" if one.right else f"**wrong**: {textwrap.shorten(one.wrong, 300, placeholder=' ...')}"
        rows.append(f"| {one.case} | {one.kind} | {one.outcome or 'not played'} | {one.failed}{own} | {one.requests} | {verdict} |")
    right = sum(one.right for one in results)
    return "\n".join([*rows, "", f"{right} of {len(results)} cases are right."])


def write(path: Path, results: Sequence[Result]) -> None:
    """Write everything that is known as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([one.document() for one in results], indent=2) + "\n")
