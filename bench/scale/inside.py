"""Measures one group in the sandbox that it runs in: `python -m bench.scale.inside GROUP FILE`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop
from bench.measure import Figure
from bench.scale.figures import ROWS
from bench.scale.groups import GROUPS, Run
from bench.scale.names import SOAK_MINUTES
from bench.scale.spread import Found

INTERRUPTED = 130


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.inside", description=__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--services", type=int)
    parser.add_argument("--minutes", type=float, default=SOAK_MINUTES)
    options = parser.parse_args()
    began = time.monotonic()
    run = Run(quick=options.quick, profile=options.profile, services=options.services, minutes=options.minutes)
    try:
        found = uvloop.run(until_told(GROUPS[options.group](run)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    figures = [figure.to_wire() for figure in figures_of(options.group, found)]
    wire: dict[str, Any] = {
        "group": options.group,
        "quick": options.quick,
        "seconds": round(time.monotonic() - began),
        "figures": figures,
    }
    if found.samples is not None:
        wire["samples"] = found.samples
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(json.dumps(wire, indent=1) + "\n")


async def until_told(measure: Coroutine[Any, Any, Found]) -> Found:
    """Measure; where this process is asked to end, take down what was started first, as on Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await measure


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
