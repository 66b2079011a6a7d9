"""`tidegate freeze` and `tidegate thaw`: no version starts or gets more traffic until somebody says so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from tidegate.api.base import SENTENCE, format_time, parse_duration, parse_time, plain
from tidegate.api.freeze import ReleaseFreezeSpec
from tidegate.api.names import API_VERSION
from tidegate.api.wrong import problems_of
from tidegate.cli import access, output
from tidegate.cli.output import Format
from tidegate.cluster.errors import AlreadyExists
from tidegate.cluster.resources import RELEASE_FREEZES
from tidegate.governance import commands

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label with its own name that the API server gives every namespace."""


def freeze(
    *,
    name: Annotated[str, typer.Argument(help="Name of the freeze, for example that of the incident.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why: it stands in the status of every Release that waits.")],
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long, e.g. 2h. Default: until somebody thaws it.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Until when, e.g. 2026-12-24T18:00:00Z.")] = None,
    begins: Annotated[str | None, typer.Option("--from", metavar="TIME", help="From when. Default: now.")] = None,
    namespaces: Annotated[
        list[str] | None, typer.Option("--in", metavar="NAMESPACE", help="Only Releases of this namespace; may be repeated.")
    ] = None,
    environments: Annotated[
        list[str] | None, typer.Option("--environment", "-e", help="Only Releases of this environment; may be repeated.")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--selector", "-l", metavar="KEY=VALUE", help="Only Releases with this label; repeatable."),
    ] = None,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Freeze releases: from now on no new version starts or gets more traffic, in the whole cluster or where the options say.

    What rolls back goes on: a breach takes the traffic away as ever. You need the right to create releasefreezes, which the
    ClusterRole tidegate-freezes has.

    Ends with 0, also if there is such a freeze already; with 2 if there is another one of that name, or it could not be made.
    """
    if lasting is not None and until is not None:
        output.fail("give --for or --until, not both")
    start = output.parsed("--from", parse_time, begins) if begins is not None else None
    end = output.parsed("--until", parse_time, until) if until is not None else None
    if lasting is not None:
        try:
            end = (start or datetime.now(UTC)) + output.parsed("--for", parse_duration, lasting)
        except OverflowError:
            output.fail("--for: there are no years beyond 9999")
    spec = _spec(reason, (start, end), namespaces or [], environments or [], dict(map(_label, labels or ())))
    body = {"apiVersion": API_VERSION, "kind": RELEASE_FREEZES.kind, "metadata": {"name": name}, "spec": spec}
    made = access.ask(kubeconfig, context, lambda _, cluster: _made(cluster, body))
    if form is Format.JSON:
        output.write_json(made)
        return
    where = _where(made["spec"])
    lasts = f"until {made['spec']['until']}, or sooner" if made["spec"].get("until") else "until somebody ends it"
    typer.echo(f"ReleaseFreeze {name}: {where} are frozen {lasts}: {commands.thaw(name)}")


def thaw(
    *,
    name: Annotated[str, typer.Argument(help="Name of the freeze.")],
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """End a freeze: what waited for it goes on at once, unless another one counts.

    Ends with 0, or with 2 if there is no such freeze, or it could not be ended.
    """

    async def end(_: object, cluster: Any) -> dict[str, Any]:
        found: dict[str, Any] = await cluster.get(RELEASE_FREEZES.path(None, name))
        await cluster.delete(RELEASE_FREEZES.path(None, name), uid=found["metadata"]["uid"])
        return found

    ended = access.ask(kubeconfig, context, end)
    if form is Format.JSON:
        output.write_json(ended)
        return
    typer.echo(f"ReleaseFreeze {name} has ended: {_where(ended['spec'])} go on")


def _spec(
    reason: str,
    times: tuple[datetime | None, datetime | None],
    namespaces: list[str],
    environments: list[str],
    selected: dict[str, str],
) -> dict[str, Any]:
    start, end = times
    named = {"key": NAMESPACE_NAME, "operator": "In", "values": namespaces}
    spec: dict[str, Any] = {"reason": reason, "environments": environments}
    spec |= {"from": format_time(start)} if start is not None else {}
    spec |= {"until": format_time(end)} if end is not None else {}
    spec |= {"releaseSelector": {"matchLabels": selected}} if selected else {}
    spec |= {"namespaceSelector": {"matchExpressions": [named]}} if namespaces else {}
    try:
        ReleaseFreezeSpec.model_validate(spec)
    except ValidationError as error:
        output.fail(next(problems_of(error, where=("spec",))))
    return spec


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        output.fail(f"--selector: {text} is no label: write KEY=VALUE")
    return key, value


async def _made(cluster: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Make the freeze; the same one again, as after an answer that was lost, is no error."""
    try:
        made: dict[str, Any] = await cluster.create(RELEASE_FREEZES.path(), body, manager="tidegate-cli")
    except AlreadyExists:
        made = await cluster.get(RELEASE_FREEZES.path(None, body["metadata"]["name"]))
        if made["spec"].get("reason") != body["spec"]["reason"] or _where(made["spec"]) != _where(body["spec"]):
            reason = plain(str(made["spec"].get("reason", "")), SENTENCE)
            output.fail(f"there is another ReleaseFreeze {body['metadata']['name']} already: {reason}")
    return made


def _where(spec: dict[str, Any]) -> str:
    """Say which Releases a freeze is for."""
    expressions = (spec.get("namespaceSelector") or {}).get("matchExpressions") or []
    names = [value for one in expressions if one.get("key") == NAMESPACE_NAME for value in one.get("values") or ()]
    labels = [f"{key}={value}" for key, value in ((spec.get("releaseSelector") or {}).get("matchLabels") or {}).items()]
    parts = (
        f" of {', '.join(spec['environments'])}" if spec.get("environments") else "",
        f" in {', '.join(names)}" if names else " in the namespaces that it selects" if spec.get("namespaceSelector") else "",
        f" with {', '.join(labels)}" if labels else "",
    )
    return f"Releases{''.join(parts)}" if any(parts) else "all Releases"
