"""`tidegate lint`: what is wrong with Releases and policies before they are applied.

It is for the commit that changes them: with a cluster at hand or without, and with Prometheus if that can be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from tidegate.api.gate import Gate
from tidegate.api.policy import RolloutPolicySpec
from tidegate.cli import access, buckets, cronjobs, flags, holders, output, telemetry, tellable
from tidegate.cli.advice import advice
from tidegate.cli.circles import circles
from tidegate.cli.elsewhere import unreadable
from tidegate.cli.hooks import uncallable
from tidegate.cli.manifests import Finding, Manifest, ManifestError, Place, Severity, load
from tidegate.cli.output import Format
from tidegate.cli.passing import passing
from tidegate.cli.there import of_copies, of_releases, there
from tidegate.cluster.errors import Forbidden
from tidegate.prometheus.answers import Cause, Trouble
from tidegate.prometheus.asked import EXAMPLE, own_queries, wrong_queries
from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.direct.wanted import gateway_of
from tidegate.prometheus.promql import Names, fill, literally, variables

_COLOURS = {Severity.ERROR: typer.colors.RED, Severity.WARNING: typer.colors.YELLOW, Severity.NOTE: typer.colors.BLUE}
_MOST_SERIES = 1
_WINDOW = "5m"


@dataclass(frozen=True)
class Located:
    """A finding and where it is."""

    manifest: Manifest
    finding: Finding

    @property
    def line(self) -> int:
        """Line in the file, from 1 on."""
        return self.manifest.line(self.finding.place)

    def to_wire(self) -> dict[str, Any]:
        """Return it as a document for machines."""
        return {
            "file": self.manifest.source,
            "line": self.line,
            "kind": self.manifest.kind,
            "name": self.manifest.name,
            "field": self.finding.field,
            "severity": self.finding.severity.value,
            "message": self.finding.message,
        }


def lint(
    *,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files or folders with Releases and policies; `-` is stdin.")
    ],
    prometheus: telemetry.PrometheusURL = None,
    config: telemetry.ConfigFile = None,
    server: Annotated[
        bool, typer.Option("--server", help="Also let the API server check each object, as `kubectl apply --dry-run=server` does.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Check Releases and policies: schema, rules, misspelt fields, queries, and what will surprise you.

    Without a cluster and without a Prometheus it checks what the API server would check. With --prometheus or --config, Prometheus
    is asked whether it understands each query; with --server, the API server has the last word.

    Ends with 0 if all is well (warnings aside), with 1 if something is wrong, and with 2 if it could not be checked.
    """
    manifests = list(_loaded(files))
    found = [Located(manifest, finding) for manifest in manifests for finding in manifest.findings]
    sound = [manifest for manifest in manifests if not manifest.findings]
    for manifest in sound:
        found += [Located(manifest, finding) for finding in _of_policy(manifest)]
    found += _missing_policies(manifests)
    place = namespace or "default"
    for across in (circles(sound, place), flags.unknown(sound, place), flags.of_steps(sound)):
        found += [Located(manifest, finding) for manifest, finding in across]
    if config is not None:
        loaded = telemetry.loaded(config)
        found += [Located(manifest, finding) for manifest, finding in unreadable(sound, loaded.clusters, place)]
        for of_hooks in (uncallable(sound, loaded.hooks, place), flags.closed(sound, loaded.hooks, place)):
            found += [Located(manifest, finding) for manifest, finding in of_hooks]
    if prometheus is not None or config is not None:
        found += _asked(sound, prometheus, config, place)
    if server:
        place = namespace or access.namespace_of(kubeconfig, context)
        found += access.ask(kubeconfig, context, lambda connection, cluster: _of_server(connection, cluster, sound, place))
    _tell(found, manifests, form)
    bad = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    raise typer.Exit(int(any(one.finding.severity in bad for one in found)))


def _loaded(files: Iterable[Path]) -> Iterator[Manifest]:
    for path in files:
        inside = sorted(each for each in path.rglob("*") if each.suffix in (".yaml", ".yml", ".json")) if path.is_dir() else [path]
        for file in inside:
            try:
                yield from load(file)
            except ManifestError as error:
                output.fail(str(error))


def _spec(manifest: Manifest) -> RolloutPolicySpec | None:
    return RolloutPolicySpec.model_validate(manifest.document["spec"]) if manifest.is_policy else None


def _of_policy(manifest: Manifest) -> Iterator[Finding]:
    spec = _spec(manifest)
    if spec is None:
        return
    for index, gate in enumerate(spec.gates):
        for place, wrong in wrong_queries(gate):
            yield Finding(Severity.ERROR, ("spec", "gates", index, "metric", *place), wrong)
    yield from advice(spec, manifest.document["spec"])


def _missing_policies(manifests: Sequence[Manifest]) -> Iterator[Located]:
    """Where policies are among the files, a Release that names another one is probably a typing error."""
    known = {manifest.label for manifest in manifests if manifest.is_policy}
    for manifest in manifests:
        if manifest.kind != "Release" or manifest.findings or not known:
            continue
        label = _policy_of(manifest)
        if label not in known:
            message = f"there is no {label} in these files, there are: {', '.join(sorted(known))}"
            yield Located(manifest, Finding(Severity.WARNING, ("spec", "policyRef", "name"), message))


def _policy_of(release: Manifest) -> str:
    ref = release.document["spec"]["policyRef"]
    return f"{ref.get('kind', 'RolloutPolicy')}/{ref['name']}"


def _asked(manifests: Sequence[Manifest], url: str | None, config: Path | None, namespace: str) -> list[Located]:
    """Let Prometheus read each query, in its own words, and look at the buckets that there are."""
    specs = [(manifest, spec) for manifest in manifests if (spec := _spec(manifest)) is not None]
    gates = [(manifest, ("spec", "gates", index), gate) for manifest, spec in specs for index, gate in enumerate(spec.gates)]
    configs = telemetry.configurations(url, config, [gate.connection for *_, gate in gates])
    of = {manifest.label: _releases(manifests, manifest.label, namespace) for manifest, *_ in gates}
    found = asyncio.run(_answers(configs, [(gate, of[manifest.label]) for manifest, _, gate in gates]))
    # An address alone says nothing of what an operator's connection allows.
    undirected = [] if url is not None else [closed for one in gates for closed in _closed(one, configs[one[2].connection])]
    return [
        *undirected,
        *(
            Located(manifest, Finding(severity, (*place, *inner), words))
            for (manifest, place, _), findings in zip(gates, found, strict=True)
            for severity, inner, words in findings
        ),
    ]


def _closed(one: tuple[Manifest, tuple[str | int, ...], Gate], config: ConnectionConfig) -> Iterator[Located]:
    """Say what a gate asks for and its connection does not allow."""
    manifest, place, gate = one
    ways = (("direct", gate.direct, config.direct, "direct readings"), ("push", gate.push, config.push, "pushed samples"))
    for field, asked, allowed, words in ways:
        if asked is not None and allowed is None:
            message = f"the connection {gate.connection} does not allow {words}, so Prometheus alone is asked; add {field} to it"
            yield Located(manifest, Finding(Severity.WARNING, (*place, field), message))
    source = gateway_of(gate)
    if gate.direct is not None and source is not None and config.direct is not None and not config.direct.at(source):
        known = f"the connection {gate.connection} names no gateway of {source}"
        message = f"{known}, so Prometheus alone is asked; add direct.gateways to it"
        yield Located(manifest, Finding(Severity.WARNING, (*place, "direct"), message))


def _releases(manifests: Sequence[Manifest], policy: str, namespace: str) -> list[Names]:
    """Return what the objects of the Releases are called that follow a policy. Which version is which, no manifest says."""
    found = []
    for manifest in manifests:
        if manifest.kind != "Release" or _policy_of(manifest) != policy:
            continue
        workload = manifest.document["spec"]["targetRef"]["name"]
        place = manifest.document["metadata"].get("namespace", namespace)
        service = (manifest.document["spec"].get("traffic") or {}).get("service", "")
        pods = f"{literally(workload)}-[a-z0-9]+-[a-z0-9]+"
        found.append(Names(place, manifest.name, service, service, service, pods, pods, 0))
    return found


async def _answers(
    configs: dict[str, ConnectionConfig], gates: Sequence[tuple[Gate, Sequence[Names]]]
) -> list[list[tuple[Severity, Place, str]]]:
    connected = telemetry.connections(configs)
    try:
        if trouble := await telemetry.check(connected):
            output.fail(trouble)
        return list(await asyncio.gather(*(_answer(connected[gate.connection], gate, of) for gate, of in gates)))
    finally:
        for connection in connected.values():
            connection.close()


async def _answer(connection: Connection, gate: Gate, of: Sequence[Names]) -> list[tuple[Severity, Place, str]]:
    now = datetime.now(UTC)
    found: list[tuple[Severity, Place, str]] = []
    wrong = {place for place, _ in wrong_queries(gate)}
    for place, text in own_queries(gate):
        query = fill(text, variables(EXAMPLE, _WINDOW)) if place not in wrong else ""
        answer = await connection.alone(query, now, _MOST_SERIES) if query else None
        # What came too late, or not at all, says nothing about the query.
        if isinstance(answer, Trouble) and answer.cause in (Cause.QUERY, Cause.SIZE):
            found.append((Severity.ERROR, ("metric", *place), answer.message))
    if message := await buckets.too_coarse(connection, gate, now):
        found.append((Severity.WARNING, ("versusStable",), message))
    found += [(severity, ("metric",), message) for severity, message in await there(connection, gate, now)]
    found += [(severity, ("metric",), message) for severity, message in await of_releases(connection, gate, of, now)]
    found += [(severity, ("metric",), message) for severity, message in await of_copies(connection, gate, of, now)]
    if message := await tellable.untellable(connection, gate, now):
        found.append((Severity.WARNING, ("metric",), message))
    elif tellable.unreadable(gate):
        message = (
            "`or vector(0)` counts a missing series as 0 bad events, and this query has no selector of all events to check its "
            "label against; see in Prometheus that a bad event appears, or use counters"
        )
        found.append((Severity.WARNING, ("metric", "promql"), message))
    return found


async def _of_server(connection: Any, cluster: Any, manifests: Sequence[Manifest], namespace: str) -> list[Located]:
    found = []
    policies = {manifest.label: manifest for manifest in manifests if manifest.is_policy}
    for manifest in manifests:
        if manifest.kind == "Release":
            place = manifest.document["metadata"].get("namespace", namespace)
            past = await passing(cluster, manifest.document, place)
            found += [Located(manifest, Finding(Severity.WARNING, ("spec", "traffic", "service"), words)) for words in past]
            found += await _governed(cluster, manifest, place, policies.get(_policy_of(manifest)))
        for place, message in await access.refusals(connection, manifest.document, namespace):
            found.append(Located(manifest, Finding(Severity.ERROR, place, f"refused by the API server: {message}")))
    return found


async def _governed(cluster: Any, release: Manifest, namespace: str, policy: Manifest | None) -> list[Located]:
    """Return what of its policy, here or there, a Release would wait for that nobody can give or run."""
    try:
        asks = policy.document if policy is not None else await access.policy(cluster, namespace, access.spec_of(release.document))
        spec = RolloutPolicySpec.model_validate(asks["spec"]) if asks is not None else None
    except (Forbidden, ValidationError):
        spec = None
    if spec is None:
        return []
    jobs = await cronjobs.unrunnable(cluster, namespace, release.name, spec)
    place: Place = ("spec", "policyRef", "name")
    return [
        *await _voters(cluster, release, namespace, spec),
        *(Located(release, Finding(severity, place, f"{_policy_of(release)} requires {words}")) for severity, words in jobs),
    ]


async def _voters(cluster: Any, release: Manifest, namespace: str, spec: RolloutPolicySpec) -> list[Located]:
    """Return for which roles of its policy a Release would wait for votes and attestations that nobody can give."""
    wanted, attested = holders.seats(spec.all_approvals), holders.attesters(spec.checks)
    if not wanted and not attested:
        return []
    grants = await holders.read(cluster, namespace)
    lacking: list[tuple[bool | None, str]] = []
    for role, needed in wanted.items():
        if not (enough := holders.suffice(grants, role, needed, release.name)):
            lacking.append((enough, f"it: {holders.told(grants, role, needed, release.name, namespace)}"))
    for role, names in attested.items():
        if not grants.holders(role, release.name, holders.ATTEST):
            told = holders.told_attesters(grants, role, release.name, namespace)
            lacking.append((None if grants.unread else False, f"check {', '.join(names)}: {told}"))
    return [
        Located(
            release,
            Finding(
                Severity.NOTE if enough is None else Severity.WARNING,
                ("spec", "policyRef", "name"),
                f"{_policy_of(release)} requires {words}",
            ),
        )
        for enough, words in lacking
    ]


def _tell(found: Sequence[Located], manifests: Sequence[Manifest], form: Format) -> None:
    ordered = sorted(found, key=lambda one: (one.manifest.source, one.line, one.finding.field))
    if form is Format.JSON:
        output.write_json([one.to_wire() for one in ordered])
        return
    for one in ordered:
        finding = one.finding
        severity = typer.style(finding.severity.value, fg=_COLOURS[finding.severity])
        where = f"{finding.field}: " if finding.field else ""
        typer.echo(f"{one.manifest.source}:{one.line}: {severity}: {one.manifest.label}: {where}{finding.message}")
    numbers = {severity: sum(one.finding.severity is severity for one in found) for severity in Severity}
    counted = ((len(manifests), "object"), (numbers[Severity.ERROR], "error"), (numbers[Severity.WARNING], "warning"))
    objects, errors, warnings = (f"{number} {what}{'' if number == 1 else 's'}" for number, what in counted)
    summary = f"{objects}: {errors}, {warnings}"
    typer.echo(f"tidegate: {summary}", err=True)
