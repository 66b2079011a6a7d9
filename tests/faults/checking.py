"""Jobs that check a version or change its database: whoever dies when, each is made once, and no weight comes before its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from e2e.manifests import NAME, Json
from faults.place import Place
from faults.recorder import Instant
from tidegate.cluster.resources import CRON_JOBS, JOBS

CHECKS = [
    {"name": "smoke", "at": "Start", "cronJob": f"{NAME}-check"},
    {"name": "load", "at": "100%", "cronJob": f"{NAME}-check", "onFailure": "Reject"},
]
POINTS = {0: "smoke", 100: "load"}
"""The same, by the weight before which each is."""
HANGING = [
    CHECKS[0],
    {"name": "load", "at": "100%", "cronJob": f"{NAME}-hangs", "timeout": "3s", "retries": 1, "onFailure": "Reject"},
]
"""The second of them never ends by itself: its pods fit on no node."""
VERSION = "v2"
"""The version that is checked."""


def checked(begin: Callable[[Place], Awaitable[None]]) -> Callable[[Place], Awaitable[None]]:
    """Have a CronJob there whose pods run on fake nodes, where they end well by themselves, and one whose pods never run."""

    async def begins(place: Place) -> None:
        await place.apply(cron_job(place.namespace))
        hangs = cron_job(place.namespace)
        hangs["metadata"]["name"] = f"{NAME}-hangs"
        hangs["spec"]["jobTemplate"]["spec"]["template"]["spec"]["nodeSelector"] = {"type": "nowhere"}
        await place.apply(hangs)
        await begin(place)

    return begins


def cron_job(namespace: str) -> Json:
    """Return a CronJob that never runs by itself, and that lets the Release run it."""
    pod = {
        "containers": [{"name": "check", "image": "check:1"}],
        "restartPolicy": "Never",
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    metadata = {"name": f"{NAME}-check", "namespace": namespace, "annotations": {"tidegate.dev/run-for": NAME}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}}
    return {"apiVersion": CRON_JOBS.api_version, "kind": CRON_JOBS.kind, "metadata": metadata, "spec": spec}


def about(job: Json) -> tuple[str, str]:
    """Return the check or the phase of a migration, and the version, that a Job is about."""
    env = {one["name"]: one.get("value", "") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    labels = job["metadata"]["labels"]
    return labels.get("tidegate.dev/check") or labels["tidegate.dev/migration"], env["TIDEGATE_VERSION"]


def ended(place: Place) -> list[tuple[str, str, bool]]:
    """Return of each Job there is its check, its version, and whether it is complete."""
    return sorted((*about(job), is_complete(job)) for job in place.history.all(JOBS.kind))


def is_complete(job: Json) -> bool:
    """Whether a Job has ended well."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)


class Once:
    """The oracle's account of Jobs."""

    def __init__(self, attempts: int = 1) -> None:
        self._made: dict[tuple[str, str], list[str]] = {}
        self._attempts = attempts

    def made(self, now: Instant) -> Iterator[tuple[str, str]]:
        """Yield that a check of a version was made by more Jobs than it has attempts."""
        if now.seen.type != "DELETED":
            check, version = about(now.seen.object)
            made = self._made.setdefault((check, version), [])
            if now.seen.name not in made:
                made.append(now.seen.name)
            if len(made) > self._attempts:
                yield "one-job", f"check {check} of {version} was made by {', '.join(made)}, where {self._attempts} may be"

    def passed(self, now: Instant, check: str, version: str) -> bool:
        """Whether a check of a version is made by a Job that is complete."""
        return any(about(job) == (check, version) and is_complete(job) for job in now.all(JOBS.kind))
