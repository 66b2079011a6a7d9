"""What no Release names costs the operator next to nothing, however large it is, and is there at once when a Release names it."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.cluster_access import needs_api
from api.operator_access import LABELS, NAME, Scene, install, scene_in
from tidegate.cluster.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, REPLICA_SETS, ROLLOUT_POLICIES, SERVICES

pytestmark = needs_api
MANY, BYTES = int(os.environ.get("TIDEGATE_LARGE", "100")), 800_000
"""Deployments, and how large each is. Kept whole a hundred would cost four times what is allowed; `make bench-large` has 300."""
AT_MOST = 20.0
"""MB that they may cost."""
SETTLED_WITHIN = 90.0


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


def padding(choose: random.Random) -> list[dict[str, str]]:
    """Return variables of a container that take `BYTES` together and do not compress."""
    return [{"name": f"V{number}", "value": choose.randbytes(500).hex()} for number in range(BYTES // 1030)]


def large(name: str, *, paused: bool, choose: random.Random) -> dict[str, Any]:
    pod = {
        "containers": [{"name": "app", "image": "checkout:v1", "env": padding(choose)}],
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    labels = LABELS if name == NAME else {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod}
    replicas = 0 if paused else 2
    return {"replicas": replicas, "paused": paused, "selector": {"matchLabels": labels}, "template": template}


async def crowd(scene: Scene) -> None:
    """Create many large Deployments that nobody rolls out."""
    choose = random.Random(7)
    for first in range(0, MANY, 4):
        names = [f"big-{number}" for number in range(first, min(first + 4, MANY))]
        specs = [large(name, paused=True, choose=choose) for name in names]
        await asyncio.gather(*(scene.create(DEPLOYMENTS, name, spec=spec) for name, spec in zip(names, specs, strict=True)))


def resident(scene: Scene, what: str = "VmRSS") -> float:
    """Return the resident memory of the operator's process in MB, now or at the most (VmHWM)."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{scene.operator.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


async def settled(scene: Scene) -> float:
    """Return the operator's memory once it does not change any more."""
    last, same, deadline = 0.0, 0, asyncio.get_running_loop().time() + SETTLED_WITHIN
    while same < 5 and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(1)
        now = resident(scene)
        same, last = (same + 1 if abs(now - last) < 0.5 else 0), now
    return last


@pytest.mark.timeout(900)
async def test_what_nothing_names_costs_little_memory(scene: Scene) -> None:
    """Given a hundred Deployments of 0.8 MB, or 300, that no Release names, the operator grows by less than 20 MB."""
    await scene.start(forked=False)
    empty = await settled(scene)

    await crowd(scene)
    told = await settled(scene) - empty
    most = resident(scene, "VmHWM") - empty
    await scene.operator.end(signal.SIGTERM)
    await scene.start(forked=False)
    listed = await settled(scene) - empty

    print(f"MB: {empty:.1f} before; told of them {told:+.1f}, at the most {most:+.1f};")
    print(f"listing them {listed:+.1f}, at the most {resident(scene, 'VmHWM') - empty:+.1f}")
    assert told < AT_MOST
    assert listed < AT_MOST
    assert max(most, resident(scene, "VmHWM") - empty) < AT_MOST


@pytest.mark.timeout(600)
async def test_what_a_release_names_later_is_there_as_a_whole(scene: Scene) -> None:
    """Given objects that are large and that nothing names, a Release that names them takes them on and rolls out, as ever."""
    annotations = {"large": "x" * 200_000}
    metadata = {"annotations": annotations}
    await scene.create(DEPLOYMENTS, NAME, spec=large(NAME, paused=False, choose=random.Random(7)))
    ports = [{"port": 80, "targetPort": 8080}]
    await scene.create(SERVICES, NAME, metadata=metadata, spec={"selector": LABELS, "ports": ports})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    scaler = {"minReplicas": 2, "maxReplicas": 4, "scaleTargetRef": target}
    await scene.create(HORIZONTAL_POD_AUTOSCALERS, NAME, metadata=metadata, spec=scaler)
    plain = {"steps": [{"weight": 50, "hold": "1s"}, {"weight": 100}], "bake": "1s", "drain": "0s", "progressDeadline": "2m"}
    await scene.create(ROLLOUT_POLICIES, "production", metadata=metadata, spec=plain)
    await scene.start(forked=False)

    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")
    status = await scene.until(
        lambda status: (status.get("lastRollout") or {}).get("version") == "v2" and not status.get("rollout")
    )

    assert status["lastRollout"]["outcome"] == "Promoted"
    deployment = await scene.admin.get(DEPLOYMENTS.path(scene.namespace, NAME))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "checkout:v2"
    assert container["env"] == padding(random.Random(7))
    sets = (await scene.admin.list(REPLICA_SETS.path(scene.namespace))).items
    serving = [rs for rs in sets if rs["spec"]["replicas"]]
    assert [container] == serving[0]["spec"]["template"]["spec"]["containers"]
    assert len(serving) == 1
