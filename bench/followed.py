"""How long a look at many series takes: `python -m bench.followed [--beside <checkout>]`, from the checkout's root.

Both versions of a gate have so many series in all, each scraped anew at each look; answers are texts as they come from Prometheus.
With `--beside`, another checkout of Tidegate is measured in turn with this one, in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SERIES = (8, 1000, 8192)
ROUNDS = 5
LOOKS = 12
START = datetime(2026, 1, 2, tzinfo=UTC)
INTERVAL = 5.0


def main() -> int:
    """Measure this checkout, and another one beside it, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.followed", description="Time looks at many series.")
    parser.add_argument("--beside", type=Path, help="another checkout to compare with")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="where figures are written")
    options = parser.parse_args()
    if options.child:
        print(json.dumps([measured(series) for series in SERIES]))
        return 0
    checkouts = {"here": ROOT} | ({"beside": options.beside.resolve()} if options.beside else {})
    found: dict[str, list[list[dict[str, float]]]] = {name: [] for name in checkouts}
    for _ in range(ROUNDS):
        for name, checkout in checkouts.items():
            found[name].append(_child(checkout))
    figures = []
    print(
        f"{'series':>7}  {'what':>8}  " + "  ".join(f"{name:>12}" for name in checkouts) + ("     ratio" if options.beside else "")
    )
    for number, series in enumerate(SERIES):
        for what in ("ledger", "answers", "holds up"):
            best = {name: statistics.median(round_[number][what] for round_ in rounds) for name, rounds in found.items()}
            ratio = f"  {best['here'] / best['beside']:8.2f}" if options.beside else ""
            print(f"{series:>7}  {what:>8}  " + "  ".join(f"{value * 1e3:>9.3f} ms" for value in best.values()) + ratio)
            for name, value in best.items():
                cell = f"seconds of a look at {series} series, {WORDS[what]}, {'before' if name == 'beside' else 'now'}"
                figures.append({"cell": cell, "measured": round(value, 6), "limit": None, "holds": None})
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


WORDS = {
    "ledger": "taken into the ledger",
    "answers": "from the answers to what was counted",
    "holds up": "of that, on the event loop",
}


def _child(checkout: Path) -> list[dict[str, float]]:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "operator")}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--child"],
        env=environment,
        cwd=checkout,
        check=True,
        stdout=subprocess.PIPE,
    )
    found: list[dict[str, float]] = json.loads(done.stdout)
    return found


def measured(series: int) -> dict[str, float]:
    """Return the medians of a look's seconds: in the ledger, in all, and of that what holds up the event loop."""
    from tidegate.prometheus.ledger import Ledger

    ledger, read, off_loop = Ledger(), _reader(), _reads_in_threads()
    taken: dict[str, list[float]] = {name: [] for name in WORDS}
    for look in range(LOOKS if series > 100 else 20 * LOOKS):
        at = START + timedelta(seconds=INTERVAL * look)
        texts = [_answer(series // 2, version, look, at) for version in ("stable", "canary")]
        began = time.perf_counter()
        stable, canary = (read(json_of(text)) for text in texts)
        before = time.perf_counter()
        if look == 0:
            ledger.prime(at, canary, stable)
            continue
        ledger.advance(at, canary, stable)
        ended = time.perf_counter()
        taken["ledger"].append(ended - before)
        taken["answers"].append(ended - began)
        taken["holds up"].append(ended - before if off_loop else ended - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def json_of(text: bytes) -> Any:
    """Parse an answer as both ways do."""
    import orjson

    return orjson.loads(text)


def _reads_in_threads() -> bool:
    from tidegate.prometheus import samples

    return hasattr(samples, "compact")


def _reader() -> Callable[[dict[str, Any]], Any]:
    """Return how the answers of one version become what the ledger takes in, in the checkout that is measured."""
    from tidegate.prometheus import samples
    from tidegate.prometheus.counters import Kind, RawCounters, VersionCounters

    if _reads_in_threads():
        form = samples.Form(Kind.SHARE, grouped=True, seconds=1.0, most=10_000)
        parts = {"total": samples.Part.TOTAL, "bad": samples.Part.BAD, "times": samples.Part.TIMES, "births": samples.Part.BIRTHS}
        return lambda data: (
            samples.seen(form, {part: samples.compact(form, part, data[name]) for name, part in parts.items()}).sightings
        )
    asked = RawCounters(Kind.SHARE, VersionCounters())
    return lambda data: samples.sightings(asked, samples.Answers(**data))  # type: ignore[attr-defined, unused-ignore]


def _answer(series: int, version: str, look: int, at: datetime) -> bytes:
    """Return what Prometheus says of one version's processes: each is scraped at an instant of its own."""
    now = at.timestamp()

    def of(value: Callable[[int], str]) -> list[dict[str, Any]]:
        return [{"metric": _labels(version, number), "value": [now, value(number)]} for number in range(series)]

    parts = {
        "total": of(lambda number: str(1000 * look + number)),
        "bad": of(lambda number: str(look + number % 7)),
        "times": of(lambda number: f"{now - (number % 50) / 10:.3f}"),
        "births": of(lambda number: f"{START.timestamp() - 1000 - number:.3f}"),
    }
    return json.dumps(parts).encode()


def _labels(version: str, number: int) -> dict[str, str]:
    pod = f"checkout-{version}-{number:05d}"
    return {"namespace": "shop", "pod": pod, "instance": f"10.0.{number // 250}.{number % 250}:8080", "job": "shop/checkout"}


if __name__ == "__main__":
    sys.exit(main())
