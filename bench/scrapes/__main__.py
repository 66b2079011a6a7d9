"""Quick experiments: `python -m bench.scrapes --cells ends --runs 50`, or one scene with `--scene scrape=60,look=30,times=5`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from bench.measure import Bench, Figure, bench, median, publish
from bench.report import Section
from bench.rollouts import ALPHA, gate, increase
from bench.scrapes.calm import calm, counted
from bench.scrapes.detect import after_outages, combinations
from bench.scrapes.ends import end_to_end
from bench.scrapes.rollout import Scraped
from bench.scrapes.scene import Outage, Scene
from bench.scrapes.secondly import secondly

from tidegate.backtest.traffic import Fault

CELLS: dict[str, Callable[[Bench], Section]] = {
    "scrapes": combinations,
    "after-outages": after_outages,
    "ends": end_to_end,
    "calm": calm,
    "counted": counted,
    "secondly": secondly,
}


class _Fixed(Bench):
    """A bench with the same number of rollouts everywhere, that leaves out what is not asked for."""

    number = 0

    def runs(self, number: int) -> int:
        """Return the fixed number."""
        return self.number or number


def main() -> int:
    """Print the tables and the figures beyond their limits, or what comes of one scene."""
    options = _options()
    with bench(options.workers, 1.0) as runner:
        runner.__class__ = _Fixed
        _Fixed.number = options.runs
        if options.scene is not None:
            _one(runner, options)
            return 0
        figures: list[Figure] = []
        for name in options.cells:
            section = CELLS[name](runner)
            figures += section.figures
            print(f"\n## {section.title}\n", *section.table, sep="\n")
            for figure in section.figures:
                if figure.holds is False:
                    print(f"beyond its limit: {figure.cell}: {figure.measured:.4g}, at most {figure.limit:g}")
            limited = [figure for figure in section.figures if figure.limit is not None]
            print(f"{sum(figure.holds is True for figure in limited)} of {len(limited)} within their limits", flush=True)
        if options.json is not None:
            publish(figures, options.json)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scrapes", description="Try the simulator of scrapes.")
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS), metavar="CELL", help=", ".join(CELLS))
    parser.add_argument("--runs", type=int, default=50, help="rollouts for each figure; 0 for the full number (default: 50)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    names = ", ".join(field.name for field in fields(Scene))
    parser.add_argument(
        "--scene", help=f"one scene: NAME=NUMBER,... of {names}; times, minute, slower; outage=BEGIN:SECONDS:SHARE[:EVERY]"
    )
    parser.add_argument("--limit", default="percent=0", help="of an error rate: percent=N or points=N (default: percent=0)")
    parser.add_argument("--alpha", type=float, default=ALPHA)
    parser.add_argument("--json", type=Path, help="where figures are written")
    parser.add_argument("--whole", action="store_true", help="go through the status at each look, as the operator does")
    return parser.parse_args()


def _one(runner: Bench, options: argparse.Namespace) -> None:
    scene = _scene(options.scene)
    name, number = options.limit.split("=")
    one = gate("ErrorRate", "error-rate", **increase(**{name: float(number)}))
    ran = runner.each(options.scene, Scraped(scene, (one,), options.alpha, options.whole), runner.runs(options.runs))
    waits = sorted(run.failed[0] - scene.onset for run in ran)
    early = sum(wait <= 0 for wait in waits)
    late = [wait for wait in waits if wait > 0]
    found = sum(math.isfinite(wait) for wait in late)
    spread = (
        " ".join(f"{late[min(len(late) - 1, int(part * len(late)))]:.0f}" for part in (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1))
        if late
        else ""
    )
    print(
        f"stopped {found} of {len(late)}, before the fault {early}; seconds: {spread}; bad {median([run.bad for run in ran]):.0f}"
    )
    for version, told in enumerate(("canary", "stable")):
        sums = [
            sum(column)
            for column in zip(*((run.counted[version], run.scraped[version], run.true[version]) for run in ran), strict=True)
        ]
        print(f"{told}: counted {sums[0] / max(1, sums[1]):.4f} of scraped, {sums[0] / max(1, sums[2]):.4f} of all")


def _scene(text: str) -> Scene:
    values: dict[str, object] = {}
    fault, outages = {}, []
    kinds = {field.name: field.type for field in fields(Scene)}
    for part in text.split(","):
        name, value = part.split("=")
        if name in ("times", "minute", "slower"):
            fault[name] = float(value)
        elif name == "outage":
            outages.append(Outage(*(float(number) for number in value.split(":"))))
        elif name == "restarts":
            low, high = value.split(":")
            values[name] = (float(low), float(high))
        else:
            values[name] = int(value) if kinds[name] == "int" else bool(int(value)) if kinds[name] == "bool" else float(value)
    if fault:
        values["fault"] = Fault(fault.get("times", 1.0), 60 * fault.get("minute", 0.0), fault.get("slower", 1.0))
    return replace(Scene(), outages=tuple(outages), **values)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
