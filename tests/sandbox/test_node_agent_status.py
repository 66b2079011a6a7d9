"""Pod status as a kubelet would write it."""

import datetime as dt
from typing import Any

import pytest

from tidegate_sandbox.node_agent import status

NOON = dt.datetime(2026, 1, 1, 12, 0, 0, tzinfo=dt.UTC)
LATER = NOON + dt.timedelta(minutes=5)

RUNNING = status.Running(NOON)
CREATING = status.Waiting("ContainerCreating")
BACK_OFF = status.Waiting("CrashLoopBackOff", "back-off 10s restarting")
GOOD = status.Terminated(0, "Completed", NOON, NOON, "process://1")
BAD = status.Terminated(3, "Error", NOON, NOON, "process://1", "boom")


def container(state: status.State = RUNNING, **facts: Any) -> status.ContainerView:
    return status.ContainerView(name=facts.pop("name", "app"), image="checkout:v1", state=state, **facts)


def view(*containers: status.ContainerView, init: tuple[status.ContainerView, ...] = (), **facts: Any) -> status.PodView:
    return status.PodView(
        init_containers=init,
        containers=containers,
        host_ip="10.244.0.1",
        pod_ip="10.244.0.7",
        start_time=NOON,
        initialized=facts.pop("initialized", True),
        **facts,
    )


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "checkout-abc", "generation": 2}, "spec": spec}


def conditions(found: status.Json) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in found["conditions"]}


def condition(found: status.Json, kind: str) -> status.Json:
    return next(entry for entry in found["conditions"] if entry["type"] == kind)


@pytest.mark.parametrize(
    ("policy", "states", "expected"),
    [
        ("Always", [RUNNING], "Running"),
        ("Always", [CREATING], "Pending"),
        ("Always", [RUNNING, CREATING], "Running"),
        ("Always", [GOOD], "Running"),
        ("Always", [BAD], "Running"),
        ("OnFailure", [GOOD], "Succeeded"),
        ("OnFailure", [GOOD, RUNNING], "Running"),
        ("OnFailure", [BAD], "Running"),
        ("Never", [GOOD], "Succeeded"),
        ("Never", [GOOD, BAD], "Failed"),
        ("Never", [RUNNING, BAD], "Running"),
    ],
)
def test_the_phase_follows_states_and_restart_policy(policy: str, states: list[status.State], expected: str):
    """A pod is over only when none of its containers will run again."""
    found = view(*(container(state) for state in states))

    assert expected == status.phase(found, policy)


def test_a_container_in_back_off_keeps_its_pod_running():
    """A crash loop is a Running pod with a waiting container, which is how people find it."""
    crashing = view(container(BACK_OFF, last_terminated=BAD, restart_count=1))

    assert status.phase(crashing, "Always") == "Running"


@pytest.mark.parametrize(("state", "expected"), [(GOOD, "Succeeded"), (BAD, "Failed"), (CREATING, "Failed")])
def test_a_stopped_pod_ends_in_a_final_phase(state: status.State, expected: str):
    """A deleted pod reports how its containers ended, whatever the restart policy."""
    assert expected == status.phase(view(container(state), terminal=True), "Always")


def test_initialisation_is_pending_and_a_failed_one_fails_the_pod():
    """While init containers run the pod is Pending; one that failed for good fails it under restartPolicy Never."""
    running = view(container(CREATING), init=(container(RUNNING),), initialized=False)
    failed = view(container(CREATING), init=(container(BAD),), initialized=False)

    assert status.phase(running, "Never") == "Pending"
    assert status.phase(failed, "OnFailure") == "Pending"
    assert status.phase(failed, "Never") == "Failed"


def test_a_ready_pod():
    """All conditions hold, the address is reported, and the generation that was acted on."""
    found = status.pod_status(pod(), view(container(ready=True, started=True, container_id="process://1")), {}, NOON)

    assert set(conditions(found).values()) == {"True"}
    assert found["phase"] == "Running"
    assert found["podIP"] == "10.244.0.7"
    assert found["podIPs"] == [{"ip": "10.244.0.7"}]
    assert found["observedGeneration"] == 2
    assert found["containerStatuses"][0] == {
        "name": "app",
        "image": "checkout:v1",
        "imageID": "process://checkout:v1",
        "containerID": "process://1",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T12:00:00Z"}},
        "lastState": {},
    }


def test_an_unready_container_is_named():
    """The Ready condition says which containers it waits for."""
    found = status.pod_status(pod(), view(container(ready=True), container(name="side")), {}, NOON)

    assert condition(found, "Ready")["status"] == "False"
    assert condition(found, "Ready")["reason"] == "ContainersNotReady"
    assert condition(found, "Ready")["message"] == "containers with unready status: [side]"


def test_a_condition_keeps_its_time_until_it_turns():
    """LastTransitionTime moves only when the status of the condition does; availability is counted from it."""
    unready = status.pod_status(pod(), view(container()), {}, NOON)
    ready = status.pod_status(pod(), view(container(ready=True)), unready, LATER)

    assert condition(ready, "PodScheduled")["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    assert condition(ready, "Ready")["lastTransitionTime"] == "2026-01-01T12:05:00Z"


def test_nothing_changed_means_an_equal_status():
    """The status of an unchanged pod is equal at any later time, so that nothing is written."""
    first = status.pod_status(pod(), view(container(ready=True)), {}, NOON)

    assert first == status.pod_status(pod(), view(container(ready=True)), first, LATER)


def test_a_reason_is_cleared_by_an_explicit_null():
    """A strategic merge patch would keep the reason of the former status if the key were absent."""
    found = status.pod_status(pod(), view(container(ready=True)), {}, NOON)

    assert condition(found, "Ready")["reason"] is None


def test_readiness_gates_hold_the_pod_back():
    """With ready containers the pod is not Ready until each of its readiness gates is True."""
    gated = pod(readinessGates=[{"conditionType": "example.com/go"}])
    up = view(container(ready=True))

    missing = status.pod_status(gated, up, {}, NOON)
    shut = status.pod_status({**gated, "status": {"conditions": [{"type": "example.com/go", "status": "False"}]}}, up, {}, NOON)
    open_ = status.pod_status({**gated, "status": {"conditions": [{"type": "example.com/go", "status": "True"}]}}, up, {}, NOON)

    assert [conditions(found)["Ready"] for found in (missing, shut, open_)] == ["False", "False", "True"]
    assert condition(missing, "Ready")["reason"] == "ReadinessGatesNotReady"


def test_a_crash_loop_as_it_is_shown():
    """Waiting with the reason, the last exit, and the number of restarts."""
    crashing = container(BACK_OFF, last_terminated=BAD, restart_count=4, container_id="process://1")

    shown = status.pod_status(pod(), view(crashing), {}, NOON)["containerStatuses"][0]

    assert shown["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}}
    assert shown["lastState"]["terminated"]["exitCode"] == 3
    assert shown["lastState"]["terminated"]["message"] == "boom"
    assert shown["restartCount"] == 4


def test_a_completed_pod():
    """A pod that succeeded is not Ready, and says why."""
    found = status.pod_status(pod(restartPolicy="Never"), view(container(GOOD)), {}, NOON)

    assert found["phase"] == "Succeeded"
    assert condition(found, "Ready")["reason"] == "PodCompleted"


def test_sidecars_count_for_readiness():
    """An init container that runs on is part of the pod's readiness."""
    side = container(name="proxy", sidecar=True, started=True)

    found = status.pod_status(pod(), view(container(ready=True), init=(side,)), {}, NOON)

    assert condition(found, "ContainersReady")["message"] == "containers with unready status: [proxy]"


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policies(policy: str, code: int, again: bool):
    """Whether a container runs again depends on its policy and exit code alone."""
    assert again is status.should_restart(policy, code)


def recover(reported: dict[str, Any] | None) -> status.ContainerView | None:
    return status.recover_container(reported, init=False, sidecar=False, now=LATER)


def test_a_container_that_ran_before_the_agent_restarted_counts_as_ended():
    """Its process ended with the former agent; the count of restarts goes on from where it was."""
    found = recover(
        {
            "name": "app",
            "image": "checkout:v1",
            "restartCount": 2,
            "containerID": "process://1",
            "state": {"running": {"startedAt": "2026-01-01T12:00:00Z"}},
        }
    )

    assert found is not None
    assert found.restart_count == 2
    assert isinstance(found.state, status.Terminated)
    assert (found.state.exit_code, found.state.started_at, found.state.finished_at) == (137, NOON, LATER)


def test_a_container_that_never_ran_is_started_afresh():
    """A waiting container without a past needs no recovery, one in back-off goes on from its last end."""
    waiting = {"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff"}}, "lastState": {}}
    crashed = {**waiting, "restartCount": 1, "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}

    found = recover(crashed)

    assert recover(None) is None
    assert recover(waiting) is None
    assert found is not None
    assert isinstance(found.state, status.Terminated)
    assert found.state.exit_code == 3
