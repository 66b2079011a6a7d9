"""`tidegate explain`: why a Release is where it is, gate by gate, with the evidence over time."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from tidegate.api.base import format_time
from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import GateStatus, LastRollout, ReleaseStatus, RolloutStatus
from tidegate.api.wrong import not_yaml
from tidegate.cli import access, output, plot
from tidegate.cli.output import Format
from tidegate.judge import explain as words

_COLOURS = {Verdict.PASS: typer.colors.GREEN, Verdict.FAIL: typer.colors.RED, Verdict.UNDECIDED: typer.colors.YELLOW}


@dataclass(frozen=True)
class Subject:
    """What is explained.

    Attributes:
        title: namespace and name of the Release.
        status: its status.
        gates: the gates as they are now; of a Release without a rollout, as they were when the last one ended.
        policy: the gates of the policy by name, as far as they are known.
    """

    title: str
    status: ReleaseStatus
    gates: tuple[GateStatus, ...]
    policy: dict[str, Gate]


def explain(
    *,
    name: Annotated[str | None, typer.Argument(metavar="[RELEASE]", help="Name of the Release, or NAMESPACE/NAME.")] = None,
    namespace: access.Namespace = None,
    form: output.Form = Format.TEXT,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Also draw the evidence over time into this SVG file.")
    ] = None,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Text without the drawings of evidence.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", help="Read the Release from a file (`kubectl get release NAME -o yaml`) or, with `-`, from stdin."
        ),
    ] = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Explain the verdict of each gate of a Release.

    During a rollout, the gates as they are now; otherwise those of the last rollout, as they were when it ended. For each gate: the
    verdict, what was counted, how strong the evidence is, what is still needed, and the evidence over time.

    Exits with 0, or with 2 if there is nothing to read.
    """
    if plot_file is not None and plot_file.suffix.lower() != ".svg":
        output.fail(f"--plot writes SVG: name the file {plot_file.with_suffix('.svg').name}")
    if (name is None) == (file is None):
        output.fail("give the name of a Release or --file")
    subject = _from_file(file) if file is not None else _from_cluster(name or "", namespace, kubeconfig, context)
    series = tuple(each for each in (_series(state) for state in subject.gates) if each is not None)
    if plot_file is not None:
        _draw(plot_file, series, subject.title)
    if form is Format.JSON:
        output.write_json(to_wire(subject))
        return
    for line in _text(subject, {} if no_plot else {one.title: one for one in series}):
        typer.echo(line)


def to_wire(subject: Subject) -> dict[str, Any]:
    """Return the explanation as a document for machines."""
    status = subject.status
    document: dict[str, Any] = {
        "release": subject.title,
        "phase": status.phase.value,
        "message": status.message,
        "weight": status.weight,
        "current": status.rollout is not None,
        "rollout": _rollout_to_wire(status),
        "gates": [words.to_wire(state, subject.policy.get(state.name)) for state in subject.gates],
    }
    return {name: value for name, value in document.items() if value is not None}


def _rollout_to_wire(status: ReleaseStatus) -> dict[str, Any] | None:
    if status.rollout is not None:
        candidate = status.candidate
        return {
            "version": candidate.version if candidate else "",
            "revision": candidate.revision if candidate else "",
            "startedAt": format_time(status.rollout.started_at),
        }
    if status.last_rollout is None:
        return None
    last = status.last_rollout.to_wire()
    last.pop("gates", None)
    return last


def _from_file(path: Path) -> Subject:
    name = "stdin" if str(path) == "-" else str(path)
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        found = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        output.fail(f"{name}: cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}")
    except yaml.YAMLError as error:
        output.fail(f"{name}: {not_yaml(error)}")
    if not isinstance(found, dict) or found.get("kind") != "Release":
        output.fail(f"{name}: is not a Release")
    metadata = found.get("metadata") or {}
    return _subject(found, f"{metadata.get('namespace', 'default')}/{metadata.get('name', '')}", None)


def _from_cluster(name: str, namespace: str | None, kubeconfig: str | None, context: str | None) -> Subject:
    place, wanted = access.place_of(name, namespace, kubeconfig, context)

    async def read(_: object, cluster: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
        found = await access.release(cluster, place, wanted)
        on = access.status_of(found).rollout is not None
        return found, None if on else await access.policy(cluster, place, access.spec_of(found))

    found, policy = access.ask(kubeconfig, context, read)
    return _subject(found, f"{place}/{wanted}", policy)


def _subject(found: dict[str, Any], title: str, policy: dict[str, Any] | None) -> Subject:
    status = access.status_of(found)
    if status.rollout is not None:
        return Subject(title, status, status.gates, {gate.name: gate for gate in status.rollout.spec.gates})
    gates = status.last_rollout.gates if status.last_rollout is not None else ()
    return Subject(title, status, gates, _gates_of(policy))


def _gates_of(policy: dict[str, Any] | None) -> dict[str, Gate]:
    """The policy as it is today: its gates of the same name tell units and consequences of a rollout that has ended."""
    try:
        spec = RolloutPolicySpec.model_validate((policy or {}).get("spec") or {})
    except ValidationError:
        return {}
    return {gate.name: gate for gate in spec.gates}


def _series(state: GateStatus) -> plot.Series | None:
    found = state.evidence
    if found is None or len(found.history) < 2 or found.history_step <= 0:
        return None
    return plot.Series(state.name, found.since, timedelta(seconds=found.history_step), found.history, found.needed)


def _draw(path: Path, series: Sequence[plot.Series], title: str) -> None:
    if not series:
        output.fail(f"there is no evidence over time to draw into {path}")
    try:
        path.write_text(plot.svg(series, title=title), encoding="utf-8")
    except OSError as error:
        output.fail(f"{path}: cannot be written: {error.strerror}")
    typer.echo(f"tidegate: {path} shows the evidence of {len(series)} gate{'s' if len(series) > 1 else ''}", err=True)


def _text(subject: Subject, series: dict[str, plot.Series]) -> list[str]:
    width = max(60, min(output.columns(), 120))
    status = subject.status
    lines = _wrapped(f"{subject.title}: {status.phase.value}. {status.message}".rstrip(), width, "")
    if status.rollout is not None:
        lines += _wrapped(_rollout(status, status.rollout), width, "")
    elif status.last_rollout is not None:
        lines += _wrapped(_last(status.last_rollout), width, "")
    else:
        lines += ["No rollout of it is known."]
    for state in subject.gates:
        told = words.explain(state, subject.policy.get(state.name))
        lines += ["", typer.style(f"{state.name}: {state.verdict.value}", fg=_COLOURS[state.verdict], bold=True)]
        lines += _wrapped(told.text, width, "  ")
        if state.name in series:
            drawn = plot.text(series[state.name], width=width, colour=output.is_terminal())
            lines += ["", "  Evidence of harm over time; the line is what a verdict needs:", *drawn]
    waiting = [name for name in subject.policy if name not in {state.name for state in subject.gates}]
    if waiting and status.rollout is not None:
        lines += ["", f"Not checked yet: {', '.join(waiting)}."]
    elif not subject.gates:
        lines += ["", "No gate has checked it."]
    return lines


def _rollout(status: ReleaseStatus, rollout: RolloutStatus) -> str:
    version = status.candidate.version if status.candidate else "a new version"
    text = f"Rollout of {version} under {rollout.policy}, started {rollout.started_at:%Y-%m-%d %H:%M:%S} UTC, at {status.weight}%"
    if status.step is not None:
        text += f" (step {status.step.index + 1} of {len(rollout.spec.steps)}"
        text += f", hold until {status.step.until:%H:%M:%S} UTC)" if status.step.until else ")"
    return f"{text}."


def _last(last: LastRollout) -> str:
    began, ended = f"{last.started_at:%Y-%m-%d %H:%M:%S}", f"{last.finished_at:%Y-%m-%d %H:%M:%S}"
    return (
        f"Last rollout: {last.version} {last.outcome.value} ({last.cause.value}), {began} to {ended} UTC. {last.message}".rstrip()
    )


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
