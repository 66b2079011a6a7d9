"""`tidegate waits`: what each Release waits for, and the command that opens it, in one list for whoever has to say yes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from tidegate.api.base import format_duration
from tidegate.api.waiting import WaitingFor
from tidegate.cli import access, output
from tidegate.cli.output import Format
from tidegate.governance.times import moment


@dataclass(frozen=True)
class Waiter:
    """A Release that waits.

    Attributes:
        namespace: its namespace.
        name: its name.
        version: what waits.
        phase: where the Release is.
        weight: share of the traffic that the version has meanwhile, in percent.
        barriers: what it waits for.
    """

    namespace: str
    name: str
    version: str
    phase: str
    weight: int
    barriers: tuple[WaitingFor, ...]

    def to_wire(self) -> dict[str, Any]:
        """Return it for machines."""
        barriers = [entry.to_wire() for entry in self.barriers]
        told = {"namespace": self.namespace, "release": self.name, "version": self.version, "phase": self.phase}
        return told | {"weight": self.weight, "waitingFor": barriers}


def waits(
    *,
    name: Annotated[str | None, typer.Argument(metavar="[RELEASE]", help="Only this Release. Default: all.")] = None,
    namespace: access.Namespace = None,
    everywhere: access.Everywhere = False,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """List the Releases whose new version waits for people or times: for what, since when, and what opens it.

    Ends with 0, or with 2 if Releases could not be read.
    """
    chosen = access.chosen(name, namespace, kubeconfig, context, everywhere=everywhere)
    released = access.ask(kubeconfig, context, lambda _, cluster: access.releases(cluster, chosen))
    found = [waiter for waiter in map(_waiter, released) if waiter.barriers]
    if form is Format.JSON:
        output.write_json([waiter.to_wire() for waiter in found])
        return
    for line in _lines(found, datetime.now(UTC)):
        typer.echo(line)
    if not found:
        typer.echo("nothing waits for people or times", err=True)


def _waiter(release: dict[str, Any]) -> Waiter:
    metadata, status = release["metadata"], access.status_of(release)
    on, wanted = status.candidate, status.wanted
    version = on.version if on is not None else wanted.version if wanted is not None else "the next version"
    return Waiter(metadata["namespace"], metadata["name"], version, status.phase.value, status.weight, status.waiting_for)


def _lines(found: list[Waiter], now: datetime) -> Iterator[str]:
    for waiter in found:
        title = f"{waiter.namespace}/{waiter.name}: {waiter.version} waits at {waiter.weight}%"
        yield typer.style(title, bold=True) if output.is_terminal() else title
        for entry in waiter.barriers:
            until = f", until {moment(entry.until)}" if entry.until is not None else ""
            yield f"  {entry.barrier} (for {_age(now - entry.since)}{until}): {entry.what}"
            if entry.how:
                yield f"    {entry.how}"


def _age(span: timedelta) -> str:
    """Write how long ago something was, in its largest unit, as kubectl does."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return format_duration(timedelta(seconds=seconds))
