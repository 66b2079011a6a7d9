"""The page of `tidegate evidence`: one HTML file with pictures of its own, which needs no network and prints well.

All that people have written is escaped; there is no script, and the page forbids itself to load anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from tidegate.api.base import parse_time
from tidegate.cli.commits import commit
from tidegate.cli.evidence_documents import Of, of, version

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 860, 220, 44, 12, 28
_BAR = 22
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 900px; padding: 0 1rem; color: #1b2430; }
h1 { font-size: 1.5rem; margin-bottom: 0.2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 0.25rem 0.6rem 0.25rem 0; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid #c5ccd6; } td { border-bottom: 1px solid #e6e9ee; overflow-wrap: anywhere; }
.good { color: #19703a; } .bad { color: #b3261e; } .quiet { color: #5b6675; } svg { width: 100%; height: auto; }
@media print { body { margin: 0; max-width: none; } }
"""
_HEAD = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
)
Spec = Mapping[str, Any]


def page(spec: Spec) -> str:
    """Return the page of a record."""
    record = of(spec)
    good = spec.get("outcome") == "Promoted"
    title = f"{record.name}: {version(spec, 'from')} to {version(spec)}"
    parts = [
        f"{_HEAD}<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="{"good" if good else "bad"}"><strong>{_escaped(spec, "outcome")}</strong>: {_escaped(spec, "message")}</p>',
        _facts(spec),
        "<h2>Share of the traffic</h2>",
        _course(spec),
        "<h2>Gates</h2>",
        _gates(spec.get("gates") or ()),
        "<h2>Decisions</h2>",
        _decisions(spec.get("decisions") or ()),
        *_runs(spec.get("checks") or ()),
        _migrations(spec.get("migrations") or ()),
        f'<p class="quiet">Record {_escaped(spec, "id")}, number {record.number}, {escape(record.hash)}: {_verdict(record)}</p>',
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _escaped(spec: Spec, name: str) -> str:
    return escape(str(spec.get(name, "")))


def _verdict(record: Of) -> str:
    return "its content has this hash." if record.verified else '<strong class="bad">its content has another hash.</strong>'


def _facts(spec: Spec) -> str:
    images = ", ".join(f"{name}: {image}" for name, image in ((spec.get("to") or {}).get("images") or {}).items())
    authors = ", ".join(f"{one.get('name')}" + (" (claimed)" if one.get("claimed") else "") for one in spec.get("authors") or ())
    hotfix = spec.get("hotfix") or {}
    rows = (
        ("Environment", spec.get("environment")),
        ("Type", spec.get("type")),
        ("Workload", spec.get("workload")),
        ("Policy", spec.get("policy")),
        ("Images", images),
        ("Content", spec.get("digest")),
        ("Authors", authors),
        ("Hotfix", f"by {hotfix.get('by')}, without {', '.join(hotfix.get('skipped') or ())}" if hotfix else None),
        ("Commit", commit(spec)),
        ("First seen", spec.get("seenAt")),
        ("Started", spec.get("startedAt")),
        ("First traffic", spec.get("exposedAt")),
        ("Rolled back from", spec.get("undoAt")),
        ("Ended", spec.get("endedAt")),
        ("Not recorded, for want of room", ", ".join(spec.get("omitted") or ())),
    )
    return _table((), ((label, str(value)) for label, value in rows if value))


def _course(spec: Spec) -> str:
    """Return a picture of the weight over time, as steps."""
    try:
        begin, end = parse_time(spec.get("startedAt")), parse_time(spec.get("endedAt"))
        points = [(parse_time(one["at"]), max(0, min(100, int(one["weight"])))) for one in spec.get("course") or ()]
    except (ValueError, KeyError, TypeError):
        return '<p class="quiet">The course cannot be read.</p>'
    span = max((end - begin).total_seconds(), 1e-3)

    def x(at: datetime) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * min(1.0, max(0.0, (at - begin).total_seconds() / span))

    def y(weight: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - weight / 100)

    way, before = [f"M{x(begin):.1f} {y(0):.1f}"], 0
    for at, weight in points:
        way.append(f"L{x(at):.1f} {y(before):.1f} L{x(at):.1f} {y(weight):.1f}")
        before = weight
    last = before if spec.get("outcome") == "Promoted" else 0
    way.append(f"L{x(end):.1f} {y(before):.1f} L{x(end):.1f} {y(last):.1f}")
    lines = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#dde2e9"/>'
        f'<text x="{_LEFT - 6}" y="{y(share) + 4:.1f}" text-anchor="end" font-size="12" fill="#5b6675">{share}%</text>'
        for share in (0, 50, 100)
    )
    times = "".join(
        f'<text x="{place:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}" font-size="12" fill="#5b6675">'
        f"{at:%Y-%m-%d %H:%M:%S} UTC</text>"
        for place, anchor, at in ((_LEFT, "start", begin), (_WIDTH - 8, "end", end))
    )
    label = f"Weight of {version(spec)} from start to end"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{lines}{times}'
        f'<path d="{" ".join(way)}" fill="none" stroke="#2557a7" stroke-width="2"/></svg>'
    )


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    if not gates:
        return '<p class="quiet">No gate was read.</p>'
    rows = ((_cell(gate, name) for name in ("name", "verdict", "canary", "stable", "requests", "message")) for gate in gates)
    return _bars(gates) + _table(("Gate", "Verdict", "New version", "Stable", "Requests", "In words"), rows)


def _bars(gates: Sequence[Mapping[str, Any]]) -> str:
    """Return a picture of each gate's values side by side, each pair on a scale of its own."""
    pairs = [(str(gate.get("name")), _number(gate.get("canary")), _number(gate.get("stable"))) for gate in gates]
    shown = [(name, canary, stable) for name, canary, stable in pairs if canary is not None]
    if not shown:
        return ""
    drawn = "".join(_pair(index, *one) for index, one in enumerate(shown))
    height = (2 * _BAR + 16) * len(shown)
    label = "Values of the gates: the new version above, stable below"
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">{drawn}</svg>'


def _pair(index: int, name: str, canary: float | None, stable: float | None) -> str:
    top, most = (2 * _BAR + 16) * index, max(abs(canary or 0), abs(stable or 0)) or 1.0
    parts = [f'<text x="0" y="{top + 28}" font-size="13" fill="#1b2430">{escape(name)}</text>']
    for row, (value, colour) in enumerate(((canary, "#2557a7"), (stable, "#8a97a8"))):
        if value is not None:
            y, wide = top + row * (_BAR + 2) + 4, 480 * abs(value) / most
            parts.append(f'<rect x="240" y="{y}" width="{max(wide, 1):.1f}" height="{_BAR - 4}" fill="{colour}"/>')
            parts.append(f'<text x="{250 + wide:.1f}" y="{y + 14}" font-size="12" fill="#5b6675">{value:g}</text>')
    return "".join(parts)


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if abs(number) < 1e300 else None


def _decisions(decisions: Sequence[Mapping[str, Any]]) -> str:
    if not decisions:
        return '<p class="quiet">Nobody has decided anything on it.</p>'
    rows = ((_cell(one, name) for name in ("at", "action", "by", "role", "check", "result", "reason", "url")) for one in decisions)
    return _table(("When", "What", "Who", "As", "Check", "Result", "Why", "Report"), rows)


def _migrations(runs: Sequence[Mapping[str, Any]]) -> str:
    if not runs:
        return ""
    rows = ((_cell(one, name) for name in ("ended", "phase", "result", "job", "output", "message")) for one in runs)
    return "<h2>Backup and migrations</h2>" + _table(("When", "What", "Result", "Job", "Output", "Why it failed"), rows)


def _runs(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if runs:
        rows = ((_cell(one, name) for name in ("ended", "name", "at", "result", "by", "job", "attempt", "message")) for one in runs)
        yield "<h2>Checks</h2>"
        yield _table(("When", "Check", "At", "Result", "By", "Job", "Attempt", "Why"), rows)


def _cell(fields: Mapping[str, Any], name: str) -> str:
    return str(fields.get(name) or "")


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def cells(kind: str, values: Iterable[str]) -> Iterator[str]:
        yield "<tr>"
        yield from (f"<{kind}>{escape(value)}</{kind}>" for value in values)
        yield "</tr>"

    names = list(headings)
    head = "".join(cells("th", names)) if names else ""
    return f"<table>{head}{''.join(part for row in rows for part in cells('td', row))}</table>"
