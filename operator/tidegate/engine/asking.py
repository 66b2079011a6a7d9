"""How people ask for something here, as they are told it: by annotation, or by a decision where nothing else counts."""

from __future__ import annotations

from tidegate.engine.decided import takes_decision
from tidegate.engine.draft import Draft
from tidegate.engine.snapshot import Verb
from tidegate.governance import commands


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
