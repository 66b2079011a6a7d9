"""Whether a pod is asked for the wanted metrics alone (`name[]`), which some servers of metrics know and others pass over.

Nobody says whether a server knows it, or knows it for all of its metrics. So a page that was filtered is believed only where it has
all that the page before it had: each wished series, no counter lower, the same start of the process. If it does not, the whole page
is asked for at once, and what that says counts. So neither a switch nor a server that filters oddly can make a counter go back.

https://prometheus.github.io/client_java/exporters/filter/, https://prometheus.github.io/client_python/restricted-registry/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from tidegate.prometheus.direct.page import Counted, Page

WORTH_IT = 32 * 1024
"""Bytes of a page from which on it is tried."""
LESS = 0.9
"""Part of the whole page that a filtered one has at most, where the server is thought to know the filter."""
WHOLE_AFTER = 60
"""Filtered pages after which the whole one is read again: metrics that the server does not filter may have come."""
TRIES = 3
"""Filtered pages of a pod that did not come, or had lower counters, as of a process that began anew, after which none is tried."""


class _State(Enum):
    UNTRIED = auto()
    ON = auto()
    OFF = auto()


@dataclass
class Filtering:
    """What is known of one pod.

    Attributes:
        last: the last page that was believed; None where there was none.
    """

    last: Page | None = None
    _state: _State = _State.UNTRIED
    _filtered: int = 0
    _tries: int = 0

    @property
    def asks(self) -> bool:
        """Whether the next page is asked for by the names of the wanted metrics."""
        if self._state is _State.OFF or self.last is None:
            return False
        if self._state is _State.ON:
            return self._filtered < WHOLE_AFTER
        # What is not there yet may be what the server does not filter.
        return self.last.bytes >= WORTH_IT and all(one.found for one in self.last.counted.values())

    def whole(self, page: Page) -> None:
        """Take in a page that was not filtered."""
        if self._state is _State.ON:
            self._state = _State.UNTRIED
        self.last, self._filtered = page, 0

    def believes(self, page: Page) -> bool:
        """Take in a filtered page, and return whether it counts."""
        if self.last is None or _lost(self.last, page):
            self.refused()
            return False
        if not _grown(self.last, page):
            # The process may have begun anew, which the whole page tells.
            self._failed()
            return False
        if self._state is _State.UNTRIED:
            self._state = _State.ON if page.bytes <= LESS * self.last.bytes else _State.OFF
        self.last, self._filtered = page, self._filtered + 1
        return True

    def unanswered(self) -> None:
        """A filtered page did not come: that may be for the filter, so the next one is a whole one."""
        self._failed()
        self.last = None

    def _failed(self) -> None:
        self._tries += 1
        self._state = _State.OFF if self._tries >= TRIES else _State.UNTRIED

    def refused(self) -> None:
        """A filtered page was refused, or lacks what was there: none is asked for any more."""
        self._state = _State.OFF


def _lost(before: Page, page: Page) -> bool:
    """Whether a page lacks something that was on the one before it."""
    if (before.born is None) is not (page.born is None) or before.counted.keys() != page.counted.keys():
        return True
    return any(_lacks(one, page.counted[wish]) for wish, one in before.counted.items())


def _lacks(before: Counted, now: Counted) -> bool:
    if now.found < before.found or now.series < before.series or now.native is not before.native:
        return True
    if before.histogram is None or now.histogram is None:
        return before.histogram is not None
    return not set(before.histogram.edges) <= set(now.histogram.edges)


def _grown(before: Page, page: Page) -> bool:
    """Whether no counter of a page is lower than on the one before it, and it is the same process that has counted them."""
    if before.born != page.born:
        return False
    pairs = [pair for wish, one in before.counted.items() for pair in _pairs(one, page.counted[wish])]
    return all(later >= earlier for earlier, later in pairs)


def _pairs(before: Counted, now: Counted) -> Iterator[tuple[float, float]]:
    yield before.events.total, now.events.total
    yield before.events.bad or 0.0, now.events.bad or 0.0
    yield before.untold or 0.0, now.untold or 0.0
    if before.histogram is not None and now.histogram is not None:
        yield before.histogram.total, now.histogram.total
        for edge in before.histogram.edges:
            yield before.histogram.up_to(edge), now.histogram.up_to(edge)
