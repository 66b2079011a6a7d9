"""Jobs of CronJobs: made as `kubectl create job --from` makes them, with a word for their containers, and read by their conditions.

Of how a Job ended only the conditions Complete and Failed tell: FailureTarget comes while its pods still run.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.api.base import plain
from tidegate.api.migrated import LONGEST_OUTPUT, LONGEST_PROGRESS
from tidegate.api.names import ANNOTATION_PROGRESS, ANNOTATION_RUN_FOR, API_VERSION, LABEL_CHECK, LABEL_MIGRATION, LABEL_RELEASE
from tidegate.cluster.resources import JOBS, RELEASES
from tidegate.governance.runs import Run, RunState, RunView
from tidegate.runtime.store import Object

INSTANTIATE = "cronjob.kubernetes.io/instantiate"
"""Annotation by which kubectl says that it has made a Job of a CronJob."""
KEPT_SECONDS = 3600
"""So long a Job that has ended is kept where its CronJob does not say."""
LEAST_SECONDS = 300
"""So long it is kept at least: what it came to has to be seen, by the next operator if need be."""
LONGEST_REASON = 64
ANY = "*"
"""What a CronJob says that may be run for all Releases of its namespace."""


def may_run(cron_job: Object, release: str) -> bool:
    """Whether whoever writes a CronJob lets Tidegate run it for a Release."""
    said = ((cron_job.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION_RUN_FOR)
    named = {one.strip() for one in said.split(",")} if isinstance(said, str) else set()
    return bool(named & {ANY, release})


def job_of(cron_job: Object, run: Run) -> Object:
    """Return the Job of a CronJob that makes a check, or does a part of a migration.

    Args:
        cron_job: as it is stored.
        run: what it is for.
    """
    template = copy.deepcopy(cron_job["spec"]["jobTemplate"])
    metadata, spec = template.get("metadata") or {}, template["spec"]
    limit = spec.get("activeDeadlineSeconds")
    spec["activeDeadlineSeconds"] = run.seconds if limit is None else min(limit, run.seconds)
    kept = spec.get("ttlSecondsAfterFinished")
    spec["ttlSecondsAfterFinished"] = KEPT_SECONDS if kept is None else max(kept, LEAST_SECONDS)
    pod = spec["template"]["spec"]
    for container in (*(pod.get("initContainers") or ()), *pod["containers"]):
        container["env"] = _told(container.get("env") or (), run.env)
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": run.job,
            "labels": {**(metadata.get("labels") or {}), LABEL_RELEASE: run.release, _label(run): run.check},
            "annotations": {INSTANTIATE: "manual", **(metadata.get("annotations") or {})},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": RELEASES.kind,
                    "name": run.release,
                    "uid": run.release_uid,
                    "controller": True,
                }
            ],
        },
        "spec": spec,
    }


def is_ours(job: Object, run: Run) -> bool:
    """Whether a Job of the name that ours has is ours: of this very Release, for this very thing."""
    metadata = job["metadata"]
    owned = any(owner.get("uid") == run.release_uid for owner in metadata.get("ownerReferences") or ())
    return owned and (metadata.get("labels") or {}).get(_label(run)) == run.check


def view_of(job: Object) -> RunView:
    """Return how a Job stands."""
    uid, progress = str(job["metadata"]["uid"]), _progress(job)
    true = {one.get("type"): one for one in (job.get("status") or {}).get("conditions") or () if one.get("status") == "True"}
    if "Complete" in true:
        return RunView(RunState.COMPLETE, uid)
    if (failed := true.get("Failed")) is not None:
        return RunView(RunState.FAILED, uid, f"failed ({plain(str(failed.get('reason') or 'no reason given'), LONGEST_REASON)})")
    return RunView(RunState.RUNS, uid, progress=progress)


def output_of(pods: Iterable[Object], uid: str) -> str:
    """Return the last line of what the pod of a Job has left at its end: the one that ended last, of several.

    Args:
        pods: that may be of it.
        uid: of the Job; no other pod counts.
    """
    found: list[tuple[str, str]] = []
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        if not any(owner.get("uid") == uid and owner.get("controller") for owner in owners):
            continue
        for one in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (one.get("state") or {}).get("terminated") or {}
            lines = str(ended.get("message") or "").split("\n")
            if last := next((line for line in reversed(lines) if line.strip()), ""):
                found.append((str(ended.get("finishedAt") or ""), last))
    return plain(max(found)[1], LONGEST_OUTPUT) if found else ""


def _progress(job: Object) -> str:
    """Return how far a Job is: as its annotation has it, or by its completions; empty where neither tells."""
    noted = (job["metadata"].get("annotations") or {}).get(ANNOTATION_PROGRESS)
    if isinstance(noted, str) and noted.strip():
        return plain(noted, LONGEST_PROGRESS)
    wanted, done = (job.get("spec") or {}).get("completions") or 1, (job.get("status") or {}).get("succeeded") or 0
    return f"{done} of {wanted} completions" if wanted > 1 else ""


def _label(run: Run) -> str:
    return LABEL_MIGRATION if run.migrates else LABEL_CHECK


def _told(env: Iterable[Mapping[str, Any]], values: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what a container is told: ours first, so that what its template has may refer to it.

    The kubelet puts other variables in the place of $(NAME), so what people call a version may name none.
    """
    ours: list[dict[str, Any]] = [{"name": name, "value": value.replace("$", "$$")} for name, value in values.items()]
    return [*ours, *(dict(one) for one in env if one.get("name") not in values)]
