"""`tidegate status`: where each Release is, in one table or one after the other as things change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.api.flagged import FlagStatus
from tidegate.cli import access, options, output, tables
from tidegate.cli.output import Format
from tidegate.cluster.errors import ApiError, Expired, Silent
from tidegate.cluster.resources import RELEASES

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

HEADINGS = ("NAMESPACE", "RELEASE", "VERSION", "CANDIDATE", "PHASE", "STEP", "WEIGHT", "READY", "MESSAGE")
AGAIN_SECONDS = 1.0
"""Between attempts to follow an API server that is away."""
Json = dict[str, Any]


def status(
    *,
    name: options.OneOrAll = None,
    namespace: access.Namespace = None,
    everywhere: access.Everywhere = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, and write each change of a message, until interrupted.")
    ] = False,
    form: Annotated[
        Format, typer.Option("--output", "-o", help="text, or json for machines; with --watch a line each.")
    ] = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Show where Releases are: version, candidate, phase, weight, and in words what is happening and what it waits for.

    Ends with 0, or with 2 if Releases could not be read. With --watch it ends when it is interrupted.
    """
    chosen = access.chosen(name, namespace, kubeconfig, context, everywhere=everywhere)
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            access.ask(kubeconfig, context, lambda _, cluster: _follow(cluster, chosen, form))
        return
    found = access.ask(kubeconfig, context, lambda _, cluster: access.releases(cluster, chosen))
    if form is Format.JSON:
        output.write_json([_wire(release) for release in found])
        return
    tables.write(HEADINGS, map(_row, found))


async def _follow(cluster: Cluster, chosen: access.Chosen, form: Format) -> None:
    """Write each Release as it is, and again whenever phase, weight or message have changed."""
    told: dict[tuple[str, str], Any] = {}
    # The first list is to fail aloud: a right that is missing, or a cluster that is not there.
    await access.releases(cluster, chosen)
    async for kind, release in _changes(cluster, chosen):
        key = (release["metadata"]["namespace"], release["metadata"]["name"])
        shown = None if kind == "DELETED" else _wire(release)
        if told.get(key) == shown:
            continue
        told[key] = shown
        if form is Format.JSON:
            output.write_line(shown or {"namespace": key[0], "release": key[1], "deleted": True})
        else:
            typer.echo(_line(release) if shown is not None else f"{_now()} {key[0]}/{key[1]} was deleted")


async def _changes(cluster: Cluster, chosen: access.Chosen) -> AsyncIterator[tuple[str, Json]]:
    path, version = RELEASES.path(chosen.namespace), ""
    while True:
        try:
            if not version:
                listing = await cluster.list(path)
                version = listing.resource_version
                for release in filter(chosen.has, listing.items):
                    yield "ADDED", release
            async with contextlib.aclosing(cluster.watch(path, version)) as events:
                async for event in events:
                    version = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK" and chosen.has(event.object):
                        yield event.type, event.object
        except Expired:
            version = ""
        except Silent:
            continue
        except ApiError as error:
            typer.echo(f"tidegate: {error}; trying again", err=True)
            await asyncio.sleep(AGAIN_SECONDS)


def _wire(release: Json) -> Json:
    found, metadata = access.status_of(release), release["metadata"]
    candidate = found.candidate or found.wanted
    ready = next((one.status for one in found.conditions if one.type == "Ready"), "Unknown")
    return {
        "namespace": metadata["namespace"],
        "release": metadata["name"],
        "version": found.stable.version if found.stable is not None else None,
        "candidate": candidate.version if candidate is not None else None,
        "phase": found.phase.value,
        "step": found.progress,
        "weight": found.carried,
        "ready": ready,
        "message": found.message,
        "waitingFor": [entry.to_wire() for entry in found.waiting_for],
        "flags": [_flag(one) for one in found.flags],
    }


def _flag(one: FlagStatus) -> Json:
    """Return what is set and forced of a flag, for machines: no more than its name, and what everybody gets or how many."""
    setting = one.before if one.restore else one.given[-1] if one.given else None
    shown = {
        "name": one.name,
        "target": one.target,
        "switched": None if one.forced is None or one.released else "on" if one.forced == one.on else "off",
        "by": one.by or None,
        "inForce": one.in_force is not None if one.forced is not None else None,
        "variant": setting.variant if setting is not None else None,
        "percent": setting.percent if setting is not None else None,
        "set": one.done is not None if setting is not None else None,
        "message": one.message or None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _row(release: Json) -> Sequence[str]:
    shown = _wire(release)
    weight = f"{shown['weight']}%"
    parts = ("namespace", "release", "version", "candidate", "phase", "step")
    return [*(str(shown[part] or "") for part in parts), weight, shown["ready"], shown["message"]]


def _line(release: Json) -> str:
    shown = _wire(release)
    return f"{_now()} {shown['namespace']}/{shown['release']} {shown['phase']} {shown['weight']}%: {shown['message']}"


def _now() -> str:
    return f"{datetime.now(UTC):%H:%M:%S}"
