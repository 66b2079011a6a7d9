"""`tidegate dora`: how often, how fast and how safely services are released, from their records, with what teams aim at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from tidegate.api.base import format_duration, parse_time
from tidegate.cli import access, archive, options, output, tables
from tidegate.cli.output import Format
from tidegate.governance.dora import TARGETS, Measures, Target, measures, rollout_of

HEADINGS = ("SERVICE", "ENVIRONMENT", "MEASURE", "VALUE", "TARGET", "MET")
NAMES = {
    "successRate": "rollouts that promoted",
    "rollbackRate": "rollouts that were rolled back",
    "hotfixRate": "promotions that were hotfixes",
    "changeFailureRate": "change failure rate",
    "leadTimeSeconds": "lead time (median)",
    "deploymentSeconds": "duration of a rollout (mean)",
    "timeToRestoreSeconds": "time to restore, at most (mean)",
}
_LONGEST = timedelta(days=3660)


def dora(
    *,
    name: options.OneOrAll = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="Rollouts that ended in so many days until now.")] = 30,
    file: archive.File = None,
    namespace: access.Namespace = None,
    everywhere: access.Everywhere = False,
    form: output.Form = Format.TEXT,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Show deployment frequency, lead time, change failure rate and time to restore, by service and environment.

    Lead time is from the commit of a version, if that is known, or else from when the operator first saw it, until it was
    promoted. A change has failed if it was rolled back after it had traffic, or was promoted and then replaced by a hotfix. Time to
    restore is how long users may have met it: from the last rise of its weight, until when its gates had passed, or from its
    promotion until that of the hotfix.

    Ends with 0, or with 2 if records could not be read.
    """
    found, chosen = archive.read(name, namespace, kubeconfig, context, everywhere=everywhere, file=file)
    now = datetime.now(UTC)
    result = [*of(found.of(chosen, name), now, timedelta(days=days))]
    if form is Format.JSON:
        output.write_json({"days": days, "until": f"{now:%Y-%m-%dT%H:%M:%SZ}", "services": [wire(*one) for one in result]})
        return
    tables.write(HEADINGS, (row for one in result for row in _rows(*one)))
    if ignored := sum(measured.ignored for _, _, measured in result):
        commits = "1 commit" if ignored == 1 else f"{ignored} commits"
        typer.echo(f"the time of {commits} was not counted: see `commitIgnored` in `tidegate history -o json`", err=True)
    if not result:
        typer.echo(f"no rollout of the last {days} days is recorded", err=True)


def of(specs: Iterable[Mapping[str, Any]], now: datetime, span: timedelta) -> Iterator[tuple[str, str, Measures]]:
    """Yield service and environment with what their rollouts of a time until now come to; unreadable records are left out."""
    parted: dict[tuple[str, str], list[Any]] = {}
    for spec in specs:
        try:
            if now - span <= parse_time(spec.get("endedAt")) <= now + timedelta(days=1):
                key = f"{spec.get('namespace')}/{spec.get('release')}", str(spec.get("environment") or "")
                parted.setdefault(key, []).append(rollout_of(spec))
        except (ValueError, KeyError, TypeError):
            typer.echo(f"record {spec.get('id')} cannot be read and is left out", err=True)
    for (service, environment), rollouts in sorted(parted.items()):
        yield service, environment, measures(rollouts, span)


def wire(service: str, environment: str, found: Measures) -> dict[str, Any]:
    """Return what a service comes to for machines."""
    namespace, _, release = service.partition("/")
    counts = {"rollouts": found.rollouts, "promoted": found.promoted, "rolledBack": found.rolled_back, "failed": found.failed}
    told = {"namespace": namespace, "release": release, "environment": environment or None, **counts}
    keys = {
        target.name: {"value": value, "target": target.words, "met": None if value is None else target.met(value)}
        for target in TARGETS
        for value in (target.value(found),)
    }
    commits = {"leadTimesFromCommits": found.from_commits, "commitsIgnored": found.ignored}
    return told | {"deploymentsPerWeek": found.per_week} | commits | keys


def _rows(service: str, environment: str, found: Measures) -> Iterator[tuple[str, ...]]:
    yield service, environment, "deployments a week", f"{found.per_week:.1f} ({found.promoted} in all)", "as needed", ""
    for target in TARGETS:
        value = target.value(found)
        met = "" if value is None else "yes" if target.met(value) else "no"
        yield service, environment, _called(target, found), _told(target, value), target.words, met


def _called(target: Target, found: Measures) -> str:
    """Return what a measure is called; of lead times, how many are from commits."""
    if target.name != "leadTimeSeconds" or not found.lead_times:
        return NAMES[target.name]
    return f"{NAMES[target.name]}, from the commit for {found.from_commits} of {len(found.lead_times)}, else from first seen"


def _told(target: Target, value: float | None) -> str:
    if value is None:
        return "none"
    if target.name.endswith("Seconds"):
        return format_duration(timedelta(seconds=min(round(value), _LONGEST.total_seconds())))
    return f"{value:.1%}"
