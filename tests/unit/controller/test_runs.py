"""Jobs of checks are made once, of CronJobs that let Tidegate run them, after the status; they are looked at, and stopped."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tidegate.api.base import format_time
from tidegate.cluster.errors import Unavailable
from tidegate.controller.observe.runs import GRACE, Runs, asked, seen
from tidegate.governance.runs import Run, RunState, RunView
from tidegate.workloads.jobs import job_of
from unit.controller.api_server import ApiServer
from unit.controller.stage import KEY, Stage

Json = dict[str, Any]
CRON_JOB = "/apis/batch/v1/namespaces/shop/cronjobs/checkout-smoke"
JOBS = "/apis/batch/v1/namespaces/shop/jobs"
RUN = Run(
    release="checkout",
    release_uid="uid-1",
    check="smoke",
    cron_job="checkout-smoke",
    job="checkout-smoke-0a1b2c3d4e",
    seconds=600,
    env={"TIDEGATE_VERSION": "v2"},
)
DELETED = "was deleted before it had ended"


def cron_job(api: ApiServer, run_for: str | None = "checkout") -> Json:
    """Put a CronJob on stage."""
    annotations = {} if run_for is None else {"tidegate.dev/run-for": run_for}
    pod = {"containers": [{"name": "smoke", "image": "smoke:1"}], "restartPolicy": "Never"}
    metadata = {"namespace": "shop", "name": "checkout-smoke", "annotations": annotations}
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    return api.put({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec})


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(stage.cluster, clock=stage.clock)


async def look(runs: Runs, run: Run = RUN) -> RunView:
    """Look at a Job, and make it where it is not there."""
    return seen(await runs.read("shop", asked([run])))[run.job]


def there(stage: Stage, *, ago: float = 0, run: Run = RUN, **status: Any) -> Json:
    """Put a Job of ours on stage."""
    made = job_of(cron_job(stage.api), run)
    created = format_time(stage.clock.now() - timedelta(seconds=ago))
    metadata = {**made["metadata"], "namespace": "shop", "creationTimestamp": created}
    return stage.api.put({**made, "metadata": metadata, "status": status})


async def test_job_is_made_once(runs: Runs, stage: Stage, api: ApiServer) -> None:
    """The first look makes it, the next finds it; so does an operator after this one, which has not seen it."""
    cron_job(api)
    first = await look(runs)
    api.objects[f"{JOBS}/{RUN.job}"]["metadata"]["creationTimestamp"] = format_time(stage.clock.now())
    again = await look(runs)

    assert (RunState.RUNS, RunState.RUNS) == (first.state, again.state)
    assert first.uid == again.uid != ""
    (made,) = api.written(JOBS)
    assert "shop" not in made["metadata"].values()
    assert RUN.job == made["metadata"]["name"]


async def test_one_that_came_meanwhile_is_ours(runs: Runs, api: ApiServer) -> None:
    """As by an operator before this one, whose write came late: whose it is, the next look tells."""
    cron_job(api)
    api.fault("POST", JOBS, status=409, reason="AlreadyExists", times=1)

    assert RunView(RunState.RUNS) == await look(runs)


async def test_job_of_somebody_else_is_not_believed(runs: Runs, stage: Stage, api: ApiServer) -> None:
    """One of that name that belongs to another Release is neither counted nor deleted."""
    there(stage, run=replace(RUN, release_uid="uid-0"), conditions=[{"type": "Complete", "status": "True"}])

    view = await look(runs)
    assert (RunState.UNMADE, f"Job {RUN.job} is there, and is none of Tidegate's: delete it") == (view.state, view.words)
    await look(runs, replace(RUN, stop=True))
    assert [] == api.requests


@pytest.mark.parametrize("run_for", [None, "payments"])
async def test_cronjob_has_to_agree(runs: Runs, api: ApiServer, run_for: str | None) -> None:
    """Nobody gets a Job run by writing a policy or a Release: the CronJob names the Release, or nothing is made."""
    cron_job(api, run_for)

    view = await look(runs)
    words = (
        "CronJob checkout-smoke does not let Release checkout run it; if it may, annotate the CronJob with "
        "tidegate.dev/run-for=checkout"
    )
    assert (RunState.UNMADE, words) == (view.state, view.words)
    assert [] == api.requests


async def test_cronjob_that_is_missing_is_named(runs: Runs) -> None:
    """And asked for again the next time."""
    view = await look(runs)
    assert (RunState.UNMADE, "CronJob checkout-smoke was not found in shop") == (view.state, view.words)


@pytest.mark.parametrize("path", [CRON_JOB, f"{JOBS}/"])
async def test_refusal_is_told(runs: Runs, api: ApiServer, path: str) -> None:
    """What may not be read is no Job that has passed."""
    cron_job(api)
    api.fault("GET", path, status=403, reason="Forbidden")

    view = await look(runs)
    assert RunState.UNMADE is view.state
    assert "Forbidden" in view.words


async def test_job_that_was_seen_is_not_made_again(runs: Runs, stage: Stage, api: ApiServer) -> None:
    """Deleted by somebody, or its time over: nobody knows what it came to. Neither has another of its name passed."""
    cron_job(api)
    assert RunView(RunState.GONE, words=DELETED) == await look(runs, replace(RUN, uid="uid-7"))
    assert [] == api.requests

    there(stage)
    assert RunView(RunState.GONE, words=DELETED) == await look(runs, replace(RUN, uid="uid-7"))


async def test_job_that_nobody_ends_is_deleted(runs: Runs, stage: Stage, api: ApiServer) -> None:
    """Its controller stops it at its time; one that is suspended, or whose controller is away, is stopped from here."""
    there(stage)
    assert RunState.RUNS is (await look(runs)).state
    stage.clock.advance(600 + GRACE.total_seconds() - 1)
    assert RunState.RUNS is (await look(runs)).state
    stage.clock.advance(1)

    view = await look(runs)
    assert (RunState.GONE, True) == (view.state, view.words.startswith("did not end in time"))
    assert [("DELETE", f"{JOBS}/{RUN.job}")] == api.requests


@pytest.mark.parametrize("migrates", [False, True])
@pytest.mark.parametrize("step", [3600, -3600])
async def test_clock_that_is_stepped_stops_no_job(runs: Runs, stage: Stage, api: ApiServer, step: int, migrates: bool) -> None:
    """Nor does one that is an hour ahead of the API server's from the start: how long a Job has been seen to run counts alone."""
    run = replace(RUN, migrates=migrates)
    there(stage, ago=3600, run=run)
    assert RunState.RUNS is (await look(runs, run)).state
    stage.clock.step_wall(step)
    assert RunState.RUNS is (await look(runs, run)).state
    assert [] == api.requests


@pytest.mark.parametrize("ended", [False, True])
async def test_job_that_nobody_waits_for_is_stopped(runs: Runs, stage: Stage, api: ApiServer, ended: bool) -> None:
    """With its pods, and only that one; one that has ended is left to who reads its logs. One that is gone is none."""
    job = there(stage, conditions=[{"type": "Failed", "status": str(ended)}])
    stop = replace(RUN, stop=True)

    assert RunState.GONE is (await look(runs, stop)).state
    assert RunState.GONE is (await look(runs, replace(stop, job="never-made"))).state

    assert ended is (f"{JOBS}/{RUN.job}" in api.objects)
    if not ended:
        (options,) = api.bodies
        assert ("Background", {"uid": job["metadata"]["uid"]}) == (options["propagationPolicy"], options["preconditions"])


async def test_stop_that_is_refused_is_tried_again(runs: Runs, stage: Stage, api: ApiServer) -> None:
    """Until then it runs."""
    there(stage)
    api.fault("DELETE", JOBS, status=500, times=1)
    stop = replace(RUN, stop=True)

    assert RunState.RUNS is (await look(runs, stop)).state
    assert RunState.GONE is (await look(runs, stop)).state


async def read_jobs(stage: Stage) -> None:
    """Wait for what is read of Jobs, which the API server gives a time."""
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("Jobs of checks")))
    for path, obj in stage.api.objects.items():
        if path.startswith(JOBS):
            obj["metadata"]["creationTimestamp"] = format_time(stage.clock.now())


async def test_no_job_before_the_status(stage: Stage, api: ApiServer) -> None:
    """Given a status that could not be stored, no Job is made of what it wants; then the Job has the name that it says."""
    cron_job(api)
    stage.at_ten_percent(checks=[{"name": "smoke", "at": "100%", "cronJob": "checkout-smoke"}], gates=[])
    await stage.knows_what_is_around()
    stage.clock.advance(60)
    refused = api.fault("PATCH", "/releases/checkout/status", status=500)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await stage.reconciler.reconcile(KEY)
        await read_jobs(stage)
    assert [] == api.written(JOBS)

    api.faults.remove(refused)
    for _ in range(3):
        await stage.reconciler.reconcile(KEY)
        await read_jobs(stage)

    (made,) = api.written(JOBS)
    (check,) = stage.status["checks"]
    assert made["metadata"]["name"] == check["job"]
    env = {one["name"]: one["value"] for one in made["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert ("checkout", "v2", "v1", "100%") == tuple(
        env[f"TIDEGATE_{name}"] for name in ("RELEASE", "VERSION", "STABLE_VERSION", "PHASE")
    )


async def test_release_without_such_a_check_asks_nothing(stage: Stage, api: ApiServer) -> None:
    """No request is about Jobs or CronJobs."""
    paths: list[str] = []
    stage.cluster._sender.observe = lambda verb, resource, status, seconds: paths.append(resource)
    stage.at_ten_percent()
    await stage.passes()

    assert [] == [path for path in paths if "batch" in path]


MIGRATES = replace(RUN, check="Expand", migrates=True)


def pod_of(stage: Stage, uid: str, *messages: tuple[str, str], name: str = "pod") -> None:
    """Put the pod of a Job on stage, whose containers have ended with these messages at these times."""
    ended = [{"state": {"terminated": {"finishedAt": at, "message": message}}} for at, message in messages]
    labels = {"batch.kubernetes.io/controller-uid": uid}
    owners = [{"uid": uid, "controller": True, "kind": "Job", "name": RUN.job, "apiVersion": "batch/v1"}]
    metadata = {"namespace": "shop", "name": name, "labels": labels, "ownerReferences": owners}
    stage.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"containerStatuses": ended}})


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
async def test_what_the_pod_of_a_migration_has_left_is_read(runs: Runs, stage: Stage, kind: str) -> None:
    """The last line of what ended last; of a check nothing is read."""
    made = there(stage, run=MIGRATES, conditions=[{"type": kind, "status": "True"}])
    pod_of(stage, made["metadata"]["uid"], ("2026-01-01T00:00:01Z", "first try"), name="a")
    pod_of(stage, made["metadata"]["uid"], ("2026-01-01T00:00:02Z", "said before\ns3://backups/1 \u200b\n\n"), name="b")
    pod_of(stage, "of-another-job", ("2026-01-01T00:00:03Z", "not ours"), name="c")

    view = await look(runs, MIGRATES)

    assert "s3://backups/1 \ufffd" == view.output


async def test_pods_that_may_not_be_read_keep_nobody_waiting(runs: Runs, stage: Stage, api: ApiServer) -> None:
    """The result counts without words."""
    there(stage, run=MIGRATES, conditions=[{"type": "Complete", "status": "True"}])
    api.fault("GET", "/api/v1/namespaces/shop/pods", status=403, reason="Forbidden", times=1)

    assert (RunState.COMPLETE, "") == ((view := await look(runs, MIGRATES)).state, view.output)


async def test_job_of_a_migration_is_gone_once_its_pods_are(runs: Runs, stage: Stage, api: ApiServer) -> None:
    """It is deleted in the foreground, once, and until it is gone it runs; one that has ended says what it came to."""
    made = there(stage, run=MIGRATES)
    stop = replace(MIGRATES, stop=True, uid=made["metadata"]["uid"])
    assert RunState.RUNS is (await look(runs, stop)).state
    assert [("DELETE", f"{JOBS}/{RUN.job}")] == [one for one in api.requests if one[0] == "DELETE"]
    assert "Foreground" == api.written(f"{JOBS}/{RUN.job}")[-1]["propagationPolicy"]
    there(stage, run=MIGRATES, conditions=[{"type": "Complete", "status": "True"}])
    assert RunState.COMPLETE is (await look(runs, stop)).state
    api.objects.pop(f"{JOBS}/{RUN.job}")
    assert RunState.GONE is (await look(runs, stop)).state
