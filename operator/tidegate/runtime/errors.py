"""The three families of error that a pass can end with: try again, give up until something changes, or a bug."""

# ruff: noqa: N818 - they are named for what the worker does about them

from enum import Enum


class Retry(Exception):
    """The world was not ready: the same pass is worth another try.

    Args:
        message: why, in words that a status can carry.
        reason: why, as one CamelCase word that a condition can carry.
        after: seconds to wait; None leaves it to the key's exponential back-off.
    """

    def __init__(self, message: str, *, reason: str = "NotReady", after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.after = after


class Terminal(Exception):
    """Trying again changes nothing until the object or its surroundings change.

    Args:
        message: why, in words that a status can carry.
        reason: why, as one CamelCase word that a condition can carry.
    """

    def __init__(self, message: str, *, reason: str = "Stalled") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class Outcome(Enum):
    """How one pass ended."""

    DONE = "done"
    RETRY = "retry"
    TERMINAL = "terminal"
    BUG = "bug"


def outcome_of(error: BaseException) -> Outcome:
    """The family an error belongs to.

    The errors of a task group come wrapped in a group, whose worst member speaks for it: a bug before a retry before a
    terminal error (a retry runs the whole pass again and meets the terminal error alone).
    """
    if isinstance(error, BaseExceptionGroup):
        families = {outcome_of(member) for member in error.exceptions}
        for family in (Outcome.BUG, Outcome.RETRY):
            if family in families:
                return family
        return Outcome.TERMINAL
    if isinstance(error, Retry):
        return Outcome.RETRY
    if isinstance(error, Terminal):
        return Outcome.TERMINAL
    return Outcome.BUG


def retry_after(error: BaseException) -> float | None:
    """Seconds that a retryable error asks to wait: the longest of a group, None where none says."""
    if isinstance(error, BaseExceptionGroup):
        asked = [after for member in error.exceptions if (after := retry_after(member)) is not None]
        return max(asked, default=None)
    return error.after if isinstance(error, Retry) else None
