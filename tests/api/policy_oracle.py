"""Policies, good and bad, and the rules for them written a second time and apart from the models: what both agree on is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

DAYS_30_IN_MS = 30 * 24 * 3_600_000
UNIT_IN_MS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}

good_durations = st.sampled_from(["0s", "1s", "999ms", "30s", "1m30s", "10m", "1h", "720h"])
durations = st.one_of(
    good_durations, st.sampled_from(["", "5", "-1s", "1d", "1.5h", "PT5M", "720h1ms", "99999h99999h99999h99999h", "100000s"])
)
weights = st.integers(-5, 110) | st.sampled_from([0, 10, 50, 100])
replicas = st.one_of(st.integers(-1, 20), st.sampled_from(["0%", "7%", "100%", "101%", "007%", "all", "5", 10_000, 10_001]))
numbers = st.sampled_from([-1, 0, 0.5, 1, 10, 1e6, 2e9])
names = st.sampled_from(["a", "b-1", "c", "A", "", "-x", "x" * 63, "x" * 64])


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any selection of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


changes = maybe(points=numbers, percent=numbers)
presets = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["Envoy", "HTTP", "Other"]),
        "measure": st.sampled_from(["ErrorRate", "Latency", "Availability", "Other"]),
    },
    optional={"quantile": st.sampled_from([0, 0.5, 0.99, 1, 99])},
)
good_presets = st.just({"source": "HTTP", "measure": "ErrorRate"})
queries = st.sampled_from(["vector(1)", "", "x" * 4096, "x" * 4097])
promqls = st.fixed_dictionaries(
    {"canary": queries}, optional={"stable": queries, "samples": queries, "unit": st.sampled_from(["Ratio", "Watt"])}
)
good_gates = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c", "d"]),
        "metric": st.fixed_dictionaries({"preset": good_presets}),
        "threshold": st.just({"max": 1}),
    },
    optional={
        "interval": good_durations,
        "of": st.integers(1, 4),
        "failureLimit": st.integers(1, 4),
        "onNoData": st.just({"then": "Fail"}),
    },
)
gates = st.fixed_dictionaries(
    {"name": names, "metric": maybe(preset=presets | good_presets, promql=promqls)},
    optional={
        "versusStable": maybe(maxIncrease=changes, maxDecrease=changes),
        "threshold": maybe(min=numbers, max=numbers),
        "onBreach": st.sampled_from(["Rollback", "Pause", "Warn", "Abort"]),
        "interval": durations,
        "window": durations,
        "initialDelay": durations,
        "failureLimit": st.integers(0, 21),
        "of": st.integers(0, 21),
        "minSamples": st.sampled_from([-1, 0, 20, 1_000_000_000, 1_000_000_001]),
        "onNoData": maybe(then=st.sampled_from(["Hold", "Pass", "Fail", "Ignore"]), after=durations),
        "connection": names,
    },
)
steps = st.lists(st.fixed_dictionaries({"weight": weights}, optional={"hold": durations, "replicas": replicas}), max_size=4)
good_steps = st.sets(st.integers(0, 99), max_size=19).map(lambda found: [{"weight": weight} for weight in [*sorted(found), 100]])


def policies() -> st.SearchStrategy[dict[str, Any]]:
    """Specs of policies; about half of them keep the rules, the others break a few."""
    good = st.fixed_dictionaries(
        {"steps": good_steps},
        optional={"gates": st.lists(good_gates, max_size=3), "bake": good_durations, "drain": good_durations},
    )
    any_steps = st.fixed_dictionaries(
        {"steps": steps}, optional={"bake": durations, "progressDeadline": durations, "drain": durations}
    )
    any_gates = st.fixed_dictionaries({"steps": good_steps, "gates": st.lists(gates | good_gates, max_size=2)})
    return st.one_of(good, any_steps, any_gates)


def refusals(spec: dict[str, Any]) -> list[str]:
    """Name the fields for which a policy must be refused; none if it keeps the rules.

    Rules between fields are checked by the server only where each field is right by itself; the answer names all.
    """
    found = [*_step_refusals(spec["steps"])]
    for name in ("bake", "progressDeadline", "drain"):
        found += _duration(spec, name, "spec", least=1000 if name == "progressDeadline" else 0)
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("gates", [])):
        path = f"spec.gates[{index}]"
        found += _gate_refusals(gate, path)
        found += [path] if gate["name"] in seen else []
        seen.add(gate["name"])
    return found


def _step_refusals(steps: list[dict[str, Any]]) -> Iterator[str]:
    weights = [step["weight"] for step in steps]
    if not steps or sorted(set(weights)) != weights or weights[-1] != 100:
        yield "spec.steps"
    for index, step in enumerate(steps):
        path = f"spec.steps[{index}]"
        if not 0 <= step["weight"] <= 100:
            yield f"{path}.weight"
        yield from _duration(step, "hold", path)
        pods = step.get("replicas", 0)
        fits = 0 <= pods <= 10_000 if isinstance(pods, int) else pods in {f"{number}%" for number in range(101)}
        if not fits:
            yield f"{path}.replicas"


def _gate_refusals(gate: dict[str, Any], path: str) -> Iterator[str]:
    for name in ("name", "connection"):
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", gate.get(name, "x")):
            yield f"{path}.{name}"
    yield from _metric_refusals(gate["metric"], f"{path}.metric")
    yield from _limit_refusals(gate, path)
    for name in ("interval", "window", "initialDelay"):
        yield from _duration(gate, name, path, least=0 if name == "initialDelay" else 1000)
    yield from _duration(gate.get("onNoData", {}), "after", f"{path}.onNoData")
    if gate.get("onNoData", {}).get("then") == "Ignore":
        yield f"{path}.onNoData.then"
    if gate.get("onBreach") == "Abort":
        yield f"{path}.onBreach"
    for name in ("failureLimit", "of"):
        if not 1 <= gate.get(name, 1) <= 20:
            yield f"{path}.{name}"
    if gate.get("failureLimit", 1) > gate.get("of", 1):
        yield f"{path}.failureLimit"
    if not 0 <= gate.get("minSamples", 20) <= 1_000_000_000:
        yield f"{path}.minSamples"


def _metric_refusals(metric: dict[str, Any], path: str) -> Iterator[str]:
    if len(metric) != 1:
        yield path
    preset, promql = metric.get("preset", {}), metric.get("promql", {})
    for name in ("source", "measure"):
        if preset.get(name) == "Other":
            yield f"{path}.preset.{name}"
    if not 0 < preset.get("quantile", 0.5) < 1:
        yield f"{path}.preset.quantile"
    for name in ("canary", "stable", "samples"):
        if not 1 <= len(promql.get(name, "x")) <= 4096:
            yield f"{path}.promql.{name}"
    if promql.get("unit") == "Watt":
        yield f"{path}.promql.unit"


def _limit_refusals(gate: dict[str, Any], path: str) -> Iterator[str]:
    if not {"versusStable", "threshold"} & gate.keys():
        yield path
    if "versusStable" in gate:
        if len(gate["versusStable"]) != 1:
            yield f"{path}.versusStable"
        for name, change in gate["versusStable"].items():
            if len(change) != 1:
                yield f"{path}.versusStable.{name}"
            if not 0 <= change.get("points", 0) <= 1e9:
                yield f"{path}.versusStable.{name}.points"
            if not 0 <= change.get("percent", 0) <= 1e6:
                yield f"{path}.versusStable.{name}.percent"
        if "promql" in gate["metric"] and "stable" not in gate["metric"]["promql"]:
            yield f"{path}.metric.promql.stable"
    threshold = gate.get("threshold", {"max": 0})
    if not threshold:
        yield f"{path}.threshold"
    if threshold.get("min", -9) > threshold.get("max", 9e9):
        yield f"{path}.threshold.min"


def _duration(owner: dict[str, Any], name: str, path: str, least: int = 0) -> Iterator[str]:
    text = owner.get(name, "10s")
    parts = re.findall(r"([0-9]{1,5})(ms|h|m|s)", text)
    span = sum(int(number) * UNIT_IN_MS[unit] for number, unit in parts)
    written = "".join(number + unit for number, unit in parts)
    if not 1 <= len(parts) <= 4 or written != text or not least <= span <= DAYS_30_IN_MS:
        yield f"{path}.{name}"
