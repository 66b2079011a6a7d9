"""How long to wait before a crashed container, or an image that cannot be found, is tried again."""

from __future__ import annotations

from dataclasses import dataclass

KUBELET_BASE_SECONDS = 10.0
"""The kubelet's first pause between restarts."""

CAP_FACTOR = 30.0
"""The longest pause in units of the first: 300 s for 10 s, as in the kubelet."""

RESET_FACTOR = 2.0
"""A container that ran for this many times the longest pause starts over with no pause (kubelet: 10 minutes)."""


@dataclass
class CrashBackoff:
    """The kubelet's restart back-off: first restart at once, then base, 2 x base, 4 x base ... up to the cap.

    ``base`` is in seconds; times are seconds of one monotonic clock.
    """

    base: float = KUBELET_BASE_SECONDS
    _next_delay: float = 0.0
    _last_restart: float | None = None

    @property
    def cap(self) -> float:
        """The longest pause, in seconds."""
        return self.base * CAP_FACTOR

    def delay_after_exit(self, exited_at: float) -> float:
        """Return the seconds to wait after an exit at ``exited_at``, and lengthen the next pause."""
        if self._last_restart is not None and exited_at - self._last_restart > self.cap * RESET_FACTOR:
            self._next_delay = 0.0
        delay = self._next_delay
        self._next_delay = min(self.cap, delay * 2) if delay > 0 else self.base
        self._last_restart = exited_at + delay
        return delay


@dataclass
class PullBackoff:
    """Pauses between attempts to find an image: base, 2 x base ... up to the cap, in seconds."""

    base: float = KUBELET_BASE_SECONDS
    _attempts: int = 0

    def next_delay(self) -> float:
        """Return the seconds to wait before the next attempt."""
        # The exponent stays small: a float power of a large count would overflow long before it mattered.
        delay = min(self.base * CAP_FACTOR, self.base * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        return delay
