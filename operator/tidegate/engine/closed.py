"""Which barriers are closed, as the status has it for tools: the same that its sentence says to people."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.api.base import clip
from tidegate.api.waiting import WaitingFor
from tidegate.engine import asking
from tidegate.engine import transitions as happened
from tidegate.engine.draft import Draft
from tidegate.engine.facts import wanted_name
from tidegate.engine.following import next_one_waits
from tidegate.engine.snapshot import Verb
from tidegate.engine.waits import Wait, Waiting

PAUSE = "Pause"
HOLD = "Hold"
FOLLOW = "Follow"
"""What a person, or a gate that asks one, has stopped stands beside the barriers: somebody has to say that it goes on."""


def closed(draft: Draft) -> tuple[Waiting, ...]:
    """Return the barriers of governance that keep a weight from rising now."""
    waits = (waiting for told in draft.waits for waiting in (told, *told.beside))
    return tuple(waiting for waiting in waits if waiting.wait.terms.barrier)


def note_closed(draft: Draft) -> None:
    """Write down what is waited for; of a barrier that was open until now people read in an Event, too."""
    before = {entry.barrier: entry for entry in draft.status.waiting_for}
    for waiting in closed(draft):
        if _is_news(waiting, before.get(waiting.wait.terms.barrier)):
            version = draft.candidate.version if draft.active else wanted_name(draft)
            draft.note(happened.Waits(version, waiting.words))
    draft.set(waiting_for=tuple(_entries(draft, before)))


def _is_news(waiting: Waiting, known: WaitingFor | None) -> bool:
    """Whether people are to hear of a closed barrier; that members of a group wait for each other is how they move."""
    if waiting.wait is Wait.GROUP:
        return bool(waiting.how) and (known is None or not known.how)
    return known is None


def _entries(draft: Draft, before: dict[str, WaitingFor]) -> Iterator[WaitingFor]:
    resume = asking.command(draft, Verb.RESUME)
    for waiting in closed(draft):
        barrier = waiting.wait.terms.barrier
        since = before[barrier].since if barrier in before else draft.now
        yield WaitingFor(barrier=barrier, what=clip(waiting.what), since=since, until=waiting.until, how=waiting.how)
    if draft.active and (paused := draft.rollout.paused) is not None:
        yield WaitingFor(barrier=PAUSE, what=paused.message, since=paused.since, how=resume)
    elif not draft.active and (held := draft.status.held) is not None:
        yield WaitingFor(barrier=HOLD, what=held.message, since=held.since, how=resume)
    if not draft.active and (following := next_one_waits(draft)) is not None:
        what, until, held = following
        since = held.since if held is not None else before[FOLLOW].since if FOLLOW in before else draft.now
        yield WaitingFor(barrier=FOLLOW, what=clip(what), since=since, until=until, how=resume if held is not None else "")
