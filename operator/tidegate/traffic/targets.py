"""What the user's Service says of the pods, and which of it holds for the stable version while another is rolled out.

A chart may change a Service's selector, a `targetPort` or the name of a port in the commit that changes the pods. That is meant
for the new pods: the old ones answer on what was in force before, for they have not changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tidegate.api.originals import MOST_PORTS, PortStatus
from tidegate.traffic.backends import Json
from tidegate.traffic.selection import Pods, selector_of, selects


def targets_of(service: Mapping[str, Any]) -> tuple[PortStatus, ...] | None:
    """Return where the ports of a Service lead; None where it has more than can be noted."""
    ports: Sequence[Mapping[str, Any]] = service["spec"].get("ports") or ()
    if len(ports) > MOST_PORTS:
        return None
    found = (
        PortStatus(
            port=port["port"],
            protocol=port.get("protocol") or "TCP",
            target=str(port.get("targetPort") or port["port"]),
            app_protocol=port.get("appProtocol"),
        )
        for port in ports
    )
    return tuple(sorted(found, key=lambda port: (port.port, port.protocol)))


def ports_for_stable(ports: Iterable[Json], known: Iterable[PortStatus], declared: frozenset[str]) -> list[Json]:
    """Return the ports of a Service as they hold for the stable version.

    Where a port leads elsewhere than it did, it goes on leading to what stable's pods answered on, unless they declare the new
    target themselves.

    Args:
        ports: of the user's Service, as it is now.
        known: where the ports led when stable was all that there was.
        declared: names and numbers of the ports that stable's containers declare.
    """
    before = {(port.port, port.protocol): port for port in known}
    return [_held(port, before.get((port["port"], port.get("protocol") or "TCP")), declared) for port in ports]


def _held(port: Json, before: PortStatus | None, declared: frozenset[str]) -> Json:
    target = str(port.get("targetPort") or port["port"])
    if before is None or target == before.target or target in declared:
        return port
    if not before.target.isdecimal() and before.target not in declared:
        return port
    held = {**port, "targetPort": int(before.target) if before.target.isdecimal() else before.target}
    held.pop("appProtocol", None)
    return held if before.app_protocol is None else {**held, "appProtocol": before.app_protocol}


def selector_for(service: Mapping[str, Any], pods: Pods | None, revision: str) -> dict[str, str]:
    """Return what the user's Service selects as it holds for a revision, but for the revision itself.

    A selector that names labels of the new version finds no pod of the old one: that is found by what its Deployment selects.
    """
    wanted, labels = selector_of(service), (pods.revisions.get(revision) if pods is not None else None)
    if pods is None or labels is None or selects(wanted, labels):
        return wanted
    return dict(pods.selector)


def declared_ports(template: Mapping[str, Any]) -> frozenset[str]:
    """Return the names and numbers of the ports that the containers of a pod template declare, those of sidecars too."""
    return frozenset(_declared(template.get("spec") or {}))


def _declared(spec: Mapping[str, Any]) -> Iterator[str]:
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP":
                yield str(port["containerPort"])
                if port.get("name"):
                    yield str(port["name"])


def astray(service: Mapping[str, Any], pods: Pods, revision: str) -> str:
    """Return why the user's Service selects no pod of a revision, in words; empty where it does, or has no selector at all."""
    wanted, labels = selector_of(service), pods.revisions.get(revision)
    if not wanted or labels is None or selects(wanted, labels):
        return ""
    key = next(key for key in sorted(wanted) if labels.get(key) != wanted[key])
    return f"it selects {key}={wanted[key]}, they have {f'{key}={labels[key]}' if key in labels else f'no {key}'}"


def diverted(ports: Iterable[Json], held: Iterable[Json], named: frozenset[int]) -> str:
    """Return where the user's Service leads elsewhere than what stable answers on, in words; empty where it does not.

    Args:
        ports: of the user's Service.
        held: the same as they hold for stable.
        named: numbers of the ports that routes name; empty where that is not known.
    """
    for now, before in zip(ports, held, strict=True):
        if now.get("targetPort") != before.get("targetPort") and (not named or now["port"] in named):
            return f"its port {now['port']} targets {now.get('targetPort')}, they listen on {before.get('targetPort')}"
    return ""
