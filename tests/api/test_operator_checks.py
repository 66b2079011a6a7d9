"""Checks by Jobs, on a real API server with the controller of Jobs; the tests play the kubelet, and say how a pod ended."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.audit import asked_by
from api.cluster_access import kubectl, needs_api
from api.operator_access import NAME, PATIENCE, SYSTEM, Scene, install, scene_in
from tidegate.cluster.resources import CRON_JOBS, JOBS, PODS, RELEASES

pytestmark = [*needs_api, pytest.mark.xdist_group("operator-checks")]

Json = dict[str, Any]
OPERATOR = f"system:serviceaccount:{SYSTEM}:tidegate"
STEPS = [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "1s"}, {"weight": 100}]
SMOKE = {"name": "smoke", "at": "50%", "cronJob": "checkout-smoke", "onFailure": "Reject"}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def cron_job(scene: Scene, **annotations: str) -> None:
    """Create a CronJob that is suspended, whose pods fit on no node: how they end, the test says."""
    pod = {
        "containers": [{"name": "smoke", "image": "smoke:1", "env": [{"name": "URL", "value": "http://checkout"}]}],
        "restartPolicy": "Never",
        "nodeSelector": {"type": "nowhere"},
    }
    template = {"metadata": {"labels": {"team": "shop"}}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": template}
    await scene.create(CRON_JOBS, "checkout-smoke", metadata={"annotations": annotations}, spec=spec)


async def jobs(scene: Scene) -> list[Json]:
    """Return the Jobs of the namespace, oldest first."""
    found = (await scene.admin.list(JOBS.path(scene.namespace))).items
    return sorted(found, key=lambda job: job["metadata"]["creationTimestamp"])


async def job_of(scene: Scene, version: str) -> Json:
    """Wait for the Job that checks a version, and for its pod; return the Job."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for job in await jobs(scene):
            env = {one["name"]: one.get("value", "") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
            if env["TIDEGATE_VERSION"] == version and await pods(scene, job):
                return job
        assert time.monotonic() < deadline, await scene.status()
        await asyncio.sleep(0.1)


async def pods(scene: Scene, job: Json) -> list[Json]:
    """Return the pods of a Job."""
    selector = f"batch.kubernetes.io/job-name={job['metadata']['name']}"
    return (await scene.admin.list(PODS.path(scene.namespace), label_selector=selector)).items


async def ends(scene: Scene, job: Json, phase: str) -> None:
    """End the pod of a Job, as the kubelet tells of it."""
    (pod,) = await pods(scene, job)
    await scene.admin.merge_patch(
        PODS.path(scene.namespace, pod["metadata"]["name"], "status"), {"status": {"phase": phase}}, manager="kubelet"
    )


async def begun(scene: Scene, *checks: Json) -> None:
    """Have v1 serve under a policy with checks, and v2 come."""
    await scene.policy(steps=STEPS, bake="0s", drain="0s", checks=list(checks))
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")


async def test_version_goes_on_once_its_job_is_complete(scene: Scene) -> None:
    """Given a CronJob that first does not agree, nothing is made; then one Job, and no second one by the next operator."""
    await cron_job(scene)
    await begun(scene, SMOKE)
    waits = await scene.until(lambda status: "does not let Release" in status.get("message", ""))
    assert [] == await jobs(scene)

    command = ("annotate", "cronjob", "checkout-smoke", f"tidegate.dev/run-for={NAME}", "--namespace", scene.namespace)
    await asyncio.to_thread(kubectl, *command)
    job = await job_of(scene, "v2")
    await scene.operator.end(signal.SIGKILL)
    await scene.start()
    noted = await scene.until(lambda status: [one.get("uid") for one in status.get("checks") or ()] == [job["metadata"]["uid"]])
    await ends(scene, job, "Succeeded")
    after = await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")

    assert (20, ["Check"]) == (waits["weight"], [one["barrier"] for one in waits["waitingFor"]])
    assert job["metadata"]["name"] == noted["checks"][0]["job"]
    assert ("Promoted", []) == (after["lastRollout"]["outcome"], after.get("checks", []))
    assert [job["metadata"]["uid"]] == [one["metadata"]["uid"] for one in await jobs(scene)]
    release = await scene.admin.get(RELEASES.path(scene.namespace, NAME))
    (owner,) = job["metadata"]["ownerReferences"]
    assert (release["metadata"]["uid"], True) == (owner["uid"], owner["controller"])
    assert {"team": "shop", "tidegate.dev/release": NAME, "tidegate.dev/check": "smoke"} == job["metadata"]["labels"]
    assert "manual" == job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"]
    assert (600, 3600) == (job["spec"]["activeDeadlineSeconds"], job["spec"]["ttlSecondsAfterFinished"])
    await scene.events("CheckPassed")


async def test_version_that_fails_is_rejected_and_one_that_is_rolled_back_has_its_job_stopped(scene: Scene) -> None:
    """The pod of v2 fails, so v2 has no traffic any more; v3 is rolled back by request while its Job runs, which is deleted."""
    await cron_job(scene, **{"tidegate.dev/run-for": "*"})
    await begun(scene, SMOKE)
    await ends(scene, await job_of(scene, "v2"), "Failed")
    failed = await scene.until(lambda status: status.get("phase") == "RolledBack")
    await scene.set_image("checkout:v3")
    job = await job_of(scene, "v3")
    change = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), change, manager="person")
    await scene.until(lambda status: status.get("phase") == "RolledBack" and not status.get("checks"))

    assert ("CheckFailed", "v2") == (failed["lastRollout"]["cause"], failed["lastRollout"]["version"])
    assert "failed (BackoffLimitExceeded)" in failed["lastRollout"]["message"]
    assert job["metadata"]["uid"] not in [one["metadata"]["uid"] for one in await jobs(scene)]
    asked = {(one.verb, one.resource) for one in asked_by(OPERATOR) if one.namespace == scene.namespace and one.group == "batch"}
    assert {("get", "cronjobs"), ("get", "jobs"), ("create", "jobs"), ("delete", "jobs")} == asked


async def test_release_that_is_deleted_takes_its_jobs_with_it(scene: Scene) -> None:
    """The Job belongs to the Release, so it goes with it, whatever the operator does."""
    await cron_job(scene, **{"tidegate.dev/run-for": NAME})
    await begun(scene, SMOKE | {"at": "Start"})
    await job_of(scene, "v2")
    await scene.admin.delete(RELEASES.path(scene.namespace, NAME))

    deadline = time.monotonic() + PATIENCE
    while await jobs(scene):
        assert time.monotonic() < deadline, await jobs(scene)
        await asyncio.sleep(0.2)
