"""The judge's benchmark: `python -m bench.judge`, from the checkout's root."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.detection import delays, failed_requests, lower_bound, rare_errors
from bench.healthy import boundary, healthy, three_gates
from bench.latency import latency
from bench.measure import Bench, bench
from bench.report import Section, keep, kept, write_json, write_page
from bench.scrapes.calm import calm, counted
from bench.scrapes.detect import after_outages, combinations
from bench.scrapes.ends import end_to_end
from bench.scrapes.secondly import secondly
from bench.speed import speed

ROOT = Path(__file__).resolve().parent.parent
CELLS: dict[str, Callable[[Bench], Section]] = {
    "healthy": healthy,
    "three-gates": three_gates,
    "boundary": boundary,
    "detection": delays,
    "bound": lower_bound,
    "failed-requests": failed_requests,
    "rare-errors": rare_errors,
    "latency": latency,
    "scrapes": combinations,
    "after-outages": after_outages,
    "ends": end_to_end,
    "calm": calm,
    "counted": counted,
    "secondly": secondly,
    "speed": speed,
}
QUICK = 0.05
"""Share of the runs that --quick does."""


def main() -> int:
    """Run the chosen parts, write the results with those of earlier runs, and name the figures that are beyond their limit."""
    options = _options()
    began = time.monotonic()
    scale = QUICK if options.quick else options.scale
    with bench(options.workers, scale) as runner:
        for name in options.cells:
            section = CELLS[name](runner)
            numbers = " or ".join(f"{number:,}" for number in runner.numbers())
            text = f"{section.text} Rollouts for each figure: {numbers}." if numbers else section.text
            keep(replace(section, text=text), options.kept / f"{name}.json")
    sections = [section for section in (kept(options.kept / f"{name}.json") for name in CELLS) if section is not None]
    write_json(sections, options.json)
    write_page(sections, options.page, setting=_setting(options.workers, time.monotonic() - began))
    failed = [figure for section in sections for figure in section.figures if figure.holds is False]
    for figure in failed:
        print(f"not within its limit: {figure.cell}: {figure.measured:.4g}, at most {figure.limit:g}", file=sys.stderr)
    print(f"wrote {options.json} and {options.page}", file=sys.stderr)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.judge", description="Measure the judge on generated traffic.")
    parser.add_argument("--quick", action="store_true", help=f"only {QUICK:.0%}% of the runs, to see that everything works")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all numbers of runs (default: 1)")
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS), metavar="CELL", help=", ".join(CELLS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one for each processor)")
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "judge.json", help="where figures are written")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "judge-results.md", help="where the page is written")
    parser.add_argument("--kept", type=Path, default=ROOT / "build" / "bench-judge", help="where parts are kept for the next run")
    return parser.parse_args()


def _setting(workers: int, seconds: float) -> str:
    return (
        f"Measured with Python {platform.python_version()} on {os.cpu_count()} cores; the last part took {workers} processes "
        f"{max(1, round(seconds / 60))} minutes. Each table says how many rollouts are behind its figures: with 1,000, a share "
        "near 1% has a standard error of 0.3 points, and a median one of 2 to 4%; with 100, one of 1 point, and of 6 to 12%."
    )


if __name__ == "__main__":
    sys.exit(main())
