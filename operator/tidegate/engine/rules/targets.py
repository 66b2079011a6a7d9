"""What the user's Service says of the pods while stable is another version than the one that it was changed for."""

from __future__ import annotations

from datetime import timedelta

from tidegate.api.edits import edited
from tidegate.api.originals import PortStatus, TargetsStatus
from tidegate.engine.draft import Draft
from tidegate.engine.waits import CHANGED, Ruling

SETTLED = timedelta(seconds=60)
"""For so long a changed Service must have stood without a changed template to be no part of one commit with it."""


def targets_are_noted(draft: Draft) -> Ruling:
    """Where the Service's ports lead is known from before a template changes: that is what stable's pods answer on."""
    service, known = draft.snap.user_service, draft.status.stable_targets
    if draft.status.stable is None or service is None or service.targets is None or draft.deleting:
        return None
    if known is None or known.service != service.name:
        draft.set(stable_targets=TargetsStatus(service=service.name, ports=service.targets))
        return CHANGED
    after = known if draft.active else _settled(draft, known, service.targets)
    draft.set(stable_targets=after)
    return CHANGED if after != known else None


def _settled(draft: Draft, known: TargetsStatus, now: tuple[PortStatus, ...]) -> TargetsStatus:
    """Return what holds for stable, once a change that has stood for long enough is counted in."""
    if known.next_ports is not None and known.changed_at is not None:
        due = known.changed_at + SETTLED
        if draft.now >= due:
            known = _plain(known, known.next_ports)
        elif not draft.routes_back:
            draft.wake(due)
    if now == known.ports or not draft.wants(draft.stable.revision):
        # Changed together with the template, it is meant for the version to come.
        return _plain(known, known.ports)
    if now == known.next_ports:
        return known
    return edited(known, next_ports=now, changed_at=draft.now)


def _plain(known: TargetsStatus, ports: tuple[PortStatus, ...]) -> TargetsStatus:
    return TargetsStatus(service=known.service, ports=ports)
