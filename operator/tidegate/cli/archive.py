"""ReleaseRecords for commands: from the cluster, or from a file that was exported, which an auditor has without one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.api.status import ReleaseStatus
from tidegate.cli import access
from tidegate.cli.output import fail
from tidegate.cluster.errors import Forbidden, NotFound
from tidegate.cluster.resources import (
    RELEASE_RECORDS,
    RELEASES,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from tidegate.governance.admission import RECORDS_POLICY, standing
from tidegate.governance.records import Head

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

Json = dict[str, Any]
File = Annotated[
    Path | None,
    typer.Option(
        "--file", "-f", help="Read what `kubectl get rr -o json` has written in place of the cluster; - for stdin. Default: none."
    ),
]
STATUS = "the Release's status"
"""What has the head of a chain, for people."""


@dataclass(frozen=True)
class Archive:
    """Records that were found.

    Attributes:
        records: the objects.
        heads: by namespace, name and uid of the Releases that there are, the head of their chain.
    """

    records: list[Json]
    heads: Mapping[tuple[str, str, str], Head] = field(default_factory=dict)

    def of(self, chosen: access.Chosen | None, release: str | None) -> list[Json]:
        """Return the specs of one Release or of all, the oldest first."""
        namespace = chosen.namespace if chosen is not None else None
        found = [
            spec
            for spec in map(spec_of, self.records)
            if release in (None, spec.get("release")) and namespace in (None, spec.get("namespace"))
        ]
        return sorted(found, key=lambda spec: (str(spec.get("endedAt", "")), _number(spec)))


def read(
    name: str | None, namespace: str | None, kubeconfig: str | None, context: str | None, *, everywhere: bool, file: Path | None
) -> tuple[Archive, access.Chosen | None]:
    """Return the records of a file, or of the Releases that are chosen in the cluster; the command ends where none can be read."""
    if file is not None:
        return Archive(from_file(file)), access.Chosen(namespace) if namespace else None
    chosen = access.chosen(name, namespace, kubeconfig, context, everywhere=everywhere)
    return access.ask(kubeconfig, context, lambda _, cluster: _found(cluster, chosen)), chosen


def from_file(file: Path) -> list[Json]:
    """Return the records in a file: a List, one object, or an array of some; the command ends where it has none."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        fail(f"--file: {file} cannot be read as JSON: {error}")
    items = document.get("items", [document]) if isinstance(document, dict) else document
    listed = items if isinstance(items, list) else [None]
    found = [one for one in listed if isinstance(one, dict) and one.get("kind", RELEASE_RECORDS.kind) == RELEASE_RECORDS.kind]
    if len(found) != len(listed):
        fail(f"--file: {file} has something else than ReleaseRecords: write it by kubectl get releaserecords -A -o json")
    return found


def from_stream(file: Path) -> list[Json]:
    """Return the records in an audit stream; other lines are passed over, as are lines that a full disk has cut short."""
    try:
        with sys.stdin if str(file) == "-" else file.open(encoding="utf-8", errors="replace") as lines:
            # What cannot be a record need not be read as JSON: a stream has a hundred lines for each.
            return [record for line in lines if '"record"' in line and (record := _of_line(line)) is not None]
    except OSError as error:
        fail(f"--stream: {file} cannot be read: {error.strerror or type(error).__name__}")


def _of_line(line: str) -> Json | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    found = document.get("record") if isinstance(document, dict) and document.get("kind") == "record" else None
    return found if isinstance(found, dict) and isinstance(found.get("spec"), dict) else None


def environment_before(spec: Mapping[str, Any], file: Path | None, kubeconfig: str | None, context: str | None) -> str | None:
    """Return the environment that a version comes from: that of the first Release which its own followed or came after.

    Args:
        spec: of the rollout's record.
        file: where records are read from: those of that Release have its environment. None for the cluster, which has the Release.
        kubeconfig: of the cluster.
        context: of the kubeconfig.
    """
    keys = [(str(one.get("namespace")), str(one.get("release"))) for one in spec.get("after") or () if not one.get("cluster")]
    if not keys:
        return None
    if file is None:
        return access.ask(kubeconfig, context, lambda _, cluster: _environment(cluster, keys))
    known = {
        (str(one.get("namespace")), str(one.get("release"))): str(one["environment"])
        for one in map(spec_of, from_file(file) if str(file) != "-" else [])
        if one.get("environment")
    }
    return next((known[key] for key in keys if key in known), None)


def unguarded(kubeconfig: str | None, context: str | None) -> str:
    """Return why others than the operator could write records; empty where they could not, or the caller may not know."""
    return access.ask(kubeconfig, context, lambda _, cluster: _unguarded(cluster))


async def _unguarded(cluster: Cluster) -> str:
    found: list[Json | None] = []
    for resource in (VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS):
        try:
            found.append(await cluster.get(resource.path(None, RECORDS_POLICY)))
        except Forbidden:
            return ""
        except NotFound:
            found.append(None)
    return standing(found[0], found[1], RECORDS_POLICY).trouble


async def _environment(cluster: Cluster, keys: Iterable[tuple[str, str]]) -> str | None:
    for key in keys:
        try:
            found = (await cluster.get(RELEASES.path(*key))).get("spec") or {}
        except (NotFound, Forbidden):
            # What the caller may not read is left out.
            continue
        if found.get("environment"):
            return str(found["environment"])
    return None


async def _found(cluster: Cluster, chosen: access.Chosen) -> Archive:
    records = (await cluster.list(RELEASE_RECORDS.path(chosen.namespace))).items
    mine = [one for one in records if chosen.name in (None, spec_of(one).get("release"))]
    try:
        releases = await access.releases(cluster, chosen)
    except NotFound:
        # It may be gone, and its records are there still.
        releases = []
        if not mine:
            raise
    return Archive(mine, dict(_heads(releases)))


def _heads(releases: Iterable[Mapping[str, Any]]) -> Iterable[tuple[tuple[str, str, str], Head]]:
    for one in releases:
        metadata, status = one["metadata"], access.status_of(one)
        yield (metadata["namespace"], metadata["name"], metadata["uid"]), head_of(status)


def head_of(status: ReleaseStatus) -> Head:
    """Return the last record of a Release that is to be there; those that are being written may be there or not."""
    chain = status.records
    if chain is None:
        return Head(0, "", STATUS)
    if not chain.pending:
        return Head(chain.number, chain.hash or "", STATUS)
    return Head(min(one.number for one in chain.pending) - 1, chain.hash or "", STATUS, latest=chain.number)


def spec_of(record: Mapping[str, Any]) -> Json:
    """Return the spec of a record; empty where a hand has left none."""
    spec = record.get("spec")
    return spec if isinstance(spec, dict) else {}


def _number(spec: Mapping[str, Any]) -> int:
    number = spec.get("number")
    return number if isinstance(number, int) else 0
