"""Reads the pods of gateways, once for all Releases whose requests they count: a gateway is everybody's, and so is its page.

The page is searched for the series of each Release's own Services alone. What a status says of a gateway is the name that the
configuration gives it and the number of a pod, never a name of its namespace.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from tidegate.api.metric import Source
from tidegate.prometheus.answers import Asker
from tidegate.prometheus.config import DirectConfig, GatewayConfig
from tidegate.prometheus.direct.effort import PUT_OFF, SHARE
from tidegate.prometheus.direct.followed import Round
from tidegate.prometheus.direct.rounds import Rounds
from tidegate.prometheus.direct.scraper import Scraper
from tidegate.prometheus.direct.seen import Scraped
from tidegate.prometheus.direct.targets import Chosen, Missed, Pod, Target, chosen, sampled
from tidegate.prometheus.direct.text import OTHERS, Series
from tidegate.prometheus.direct.wanted import Wanted
from tidegate.runtime.clock import Clock

log = structlog.get_logger(__name__)

SPACING = 0.9
"""Seconds between two readings of a gateway's pods at least, for however many Releases: a page costs the gateway, too."""
_INTERVAL = 1.0
_LISTED_EVERY, _LISTED_AGAIN = 10.0, 2.0
"""Seconds between two lists of a gateway's pods, and until the next one where a pod does not answer: it may be gone."""
_LOGGED_EVERY = 60.0
MOST, MOST_OF_NAMESPACE = 64, 16
"""Releases whose series are looked for on a connection's gateways at the same time at most, and those of one namespace: each is
looked for in all of a page."""
_HOST_NETWORK = "direct.gateways.hostNetwork"
_OWN_PUT_OFF = f"put off: what is read and counted for this namespace takes more than {SHARE:.0%} of the operator's processor time"
_PUT_OFF = f"put off: pages of its namespace take more than {SHARE:.0%} of the operator's processor time"
_FULL = f"{MOST} rollouts, or {MOST_OF_NAMESPACE} of this namespace, are read at gateways already"

Lister = Callable[[GatewayConfig], Awaitable[Sequence[Mapping[str, Any]] | str]]
"""Lists the pods of a gateway, each as `slim` returns it; or says why that cannot be."""


class Gateway:
    """Reads the pods of one gateway, as often as somebody asks, and not more often than once in `SPACING`.

    Args:
        config: which pods these are.
        scraper: reads pages.
        lister: lists pods.
        clock: the time.

    Attributes:
        config: as above.
        chosen: the pods that are read, and those that cannot be, under names that say nothing of their namespace.
        pages: the last page of each pod that is read, by its uid.
    """

    def __init__(self, config: GatewayConfig, scraper: Scraper, lister: Lister, clock: Clock) -> None:
        self.config, self._lister, self._clock = config, lister, clock
        # Not filtered: what is wanted changes with each rollout that begins, so it would be tried again and again.
        self._rounds = Rounds(scraper, Asker(config.namespace), _INTERVAL, clock, self._failed)
        self._series = Series(())
        self._found = Chosen[Target]()
        self._numbers: dict[str, int] = {}
        self.chosen = Chosen[Target]()
        self.pages: dict[str, Scraped] = {}
        self._missed: tuple[Missed, ...] = ()
        self._began = self._listed = self._logged = float("-inf")
        self._again = False
        self._listing: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def missed(self) -> tuple[Missed, ...]:
        """Pods whose last page was not read, or is seldom, under such names; of those that there were then who is there still."""
        there = {one.pod for one in self._found.targets}
        return self._named(one for one in self._missed if one.pod in there)

    def want(self, wishes: tuple[Wanted, ...]) -> None:
        """Look for these from now on; for nothing where nobody wants any."""
        if not wishes:
            self._idle()
        elif wishes != self._series.wishes:
            self._series = Series(wishes)
            self._rounds.want(self._series, self._found, Chosen())

    async def read(self) -> None:
        """Have the pods read that were not just now; who asks meanwhile waits for the same pages."""
        now = self._clock.monotonic()
        if self._listing is None and now - self._listed >= (_LISTED_AGAIN if self._again else _LISTED_EVERY):
            self._listed, self._again = now, False
            self._listing = asyncio.create_task(self._list(), name=f"pods of gateway {self.config.name}")
        if self._listing is not None and not self._found.pods:
            await asyncio.wait({self._listing})
        under_way = self._reading is not None and not self._reading.done()
        if not under_way and self._found.targets and self._clock.monotonic() - self._began >= SPACING:
            self._began = self._clock.monotonic()
            self._reading = asyncio.create_task(self._read(), name=f"pages of gateway {self.config.name}")
        reading = self._reading
        if reading is not None:
            await asyncio.wait({reading})
            # One that was stopped, as nobody wanted it any more, must not stop whoever waits for it.
            if not reading.cancelled():
                reading.result()

    def called(self, pod: str) -> str:
        """Return what a pod is called where everybody may read it."""
        number = self._numbers.get(pod)
        return f"a pod of gateway {self.config.name}" if number is None else f"pod {number} of gateway {self.config.name}"

    def _idle(self) -> None:
        for task in (self._listing, self._reading):
            if task is not None:
                task.cancel()
        self._listing = self._reading = None
        self._rounds.close()
        self._rounds.want(Series(()), Chosen(), Chosen())
        self._series, self._found, self.chosen = Series(()), Chosen(), Chosen()
        self.pages, self._missed, self._listed = {}, (), float("-inf")

    def _failed(self) -> None:
        self._again = True

    async def _read(self) -> None:
        found = await self._rounds.round()
        self.pages |= {one.target.uid: one for one in found.canary}
        self._prune()
        self._missed = tuple(found.missed)
        self._log()

    def _log(self) -> None:
        """Name the pods that cannot be read: statuses have their numbers alone."""
        missed = (*self._found.missed, *self._missed)
        if missed and self._clock.monotonic() - self._logged >= _LOGGED_EVERY:
            self._logged = self._clock.monotonic()
            pods = [{"number": self._numbers.get(one.pod), "name": one.pod, "words": one.words} for one in missed]
            log.warning("pods of a gateway cannot be read, or not each time", gateway=self.config.name, pods=pods)

    async def _list(self) -> None:
        try:
            found = await self._lister(self.config)
        finally:
            if self._listing is asyncio.current_task():
                self._listing = None
        if isinstance(found, str):
            if not self._found.pods:
                self.chosen = Chosen(missed=(Missed(f"gateway {self.config.name}", found),))
            return
        config = self.config
        # A gateway's containers begin at times that say nothing of what it has counted for a version.
        whole = chosen(found, config.direct, config.pods, host_network=config.host_network, named_by=_HOST_NETWORK)
        self._found = replace(whole, targets=tuple(replace(one, born=None) for one in whole.targets))
        self._numbers = {str(pod["metadata"]["name"]): number for number, pod in enumerate(sampled(found), start=1)}
        self.chosen = replace(self._found, missed=(*self._named(self._found.missed), *self._more()), bounded=self._beyond > 0)
        self._prune()
        self._rounds.want(self._series, self._found, Chosen())
        self._log()

    @property
    def _beyond(self) -> int:
        """How many pods are left out since the configuration has no more of them read."""
        more = self._found.pods - len(self._found.targets) - len(self._found.missed)
        return more if len(self._found.targets) >= self.config.pods else 0

    def _more(self) -> Iterable[Missed]:
        """Name what is not read since there is too much, or nothing."""
        name, more = self.config.name, self._beyond
        if not self._found.pods:
            yield Missed(f"gateway {name}", "no pod has its labels (direct.gateways)")
        elif more > 0:
            yield Missed(f"{more} more pods of gateway {name}", f"only {self.config.pods} are read (direct.gateways.pods)")

    def _prune(self) -> None:
        there = {one.uid for one in self._found.targets}
        self.pages = {uid: one for uid, one in self.pages.items() if uid in there}

    def _named(self, missed: Iterable[Missed]) -> tuple[Missed, ...]:
        return tuple(
            replace(one, pod=self.called(one.pod), words=_PUT_OFF if one.words == PUT_OFF else one.words) for one in missed
        )


class Gateways:
    """The gateways that one connection names.

    Args:
        config: what the connection allows.
        scraper: reads pages of gateways.
        lister: lists pods.
        clock: the time.
    """

    def __init__(self, config: DirectConfig, scraper: Scraper, lister: Lister, clock: Clock) -> None:
        self.scraper, self._clock, self.most_series = scraper, clock, config.series_per_pod
        self._all = tuple(Gateway(one, scraper, lister, clock) for one in config.gateways)
        self._sources: dict[AtGateways, None] = {}

    def source(self, namespace: str, source: Source) -> AtGateways:
        """Return what tells of one Release by the gateways that have the metrics of a preset."""
        return AtGateways(self, namespace, tuple(one for one in self._all if one.config.source is source), self._clock)

    def join(self, source: AtGateways) -> bool:
        """Look for what a source wants, if there is room for it, and return whether there is."""
        if source not in self._sources:
            of = Counter(one.namespace for one in self._sources)
            if len(self._sources) >= MOST or of[source.namespace] >= MOST_OF_NAMESPACE:
                return False
            self._sources[source] = None
            self._want()
        return True

    def changed(self) -> None:
        """Look for what the sources want now."""
        self._want()

    def drop(self, source: AtGateways) -> None:
        """Look no more for what a source wants."""
        self._sources.pop(source, None)
        self._want()

    async def close(self) -> None:
        """Stop, and close all connections."""
        self._sources.clear()
        self._want()
        await self.scraper.close()

    def _want(self) -> None:
        for one in self._all:
            one.want(tuple(dict.fromkeys(wish for source in self._sources if one in source.of for wish in source.wishes)))


class AtGateways:
    """What gateways' pages tell of one Release, for gates that have it judged in one way.

    Args:
        gateways: all of the connection.
        namespace: of the Release.
        of: the gateways that count its requests, or may.
        clock: the time.
    """

    def __init__(self, gateways: Gateways, namespace: str, of: tuple[Gateway, ...], clock: Clock) -> None:
        self._gateways, self.namespace, self.of, self._clock = gateways, namespace, of, clock
        self.wishes: tuple[Wanted, ...] = ()
        self._floor = clock.now()
        self._seen: dict[str, datetime] = {}

    def listed(self, series: Series, canary: Sequence[Mapping[str, Any]], stable: Sequence[Mapping[str, Any]]) -> None:
        """Look for these wishes from now on; the Release's own pods have no part in it.

        A page that was asked for before may be of the time of a warm-up, which counts nothing.
        """
        del canary, stable
        self.wishes, self._floor = series.wishes, self._clock.now()
        self._gateways.changed()

    async def round(self) -> Round:
        """Return the pages that are new, each of which has both versions."""
        if not self._gateways.join(self):
            return self._nothing(_FULL)
        if self._gateways.scraper.owes(Asker(self.namespace)):
            return self._nothing(_OWN_PUT_OFF)
        await asyncio.gather(*(one.read() for one in self.of))
        there = {uid: page for one in self.of for uid, page in one.pages.items()}
        self._seen = {uid: at for uid, at in self._seen.items() if uid in there}
        pages = list(self._new(there))
        missed = [one for gateway in self.of for one in gateway.missed]
        crowded = [one for gateway in self.of for one in self._crowded(gateway)]
        targets = tuple(target for one in self.of for target in one.chosen.targets)
        beyond = tuple(found for one in self.of for found in one.chosen.missed)
        bounded = any(one.chosen.bounded for one in self.of)
        whole = Chosen(targets, beyond, sum(one.chosen.pods for one in self.of), bounded)
        return Round(self._clock.now(), pages, pages, whole, whole, missed, missed, crowded)

    def _nothing(self, words: str) -> Round:
        """Return that no pod is read for now, and why."""
        none = Chosen[Pod](missed=(Missed("gateways", words),), pods=sum(one.chosen.pods for one in self.of))
        return Round(self._clock.now(), chosen=none, chosen_stable=none)

    def charge(self, seconds: float) -> None:
        """Charge the Release's namespace: what its gates make of a page is its own."""
        self._gateways.scraper.charge(Asker(self.namespace), seconds)

    def close(self) -> None:
        """Look for nothing any more."""
        self._gateways.drop(self)

    def _new(self, there: Mapping[str, Scraped]) -> Iterable[Scraped]:
        for uid, one in there.items():
            # A page that was read before a wish came has nothing of it. One that has too much for a wish has the others.
            known = one.page.counted.keys() | one.page.crowded
            if one.at > max(self._floor, self._seen.get(uid, self._floor)) and known >= set(self.wishes):
                self._seen[uid] = one.at
                yield one

    def _crowded(self, gateway: Gateway) -> Iterable[tuple[Missed, frozenset[Wanted]]]:
        """Name pods that have too many series of the Release, with the wishes that these are too many for."""
        most = self._gateways.most_series
        words = f"more than {most:,} series of the Release, or {OTHERS * most:,} with its Services' names (direct.seriesPerPod)"
        missed = {one.pod for one in gateway.missed}
        for one in gateway.pages.values():
            name = gateway.called(one.target.pod)
            if name not in missed and one.page.crowded:
                yield Missed(name, words), one.page.crowded
