"""Measures one group in the sandbox that it runs in: `python -m bench.scale.inside GROUP FILE`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import uvloop
from bench.measure import Figure
from bench.scale.figures import ROWS
from bench.scale.groups import GROUPS, Run
from bench.scale.spread import Found


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.inside", description=__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    run = Run(quick=options.quick, profile=options.profile)
    found = uvloop.run(GROUPS[options.group](run))
    figures = [figure.to_wire() for figure in figures_of(options.group, found)]
    wire = {"group": options.group, "quick": options.quick, "seconds": round(time.monotonic() - began), "figures": figures}
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(json.dumps(wire, indent=1) + "\n")


def figures_of(group: str, found: Found) -> list[Figure]:
    """Return what a group has found as figures, in the order of the report; what has no row is left out."""
    rows = {row.key: row for row in ROWS if row.key.partition("/")[0] == group}
    return [
        Figure(row.cell, found[name], row.limit, found.notes.get(name, ""))
        for key, row in rows.items()
        if (name := key.partition("/")[2]) in found
    ]


if __name__ == "__main__":
    main()
