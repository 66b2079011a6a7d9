"""`tidegate backtest`: what policies would have made of the past, or make of generated traffic."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tidegate.api.base import parse_duration
from tidegate.api.policy import RolloutPolicySpec
from tidegate.backtest.replay import Past, ReplayError, replay
from tidegate.cli import access, manifests, output, replay_report, simulated, telemetry
from tidegate.cli.history import Given, from_cluster, from_flags, moment, utc_now
from tidegate.cli.output import Format
from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.reader import Reader

_AT_ONCE = 4
"""Policies that are replayed at once: Prometheus has others to serve."""
_REAL, _GENERATED = "Past data", "Generated traffic (--simulate)"

Policies = list[tuple[str, RolloutPolicySpec]]


PolicyFiles = Annotated[
    list[Path],
    typer.Option("--policy", "-p", metavar="FILE", help="File with policies; may be repeated, to see several side by side."),
]
Releases = Annotated[
    list[str] | None,
    typer.Option(metavar="[NS/]NAME", help="Release whose last rollout is replayed; may be repeated.", rich_help_panel=_REAL),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="When the new version first got traffic: RFC 3339, or how long ago (2h). Default: from the Release's status.",
        rich_help_panel=_REAL,
    ),
]
To = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", help="When to stop looking. Default: as for --from, or now.", rich_help_panel=_REAL),
]
Service = Annotated[
    str | None, typer.Option(help="The Service; its versions are SERVICE-stable and SERVICE-canary.", rich_help_panel=_REAL)
]
ServicePort = Annotated[int, typer.Option(help="Port of the Service that the route names.", rich_help_panel=_REAL)]
CanaryPods = Annotated[str | None, typer.Option(metavar="REGEX", help="Names of the new version's pods.", rich_help_panel=_REAL)]
StablePods = Annotated[str | None, typer.Option(metavar="REGEX", help="Names of stable's pods.", rich_help_panel=_REAL)]
Simulate = Annotated[
    bool, typer.Option("--simulate", help="Generate traffic instead of asking Prometheus.", rich_help_panel=_GENERATED)
]
Rate = Annotated[float, typer.Option(min=0.01, help="Requests per minute, both versions together.", rich_help_panel=_GENERATED)]
Share = Annotated[
    float | None,
    typer.Option(min=0.1, max=100, help="Percent on the new version. Default: by the policy's steps.", rich_help_panel=_GENERATED),
]
ErrorRate = Annotated[
    float, typer.Option(min=0, max=1, help="Share of bad requests of a healthy version.", rich_help_panel=_GENERATED)
]
FaultTimes = Annotated[
    str | None,
    typer.Option(
        metavar="TIMES|all", help="How many times as many bad requests the faulty version has.", rich_help_panel=_GENERATED
    ),
]
Slower = Annotated[float, typer.Option(min=1, help="Factor on the faulty version's response times.", rich_help_panel=_GENERATED)]
Onset = Annotated[
    str, typer.Option(metavar="DURATION", help="When the fault begins, after the first traffic.", rich_help_panel=_GENERATED)
]
Bursts = Annotated[
    float, typer.Option(min=1, max=100, help="How many bad requests come together, on average.", rich_help_panel=_GENERATED)
]
Runs = Annotated[int, typer.Option(min=1, max=100_000, help="Rollouts of each kind.", rich_help_panel=_GENERATED)]
Length = Annotated[str, typer.Option(metavar="DURATION", help="Length of a rollout.", rich_help_panel=_GENERATED)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same traffic.", rich_help_panel=_GENERATED)]


def backtest(
    *,
    policy: PolicyFiles,
    form: output.Form = Format.TEXT,
    prometheus: telemetry.PrometheusURL = None,
    config: telemetry.ConfigFile = None,
    release: Releases = None,
    start: From = None,
    end: To = None,
    namespace: access.Namespace = None,
    service: Service = None,
    service_port: ServicePort = 0,
    canary_pods: CanaryPods = None,
    stable_pods: StablePods = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
    simulate: Simulate = False,
    rate: Rate = 3000,
    share: Share = None,
    error_rate: ErrorRate = 0.01,
    fault: FaultTimes = None,
    slower: Slower = 1,
    onset: Onset = "0s",
    bursts: Bursts = 1,
    runs: Runs = 200,
    duration: Length = "2h",
    seed: Seed = 1,
) -> None:
    """Run policies over past data as if they had been live, or over generated traffic.

    Past data: each check of each gate queries Prometheus for the instant at which it would have run, and the operator's own engine
    decides: when the policy would have rolled back, paused, warned or promoted. Names and times come from the Release in the
    cluster, or from options; nothing is written anywhere.

    Generated traffic: how often healthy versions are stopped, and how soon a faulty one is.

    Exits with 0 whatever comes out, and with 2 if it could not run.
    """
    policies = [one for path in policy for one in manifests.policies(path)]
    if simulate:
        faulty = simulated.Faulty(_times(fault), slower, _seconds(onset, "--onset"))
        setting = simulated.Setting(rate, share, error_rate, bursts, _seconds(duration, "--duration"), faulty, runs, seed)
        _simulate(policies, setting, form)
        return
    given = _given(start, end, service=service, port=service_port, canary_pods=canary_pods, stable_pods=stable_pods)
    pasts = _pasts(given, release or [], namespace, kubeconfig=kubeconfig, context=context)
    configs = telemetry.configurations(prometheus, config, [gate.connection for _, spec in policies for gate in spec.gates])
    asyncio.run(_replay(policies, pasts, configs, form))


def _simulate(policies: Policies, setting: simulated.Setting, form: Format) -> None:
    with _progress() as bar:
        found = [(label, simulated.run(label, spec, setting, bar)) for label, spec in policies]
    simulated.tell(found, setting, form)


def _given(
    start: str | None, end: str | None, *, service: str | None, port: int, canary_pods: str | None, stable_pods: str | None
) -> Given:
    now = utc_now()
    try:
        began, ended = moment(start, now), moment(end, now)
    except ValueError as error:
        output.fail(str(error))
    return Given(began, ended, service or "", canary_pods or "", stable_pods or "", port)


def _pasts(
    given: Given, releases: Sequence[str], namespace: str | None, *, kubeconfig: str | None, context: str | None
) -> list[Past]:
    now = utc_now()
    if given.enough:
        if len(releases) > 1:
            output.fail("--service and --canary-pods describe one Release: give --release at most once")
        place, name = access.place_of(releases[0] if releases else "backtest", namespace or "default", kubeconfig, context)
        return [from_flags(given, namespace=place, release=name, now=now)]
    if not releases:
        output.fail("choose a rollout: --release, or --from with --service or --canary-pods")
    default = namespace or access.namespace_of(kubeconfig, context)

    async def read(_: object, cluster: Any) -> list[Past]:
        return [await from_cluster(cluster, *access.place_of(one, default, kubeconfig, context), given, now) for one in releases]

    return access.ask(kubeconfig, context, read)


async def _replay(policies: Policies, pasts: Sequence[Past], configs: dict[str, ConnectionConfig], form: Format) -> None:
    await _reachable(configs)
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(label: str, spec: RolloutPolicySpec, past: Past, bar: Progress, task: TaskID) -> replay_report.Replayed:
        async with few:
            reader = Reader(telemetry.connections(configs), collecting=0.0)
            try:
                result = await replay(
                    spec,
                    past,
                    reader,
                    label=label,
                    progress=lambda at: bar.update(task, completed=(at - past.start).total_seconds()),
                )
            finally:
                reader.close()
            bar.update(task, completed=(past.end - past.start).total_seconds())
            return replay_report.Replayed(label, spec, past, result)

    with _progress() as bar:
        runs = []
        for past in pasts:
            for label, spec in policies:
                name = f"{past.names.namespace}/{past.names.release} {label}"
                task = bar.add_task(name, total=(past.end - past.start).total_seconds())
                runs.append(one(label, spec, past, bar, task))
        try:
            found = await asyncio.gather(*runs)
        except ReplayError as error:
            output.fail(str(error))
    replay_report.tell(found, form)
    if found and all(each.blind for each in found):
        raise typer.Exit(output.CANNOT)


async def _reachable(configs: dict[str, ConnectionConfig]) -> None:
    connected = telemetry.connections(configs)
    try:
        trouble = await telemetry.check(connected)
    finally:
        for connection in connected.values():
            connection.close()
    if trouble:
        output.fail(trouble)


def _progress() -> Progress:
    """A bar on stderr, where a person looks at it."""
    console = Console(stderr=True)
    parts = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    return Progress(*parts, console=console, transient=True, disable=not console.is_terminal)


def _seconds(text: str, option: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        output.fail(f"{option}: {error}")


def _times(text: str | None) -> float | None:
    if text is None:
        return None
    if text == "all":
        return math.inf
    try:
        times = float(text)
    except ValueError:
        times = math.nan
    if not times > 1:
        output.fail("--fault: give a number above 1, such as 5, or `all` where every request fails")
    return times
