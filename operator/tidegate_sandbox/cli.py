"""``tidegate-sandbox``: bring a cluster up, use it, take it down.

Tests, the demo and people go through the same commands, so what works for one works for all.
"""

import contextlib
import enum
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tidegate_sandbox import binaries, isolation, preflight, state, toolchain
from tidegate_sandbox.cluster import FAILED, PARTS, ClusterSpec, Layout
from tidegate_sandbox.state import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A real Kubernetes cluster in a private network namespace, without containers.",
)

_TEMPORARY = "tidegate-sandbox-"

_ALL_PARTS = ",".join(PARTS)

_LEFTOVER_SECONDS = 3600.0

_POLL_SECONDS = 0.05

Parts = Annotated[str, typer.Option(help=f"Comma-separated, out of: {', '.join(PARTS)}.")]
Name = Annotated[str, typer.Option(help="Which sandbox, where several run.")]
KwokNodes = Annotated[int, typer.Option(help="Number of fake nodes.", min=1)]
ProcessNodes = Annotated[int, typer.Option(help="Number of nodes that run pods as processes.", min=1, max=250)]
ScrapeSeconds = Annotated[float, typer.Option(help="How often Prometheus scrapes, in seconds.", min=0.1)]
Images = Annotated[Path | None, typer.Option(help="File that maps images to local programs, for process nodes.")]
Command = Annotated[list[str], typer.Argument(help="What to run, after --.", metavar="-- COMMAND")]


class Output(enum.StrEnum):
    """How a command prints what it found."""

    TEXT = "text"
    JSON = "json"


def main() -> None:
    """Run the command line."""
    try:
        app()
    except (binaries.BuildError, preflight.LackingError, toolchain.ToolchainError) as missing:
        _complain(str(missing))
        sys.exit(FAILED)


@app.command()
def run(
    *,
    command: Command,
    parts: Parts = _ALL_PARTS,
    kwok_nodes: KwokNodes = 2,
    process_nodes: ProcessNodes = 1,
    scrape_seconds: ScrapeSeconds = 1.0,
    images: Images = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the directory with all logs behind.")] = False,
) -> None:
    """Bring a fresh cluster up, run a command inside, and take everything down.

    The exit status is the command's own; 125 where the cluster did not come up.
    """
    spec = _spec(parts, kwok_nodes, process_nodes, scrape_seconds, images)
    bin_dir = _programs(spec)
    _sweep()
    layout = Layout(Path(tempfile.mkdtemp(prefix=_TEMPORARY)))
    Plan(spec, bin_dir, tuple(command), attached=True).save(layout)
    launcher = subprocess.Popen(_launcher(layout))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: launcher.terminate())
    status = launcher.wait()
    found = state.read(layout)
    error = found["error"] if found else ""
    if error:
        _complain(error)
    if keep or error:
        layout.kept.touch()
        _complain(f"everything it wrote is in {layout.directory}")
    else:
        shutil.rmtree(layout.directory, ignore_errors=True)
    sys.exit(status if status >= 0 else 128 - status)


@app.command()
def up(
    *,
    parts: Parts = _ALL_PARTS,
    name: Name = "default",
    kwok_nodes: KwokNodes = 2,
    process_nodes: ProcessNodes = 1,
    scrape_seconds: ScrapeSeconds = 1.0,
    images: Images = None,
) -> None:
    """Bring a cluster up and leave it running."""
    spec = _spec(parts, kwok_nodes, process_nodes, scrape_seconds, images)
    layout = _layout(name)
    bin_dir = _programs(spec)
    with _claimed(name, layout):
        shutil.rmtree(layout.directory, ignore_errors=True)
        layout.directory.mkdir(mode=0o700)
        Plan(spec, bin_dir).save(layout)
        with layout.log_of_supervisor.open("ab") as log:
            launcher = subprocess.Popen(_launcher(layout), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            found = _follow(layout, launcher)
        except BaseException:
            launcher.kill()
            raise
    if found["phase"] != state.READY:
        _complain(found["error"] or layout.log_of_supervisor.read_text())
        _fail(f"the sandbox did not come up; everything it wrote is in {layout.directory}")
    _print_welcome(name, layout, found)


@app.command()
def down(name: Name = "default") -> None:
    """Take a cluster down, with everything that runs in it."""
    layout = _layout(name)
    if not state.alive(layout):
        _complain(f"there is no sandbox {name}")
    while state.alive(layout):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            # Its first process: the kernel kills all others with it.
            os.kill(int(layout.pid.read_text()), signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(layout.directory, ignore_errors=True)


@app.command()
def status(
    name: Name = "default",
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print it.")] = Output.TEXT,
) -> None:
    """Tell whether a cluster is up, and what runs in it. The exit status is 0 where it is up and ready, else 1."""
    layout = _layout(name)
    found = (state.read(layout) if state.alive(layout) else None) or {"phase": "down", "error": "", "programs": {}}
    if output is Output.JSON:
        print(json.dumps({"name": name, **found}, indent=2))
    else:
        print(f"{name}: {found['phase']} {found['error']}".rstrip())
        for program, entry in found["programs"].items():
            print(f"  {program:<24} {'running' if entry['running'] else 'ended':<8} ready after {entry['seconds']} s")
        for what, url in found.get("outside", {}).items():
            print(f"  {what:<24} {url}")
    sys.exit(0 if found["phase"] == state.READY else 1)


@app.command()
def kubeconfig(
    *,
    name: Name = "default",
    inside: Annotated[bool, typer.Option("--inside", help="The one for programs inside its network.")] = False,
) -> None:
    """Print the path of a kubeconfig: `export KUBECONFIG=$(tidegate-sandbox kubeconfig)`."""
    layout, _ = _running(name)
    print(layout.kubeconfig if inside else layout.outer_kubeconfig)


@app.command("exec")
def execute(command: Command, name: Name = "default") -> None:
    """Run a command inside a cluster's network. The exit status is the command's own."""
    layout, found = _running(name)
    environment = layout.environment(Path(found["cluster"]["bin_dir"]))
    isolation.enter(int(layout.pid.read_text()))
    child = subprocess.Popen(command, env=environment, preexec_fn=isolation.die_with_parent)  # noqa: PLW1509 - there are no threads
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    ended = child.wait()
    sys.exit(ended if ended >= 0 else 128 - ended)


@app.command()
def build(
    groups: Annotated[list[str] | None, typer.Argument(help=f"Out of: {', '.join(binaries.GROUPS)}.")] = None,
) -> None:
    """Build what is not in the cache yet, and print where each group's programs are; without names, those that all tests need."""
    chosen = groups or [name for name, group in binaries.GROUPS.items() if not group.by_name]
    unknown = [group for group in chosen if group not in binaries.GROUPS]
    if unknown:
        _fail(f"unknown group {unknown[0]!r}; the groups are {', '.join(binaries.GROUPS)}")
    for entry in binaries.build([binaries.GROUPS[group] for group in chosen]).values():
        print(entry / "bin")


@app.command()
def logs(program: str, name: Name = "default") -> None:
    """Print what a program of the cluster has written."""
    layout = _layout(name)
    log = layout.log(program)
    if not log.exists():
        known = sorted(path.stem for path in layout.logs.glob("*.log"))
        _fail(f"there is no log of {program!r}; there are {', '.join(known) or 'none'}")
    sys.stdout.write(log.read_text(errors="replace"))


def _spec(parts: str, kwok_nodes: int, process_nodes: int, scrape_seconds: float, images: Path | None) -> ClusterSpec:
    chosen = tuple(part for part in parts.split(",") if part)
    try:
        return ClusterSpec(chosen, kwok_nodes, process_nodes, scrape_seconds, str(images.resolve()) if images else None)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--parts") from error


def _programs(spec: ClusterSpec) -> Path:
    preflight.check_platform()
    preflight.check_isolation()
    return binaries.ensure(spec.programs())


def _launcher(layout: Layout) -> list[str]:
    return [sys.executable, "-m", "tidegate_sandbox.launch", str(layout.directory), str(os.getpid())]


def _layout(name: str) -> Layout:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Layout(Path(base) / "tidegate" / "sandbox" / name)


def _running(name: str) -> tuple[Layout, dict[str, Any]]:
    layout = _layout(name)
    found = state.read(layout) if state.alive(layout) else None
    if found is None or found["phase"] != state.READY:
        _fail(f"there is no sandbox {name} that is ready; `tidegate-sandbox up` brings one up")
    return layout, found


@contextmanager
def _claimed(name: str, layout: Layout) -> Iterator[None]:
    """Hold a sandbox's name while its directory is recreated."""
    layout.directory.parent.mkdir(parents=True, exist_ok=True)
    with layout.directory.with_name(f".{name}.lock").open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        if state.alive(layout):
            _fail(f"the sandbox {name} is up already; `tidegate-sandbox down` ends it")
        yield


def _follow(layout: Layout, launcher: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """Tell what becomes ready until everything is, or the sandbox has failed."""
    told: set[str] = set()
    while True:
        ended = launcher.poll() is not None
        found = state.read(layout) or {"phase": state.STARTING, "error": "", "programs": {}}
        for program, entry in found["programs"].items():
            if program not in told:
                told.add(program)
                binaries.print_progress(f"{program} is ready ({entry['seconds']} s)")
        if ended or found["phase"] != state.STARTING:
            return found
        time.sleep(_POLL_SECONDS)


def _sweep() -> None:
    """Remove what sandboxes left behind whose command line was killed before it could."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        layout = Layout(directory)
        with contextlib.suppress(OSError):
            old = time.time() - layout.lock.stat().st_mtime > _LEFTOVER_SECONDS
            if old and not layout.kept.exists() and not state.alive(layout):
                shutil.rmtree(directory, ignore_errors=True)


def _print_welcome(name: str, layout: Layout, found: dict[str, Any]) -> None:
    option = "" if name == "default" else f" --name {name}"
    print(f"The sandbox {name} is up after {found['seconds']:.1f} s.\n")
    print(f"  export KUBECONFIG={layout.outer_kubeconfig}")
    print(f"  export PATH={found['cluster']['bin_dir']}:$PATH    # kubectl {', '.join(found['programs'])}\n")
    for what, url in found["outside"].items():
        print(f"  {what:<12} {url}")
    print(f"\n  tidegate-sandbox exec{option} -- COMMAND    # inside its network")
    print(f"  tidegate-sandbox down{option}")


def _complain(message: str) -> None:
    print(f"tidegate-sandbox: {message}", file=sys.stderr, flush=True)


def _fail(message: str) -> NoReturn:
    _complain(message)
    sys.exit(FAILED)
