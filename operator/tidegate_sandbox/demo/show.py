"""What a person sees while the demo plays: lines as things change, and on a terminal a table that is alive."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_STYLE = {
    "Progressing": "cyan",
    "Baking": "cyan",
    "Promoting": "cyan",
    "Promoted": "green",
    "Paused": "yellow",
    "RollingBack": "red",
    "RolledBack": "red",
}
_WIDE = 110
"""Columns of a terminal that has room for what each version is like."""


@dataclass(frozen=True)
class Row:
    """One version in the table; values are empty where there is none yet, and are those of the new version and of stable."""

    version: str
    story: str
    state: str = ""
    weight: str = ""
    error_rate: str = ""
    p99: str = ""
    requests: str = ""
    failed: str = ""


class Show:
    """Lines for everybody; where the console is a terminal, a table below them."""

    def __init__(self, begun: float, console: Console | None = None) -> None:
        """Prepare; ``begun`` is the time (``time.time``) that lines count from."""
        self._begun = begun
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end_table()

    def end_table(self) -> None:
        """Leave the table as it is; what is printed from now on comes below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def line(self, text: str) -> None:
        """Print a line with the time; an empty line not at all, and the same line twice in a row once."""
        if text and text != self._last:
            self._last = text
            self.text(f"{time.time() - self._begun:6.1f} s  {text}")

    def text(self, text: str) -> None:
        """Print a text as it is."""
        self._console.print(Text(text))

    def table(self, rows: Sequence[Row], caption: str) -> None:
        """Show the table as it is now; nothing where there is no terminal."""
        if self._live is not None:
            if not self._live.is_started:
                self._live.start()
            self._live.update(draw(rows, caption, wide=self._console.width >= _WIDE), refresh=True)


def draw(rows: Sequence[Row], caption: str, *, wide: bool = True) -> Table:
    """Return the table; a narrow one leaves out what each version is like."""
    table = Table(box=SIMPLE, caption=caption, caption_justify="left", pad_edge=False)
    table.add_column("Version", no_wrap=True, min_width=7)
    if wide:
        table.add_column("What it is like")
    table.add_column("State", no_wrap=True, min_width=11)
    for name, width in (("Weight", 6), ("Errors", 11), ("P99", 12), ("Requests", 8), ("Failed", 6)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(
            Text(row.version, "bold"),
            *([row.story] if wide else []),
            Text(row.state, _STYLE.get(row.state, "")),
            row.weight,
            row.error_rate,
            row.p99,
            row.requests,
            Text(row.failed, "red" if row.failed not in {"", "0"} else ""),
        )
    return table
