"""What sharing Releases out over replicas brings: memory and work of each, and how long nobody looks when one of them is killed."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from bench.scale.fleet import Fleet
from bench.scale.place import Place, Process
from bench.scale.progress import say
from bench.scale.spread import Found
from bench.scale.usage import Meter, resident

from tidegate.cluster.resources import Resource

REPLICAS = 3
ROLLED_OUT = 6
"""One of so many services is mid-canary; the others are idle."""
SYSTEM = "tidegate-system"
RBAC = "rbac.authorization.k8s.io"
ROLES, ROLE_BINDINGS = Resource(RBAC, "v1", "roles", "Role"), Resource(RBAC, "v1", "rolebindings", "RoleBinding")
SHARED: dict[str, Any] = {"shards": REPLICAS, "leaderElection": {"namespace": SYSTEM}}


async def shared_out(here: Place, fleet: Fleet, *, interval: float, window: float) -> Found:
    """Have services adopted by one operator, share them out over three, roll some out, and kill one of the three.

    Args:
        here: where.
        fleet: the services, built and without Releases.
        interval: seconds between looks.
        window: seconds for which processor time is measured.
    """
    found = Found()
    await here.start()
    say("one operator: adopting")
    await fleet.adopt()
    await here.until("all to be adopted", here.all_are(fleet.names, "Idle"), within=3600)
    await here.operator.end(signal.SIGTERM)
    await here.start()
    await here.quiet()
    found["one"] = resident(here.operator.pid)
    await here.operator.end(signal.SIGTERM)

    await _let_share(here)
    replicas = await _share(here)
    # They are never quiet: Leases are renewed.
    await asyncio.sleep(interval)
    found["idle"] = max(resident(one.pid) for one in replicas)
    found.note("idle", _each(replicas))

    some = Fleet(fleet.cluster, fleet.number)
    some.names = fleet.names[::ROLLED_OUT]
    say(f"rolling {len(some.names)} of {fleet.number} out")
    await here.mid_canary(some, "v2")
    await asyncio.sleep(2 * interval)
    meters = [Meter(one.pid) for one in replicas]
    await asyncio.sleep(window)
    found["cpu"] = max(meter.cores for meter in meters)
    found.note("cpu", "each: " + ", ".join(f"{meter.cores:.3f}" for meter in meters))
    found["memory"] = max(resident(one.pid) for one in replicas)
    found.note("memory", _each(replicas))

    say("killing one of three")
    here.telemetry.seen.clear()
    began = time.time()
    await replicas[0].end(signal.SIGKILL)
    here.operators.remove(replicas[0])
    await here.until("all to be judged again", lambda: here.judged(some, looks=1))
    found["failover"] = max(here.telemetry.seen[name].judged for name in some.names) - began
    await asyncio.sleep(2 * interval)
    found["two"] = max(resident(one.pid) for one in replicas[1:])
    found.note("two", _each(replicas[1:]))
    return found


def _each(replicas: list[Process]) -> str:
    return "each: " + ", ".join(f"{resident(one.pid):.0f}" for one in replicas)


async def _share(here: Place) -> list[Process]:
    """Start the replicas, and wait until each works on its share."""
    replicas = []
    for _ in range(REPLICAS):
        await here.start(**SHARED)
        replicas.append(here.operator)
    began = time.monotonic()
    while sorted([shard for one in replicas for shard in await works_on(one)]) != [*range(REPLICAS)] or not all(
        [await works_on(one) for one in replicas]
    ):
        assert time.monotonic() - began < 300, "\n".join(one.tail() for one in replicas)
        await asyncio.sleep(0.5)
    say(f"shared out in {time.monotonic() - began:.0f} s")
    return replicas


async def works_on(replica: Process) -> list[int]:
    """Return the shards that a replica works on."""
    _, text = await replica.ask("/metrics")
    lines = (line for line in text.splitlines() if line.startswith('tidegate_shard_held{shard="') and line.endswith(" 1.0"))
    return [int(line.split('"')[1]) for line in lines]


async def _let_share(here: Place) -> None:
    """Give the operators' account the rights to Leases that the chart gives it."""
    names = ["tidegate", *(f"tidegate-shard-{shard}" for shard in range(REPLICAS))]
    rules = [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": names,
            "verbs": ["get", "watch", "update", "patch"],
        },
    ]
    named = {"metadata": {"name": "bench-shards", "namespace": SYSTEM}}
    subject = {"kind": "ServiceAccount", "name": "tidegate", "namespace": SYSTEM}
    reference = {"apiGroup": RBAC, "kind": "Role", "name": "bench-shards"}
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "rules": rules, **named}
    binding = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "subjects": [subject], "roleRef": reference, **named}
    await here.cluster.create(ROLES.path(SYSTEM), role)
    await here.cluster.create(ROLE_BINDINGS.path(SYSTEM), binding)
