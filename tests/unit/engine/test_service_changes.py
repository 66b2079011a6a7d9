"""A Service that changes in the commit that changes the pods: the new version gets what is new, stable keeps what it answers on."""

from __future__ import annotations

import pytest

from simulation.cluster import CANARY, STABLE, USER
from simulation.policies import at_weight, condition, finish, idle, policy, reach, reason, step
from simulation.views import stage_of
from simulation.world import World
from tidegate.api.names import Phase
from tidegate.engine.snapshot import RouteStage

STEPS = policy(step(50, "10s"), step(100))


def change(world: World, what: str, image: str = "v2", *, template: bool = True) -> None:
    """Apply a Service and, a moment later, a Deployment, as a chart does."""
    user = world.cluster.services[USER]
    match what:
        case "selector":
            user.version = image
        case "number":
            world.cluster.numbers[image], user.target = "9090", "9090"
        case "name":
            world.cluster.ports[image], user.target = "web", "web"
    if template:
        world.apply(image)


def before(what: str, spec: dict[str, object] | None = None, *, pin: bool = False) -> World:
    """A world whose Service has what is about to change for a long time."""
    world = World(spec or STEPS, pin=pin)
    user = world.cluster.services[USER]
    user.version = "v1" if what == "selector" else ""
    user.target = "8080" if what == "number" else "http"
    assert world.crank(10, until=lambda: condition(world, "Ready")), world.status.message
    world.crank(70)
    return world


def failed_share(world: World) -> float:
    """Return the share of requests that nobody answers, by what the data plane has in force."""
    shares = dict(world.cluster.routes["web"].in_force)
    failed = sum(weight for name, weight in shares.items() if weight and not served(world, name))
    return failed / sum(shares.values())


def served(world: World, name: str) -> bool:
    """Whether a Service leads to pods, all of which are there and answer."""
    service = world.cluster.services[name]
    pods = {pod.id: pod for rs in world.cluster.replica_sets.values() for pod in rs.pods}
    return bool(service.addresses) and all(one in pods and pods[one].answers(service.target) for one in service.addresses)


def failures(world: World, seconds: float, until: Phase) -> list[float]:
    """Crank until a phase rests; return when requests failed, in seconds from now."""
    began, found = world.now, []

    def look() -> bool:
        if failed_share(world) > 0:
            found.append(world.now - began)
        return world.now > began + 3 and world.status.phase is until and not world.last.writes

    assert world.crank(seconds, until=look), f"{world.status.phase}: {world.status.message}"
    return found


def test_route_goes_back_only_once_the_old_pods_are_no_endpoints_any_more():
    """Given a Service whose number has changed, and a controller of endpoints that is behind as the old pods are stopped."""
    world = before("number")
    change(world, "number")
    assert world.crank(60, until=lambda: world.status.phase is Phase.PROMOTING)
    world.cluster.behind = {USER, STABLE}
    world.crank(10)
    said, stage = world.status.message, stage_of(world.cluster.routes["web"].backends)
    world.cluster.behind = set()
    failed = failures(world, 60, Phase.IDLE)

    assert stage is RouteStage.SPLIT
    assert "waits for the stopping pods of v1 to leave the endpoints of Service checkout" in said
    assert failed == []
    assert world.status.stable.version == "v2"


@pytest.mark.parametrize("what", ["selector", "number", "name"])
def test_both_versions_are_reached_all_the_way_to_the_promotion(what: str):
    """Requests fail for as long as the route takes to name stable's Service, and then no more, though pods need 30 s to start."""
    world = before(what)
    world.cluster.start_up = {"v2": 30.0}

    change(world, what)
    failed = failures(world, 120, Phase.IDLE)

    assert max(failed, default=0) < 4, failed
    assert world.status.stable.version == "v2"
    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.USER
    assert (world.cluster.services[STABLE].version, served(world, USER)) == ("", True) or what != "selector"


@pytest.mark.parametrize("what", ["selector", "number", "name"])
def test_after_a_rollback_the_route_stays_with_stable(what: str):
    """Given a Service that leads to the version that was rolled back, the route does not go back to it, and a person is asked."""
    world = before(what, policy(step(50, "60s"), step(100)))
    change(world, what)
    reach(world, 50)

    world.ask("rollback/1")
    failed = failures(world, 60, Phase.ROLLED_BACK)
    world.crank(120)

    assert failed == []
    assert failed_share(world) == 0
    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.SPLIT
    assert (reason(world), condition(world, "Stalled")) == ("ServiceAstray", True)
    assert "the route stays with checkout-stable until the Service is fixed, or a version" in world.status.message

    user = world.cluster.services[USER]
    user.version, user.target = ("v1" if what == "selector" else ""), ("8080" if what == "number" else "http")
    assert world.crank(30, until=lambda: stage_of(world.cluster.routes["web"].backends) is RouteStage.USER), world.status.message
    assert failures(world, 30, Phase.ROLLED_BACK) == []


def test_next_version_starts_although_the_route_could_not_go_back():
    """Given a route that stays with stable after a rollback, a version that the Service leads to is rolled out as any."""
    world = before("number")
    change(world, "number")
    reach(world, 50)
    world.ask("rollback/1")
    world.crank(30)

    change(world, "number", "v3")
    failed = failures(world, 120, Phase.IDLE)

    assert failed == []
    assert world.status.stable.version == "v3"


def test_template_that_goes_back_alone_lets_the_service_have_its_way():
    """Given a template that is put back and a Service that is not, it is taken at its word after a minute."""
    world = before("number", policy(step(50, "60s"), step(100)))
    change(world, "number")
    reach(world, 50)

    world.apply("v1")

    finish(world)
    assert stage_of(world.cluster.routes["web"].backends) is RouteStage.USER
    assert world.cluster.services[USER].target == "9090"


@pytest.mark.parametrize("what", ["number", "name"])
def test_service_that_changes_alone_counts_for_stable_from_the_next_rollout_on(what: str):
    """Given a Service that has changed, and a template that changes much later, both versions have the new port."""
    world = before(what)
    target = "9090" if what == "number" else "web"
    for rs in world.cluster.replica_sets.values():
        for pod in rs.pods:
            pod.number, pod.port = ("9090", pod.port) if what == "number" else (pod.number, "web")
    world.cluster.numbers, world.cluster.ports = {"v2": "9090"}, {"v2": pod.port}
    world.cluster.services[USER].target = target
    world.crank(70)

    world.apply("v2")
    reach(world, 50)

    assert [world.cluster.services[name].target for name in (STABLE, CANARY)] == [target, target]
    assert failed_share(world) == 0


def test_service_that_changes_in_mid_rollout_to_a_port_that_both_have():
    """Given a rollout that is on, a targetPort that stable declares too takes force for both at once."""
    world = at_weight(50, policy(step(50, "60s"), step(100)))
    for rs in world.cluster.replica_sets.values():
        for pod in rs.pods:
            pod.port = "web"
    world.cluster.services[USER].target = "web"

    world.crank(3)

    assert [world.cluster.services[name].target for name in (STABLE, CANARY)] == ["web", "web"]
    assert failed_share(world) == 0


def test_pinned_service_that_finds_nobody_is_told():
    """Given a pinned Service whose selector goes over to the new version, those who call it past the route are told of."""
    world = before("selector", policy(step(50, "60s"), step(100)), pin=True)

    change(world, "selector")
    reach(world, 50)

    assert "callers that bypass the route get no answer until v2 takes over" in world.status.message
    assert failed_share(world) == 0


def test_before_the_split_it_is_told_that_requests_find_nobody():
    """Given a gateway that takes its time, the status says what requests meet meanwhile, and why."""
    world = before("selector")
    world.cluster.router_works = False

    change(world, "selector")
    world.crank(5)

    told = world.status.message
    assert "Service checkout does not reach the pods of v1: it selects version=v2, they have version=v1" in told


def test_release_that_is_deleted_does_not_wait_for_the_service_for_ever():
    """Given a Service that leads elsewhere after a rollback, a Release that is deleted lets the route go after a minute."""
    world = before("number", policy(step(50, "60s"), step(100)))
    change(world, "number")
    reach(world, 50)

    world.delete()

    assert world.crank(100, until=lambda: world.gone), world.status.message
    assert world.cluster.routes["web"].backends == world.cluster.routes["web"].written


def test_what_is_known_of_ports_follows_the_version_that_serves():
    """After a promotion what the new pods have answered on is what counts for stable."""
    world = before("number")
    change(world, "number")
    finish(world)

    assert world.status.stable_targets is not None
    assert [port.target for port in world.status.stable_targets.ports] == ["9090"]
    idle_again = idle()
    assert idle_again.status.stable_targets is not None


@pytest.mark.parametrize("what", ["selector", "number", "name"])
def test_nobody_is_called_as_the_new_version_becomes_the_one_in_force(what: str):
    """What was seen of the Service speaks of the version that was in force until then: it is no trouble of the new one."""
    world = before(what)
    change(world, what)
    stalled = []
    assert world.crank(60, until=lambda: world.status.phase is Phase.PROMOTING), world.status.message

    def look() -> bool:
        if condition(world, "Stalled"):
            stalled.append(world.status.message)
        return world.status.phase is Phase.IDLE and not world.last.writes

    assert world.crank(120, until=look), world.status.message
    assert [] == stalled
    assert [] == [notice.message for notice in world.notices if notice.reason == "Blocked"]
    assert world.status.stable.version == "v2"
