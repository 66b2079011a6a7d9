"""What gateways have said of requests whose answers are known: the presets take it for that, version by version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tidegate.api.metric import Measure, Source
from tidegate.prometheus.presets import TELEMETRY, Version, places
from tidegate.prometheus.promql import Names, Where

FOLDER = Path(__file__).parents[2] / "expositions"
NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 80)


@dataclass(frozen=True)
class Answered:
    """What clients got from one version, and how long it took.

    Attributes:
        total: all requests.
        errors: those answered with 5xx.
        unanswered: with 502 to 504.
        timed: those of whose time there is something.
        slow: those among them that took more than 0.4 s.
    """

    total: int
    errors: int
    unanswered: int
    timed: int
    slow: int


TRAEFIK = (Answered(67, 7, 3, 67, 8), Answered(270, 38, 12, 270, 28))


class Recorded:
    """One exposition."""

    def __init__(self, name: str) -> None:
        # Without their types: the parser gives counters another name.
        lines = [line for line in (FOLDER / f"{name}.prom").read_text().splitlines() if not line.startswith("#")]
        families = text_string_to_metric_families("\n".join(lines) + "\n")
        self._samples = [(one.name, one.labels, one.value) for family in families for one in family.samples]

    def sum(self, metric: str, *where: Where, **labels: str) -> float:
        """Return the sum of the series that one of these ways selects."""
        return sum(
            value
            for name, found, value in self._samples
            if name == metric and labels.items() <= found.items() and any(selects(one, found) for one in where)
        )

    def bounds(self, metric: str) -> list[float]:
        """Return the bounds of a histogram."""
        return sorted({float(labels["le"]) for name, labels, _ in self._samples if name == metric})

    def at(self, metric: str, bound: float, *where: Where) -> float:
        """Return how many took no longer than a bound, in the histogram's own unit."""
        texts = {labels["le"] for name, labels, _ in self._samples if name == metric and float(labels["le"]) == bound}
        return sum(self.sum(metric, *where, le=text) for text in texts)


def selects(where: Where, labels: Mapping[str, str]) -> bool:
    """Whether a series has what is asked for; what the expressions use means the same to Python as to RE2."""
    for one in where:
        value = labels.get(one.label, "")
        held = value == one.value if one.operator == "=" else re.fullmatch(one.value, value) is not None
        if held == (one.operator == "!~"):
            return False
    return True


def answered(source: Source, recorded: Recorded, version: Version) -> Answered:
    """Return what a preset takes from an exposition, of one version."""
    known, where = TELEMETRY[source], places(source, NAMES, version)
    bad = {
        measure: sum(
            recorded.sum(known.counter or f"{known.histogram}_count", *((*one, more) for one in where))
            for more in known.telling(measure).bad
        )
        for measure in (Measure.ERROR_RATE, Measure.AVAILABILITY)
    }
    buckets = f"{known.histogram}_bucket"
    bound = max(one for one in recorded.bounds(buckets) if one * known.seconds <= 0.4)
    timed = recorded.sum(f"{known.histogram}_count", *where)
    return Answered(
        total=round(recorded.sum(known.counter, *where)),
        errors=round(bad[Measure.ERROR_RATE]),
        unanswered=round(bad[Measure.AVAILABILITY]),
        timed=round(timed),
        slow=round(timed - recorded.at(buckets, bound, *where)),
    )


@pytest.mark.parametrize(
    ("name", "source", "canary", "stable"),
    [
        ("traefik-3.7.5", Source.TRAEFIK, *TRAEFIK),
        ("traefik", Source.TRAEFIK, *TRAEFIK),
        # Envoy counts what ran into a timeout as 504, and nowhere how long it took.
        ("envoy", Source.ENVOY, Answered(93, 16, 9, 91, 9), Answered(284, 35, 12, 280, 21)),
        ("envoy-gateway", Source.ENVOY, Answered(61, 8, 5, 59, 6), Answered(275, 43, 16, 271, 24)),
        ("envoy-gateway-default", Source.ENVOY, Answered(0, 0, 0, 0, 0), Answered(0, 0, 0, 0, 0)),
    ],
)
def test_what_was_answered_is_what_is_counted(name: str, source: Source, canary: Answered, stable: Answered) -> None:
    """All requests of each version and no others, failed ones, unanswered ones and slow ones."""
    recorded = Recorded(name)

    assert answered(source, recorded, Version.CANARY) == canary
    assert answered(source, recorded, Version.STABLE) == stable
