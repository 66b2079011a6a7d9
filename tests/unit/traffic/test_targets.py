"""What the user's Service says of the pods, and what of it holds for the stable version."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.api.originals import PortStatus, TargetsStatus
from tidegate.engine.plan import Role
from tidegate.traffic.selection import Pods
from tidegate.traffic.services import Services, body, led_astray, user_view
from tidegate.traffic.targets import declared_ports, ports_for_stable, targets_of

Json = dict[str, Any]

OLD, NEW = "aaaa", "bbbb"


def port(target: str | int, number: int = 80, **more: Any) -> Json:
    return {"name": "http", "port": number, "targetPort": target, "protocol": "TCP", **more}


def known(*ports: Json) -> tuple[PortStatus, ...]:
    found = targets_of(service(*ports))
    assert found is not None
    return found


def service(*ports: Json, **selector: str) -> Json:
    metadata = {"name": "checkout", "namespace": "shop", "uid": "user-uid"}
    return {"metadata": metadata, "spec": {"selector": {"app": "checkout", **selector}, "ports": list(ports)}}


def held(now: Json, before: Json, *declared: str) -> str | int:
    (found,) = ports_for_stable([now], known(before), frozenset(declared))
    target: str | int = found["targetPort"]
    return target


@pytest.mark.parametrize(
    ("now", "before", "declared", "expected"),
    [
        (8080, 8080, (), 8080),
        (9090, 8080, ("8080",), 8080),
        (9090, 8080, (), 8080),
        (9090, 8080, ("8080", "9090"), 9090),
        ("web", "http", ("http", "8080"), "http"),
        ("web", "http", ("http", "web"), "web"),
        (9090, "http", ("http", "8080"), "http"),
        ("web", 8080, ("http", "8080"), 8080),
        ("web", "gone", ("http",), "web"),
    ],
    ids=[
        "nothing has changed",
        "a number that stable does not declare",
        "a number, and stable declares none",
        "a number that stable declares too",
        "a name that stable does not have",
        "a name that stable has as well",
        "from a name to a number",
        "from a number to a name",
        "what was before leads nowhere either",
    ],
)
def test_ports_for_stable(now: str | int, before: str | int, declared: tuple[str, ...], expected: str | int):
    """Stable's pods have not changed: they answer on what they answered on, unless they declare the new target themselves."""
    assert held(port(now), port(before), *declared) == expected


def test_protocol_of_the_new_version_is_not_that_of_the_old():
    """Given pods that begin to speak HTTP/2 on another port, stable's are still spoken to as before."""
    (found,) = ports_for_stable([port(9090, appProtocol="kubernetes.io/h2c")], known(port(8080)), frozenset())

    assert found == port(8080)


def test_a_port_that_is_new_leads_where_it_says():
    """A port that the Service did not have before is as the user has it, for both versions."""
    ports = [port(8080), {**port(9000, 9000), "name": "grpc"}]

    assert ports_for_stable(ports, known(port(8080)), frozenset({"8080"})) == ports


def test_declared_ports():
    """Names and numbers count, of sidecars too; UDP does not."""
    ports = [{"name": "http", "containerPort": 8080}, {"containerPort": 9000}, {"containerPort": 53, "protocol": "UDP"}]
    sidecar = {"name": "proxy", "ports": [{"name": "proxy", "containerPort": 15001}]}

    found = declared_ports({"spec": {"containers": [{"name": "app", "ports": ports}], "initContainers": [sidecar]}})

    assert found == {"http", "8080", "9000", "proxy", "15001"}


def both(user: Json, before: Json | None = None) -> Services:
    """The Service over pods of v1, whose ports led elsewhere before, and of v2."""
    revisions = {OLD: {"app": "checkout", "version": "v1"}, NEW: {"app": "checkout", "version": "v2"}}
    declared = {OLD: frozenset({"http", "8080"}), NEW: frozenset({"web", "9090"})}
    pods = Pods(
        workload="Deployment checkout",
        label="pod-template-hash",
        labels=revisions[NEW],
        revisions=revisions,
        declared=declared,
        selector={"app": "checkout"},
    )
    targets = TargetsStatus(service="checkout", ports=known(before)) if before else None
    return Services(release="checkout", release_uid="release-uid", user=user, pods=pods, targets=targets)


def test_selector_of_the_new_version_finds_stable_all_the_same():
    """Given a selector that names the new version, stable's Service selects by what the Deployment selects."""
    given = both(service(port("http"), version="v2"))

    stable, canary = (
        body(given, role, revision=revision)["spec"]["selector"] for role, revision in zip(Role, (OLD, NEW), strict=True)
    )

    assert stable == {"app": "checkout", "pod-template-hash": OLD}
    assert canary == {"app": "checkout", "version": "v2", "pod-template-hash": NEW}
    assert led_astray(user_view(given.user, given.pods), given, OLD, {80}).astray == ("it selects version=v2, they have version=v1")


def test_port_of_the_new_version_is_not_stables():
    """Given a targetPort that changes with the version, each of the operator's Services has its own."""
    given = both(service(port("web")), before=port("http"))

    stable, canary = (
        body(given, role, revision=revision)["spec"]["ports"] for role, revision in zip(Role, (OLD, NEW), strict=True)
    )

    assert (stable, canary) == ([port("http")], [port("web")])
    assert led_astray(user_view(given.user, given.pods), given, OLD, {80}).diverted == (
        "its port 80 targets web, they listen on http"
    )


def test_what_was_noted_of_another_service_does_not_count():
    """Given a Release that has come to name another Service, nothing is known of that one's ports."""
    given = both(service(port(9090)), before=port(8080))
    other = TargetsStatus(service="other", ports=known(port(8080)))

    ports = Services(release="checkout", release_uid="uid", user=given.user, pods=given.pods, targets=other).ports(Role.STABLE, OLD)

    assert ports == [port(9090)]


def test_service_that_leads_to_stable_is_not_off_course():
    """Nothing is said of a Service that selects stable's pods by the port that they have."""
    given = both(service(port("http")), before=port("http"))

    view = led_astray(user_view(given.user, given.pods), given, OLD, {80})

    assert (view.astray, view.diverted) == ("", "")


def test_service_without_a_selector_leads_nowhere_by_itself():
    """Why it cannot be split is told elsewhere."""
    given = both({**service(port(8080)), "spec": {"ports": [port(8080)]}}, before=port(8080))

    assert led_astray(user_view(given.user, given.pods), given, OLD, {80}).astray == ""
