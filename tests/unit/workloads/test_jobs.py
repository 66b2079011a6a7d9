"""Jobs of CronJobs: as kubectl makes them, told what they check, bounded in time, and read by two conditions alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from tidegate.governance.runs import Run, RunState
from tidegate.workloads.jobs import KEPT_SECONDS, LEAST_SECONDS, is_ours, job_of, may_run, view_of

Json = dict[str, Any]
RUN = Run(
    release="checkout",
    release_uid="uid-1",
    check="smoke",
    cron_job="checkout-smoke",
    job="checkout-smoke-0a1b2c3d4e",
    seconds=600,
    env={"TIDEGATE_VERSION": "v2", "TIDEGATE_PHASE": "Start"},
)


def cron_job(run_for: str | None = "checkout", **spec: Any) -> Json:
    """Return a CronJob as it is stored."""
    pod = {
        "initContainers": [{"name": "wait", "image": "busybox"}],
        "containers": [{"name": "smoke", "image": "smoke:1", "env": [{"name": "URL", "value": "http://$(TIDEGATE_VERSION)"}]}],
        "restartPolicy": "Never",
        "serviceAccountName": "smoke",
    }
    return {
        "metadata": {"name": "checkout-smoke", "annotations": {} if run_for is None else {"tidegate.dev/run-for": run_for}},
        "spec": {
            "schedule": "0 0 31 2 *",
            "suspend": True,
            "jobTemplate": {
                "metadata": {"labels": {"team": "shop"}, "annotations": {"note": "by hand"}},
                "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": "smoke"}}, "spec": pod}} | spec,
            },
        },
    }


def test_job_is_as_kubectl_makes_it():
    """Labels and annotations of the template, kubectl's mark, and its spec; it belongs to the Release, and holds nothing up."""
    made = job_of(cron_job(), RUN)

    assert ("batch/v1", "Job") == (made["apiVersion"], made["kind"])
    assert {"team": "shop", "tidegate.dev/release": "checkout", "tidegate.dev/check": "smoke"} == made["metadata"]["labels"]
    assert {"cronjob.kubernetes.io/instantiate": "manual", "note": "by hand"} == made["metadata"]["annotations"]
    (owner,) = made["metadata"]["ownerReferences"]
    assert ("Release", "checkout", "uid-1", True) == (owner["kind"], owner["name"], owner["uid"], owner["controller"])
    assert "blockOwnerDeletion" not in owner
    spec = made["spec"]
    assert (0, "smoke", {"app": "smoke"}) == (
        spec["backoffLimit"],
        spec["template"]["spec"]["serviceAccountName"],
        spec["template"]["metadata"]["labels"],
    )


def test_template_is_left_as_it_is():
    """What is in a cache is nobody's to change."""
    stored = cron_job()
    before = copy.deepcopy(stored)
    job_of(stored, RUN)

    assert before == stored


def test_containers_are_told_first_of_all():
    """So that what the template has may refer to it; one of the same name there does not count; init containers are told, too."""
    stored = cron_job()
    pod = stored["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["containers"][0]["env"].append({"name": "TIDEGATE_VERSION", "value": "v0"})

    made = job_of(stored, RUN)["spec"]["template"]["spec"]

    assert ["TIDEGATE_VERSION", "TIDEGATE_PHASE", "URL"] == [one["name"] for one in made["containers"][0]["env"]]
    assert "v2" == made["containers"][0]["env"][0]["value"]
    assert ["TIDEGATE_VERSION", "TIDEGATE_PHASE"] == [one["name"] for one in made["initContainers"][0]["env"]]


def test_names_of_versions_are_text():
    """The kubelet would put another variable, as one of a Secret, in the place of $(NAME)."""
    made = job_of(cron_job(), replace(RUN, env={"TIDEGATE_VERSION": "v2-$(PASSWORD)"}))

    assert {"name": "TIDEGATE_VERSION", "value": "v2-$$(PASSWORD)"} == made["spec"]["template"]["spec"]["containers"][0]["env"][0]


@pytest.mark.parametrize(("limit", "expected"), [(None, 600), (60, 60), (6000, 600)])
def test_job_ends_in_time(limit: int | None, expected: int):
    """The shorter of both counts."""
    more = {} if limit is None else {"activeDeadlineSeconds": limit}
    assert expected == job_of(cron_job(**more), RUN)["spec"]["activeDeadlineSeconds"]


@pytest.mark.parametrize(("kept", "expected"), [(None, KEPT_SECONDS), (0, LEAST_SECONDS), (86400, 86400)])
def test_job_is_kept_for_a_while_once_it_has_ended(kept: int | None, expected: int):
    """One that went at once would leave nobody who knows what it came to."""
    more = {} if kept is None else {"ttlSecondsAfterFinished": kept}
    assert expected == job_of(cron_job(**more), RUN)["spec"]["ttlSecondsAfterFinished"]


@pytest.mark.parametrize(
    ("run_for", "may"),
    [
        (None, False),
        ("", False),
        ("checkout", True),
        ("payments, checkout", True),
        ("*", True),
        ("check", False),
        ("payments", False),
    ],
)
def test_cronjob_says_for_which_releases_it_may_be_run(run_for: str | None, may: bool):
    """By name, with commas between, or for all; without that for none."""
    assert may is may_run(cron_job(run_for), "checkout")


def of(*conditions: tuple[str, str], **status: Any) -> Json:
    """Return a Job with conditions."""
    found = [{"type": kind, "status": value, "reason": "BackoffLimitExceeded"} for kind, value in conditions]
    metadata = {"name": RUN.job, "uid": "uid-2", "labels": {"tidegate.dev/check": "smoke"}, "ownerReferences": [{"uid": "uid-1"}]}
    return {"metadata": metadata, "status": {"conditions": found} | status}


@pytest.mark.parametrize(
    ("job", "state"),
    [
        ({"metadata": {"uid": "uid-2"}}, RunState.RUNS),
        (of(("Suspended", "True")), RunState.RUNS),
        (of(("FailureTarget", "True"), failed=1), RunState.RUNS),
        (of(("SuccessCriteriaMet", "True"), succeeded=1), RunState.RUNS),
        (of(("Complete", "False"), ("Failed", "False")), RunState.RUNS),
        (of(("FailureTarget", "True"), ("Failed", "True")), RunState.FAILED),
        (of(("SuccessCriteriaMet", "True"), ("Complete", "True")), RunState.COMPLETE),
    ],
)
def test_two_conditions_tell_how_a_job_ended(job: Json, state: RunState):
    """What comes before them comes while its pods may still run."""
    assert state is view_of(job).state


def test_reason_is_told_in_one_line():
    """And no more of it: what a pod says stays with whoever may read its logs."""
    job = of(("Failed", "True"))
    job["status"]["conditions"][0] |= {"reason": "Pod\x1bFailure\n" + "x" * 200, "message": "password=1"}

    words = view_of(job).words
    assert words.startswith("failed (Pod\ufffdFailure x")
    assert len(words) < 80


def test_job_of_another_is_not_ours():
    """Of another life of the Release, of another check, of nobody."""
    assert is_ours(of(), RUN)
    for other in (replace(RUN, release_uid="uid-0"), replace(RUN, check="load")):
        assert not is_ours(of(), other)
    assert not is_ours({"metadata": {"uid": "x"}}, RUN)


def test_job_of_a_migration_has_a_label_of_its_own():
    """A check of the same name is another Job."""
    run = replace(RUN, check="Expand", migrates=True)
    made = job_of(cron_job(), run)

    assert "Expand" == made["metadata"]["labels"]["tidegate.dev/migration"]
    assert "tidegate.dev/check" not in made["metadata"]["labels"]
    assert (True, False) == (is_ours(made, run), is_ours(made, replace(run, migrates=False)))


@pytest.mark.parametrize(
    ("annotations", "spec", "status", "told"),
    [
        ({}, {}, {}, ""),
        ({"tidegate.dev/progress": " 40%\n"}, {"completions": 8}, {"succeeded": 3}, "40%"),
        ({"tidegate.dev/progress": "x" * 100}, {}, {}, "x" * 63 + "\u2026"),
        ({}, {"completions": 8}, {"succeeded": 3}, "3 of 8 completions"),
        ({}, {"completions": 8}, {}, "0 of 8 completions"),
        ({}, {"completions": 1}, {}, ""),
    ],
)
def test_progress_is_what_somebody_has_noted(annotations: Json, spec: Json, status: Json, told: str):
    """Or how many of its completions have succeeded."""
    job = {"metadata": {"uid": "uid-2", "annotations": annotations}, "spec": spec, "status": status}

    assert told == view_of(job).progress
