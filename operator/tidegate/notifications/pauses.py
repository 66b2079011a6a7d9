"""Who is left alone after tries that failed, and until when: one namespace, or the receiver.

No I/O and no clock: times are handed in, on the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.notifications.lanes import backoff

FEW = 4
"""Namespaces whose messages may fail while those of others are tried: where more fail it is the receiver that does."""
LONG_AGO = float("-inf")


@dataclass(slots=True)
class Pause:
    """Tries that have failed in a row.

    Attributes:
        failures: how many; those that were under way together are one.
        until: nothing more is tried before.
    """

    failures: int = 0
    until: float = LONG_AGO

    def grow(self, now: float) -> None:
        """Count a try that has failed."""
        if now >= self.until:
            self.failures += 1
        self.until = max(self.until, now + backoff(self.failures))


class Pauses:
    """The pauses of one channel.

    A receiver may fail over what the messages of one namespace say, and anybody may have many of these: so each namespace has a
    pause of its own, and the receiver has one only if it asks for that, or fails over the messages of many.
    """

    def __init__(self) -> None:
        self._namespaces: dict[str, Pause] = {}
        self._receiver = Pause()
        self._asked_until = LONG_AGO

    @property
    def until(self) -> float:
        """Until when nothing at all is tried."""
        return max(self._asked_until, self._receiver.until)

    @property
    def ailing(self) -> Mapping[str, float]:
        """The namespaces whose messages have failed last, and until when no more of theirs are tried."""
        return {namespace: pause.until for namespace, pause in self._namespaces.items()}

    def due(self, now: float) -> float | None:
        """Return when the next namespace's pause ends; None where none is on."""
        return min((pause.until for pause in self._namespaces.values() if pause.until > now), default=None)

    def failed(self, namespace: str, now: float, after: float | None) -> bool:
        """Note a try that has failed.

        Args:
            namespace: whose message it was.
            now: the time.
            after: seconds that the receiver asks to be left alone; None where it does not ask.

        Returns:
            Whether that is news: of this namespace, while few ail.
        """
        new = namespace not in self._namespaces
        self._namespaces.setdefault(namespace, Pause()).grow(now)
        few = len(self._namespaces) <= FEW
        if not few:
            self._receiver.grow(now)
        if after is not None:
            self._asked_until = max(self._asked_until, now + after)
        return new and few

    def delivered(self, namespace: str) -> bool:
        """Note that a message was delivered: the receiver is there, so that what was left alone is tried, after the rest.

        Returns:
            Whether anything was left alone.
        """
        if not self._namespaces and not self._receiver.failures:
            return False
        self.over(namespace)
        self._receiver = Pause()
        for pause in self._namespaces.values():
            pause.until = LONG_AGO
        return True

    def over(self, namespace: str) -> None:
        """Note that the message over which a namespace's pause came is given up."""
        self._namespaces.pop(namespace, None)
