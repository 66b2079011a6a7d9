"""What a backtest on past data found, for people and for machines.

A replay may come to another end than the rollout did in fact; why is said here, or the table would be taken for a mistake.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import typer

from tidegate.api.base import format_duration, format_time
from tidegate.api.names import Cause, EventReason
from tidegate.api.policy import RolloutPolicySpec
from tidegate.backtest.replay import VERDICT, Entry, Outcome, Past, Result
from tidegate.cli import output, tables
from tidegate.cli.output import Format
from tidegate.judge import explain
from tidegate.judge.words import count

_BY_GATES = frozenset({Cause.GATE, Cause.NO_DATA, Cause.PROMOTED})
"""Causes of an end that gates have a part in."""
_COLOURS = {
    Outcome.PROMOTED: typer.colors.GREEN,
    Outcome.ROLLED_BACK: typer.colors.RED,
    Outcome.PAUSED: typer.colors.YELLOW,
    Outcome.UNFINISHED: typer.colors.BLUE,
}


@dataclass(frozen=True)
class Replayed:
    """One policy over one past."""

    policy: str
    spec: RolloutPolicySpec
    past: Past
    result: Result

    @property
    def release(self) -> str:
        """Namespace and name."""
        return f"{self.past.names.namespace}/{self.past.names.release}"

    @property
    def after(self) -> timedelta:
        """Time from the beginning to what was decided."""
        return max(timedelta(0), self.result.at - self.past.start)

    @property
    def blind(self) -> bool:
        """Whether no gate ever had enough data, so that nothing can be said."""
        looks, starved = self.result.looks, self.result.starved
        return bool(self.spec.gates) and all(starved.get(gate.name, 0) >= looks.get(gate.name, 0) for gate in self.spec.gates)

    def to_wire(self) -> dict[str, Any]:
        """Return it as a document for machines."""
        result, gates = self.result, {gate.name: gate for gate in self.spec.gates}
        return {
            "release": self.release,
            "policy": self.policy,
            "from": format_time(self.past.start),
            "to": format_time(self.past.end),
            "outcome": result.outcome.value,
            "at": format_time(result.at),
            "afterSeconds": self.after.total_seconds(),
            "gate": result.gate or None,
            "message": result.message,
            "fact": None if self.past.fact is None else self.past.fact.to_wire() | {"gates": None},
            "differs": list(differences(self)),
            "warnings": list(result.warnings),
            "looks": result.looks,
            "undecidedLooks": result.starved,
            "timeline": [
                {
                    "at": format_time(one.at),
                    "weight": one.weight,
                    "reason": one.reason,
                    "message": one.message,
                    "warning": one.warning,
                }
                for one in result.timeline
            ],
            "gates": [explain.to_wire(state, gates.get(state.name)) for state in result.status.gates],
        }


def tell(found: Sequence[Replayed], form: Format) -> None:
    """Write what was found: a table with the policies side by side for each Release, then what would have happened."""
    if form is Format.JSON:
        output.write_json([one.to_wire() for one in found])
        return
    for release in dict.fromkeys(one.release for one in found):
        several = [one for one in found if one.release == release]
        past = several[0].past
        typer.echo(f"{release}: {past.version}, {past.start:%Y-%m-%d %H:%M:%S} to {past.end:%Y-%m-%d %H:%M:%S} UTC\n")
        _table(several)
        for one in several:
            typer.echo("")
            for line in _story(one):
                typer.echo(line)
        typer.echo("")


def _table(several: Sequence[Replayed]) -> None:
    tables.write(("POLICY", "OUTCOME", "AT (UTC)", "AFTER", "GATE", "WARNINGS"), map(_row, several))


def _row(one: Replayed) -> tuple[str, ...]:
    result = one.result
    after = format_duration(timedelta(seconds=round(one.after.total_seconds())))
    return (one.policy, result.outcome.value, f"{result.at:%H:%M:%S}", after, result.gate or "-", str(len(result.warnings)))


def _told_once(timeline: Sequence[Entry]) -> Iterator[Entry]:
    """Leave out verdicts whose words stand in the Event that they lead to."""
    for entry in timeline:
        _, _, words = entry.message.partition(". ")
        same = [other for other in timeline if other.at == entry.at and other.reason == EventReason.GATE_BREACHED]
        if entry.reason != VERDICT or not any(words in other.message for other in same):
            yield entry


def differences(one: Replayed) -> Iterator[str]:
    """Say what has become of the version in fact, and why that is otherwise than here; nothing where it is the same."""
    fact, result = one.past.fact, one.result
    if fact is None or fact.outcome.value == result.outcome.value:
        return
    yield f"In fact it was {fact.outcome.value} at {fact.finished_at:%H:%M:%S} UTC: {fact.message}"
    if fact.cause not in _BY_GATES:
        yield f"The gates did not cause that ({fact.cause}), and only gates are replayed."
        return
    here = {state.name: state.evidence for state in result.status.gates}
    for state in fact.gates:
        was, now = state.evidence, here.get(state.name)
        if was is None or now is None:
            continue
        counts = [f"{count(found.canary_bad or 0)} of {count(found.canary_requests)}" for found in (was, now)]
        bad = "the same counts, so the policies differ" if counts[0] == counts[1] else f"it counts {counts[1]} here"
        yield f"Gate {state.name} had counted {counts[0]} requests of the new version as bad when it ended; {bad}."
    yield (
        "A replay checks at other instants, uses what Prometheus has now, and knows nothing of the time before the first "
        "traffic: near the limit its verdict may differ."
    )


def _story(one: Replayed) -> list[str]:
    width, result = max(60, output.columns()), one.result
    head = typer.style(f"{one.policy}: {result.outcome.value}", fg=_COLOURS[result.outcome], bold=True)
    lines = [head]
    for entry in _told_once(result.timeline):
        start = f"  {entry.at:%H:%M:%S} {entry.weight:>3}%  "
        text = f"{entry.reason}: {entry.message}"
        lines += textwrap.wrap(text, width, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)
    if result.outcome is Outcome.UNFINISHED:
        start = f"  {result.at:%H:%M:%S} {result.status.weight:>3}%  "
        text = f"The data ends: {result.message}"
        lines += textwrap.wrap(text, width, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)
    for text in differences(one):
        lines += textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    for gate in one.spec.gates:
        looks, starved = result.looks.get(gate.name, 0), result.starved.get(gate.name, 0)
        if looks and starved == looks:
            state = next((state for state in result.status.gates if state.name == gate.name), None)
            why = f": {state.message}" if state is not None else ""
            text = f"  gate {gate.name}: none of its {looks} checks had enough data{why}"
            lines += textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)
    return lines
