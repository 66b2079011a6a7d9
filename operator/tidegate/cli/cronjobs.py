"""Whether the CronJobs that the checks of a policy name are there for a Release, and let it run them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tidegate.api.checks import Check
from tidegate.api.names import ANNOTATION_RUN_FOR
from tidegate.cli.manifests import Severity
from tidegate.cluster.errors import Forbidden, NotFound
from tidegate.cluster.resources import CRON_JOBS
from tidegate.workloads.jobs import may_run

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster


async def unrunnable(cluster: Cluster, namespace: str, release: str, checks: Iterable[Check]) -> list[tuple[Severity, str]]:
    """Return which checks of a policy could not be made for a Release, and why.

    Args:
        cluster: the API.
        namespace: of the Release.
        release: its name.
        checks: as the policy has them.

    Raises:
        ApiError: the API server does not answer.
    """
    found: list[tuple[Severity, str]] = []
    for check in checks:
        if check.cron_job is None:
            continue
        try:
            cron_job = await cluster.get(CRON_JOBS.path(namespace, check.cron_job))
        except NotFound:
            found.append((Severity.WARNING, f"check {check.name}: CronJob {check.cron_job} was not found in {namespace}"))
            continue
        except Forbidden:
            words = f"whether CronJob {check.cron_job} is there is not known: you may not get cronjobs in {namespace}"
            found.append((Severity.NOTE, f"check {check.name}: {words}"))
            continue
        if not may_run(cron_job, release):
            words = (
                f"check {check.name}: CronJob {check.cron_job} does not let Release {release} run it; annotate the CronJob with "
                f"{ANNOTATION_RUN_FOR}={release}"
            )
            found.append((Severity.WARNING, words))
    return found
