"""Which endpoints of a Service can be reached on the ports that routes name."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.traffic.endpoints import Reach, reach_of

Json = dict[str, Any]

HTTP = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}
GRPC = {"name": "grpc", "port": 9000, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"}


def service(*ports: Json) -> Json:
    return {"metadata": {"name": "checkout"}, "spec": {"ports": list(ports)}}


def endpoint(uid: str, address: str = "10.0.0.1", **conditions: bool) -> Json:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "uid": uid}}


def a_slice(*uids: str, ports: Any = ("http",)) -> Json:
    has = [{"name": name, "port": 8080, "protocol": "TCP"} for name in ports] if ports is not None else None
    return {"endpoints": [endpoint(uid, ready=True) for uid in uids], "ports": has}


def test_pods_that_are_ready_count_once():
    """Terminating and unready ones do not count, and a pod with two addresses, in two slices, counts once.

    Terminating ones that are given out as ready, as with publishNotReadyAddresses, are known apart.
    """
    ports = [{"name": "http", "port": 8080}]
    slices = [
        {"endpoints": [endpoint("1", ready=True), endpoint("2", ready=False)], "ports": ports},
        {"endpoints": [endpoint("1", "fd00::1", ready=True), endpoint("3", ready=True, terminating=True)], "ports": ports},
        {"endpoints": None, "ports": ports},
    ]

    assert reach_of(service(HTTP), slices, {80}) == Reach(whole=frozenset({"1"}), ending=1)


@pytest.mark.parametrize("ports", [None, (), ("web",)], ids=["null", "none", "another"])
def test_pods_without_the_named_port_cannot_be_reached(ports: Any):
    """Given ready pods whose slice lacks the port that the targetPort names, nobody gets to them, and it is said why."""
    found = reach_of(service(HTTP), [a_slice("1", "2", ports=ports)], {80})

    gap = "2 ready pods have no port named http, which is the targetPort of port 80 of Service checkout"
    assert found == Reach(partial=frozenset({"1", "2"}), gap=gap)


def test_one_pod_of_two_has_the_port():
    """Pods with and without the port are in two slices: those that have it count."""
    found = reach_of(service(HTTP), [a_slice("1"), a_slice("2", ports=None)], {80})

    assert (found.whole, found.partial) == ({"1"}, {"2"})
    assert found.gap.startswith("1 ready pod has no port named http")


def test_every_port_that_routes_name_is_needed():
    """Given rules for two ports, a pod that has one of them would answer a part of the requests only."""
    slices = [a_slice("1", ports=("http", "grpc")), a_slice("2", ports=("http",))]

    found = reach_of(service(HTTP, GRPC), slices, {80, 9000})

    assert (found.whole, found.partial) == ({"1"}, {"2"})
    assert "no port named grpc" in found.gap


def test_ports_that_no_route_names_do_not_matter():
    """A port for metrics that new pods do not have keeps nothing from them."""
    found = reach_of(service(HTTP, GRPC), [a_slice("1", ports=("http",))], {80})

    assert found == Reach(whole=frozenset({"1"}))


def test_port_without_a_name_and_with_a_number_as_target():
    """The only port of a Service may have no name, and its target may be a number: the slice always has it."""
    plain = {"port": 80, "targetPort": 8080}

    found = reach_of(service(plain), [{"endpoints": [endpoint("1")], "ports": [{"name": "", "port": 8080}]}], {80})

    assert found == Reach(whole=frozenset({"1"}))


def test_a_port_of_tcp_is_not_its_namesake_of_udp():
    """Given port 443 for both protocols, as with HTTP/3, a route's is the one of TCP."""
    quic, tls = {**HTTP, "name": "quic", "port": 443, "protocol": "UDP"}, {**HTTP, "name": "tls", "port": 443}

    assert not reach_of(service(quic, tls), [a_slice("1", ports=("quic",))], {443}).whole
    assert reach_of(service(quic, tls), [a_slice("1", ports=("quic", "tls"))], {443}).whole


def test_port_without_a_number_is_no_port():
    """A slice may name a port and give no number: there is nothing to connect to."""
    piece = {"endpoints": [endpoint("1")], "ports": [{"name": "http", "port": None}]}

    assert reach_of(service(HTTP), [piece], {80}).partial == {"1"}


def test_port_that_the_service_does_not_have():
    """Given a route that names a port of which the Service knows nothing, no endpoint counts."""
    found = reach_of(service(HTTP), [a_slice("1")], {8080})

    assert found == Reach(partial=frozenset({"1"}), gap="Service checkout has no port 8080, which a route names")


def test_without_a_route_all_that_are_ready_count():
    """As long as no port is known to be named, ready endpoints are what there is to go by."""
    assert reach_of(service(HTTP), [a_slice("1", ports=None)], ()).whole == {"1"}
