"""Remembers, for each gate, whether bad events can be told, and why not; asks Prometheus only where that is not known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidegate.api.base import format_duration
from tidegate.api.gate import Gate
from tidegate.api.metric import CounterPair, Metric
from tidegate.prometheus.answers import Ask
from tidegate.prometheus.asked import Made
from tidegate.prometheus.labelling import cure, own_queries
from tidegate.prometheus.presets import Version
from tidegate.prometheus.promql import Names, fill, variables
from tidegate.prometheus.telling import in_words, what_tells

_EVERY = 60.0
"""Seconds for which a cure that was found, or was not, is told."""


@dataclass
class _Cure:
    version: Version
    at: float
    words: str


class Tellers:
    """What is known of the gates of all Releases.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cures: dict[tuple[str, str], dict[str, _Cure]] = {}
        self._sound: dict[tuple[str, str], dict[str, tuple[Metric, str]]] = {}
        self._filled = Made(_pairs)

    async def untold(self, ask: Ask, gate: Gate, names: Names, found: Sequence[tuple[Version, float | None]]) -> str:
        """Return in words that bad events of a version cannot be told, and what helps; empty where there is no such version.

        Args:
            ask: evaluates a query.
            gate: whose metric.
            names: what the Release's objects are called.
            found: the versions, the first of which is told of, with the share of what cannot be told where it is known.
        """
        if not found or what_tells(gate) is None:
            return ""
        version, share = found[0]
        if gate.metric.error_budget is not None:
            version = Version.ALL
        cures = self._cures.setdefault((names.namespace, names.release), {})
        known = cures.get(gate.name)
        if known is None or known.version is not version or self._clock() - known.at >= _EVERY:
            known = cures[gate.name] = _Cure(version, self._clock(), await cure(ask, gate, names, version))
        return "; ".join(part for part in (in_words(gate, version, share), known.words) if part)

    async def own(self, ask: Ask, gate: Gate, names: Names, revision: str) -> str:
        """Return why bad events cannot be told by a gate's own queries; empty where they can, or where the queries do not say.

        Prometheus is asked until it has once been seen that they can be told.
        """
        if gate.metric.counters is None and gate.metric.promql is None:
            return ""
        sound = self._sound.setdefault((names.namespace, names.release), {})
        if sound.get(gate.name) == (gate.metric, revision):
            return ""
        try:
            canary, stable = self._filled.of(gate, names)
        except ValueError:
            # The look itself says what is wrong with the variables.
            return ""
        found = [await own_queries(ask, canary, stable, namespace=names.namespace)]
        if stable is not None:
            found.append(await own_queries(ask, stable, namespace=names.namespace))
        if all(one == "" for one in found):
            sound[gate.name] = (gate.metric, revision)
        return next((one for one in found if one), "")

    def forget(self, namespace: str, release: str) -> None:
        """Drop what is known of a Release."""
        self._cures.pop((namespace, release), None)
        self._sound.pop((namespace, release), None)
        self._filled.forget(namespace, release)


def _pairs(gate: Gate, names: Names) -> tuple[tuple[str, str], tuple[str, str] | None]:
    """Return the queries for bad and for all events, of the new version and of stable where the gate compares with it.

    Raises:
        ValueError: see `fill`.
    """
    values = variables(names, format_duration(gate.window))
    counters, promql = gate.metric.counters, gate.metric.promql

    def filled(pair: CounterPair) -> tuple[str, str]:
        return fill(pair.bad, values), fill(pair.total, values)

    if counters is not None:
        stable = counters.stable if gate.versus_stable is not None else None
        return filled(counters.canary), None if stable is None else filled(stable)
    if promql is None:
        msg = "the gate has no custom queries"
        raise ValueError(msg)
    canary = fill(promql.canary, values)
    other = fill(promql.stable, values) if promql.stable is not None and gate.versus_stable is not None else None
    return (canary, canary), None if other is None else (other, other)
