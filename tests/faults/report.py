"""What became of all faults, in numbers: for people as a table, for machines as JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from faults import rounds
from faults.oracle import Violation
from faults.plan import Injection
from faults.runner import Result
from faults.writes import Asked


def distinct_writes(injections: Iterable[Injection]) -> dict[str, str]:
    """Return by the name of each injection that strikes a single write what the write says, whichever time it says so."""
    return {one.name: str(replace(one.target, nth=0)) for one in injections if isinstance(one.target, Asked)}


def summary(
    results: Sequence[Result],
    *,
    seconds: float,
    planned: Sequence[str],
    more: int = 0,
    writes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what the report says.

    Args:
        results: what became of each injection.
        seconds: how long it all took.
        planned: names of all that the run consists of.
        more: how many there are besides, for which there may be no time.
        writes: what is struck by those of all injections that strike a single write, by their names.
    """
    struck, writes = [result for result in results if result.hits], writes or {}
    met, wanted = {result.name for result in results}, set(planned)
    return {
        "total": len(struck),
        "seconds": round(seconds),
        "rule": (rounds.__doc__ or "").strip(),
        "planned": {"all": len(wanted), "met": len(met & wanted)},
        "more": {"all": more, "met": len(met - wanted)},
        "injected": dict(sorted(Counter(kind_of(result) for result in struck).items())),
        "writes": {"all": len(set(writes.values())), "met": _writes_met(struck, writes)},
        "journeys": {journey: dict(sorted(kinds.items())) for journey, kinds in sorted(_by_journey(struck).items())},
        "violations": [
            {"injection": result.name, "strikes": result.says, "repeated": result.alone is not None, **_told(violation)}
            for result in results
            for violation in result.violated
        ],
        "repeated": [
            {
                "injection": result.name,
                "strikes": result.says,
                "seconds": [round(result.seconds, 1), round(result.alone.seconds, 1)],
                "at_first": [_told(violation) for violation in result.violations],
                "alone": [_told(violation) for violation in result.alone.violations],
                "holds_alone": not result.violated,
            }
            for result in results
            if result.alone is not None
        ],
        "missed": sorted(result.name for result in results if not result.hits and not result.violations),
        "left_out": sorted(wanted - met),
        "durations": {result.name: round(result.seconds, 1) for result in sorted(results, key=lambda one: -one.seconds)},
    }


def in_short(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a report is worth keeping beside the code: how much was tried, and what did not hold."""
    told = {key: found[key] for key in ("total", "seconds", "injected")}
    journeys = {journey: sum(kinds.values()) for journey, kinds in found["journeys"].items()}
    return told | {"journeys": journeys, "violations": found["violations"]}


def _writes_met(struck: Iterable[Result], writes: Mapping[str, str]) -> dict[str, int]:
    """Return how many writes that say something different each kind of fault has met."""
    met: dict[str, set[str]] = defaultdict(set)
    for result in struck:
        if result.name in writes:
            met[kind_of(result)].add(writes[result.name])
    return {kind: len(said) for kind, said in sorted(met.items())}


def _told(violation: Violation) -> dict[str, str]:
    return {"invariant": violation.invariant, "message": violation.message}


def _by_journey(results: Sequence[Result]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        found[journey_of(result)][kind_of(result)] += 1
    return found


def journey_of(result: Result) -> str:
    """Return the journey that a result is about."""
    return result.name.split("/")[0]


def kind_of(result: Result) -> str:
    """Return the kind of fault that a result is about."""
    where, kind = result.name.split("/")[1:]
    return f"prometheus-{kind}" if where.startswith("prometheus") else kind


def words(results: Sequence[Result], found: dict[str, Any]) -> str:
    """Return for people what a report says: the table, each violation, and the counts."""
    lines = [f"VIOLATED {one['injection']} ({one['strikes']}): {_line(one)}" for one in found["violations"]]
    for one in found["repeated"]:
        first = "; ".join(_line(violation) for violation in one["at_first"])
        lines.append(f"repeated {one['injection']}: {'holds' if one['holds_alone'] else 'fails'} alone; at first: {first}")
    lines += [f"missed {name}: its request did not come" for name in found["missed"]]
    planned, more, repeated = found["planned"], found["more"], found["repeated"]
    held = sum(one["holds_alone"] for one in repeated)
    violated = {one["injection"] for one in found["violations"]}
    lines += [
        f"{found['total']} faults in {found['seconds']} s",
        f"{planned['met']} of {planned['all']} were planned, {more['met']} of {more['all']} came besides",
        f"{len(violated)} of them violated something ({len(found['violations'])} violations)",
        f"{len(repeated)} had been too slow and were repeated alone: {held} held then",
        f"{len(found['missed'])} missed, {len(found['left_out'])} left out",
    ]
    return "\n".join([table(results, found["writes"]), "", *lines])


def _line(told: dict[str, str]) -> str:
    return f"{told['invariant']}: {' '.join(told['message'].split())[:200]}"


def table(results: Sequence[Result], writes: Mapping[str, Any]) -> str:
    """Return in columns how many faults of each kind struck each journey, and how many of them violated something.

    The last two columns say how long one takes, and how many of all writes the kind has met that say something different.
    """
    journeys = [*sorted({journey_of(result) for result in results}), "all"]
    kinds = [*sorted({kind_of(result) for result in results}), "all"]
    rows = [["", *journeys, "mean s", f"of {writes['all']} writes"]]
    for kind in kinds:
        mine = [one for one in results if kind in {kind_of(one), "all"}]
        cells = [_cell([one for one in mine if journey in {journey_of(one), "all"}]) for journey in journeys]
        mean, met = sum(one.seconds for one in mine) / max(len(mine), 1), writes["met"].get(kind, "")
        rows.append([kind, *cells, f"{mean:.0f}", f"{met}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def _cell(results: Sequence[Result]) -> str:
    struck, bad = sum(one.hits > 0 for one in results), sum(bool(one.violated) for one in results)
    return f"{struck} ({bad} bad)" if bad else f"{struck or ''}"


def keep_account(result: Result, folder: Path, *, alone: bool = False) -> None:
    """Write all that is known of a violation into a file of its own; what was repeated alone has another one."""
    if result.account:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{result.name.replace('/', '_')}{'.alone' if alone else ''}.txt"
        (folder / name).write_text(f"{result}\n{result.account}\n")
