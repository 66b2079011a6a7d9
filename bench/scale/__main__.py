"""Measures how fast and how frugal the operator is, each group of cells in a fresh local cluster, and writes the results.

bench/results/scale.json takes a list of {cell, measured, limit, holds}, docs/performance.md the table. What a run leaves out stays
there as it was, whichever checkout has measured it. Groups are kept in build/bench-scale. The group soak is measured only where it
is named.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bench.scale import picture, report
from bench.scale.names import APART, GROUPS, SOAK_MINUTES

from tidegate_sandbox import isolation

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "bench-scale"
RESULTS = ROOT / "bench" / "results" / "scale.json"
PICTURE = ROOT / "docs" / "images" / "soak.svg"
INTERRUPTED = 130
FASTER = {"idle-5000": {"GOGC": "400"}, "shards-12000": {"GOGC": "400", "GOMEMLIMIT": "8GiB"}}
"""Environment of clusters of which the operator alone is measured: programs in Go collect garbage a quarter as often there, where
there is memory for that: with 12,000 services the API server would take 18 GB."""
GRACE = 30.0
"""Seconds that a cluster gets to take itself down, before the kernel does it."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        quick: a tenth of the services, shorter windows.
        profile: sample the operator's stacks.
        services: number of services, whatever the group wants.
        minutes: how long the soak lasts.
    """

    quick: bool
    profile: bool
    services: int | None
    minutes: float

    @property
    def trial(self) -> bool:
        """Whether the figures are no results, and are kept apart."""
        return self.quick or self.services is not None or self.minutes < SOAK_MINUTES

    def arguments(self) -> list[str]:
        """Return these options for the process inside of the cluster."""
        services = [] if self.services is None else ["--services", str(self.services)]
        profile = ["--profile", str(KEPT)] if self.profile else []
        return [*(["--quick"] if self.quick else []), *profile, *services, "--minutes", str(self.minutes)]


def main() -> int:
    """Measure what the command line asks for; 1 where a limit is not held, 2 where something could not be measured."""
    parser = _parser()
    given = parser.parse_args()
    groups = chosen(given.only)
    if given.only and not groups:
        parser.error(f"no group is called {' '.join(given.only)}")
    options = Options(given.quick, given.profile, given.services, given.minutes)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        failed = [] if given.report else [name for name in groups if not measure(name, options)]
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.trial and not given.report:
        return 2 if failed else 0
    fresh = report.kept(KEPT) if given.report else [KEPT / f"{name}.json" for name in groups if name not in failed]
    figures = report.merged(RESULTS, fresh)
    report.write(figures, RESULTS, ROOT / "docs" / "performance.md")
    if (samples := report.samples(KEPT / "soak.json")) is not None:
        PICTURE.write_text(picture.svg(samples))
    for name in failed:
        print(f"could not be measured: {name}", file=sys.stderr)
    return 2 if failed else 1 if any(figure.holds is False for figure in figures) else 0


def chosen(wanted: Iterable[str]) -> list[str]:
    """Return the groups that are meant by names with * and ?; without any, all but those that have to be named in full."""
    patterns = list(wanted) or ["*"]
    groups = [name for name in GROUPS if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    return groups + [name for name in APART if name in patterns]


def measure(group: str, options: Options) -> bool:
    """Measure a group in a cluster of its own; return whether that went well.

    Raises:
        KeyboardInterrupt: this process was told to end; the cluster is down.
    """
    result = KEPT / (f"{group}.quick.json" if options.trial else f"{group}.json")
    KEPT.mkdir(parents=True, exist_ok=True)
    inside = [sys.executable, "-m", "bench.scale.inside", group, str(result), *options.arguments()]
    sandbox = [str(Path(sys.executable).with_name("tidegate-sandbox")), "run", "--parts", "api,controllers,kwok", "--", *inside]
    began = time.monotonic()
    print(f"== {group}", file=sys.stderr, flush=True)
    ended = _run(sandbox, os.environ | FASTER.get(group, {}))
    print(f"== {group}: {'measured' if ended == 0 else 'failed'} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if ended == 0:
        for figure in report.read(result):
            print(report.line(figure), flush=True)
    return ended == 0


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a sandbox. It never outlives this process: the kernel ends it, and it ends all that is in it."""
    die = isolation.die_with_parent
    sandbox = subprocess.Popen(command, cwd=ROOT, env=environment, preexec_fn=die)  # noqa: PLW1509 - there are no threads
    try:
        return sandbox.wait()
    except KeyboardInterrupt:
        sandbox.terminate()
        try:
            sandbox.wait(GRACE)
        except subprocess.TimeoutExpired:
            sandbox.kill()
            sandbox.wait()
        raise


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = f"groups, with * and ?: {', '.join(GROUPS)}; or {', '.join(APART)}"
    parser.add_argument("--only", nargs="+", metavar="GROUP", default=[], help=names)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the services, to see that it works; results are not written"
    )
    parser.add_argument("--services", type=int, metavar="N", help="so many services; results are not written")
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        default=SOAK_MINUTES,
        help=f"how long the soak lasts; results are not written where it is less than {SOAK_MINUTES:g}",
    )
    parser.add_argument("--profile", action="store_true", help="sample the operator's stacks into build/bench-scale")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the results of what is kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
