"""What became of all faults, in numbers: for people as a table, for machines as JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faults.runner import Result


def summary(results: Sequence[Result], seconds: float, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the report says.

    Args:
        results: what became of each injection.
        seconds: how long it all took.
        left_out: names of the injections for which there was no time.
    """
    struck = [result for result in results if result.hits]
    return {
        "total": len(struck),
        "seconds": round(seconds),
        "injected": dict(sorted(Counter(kind_of(result) for result in struck).items())),
        "journeys": {journey: dict(sorted(kinds.items())) for journey, kinds in sorted(_by_journey(struck).items())},
        "violations": [
            {"injection": result.name, "strikes": result.says, "invariant": violation.invariant, "message": violation.message}
            for result in results
            for violation in result.violations
        ],
        "missed": sorted(result.name for result in results if not result.hits and not result.violations),
        "left_out": sorted(left_out),
    }


def _by_journey(results: Sequence[Result]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        found[result.name.split("/")[0]][kind_of(result)] += 1
    return found


def kind_of(result: Result) -> str:
    """Return the kind of fault that a result is about."""
    where, kind = result.name.split("/")[1:]
    return f"prometheus-{kind}" if where.startswith("prometheus") else kind


def table(results: Sequence[Result]) -> str:
    """Return in columns how many faults of each kind struck each journey, and how many of them violated something."""
    journeys = sorted({result.name.split("/")[0] for result in results})
    kinds = sorted({kind_of(result) for result in results})
    width = max(map(len, kinds), default=10)
    lines = [" ".join([" " * width, *(f"{journey:>12}" for journey in journeys)])]
    for kind in kinds:
        cells = []
        for journey in journeys:
            mine = [one for one in results if kind_of(one) == kind and one.name.startswith(f"{journey}/")]
            struck, bad = sum(one.hits > 0 for one in mine), sum(bool(one.violations) for one in mine)
            cells.append(f"{f'{struck} ({bad} bad)' if bad else struck or '':>12}")
        lines.append(" ".join([f"{kind:<{width}}", *cells]).rstrip())
    return "\n".join(lines)


def keep_account(result: Result, folder: Path) -> None:
    """Write all that is known of a violation into a file of its own."""
    if result.account:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{result.name.replace('/', '_')}.txt").write_text(f"{result}\n{result.account}\n")
