"""Which pods of a version are read directly and where: by their own addresses alone, at the port that they or the gate name.

An address comes from the pod's status, which the kubelet writes. It is never a name, never that of a node, and none that leads
to the machine itself or to a metadata service, whatever a status says.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import Any, Generic, TypeVar

from tidegate.api.base import parse_time
from tidegate.api.direct import Direct, Scheme
from tidegate.api.names import VERSION_LABELS
from tidegate.runtime.addresses import is_closed, is_own

SCRAPE = "prometheus.io/scrape"
PORT = "prometheus.io/port"
PATH = "prometheus.io/path"
SCHEME = "prometheus.io/scheme"
"""Annotations by which many a scrape configuration finds pods; no standard, but the usual ones
(https://github.com/prometheus-community/helm-charts/blob/main/charts/prometheus/values.yaml, job kubernetes-pods)."""
LONGEST_PATH = 256
_MOST_PORTS = 100
_HOST_NETWORK = "direct.hostNetwork"
_PATH = "/metrics"
_LAST_PORT = 65535


@dataclass(frozen=True)
class Pod:
    """A pod that is judged by what it says itself.

    Attributes:
        uid: of the pod.
        pod: its name.
        born: when the first of its containers began that run, by its node's clock: none of them has counted before. None where
            that is not known.
    """

    uid: str
    pod: str
    born: datetime | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Target(Pod):
    """Where the page of one pod is.

    Attributes:
        host: its address, as it stands in a URL.
        port: the port.
        path: the path, with its query if it has one.
        scheme: HTTP or HTTPS.
    """

    host: str
    port: int
    path: str
    scheme: Scheme

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{self.scheme.lower()}://{self.host}:{self.port}{self.path}"


@dataclass(frozen=True)
class Missed:
    """A pod that is not read, and why.

    Attributes:
        pod: its name.
        words: why, in words.
        read: it is read, but not each time.
    """

    pod: str
    words: str
    read: bool = False


Pod_co = TypeVar("Pod_co", bound=Pod, covariant=True)


@dataclass(frozen=True)
class Chosen(Generic[Pod_co]):
    """The pods of one version.

    Attributes:
        targets: those that are read.
        missed: those that cannot be.
        pods: how many there are.
        bounded: whether pods of a gateway are left out because its configuration has no more of them read.
    """

    targets: tuple[Pod_co, ...] = ()
    missed: tuple[Missed, ...] = ()
    pods: int = 0
    bounded: bool = False


def slim(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is needed of a pod to find its page: the whole of it takes ten kilobytes, and more if its author likes."""
    had, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    kept = {name: had[name] for name in ("name", "uid") if name in had}
    labels, annotations = (had.get(field) or {} for field in ("labels", "annotations"))
    kept["labels"] = {name: labels[name] for name in VERSION_LABELS if name in labels}
    # One that is longer than a path may be is none, and stays that.
    kept["annotations"] = {
        name: annotations[name][: LONGEST_PATH + 1] for name in (SCRAPE, PORT, PATH, SCHEME) if name in annotations
    }
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    ports = [port for one in containers for port in one.get("ports") or () if port.get("protocol", "TCP") == "TCP"]
    started = [
        (one.get("state") or {}).get("running", {}).get("startedAt")
        for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    ]
    return {
        "metadata": kept,
        "hostNetwork": bool(spec.get("hostNetwork")),
        "ports": [(str(port.get("name") or ""), port.get("containerPort")) for port in ports[:_MOST_PORTS]],
        "phase": status.get("phase"),
        "address": status.get("podIP"),
        "node": status.get("hostIP"),
        # Of the first one: which container counts is not known, and where another begins again it has counted before that.
        "started": min((one for one in started if one), default=None),
    }


def sampled(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the pods of one version that run, each as `slim` returns it, in the order in which some of too many are taken.

    Neither the oldest nor the newest come first: a sample that nobody has chosen, and the same one as long as its pods are there.
    """
    there = [pod for pod in pods if pod["phase"] not in ("Succeeded", "Failed")]
    return sorted(there, key=lambda pod: zlib.crc32(str(pod["metadata"]["uid"]).encode()))


def chosen(
    pods: Iterable[Mapping[str, Any]], direct: Direct, most: int, *, host_network: bool = False, named_by: str = _HOST_NETWORK
) -> Chosen[Target]:
    """Return which pods are read; of more than there may be always the same ones, as long as they are there.

    Args:
        pods: of one version, each as `slim` returns it.
        direct: how the gate wants them read.
        most: how many at most.
        host_network: whether pods that have their node's address are read, too.
        named_by: the field of the configuration that says so.
    """
    there = sampled(pods)
    found: list[Target] = []
    missed: list[Missed] = []
    for pod in there:
        if len(found) >= most:
            break
        one = target(pod, direct, host_network=host_network, named_by=named_by)
        if isinstance(one, Target):
            found.append(one)
        elif one.words:
            missed.append(one)
    return Chosen(tuple(found), tuple(missed), len(there))


def target(pod: Mapping[str, Any], direct: Direct, *, host_network: bool, named_by: str = _HOST_NETWORK) -> Target | Missed:
    """Return where a pod's page is; if it has none, why, without words where it has only not begun."""
    name, annotations = str(pod["metadata"]["name"]), pod["metadata"].get("annotations") or {}
    if not pod["address"]:
        return Missed(name, "")
    if wrong := _closed(pod, "" if host_network else named_by):
        return Missed(name, wrong)
    if direct.port is None and str(annotations.get(SCRAPE, "true")).lower() == "false":
        return Missed(name, f"its annotation {SCRAPE} is false")
    port = _port(pod, direct.port or annotations.get(PORT))
    if isinstance(port, str):
        return Missed(name, port)
    path = direct.path or annotations.get(PATH) or _PATH
    if not _sound(path):
        return Missed(name, f"its annotation {PATH} is no path")
    scheme = direct.scheme or _scheme(annotations.get(SCHEME))
    if scheme is None:
        return Missed(name, f"its annotation {SCHEME} is neither http nor https")
    address = ip_address(pod["address"])
    host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    born = parse_time(pod["started"]) if pod["started"] else None
    return Target(str(pod["metadata"]["uid"]), name, host, port, path, scheme, born=born)


def not_read(missed: Iterable[Missed]) -> list[Missed]:
    """Return those that are not read at all."""
    return [one for one in missed if not one.read]


def named(missed: Sequence[Missed], most: int = 2, *, what: str = "pod ") -> str:
    """Return which pods are not read, in words: the first ones with the reason, and how many more there are.

    Args:
        missed: the pods.
        most: how many of them are named.
        what: what stands before each name.
    """
    told = "; ".join(f"{what}{one.pod}: {one.words}" for one in missed[:most])
    more = len(missed) - most
    return f"{told}; and {more} more" if more > 0 else told


def _closed(pod: Mapping[str, Any], unless: str) -> str:
    """Return why nothing goes to a pod's address; empty where it may.

    Args:
        pod: as `slim` returns it.
        unless: the field that would let it be its node's address; empty where it is set.
    """
    try:
        address = ip_address(str(pod["address"]))
    except ValueError:
        return "its address is none"
    if is_closed(address) or is_own(address):
        return "its address is a loopback, link-local or metadata address, which is never read"
    if (pod["hostNetwork"] or pod["address"] == pod["node"]) and unless:
        return f"it has its node's address (hostNetwork), which is read only if the connection allows it ({unless})"
    return ""


def _port(pod: Mapping[str, Any], wanted: str | None) -> int | str:
    """Return the port, or why there is none."""
    if wanted is None:
        return f"it has no annotation {PORT}, and the gate names no port (direct.port)"
    if wanted.isascii() and wanted.isdecimal():
        number = int(wanted) if len(wanted) <= len(str(_LAST_PORT)) else 0
        return number if 0 < number <= _LAST_PORT else f"the port {wanted[:16]} is none"
    found = next((port for name, port in pod["ports"] if name == wanted), None)
    return found if isinstance(found, int) and 0 < found <= _LAST_PORT else f"it has no container port named {wanted[:16]}"


def _scheme(annotated: str | None) -> Scheme | None:
    if annotated is None:
        return Scheme.HTTP
    upper = annotated.upper()
    return next((one for one in Scheme if one.value == upper), None)


def _sound(path: str) -> bool:
    return len(path) <= LONGEST_PATH and path.startswith("/") and path.isascii() and path.isprintable() and " " not in path
