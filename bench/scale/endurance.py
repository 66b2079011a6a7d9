"""What a soak has seen, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from bench.scale.flow import Journey
from bench.scale.spread import Found, percentile
from bench.scale.trend import Point, growth, more, second_half, slope, within

SAMPLE = 10.0
"""Seconds between samples."""
SLOWER, LATER = 1.2, 0.05
"""A latency may become so many times what it was, and so many seconds more."""


@dataclass(frozen=True)
class Sample:
    """What was seen of the operator at one moment, and since the moment before.

    Attributes:
        at: seconds since the beginning.
        memory: resident, in MB.
        handles: open files and sockets.
        threads: how many it has.
        cores: processors kept busy.
        statuses: writes of statuses per second.
        requests: all requests to the API server per second.
        queue: Releases that wait to be worked on.
        oldest: how long the oldest of them has waited, in seconds.
        journeys: that were on.
        replica_sets: objects of this kind in the cluster.
    """

    at: float
    memory: float
    handles: int
    threads: int
    cores: float
    statuses: float
    requests: float
    queue: float
    oldest: float
    journeys: int
    replica_sets: int


@dataclass
class Ends:
    """What has become of journeys.

    Attributes:
        latencies: when a route was shut, in seconds since the beginning, and the seconds since the first bad reading.
        done: journeys that ended as they should have, by kind.
        wrong: what was wrong with the others, in words.
    """

    latencies: list[Point] = field(default_factory=list)
    done: dict[Journey, int] = field(default_factory=lambda: dict.fromkeys(Journey, 0))
    wrong: list[str] = field(default_factory=list)


def figures(ends: Ends, samples: Sequence[Sample], whole: float) -> Found:
    """Return what was seen as figures.

    Args:
        ends: of all journeys.
        samples: of the operator.
        whole: how long journeys began, in seconds.
    """
    found = Found()
    found.samples = {"samples": [asdict(one) for one in samples], "latencies": ends.latencies, "seconds": whole}
    _growth(found, samples, whole)
    _latencies(found, ends.latencies, whole)
    found["cpu"] = sum(one.cores for one in samples) / len(samples)
    found["statuses"] = sum(one.statuses for one in samples) / len(samples)
    found["queue"] = max(one.queue for one in samples)
    found.note("queue", f"looked at every {SAMPLE:g} s; the oldest had waited {max(one.oldest for one in samples):.2f} s")
    found["rollouts"] = sum(number * journey.rollouts for journey, number in ends.done.items())
    found.note("rollouts", ", ".join(f"{journey} {number}" for journey, number in ends.done.items()))
    found["wrong"] = len(ends.wrong)
    found.note("wrong", "; ".join(ends.wrong[:5]))
    return found


def _growth(found: Found, samples: Sequence[Sample], whole: float) -> None:
    memory = [(one.at, one.memory) for one in samples]
    found["memory growth"] = growth(memory, whole)
    found["memory slope"] = slope(second_half(memory, whole)) * 3600
    found["memory"] = memory[-1][1]
    first, last = samples[0], samples[-1]
    kept = f"ReplicaSets in the cluster: {first.replica_sets} to {last.replica_sets}"
    found.note("memory growth", f"{first.memory:.0f} MB after {first.at:g} s, {last.memory:.0f} MB at the end; {kept}")
    for what in ("handles", "threads"):
        points = [(one.at, float(getattr(one, what))) for one in samples]
        found[f"{what} growth"] = more(points, whole)
        values = [value for _, value in points]
        found.note(f"{what} growth", f"between {min(values):.0f} and {max(values):.0f}")


def _latencies(found: Found, latencies: Sequence[Point], whole: float) -> None:
    first, last = within(latencies, 0, whole / 3), within(latencies, whole * 2 / 3, whole)
    if not (first and last):
        return
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        before, after = percentile(first, share), percentile(last, share)
        found[f"reading {name}"], found[f"slower {name}"] = after, after / (SLOWER * before + LATER)
        found.note(f"reading {name}", f"{len(last)} breaches; in the first third {before:.3f} s, {len(first)} breaches")
