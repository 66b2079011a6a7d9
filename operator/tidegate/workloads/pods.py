"""Why pods do not become ready, in their own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from tidegate.api.base import plain

MESSAGE_LIMIT = 240
"""Characters of a message that is passed on: a scheduler's can name every node."""

_BEING_MADE = frozenset({"ContainerCreating", "PodInitializing"})


class _Rank(IntEnum):
    """How telling a reason is; the lowest is told."""

    CRASH = 0
    REFUSED = 1
    FAILED = 2
    UNSCHEDULABLE = 3
    NOT_READY = 4
    BEING_MADE = 5


@dataclass(frozen=True, order=True)
class _Trouble:
    rank: _Rank
    pod: str
    words: str


def pod_trouble(pods: Iterable[Mapping[str, Any]]) -> str:
    """Return the most telling reason why a pod is not ready, with the pod's name; empty where every pod is ready.

    Pods that are being deleted are not looked at.
    """
    troubles = [trouble for pod in pods if not pod["metadata"].get("deletionTimestamp") for trouble in _troubles(pod)]
    if not troubles:
        return ""
    first = min(troubles)
    return f"pod {first.pod}: {first.words}"


def replica_set_trouble(replica_set: Mapping[str, Any]) -> str:
    """Return why a ReplicaSet cannot create pods (a quota, an admission policy); empty where it can."""
    for condition in (replica_set.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return f"ReplicaSet {replica_set['metadata']['name']}: {_clip(condition.get('message') or condition['reason'])}"
    return ""


def _troubles(pod: Mapping[str, Any]) -> Iterator[_Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    if status.get("phase") == "Failed":
        words = ": ".join(part for part in (status.get("reason"), status.get("message")) if part)
        yield _Trouble(_Rank.FAILED, name, _clip(words or "it failed"))
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            words = ": ".join(part for part in (condition.get("reason"), condition.get("message")) if part)
            yield _Trouble(_Rank.UNSCHEDULABLE, name, _clip(words or "it is not scheduled"))
    for container in status.get("initContainerStatuses") or ():
        yield from _container_troubles(name, container, "init container", of_init=True)
    for container in status.get("containerStatuses") or ():
        yield from _container_troubles(name, container, "container", of_init=False)


def _container_troubles(pod: str, container: Mapping[str, Any], what: str, *, of_init: bool) -> Iterator[_Trouble]:
    state, who = container.get("state") or {}, f"{what} {container['name']}"
    last = (container.get("lastState") or {}).get("terminated") or state.get("terminated")
    waiting, ended = state.get("waiting"), state.get("terminated")
    if waiting is not None:
        reason = waiting.get("reason") or "Waiting"
        if reason == "CrashLoopBackOff":
            yield _Trouble(_Rank.CRASH, pod, f"{who} keeps ending ({reason}){_ending(last)}")
        elif reason in _BEING_MADE:
            yield _Trouble(_Rank.BEING_MADE, pod, f"{who} is being made ({reason})")
        else:
            message = waiting.get("message")
            yield _Trouble(_Rank.REFUSED, pod, _clip(f"{who}: {reason}" + (f": {message}" if message else "")))
    elif ended is not None and (ended.get("exitCode") or not of_init):
        yield _Trouble(_Rank.CRASH, pod, f"{who} ended{_ending(ended)}")
    elif "running" in state and not of_init and not container.get("ready"):
        restarts = container.get("restartCount") or 0
        again = f", restarted {restarts} times" if restarts else ""
        yield _Trouble(_Rank.NOT_READY, pod, f"{who} runs, but its readiness probe does not pass{again}")


def _ending(ended: Mapping[str, Any] | None) -> str:
    if not ended:
        return ""
    reason = f" ({ended['reason']})" if ended.get("reason") else ""
    return f", last exit code {ended.get('exitCode', 0)}{reason}"


def _clip(text: str) -> str:
    return plain(text, MESSAGE_LIMIT)
