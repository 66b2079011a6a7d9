"""Hurts the operator in every way that the plan knows, on the API server of a sandbox, and writes what became of it.

tidegate-sandbox run --parts api,controllers,kwok -- env PYTHONPATH=tests python -m faults
... python -m faults --only 'promotion/write-7/kill-after'
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from faults import edits, outages, report, runner, setting
from faults.journeys import JOURNEYS
from faults.place import Grounds, grounds
from faults.plan import Injection, Learned, all_of, chosen, journeys_of, matching
from faults.runner import Result

RESERVE = 240.0
"""Seconds that are kept for outages of the whole cluster, which come last, and for what is under way then."""


def main() -> int:
    """Run what the command line asks for; the exit status is 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(prog="faults", description="Hurts the operator, and sees what becomes of it.")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="names of injections, with * and ?")
    parser.add_argument("--list", action="store_true", help="name the injections and end")
    parser.add_argument("--side-by-side", type=int, default=6, metavar="N", help="injections at a time (default: 6)")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many of them, chosen by chance")
    parser.add_argument("--seed", type=int, default=1, help="of that chance (default: 1)")
    parser.add_argument("--minutes", type=float, default=56.0, help="begin nothing that would end later (default: 56)")
    parser.add_argument("--report", type=Path, default=Path("build/faults.json"), help="where the result goes")
    parser.add_argument("--accounts", type=Path, default=Path("build/faults"), help="folder for what is known of violations")
    return asyncio.run(_run(parser.parse_args()))


async def _run(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    await asyncio.to_thread(setting.install)
    with tempfile.TemporaryDirectory(prefix="tidegate-faults-") as folder:
        async with grounds(Path(folder)) as ground:
            results, left_out = await _everything(ground, arguments, began)
    found = report.summary(results, time.monotonic() - began, left_out)
    arguments.report.parent.mkdir(parents=True, exist_ok=True)
    arguments.report.write_text(json.dumps(found, indent=2) + "\n")
    print(report.table(results))
    counted = {name: len(found[name]) for name in ("violations", "missed", "left_out")}
    print(f"{found['total']} faults in {found['seconds']} s, {', '.join(f'{n} {name}' for name, n in counted.items())}")
    return 1 if found["violations"] else 0


async def _everything(ground: Grounds, arguments: argparse.Namespace, began: float) -> tuple[list[Result], list[str]]:
    patterns, side_by_side = arguments.only or ["*"], arguments.side_by_side
    learned = await _learned(ground, patterns, side_by_side)
    plan = [(one, known) for name, known in learned.items() for one in _injections(name, known, arguments.only)]
    ruins = [outage for outage in outages.OUTAGES if _any(patterns, (outage.name(name) for name in JOURNEYS))]
    sequences = [name for name in edits.NAMES if _any(patterns, [name])]
    if arguments.list:
        print("\n".join([*(f"{one.name}  {one.says}" for one, _ in plan), *sequences]))
        print("\n".join(outage.name(name) for outage in ruins for name in learned))
        return [], []
    if not arguments.only:
        # So that whatever there is time for is a fair share of everything.
        random.Random(arguments.seed).shuffle(plan)
    if arguments.sample:
        plan = random.Random(arguments.seed).sample(plan, min(arguments.sample, len(plan)))
    told = Counter[str]()

    def heard(result: Result) -> None:
        told["all"] += 1
        print(f"{told['all']:>5}/{len(plan) + len(sequences) + len(ruins) * len(learned)} {result}", flush=True)
        report.keep_account(result, arguments.accounts)

    deadline = began + 60 * arguments.minutes
    results = await edits.run(ground, sequences, side_by_side=side_by_side, heard=heard)
    results += await runner.run(ground, plan, side_by_side=side_by_side, until=deadline - RESERVE * bool(ruins), heard=heard)
    results += await outages.run(ground, learned, ruins, until=deadline, heard=heard)
    done = {result.name for result in results}
    wanted = [one.name for one, _ in plan] + [outage.name(name) for outage in ruins for name in learned]
    return results, [name for name in wanted if name not in done]


def _injections(journey: str, learned: Learned, only: list[str] | None) -> list[Injection]:
    """Return those that are asked for by name; without names, those of the full run."""
    found = list(all_of(journey, learned))
    return matching(found, only) if only else chosen(journey, found)


async def _learned(ground: Grounds, patterns: list[str], side_by_side: int) -> dict[str, Learned]:
    gate = asyncio.Semaphore(side_by_side)

    async def learn(name: str) -> Learned:
        async with gate:
            return await runner.learn(ground, name)

    names = journeys_of(patterns)
    return dict(zip(names, await asyncio.gather(*(learn(name) for name in names)), strict=True))


def _any(patterns: list[str], names: object) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
