"""Stories in which flags follow steps, cannot be set, and are switched, by which each sentence about that is told."""

from __future__ import annotations

from collections.abc import Callable

from simulation.deciders import decide
from simulation.flagd import FLAGS, boolean
from simulation.policies import gate, idle, policy, step
from simulation.world import World
from tidegate.api.decision import Action
from tidegate.api.flags import Position


def flagged(*, flags: dict | None = FLAGS, to: str = "on") -> World:
    """v2 is rolled out by steps that set a flag."""
    sets = [{"flags": [{"name": "feature", "percent": 10}]}, {"flags": [{"name": "feature", "variant": to}]}]
    steps = [step(weight, "5s") | flag for weight, flag in zip((25, 100), sets, strict=True)]
    world = idle(policy(*steps, bake="3s", gates=(gate(),)))
    world.flags.spec, world.flags.there = flags, {"new-checkout": boolean(), "payments": boolean("on")}
    return world


def switched(world: World, to: Position, flag: str = "payments") -> World:
    """Somebody switches a flag."""
    decide(world, Action.SWITCH, "ann", flag=flag, switch=to, reason="double charges")
    world.crank(3)
    return world


def flags_that_follow_the_steps_and_come_back() -> list[World]:
    promoted, rolled_back = flagged(), flagged()
    for world in (promoted, rolled_back):
        world.apply("v2")
        world.crank(5)
    rolled_back.quality["errors"] = 0.5
    for world in (promoted, rolled_back):
        world.crank(60)
    return [promoted, rolled_back]


def flags_that_cannot_be_used() -> list[World]:
    worlds = [flagged(flags=None), flagged(to="gold"), flagged(), flagged()]
    worlds[2].flags.there = None
    worlds[3].flags.there["new-checkout"]["targeting"] = {"fractional": [["on", 5], ["off", 95]]}
    worlds[3].policy = worlds[3].policy.model_validate(
        policy(step(100) | {"flags": [{"name": "feature", "variant": "gold"}]}, bake="3s")
    )
    worlds[3].flags.there["new-checkout"]["variants"]["gold"] = 1
    for world in worlds:
        world.apply("v2")
        world.crank(5)
    return worlds


def flags_that_cannot_be_written_or_that_somebody_else_sets() -> list[World]:
    refused, somebody, gone = flagged(), flagged(), flagged()
    for world in (refused, somebody, gone):
        world.apply("v2")
        if world is refused:
            world.flags.refused = "may not be set: admission refuses it"
        world.crank(20, until=lambda world=world: bool(world.status.flags) and world.status.flags[0].done is not None)
    refused.crank(20)
    refused.quality["errors"] = 0.5
    refused.crank(60)
    somebody.flags.there["new-checkout"]["targeting"] = {"fractional": [["on", 33], ["off", 67]]}
    somebody.crank(30)
    gone.flags.spec = None
    gone.crank(30)
    return [refused, somebody, gone]


def switches() -> list[World]:
    world = switched(flagged(), Position.OFF)
    switched(world, Position.BACK)
    switched(world, Position.BACK)
    switched(world, Position.OFF, "search")
    twice = flagged()
    for to in (Position.OFF, Position.ON):
        decide(twice, Action.SWITCH, "ann", flag="payments", switch=to)
    twice.crank(3)
    twice.people.dismissed = {"ann"}
    switched(twice, Position.BACK)
    refused = flagged()
    refused.flags.refused = "may not be set: admission refuses it"
    switched(refused, Position.OFF)
    stays = switched(flagged(), Position.OFF)
    stays.flags.refused = "may not be set: admission refuses it"
    switched(stays, Position.BACK)
    unfit = flagged()
    unfit.apply("v2")
    unfit.crank(20, until=lambda: bool(unfit.status.flags) and unfit.status.flags[0].done is not None)
    unfit.flags.there["new-checkout"]["variants"] = {"off": False, "yes": True}
    unfit.ask("rollback/1")
    unfit.crank(30)
    switched(unfit, Position.OFF, "feature")
    return [world, twice, refused, stays, unfit]


STORIES: tuple[Callable[[], World | list[World]], ...] = (
    flags_that_follow_the_steps_and_come_back,
    flags_that_cannot_be_used,
    flags_that_cannot_be_written_or_that_somebody_else_sets,
    switches,
)
