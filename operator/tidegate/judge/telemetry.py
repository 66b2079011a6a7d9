"""What a look has found of a gate's metric, in words: how much of each version, how fresh, and whether it tells what is bad."""

from __future__ import annotations

from datetime import datetime

from tidegate.api.gate import Gate
from tidegate.api.metric import Source
from tidegate.judge import words
from tidegate.judge.reading import Reading


def in_words(gate: Gate, reading: Reading) -> str:
    """Return it in one sentence without a full stop; empty where Prometheus has not said."""
    shown = reading.shown
    if shown is None:
        return ""
    unit = _unit(gate)
    parts = [_of("the new version", shown.canary, _age(reading.newest, reading.at), unit)]
    if gate.versus_stable is not None:
        parts.append(_of("stable", shown.stable, _age(reading.newest_stable, reading.at), unit))
    return "; ".join(part for part in (*parts, shown.telling) if part)


def _unit(gate: Gate) -> tuple[str, str]:
    """Return what is counted, once and several times."""
    if gate.metric.preset is None:
        return "series", "series"
    return ("container", "containers") if gate.metric.preset.source is Source.KUBERNETES else ("process", "processes")


def _of(whose: str, number: int | None, age: str, unit: tuple[str, str]) -> str:
    one, many = unit
    if number is None:
        return f"{whose}: {age}" if age else ""
    much = f"{number:,} {one if number == 1 else many}" if number else f"no {many}"
    return f"{whose}: {much}, {age}" if number and age else f"{whose}: {much}"


def _age(newest: datetime | None, at: datetime) -> str:
    return "" if newest is None else f"newest sample {words.age(at - newest)} old"
