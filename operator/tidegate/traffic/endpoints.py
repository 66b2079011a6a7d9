"""Which endpoints of a Service can be reached: those that are ready and have every port that routes name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reach:
    """The ready endpoints of a Service; a pod with two addresses is there once.

    Attributes:
        whole: what tells those apart that can be reached on every port that routes name.
        partial: likewise those that lack one of these ports.
        gap: what is missing, in words; empty where nothing is.
        ending: number of those that are being stopped and are given out as ready all the same (publishNotReadyAddresses).
    """

    whole: frozenset[object] = frozenset()
    partial: frozenset[object] = frozenset()
    gap: str = ""
    ending: int = 0


def reach_of(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]], ports: Iterable[int]) -> Reach:
    """Return which endpoints of a Service can be reached.

    A pod that does not have the port that the Service's targetPort names is in a slice without that port, or without any: it is
    ready and yet no request gets to it. Whether a pod listens on a targetPort that is a number, no slice tells.

    Args:
        service: the Service.
        slices: its EndpointSlices.
        ports: numbers of the Service's ports that routes name; none where that is not known: then all that are ready count.
    """
    slices = tuple(slices)
    had, ending = _ready(slices), _ending(slices)
    wanted = dict.fromkeys(sorted(ports))
    found = {number: port for number in wanted if (port := _port(service, number)) is not None}
    name = service["metadata"]["name"]
    unknown = [number for number in wanted if number not in found]
    if unknown:
        return Reach(partial=frozenset(had), gap=f"Service {name} has no port {unknown[0]}, which a route names", ending=ending)
    names = {str(port.get("name") or ""): port for port in found.values()}
    whole = frozenset(key for key, has in had.items() if names.keys() <= has)
    partial = frozenset(had) - whole
    lacked = next((port for own, port in names.items() if any(own not in had[key] for key in partial)), None)
    return Reach(whole, partial, _words(name, len(partial), lacked) if lacked is not None else "", ending)


def _ready(slices: Iterable[Mapping[str, Any]]) -> dict[object, set[str]]:
    """Return the names of the ports that each endpoint has that is ready and not terminating."""
    found: dict[object, set[str]] = {}
    for piece in slices:
        # A port without a number is none to connect to, whatever it is called.
        ports = {str(port.get("name") or "") for port in piece.get("ports") or () if port.get("port")}
        for endpoint in piece.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                key = (endpoint.get("targetRef") or {}).get("uid") or tuple(endpoint["addresses"])
                found.setdefault(key, set()).update(ports)
    return found


def _ending(slices: Iterable[Mapping[str, Any]]) -> int:
    states = (endpoint.get("conditions") or {} for piece in slices for endpoint in piece.get("endpoints") or ())
    return sum(bool(state.get("terminating")) and state.get("ready") is not False for state in states)


def _port(service: Mapping[str, Any], number: int) -> Mapping[str, Any] | None:
    ports: Iterable[Mapping[str, Any]] = service["spec"].get("ports") or ()
    return next((one for one in ports if one.get("port") == number and one.get("protocol", "TCP") == "TCP"), None)


def _words(service: str, count: int, port: Mapping[str, Any]) -> str:
    pods = "1 ready pod has" if count == 1 else f"{count} ready pods have"
    target, number = port.get("targetPort"), port["port"]
    if isinstance(target, str):
        return f"{pods} no port named {target}, which is the targetPort of port {number} of Service {service}"
    return f"{pods} no endpoint for port {number} of Service {service}"
