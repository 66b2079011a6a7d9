"""What can happen to the flags of a Release, as facts with their words."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.api.flags import Position
from tidegate.api.names import EventReason
from tidegate.engine.transitions import Alert, Transition
from tidegate.engine.words import words


@dataclass(frozen=True)
class FlagSet(Transition):
    """A rollout has set a flag, as its step says."""

    id = "flag-set"
    reason = EventReason.FLAG_SET
    version: str
    flag: str
    setting: str


@dataclass(frozen=True)
class FlagPutBack(Transition):
    """A flag is what it was before the rollout that was undone."""

    id = "flag-put-back"
    reason = EventReason.FLAG_PUT_BACK
    flag: str
    setting: str


@dataclass(frozen=True)
class FlagNotSet(Alert):
    """A flag is not what it is to be, and why."""

    id = "flag-not-set"
    reason = EventReason.FLAG_NOT_SET
    flag: str
    wanted: str
    why: str


@dataclass(frozen=True)
class Switched(Alert):
    """A person has switched a flag off or on for everybody, or back."""

    id = "switched"
    reason = EventReason.SWITCHED
    flag: str
    switch: Position
    forced: str
    request: str

    @property
    def warns(self) -> bool:
        """Whether somebody should look at this one."""
        return self.switch is not Position.BACK


@words.register
def _(it: FlagSet) -> str:
    return f"{it.flag} is set to {it.setting} for {it.version}"


@words.register
def _(it: FlagPutBack) -> str:
    return f"{it.flag} is restored to {it.setting}, as it was before the rollout"


@words.register
def _(it: FlagNotSet) -> str:
    return f"{it.flag} was not {it.wanted}: {it.why}"


@words.register
def _(it: Switched) -> str:
    if it.switch is Position.BACK:
        return f"{it.flag} is switched back to its definition ({it.request})"
    return f"{it.flag} is switched {it.switch.lower()}: everybody gets variant {it.forced} ({it.request})"
