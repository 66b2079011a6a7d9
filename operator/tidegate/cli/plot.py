"""Evidence over time, drawn with plain characters for a terminal and as SVG for a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.sax.saxutils import escape

from tidegate.judge.explain import odds

_FLOOR = -1.0
"""Evidence below this power of ten is drawn on the floor: how far below nothing it is tells nothing."""
_NARROWEST = 40
_WIDEST = 120
_LABEL = 13
_RED, _YELLOW, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[0m"


@dataclass(frozen=True)
class Series:
    """Evidence of harm over time.

    Attributes:
        title: what it is of.
        since: time of the first point.
        step: time between two points.
        points: powers of ten.
        needed: the power of ten that is enough for a verdict.
    """

    title: str
    since: datetime
    step: timedelta
    points: tuple[float, ...]
    needed: float

    def at(self, index: float) -> datetime:
        """Return the time of a point."""
        return self.since + index * self.step

    @property
    def top(self) -> float:
        """The highest power of ten that a drawing has to show."""
        return max(self.needed * 1.15, *(point for point in self.points if math.isfinite(point)), 1.0)


def text(series: Series, *, width: int, height: int = 10, colour: bool = False) -> list[str]:
    """Draw a series with ASCII characters, one string per line.

    Args:
        series: what to draw; nothing is drawn of a series without points.
        width: columns of the terminal.
        height: lines of the drawing itself.
        colour: whether to write ANSI colours.
    """
    if not series.points:
        return []
    columns = max(_NARROWEST, min(width, _WIDEST)) - _LABEL - 2
    values = _resampled(series.points, columns)
    top = series.top
    rows = [_FLOOR + (top - _FLOOR) * (height - 1 - row) / (height - 1) for row in range(height)]
    line = _nearest(rows, series.needed)
    labels = _labels(rows, series, line)
    lines = []
    for row in range(height):
        cells = ["-" if row == line else " " for _ in range(columns)]
        for column, value in enumerate(values):
            if value is not None and _nearest(rows, value) == row:
                cells[column] = "*"
        drawn = "".join(cells).rstrip()
        lines.append(f"{labels.get(row, ''):>{_LABEL}} |{_coloured(drawn, row <= line) if colour else drawn}")
    lines.append(f"{'':>{_LABEL}} +{'-' * columns}")
    first, last = f"{series.since:%H:%M:%S}", f"{series.at(len(series.points) - 1):%H:%M:%S} UTC"
    lines.append(f"{'':>{_LABEL}}  {first}{last:>{columns - len(first)}}")
    return lines


def svg(series: Sequence[Series], *, title: str) -> str:
    """Return a picture of several series, one below the other, that needs nothing from outside."""
    width, panel, margin = 860, 220, 90
    height = 50 + panel * len(series)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape('; '.join(one.title for one in series))}: evidence of harm over time</desc>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{margin}" y="26" font-size="16">{escape(title)}</text>',
    ]
    for index, one in enumerate(series):
        parts += _panel(one, left=margin, top=70 + index * panel, width=width - margin - 30, height=panel - 80)
    return "\n".join([*parts, "</svg>", ""])


def _panel(series: Series, *, left: int, top: int, width: int, height: int) -> list[str]:
    highest, span = series.top, max(1, len(series.points) - 1)

    def place(index: float, value: float) -> str:
        clipped = min(max(value, _FLOOR), highest)
        return f"{left + width * index / span:.1f},{top + height * (highest - clipped) / (highest - _FLOOR):.1f}"

    def level(value: float, colour: str, dashes: str) -> str:
        (x1, y1), (x2, y2) = place(0, value).split(","), place(span, value).split(",")
        return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"{dashes}/>'

    def label(value: float, colour: str = "#444444") -> str:
        y = float(place(0, value).split(",")[1])
        return f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{colour}">{odds(value)}</text>'

    ticks = [tick for tick in _ticks(highest) if abs(tick - series.needed) > (highest - _FLOOR) / 12]
    line = " ".join(place(index, value) for index, value in enumerate(series.points))
    last = f"{series.at(len(series.points) - 1):%H:%M:%S} UTC"
    return [
        f'<text x="{left}" y="{top - 10}" font-weight="bold">{escape(series.title)}</text>',
        *(level(tick, "#dddddd", "") for tick in ticks),
        *(label(tick) for tick in ticks),
        level(series.needed, "#c62828", ' stroke-dasharray="6 4"'),
        label(series.needed, "#c62828"),
        f'<polyline points="{line}" fill="none" stroke="#1565c0" stroke-width="2"/>',
        f'<text x="{left}" y="{top + height + 18}" fill="#444444">{series.since:%Y-%m-%d %H:%M:%S}</text>',
        f'<text x="{left + width}" y="{top + height + 18}" text-anchor="end" fill="#444444">{last}</text>',
    ]


def _resampled(points: Sequence[float], columns: int) -> list[float | None]:
    """Spread the points over the columns; of several in one column the strongest is shown, between two each is drawn on."""
    if len(points) == 1:
        return [points[0], *([None] * (columns - 1))]
    values: list[float | None] = []
    for column in range(columns):
        first, last = column * len(points) / columns, (column + 1) * len(points) / columns
        values.append(max(points[int(first) : max(int(first) + 1, math.ceil(last))]))
    return values


def _labels(rows: Sequence[float], series: Series, line: int) -> dict[int, str]:
    """Name the line of what is needed and the powers of ten around it, each on the row that is nearest."""
    labels = {_nearest(rows, tick): odds(tick) for tick in _ticks(series.top)}
    kept = {row: label for row, label in labels.items() if abs(row - line) > 1}
    return {**kept, line: odds(series.needed)}


def _ticks(top: float) -> list[float]:
    step = max(1, math.ceil(top / 5))
    return [float(power) for power in range(0, math.floor(top) + 1, step)]


def _nearest(rows: Sequence[float], value: float) -> int:
    return min(range(len(rows)), key=lambda row: abs(rows[row] - value))


def _coloured(drawn: str, enough: bool) -> str:  # noqa: FBT001 - a private helper of one caller
    return f"{_RED if enough else _YELLOW}{drawn}{_PLAIN}" if "*" in drawn else drawn
