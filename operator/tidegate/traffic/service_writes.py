"""Writes on the operator's two Services, and on the pin in the user's own.

The first are ours alone and may be replaced as they were seen; in the second nothing is touched but the selector, which is given
back.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from tidegate.api.names import Reason
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import SERVICES
from tidegate.engine.plan import DeleteService, EnsureService, PinService, Role, own_name
from tidegate.runtime.errors import Retry, Terminal
from tidegate.traffic.backends import Json
from tidegate.traffic.our_marks import leave_none
from tidegate.traffic.services import Services, body, clash, correction, is_headless, pin_patch

ServiceAction: TypeAlias = EnsureService | DeleteService | PinService


async def perform(action: ServiceAction, *, services: Services, cluster: Cluster) -> bool:
    """Carry out one action of the engine on a Service.

    Args:
        action: what is wanted.
        services: the raw Services that the decision was made on.
        cluster: the API.

    Returns:
        Whether anything was written. False: it was so already.

    Raises:
        ApiError: the API refused; a `Conflict` means that the Services are not as they were seen.
        Terminal: a Service of the name that is needed exists and belongs to somebody else. It is never overwritten.
    """
    match action:
        case EnsureService(role, revision):
            return await _ensure(services, role, revision, cluster)
        case DeleteService(role):
            return await _delete(services, role, cluster)
        case PinService(revision):
            return await _pin(services, revision, cluster)
        case _:
            assert_never(action)


async def _ensure(services: Services, role: Role, revision: str, cluster: Cluster) -> bool:
    wanted, existing = body(services, role, revision=revision), services.of(role)
    if existing is None:
        return await _create(wanted, services, cluster)
    if not services.is_ours(existing):
        raise Terminal(clash(services, role), reason=Reason.CONFLICT)
    patch = correction(existing, wanted)
    if patch is None:
        return False
    if is_headless(existing) != is_headless(wanted):
        # The API keeps clusterIP for the life of a Service: only a new one can follow the user's.
        await cluster.delete(_path(services, role), uid=existing["metadata"]["uid"])
        raise Retry(f"Service {wanted['metadata']['name']} is recreated", after=0.0)
    try:
        await cluster.json_patch(_path(services, role), patch)
    except NotFound:
        return await _create(wanted, services, cluster)
    return True


async def _create(wanted: Json, services: Services, cluster: Cluster) -> bool:
    # Not applied: an apply that the network has kept back would turn a Service that has come in between to another revision.
    await cluster.create(SERVICES.path(services.namespace), wanted)
    return True


async def _delete(services: Services, role: Role, cluster: Cluster) -> bool:
    existing = services.of(role)
    if existing is None or not services.is_ours(existing):
        return False
    try:
        await cluster.delete(_path(services, role), uid=existing["metadata"]["uid"])
    except NotFound:
        return False
    return True


async def _pin(services: Services, revision: str | None, cluster: Cluster) -> bool:
    path = SERVICES.path(services.namespace, services.name)
    patch = pin_patch(services.user, label=services.label, revision=revision)
    written = await cluster.json_patch(path, patch) if patch else None
    if revision is not None:
        return written is not None
    return await leave_none(written, services.user, path, cluster)


def _path(services: Services, role: Role) -> str:
    return SERVICES.path(services.namespace, own_name(services.name, role))
