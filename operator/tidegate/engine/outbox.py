"""What the status keeps of what has happened until every sink has taken it: which transitions, and how far each sink is.

A transition gets its number in the write that stores the decision, so the two are never apart. What is here is pure; how
transitions reach a sink is in the controller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from tidegate.api.base import clip
from tidegate.api.edits import edited
from tidegate.api.outbox import KEPT, LONGEST_VERSION, OutboxStatus, SinkStatus, TransitionStatus
from tidegate.api.status import ReleaseStatus
from tidegate.engine.plan import Notice, notice_of
from tidegate.engine.transitions import TransitionsDropped

EMPTY = OutboxStatus()
Kept = tuple[TransitionStatus, ...]


def put(status: ReleaseStatus, notices: Sequence[Notice], now: datetime, sinks: Collection[str]) -> tuple[ReleaseStatus, Kept]:
    """Put what has happened into the outbox.

    There is room for `KEPT`; the oldest go. A sink that has not taken one of these has it counted, and the first time a transition
    of its own says so, until the sink has caught up.

    Args:
        status: the status so far.
        notices: what has happened with the decision that this status is of.
        now: when it was made, with zone.
        sinks: names of all that are to be told, or lack something already.

    Returns:
        The status, and what is new in it, in its order: all of that, whether the outbox has room for it or not.
    """
    if not notices:
        return status, ()
    box = status.outbox or EMPTY
    cursors = tuple(_cursor(box, name) for name in sinks)
    fresh = _numbered(notices, box, now)
    _, over = _fitting((*box.transitions, *fresh))
    behind = [one.name for one in cursors if not one.dropped and _missed(one, over)]
    if behind:
        fresh = _numbered((*notices, *(notice_of(TransitionsDropped(name)) for name in behind)), box, now)
    kept, over = _fitting((*box.transitions, *fresh))
    places = tuple(SinkStatus(name=one.name, taken=one.taken, dropped=one.dropped + _missed(one, over)) for one in cursors)
    return edited(status, outbox=OutboxStatus(last=fresh[-1].number, transitions=kept, sinks=places)), fresh


def settled(status: ReleaseStatus, taken: Callable[[str, TransitionStatus], bool], sinks: Collection[str]) -> ReleaseStatus:
    """Return a status whose outbox has no more than what a sink has not taken.

    Args:
        status: the status so far.
        taken: whether a sink of this name is done with a transition.
        sinks: names of all that are told; what one is to have that is none of them any more, nobody waits for.
    """
    box = status.outbox
    if box is None or not (box.transitions or box.sinks):
        return status
    places = [place for one in box.sinks if one.name in sinks and (place := _moved(one, box.transitions, taken)) is not None]
    left = tuple(one for one in box.transitions if any(one.number > place.taken for place in places))
    if left == box.transitions and tuple(places) == box.sinks:
        return status
    return edited(status, outbox=OutboxStatus(last=_last(box), transitions=left, sinks=tuple(places)))


def untaken(status: ReleaseStatus, sink: str) -> Kept:
    """Return what a sink has not taken as far as the status knows, in its order."""
    if status.outbox is None:
        return ()
    cursor = _cursor(status.outbox, sink)
    return tuple(one for one in status.outbox.transitions if one.number > cursor.taken)


def _cursor(box: OutboxStatus, sink: str) -> SinkStatus:
    """Return how far a sink is; one that is not behind, or new, has all that there was."""
    return next((one for one in box.sinks if one.name == sink), SinkStatus(name=sink, taken=_last(box)))


def _last(box: OutboxStatus) -> int:
    """Return the highest number; a hand may have written one that is lower than those of what is kept."""
    return max((box.last, *(one.number for one in box.transitions)))


def _numbered(notices: Iterable[Notice], box: OutboxStatus, now: datetime) -> Kept:
    return tuple(
        TransitionStatus(
            number=number,
            id=one.transition.id,
            reason=one.reason,
            type=one.type.value,
            message=one.message,
            version=clip(one.transition.about or "", LONGEST_VERSION) or None,
            at=now,
        )
        for number, one in enumerate(notices, _last(box) + 1)
    )


def _fitting(transitions: Kept) -> tuple[Kept, Kept]:
    """Return what there is room for, and what has to go: that something was dropped is dropped last."""
    excess = max(0, len(transitions) - KEPT)
    over = tuple(sorted(transitions, key=lambda one: one.id == TransitionsDropped.id)[:excess])
    return tuple(one for one in transitions if one not in over), over


def _missed(cursor: SinkStatus, over: Kept) -> int:
    return sum(one.number > cursor.taken for one in over)


def _moved(cursor: SinkStatus, transitions: Kept, taken: Callable[[str, TransitionStatus], bool]) -> SinkStatus | None:
    """Return how far a sink is now; None where it has all."""
    upto = cursor.taken
    for one in transitions:
        if one.number > upto:
            if not taken(cursor.name, one):
                return cursor if upto == cursor.taken else SinkStatus(name=cursor.name, taken=upto, dropped=cursor.dropped)
            upto = one.number
    return None
