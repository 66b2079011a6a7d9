"""Rounds of reading: the pages of both versions' pods, again and again; one pod that is slow or hostile costs its own page.

The new version's pods are read first, and stable's once those have answered: then each sample of the new version is followed by
one of stable, and what it counted can be judged at once, without waiting for the next round (`alignment`). Nobody waits for a pod
that did not answer quickly the last time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from tidegate.prometheus.answers import Asker
from tidegate.prometheus.direct.effort import REST
from tidegate.prometheus.direct.filtering import Filtering
from tidegate.prometheus.direct.followed import Round
from tidegate.prometheus.direct.page import Page
from tidegate.prometheus.direct.scraper import Scraper, Unscraped
from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.targets import Chosen, Missed, Target
from tidegate.prometheus.direct.text import Series
from tidegate.runtime.clock import Clock

PATIENCE = 0.3
"""Part of the interval for which a round waits for pods of one version."""
_DOUBLED = 10
"""How often a rest is doubled at most: no number is too large for those of a rollout that takes days."""
LONGEST_REST = 30.0
"""Seconds after which a pod that does not answer is tried again, at the latest."""


@dataclass
class _Pod:
    """One pod, from round to round.

    Attributes:
        target: where its page is.
        quick: whether it answered quickly the last time, or was not asked yet.
        failures: how often in a row it did not answer.
        due: when it is asked next, on the monotonic clock.
        asked: when it was asked last.
        began: the same on the monotonic clock.
        ended: when that reading was over, likewise.
        read: when its last page was asked for that came, likewise.
        put_off: whether it was not read the last time since others of its namespace had cost too much.
        task: the reading that is under way.
        words: why its last page was not read.
        seldom: why the last page that was read is not followed by one in the next round.
        filtering: whether it is asked for the wanted metrics alone.
    """

    target: Target
    quick: bool = True
    failures: int = 0
    due: float = float("-inf")
    asked: datetime | None = None
    began: float = 0.0
    ended: float = 0.0
    read: float = float("-inf")
    put_off: bool = False
    task: asyncio.Task[Page | Unscraped] | None = None
    words: str = ""
    seldom: str = ""
    filtering: Filtering = field(default_factory=Filtering)

    def late(self) -> None:
        """Say that its page is left out, unless the next round waits for it anyway."""
        if not self.quick:
            self.words = self.words or "its page comes too late"


@dataclass
class _Version:
    chosen: Chosen[Target] = field(default_factory=Chosen)
    pods: dict[str, _Pod] = field(default_factory=dict)

    def choose(self, chosen: Chosen[Target]) -> None:
        """Read these from now on."""
        if chosen == self.chosen:
            return
        self.chosen, before, self.pods = chosen, self.pods, {}
        for target in chosen.targets:
            one = before.pop(target.uid, None)
            if one is None or one.target.url != target.url:
                one = _replaced(one, target)
            one.target = target
            self.pods[target.uid] = one
        for gone in before.values():
            if gone.task is not None:
                gone.task.cancel()

    @property
    def read(self) -> float:
        """When the last page was asked for that came, on the monotonic clock."""
        return max((pod.read for pod in self.pods.values()), default=float("-inf"))

    @property
    def put_off(self) -> bool:
        """Whether pages were not read the last time since others of the namespace had cost too much."""
        return any(pod.put_off for pod in self.pods.values())

    @property
    def missed(self) -> tuple[Missed, ...]:
        """Pods whose last page was not read, or for which the next one is not soon."""
        return tuple(
            Missed(one.target.pod, one.words or one.seldom, read=not one.words)
            for one in self.pods.values()
            if one.words or one.seldom
        )


def _replaced(before: _Pod | None, target: Target) -> _Pod:
    if before is not None and before.task is not None:
        before.task.cancel()
    return _Pod(target)


class Rounds:
    """Reads the pods of one Release for the gates that have them read in one way.

    Args:
        scraper: reads pages.
        asker: for whom.
        interval: seconds between two rounds.
        clock: the time.
        failed: told that a pod did not answer: it may be gone.
        filters: whether pods may be asked for the wanted metrics alone.
    """

    def __init__(
        self,
        scraper: Scraper,
        asker: Asker,
        interval: float,
        clock: Clock,
        failed: Callable[[], None],
        *,
        filters: bool = False,
    ) -> None:
        self._scraper, self._asker, self._interval, self._clock, self._failed = scraper, asker, interval, clock, failed
        self._filters = filters
        self._canary, self._stable = _Version(), _Version()
        self._series = Series(())
        self._protobuf = False

    def want(self, series: Series, canary: Chosen[Target], stable: Chosen[Target]) -> None:
        """Read these pods from now on, for these wishes."""
        if series.wishes != self._series.wishes:
            self._series, self._protobuf = series, False
            for pod in (*self._canary.pods.values(), *self._stable.pods.values()):
                pod.filtering = Filtering()
        self._canary.choose(canary)
        self._stable.choose(stable)

    async def round(self) -> Round:
        """Read every pod once, and return what came in time; what is slower comes with a later round, or not at all."""
        late, late_stable = self._collect(self._canary), self._collect(self._stable)
        # If both cannot be read in one round, they are in turn.
        turn = self._stable.put_off and self._stable.read < self._canary.read
        for version in (self._stable, self._canary) if turn else (self._canary, self._stable):
            await self._ask(version)
        canary = self._wanted(self._canary, late | self._collect(self._canary))
        stable, late_stable = (self._wanted(self._stable, pages) for pages in (self._collect(self._stable), late_stable))
        if stable:
            # A page of stable that is older than those of the new version would keep those waiting.
            for uid in late_stable:
                self._stable.pods[uid].late()
        else:
            # Each keeps them waiting for one round: better than to know nothing of stable.
            stable = late_stable
        self._protobuf = self._protobuf or self._buckets_missing((*canary.values(), *stable.values()))
        return Round(
            self._clock.now(),
            list(canary.values()),
            list(stable.values()),
            self._canary.chosen,
            self._stable.chosen,
            self._canary.missed,
            self._stable.missed,
        )

    def close(self) -> None:
        """Stop what is under way."""
        for version in (self._canary, self._stable):
            for pod in version.pods.values():
                if pod.task is not None:
                    pod.task.cancel()

    async def _ask(self, version: _Version) -> None:
        now, begun = self._clock.monotonic(), list[asyncio.Task[Page | Unscraped]]()
        # If they cannot all be read in one round, each is in turn: who is asked first has what is left of the namespace's share.
        for pod in sorted(version.pods.values(), key=lambda pod: pod.read):
            if pod.task is not None or now < pod.due:
                continue
            pod.asked, pod.began = self._clock.now(), now
            pod.task = asyncio.create_task(self._read(pod))
            if pod.quick:
                begun.append(pod.task)
        if begun:
            await asyncio.wait(begun, timeout=PATIENCE * self._interval)

    async def _read(self, pod: _Pod) -> Page | Unscraped:
        """Note when it is over, too: the page of a pod that nobody waited for is collected a round later, however quick it was."""
        try:
            return await self._page(pod.target, pod.filtering)
        finally:
            pod.ended = self._clock.monotonic()

    async def _page(self, target: Target, filtering: Filtering) -> Page | Unscraped:
        """Read a page: the wanted metrics alone where the pod filters, or may; the whole one at once where it does not."""
        read = partial(self._scraper.scrape, target, self._series, self._asker, 0.9 * self._interval, by=self)
        if self._filters and not self._protobuf and filtering.asks:
            page = await read(filtered=True)
            if isinstance(page, Page):
                if filtering.believes(page):
                    return page
            elif page.answered:
                filtering.refused()
            else:
                if page.asked and not page.put_off:
                    filtering.unanswered()
                return page
        page = await read(protobuf=self._protobuf)
        if isinstance(page, Page):
            filtering.whole(page)
        return page

    def _collect(self, version: _Version) -> dict[str, Scraped]:
        """Return the pages that have come since this was last asked, by the pods' UIDs."""
        now, found = self._clock.monotonic(), dict[str, Scraped]()
        for uid, pod in version.pods.items():
            task = pod.task
            if task is None or not task.done():
                pod.quick = pod.quick and task is None
                continue
            pod.task = None
            page = Unscraped("it was not read") if task.cancelled() else task.result()
            self._rest(pod, page.seconds)
            if isinstance(page, Unscraped):
                self._missed(pod, page, now)
                continue
            pod.failures, pod.words, pod.seldom = 0, "", self._seldom(page.seconds)
            pod.read, pod.put_off = pod.began, False
            pod.quick = pod.ended - pod.began <= PATIENCE * self._interval
            assert pod.asked is not None
            found[uid] = Scraped(pod.target, pod.asked, page)
        return found

    def _wanted(self, version: _Version, pages: dict[str, Scraped]) -> dict[str, Scraped]:
        """Return the pages that are wanted still: pods and wishes may have changed since they were asked for.

        A gateway's page has no wish that is new, either, and is handed on to all others.
        """
        wishes = () if self._series.marks else self._series.wishes
        return {uid: one for uid, one in pages.items() if uid in version.pods and all(wish in one.page.counted for wish in wishes)}

    def _rest(self, pod: _Pod, seconds: float) -> None:
        """Leave a pod alone for long whose page took long to read; in each round it would take too much."""
        pod.due = max(pod.due, pod.began + REST * seconds)

    def _seldom(self, seconds: float) -> str:
        """Say why a pod whose page was read is left out for the next rounds; empty where it is not."""
        if REST * seconds <= self._interval:
            return ""
        return f"its page took {seconds:.1f}s of processor time, so it is read every {REST * seconds:.0f}s"

    def _missed(self, pod: _Pod, page: Unscraped, now: float) -> None:
        pod.words, pod.put_off = page.words, page.put_off
        if page.put_off:
            # The pod is there.
            return
        pod.failures, pod.quick = pod.failures + 1, False
        if pod.failures > 1:
            pod.due = max(pod.due, now + min(LONGEST_REST, self._interval * 2.0 ** min(pod.failures - 1, _DOUBLED)))
        self._failed()

    def _buckets_missing(self, pages: Iterable[Scraped]) -> bool:
        """Whether a page has a histogram without buckets, which a native one is as text."""
        wishes = [one for one in self._series.wishes if one.histogram and one.native]
        return any(one.page.counted[wish].found and one.page.counted[wish].histogram is None for one in pages for wish in wishes)
