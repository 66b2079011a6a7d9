"""Stories in which Releases move together, by which each sentence about that is told."""

from __future__ import annotations

from collections.abc import Callable

from simulation import deciders
from simulation.grouped import Member, Together
from simulation.policies import gate, policy, step
from simulation.world import World
from tidegate.api.decision import Action

LONG = (step(10, "1h"), step(100))


def a_group_that_moves_and_ends_together() -> list[World]:
    group = Together(*(Member(name, policy(*LONG, gates=(gate(),))) for name in ("api", "orders", "workers")))
    group.crank(15)
    group.apply("v2", "api")
    group.crank(4)
    group.apply("v2")
    group.crank(8)
    group["workers"].ask("pause/1")
    group.crank(30)
    group["workers"].ask("resume/2")
    group.crank(15)
    group["orders"].look("errors", 0.5)
    group.crank(30)
    group["orders"].ask("retry/3")
    group.crank(5)
    return [*group]


def a_group_whose_member_is_rejected_or_held() -> list[World]:
    group = Together(*(Member(name, policy(*LONG)) for name in ("api", "orders", "workers")))
    group.crank(15)
    group.apply("v2", "api", "orders")
    group.crank(4)
    deciders.decide(group["orders"], Action.REJECT)
    group.crank(15)
    group["orders"].ask("rollback-and-hold/1")
    group.apply("v3", "orders")
    group.crank(15)
    return [*group]


STORIES: tuple[Callable[[], list[World]], ...] = (
    a_group_that_moves_and_ends_together,
    a_group_whose_member_is_rejected_or_held,
)
