"""`tidegate history` and `tidegate record`: how rollouts went, from the ReleaseRecords that the operator has written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer

from tidegate.api.base import format_duration, parse_time
from tidegate.cli import access, archive, options, output, tables
from tidegate.cli.commits import commit
from tidegate.cli.output import Format

HEADINGS = ("NAMESPACE", "RELEASE", "ID", "FROM", "TO", "TYPE", "OUTCOME", "ENDED", "TOOK", "BY", "MESSAGE")
Json = dict[str, Any]


def history(
    *,
    name: options.OneOrAll = None,
    file: archive.File = None,
    namespace: access.Namespace = None,
    everywhere: access.Everywhere = False,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """List the rollouts that have ended, the oldest first: both versions, outcome, people and reason.

    Ends with 0, or with 2 if records could not be read.
    """
    found, chosen = archive.read(name, namespace, kubeconfig, context, everywhere=everywhere, file=file)
    specs = found.of(chosen, name)
    if form is Format.JSON:
        output.write_json(specs)
        return
    tables.write(HEADINGS, map(_row, specs))
    if not specs:
        typer.echo("no rollout is recorded", err=True)


def record(
    *,
    name: options.Recorded,
    version: options.RecordedVersion = None,
    file: archive.File = None,
    namespace: access.Namespace = None,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Show the record of one rollout: versions, people, weights with times, what the gates said, and how it ended.

    Ends with 0, or with 2 if there is no such record.
    """
    spec = one(name, version, file, (namespace, kubeconfig, context))
    if form is Format.JSON:
        output.write_json(spec)
        return
    for line in lines(spec):
        typer.echo(line)


def one(name: str, version: str | None, file: Path | None, where: tuple[str | None, str | None, str | None]) -> Json:
    """Return the record that is meant: of a Release the last one, or the last one of a version; or by its own name.

    Args:
        name: of the Release, or of the record.
        version: name or revision of a version; None for the last rollout.
        file: where records are read from; None for the cluster.
        where: namespace, kubeconfig and context, as the user has given them.
    """
    found, chosen = archive.read(None, *where, everywhere=False, file=file)
    named = [archive.spec_of(obj) for obj in found.records if (obj.get("metadata") or {}).get("name") == name]
    specs = named or found.of(chosen, name)
    wanted = [
        spec for spec in specs if version is None or version in (_version(spec, "to"), (spec.get("to") or {}).get("revision"))
    ]
    if not wanted:
        known = ", ".join(dict.fromkeys(_version(spec, "to") for spec in specs[-10:]))
        output.fail(f"no rollout of {version or name} is recorded" + (f"; the last ones are of {known}" if known else ""))
    return wanted[-1]


def lines(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield a record for people."""
    kind = f", {spec['type']}" if spec.get("type") else ""
    place = f"{spec.get('namespace')}/{spec.get('release')}"
    yield f"{place}: {_version(spec, 'from')} to {_version(spec, 'to')}{kind}: {spec.get('outcome')} ({spec.get('message', '')})"
    yield f"  record   {spec.get('id')}, number {spec.get('number')}, {spec.get('hash')}"
    together, omitted = (", ".join(spec.get(name) or ()) for name in ("movedWith", "omitted"))
    facts = {"policy": spec.get("policy"), "where": _where(spec), "with": together, "content": spec.get("digest")}
    facts |= {"omitted": omitted, "commit": commit(spec)}
    for label, value in facts.items():
        if value:
            yield f"  {label:<8} {value}"
    for container, image in ((spec.get("to") or {}).get("images") or {}).items():
        yield f"  image    {container}: {image}"
    for author in spec.get("authors") or ():
        yield f"  author   {author.get('name')}{' (claimed by a tool)' if author.get('claimed') else ''}"
    if spec.get("hotfix"):
        skipped = ", ".join(spec["hotfix"].get("skipped") or ()) or "nothing"
        yield f"  hotfix   by {spec['hotfix'].get('by')}, who skipped {skipped}"
    for decision in spec.get("decisions") or ():
        yield f"  decision {decision.get('at')} {decided(decision)}"
    for run in spec.get("checks") or ():
        yield f"  check    {run.get('ended', 'not over')} {ran(run)}"
    for label, name in (("seen", "seenAt"), ("started", "startedAt"), ("exposed", "exposedAt")):
        if spec.get(name):
            yield f"  {label:<8} {spec[name]}"
    for at in spec.get("course") or ():
        yield f"  weight   {at.get('at')} {at.get('weight')}%" + (f" (step {at['step']})" if at.get("step") else "")
    for gate in spec.get("gates") or ():
        yield f"  gate     {gate.get('name')}: {gate.get('verdict')}: {gate.get('message', '')}"
    yield f"  ended    {spec.get('endedAt')}, after {took(spec)}"


def decided(decision: Mapping[str, Any]) -> str:
    """Return a decision of a record for people."""
    role = f" as {decision['role']}" if decision.get("role") else ""
    check = f" check {decision['check']}: {decision.get('result')}" if decision.get("check") else ""
    why = f": {decision['reason']}" if decision.get("reason") else ""
    return f"{decision.get('action')} by {decision.get('by') or '?'}{role}{check}{why}"


def ran(run: Mapping[str, Any]) -> str:
    """Return what a check by a Job or a request came to, for people."""
    by = ", ".join(str(run[name]) for name in ("by", "job") if run.get(name))
    why = f": {run['message']}" if run.get("message") else ""
    return f"check {run.get('name')} at {run.get('at', 'Start')}: {run.get('result')}{f' by {by}' if by else ''}{why}"


def took(spec: Mapping[str, Any]) -> str:
    """Return how long a rollout took, for people."""
    try:
        span = parse_time(spec.get("endedAt")) - parse_time(spec.get("startedAt"))
    except ValueError:
        return "?"
    return format_duration(timedelta(seconds=max(0, round(span.total_seconds()))))


def _row(spec: Json) -> tuple[str, ...]:
    by = dict.fromkeys(str(decision.get("by") or "?") for decision in spec.get("decisions") or ())
    told = (
        spec.get("namespace"),
        spec.get("release"),
        spec.get("id"),
        _version(spec, "from"),
        _version(spec, "to"),
        spec.get("type"),
    )
    rest = (spec.get("outcome"), spec.get("endedAt"), took(spec), ", ".join(by), spec.get("message"))
    return tuple(str(value or "") for value in (*told, *rest))


def _version(spec: Mapping[str, Any], which: str) -> str:
    found = spec.get(which)
    return str(found.get("version") or found.get("revision") or "") if isinstance(found, Mapping) else ""


def _where(spec: Mapping[str, Any]) -> str:
    return ", ".join(str(spec[name]) for name in ("environment", "workload", "service") if spec.get(name))
