"""`tidegate waits`: what each Release waits for, and the command that opens it, in one list for whoever has to say yes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError

from tidegate.api.base import format_duration
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.waiting import WaitingFor
from tidegate.cli import access, holders, options, output
from tidegate.cli.holders import Grants
from tidegate.cli.output import Format
from tidegate.cluster.errors import Forbidden
from tidegate.governance.times import moment

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

APPROVAL, CHECK = "Approval", "Check"
"""The barriers of votes that are missing, and of checks that were not passed."""


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
        voters: of each role that lacks votes who can give them, in words.
        attesters: of each role that has to attest a check who can, in words.
    """

    namespace: str
    name: str
    version: str
    phase: str
    weight: int
    barriers: tuple[WaitingFor, ...]
    voters: Mapping[str, str] = field(default_factory=dict)
    attesters: Mapping[str, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        """Return it for machines."""
        barriers = [entry.to_wire() for entry in self.barriers]
        told = {"namespace": self.namespace, "release": self.name, "version": self.version, "phase": self.phase}
        who = {"voters": dict(self.voters), "attesters": dict(self.attesters)}
        return told | {"weight": self.weight, "waitingFor": barriers} | {name: found for name, found in who.items() if found}


def waits(
    *,
    name: options.OneOrAll = None,
    namespace: access.Namespace = None,
    everywhere: access.Everywhere = False,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """List the Releases whose new version waits for people or times: for what, since when, and what opens it.

    Below a missing vote stands who can give it, as far as you may list the bindings of roles.

    Ends with 0, or with 2 if Releases could not be read.
    """
    chosen = access.chosen(name, namespace, kubeconfig, context, everywhere=everywhere)
    found = access.ask(kubeconfig, context, lambda _, cluster: _found(cluster, chosen))
    if form is Format.JSON:
        output.write_json([waiter.to_wire() for waiter in found])
        return
    for line in _lines(found, datetime.now(UTC)):
        typer.echo(line)
    if not found:
        typer.echo("nothing waits for people or times", err=True)


async def _found(cluster: Cluster, chosen: access.Chosen) -> list[Waiter]:
    """Return those that wait; bindings are read once for a namespace, and only where votes are missing."""
    grants: dict[str, Grants] = {}
    found = []
    for release in await access.releases(cluster, chosen):
        waiter = _waiter(release)
        lacking = {entry.barrier: entry.what for entry in waiter.barriers if entry.barrier in (APPROVAL, CHECK)}
        if lacking:
            if waiter.namespace not in grants:
                grants[waiter.namespace] = await holders.read(cluster, waiter.namespace)
            spec, there, place = await _policy(cluster, release), grants[waiter.namespace], (waiter.name, waiter.namespace)
            seats = _seats(spec, lacking.get(APPROVAL, ""))
            voters = {role: holders.told(there, role, needed, *place) for role, needed in seats.items()}
            roles = _attesters(spec, lacking.get(CHECK, ""))
            waiter = replace(waiter, voters=voters, attesters={role: holders.told_attesters(there, role, *place) for role in roles})
        found.append(waiter)
    return [waiter for waiter in found if waiter.barriers]


async def _policy(cluster: Cluster, release: dict[str, Any]) -> RolloutPolicySpec | None:
    """Return the policy of the rollout, or of the one to come; None where it cannot be read."""
    rollout = access.status_of(release).rollout
    if rollout is not None:
        return rollout.spec
    try:
        policy = await access.policy(cluster, release["metadata"]["namespace"], access.spec_of(release)) or {}
        return RolloutPolicySpec.model_validate(policy.get("spec") or {})
    except (Forbidden, ValidationError):
        return None


def _seats(spec: RolloutPolicySpec | None, lacking: str) -> dict[str, int]:
    """Return how many people each of the roles needs that lack votes."""
    seats = holders.seats(spec.all_approvals) if spec is not None else {}
    return {role: needed for role, needed in seats.items() if f"by role {role} (" in lacking}


def _attesters(spec: RolloutPolicySpec | None, lacking: str) -> list[str]:
    """Return the roles that have to attest what is missing."""
    found = holders.attesters(spec.checks) if spec is not None else {}
    return [role for role, names in found.items() if any(f"check {name} by role {role}" in lacking for name in names)]


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
            who = {APPROVAL: waiter.voters, CHECK: waiter.attesters}.get(entry.barrier, {})
            yield from (f"    {words}" for words in who.values())


def _age(span: timedelta) -> str:
    """Write how long ago something was, in its largest unit, as kubectl does."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return format_duration(timedelta(seconds=seconds))
