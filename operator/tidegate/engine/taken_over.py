"""What can happen to a Release that follows another, as facts with their words."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.api.names import EventReason
from tidegate.engine.transitions import Transition
from tidegate.engine.words import words


@dataclass(frozen=True)
class Followed(Transition):
    """A version was taken over from the Release that this one follows."""

    id = "followed"
    reason = EventReason.FOLLOWED
    version: str
    upstream: str


@dataclass(frozen=True)
class FollowingHeld(Transition):
    """A person has rolled back, so nothing more is taken over from the Release that this one follows."""

    id = "following-held"
    reason = EventReason.FOLLOWING_HELD
    upstream: str
    message: str


@dataclass(frozen=True)
class FollowingResumed(Transition):
    """A person has asked that versions are taken over again."""

    id = "following-resumed"
    reason = EventReason.FOLLOWING_RESUMED
    upstream: str
    request: str


@words.register
def _(it: Followed) -> str:
    return f"{it.version} is taken over from {it.upstream}"


@words.register
def _(it: FollowingHeld) -> str:
    return f"Nothing more is taken over from {it.upstream} until a request to resume: {it.message}"


@words.register
def _(it: FollowingResumed) -> str:
    return f"Versions are taken over from {it.upstream} again ({it.request})"
