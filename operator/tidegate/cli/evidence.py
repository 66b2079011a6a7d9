"""`tidegate evidence`: what auditors ask for of one rollout, as files: log, metrics, approvals, manifest, and a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli import access, archive, migrated, options, output
from tidegate.cli import evidence_documents as documents
from tidegate.cli.evidence_page import page
from tidegate.cli.output import Format
from tidegate.cli.records import decided, one, ran

CHANGED = 1
"""Exit status where the record is not as it was written."""


def evidence(
    *,
    name: options.Recorded,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files; it is made.")],
    version: options.RecordedVersion = None,
    file: archive.File = None,
    namespace: access.Namespace = None,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Write the evidence of one rollout, from its ReleaseRecord.

    The files are promotion.log, metrics.json, approval.json and manifest.json with a JSON schema each, and report.html, which
    has all of it in one page that needs no network.

    Ends with 0, with 1 if the record's content does not match its hash, or with 2 if there is no such record.
    """
    spec = one(name, version, file, (namespace, kubeconfig, context))
    before = archive.environment_before(spec, file, kubeconfig, context)
    try:
        files = texts(spec, before)
    except (ValueError, KeyError, TypeError) as error:
        output.fail(f"record {spec.get('id')} cannot be read: {type(error).__name__}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for called, text in files.items():
            (out / called).write_text(text, encoding="utf-8")
    except OSError as error:
        output.fail(f"--out: {out} cannot be written: {error.strerror or type(error).__name__}")
    verified = documents.of(spec).verified
    if form is Format.JSON:
        output.write_json({"id": spec.get("id"), "verified": verified, "files": [str(out / called) for called in files]})
    else:
        for called in files:
            typer.echo(str(out / called))
    if not verified:
        typer.echo(f"tidegate: the content of record {spec.get('id')} does not match its hash: it was changed", err=True)
        raise typer.Exit(CHANGED)


def texts(spec: Mapping[str, Any], before: str | None = None) -> dict[str, str]:
    """Return the files by name.

    Args:
        spec: of the record.
        before: environment that the version comes from; None where none is known.

    Raises:
        ValueError: the record is none that the schema of its kind lets through; so do KeyError and TypeError.
    """
    made = {"manifest": documents.manifest(spec, before), "approval": documents.approval(spec), "metrics": documents.metrics(spec)}
    found = {"promotion.log": "".join(f"{line}\n" for line in log(spec))}
    for called, document in made.items():
        found[f"{called}.json"] = _json(document.model_dump(mode="json"))
        found[f"{called}.schema.json"] = _json(documents.SCHEMAS[called].model_json_schema())
    return found | {"report.html": page(spec)}


def log(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield what happened, a line each, in its order."""
    version = documents.version(spec)
    lines = [
        (str(spec.get("seenAt")), 0, f"{version} was first seen"),
        (
            str(spec.get("startedAt")),
            1,
            f"rollout of {version} over {documents.version(spec, 'from')} started under {spec.get('policy')}",
        ),
        *((str(said.get("at")), 2, decided(said)) for said in spec.get("decisions") or ()),
        *((str(run.get("ended")), 2, ran(run)) for run in spec.get("checks") or () if run.get("ended")),
        *((at, 3, words) for at, words in migrated.lines(spec)),
        *((str(at.get("at")), 3, f"weight {at.get('weight')}%{_step(at)}") for at in spec.get("course") or ()),
    ]
    if spec.get("undoAt"):
        lines.append((str(spec["undoAt"]), 4, f"rollback of {version} began"))
    ended = str(spec.get("endedAt"))
    lines += [
        (ended, 5, f"gate {gate.get('name')}: {gate.get('verdict')}: {gate.get('message', '')}") for gate in spec.get("gates") or ()
    ]
    lines.append((ended, 6, f"{spec.get('outcome')} ({spec.get('cause')}): {spec.get('message', '')}"))
    yield f"# {spec.get('namespace')}/{spec.get('release')} {spec.get('id')} {spec.get('hash')}"
    if omitted := documents.omitted(spec):
        yield f"# not recorded, for want of room: {', '.join(omitted)}"
    yield from (f"{at} {' '.join(words.split())}" for at, _, words in sorted(lines, key=lambda line: line[:2]))


def _step(at: Mapping[str, Any]) -> str:
    return f" (step {at['step']})" if at.get("step") else ""


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
