"""Measures how fast and how frugal the operator is, each group of cells in a fresh local cluster, and writes the results.

bench/results/scale.json takes a list of {cell, measured, limit, holds}, docs/performance.md the table. Groups are kept in
build/bench-scale, so that single ones can be measured again: what a run leaves out is written as it was.
"""

from __future__ import annotations

import argparse
import fnmatch
import subprocess
import sys
import time
from pathlib import Path

from bench.scale import report
from bench.scale.names import GROUPS

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "bench-scale"


def main() -> int:
    """Measure what the command line asks for; 1 where a limit is not held, 2 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="GROUP", default=[], help=f"groups, with * and ?: {', '.join(GROUPS)}")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the services, to see that it works; results are not written"
    )
    parser.add_argument("--profile", action="store_true", help="sample the operator's stacks into build/bench-scale")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the results of what is kept")
    options = parser.parse_args()
    groups = [name for name in GROUPS if any(fnmatch.fnmatchcase(name, wanted) for wanted in options.only)]
    if options.only and not groups:
        parser.error(f"no group is called {' '.join(options.only)}")
    groups = groups or list(GROUPS)
    failed = [] if options.report else [name for name in groups if not measure(name, quick=options.quick, profile=options.profile)]
    if options.quick:
        return 2 if failed else 0
    figures = report.kept(KEPT)
    report.write(figures, ROOT / "bench" / "results" / "scale.json", ROOT / "docs" / "performance.md")
    for name in failed:
        print(f"could not be measured: {name}", file=sys.stderr)
    return 2 if failed else 1 if any(figure.holds is False for figure in figures) else 0


def measure(group: str, *, quick: bool, profile: bool) -> bool:
    """Measure a group in a cluster of its own; return whether that went well."""
    name = f"{group}.quick" if quick else group
    result = KEPT / f"{name}.json"
    KEPT.mkdir(parents=True, exist_ok=True)
    inside = [sys.executable, "-m", "bench.scale.inside", group, str(result)]
    inside += ["--quick"] if quick else []
    inside += ["--profile", str(KEPT)] if profile else []
    sandbox = [str(Path(sys.executable).with_name("tidegate-sandbox")), "run", "--parts", "api,controllers,kwok", "--", *inside]
    began = time.monotonic()
    print(f"== {group}", file=sys.stderr, flush=True)
    ended = subprocess.run(sandbox, cwd=ROOT, check=False).returncode
    print(f"== {group}: {'measured' if ended == 0 else 'failed'} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if ended == 0:
        for figure in report.read(result):
            print(report.line(figure))
    return ended == 0


if __name__ == "__main__":
    sys.exit(main())
