"""Why pods do not become ready, or were lost, in their own words; and whether that can be the version's fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from tidegate.api.base import parse_time, plain
from tidegate.workloads.masking import masked

MESSAGE_LIMIT = 240
"""Characters of a message that is passed on: a scheduler's can name every node."""
LAST_WORDS = 160
"""Characters of a container's own last message that are passed on."""

_BEING_MADE = frozenset({"ContainerCreating", "PodInitializing"})
_PULLS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})
_NETWORK = (
    "dial tcp",
    "i/o timeout",
    "timed out",
    "timeout",
    "deadline exceeded",
    "connection refused",
    "connection reset",
    "no such host",
    "no route to host",
    "unreachable",
    "unexpected eof",
    "too many requests",
    "toomanyrequests",
    "bad gateway",
    "service unavailable",
    "internal server error",
)
"""What container runtimes say where a registry cannot be reached or is in trouble; that it has no such image is told otherwise."""
_MOVED = frozenset(
    {"Evicted", "NodeLost", "Shutdown", "NodeShutdown", "Terminated", "Preempting", "Preempted", "NodeAffinity"}
    | {"OutOfcpu", "OutOfmemory", "OutOfpods", "UnexpectedAdmissionError", "TerminationByKubelet"}
)
"""Reasons of pods that a node has refused or put out."""
_BEYOND = ("exceeded quota", "failed calling webhook", "timed out", "connection refused")
"""What ReplicaSets say where what keeps them from making pods is not in the template."""


@dataclass(frozen=True)
class Trouble:
    """Why pods are not ready.

    Attributes:
        words: the most telling reason; empty where there is none.
        outside: it can be no fault of the version: quota, registry, nodes.
        pod: whose reason it is; empty where it is none's.
    """

    words: str = ""
    outside: bool = False
    pod: str = ""


@dataclass(frozen=True)
class Ending:
    """How a container ended last.

    Attributes:
        words: pod, container, exit code, reason and last message.
        at: when, by its node's clock, with zone.
    """

    words: str
    at: datetime


class _Rank(IntEnum):
    """How telling a reason is; the lowest is told."""

    CRASH = 0
    REFUSED = 1
    FAILED = 2
    UNSCHEDULABLE = 3
    NOT_READY = 4
    CONDITION = 5
    BEING_MADE = 6


@dataclass(frozen=True, order=True)
class _Cause:
    rank: _Rank
    pod: str
    words: str
    outside: bool = False


def pod_trouble(pods: Iterable[Mapping[str, Any]]) -> Trouble:
    """Return the most telling reason why a pod is not ready, with the pod's name.

    Pods that are being deleted are not looked at.
    """
    causes = [cause for pod in pods if not pod["metadata"].get("deletionTimestamp") for cause in _causes(pod)]
    if not causes:
        return Trouble()
    first = min(causes)
    return Trouble(f"pod {first.pod}: {first.words}", first.outside, first.pod)


def last_endings(pods: Iterable[Mapping[str, Any]]) -> tuple[Ending, ...]:
    """Return how a container has ended last, for each pod that has one that ended and that is not being stopped on purpose.

    Also of pods that are ready again: a container that is started at once may be, before anybody asks.
    """
    living = (pod for pod in pods if not pod["metadata"].get("deletionTimestamp"))
    found = (max(_endings(pod), key=lambda ending: ending.at, default=None) for pod in living)
    return tuple(ending for ending in found if ending is not None)


def last_made(pods: Iterable[Mapping[str, Any]]) -> datetime | None:
    """Return when the last of these pods was made, by the API server's clock in whole seconds; None where there is none."""
    times = (_moment(pod["metadata"].get("creationTimestamp")) for pod in pods)
    return max((time for time in times if time is not None), default=None)


def replica_set_trouble(replica_set: Mapping[str, Any]) -> Trouble:
    """Return why a ReplicaSet cannot create pods (a quota, an admission policy); without words where it can."""
    for condition in (replica_set.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            words = _clip(condition.get("message") or condition["reason"])
            return Trouble(f"ReplicaSet {replica_set['metadata']['name']}: {words}", _says(words, _BEYOND))
    return Trouble()


def _says(text: str, parts: Iterable[str]) -> bool:
    lower = text.lower()
    return any(part in lower for part in parts)


def _causes(pod: Mapping[str, Any]) -> Iterator[_Cause]:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    found = [*_pod_causes(name, status, conditions), *_causes_of_containers(pod)]
    yield from found or _condition_causes(name, conditions)


def _pod_causes(pod: str, status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> Iterator[_Cause]:
    if status.get("phase") == "Failed":
        words = ": ".join(part for part in (status.get("reason"), status.get("message")) if part)
        yield _Cause(_Rank.FAILED, pod, _clip(words or "it failed"), status.get("reason") in _MOVED)
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        words = ": ".join(part for part in (scheduled.get("reason"), scheduled.get("message")) if part)
        yield _Cause(_Rank.UNSCHEDULABLE, pod, _clip(words or "it is not scheduled"), outside=True)


def _causes_of_containers(pod: Mapping[str, Any]) -> Iterator[_Cause]:
    name, status, sidecars = pod["metadata"]["name"], pod.get("status") or {}, _sidecars(pod)
    for container in status.get("initContainerStatuses") or ():
        if container["name"] in sidecars:
            yield from _container_causes(name, container, "sidecar")
        else:
            yield from _init_causes(name, container)
    for container in status.get("containerStatuses") or ():
        yield from _container_causes(name, container, "container")


def _sidecars(pod: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the init containers that run beside the others: Kubernetes' native sidecars."""
    init = (pod.get("spec") or {}).get("initContainers") or ()
    return frozenset(container["name"] for container in init if container.get("restartPolicy") == "Always")


def _condition_causes(pod: str, conditions: Mapping[str, Mapping[str, Any]]) -> Iterator[_Cause]:
    """What a pod's own conditions say where all its containers are well: a readiness gate, or a node that is not heard of."""
    ready, containers = conditions.get("Ready"), conditions.get("ContainersReady")
    if ready is None or ready["status"] == "True":
        return
    # With all containers ready and no gate that says no, it is the node's controller that has written so.
    of_node = containers is not None and containers["status"] == "True" and ready.get("reason") != "ReadinessGatesNotReady"
    words = ready.get("message") or ready.get("reason") or ("its node does not report" if of_node else "it does not say why")
    yield _Cause(_Rank.CONDITION, pod, _clip(f"it is not ready: {words}"), of_node)


def _init_causes(pod: str, container: Mapping[str, Any]) -> Iterator[_Cause]:
    state, who = container.get("state") or {}, f"init container {container['name']}"
    ended = state.get("terminated")
    if "running" in state:
        again = _again(container)
        yield _Cause(_Rank.NOT_READY, pod, f"{who} is still running, and the other containers wait for it{again}")
    elif state.get("waiting") is not None or (ended is not None and ended.get("exitCode")):
        yield from _stopped_causes(pod, container, who)


def _container_causes(pod: str, container: Mapping[str, Any], what: str) -> Iterator[_Cause]:
    state, who = container.get("state") or {}, f"{what} {container['name']}"
    if "running" in state:
        if not container.get("ready"):
            probe = "startup" if container.get("started") is False else "readiness"
            yield _Cause(_Rank.NOT_READY, pod, f"{who} runs, but its {probe} probe does not pass{_again(container)}")
    else:
        yield from _stopped_causes(pod, container, who)


def _stopped_causes(pod: str, container: Mapping[str, Any], who: str) -> Iterator[_Cause]:
    state = container.get("state") or {}
    waiting, ended = state.get("waiting"), state.get("terminated")
    if waiting is not None:
        reason, message = waiting.get("reason") or "Waiting", waiting.get("message") or ""
        if reason == "CrashLoopBackOff":
            last = (container.get("lastState") or {}).get("terminated")
            yield _Cause(_Rank.CRASH, pod, f"{who} keeps exiting ({reason}){_ending(last)}")
        elif reason in _BEING_MADE:
            yield _Cause(_Rank.BEING_MADE, pod, f"{who} is being created ({reason})", outside=True)
        else:
            words = _clip(f"{who}: {reason}" + (f": {message}" if message else ""))
            yield _Cause(_Rank.REFUSED, pod, words, reason in _PULLS and _says(message, _NETWORK))
    elif ended is not None:
        yield _Cause(_Rank.CRASH, pod, f"{who} ended{_ending(ended)}")


def _again(container: Mapping[str, Any]) -> str:
    restarts = container.get("restartCount") or 0
    last = (container.get("lastState") or {}).get("terminated")
    return f", restarted {restarts} times{_ending(last)}" if restarts else ""


def _endings(pod: Mapping[str, Any]) -> Iterator[Ending]:
    status, sidecars = pod.get("status") or {}, _sidecars(pod)
    kinds = (("sidecar", status.get("initContainerStatuses")), ("container", status.get("containerStatuses")))
    for what, containers in kinds:
        for container in containers or ():
            if what == "sidecar" and container["name"] not in sidecars:
                continue
            last = (container.get("state") or {}).get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
            if (at := _moment(last.get("finishedAt"))) is not None:
                yield Ending(f"pod {pod['metadata']['name']}: {what} {container['name']} ended{_ending(last)}", at)


def _moment(text: object) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None


def _ending(ended: Mapping[str, Any] | None) -> str:
    if not ended:
        return ""
    reason = f" ({ended['reason']})" if ended.get("reason") else ""
    said = plain(masked(str(ended["message"])[-4 * LAST_WORDS :]), 4 * LAST_WORDS)[-LAST_WORDS:] if ended.get("message") else ""
    return f", last exit code {ended.get('exitCode', 0)}{reason}" + (f': "{said}"' if said else "")


def _clip(text: str) -> str:
    return plain(text, MESSAGE_LIMIT)
