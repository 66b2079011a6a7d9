"""Policies and worlds that stories begin with."""

from __future__ import annotations

from typing import Any

from simulation.world import World
from tidegate.api.names import Phase


def step(weight: int, hold: str = "0s", replicas: int | str | None = None) -> dict[str, Any]:
    """Return a step."""
    size = {} if replicas is None else {"replicas": replicas}
    return {"weight": weight, "hold": hold} | size


def gate(name: str = "errors", on_breach: str = "Rollback", **more: Any) -> dict[str, Any]:
    """Return a gate on a share that must be at most 1%, looked at every 2 s."""
    metric = {"promql": {"canary": "errors", "unit": "Ratio"}}
    base = {"name": name, "metric": metric, "threshold": {"max": 0.01}, "onBreach": on_breach, "interval": "2s", "minSamples": 0}
    return base | more


def policy(*steps: dict[str, Any], gates: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    """Return a policy with short times."""
    times = {"bake": "10s", "drain": "3s", "progressDeadline": "60s"}
    return {"steps": list(steps) or [step(5, "10s"), step(25, "10s"), step(100)], "gates": list(gates)} | times | more


def idle(spec: dict[str, Any] | None = None, **more: Any) -> World:
    """Return a world in which v1 serves and the Release has taken it on."""
    world = World(spec if spec is not None else policy(), **more)
    assert world.crank(10, until=lambda: ready(world)), world.status.message
    world.notices.clear()
    return world


def at_weight(weight: int, spec: dict[str, Any] | None = None, image: str = "v2", **more: Any) -> World:
    """Return a world in which a version has reached a weight and its hold has begun."""
    world = idle(spec, **more)
    world.apply(image)
    reach(world, weight)
    return world


def reach(world: World, weight: int) -> None:
    """Crank until the route carries a weight."""
    assert world.crank(120, until=lambda: carried(world) == weight), world.status.message


def carried(world: World) -> int | None:
    """Return the weight that the route carries; None on the way to it."""
    now = world.status.step
    return now.weight if now is not None and now.since is not None else None


def finish(world: World, phase: Phase = Phase.IDLE, seconds: float = 300) -> None:
    """Crank until a phase is reached and the Release rests there."""
    world.crank(1)
    done = world.crank(seconds, until=lambda: world.status.phase is phase and rests(world))
    assert done, f"{world.status.phase}: {world.status.message}"


def rests(world: World) -> bool:
    """Whether nothing is left to be done."""
    return world.last is not None and not world.last.writes and (condition(world, "Ready") or condition(world, "Stalled"))


def ready(world: World) -> bool:
    """Whether `kubectl wait --for=condition=Ready` would return."""
    return condition(world, "Ready")


def condition(world: World, kind: str) -> bool:
    """Whether a condition is true."""
    return any(c.type == kind and c.status == "True" for c in world.status.conditions)


def reason(world: World, kind: str = "Ready") -> str:
    """Return the reason of a condition."""
    return next(c.reason for c in world.status.conditions if c.type == kind)


def events(world: World, *reasons: str) -> list[str]:
    """Return the messages of the Events with these reasons."""
    return [notice.message for notice in world.notices if notice.reason in reasons]
