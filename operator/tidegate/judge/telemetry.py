"""What a look has found of a gate's metric, in words: how much of each version, how fresh, and whether it tells what is bad."""

from __future__ import annotations

from datetime import datetime

from tidegate.api.gate import Gate
from tidegate.api.metric import Source
from tidegate.judge import words
from tidegate.judge.reading import Reading


def in_words(gate: Gate, reading: Reading) -> str:
    """Return it in one sentence without a full stop, and before it what is wrong with clocks; empty where nobody has said."""
    shown = reading.shown
    if shown is None:
        return "; ".join(part for part in (reading.clock, reading.disagrees, reading.direct) if part)
    parts = [_of("the new version", shown.canary, _age(reading.newest, reading.at), gate)]
    if gate.versus_stable is not None:
        parts.append(_of("stable", shown.stable, _age(reading.newest_stable, reading.at), gate))
    return "; ".join(
        part for part in (reading.clock, reading.disagrees, shown.copies, *parts, shown.telling, reading.direct) if part
    )


def much(gate: Gate, number: int) -> str:
    """Write how much there is of a gate's metric, e.g. `3 processes`; what a series stands for is known of presets."""
    one, many = "series", "series"
    if (preset := gate.metric.preset) is not None:
        one, many = ("container", "containers") if preset.source is Source.KUBERNETES else ("process", "processes")
    return f"{number:,} {one if number == 1 else many}" if number else f"no {many}"


def _of(whose: str, number: int | None, age: str, gate: Gate) -> str:
    if number is None:
        return f"{whose}: {age}" if age else ""
    text = f"{whose}: {much(gate, number)}"
    return f"{text}, {age}" if number and age else text


def _age(newest: datetime | None, at: datetime) -> str:
    return "" if newest is None else f"newest sample {words.age(at - newest)} old"
