"""Pod status as a kubelet writes it, computed from what the containers are doing. No input or output here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

ALWAYS = "Always"
NEVER = "Never"

PENDING = "Pending"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"


@dataclass(frozen=True)
class Waiting:
    """A container that is not running and will be tried (again)."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """A container whose process runs."""

    started_at: dt.datetime


@dataclass(frozen=True)
class Terminated:
    """A container whose process has ended."""

    exit_code: int
    reason: str
    started_at: dt.datetime
    finished_at: dt.datetime
    container_id: str
    message: str = ""


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerView:
    """One container as the status shows it."""

    name: str
    image: str
    state: State
    last_terminated: Terminated | None = None
    restart_count: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""
    sidecar: bool = False
    """An init container with restartPolicy Always: it runs beside the main containers."""


@dataclass(frozen=True)
class PodView:
    """One pod as the status shows it: what the agent knows beyond the pod's own specification."""

    init_containers: Sequence[ContainerView]
    containers: Sequence[ContainerView]
    host_ip: str
    pod_ip: str
    start_time: dt.datetime
    initialized: bool
    terminal: bool = False
    """True once no container of the pod will run again, whatever the restart policy says: the pod was stopped."""


def timestamp(moment: dt.datetime) -> str:
    """Format a time as the API does: UTC, whole seconds."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def should_restart(restart_policy: str, exit_code: int) -> bool:
    """Whether a container that ended with ``exit_code`` runs again under ``restart_policy``."""
    if restart_policy == ALWAYS:
        return True
    return restart_policy != NEVER and exit_code != 0


def phase(view: PodView, restart_policy: str) -> str:
    """Return the pod's phase by the kubelet's rules (getPhase in its kubelet_pods.go)."""
    if not view.initialized:
        return _phase_of_initialisation(view, restart_policy)
    states = [container.state for container in view.containers]
    if any(isinstance(state, Running) for state in states):
        return RUNNING
    never_ran = [c for c in view.containers if isinstance(c.state, Waiting) and c.last_terminated is None]
    if never_ran:
        return FAILED if view.terminal else PENDING
    ended = [state for state in states if isinstance(state, Terminated)]
    if not view.terminal and (restart_policy == ALWAYS or len(ended) < len(states)):
        return RUNNING
    if len(ended) == len(states) and all(state.exit_code == 0 for state in ended):
        return SUCCEEDED
    return FAILED if view.terminal or restart_policy == NEVER else RUNNING


def _phase_of_initialisation(view: PodView, restart_policy: str) -> str:
    failed = any(isinstance(c.state, Terminated) and c.state.exit_code != 0 for c in view.init_containers)
    return FAILED if view.terminal or (failed and restart_policy == NEVER) else PENDING


def pod_status(pod: Mapping[str, Any], view: PodView, previous: Mapping[str, Any], now: dt.datetime) -> Json:
    """Return the status to report for ``pod``.

    ``previous`` is the status reported last (or found on the pod); a condition whose status did not change keeps its
    lastTransitionTime. The result is equal to ``previous`` wherever nothing changed.
    """
    spec = pod.get("spec", {})
    restart_policy = spec.get("restartPolicy", ALWAYS)
    now_text = timestamp(now)
    generation = pod.get("metadata", {}).get("generation")
    pod_phase = phase(view, restart_policy)
    status: Json = {
        "phase": pod_phase,
        "conditions": _conditions(pod, view, pod_phase, previous, now_text),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": timestamp(view.start_time),
        "containerStatuses": [_container_status(container) for container in view.containers],
        "qosClass": pod.get("status", {}).get("qosClass", "BestEffort"),
    }
    if generation is not None:
        status["observedGeneration"] = generation
    if view.pod_ip:
        status["podIP"] = view.pod_ip
        status["podIPs"] = [{"ip": view.pod_ip}]
    if view.init_containers:
        status["initContainerStatuses"] = [_container_status(container) for container in view.init_containers]
    return status


def _conditions(pod: Mapping[str, Any], view: PodView, pod_phase: str, previous: Mapping[str, Any], now: str) -> list[Json]:
    containers_ready = _containers_ready(view, pod_phase)
    wanted = [
        ("PodReadyToStartContainers", (bool(view.pod_ip) and pod_phase not in (SUCCEEDED, FAILED), "", "")),
        ("Initialized", _initialized(view, pod_phase)),
        ("Ready", _ready(pod, containers_ready)),
        ("ContainersReady", containers_ready),
        ("PodScheduled", (True, "", "")),
    ]
    generation = pod.get("metadata", {}).get("generation")
    before = {condition["type"]: condition for condition in previous.get("conditions") or ()}
    conditions = []
    for kind, (holds, reason, message) in wanted:
        value = "True" if holds else "False"
        old = before.get(kind, {})
        condition: Json = {
            "type": kind,
            "status": value,
            "lastProbeTime": None,
            "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == value else now,
        }
        if generation is not None:
            condition["observedGeneration"] = generation
        # Explicit nulls: a strategic merge patch would otherwise keep the old reason on the condition.
        condition["reason"] = reason or None
        condition["message"] = message or None
        conditions.append(condition)
    return conditions


def _initialized(view: PodView, pod_phase: str) -> tuple[bool, str, str]:
    if view.initialized:
        return True, "PodCompleted" if pod_phase == SUCCEEDED else "", ""
    incomplete = _not(view.init_containers, lambda c: c.started if c.sidecar else c.ready)
    return False, "ContainersNotInitialized", f"containers with incomplete status: [{incomplete}]"


def _containers_ready(view: PodView, pod_phase: str) -> tuple[bool, str, str]:
    if pod_phase == SUCCEEDED:
        return False, "PodCompleted", ""
    if pod_phase == FAILED:
        return False, "PodFailed", ""
    sidecars = [container for container in view.init_containers if container.sidecar]
    unready = _not([*sidecars, *view.containers], lambda c: c.ready)
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{unready}]"
    return True, "", ""


def _ready(pod: Mapping[str, Any], containers_ready: tuple[bool, str, str]) -> tuple[bool, str, str]:
    if not containers_ready[0]:
        return containers_ready
    current = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions") or ()}
    for gate in pod.get("spec", {}).get("readinessGates") or ():
        kind = gate.get("conditionType", "")
        if kind not in current:
            message = f'corresponding condition of pod readiness gate "{kind}" does not exist.'
            return False, "ReadinessGatesNotReady", message
        if current[kind] != "True":
            message = f'the status of pod readiness gate "{kind}" is not "True", but {current[kind]}'
            return False, "ReadinessGatesNotReady", message
    return containers_ready


def _not(containers: Iterable[ContainerView], holds: Callable[[ContainerView], bool]) -> str:
    return " ".join(container.name for container in containers if not holds(container))


def recover_container(reported: Mapping[str, Any] | None, *, init: bool, sidecar: bool, now: dt.datetime) -> ContainerView | None:
    """Return what became of a container that an earlier run of the agent reported; None if it never ran.

    A container that was running ended with that agent.
    """
    if not reported:
        return None
    state = reported.get("state") or {}
    ended = state.get("terminated") or (reported.get("lastState") or {}).get("terminated")
    if "running" in state:
        ended = {
            "exitCode": 137,
            "reason": "Error",
            "startedAt": state["running"].get("startedAt"),
            "containerID": reported.get("containerID", ""),
            "message": "the container ended with the node agent that ran it",
        }
    if not ended:
        return None
    terminated = Terminated(
        exit_code=int(ended.get("exitCode", 0)),
        reason=ended.get("reason", "Error"),
        started_at=moment(ended.get("startedAt"), now),
        finished_at=moment(ended.get("finishedAt"), now),
        container_id=ended.get("containerID", ""),
        message=ended.get("message", ""),
    )
    return ContainerView(
        name=reported["name"],
        image=reported.get("image", ""),
        state=terminated,
        restart_count=int(reported.get("restartCount", 0)),
        container_id=terminated.container_id,
        ready=init and not sidecar and terminated.exit_code == 0,
        sidecar=sidecar,
    )


def moment(text: str | None, default: dt.datetime) -> dt.datetime:
    """Parse a time of the API; ``default`` where there is none."""
    return dt.datetime.fromisoformat(text) if text else default


def _container_status(view: ContainerView) -> Json:
    status: Json = {
        "name": view.name,
        "image": view.image,
        "imageID": "" if isinstance(view.state, Waiting) and not view.container_id else f"process://{view.image}",
        "ready": view.ready,
        "started": view.started,
        "restartCount": view.restart_count,
        "state": _state(view.state),
        "lastState": {} if view.last_terminated is None else _state(view.last_terminated),
    }
    if view.container_id:
        status["containerID"] = view.container_id
    return status


def _state(state: State) -> Json:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(started_at):
            return {"running": {"startedAt": timestamp(started_at)}}
        case Terminated():
            terminated: Json = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "startedAt": timestamp(state.started_at),
                "finishedAt": timestamp(state.finished_at),
                "containerID": state.container_id,
            }
            if state.message:
                terminated["message"] = state.message
            return {"terminated": terminated}
