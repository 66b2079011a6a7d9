"""How many bad requests a version serves until it is shut, with direct readings and without: real pods, gateway, Prometheus.

`tidegate-sandbox run -- python -m bench.served`. Prometheus scrapes every 15 s, gates look every 15 s, the new version has 10% of
200 requests a second and fails from its start. Both ways take turns in one run, on one cluster, under one operator; it writes
bench/results/served.json. `--rounds 1 --rate 60 --faults 1` tries it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from api.cluster_access import kubectl  # noqa: E402 - found by the line above
from api.cluster_client_access import api_server, fresh_namespace, kubeconfig_with  # noqa: E402
from e2e import invariants  # noqa: E402
from e2e.conftest import ACCOUNT, SYSTEM, install  # noqa: E402
from e2e.history import History  # noqa: E402
from e2e.manifests import Pods, step  # noqa: E402
from e2e.operator_process import Operator  # noqa: E402
from e2e.prometheus_stand_in import StandIn  # noqa: E402
from e2e.real_prometheus import RealPrometheus  # noqa: E402
from e2e.story import Given, Then, When  # noqa: E402
from e2e.world import World, canary_share  # noqa: E402
from tidegate_sandbox.cluster import ClusterInfo  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "served.json"
STEADY = (sys.executable, str(ROOT / "tests" / "e2e" / "steady_service.py"))
SECONDS = 15
"""Between two scrapes of Prometheus, and between two looks."""
SHARE = 10
"""Percent of the requests that the new version gets."""
AT_MOST = {1.0: 1 / 5, 0.05: 1 / 3}
"""By the share of its requests that fail: bad requests with direct readings, as a part of those without."""
ARMS: dict[str, dict[str, Any]] = {"direct": {"direct": {}}, "prometheus": {}}
PATIENCE = 600.0
POINTS, ALPHA = 0.01, 0.01
"""The gate's limit above stable, which has no errors here; and the chance of a false alarm of one gate at 99% confidence."""


def seconds_shut(world: World) -> float:
    """Return how long the last version that was shut had traffic."""
    shares = [(seen.at, canary_share(seen.object)) for seen in invariants.routes(world)]
    begun = [at for (_, before), (at, share) in pairwise(shares) if share > before]
    ended = [at for (_, before), (at, share) in pairwise(shares) if share < before]
    return ended[-1] - begun[-1]


def least(fault: float) -> float:
    """Return how many bad requests a version serves on average until any test may shut it: Wald's bound, ln(1/alpha) / KL.

    The test may look after each request, knows the fault and that stable has no errors, and finds each such version.
    """
    well = (1 - fault) * math.log((1 - fault) / (1 - POINTS)) if fault < 1 else 0.0
    return fault * math.log(1 / ALPHA) / (fault * math.log(fault / POINTS) + well)


async def open_shop(world: World, more: dict[str, Any], prometheus: RealPrometheus) -> None:
    """Have a Release whose stable version runs, and was scraped."""
    given = Given(world)
    gate = {
        "name": "errors",
        "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
        "versusStable": {"maxIncrease": {"points": 1}},
        "interval": f"{SECONDS}s",
        **more,
    }
    await given.an_app(pods=Pods.REAL, replicas=4, command=STEADY)
    await given.a_policy(step(SHARE, "30m"), step(100), gates=(gate,), progressDeadline="20m")
    await given.a_release()
    await prometheus.scraped([pod["metadata"]["name"] for pod in world.pods("v1")], within=SECONDS + 60)


async def one(world: World, version: str, fault: float, rate: float) -> tuple[int, float]:
    """Roll a version out that fails; return how many bad requests it served, and how long it had traffic."""
    given, when, then = Given(world), When(world), Then(world)
    await given.load(rate=rate)
    assert world.load is not None
    given.failing(version)
    await when.the_image_becomes(version, ERROR_RATE=str(fault))
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while (world.status.get("lastRollout") or {}).get("version") != version or world.status.get("candidate"):
        assert asyncio.get_running_loop().time() < deadline, f"{version} was not shut within {PATIENCE:g} s"
        await asyncio.sleep(0.2)
    await then.rolled_back_to("v1")
    bad = len(world.load.answers().failures(version))
    await world.stop_load()
    return bad, seconds_shut(world)


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Let both ways take turns, and return the figures."""
    sandbox, folder = ClusterInfo.from_environment(), Path(tempfile.mkdtemp(prefix="tidegate-served-"))
    await asyncio.to_thread(install, held_by_policy=True)
    token = (await asyncio.to_thread(kubectl, "create", "token", ACCOUNT, "--namespace", SYSTEM, "--duration=6h")).strip()
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(api_server())
        namespaces = [await stack.enter_async_context(fresh_namespace(admin)) for _ in ARMS]
        prometheus = await stack.enter_async_context(RealPrometheus(sandbox, folder, namespaces, SECONDS))
        connections = [{"name": "default", "address": prometheus.address, "timeout": "5s", "direct": {}}]
        operator = Operator(folder, kubeconfig_with(token, folder / "kubeconfig"), namespaces, {"connections": connections})
        worlds: dict[str, World] = {}
        for arm, namespace in zip(ARMS, namespaces, strict=True):
            history = await stack.enter_async_context(History(admin, namespace))
            worlds[arm] = World(sandbox, admin, namespace, history, operator, StandIn())
            stack.push_async_callback(worlds[arm].clear)
            stack.push_async_callback(worlds[arm].stop_load)
        stack.push_async_callback(operator.kill)
        await operator.start()
        for arm, world in worlds.items():
            await open_shop(world, ARMS[arm], prometheus)
        return [figure for fault in options.faults for figure in await compare(worlds, fault, options)]


async def compare(worlds: dict[str, World], fault: float, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return how many bad requests both ways serve with a fault, and what part of the others those with direct readings are."""
    found: dict[str, list[tuple[int, float]]] = {arm: [] for arm in worlds}
    for number in range(options.rounds):
        for arm, world in worlds.items():
            told = await one(world, f"v{fault:g}-{number}".replace(".", "-"), fault, options.rate)
            found[arm].append(told)
            print(f"{fault:.0%} errors, {arm}: {told[0]} bad requests, {told[1]:.1f} s", flush=True)
    medians = {arm: statistics.median(bad for bad, _ in some) for arm, some in found.items()}
    seconds = {arm: statistics.median(took for _, took in some) for arm, some in found.items()}
    name, share = f"the new version fails {fault:.0%} of its requests", medians["direct"] / max(1, medians["prometheus"])
    note = "; ".join(f"{arm}: {medians[arm]:.0f} bad requests, {seconds[arm]:.1f} s with traffic" for arm in worlds)
    limit = AT_MOST.get(fault)
    return [
        {
            "cell": f"bad requests with direct readings as a part of those without, {name}",
            "measured": round(share, 3),
            "limit": limit,
            "holds": None if limit is None else share <= limit,
            "note": f"{note}; medians of {options.rounds} at {options.rate:g} requests a second",
        },
        bound(fault),
    ]


def bound(fault: float) -> dict[str, Any]:
    """Return the figure that no reading can be better than."""
    note = "Wald's bound for a test that looks after each request and knows the fault, at the confidence of the gate"
    cell = f"bad requests that any test needs on average, {fault:.0%} of the requests fail"
    return {"cell": cell, "measured": round(least(fault), 1), "limit": None, "holds": None, "note": note}


def main() -> None:
    """Measure, print, and write what is measured in the full size."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--rate", type=float, default=200.0)
    options.add_argument("--faults", type=float, nargs="+", default=list(AT_MOST))
    given = options.parse_args()
    figures = asyncio.run(measure(given))
    print(json.dumps(figures, indent=2))
    if given.rounds >= 3 and given.rate == 200 and set(given.faults) == set(AT_MOST):
        RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
