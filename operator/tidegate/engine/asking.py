"""How people ask for something here, as they are told it: by annotation, or by a decision where nothing else counts."""

from __future__ import annotations

from tidegate.api.base import SENTENCE, clip
from tidegate.engine.decided import takes_decision
from tidegate.engine.draft import Draft
from tidegate.engine.snapshot import Verb
from tidegate.governance import commands

ROOM = 256
"""Characters that are left for what is said before and after such a sentence."""
LEAST = 64
"""Characters that a reason has in any case."""
BRIEF = 200
"""Characters of a reason where a sentence gives it twice."""


def command(draft: Draft, verb: Verb) -> str:
    """Return the command that asks for it."""
    release = draft.snap.release
    asked_by = commands.on_release if takes_decision(draft, verb) else commands.annotation
    return asked_by(verb.value, release.name, release.namespace)


def cure(draft: Draft, aim: str, verb: Verb) -> str:
    """Return what to do in order to get something, as an end of a sentence.

    Args:
        draft: the decision in the making.
        aim: what it is for, such as `to try it again`.
        verb: what is to be asked for.
    """
    if takes_decision(draft, verb):
        return f"{aim}: {command(draft, verb)}"
    return f"{aim}, annotate the Release with tidegate.dev/request={verb.value}/<id>"


def on_or_back(draft: Draft) -> str:
    """Return how a rollout that is paused goes on, and how it is rolled back, as an end of a sentence."""
    on, release = cure(draft, "to go on", Verb.RESUME), draft.snap.release
    if takes_decision(draft, Verb.RESUME):
        return f"{on}; to roll back: {commands.on_release(Verb.ROLLBACK.value, release.name, release.namespace)}"
    return f"{on}, to roll back with tidegate.dev/request={Verb.ROLLBACK.value}/<id>"


def with_cure(verdict: str, why: str, then: str) -> str:
    """Return a sentence that fits into a status with all of its cure: what people gave as the reason is cut instead.

    Args:
        verdict: its beginning.
        why: the reason, of any length.
        then: its end, which has the cure.
    """
    return f"{verdict}{clip(why, max(SENTENCE - ROOM - len(verdict) - len(then), LEAST))}{then}"
