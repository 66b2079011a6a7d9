"""Whether the CronJobs that a policy names for checks and migrations are there for a Release, and let it run them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidegate.api.names import ANNOTATION_RUN_FOR
from tidegate.api.policy import RolloutPolicySpec
from tidegate.cli.manifests import Severity
from tidegate.cluster.errors import Forbidden, NotFound
from tidegate.cluster.resources import CRON_JOBS
from tidegate.engine.migrated import CALLED
from tidegate.engine.migrations import declared
from tidegate.workloads.jobs import may_run

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster


async def unrunnable(cluster: Cluster, namespace: str, release: str, spec: RolloutPolicySpec) -> list[tuple[Severity, str]]:
    """Return which checks, backups and migrations of a policy could not be made for a Release, and why.

    Args:
        cluster: the API.
        namespace: of the Release.
        release: its name.
        spec: the policy.

    Raises:
        ApiError: the API server does not answer.
    """
    found: list[tuple[Severity, str]] = []
    for what, name in _named(spec):
        try:
            cron_job = await cluster.get(CRON_JOBS.path(namespace, name))
        except NotFound:
            found.append((Severity.WARNING, f"{what}: CronJob {name} was not found in {namespace}"))
            continue
        except Forbidden:
            words = f"whether CronJob {name} is there is not known: you may not get cronjobs in {namespace}"
            found.append((Severity.NOTE, f"{what}: {words}"))
            continue
        if not may_run(cron_job, release):
            words = (
                f"{what}: CronJob {name} does not let Release {release} run it; annotate the CronJob with "
                f"{ANNOTATION_RUN_FOR}={release}"
            )
            found.append((Severity.WARNING, words))
    return found


def _named(spec: RolloutPolicySpec) -> Iterator[tuple[str, str]]:
    """Yield what a CronJob is for, and its name."""
    yield from ((f"check {check.name}", check.cron_job) for check in spec.checks if check.cron_job is not None)
    yield from ((CALLED[phase], job.cron_job) for phase, job in declared(spec).items())
