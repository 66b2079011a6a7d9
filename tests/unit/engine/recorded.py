"""Rollouts that are recorded, and what is recorded of them."""

from __future__ import annotations

from typing import Any

from simulation.policies import gate, policy, step
from simulation.world import World

Json = dict[str, Any]
STEPS = (step(25, "4s"), step(50, "4s"), step(100))
QUICK = policy(*STEPS, gates=(gate(),), bake="3s")


def last(world: World) -> Json:
    """Return the record of the last rollout."""
    spec: Json = world.archive.specs[-1]
    return spec
