"""What befalls pods while a case is played, and what people do about it; each a task of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from e2e import manifests
from e2e.manifests import NAME, REGISTRY
from e2e.world import USER, World, canary_share
from tidegate.cluster.resources import DEPLOYMENTS, Resource

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", namespaced=True)
QUOTA = "pods"
EXCUSED = "excused"
"""File of stretches of time in which requests fail for what people did to all pods, not for the rollout: two times in a line."""
SECOND = "second"
"""Name of a second Release of the same Deployment."""


async def crash_once(world: World, folder: Path) -> None:
    """Once half of the traffic is shifted, have the containers of the new version crash."""
    await _held_at(world, 50)
    _order(world, folder, "crash")


async def crash_and_be_killed(world: World, folder: Path) -> None:
    """Have the new version's containers crash, and killed once they have half of the traffic again."""
    await crash_once(world, folder)
    await world.until("the weight was given back", lambda: canary_share(world.route) == 0)
    await _held_at(world, 50)
    _order(world, folder, "kill")


async def lose_all_but_one(world: World, folder: Path) -> None:
    """Once all traffic is shifted, have all of the new pods but one be not ready any more."""
    await _held_at(world, 100)
    _order(world, folder, "unready", spared=1)


async def flap(world: World, folder: Path) -> None:
    """Have the new version's pods be ready and not ready by turns, from when they have traffic."""
    while True:
        await world.until("the new version has traffic", lambda: canary_share(world.route) > 0)
        _order(world, folder, "unready")
        await asyncio.sleep(4)
        _take_back(folder, "unready")


async def make_room_and_retry(world: World, folder: Path) -> None:
    """Once the version was undone for want of room, make some and ask for another try."""
    await world.until("the version was undone", lambda: world.status.get("lastRollout") and not world.status.get("candidate"))
    await world.cluster.delete(QUOTAS.path(world.namespace, QUOTA))
    await world.ask("retry")


async def scale_to_0_and_back(world: World, folder: Path) -> None:
    """Once half of the traffic is shifted, scale the Deployment to 0, and up again a while later."""
    await _held_at(world, 50)
    began = time.time()
    await _scale(world, 0)
    await _scale_up(world, folder, began)


async def scale_up_in_the_morning(world: World, folder: Path) -> None:
    """Scale the Deployment up, which was scaled to 0 in the night."""
    await _scale_up(world, folder, time.time() - 5)


async def add_a_second_release(world: World, folder: Path) -> None:
    """Have another team release the same Deployment."""
    release = manifests.release()
    await world.apply({**release, "metadata": {"name": SECOND}})


async def roll_back_with_a_hold_and_change(world: World, folder: Path) -> None:
    """Roll back what has half of the traffic, with a hold, and then have the next version come."""
    await _held_at(world, 50)
    await world.ask("rollback-and-hold")
    await world.until("the version was rolled back", lambda: world.status.get("phase") == "RolledBack")
    await world.kubectl("set", "image", f"deployment/{NAME}", f"app={REGISTRY}/{NAME}:v3")


async def roll_back_with_a_hold_change_and_resume(world: World, folder: Path) -> None:
    """The same, and once the next version waits, resume."""
    await roll_back_with_a_hold_and_change(world, folder)
    await world.until("v3 waits for a request", lambda: "request to resume" in world.status.get("message", ""))
    await world.ask("resume")


async def change_again_and_again(world: World, folder: Path) -> None:
    """Have other versions come within a second, and then the first of them again."""
    for version in ("v3", "v4", "v2"):
        await world.kubectl("set", "image", f"deployment/{NAME}", f"app={REGISTRY}/{NAME}:{version}")


async def delete_the_new_pods(world: World, folder: Path) -> None:
    """Whenever half of the traffic is shifted, delete the new pods, as who drains nodes does; three times."""
    for _ in range(3):
        await _held_at(world, 50)
        began = time.time()
        names = [pod["metadata"]["name"] for pod in world.pods("v2")]
        await world.kubectl("delete", "pod", *names, "--wait=false")
        await world.until("the weight was given back", lambda: canary_share(world.route) == 0)
        with (folder / EXCUSED).open("a") as excused:
            excused.write(f"{began} {time.time() + 1}\n")


async def lose_the_old_pods(world: World, folder: Path) -> None:
    """Once half of the traffic is shifted, have the containers of the version in force crash."""
    await _held_at(world, 50)
    _order(world, folder, "crash", version="v1")


async def prune_settings_and_scale_up(world: World, folder: Path) -> None:
    """Once half of the traffic is shifted, take away what only the version in force needs to start, and scale the Deployment up."""
    await _held_at(world, 50)
    await world.kubectl("delete", "configmap", "settings-1")
    await _scale(world, 4)


async def replace_by_force(world: World, folder: Path) -> None:
    """Once half of the traffic is shifted, delete the Deployment and make it anew as it is in Git, with the new version."""
    await _held_at(world, 50)
    found = world.history.get("Deployment", NAME)
    assert found is not None
    spec = {**found["spec"], "paused": False}
    began = time.time()
    (folder / EXCUSED).write_text(f"{began} {began + 3600}\n")
    await world.cluster.delete(DEPLOYMENTS.path(world.namespace, NAME), propagation="Background")
    await world.until("the Deployment is gone", lambda: world.history.get("Deployment", NAME) is None)
    await world.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, "spec": spec})
    await world.until("v2 serves", lambda: world.ready("v2") >= 2)
    (folder / EXCUSED).write_text(f"{began} {time.time() + 2}\n")


async def _held_at(world: World, weight: int) -> None:
    def held() -> bool:
        return canary_share(world.route) == weight and "since" in (world.status.get("step") or {})

    await world.until(f"the hold at {weight}% has begun", held)


def _order(world: World, folder: Path, what: str, *, version: str = "v2", spared: int = 0) -> None:
    for pod in world.pods(version)[spared:]:
        (folder / f"{what}-{pod['metadata']['name']}").touch()


def _take_back(folder: Path, what: str) -> None:
    for order in folder.glob(f"{what}-*"):
        order.unlink()


async def _scale(world: World, replicas: int) -> None:
    path = DEPLOYMENTS.path(world.namespace, NAME, "scale")
    await world.cluster.merge_patch(path, {"spec": {"replicas": replicas}}, manager=USER)


async def _scale_up(world: World, folder: Path, began: float) -> None:
    # Until it is over, all requests are excused.
    excused = folder / EXCUSED
    excused.write_text(f"{began} {began + 3600}\n")
    await world.until("the Release waits to be scaled up", lambda: "scaled up from 0" in world.message)
    await _scale(world, 2)
    await world.until("v1 serves again", lambda: world.ready("v1") >= 2)
    excused.write_text(f"{began} {time.time() + 2}\n")


HANDS: dict[str, Callable[[World, Path], Awaitable[None]]] = {
    one.__name__: one
    for one in (
        crash_once,
        crash_and_be_killed,
        lose_all_but_one,
        flap,
        make_room_and_retry,
        scale_to_0_and_back,
        scale_up_in_the_morning,
        add_a_second_release,
        roll_back_with_a_hold_and_change,
        roll_back_with_a_hold_change_and_resume,
        change_again_and_again,
        delete_the_new_pods,
        lose_the_old_pods,
        prune_settings_and_scale_up,
        replace_by_force,
    )
}
