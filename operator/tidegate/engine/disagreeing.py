"""What is told where a gate has two accounts of the same requests, and they differ: the one that is judged may be wrong."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.api.names import EventReason
from tidegate.engine.transitions import Alert
from tidegate.engine.words import words


@dataclass(frozen=True)
class SourcesDisagree(Alert):
    """Prometheus and what was read directly for a gate, or pushed, tell different things, for minutes."""

    id = "sources-disagree"
    reason = EventReason.SOURCES_DISAGREE
    gate: str
    message: str


@words.register
def _(it: SourcesDisagree) -> str:
    return f"Gate {it.gate} is judged without Prometheus: {it.message}"
