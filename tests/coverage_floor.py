"""Fail where the branch coverage of a package that must be covered is below its floor: `coverage_floor.py build/coverage.json`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

FLOORS = {"engine": 95.0, "api": 95.0, "traffic": 95.0, "workloads": 95.0}


def shares(report: dict) -> dict[str, float]:
    """Return the share of statements and branches that ran, in percent, by package of tidegate."""
    ran, all_of = defaultdict(int), defaultdict(int)
    for path, data in report["files"].items():
        parts = Path(path).parts
        if "tidegate" not in parts:
            continue
        package, summary = parts[parts.index("tidegate") + 1], data["summary"]
        ran[package] += summary["covered_lines"] + summary.get("covered_branches", 0)
        all_of[package] += summary["num_statements"] + summary.get("num_branches", 0)
    return {package: 100 * ran[package] / total for package, total in all_of.items() if total}


def main() -> int:
    """Print the shares and compare them with the floors."""
    found = shares(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    below = [package for package, floor in FLOORS.items() if found.get(package, 0.0) < floor]
    for package, share in sorted(found.items()):
        floor = f", at least {FLOORS[package]:.0f}% wanted" if package in FLOORS else ""
        print(f"coverage of {package}: {share:.1f}%{floor}")
    if below:
        print(f"too little is covered: {', '.join(below)}")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
