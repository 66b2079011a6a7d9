"""`tidegate verify`: whether Releases are back, in one table, from what is there and not from what was asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.api.base import parse_duration
from tidegate.api.names import LABEL_POD_TEMPLATE_HASH
from tidegate.caller.decisions import AGAIN_SECONDS
from tidegate.cli import access, options, output, tables
from tidegate.cli.deciding import NOT_DONE
from tidegate.cli.output import Format
from tidegate.cli.verified import HEADINGS, Pods, Seen, Verified, verified
from tidegate.cluster.errors import Forbidden, NotFound, TooManyRequests, Unavailable
from tidegate.cluster.resources import DEPLOYMENTS
from tidegate.traffic.routers import Routers

if TYPE_CHECKING:
    from tidegate.api.release import ReleaseSpec
    from tidegate.api.status import ReleaseStatus
    from tidegate.cluster.client import Cluster

Json = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """What is to be verified.

    Attributes:
        chosen: which Releases.
        version: name or revision that each is to have in force; None for whichever it has.
        group: only those of this group; None for all.
        versions: names or revisions by Release, which go before `version`.
    """

    chosen: access.Chosen
    version: str | None = None
    group: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def of(self, release: Json) -> str | None:
        """Return what a Release is to have in force."""
        return self.versions.get(str(release["metadata"]["name"]), self.version)


def verify(
    *,
    name: options.OneOrAll = None,
    group: options.InGroup = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Name or revision that is to be in force. Default: whichever is.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait until all are healthy; 0s: only look.")] = "5m",
    namespace: access.Namespace = None,
    everywhere: access.Everywhere = False,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Verify that Releases are back: a line for each with version, pods, traffic and gates, the verdict first.

    A Release is healthy if nothing is rolled out or back, all requests go to the version in force, and all its pods are ready. What
    is not yet is waited for, and each new reason goes to stderr. Nothing is changed.

    Exits with 0 if all are healthy, with 1 if one is not within the time, or with 2 if they could not be read.
    """
    longest = output.parsed("--timeout", parse_duration, timeout)
    if group is not None and (name is not None or everywhere):
        output.fail("--group: give it alone; a group is in one namespace")
    expected = Expected(access.chosen(name, namespace, kubeconfig, context, everywhere=everywhere), version, group)
    found = access.ask(kubeconfig, context, lambda _, cluster: until_healthy(cluster, expected, longest))
    if form is Format.JSON:
        output.write_json([one.to_wire() for one in found])
    show(found, form)


def show(found: Sequence[Verified], form: Format) -> None:
    """Write what was found for people, and end the command where one is not healthy."""
    if form is Format.TEXT and found:
        tables.write(HEADINGS, [one.row() for one in found])
    if not found:
        output.fail("there is no Release to verify")
    bad = [one for one in found if not one.healthy]
    if bad:
        names = ", ".join(f"{one.place} ({one.verdict})" for one in bad)
        typer.echo(f"tidegate: {len(bad)} of {len(found)} not healthy: {names}", err=True)
        raise typer.Exit(NOT_DONE)


async def until_healthy(cluster: Cluster, expected: Expected, patience: timedelta) -> list[Verified]:
    """Wait until all Releases are healthy, and tell on stderr what changes meanwhile.

    Args:
        cluster: the API.
        expected: what is to be verified.
        patience: for how long at most.

    Returns:
        What was found last, in the order of their names.

    Raises:
        ApiError: they may not be read, or the API server does not answer any more.
    """
    deadline, told = time.monotonic() + patience.total_seconds(), dict[str, str]()
    while True:
        found = sorted(await _look(cluster, expected), key=lambda one: one.place)
        late = time.monotonic() >= deadline
        if late or all(one.healthy for one in found):
            return found
        for one in found:
            words = f"{one.place}: {one.verdict}: {one.message}"
            if not one.healthy and told.get(one.place) != words:
                typer.echo(words, err=True)
            told[one.place] = words
        await asyncio.sleep(AGAIN_SECONDS)


async def _look(cluster: Cluster, expected: Expected) -> list[Verified]:
    """Look at all of them once; an API server that is away for a moment is asked again."""
    for left in reversed(range(_TRIES)):
        try:
            releases = await _releases(cluster, expected)
            sets: dict[str, list[Json] | None] = {}
            for namespace in {str(one["metadata"]["namespace"]) for one in releases}:
                sets[namespace] = await _replica_sets(cluster, namespace)
            return [await _one(cluster, one, sets, expected.of(one)) for one in releases]
        except (Unavailable, TooManyRequests):
            if not left:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
    raise AssertionError("unreachable")


async def _releases(cluster: Cluster, expected: Expected) -> list[Json]:
    if expected.group is None:
        return await access.releases(cluster, expected.chosen)
    return await access.group(cluster, expected.chosen.namespace or "default", expected.group)


_TRIES = 10
"""Of one look: an API server that restarts is away for some seconds."""


async def _one(cluster: Cluster, release: Json, sets: Mapping[str, list[Json] | None], version: str | None) -> Verified:
    status, spec = access.status_of(release), access.spec_of(release)
    namespace = str(release["metadata"]["namespace"])
    pods, trouble = await _pods(cluster, namespace, spec, status, sets[namespace])
    weight, missing = await _weight(cluster, namespace, spec, status)
    return verified(release, status, Seen(pods, weight, trouble or missing), version)


async def _replica_sets(cluster: Cluster, namespace: str) -> list[Json] | None:
    try:
        return await access.replica_sets(cluster, namespace)
    except Forbidden:
        return None


async def _pods(
    cluster: Cluster, namespace: str, spec: ReleaseSpec, status: ReleaseStatus, sets: list[Json] | None
) -> tuple[Pods | None, str]:
    """Return the pods of the version in force as they are now, and what is wrong with the workload; None where nobody may look."""
    target = spec.target_ref
    try:
        deployment = await cluster.get(DEPLOYMENTS.path(namespace, target.name))
    except Forbidden:
        return None, ""
    except NotFound:
        return Pods(0, 0), f"{target.kind} {target.name} was not found"
    if sets is None or status.stable is None:
        return None, ""
    uid, ready = deployment["metadata"]["uid"], 0
    for one in sets:
        metadata = one["metadata"]
        labels, owners = metadata.get("labels") or {}, [owner.get("uid") for owner in metadata.get("ownerReferences") or ()]
        if uid in owners and labels.get(LABEL_POD_TEMPLATE_HASH) == status.stable.revision:
            ready += int((one.get("status") or {}).get("readyReplicas") or 0)
    return Pods(ready, int(deployment["spec"].get("replicas", 1))), ""


async def _weight(cluster: Cluster, namespace: str, spec: ReleaseSpec, status: ReleaseStatus) -> tuple[int | None, str]:
    """Return the share that the routes give another version as they are now, and which of them is not there.

    None where nobody may look, or there are none: then the status says it.
    """
    if spec.traffic is None:
        return None, ""
    routers, shares, service = Routers.all(), [0], status.shifted_service or spec.traffic.service
    for ref in routers.named(spec.traffic):
        router = routers.shifts(ref)
        try:
            route = await cluster.get(router.resource.path(namespace, ref.name))
        except Forbidden:
            return None, ""
        except NotFound:
            return None, f"{ref.label} was not found"
        view = router.observe(route, name=ref.name, namespace=namespace, service=service, known=status.original_rules)
        shares.append(round(view.weight))
    return max(shares), ""
