"""A tenant who means ill: in a namespace of their own, on the same operator and Prometheus, while another's version turns bad.

Their gates ask what takes long and never ends, what has more series than anybody can follow, and what is no answer at all; one of
their policies has the text that once froze the operator. None of that may keep the operator from taking traffic from another
tenant's bad version in time, whatever fails besides.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from e2e import manifests
from e2e.manifests import NAME, POLICY, App, Json, exact_gate
from e2e.story import HELD
from faults.place import Place, insist
from faults.prometheus import HANGING, HUGE, POISONOUS, SLOW
from tidegate.cluster.resources import RELEASES, resource_of

SLOW_GATES = 20
HUGE_GATES = 4
AROUND = 20.0
"""Seconds before and after a breach in which each kind of hostile query comes: some have to wait for others of the same tenant."""
FREEZING = "{{" + " " * 4000
"""What took a minute to read."""

Begin = Callable[[Place], Awaitable[None]]


def beside(begin: Begin) -> Begin:
    """Return how a journey begins while the neighbour's rollouts are under way, with all their gates."""

    async def begins(place: Place) -> None:
        await attack(place)
        await begin(place)

    return begins


async def attack(place: Place) -> None:
    """Have the neighbour roll out versions that are watched by hostile gates."""
    await place.operator.ready()
    tenants = gates()
    await asyncio.gather(*(_serves(place, name, found) for name, found in tenants.items()))
    await _until(place, "the neighbour's Releases are Ready", lambda status: bool(status.get("stable")), list(tenants))
    await asyncio.gather(*(_deploy(place, name, "v2") for name in tenants))
    await _until(place, "their gates are looked at", lambda status: bool(status.get("gates")), list(tenants))
    await _apply(place, _policy("freezing", (exact_gate(metric={"promql": {"canary": FREEZING, "unit": "Ratio"}}),)))
    await _apply(place, _named(manifests.release(routed=False), "freezing"))


def gates() -> dict[str, tuple[Json, ...]]:
    """Return the neighbour's gates by the name of the Release."""

    def asks(kind: str, many: int) -> tuple[Json, ...]:
        return tuple(exact_gate(f"g{number}", metric={"promql": _promql(f"{kind}_{number}")}) for number in range(many))

    def follows(number: int) -> Json:
        canary = {"total": f"{HUGE}_total_{number}", "bad": f"{HUGE}_bad_{number}"}
        return exact_gate(f"g{number}", metric={"counters": {"canary": canary}})

    return {
        "slow": asks(SLOW, SLOW_GATES),
        "hanging": asks(HANGING, SLOW_GATES),
        "huge": tuple(follows(number) for number in range(HUGE_GATES)),
        "poisonous": asks(POISONOUS, HUGE_GATES),
    }


def _promql(name: str) -> Json:
    return {"canary": f"scalar({name})", "samples": f"scalar({name}_samples)", "unit": "Ratio"}


def unseen(place: Place) -> set[str]:
    """Return the kinds of hostile queries that did not come around the instant in which the other tenant's version turned bad."""
    turned = place.turned or 0.0
    return {SLOW, HANGING, HUGE, POISONOUS} - {kind for at, kind in place.prometheus.attacks if abs(at - turned) <= AROUND}


async def _serves(place: Place, name: str, found: tuple[Json, ...]) -> None:
    await _apply(place, _policy(name, found))
    await _deploy(place, name, "v1")
    await _apply(place, _named(manifests.release(routed=False), name))


async def _deploy(place: Place, name: str, version: str) -> None:
    await _apply(place, _named(manifests.deployment(App(version=version, replicas=2)), name))


def _policy(name: str, found: tuple[Json, ...]) -> Json:
    return manifests.policy(manifests.step(50, HELD), manifests.step(100), gates=found, name=name)


def _named(manifest: Json, name: str) -> Json:
    """Return a manifest of the shop as that of one of the neighbour's services, under a policy of its own."""
    text = json.dumps(manifest).replace(json.dumps(NAME), json.dumps(name)).replace(json.dumps(POLICY), json.dumps(name))
    return dict(json.loads(text))


async def _apply(place: Place, manifest: Json) -> None:
    assert resource_of(manifest).namespaced
    placed = {**manifest, "metadata": {**manifest["metadata"], "namespace": place.neighbour}}
    await insist(lambda: place.cluster.apply(placed, manager="neighbour"))


async def _until(place: Place, what: str, holds: Callable[[Json], bool], names: list[str]) -> None:
    deadline = time.monotonic() + place.patience
    for name in names:
        while not holds((await place.cluster.get(RELEASES.path(place.neighbour, name))).get("status") or {}):
            assert time.monotonic() < deadline, f"not within {place.patience:g} s: {what} ({name})"
            await asyncio.sleep(0.2)
