"""`tidegate audit verify`: whether the records of Releases are as the operator has written them, in a cluster or in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli import access, archive, options, output
from tidegate.cli.archive import Archive
from tidegate.cli.output import Format
from tidegate.governance.records import Finding, Head, against, chains, verify

BROKEN = 1
"""Exit status where a chain is not as it was written."""
_HEAD = re.compile(r"(\d{1,9})(?:[:/=](sha256:[0-9a-f]{64}))?")


class What(StrEnum):
    """What an audit does."""

    VERIFY = "verify"


@dataclass(frozen=True)
class Verified:
    """One chain.

    Attributes:
        namespace: of the Release.
        release: its name.
        uid: its uid.
        numbers: of the records that are there, in order.
        hash: of the last of them; empty where there is none.
        head: the last record as something else has it; None where nothing does.
        findings: what is wrong.
    """

    namespace: str
    release: str
    uid: str
    numbers: tuple[int, ...]
    hash: str
    head: Head | None
    findings: tuple[Finding, ...]

    def to_wire(self) -> dict[str, Any]:
        """Return it for machines."""
        told = {"namespace": self.namespace, "release": self.release, "releaseUID": self.uid, "records": len(self.numbers)}
        span = {"first": self.numbers[0], "last": self.numbers[-1], "hash": self.hash} if self.numbers else {}
        found = [{"fault": one.fault.value, "record": one.record, "message": one.words} for one in self.findings]
        return told | span | {"endKnown": self.head is not None, "whole": not self.findings, "findings": found}


def audit(
    *,
    what: Annotated[What, typer.Argument(metavar="verify", help="What to do: verify.")],
    name: options.OneOrAll = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            help="With RELEASE: number, or NUMBER:HASH, of its last record, as the operator's log has it. "
            "Default: as the Release's status has it.",
        ),
    ] = None,
    file: archive.File = None,
    stream: Annotated[
        Path | None,
        typer.Option("--stream", help="Compare with the records of this audit stream, kept outside of the cluster; - for stdin."),
    ] = None,
    namespace: access.Namespace = None,
    everywhere: access.Everywhere = False,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Verify the chains of ReleaseRecords: name each record that was changed, is missing, was moved, or was put in.

    That the last ones were deleted is found by the Release's status, or by --head from the operator's log or the metric
    tidegate_record_chain_head, collected where those who write in the cluster cannot write. With --stream each record that was
    exported has to be there as it was, as long as its chain is kept: a chain that was deleted whole is missed, too.

    Exits with 0 where all is as it was written, with 1 where it is not, or with 2 if records could not be read.
    """
    assert what is What.VERIFY
    told = _told(head, name)
    found, chosen = archive.read(name, namespace, kubeconfig, context, everywhere=everywhere, file=file)
    place = chosen.namespace if chosen is not None else None
    exported = archive.from_stream(stream) if stream is not None else None
    verified = [one for one in of(found, told, exported or ()) if name in (None, one.release) and place in (None, one.namespace)]
    if form is Format.JSON:
        output.write_json([one.to_wire() for one in verified])
    else:
        for line in _lines(verified):
            typer.echo(line)
    if not verified:
        typer.echo("there are no records", err=True)
    if exported == []:
        typer.echo(f"--stream: {stream} has no records: is it the audit stream of this version?", err=True)
    if file is None and (guard := archive.unguarded(kubeconfig, context)):
        typer.echo(f"others than the operator could write records: {guard}", err=True)
    if any(one.findings for one in verified):
        raise typer.Exit(BROKEN)


def of(found: Archive, told: Head | None = None, exported: Iterable[Mapping[str, Any]] = ()) -> list[Verified]:
    """Return what is to be said of each chain; of Releases that are to have records and have none, too.

    Args:
        found: the records that there are.
        told: the last record of the one chain, as the user has it; None for what the statuses say.
        exported: copies of records of any chains.
    """
    parted, copies = chains(found.records), chains(exported)
    known = {key for key, head in found.heads.items() if head.number > 0}
    return [
        _verified(key, parted.get(key, []), told or found.heads.get(key), copies.get(key, []))
        for key in sorted(parted.keys() | known | copies.keys())
    ]


def _verified(
    key: tuple[str, str, str], records: list[Mapping[str, Any]], head: Head | None, copies: list[Mapping[str, Any]]
) -> Verified:
    specs = sorted(
        (spec for one in records if isinstance((spec := archive.spec_of(one)).get("number"), int)), key=lambda spec: spec["number"]
    )
    last = str(specs[-1].get("hash", "")) if specs else ""
    return Verified(*key, tuple(spec["number"] for spec in specs), last, head, (*verify(records, head), *against(records, copies)))


def _told(head: str | None, name: str | None) -> Head | None:
    if head is None:
        return None
    if name is None:
        output.fail("--head: give the name of the Release as well")
    read = _HEAD.fullmatch(head)
    if read is None:
        output.fail("--head: give a number, or NUMBER:HASH with the hash as in the operator's log, such as 8:sha256:...")
    return Head(int(read[1]), read[2] or "", "--head")


def _lines(verified: list[Verified]) -> Iterator[str]:
    for one in verified:
        place = f"{one.namespace}/{one.release}"
        span = f"{len(one.numbers)} records" + (f", {one.numbers[0]} to {one.numbers[-1]}" if one.numbers else "")
        if not one.findings:
            end = "" if one.head is not None else "; whether the last ones were deleted is not known: give --head"
            yield f"{place}: whole ({span}), head {one.hash}{end}"
            continue
        yield f"{place}: not as it was written ({span})"
        yield from (f"  {finding.fault.value} {finding.record}: {finding.words}" for finding in one.findings)
