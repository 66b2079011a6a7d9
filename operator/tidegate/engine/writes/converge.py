"""From the status to writes: what differs between what the status wants and what was seen, in an order that is safe."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tidegate.engine import transitions as happened
from tidegate.engine.draft import HANDBACK_PATIENCE, Draft
from tidegate.engine.flagging import unrestored
from tidegate.engine.plan import Action, DeleteService, Role, ScaleWorkload, SetFinalizer, Write
from tidegate.engine.waits import Wait, Waiting
from tidegate.engine.writes.shifting import pin_actions, route_actions, service_actions

_ROUNDING = 1e-6


def writes(draft: Draft) -> Iterator[Write]:
    """Yield the writes; none where what was seen is what the status wants. Between them stands what they wait for."""
    if not draft.deleting and not draft.snap.release.finalizer:
        # Before anything else: from here on the Release cannot vanish without what it changed being put back.
        yield SetFinalizer(present=True)
    yield from route_actions(draft)
    yield from service_actions(draft)
    yield from pin_actions(draft)
    if draft.workload is not None:
        if not draft.committed:
            yield from _load(draft)
        yield from draft.handover.writes(draft)
    if draft.deleting and draft.snap.release.finalizer and not draft.active and draft.routes_back and not draft.our_marks:
        yield from _hand_back(draft)
    elif draft.snap.release.traffic_later and not draft.active and draft.routes_back and not draft.our_marks:
        yield from _own_services(draft)


def _load(draft: Draft) -> Iterator[Action]:
    """Pods of the version that serves for all of the load, although the pods of the other make it look smaller.

    The autoscaler asks for usage / target * pods that match, and for nothing while that is within its tolerance of what there is:
    with as many idle pods as busy ones, twice the load looks like none too much. Scaled to 0 by a person, nothing is to serve.
    """
    workload = draft.workload
    assert workload is not None
    scaler = workload.autoscaler
    if not draft.active or scaler is None or scaler.load is None or workload.replicas == 0:
        return
    wanted = min(math.ceil(scaler.load - _ROUNDING), scaler.most)
    if scaler.load > workload.replicas * (1 + scaler.tolerance) and wanted > workload.replicas:
        draft.note(happened.Scaled(draft.handover.kind, workload.replicas, wanted, scaler.name, scaler.load))
        yield ScaleWorkload(wanted)


# The end


def _hand_back(draft: Draft) -> Iterator[Write]:
    if draft.handover.lingers(draft):
        yield Waiting(Wait.NEW_PODS, "for the pods of the new version to stop")
        return
    yield from _own_services(draft)
    yield from draft.handover.hand_back(draft)
    if (waiting := unrestored(draft)) is not None and not _is_patient(draft):
        yield waiting
    elif _is_recorded(draft):
        yield SetFinalizer(present=False)
    else:
        yield Waiting(Wait.RECORDED, "for the record of its last rollout to be written")


def _is_patient(draft: Draft) -> bool:
    """Whether flags were waited for as long as a silent router is: who deletes a Release is not kept for ever."""
    began = draft.snap.release.deleting
    return began is not None and draft.reached(began + HANDBACK_PATIENCE)


def _is_recorded(draft: Draft) -> bool:
    """Whether nothing is lost with the status; a record that cannot be written keeps a Release no longer than a silent router."""
    records, last = draft.status.records, draft.status.last_rollout
    if records is None or not records.pending:
        return True
    return last is None or draft.reached(last.finished_at + HANDBACK_PATIENCE)


def _own_services(draft: Draft) -> Iterator[Action]:
    if draft.snap.stable_service is not None:
        yield DeleteService(Role.STABLE)
    if draft.snap.canary_service is not None:
        yield DeleteService(Role.CANARY)
