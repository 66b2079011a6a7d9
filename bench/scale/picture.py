"""Draws a soak: memory, handles and latency over time, as SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from bench.scale.trend import Point

WIDTH, PANEL, LEFT, TOP, GAP = 760, 110, 70, 34, 48
_STEPS = (1, 2, 5, 10)


def svg(soak: dict[str, Any]) -> str:
    """Return the picture.

    Args:
        soak: what `bench.scale.soak` has sampled: samples, latencies, seconds.
    """
    samples, whole = soak["samples"], soak["seconds"]
    panels = [
        ("resident memory, MB", [(one["at"], one["memory"]) for one in samples], True),
        ("open files and sockets", [(one["at"], float(one["handles"])) for one in samples], True),
        ("first bad reading to shut route, s", [(at, seconds) for at, seconds in soak["latencies"]], False),
    ]
    height = TOP + len(panels) * (PANEL + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<style>text { font: 12px sans-serif }</style>",
        f"<title>{escape(_words(panels, whole))}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (title, points, line) in enumerate(panels):
        lines += _panel(title, points, whole, TOP + number * (PANEL + GAP), line=line)
    return "\n".join([*lines, "</svg>"]) + "\n"


def ceiling(value: float) -> float:
    """Return the least of 1, 2, 5, 10, 20, 50 and so on, also below 1, that a value does not exceed."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.001
    while True:
        for step in _STEPS:
            if step * power >= value:
                return step * power
        power *= 10


def _panel(title: str, points: Sequence[Point], whole: float, top: float, *, line: bool) -> list[str]:
    right, bottom = WIDTH - 20, top + PANEL
    most = ceiling(max((value for _, value in points), default=1.0))
    places = [(LEFT + (right - LEFT) * at / whole, bottom - PANEL * value / most) for at, value in points]
    found = [f'<text x="{LEFT}" y="{top - 8:g}" fill="#111111">{escape(title)}</text>']
    for share in (0.0, 0.5, 1.0):
        y = bottom - PANEL * share
        found.append(f'<line x1="{LEFT}" y1="{y:g}" x2="{right}" y2="{y:g}" stroke="#d0d0d0"/>')
        found.append(f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end" fill="#444444">{most * share:g}</text>')
    for sixth in range(7):
        x = LEFT + (right - LEFT) * sixth / 6
        minutes = f"{whole / 60 * sixth / 6:.3g} min" if sixth in {0, 6} else f"{whole / 60 * sixth / 6:.3g}"
        found.append(f'<text x="{x:.1f}" y="{bottom + 15:g}" text-anchor="middle" fill="#444444">{minutes}</text>')
    if line:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        found.append(f'<polyline points="{path}" fill="none" stroke="#0b57d0" stroke-width="1.5"/>')
    else:
        found += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="#0b57d0" fill-opacity="0.6"/>' for x, y in places]
    return found


def _words(panels: Sequence[tuple[str, Sequence[Point], bool]], whole: float) -> str:
    parts = [
        f"{title} between {min(values):.3g} and {max(values):.3g}"
        for title, points, _ in panels
        if (values := [v for _, v in points])
    ]
    return f"A soak of {whole / 60:.3g} minutes: {'; '.join(parts)}"
