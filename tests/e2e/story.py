"""The words in which the scenarios are told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from e2e import invariants, manifests
from e2e.manifests import NAME, App, Json, Pods, step
from e2e.prometheus_stand_in import Mood
from e2e.world import USER, World, canary_share, condition_of, image_of
from tidegate.api.base import parse_time
from tidegate.api.names import LABEL_RELEASE
from tidegate.cluster.resources import DEPLOYMENTS, HTTP_ROUTES, RELEASES
from tidegate_sandbox.cluster import PARTS, ClusterInfo, NoSandboxError
from tidegate_sandbox.loadgen import Load


def _why_not() -> str:
    try:
        missing = set(PARTS) - set(ClusterInfo.from_environment().parts)
    except NoSandboxError as error:
        return str(error)
    return f"the sandbox is without {', '.join(sorted(missing))}" if missing else ""


one_loop = pytest.mark.asyncio(loop_scope="session")
"""One loop for all tests: connections that a test leaves behind end in peace."""
on_the_cluster = [
    pytest.mark.e2e,
    one_loop,
    pytest.mark.skipif(bool(_why_not()), reason=f"no whole sandbox: {_why_not()}"),
]
HELD = "1h"
"""A hold that no test waits for: the rollout stays at its step until somebody says otherwise."""


class Given:
    """What is there at first."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def an_app(self, version: str = "v1", *, pods: Pods = Pods.FAKE, rules: tuple[Json, ...] = (), **more: Any) -> None:
        """A Deployment that serves behind a Service and a route, as it was before anybody thought of Tidegate."""
        world = self._world
        await world.apply(manifests.service())
        await world.apply(manifests.route(world.host, *rules))
        await world.apply_app(App(pods=pods, version=version, **more))
        await world.until(f"{version} is available", lambda: world.ready(version) == (world.app.replicas or 1))

    async def a_policy(self, *steps: Json, **more: Any) -> None:
        """A policy that the Release follows."""
        await self._world.apply(manifests.policy(*steps, **more))

    async def a_release(self, **more: Any) -> None:
        """A Release over the app, which has taken it on."""
        world = self._world
        await world.operator.ready()
        await world.apply(manifests.release(**more))
        await world.until("the Release is Ready", lambda: world.condition("Ready").get("status") == "True" and managed(world))

    async def a_released_app(
        self,
        *steps: Json,
        pods: Pods = Pods.FAKE,
        app: dict[str, Any] | None = None,
        release: dict[str, Any] | None = None,
        **policy: Any,
    ) -> None:
        """An app in version v1 under a Release with these steps."""
        await self.an_app(pods=pods, **(app or {}))
        await self.a_policy(*steps, **policy)
        await self.a_release(**(release or {}))

    async def a_rollout_held_at(self, weight: int, *, version: str = "v2", pods: Pods = Pods.FAKE, **policy: Any) -> None:
        """A rollout that has reached a weight and stays there for an hour."""
        steps = (step(weight, HELD), step(100)) if weight < 100 else (step(100, HELD),)
        await self.a_released_app(*steps, pods=pods, **policy)
        await When(self._world).the_image_becomes(version)
        await Then(self._world).the_route_carries(weight)

    async def load(self, *, rate: float = 60) -> None:
        """Users, who send requests through Envoy from now on."""
        world = self._world
        assert world.info.gateway_url is not None
        probe = Load(f"{world.info.gateway_url}/", world.host, rate=20)
        async with probe:
            await world.until("Envoy serves the route", lambda: any(not one.failed for one in probe.answers()[-5:]))
        world.load = Load(f"{world.info.gateway_url}/", world.host, rate=rate)
        await world.load.__aenter__()

    def failing(self, *versions: str) -> None:
        """Versions whose own errors and crashes are part of the story."""
        self._world.failing |= set(versions)

    async def prometheus(self, *, canary: float, stable: float = 0.0, samples: float = 1000.0) -> None:
        """What the stand-in for Prometheus answers."""
        numbers = self._world.stand_in.numbers
        numbers.canary, numbers.stable, numbers.samples = canary, stable, samples
        await self._world.stand_in.be(Mood.NUMBERS)


class When:
    """What people and machines do."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def the_image_becomes(self, version: str, **env: str) -> None:
        """The user applies the Deployment with another image."""
        await self.the_app_becomes(version=version, image=None, env=env)

    async def the_app_becomes(self, **changes: Any) -> None:
        """The user applies the Deployment with these changes, all in one apply."""
        await self._world.apply_app(self._world.app.changed(**changes))

    async def scaled_to(self, replicas: int) -> None:
        """The user scales the Deployment."""
        path = DEPLOYMENTS.path(self._world.namespace, NAME, "scale")
        await self._world.cluster.merge_patch(path, {"spec": {"replicas": replicas}}, manager="kubectl")

    async def asked_to(self, verb: str) -> str:
        """A person asks by the annotation."""
        return await self._world.ask(verb)

    async def the_route_is_applied_again(self, *rules: Json) -> None:
        """A GitOps tool applies the route as it stands in Git."""
        await self._world.apply(manifests.route(self._world.host, *rules))

    async def everything_is_applied_again(self, *steps: Json, times: int = 1, **policy: Any) -> None:
        """A GitOps tool applies all manifests as they stand in Git."""
        world = self._world
        for _ in range(times):
            await world.apply_app(world.app)
            await world.apply(manifests.service())
            await world.apply(manifests.route(world.host))
            await world.apply(manifests.policy(*steps, **policy))
            await world.apply(manifests.release())

    async def the_release_is_deleted(self) -> None:
        """The user deletes the Release."""
        await self._world.cluster.delete(RELEASES.path(self._world.namespace, NAME))

    async def the_app_is_deleted_with_its_release(self) -> None:
        """The user deletes the Deployment, and a moment later the Release."""
        self._world.app_deleted = True
        await self._world.cluster.delete(DEPLOYMENTS.path(self._world.namespace, NAME), propagation="Background")
        await self.the_release_is_deleted()

    async def prometheus_is(self, mood: Mood) -> None:
        """Prometheus answers in another way."""
        await self._world.stand_in.be(mood)

    async def prometheus_shows(self, canary: float, *, stable: float = 0.0) -> None:
        """The metrics turn."""
        await Given(self._world).prometheus(canary=canary, stable=stable)


class Then:
    """What is to be seen."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def the_phase_is(self, phase: str) -> None:
        """The Release comes to a phase."""
        await self._world.until(f"phase {phase}", lambda: self._world.status.get("phase") == phase)

    async def in_force(self, version: str) -> None:
        """The version is the stable one, and the Release is at rest and says so."""
        world = self._world

        def done() -> bool:
            told = all(world.condition(kind).get("status") == "True" for kind in ("Ready", "Promoted"))
            return told and world.status["phase"] == "Idle" and world.status["stable"]["version"] == version

        await world.until(f"{version} is in force", done)

    async def promoted_to(self, version: str) -> None:
        """The version is in force, and the Deployment goes its way by itself again."""
        world = self._world
        await self.in_force(version)

        def free() -> bool:
            deployment = world.history.get("Deployment", NAME)
            return deployment is not None and not deployment["spec"].get("paused") and version in image_of(deployment)

        await world.until(f"the Deployment has {version} and is not held", free)

    async def rolled_back_to(self, version: str) -> None:
        """The version serves alone again, and the one that was tried has no pods."""
        world = self._world

        def done() -> bool:
            stable, candidate = world.status.get("stable", {}), world.status.get("candidate")
            return world.status.get("phase") == "RolledBack" and stable.get("version") == version and not candidate

        await world.until(f"rolled back to {version}", done)
        await self.the_route_is_as_written()

    async def the_route_carries(self, weight: float) -> None:
        """The route gives the new version a weight, and its hold has begun."""
        world = self._world

        def carried() -> bool:
            step_now = world.status.get("step") or {}
            return canary_share(world.route) == weight and step_now.get("weight") == weight and "since" in step_now

        await world.until(f"the route carries {weight:g}%", carried)

    async def the_route_is_as_written(self) -> None:
        """The route is again what the user wrote, without a trace of the operator."""
        world = self._world
        await world.until("the route is as written", lambda: invariants.the_route_is_as_written(world))

    def ready_only_once_held(self) -> None:
        """The Release did not say Ready before changed templates were held: whoever waits for Ready may deploy the next moment."""
        history = self._world.history
        held = [seen for seen in history.versions("Deployment", NAME) if LABEL_RELEASE in seen.object["metadata"].get("labels", {})]
        ready = [seen for seen in history.versions("Release", NAME) if condition_of(seen.object, "Ready").get("status") == "True"]

        assert held[0].order < ready[0].order

    def weights_were(self, *expected: float) -> None:
        """The new version had these weights in the route, in this order, and no others."""
        shares = [canary_share(seen.object) for seen in invariants.routes(self._world)]
        had = [share for before, share in zip([0.0, *shares], shares, strict=False) if share != before]

        assert list(expected) == had, self._world.account()

    def each_step_was_held(self, seconds: float) -> None:
        """Each step lasted at least so long from when the route carried its weight."""
        steps: dict[int, tuple[str, str]] = {}
        for seen in self._world.history.versions("Release", NAME):
            found = (seen.object.get("status") or {}).get("step") or {}
            if "since" in found and found["index"] not in steps:
                steps[found["index"]] = (found["since"], "")
            elif found and found["index"] - 1 in steps and not steps[found["index"] - 1][1]:
                steps[found["index"] - 1] = (steps[found["index"] - 1][0], found["entered"])
        held = [(parse_time(entered) - parse_time(since)).total_seconds() for since, entered in steps.values() if entered]
        assert held
        assert all(lasted >= seconds for lasted in held), held

    async def pods_wanted(self, version: str, replicas: int) -> None:
        """A version comes to have so many pods, and they are ready."""
        world = self._world
        words = f"{version} has {replicas} pods"
        await world.until(words, lambda: world.replicas(version) == replicas and world.ready(version) == replicas)

    async def event(self, reason: str, *words: str) -> str:
        """An Event of the Release with a reason and these words; returns its message."""
        world = self._world

        def found() -> list[str]:
            messages = [str(event["message"]) for event in world.history.events(reason)]
            return [message for message in messages if all(word in message for word in words)]

        await world.until(f"an Event {reason} with {words}", found)
        return found()[0]

    def no_event(self, reason: str) -> None:
        """There is no Event of a reason."""
        assert self._world.history.events(reason) == []

    async def the_status_says(self, *words: str) -> None:
        """The status comes to say something in words."""
        world = self._world
        await world.until(f"the status says {words}", lambda: all(word in world.message for word in words))

    async def the_gate_says(self, name: str, verdict: str, *words: str) -> None:
        """A gate comes to a verdict, in these words."""
        world = self._world

        def says() -> bool:
            gates = [gate for gate in world.status.get("gates", ()) if gate["name"] == name]
            return any(gate["verdict"] == verdict and all(word in gate["message"] for word in words) for gate in gates)

        await world.until(f"gate {name} is {verdict} with the words {words}", says)

    async def stalled(self, reason: str, *words: str) -> None:
        """The Release says in its condition Stalled why it cannot go on."""
        world = self._world

        def holds() -> bool:
            condition = world.condition("Stalled")
            told = condition.get("status") == "True" and condition.get("reason") == reason
            return told and all(word in condition["message"] for word in words)

        await world.until(f"Stalled because of {reason}, with the words {words}", holds)

    def last_rollout_was(self, outcome: str, version: str, *words: str) -> None:
        """The record of the last rollout says how it ended and why."""
        last = self._world.status["lastRollout"]
        assert (outcome, version) == (last["outcome"], last["version"]), last
        assert all(word in last["message"] for word in words), last

    def pods_are_those_of(self, before: list[Json]) -> None:
        """No pod was stopped, replaced or restarted."""
        now = {pod["metadata"]["uid"]: pod for pod in self._world.history.all("Pod")}
        for pod in before:
            uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
            assert uid in now, f"pod {name} is gone"
            assert "deletionTimestamp" not in now[uid]["metadata"], f"pod {name} is being stopped"
            statuses = (now[uid].get("status") or {}).get("containerStatuses") or ()
            assert [0 for _ in statuses] == [status["restartCount"] for status in statuses], f"pod {name} was restarted"

    def never_scaled(self, version: str, replicas: int, *, before: int | None = None) -> None:
        """A version was to have so many pods in all the time, or until a change."""
        for seen in self._world.history.versions("ReplicaSet"):
            first = before is None or seen.order < before
            if first and seen.type == "MODIFIED" and image_of(seen.object).endswith(f":{version}"):
                assert replicas == seen.object["spec"]["replicas"], f"{version} was scaled in version {seen.order}"

    async def served_by(self, version: str, *, share: float = 1.0) -> None:
        """Envoy sends at least this share of the requests to a version."""
        world = self._world
        assert world.load is not None
        load, mark = world.load, world.load.mark()

        def served() -> bool:
            fresh = load.since(max(mark, load.mark() - 30))
            return len(fresh) >= 20 and sum(one.version == version for one in fresh) >= share * len(fresh)

        await world.until(f"{version} serves {share:.0%} of the requests", served)


def managed(world: World) -> bool:
    """Whether the Deployment is under the policy that holds changed templates."""
    return LABEL_RELEASE in (world.history.get("Deployment", NAME) or {"metadata": {}})["metadata"].get("labels", {})


def manifest_text(*objects: Json) -> str:
    """Return manifests as a user has them in files."""
    return yaml.safe_dump_all(objects)


__all__ = ["HELD", "HTTP_ROUTES", "USER", "Given", "Then", "When", "manifest_text", "on_the_cluster"]
