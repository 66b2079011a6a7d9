"""A cluster without Gateway API and without the policy that holds changed templates, in a sandbox of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from e2e import manifests
from e2e.manifests import NAME, App, exact_gate, step
from e2e.story import Given, Then, When, one_loop
from e2e.world import World

INSIDE = "TIDEGATE_TEST_BARE_CLUSTER"
inside = [
    pytest.mark.e2e,
    one_loop,
    pytest.mark.skipif(INSIDE not in os.environ, reason="runs within test_in_a_sandbox_of_its_own"),
]


def marked(function: object) -> object:
    for mark in inside:
        function = mark(function)
    return function


@pytest.mark.sandbox
@pytest.mark.skipif(INSIDE in os.environ, reason="this is the run inside")
def test_in_a_sandbox_of_its_own() -> None:
    """Runs the tests below in a fresh sandbox."""
    command = [sys.executable, "-m", "pytest", __file__, "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "tidegate_sandbox", "run", "--parts", "api,controllers,kwok", "--", *command],
        env={**os.environ, INSIDE: "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@marked
async def test_absent_gateway_api_is_named(given: Given, then: Then, world: World) -> None:
    """A Release with a route says that the API server does not know HTTPRoutes, and leaves everything as it is."""
    await world.apply(manifests.service())
    await world.apply_app(App())
    await given.a_policy(step(50), step(100))
    await world.operator.ready()

    await world.apply(manifests.release())

    await then.stalled("APIAbsent", "httproutes.gateway.networking.k8s.io")
    assert {NAME} == {service["metadata"]["name"] for service in world.history.all("Service")}


@marked
async def test_promotion_by_number_of_pods(given: Given, when: When, then: Then, world: World) -> None:
    """Without a route, versions share requests by their number of pods; the Deployment stays paused between rollouts."""
    await world.apply_app(App())
    await given.a_policy(step(25, "1s"), step(100, "1s"))
    await given.a_release(routed=False)
    await world.until("the Deployment is held", lambda: paused(world))

    await when.the_image_becomes("v2")
    await then.pods_wanted("v2", 2)
    judged = world.pods("v2")

    await then.in_force("v2")
    await then.pods_wanted("v2", 4)
    await then.pods_wanted("v1", 0)
    then.pods_are_those_of(judged)
    assert paused(world)


@marked
async def test_rollback_by_number_of_pods(given: Given, when: When, then: Then, world: World) -> None:
    """Without a route a breach takes the new pods away, and the old ones were never touched."""
    await given.prometheus(canary=0.2)
    await world.apply_app(App())
    await given.a_policy(step(25), step(100), gates=(exact_gate(),))
    await given.a_release(routed=False)
    pods = world.pods("v1")

    await when.the_image_becomes("v2")

    await then.the_phase_is("RolledBack")
    await then.pods_wanted("v2", 0)
    then.pods_are_those_of(pods)
    then.last_rollout_was("RolledBack", "v2", "20%")


def paused(world: World) -> bool:
    deployment = world.history.get("Deployment", NAME)
    return deployment is not None and deployment["spec"].get("paused") is True
