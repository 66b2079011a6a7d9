"""Makes the Jobs of checks and migrations, looks at them, and stops those that nobody wants: beside the passes, never in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

import orjson
import structlog

from tidegate.api.names import ANNOTATION_RUN_FOR, FIELD_MANAGER
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound
from tidegate.cluster.resources import CRON_JOBS, JOBS, PODS
from tidegate.governance.runs import Call, Run, RunState, RunView
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object
from tidegate.workloads.jobs import is_ours, job_of, may_run, output_of, view_of

log = structlog.get_logger(__name__)

GRACE = timedelta(seconds=60)
"""So long after its time a Job is stopped from here: its controller has done so, unless it is away or the Job is suspended."""
_MOST = 10_000
"""Jobs of which it is known since when they are seen: beyond that the time of those that were seen first begins anew."""


def asked(runs: Iterable[Run | Call]) -> str:
    """Return what is asked, as one text."""
    return orjson.dumps(list(runs), option=orjson.OPT_SORT_KEYS).decode()


def ids_of(wanted: str | None) -> tuple[str, ...]:
    """Return the ids of the requests that are asked for, as `asked` has it; none where nothing is."""
    return tuple(fields["id"] for fields in orjson.loads(wanted)) if wanted else ()


def seen(items: Iterable[Object]) -> Mapping[str, RunView]:
    """Return what was seen of Jobs, by their names, from what was read."""
    return {
        one["job"]: RunView(RunState(one["state"]), one["uid"], one["words"], one.get("output", ""), one.get("progress", ""))
        for one in items
    }


class Runs:
    """Makes and reads them.

    Args:
        cluster: the API.
        clock: the time.
    """

    def __init__(self, cluster: Cluster, *, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock
        self._since: dict[str, float] = {}

    async def read(self, namespace: str, wanted: str) -> list[Object]:
        """Make, look at or stop Jobs, and return how each stands then.

        Args:
            namespace: of the Release.
            wanted: as `asked` has it.
        """
        found: list[Object] = []
        for fields in orjson.loads(wanted):
            run = Run(**fields)
            try:
                view = await (self._stopped(namespace, run) if run.stop else self._run(namespace, run))
            except ApiError as error:
                view = RunView(RunState.RUNS if run.uid or run.stop else RunState.UNMADE, run.uid, str(error))
            told = {"state": view.state.value, "uid": view.uid, "words": view.words, "output": view.output}
            found.append({"metadata": {}, "job": run.job, **told, "progress": view.progress})
        return found

    async def _run(self, namespace: str, run: Run) -> RunView:
        """Return how a Job stands, which is made where it is not there.

        Raises:
            ApiError: that is not known, or it could not be made.
        """
        job = await self._get(namespace, run)
        if job is None:
            return RunView(RunState.GONE, words="was deleted before it had ended") if run.uid else await self._make(namespace, run)
        if not is_ours(job, run):
            return RunView(RunState.UNMADE, words=f"Job {run.job} is there, and is none of Tidegate's: delete it")
        view = view_of(job)
        if run.uid and view.uid != run.uid:
            return RunView(RunState.GONE, words="was deleted before it had ended")
        if self._is_late(view, run):
            if not job["metadata"].get("deletionTimestamp"):
                await self._delete(namespace, run, view.uid)
            if run.migrates:
                return replace(view, words="did not end in time, and is being stopped")
            return RunView(RunState.GONE, words="did not end in time, although it should have been stopped; it was deleted")
        return await self._heard(namespace, run, view)

    def _is_late(self, view: RunView, run: Run) -> bool:
        """Whether a Job runs for longer than it may, as far as this process has seen.

        What the API server says of its creation is by another clock than ours, which may be stepped besides: a Job that has just
        begun would be deleted by it, amid a migration. So a process that comes later waits longer.
        """
        if view.state is not RunState.RUNS:
            self._since.pop(view.uid, None)
            return False
        now = self._clock.monotonic()
        if view.uid not in self._since and len(self._since) >= _MOST:
            del self._since[next(iter(self._since))]
        return now - self._since.setdefault(view.uid, now) >= run.seconds + GRACE.total_seconds()

    async def _heard(self, namespace: str, run: Run, view: RunView) -> RunView:
        """Return how a Job stands, with what its pod has left at its end, where that is read.

        Raises:
            ApiError: its pods could not be read.
        """
        if not run.migrates or view.state not in (RunState.COMPLETE, RunState.FAILED):
            return view
        selector = f"batch.kubernetes.io/controller-uid={view.uid}"
        try:
            pods = await self._cluster.list(PODS.path(namespace), label_selector=selector, within=5.0)
        except Forbidden:
            return view
        return replace(view, output=output_of(pods.items, view.uid))

    async def _make(self, namespace: str, run: Run) -> RunView:
        """Make a Job.

        Raises:
            ApiError: it could not be made.
        """
        try:
            cron_job = await self._cluster.get(CRON_JOBS.path(namespace, run.cron_job))
        except NotFound:
            return RunView(RunState.UNMADE, words=f"CronJob {run.cron_job} was not found in {namespace}")
        if not may_run(cron_job, run.release):
            words = (
                f"CronJob {run.cron_job} does not let Release {run.release} run it; if it may, annotate the CronJob with "
                f"{ANNOTATION_RUN_FOR}={run.release}"
            )
            return RunView(RunState.UNMADE, words=words)
        try:
            made = await self._cluster.create(JOBS.path(namespace), job_of(cron_job, run), manager=FIELD_MANAGER)
        except AlreadyExists:
            # It was made meanwhile, as by an operator before this one; whose it is, is looked at the next time.
            return RunView(RunState.RUNS)
        log.info("Job made", release=run.release, namespace=namespace, check=run.check, job=run.job)
        return view_of(made)

    async def _stopped(self, namespace: str, run: Run) -> RunView:
        """Stop a Job; one that has ended is left to its time. One that changes a database is gone once its pods are.

        Raises:
            ApiError: it could not be stopped.
        """
        job = await self._get(namespace, run)
        if job is None or not is_ours(job, run):
            return RunView(RunState.GONE)
        view = view_of(job)
        if view.state is not RunState.RUNS:
            return await self._heard(namespace, run, view) if run.migrates else RunView(RunState.GONE)
        if not job["metadata"].get("deletionTimestamp"):
            await self._delete(namespace, run, view.uid)
        return view if run.migrates else RunView(RunState.GONE)

    async def _get(self, namespace: str, run: Run) -> Object | None:
        try:
            return await self._cluster.get(JOBS.path(namespace, run.job))
        except NotFound:
            return None

    async def _delete(self, namespace: str, run: Run, uid: str) -> None:
        try:
            await self._cluster.delete(
                JOBS.path(namespace, run.job), uid=uid, propagation="Foreground" if run.migrates else "Background"
            )
        except (NotFound, Conflict):
            return
        log.info("Job stopped", release=run.release, namespace=namespace, check=run.check, job=run.job)
