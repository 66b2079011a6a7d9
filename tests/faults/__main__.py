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
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from faults import edits, outages, report, runner, setting, timetable
from faults.outages import Outage
from faults.place import Grounds, grounds
from faults.plan import Injection, Learned, all_of, journeys_of, matching
from faults.rounds import Rounds, rounds
from faults.runner import Result
from faults.scenes import SCENES
from faults.timetable import Case
from tidegate.cluster.errors import ApiError

OUTAGES = 300.0
"""Seconds that are kept for outages of the whole cluster."""
REPEATS = 120.0
"""Seconds that are kept for what has to be tried alone, and as many again for what is under way when nothing more is begun."""


def main() -> int:
    """Run what the command line asks for; the exit status is 1 where an invariant was violated."""
    parser = argparse.ArgumentParser(prog="faults", description="Hurts the operator, and sees what becomes of it.")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="names of injections, with * and ?")
    parser.add_argument("--list", action="store_true", help="name the injections and end")
    parser.add_argument("--side-by-side", type=int, default=6, metavar="N", help="injections at a time (default: 6)")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many of them, chosen by chance")
    parser.add_argument("--seed", type=int, default=1, help="of that chance (default: 1)")
    parser.add_argument("--minutes", type=float, default=55.0, help="all has ended by then (default: 55)")
    parser.add_argument("--no-more", action="store_true", help="end when what is planned has been met, whatever time there is")
    parser.add_argument("--report", type=Path, default=Path("build/faults.json"), help="where the result goes")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="where what is worth keeping of it goes")
    parser.add_argument("--accounts", type=Path, default=Path("build/faults"), help="folder for what is known of violations")
    return asyncio.run(_run(parser.parse_args()))


async def _run(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    await asyncio.to_thread(setting.install)
    with tempfile.TemporaryDirectory(prefix="tidegate-faults-") as folder:
        async with grounds(Path(folder)) as ground:
            learned, failed = await _learned(ground, journeys_of(arguments.only or ["*"]), arguments.side_by_side)
            run = Run(ground, arguments, learned, _wanted(learned, arguments), end=began + 60 * arguments.minutes)
            if arguments.list:
                print("\n".join(run.names()))
                return 0
            await run.everything()
    found = run.report(time.monotonic() - began)
    found["clean_runs_that_failed"] = failed
    _write(arguments.report, found)
    if arguments.summary is not None:
        _write(arguments.summary, report.in_short(found))
    print(report.words(run.results, found))
    return 1 if found["violations"] else 0


def _write(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")


async def _learned(ground: Grounds, names: list[str], side_by_side: int) -> tuple[dict[str, Learned], dict[str, str]]:
    """Tell each journey without faults; return what was learned, and what went wrong where one had to be told again."""
    gate, failed = asyncio.Semaphore(side_by_side), dict[str, str]()

    async def learn(name: str) -> Learned:
        async with gate:
            try:
                return await runner.learn(ground, name)
            except (AssertionError, TimeoutError, ApiError) as error:
                failed[name] = repr(error)[:1000]
                print(f"{name} has failed without any fault, and is told again: {failed[name]}", flush=True)
                return await runner.learn(ground, name)

    return dict(zip(names, await asyncio.gather(*(learn(name) for name in names)), strict=True)), failed


def _wanted(learned: dict[str, Learned], arguments: argparse.Namespace) -> Rounds:
    """Return the injections that are asked for by name; without names, those of the full run."""
    found = [one for name, known in learned.items() for one in all_of(name, known)]
    wanted = Rounds(tuple(matching(found, arguments.only)), ()) if arguments.only else rounds(found)
    if arguments.sample:
        chance = random.Random(arguments.seed)
        return Rounds(tuple(chance.sample(wanted.planned, min(arguments.sample, len(wanted.planned)))), ())
    return Rounds(wanted.planned, ()) if arguments.no_more else wanted


@dataclass
class Run:
    """One run: what is planned, one phase after another, and what has become of it.

    Attributes:
        ground: what all cases share.
        arguments: of the command line.
        learned: what clean runs have shown, by journey.
        wanted: the injections.
        end: when all has to have ended, on the monotonic clock.
        results: what has become of each that was met.
        heard: how many have ended.
    """

    ground: Grounds
    arguments: argparse.Namespace
    learned: dict[str, Learned]
    wanted: Rounds
    end: float
    results: list[Result] = field(default_factory=list)
    heard: int = 0

    @property
    def sequences(self) -> list[str]:
        """Edits by chance, by name."""
        return [name for name in edits.NAMES if self._is_asked_for([name])]

    @property
    def single(self) -> dict[str, Learned]:
        """The journeys of one Release: outages of the whole cluster befall these."""
        return {name: known for name, known in self.learned.items() if not SCENES[name].large}

    @property
    def ruins(self) -> list[Outage]:
        """Outages of the whole cluster."""
        if not self.arguments.only:
            return [] if self.arguments.sample else list(outages.OUTAGES[: outages.PLANNED])
        return [one for one in outages.OUTAGES if self._is_asked_for(one.name(name) for name in self.single)]

    @property
    def planned(self) -> list[str]:
        """The names of all that the run consists of, without what it does besides if there is time."""
        struck = [outage.name(name) for outage in self.ruins for name in self.single]
        return [*self.sequences, *(one.name for one in self.wanted.planned), *struck]

    def names(self) -> list[str]:
        """Return the names of all, with what they strike."""
        says = {one.name: f"{one.name}  {one.says}".rstrip() for one in self.wanted.planned}
        return [says.get(name, name) for name in self.planned]

    def report(self, seconds: float) -> dict[str, Any]:
        """Return what the report says, after so many seconds."""
        everything = [one for name, known in self.learned.items() for one in all_of(name, known)]
        return report.summary(
            self.results,
            seconds=seconds,
            planned=self.planned,
            more=len(self.wanted.more),
            writes=report.distinct_writes(everything),
        )

    async def everything(self) -> None:
        """Meet what is planned, then the outages, then more for as long as there is time, and alone what was too slow."""
        kept = 2 * REPEATS + OUTAGES * bool(self.ruins)
        edited = [Case(name, partial(edits.meet, self.ground, name)) for name in self.sequences]
        await self._meet([*edited, *map(self._case, self.wanted.planned)], kept)
        self.results += await outages.run(
            self.ground, self.single, self.ruins, until=self.end - 2 * REPEATS, by=self.end - REPEATS, heard=self._heard
        )
        await self._meet([self._case(one) for one in self.wanted.more], 2 * REPEATS)
        await timetable.repeat(self.results, self._alone, more=self._is_time(0.0), by=self.end, heard=self._heard_alone)

    async def _meet(self, cases: list[Case], kept: float) -> None:
        more, by = self._is_time(kept), self.end - kept + REPEATS
        side_by_side = self.arguments.side_by_side
        self.results += await timetable.run(cases, side_by_side=side_by_side, more=more, by=by, heard=self._heard)

    def _is_time(self, kept: float) -> timetable.More:
        return lambda: time.monotonic() < self.end - kept

    def _case(self, one: Injection) -> Case:
        return Case(one.name, partial(runner.inject, self.ground, one, self.learned[one.journey]), one.waits)

    def _alone(self, name: str) -> Case:
        """Return what has a name, to be met by itself."""
        journey = name.split("/", maxsplit=1)[0]
        for outage in self.ruins:
            if outage.name(journey) == name:
                return Case(name, partial(outages.alone, self.ground, self.learned[journey], outage, journey))
        for one in (*self.wanted.planned, *self.wanted.more):
            if one.name == name:
                return self._case(one)
        return Case(name, partial(edits.meet, self.ground, name))

    def _heard(self, result: Result) -> None:
        self.heard += 1
        print(f"{self.heard:>5}/{len(self.planned)} {result}", flush=True)
        report.keep_account(result, self.arguments.accounts)

    def _heard_alone(self, result: Result) -> None:
        print(f"alone {result}", flush=True)
        report.keep_account(result, self.arguments.accounts, alone=True)

    def _is_asked_for(self, names: Iterable[str]) -> bool:
        patterns = self.arguments.only or ([] if self.arguments.sample else ["*"])
        return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)


if __name__ == "__main__":
    sys.exit(main())
