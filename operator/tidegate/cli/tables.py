"""Tables for people, apart from the rest of what commands write: the library that draws them takes long to be imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from tidegate.cli import output

_WIDEST = 1000
"""Columns where there is no terminal that limits them."""


def write(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table that a terminal folds where it is too narrow; in a file or a pipe nothing is folded."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    terminal = output.is_terminal()
    Console(width=output.columns() if terminal else _WIDEST, highlight=False, no_color=not terminal).print(table)
