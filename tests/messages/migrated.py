"""Stories in which databases are changed with versions, by which each sentence about that is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simulation.deciders import decide
from simulation.policies import finish, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.decision import Action
from tidegate.api.names import Phase
from tidegate.governance.freezes import FreezeView
from tidegate.governance.runs import RunState


def migrates(*names: str, **more: Any) -> World:
    """v2 is wanted under a policy with these migrations."""
    chosen = {name: {"cronJob": f"checkout-{name.lower()}"} for name in names}
    world = idle(policy(step(25, "5s"), step(100), bake="3s", migrations=chosen, **more))
    world.apply("v2")
    world.crank(5)
    return world


def ends(world: World, phase: str, state: RunState = RunState.COMPLETE, output: str = "") -> World:
    """The Job of a phase ends."""
    assert world.crank(60, until=lambda: phase in world.jobs.phases), world.status.message
    world.jobs.end(phase, state, output)
    world.crank(3)
    return world


def a_database_that_changes_with_its_version_and_a_return() -> World:
    world = migrates("expand", "migrate", "contract", backup={"cronJob": "checkout-backup"})
    ends(world, "Backup", output="s3://backups/checkout-v2")
    ends(world, "Expand")
    reach(world, 25)
    world.jobs.of("Migrate").progress = "40%"
    world.crank(20)
    ends(world, "Migrate")
    finish(world)
    world.crank(3)
    world.apply("v3")
    world.crank(3)
    ends(world, "Contract")
    world.apply("v1")
    world.crank(10)
    world.ask("retry/1")
    finish(world)
    return world


def a_version_from_before_a_contract() -> World:
    world = migrates("contract")
    world.jobs.verdicts["Contract"] = RunState.COMPLETE
    finish(world)
    world.crank(10)
    world.apply("v1")
    world.crank(5)
    return world


def an_expand_that_fails_and_a_reverse_that_fails() -> World:
    world = migrates("expand", "rollback")
    ends(world, "Expand", RunState.FAILED, "ERROR: relation exists")
    ends(world, "Rollback", RunState.FAILED)
    world.apply("v3")
    world.crank(5)
    world.ask("retry/1")
    world.crank(5)
    return world


def a_backfill_that_fails() -> World:
    world = ends(migrates("migrate", "rollback"), "Migrate", RunState.FAILED, "deadlock detected")
    finish(world, Phase.ROLLED_BACK)
    return world


def a_contract_that_fails() -> World:
    world = migrates("contract")
    finish(world)
    ends(world, "Contract", RunState.FAILED)
    world.ask("retry/1")
    world.crank(3)
    return world


def a_contract_that_fails_before_a_return() -> World:
    world = migrates("contract")
    finish(world)
    ends(world, "Contract", RunState.FAILED)
    world.apply("v1")
    world.crank(5)
    world.ask("retry/1")
    world.crank(3)
    return world


def a_contract_that_fails_before_a_version_that_is_rejected() -> World:
    world = migrates("contract")
    finish(world)
    ends(world, "Contract", RunState.FAILED)
    freeze(world)
    world.apply("v3")
    world.crank(5)
    decide(world, Action.REJECT)
    world.crank(3)
    world.ask("retry/1")
    world.crank(3)
    world.ask("retry/2")
    world.crank(3)
    return world


def a_contract_that_waits_while_people_go_back() -> World:
    world = migrates("contract")
    reach(world, 100)
    freeze(world)
    finish(world)
    world.apply("v1")
    world.crank(5)
    decide(world, Action.REJECT)
    world.crank(3)
    return world


def freeze(world: World) -> None:
    """A freeze begins."""
    world.governance = replace(world.governance, freezes=(FreezeView("sale", "sale", at(world.now), at(world.now + 600)),))


def a_job_that_is_stopped_or_cannot_be_made() -> list[World]:
    stopped = migrates("expand", "rollback")
    stopped.ask("rollback/1")
    stopped.crank(20)
    refused = idle(policy(step(100), migrations={"expand": {"cronJob": "checkout-expand"}}))
    refused.jobs.refused = "CronJob checkout-expand was not found in shop"
    refused.apply("v2")
    refused.crank(5)
    refused.apply("v3")
    refused.crank(3)
    return [stopped, refused]


STORIES: tuple[Callable[[], World | list[World]], ...] = (
    a_database_that_changes_with_its_version_and_a_return,
    an_expand_that_fails_and_a_reverse_that_fails,
    a_backfill_that_fails,
    a_contract_that_fails,
    a_contract_that_fails_before_a_return,
    a_contract_that_fails_before_a_version_that_is_rejected,
    a_contract_that_waits_while_people_go_back,
    a_job_that_is_stopped_or_cannot_be_made,
)
