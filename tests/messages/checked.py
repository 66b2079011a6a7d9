"""Stories in which versions are checked by Jobs and by requests, by which each sentence about that is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulation.policies import at_weight, finish, idle, policy, step
from simulation.world import World
from tidegate.governance.runs import RunState

SMOKE = {"name": "smoke", "at": "50%", "cronJob": "checkout-smoke"}


def checked(**more: Any) -> World:
    """v2 has 25%, and the Job of a check runs."""
    world = at_weight(25, policy(step(25, "5s"), step(50, "5s"), step(100), bake="3s", checks=[SMOKE | more]))
    world.crank(10)
    return world


def a_check_by_a_job_that_passes_when_it_is_run_again() -> World:
    world = checked(retries=1)
    for _ in range(2):
        world.jobs.end("smoke", RunState.FAILED)
        world.crank(5)
    world.ask("retry/1")
    world.jobs.verdicts["smoke"] = RunState.COMPLETE
    finish(world)
    return world


def a_check_that_rejects_and_one_that_warns() -> list[World]:
    rejects, warns = checked(onFailure="Reject"), checked(onFailure="Warn")
    for world in (rejects, warns):
        world.jobs.end("smoke", RunState.FAILED)
        world.crank(60)
    return [rejects, warns]


def a_check_whose_job_is_deleted_or_cannot_be_made() -> list[World]:
    deleted, refused = checked(), idle(policy(step(50, "5s"), step(100), checks=[SMOKE | {"at": "Start"}]))
    deleted.jobs.there.clear()
    deleted.crank(5)
    refused.jobs.refused = "CronJob checkout-smoke was not found in shop"
    refused.apply("v2")
    refused.crank(5)
    return [deleted, refused]


def a_check_after_a_rollout_that_fails() -> World:
    world = checked()
    world.policy = world.policy.model_validate(policy(step(100), bake="3s", checks=[SMOKE | {"at": "Promoted"}]))
    world.jobs.verdicts["smoke"] = RunState.FAILED
    world.ask("rollback/1")
    world.crank(30)
    world.apply("v3")
    world.crank(60)
    return world


def a_hook_that_says_no() -> list[World]:
    entry = {"name": "contract", "at": "Start", "http": {"hook": "broker", "path": "/verify"}}
    worlds = []
    for state in (RunState.FAILED, RunState.UNMADE, None):
        world = idle(policy(step(100), bake="3s", checks=[entry]))
        world.hooks.answers = [] if state is None else [state] * 9
        world.apply("v2")
        world.crank(5)
        worlds.append(world)
    return worlds


STORIES: tuple[Callable[[], World | list[World]], ...] = (
    a_check_by_a_job_that_passes_when_it_is_run_again,
    a_check_that_rejects_and_one_that_warns,
    a_check_whose_job_is_deleted_or_cannot_be_made,
    a_check_after_a_rollout_that_fails,
    a_hook_that_says_no,
)
