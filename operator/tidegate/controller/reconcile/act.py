"""From a plan to writes, in the plan's order.

The order is part of the decision: to stop after any of the writes, as a crash does, must be safe. So what is to be done, and in
which order, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import assert_never

import structlog

from tidegate.cluster.client import Cluster
from tidegate.controller.observe.gather import ReleaseObjects
from tidegate.controller.reconcile.status_patch import write_finalizer
from tidegate.engine.plan import Action, DeleteService, EnsureService, OfWorkload, PinService, SetFinalizer, ShiftRoute
from tidegate.runtime.errors import Retry
from tidegate.traffic import service_writes
from tidegate.traffic.routers import Routers
from tidegate.traffic.selection import selector_of
from tidegate.workloads.kinds import KINDS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Done:
    """What became of a plan's actions.

    Attributes:
        failed: the first error, None where none was met.
        shifted: whether every route that was to be shifted was.
        interrupted: whether the rest was left to the next pass, because something more urgent has come in.
    """

    failed: Exception | None = None
    shifted: bool = True
    interrupted: bool = False


async def carry_out(
    actions: Sequence[Action],
    decided: ReleaseObjects,
    collect: Callable[[], ReleaseObjects | None],
    *,
    interrupted: Callable[[], bool],
    cluster: Cluster,
    routers: Routers,
) -> Done:
    """Carry out the actions of a plan.

    Routes are independent of each other, and of what failed before them: they are shifted side by side, and one that fails or
    hangs keeps none of the others from it. Of the rest, the first failure ends the pass, since what follows rests on it.

    Args:
        actions: what is to be done, in order.
        decided: the raw objects that this was decided on.
        collect: reads the raw objects anew, so that each write rests on what the one before it left.
        interrupted: whether the pass is to be cut short before the next write.
        cluster: the API.
        routers: shift routes.
    """
    failed: Exception | None = None
    shifted = True
    for routes, group in groupby(actions, lambda action: isinstance(action, ShiftRoute)):
        if routes:
            met = await asyncio.gather(*(_attempt(action, decided, collect, cluster, routers) for action in group))
            errors = [error for error in met if error is not None]
            failed, shifted = failed or next(iter(errors), None), not errors
            continue
        for action in group:
            if failed is not None:
                break
            if interrupted():
                return Done(shifted=shifted, interrupted=True)
            failed = await _attempt(action, decided, collect, cluster, routers)
    return Done(failed, shifted)


async def _attempt(
    action: Action, decided: ReleaseObjects, collect: Callable[[], ReleaseObjects | None], cluster: Cluster, routers: Routers
) -> Exception | None:
    objects = collect()
    if objects is None:
        return None
    try:
        _still_meant(action, decided, objects)
        _same_selector(action, decided, objects)
        wrote = await _perform(action, objects, cluster=cluster, routers=routers)
    except Exception as error:  # noqa: BLE001 - the caller raises it again, after what does not depend on it
        return error
    log.debug("action", release=str(objects.key), action=_words(action), wrote=wrote)
    return None


def _still_meant(action: Action, decided: ReleaseObjects, objects: ReleaseObjects) -> None:
    """What is written to a workload is meant for the workload that was decided on.

    Raises:
        Retry: that has changed since so that it does not hold for it any more.
    """
    before, now = decided.workload, objects.workload
    if isinstance(action, OfWorkload) and before is not None and now is not None:
        KINDS[objects.spec.target_ref.kind].check(action, before, now)


def _same_selector(action: Action, decided: ReleaseObjects, objects: ReleaseObjects) -> None:
    """What leads a Service to pods is meant for the selector that was decided on: by another, it may be another workload's pods.

    Raises:
        Retry: the selector of the user's Service has changed since.
    """
    before, now = decided.services, objects.services
    leads = isinstance(action, EnsureService) or (isinstance(action, PinService) and action.revision is not None)
    if leads and before is not None and now is not None and selector_of(now.user) != selector_of(before.user):
        raise Retry(f"the selector of Service {now.name} has changed meanwhile")


async def _perform(action: Action, objects: ReleaseObjects, *, cluster: Cluster, routers: Routers) -> bool:
    match action:
        case SetFinalizer(present):
            await write_finalizer(cluster, objects.release, present=present)
            return True
        case ShiftRoute():
            route, traffic = objects.routes.get(action.route), objects.spec.traffic
            if route is None or traffic is None:
                raise Retry(f"{action.route.label} is gone")
            return await routers.shifts(action.route).shift(action, route=dict(route), service=traffic.service, cluster=cluster)
        case EnsureService() | DeleteService() | PinService():
            beside = objects.former if isinstance(action, PinService) and action.former else objects.services
            if beside is None:
                raise Retry("the user's Service is gone")
            return await service_writes.perform(action, services=beside, cluster=cluster)
        case OfWorkload():
            kind = KINDS[objects.spec.target_ref.kind]
            return await kind.perform(action, workload=objects.workload, orphans=objects.orphans, cluster=cluster)
        case _:
            assert_never(action)


def _words(action: Action) -> str:
    """Name an action without what stands in the objects."""
    if isinstance(action, ShiftRoute):
        warm = f", {action.warm} warm" if action.warm is not None else ""
        return f"ShiftRoute({action.route.label}, {action.stage.name}, {action.weight}%{warm})"
    return repr(action)
