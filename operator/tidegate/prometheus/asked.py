"""Queries before they are asked: whether a policy's own can be filled at all, and that a gate's are made once, not at each look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Concatenate, Generic, ParamSpec, TypeVar

from tidegate.api.base import format_duration
from tidegate.api.gate import Gate
from tidegate.judge import choice
from tidegate.prometheus.counters import raw_counters
from tidegate.prometheus.promql import Names, fill, pods_of, variables
from tidegate.prometheus.queries import queries

P = ParamSpec("P")
T = TypeVar("T")

Place = tuple[str, ...]
"""Where a query stands, below a gate's metric."""

EXAMPLE = Names(
    namespace="lint",
    release="lint",
    service="lint",
    stable_service="lint-stable",
    canary_service="lint-canary",
    stable_pods=pods_of(["lint-stable"]),
    canary_pods=pods_of(["lint-canary"]),
    service_port=80,
)
"""Names as every Release has them: a query that cannot be filled with these can be filled with none."""


def own_queries(gate: Gate) -> list[tuple[Place, str]]:
    """Return a gate's queries that people wrote, with their variables as they are, and where each stands."""
    metric = gate.metric
    if metric.promql is not None:
        texts = {name: getattr(metric.promql, name) for name in ("canary", "stable", "samples")}
        return [(("promql", name), text) for name, text in texts.items() if text is not None]
    if metric.counters is not None:
        arms = {"canary": metric.counters.canary, "stable": metric.counters.stable}
        pairs = ((arm, pair) for arm, pair in arms.items() if pair is not None)
        return [(("counters", arm, name), getattr(pair, name)) for arm, pair in pairs for name in ("bad", "total")]
    return []


def wrong_queries(gate: Gate) -> Iterator[tuple[Place, str]]:
    """Give what of a gate's metric cannot be asked, whatever the names of a Release's objects are: where, and why, in words."""
    texts, values = own_queries(gate), variables(EXAMPLE, format_duration(gate.window))
    for place, text in texts:
        try:
            fill(text, values)
        except ValueError as error:
            yield place, str(error)
    if not texts:
        try:
            raw_counters(gate, EXAMPLE) if choice.by_evidence(gate) else queries(gate, EXAMPLE)
        except ValueError as error:
            yield ("preset",), str(error)


def unaskable(gates: Iterable[Gate]) -> str:
    """Return the first query of a policy's gates that cannot be asked, with its field and the reason; empty where all can."""
    found = ((index, place, why) for index, gate in enumerate(gates) for place, why in wrong_queries(gate))
    return next((f"spec.gates[{index}].metric.{'.'.join(place)}: {why}" for index, place, why in found), "")


class Made(Generic[P, T]):
    """What was made of a gate and of the names of a Release's objects, for as long as both are the same.

    Args:
        make: makes it, of the gate, the names, and whatever else it depends on; what it raises is raised anew each time.
    """

    def __init__(self, make: Callable[Concatenate[Gate, Names, P], T]) -> None:
        self._make = make
        self._made: dict[tuple[str, str], dict[str, tuple[Gate, object, T]]] = {}

    def of(self, gate: Gate, names: Names, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return it, made now or before."""
        kept = self._made.setdefault((names.namespace, names.release), {})
        known, of = kept.get(gate.name), (names, args, kwargs)
        if known is None or known[0] is not gate or known[1] != of:
            known = kept[gate.name] = (gate, of, self._make(gate, names, *args, **kwargs))
        return known[2]

    def forget(self, namespace: str, release: str) -> None:
        """Drop what was made for a Release."""
        self._made.pop((namespace, release), None)
