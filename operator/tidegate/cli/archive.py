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
from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import RELEASE_RECORDS
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
