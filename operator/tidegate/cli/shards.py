"""`tidegate shards`: which replica works on which shard, where replicas share Releases out; for one Release, on that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.api.base import parse_time
from tidegate.cli import access, options, output, tables
from tidegate.cli.output import Format
from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import LEASES
from tidegate.cluster.roster import shards_of
from tidegate.runtime.sharding import shard_of

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

HEADINGS = ("SHARD", "REPLICA", "RENEWED")
NOBODY = "nobody"
Json = dict[str, Any]


def shards(
    *,
    name: options.OneOrAll = None,
    namespace: access.Namespace = None,
    system: Annotated[str, typer.Option("--operator-namespace", help="Namespace of the operator.")] = "tidegate-system",
    lease: Annotated[str, typer.Option("--lease", help="Name of the operator's Lease (leaderElection.leaseName).")] = "tidegate",
    form: Annotated[Format, typer.Option("--output", "-o", help="text, or json for machines.")] = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Show which replica of the operator works on which shard, or on a Release.

    Ends with 0; with 1 if one of those shown has no replica, or with 2 if Leases could not be read.
    """
    place = namespace or access.namespace_of(kubeconfig, context) if name is not None else ""
    found = access.ask(kubeconfig, context, lambda _, cluster: _leases(cluster, system, lease))
    if name is not None:
        found = [found[shard_of(place, name, len(found))]]
    if form is Format.JSON:
        output.write_json(found)
    else:
        tables.write(HEADINGS, map(_row, found))
    if not all(one["replica"] for one in found):
        raise typer.Exit(1)


async def _leases(cluster: Cluster, namespace: str, name: str) -> list[Json]:
    """Return who holds what, shard by shard; one where Releases are not shared out."""
    common = await cluster.get(LEASES.path(namespace, name))
    count = shards_of(common)
    if count == 1:
        return [_held(0, common)]
    found = await asyncio.gather(*(_lease(cluster, namespace, f"{name}-shard-{shard}") for shard in range(count)))
    return [_held(shard, one) for shard, one in enumerate(found)]


async def _lease(cluster: Cluster, namespace: str, name: str) -> Json:
    try:
        return await cluster.get(LEASES.path(namespace, name))
    except NotFound:
        return {}


def _held(shard: int, lease: Json) -> Json:
    """Return who works on a shard: a Lease that has run out is nobody's."""
    spec = lease.get("spec") or {}
    holder, renewed = str(spec.get("holderIdentity") or ""), spec.get("renewTime")
    age = (datetime.now(UTC) - parse_time(renewed)).total_seconds() if renewed else None
    over = age is not None and age > float(spec.get("leaseDurationSeconds") or 0)
    replica = "" if over else holder.rpartition("_")[0]
    return {"shard": shard, "replica": replica or None, "renewedSeconds": None if age is None else round(age, 1)}


def _row(held: Json) -> Sequence[str]:
    age = held["renewedSeconds"]
    return [str(held["shard"]), held["replica"] or NOBODY, "" if age is None else f"{age:.0f} s ago"]
