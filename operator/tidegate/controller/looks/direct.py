"""Has the pods of Releases read directly while their rollouts are on, or takes what is pushed; hands in at once what fails.

It runs beside looks and passes, and none of them waits for it: a pod that hangs costs its own page. Without a rollout whose
gates ask for it nothing is read, nothing that is pushed is kept, and no pod is listed.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog

from tidegate.api.direct import Direct
from tidegate.api.gate import BreachAction, Gate
from tidegate.api.metric import Source as Preset
from tidegate.api.push import Push
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Forbidden
from tidegate.cluster.resources import PODS
from tidegate.controller.looks.subject import Subject
from tidegate.controller.observe.references import ReleaseKey
from tidegate.judge.reading import Reading
from tidegate.prometheus.answers import Asker
from tidegate.prometheus.config import GatewayConfig
from tidegate.prometheus.direct.followed import Followed, Round
from tidegate.prometheus.direct.gateways import Gateways
from tidegate.prometheus.direct.readings import DirectReadings
from tidegate.prometheus.direct.rounds import Rounds
from tidegate.prometheus.direct.scraper import Scraper
from tidegate.prometheus.direct.targets import chosen, slim
from tidegate.prometheus.direct.text import Series
from tidegate.prometheus.promql import is_pod_of
from tidegate.runtime.clock import Clock

log = structlog.get_logger(__name__)

LISTED_EVERY = 10.0
"""Seconds between two lists of a Release's pods."""
LISTED_AGAIN = 2.0
"""Seconds until they are listed again where a pod does not answer: it may be gone, and its address another's."""
_WITHIN = 5.0
_EVERY = 1.0
"""Seconds between two rounds of what was pushed."""
FREE = 0.005
"""Seconds of processor time that it costs nobody to count what one round has brought: dozens of pods of usual metrics take less."""

HandIn = Callable[[ReleaseKey, Gate, Reading, bool], None]
"""Takes a reading that is to be decided on at once: of which Release and gate, and whether it is beyond a limit that rolls back."""


class Source(Protocol):
    """What tells of the pods of one Release, round by round."""

    def listed(self, series: Series, canary: Sequence[Mapping[str, Any]], stable: Sequence[Mapping[str, Any]]) -> None:
        """Tell of these pods from now on, each as `slim` returns it, for these wishes."""

    async def round(self) -> Round:
        """Return what is new."""

    def charge(self, seconds: float) -> None:
        """Charge those whose pods these are with processor time that it has taken to count what they say."""

    def close(self) -> None:
        """End what is under way."""


class Pushing(Protocol):
    """Where samples are pushed."""

    async def open(self) -> None:
        """Listen."""

    async def close(self) -> None:
        """Listen no more."""

    def source(self, namespace: str, connection: str, push: Push) -> Source:
        """Return what tells of pods by what is pushed."""


class _Pages(Rounds):
    """Reads the pods of one Release, of which the gates and their connection say which.

    Args:
        scraper: reads pages.
        key: the Release.
        direct: how the gates want them read.
        clock: the time.
        failed: told that a pod did not answer.
    """

    def __init__(self, scraper: Scraper, key: ReleaseKey, direct: Direct, clock: Clock, failed: Callable[[], None]) -> None:
        self._direct, self._config = direct, scraper.config
        seconds, filters = direct.interval.total_seconds(), self._config.filter_names
        super().__init__(scraper, Asker(key.namespace), seconds, clock, failed, filters=filters)

    def listed(self, series: Series, canary: Sequence[Mapping[str, Any]], stable: Sequence[Mapping[str, Any]]) -> None:
        """Tell of these pods from now on; see `Source.listed`."""
        choose = partial(chosen, direct=self._direct, host_network=self._config.host_network)
        self.want(series, choose(canary, most=self._config.canary_pods), choose(stable, most=self._config.stable_pods))

    def charge(self, seconds: float) -> None:
        """Charge the namespace of the pods; see `Source.charge`."""
        self._scraper.charge(self._asker, seconds)


@dataclass
class _Group:
    """Gates of one Release that have their pods judged in the same way.

    Attributes:
        seconds: how often what is new is taken in.
        rounds: tells of the pods.
        gates: what is followed.
        series: what is wanted of pages.
        task: the rounds.
        of_pods: whether the Release's own pods are told of, which are listed for it then; else gateways are.
    """

    seconds: float
    rounds: Source
    gates: tuple[Followed, ...] = ()
    series: Series = field(default_factory=lambda: Series(()))
    task: asyncio.Task[None] | None = None
    of_pods: bool = True


_Way = tuple[str, Direct | Push, Preset | None]
"""A connection, how gates are judged by what is read or pushed, and what kind of gateway counts their requests, if one does."""


@dataclass
class _Release:
    subject: Subject
    groups: dict[_Way, _Group] = field(default_factory=dict)
    pods: tuple[list[dict[str, Any]], list[dict[str, Any]]] | None = None
    listed: float = float("-inf")
    again: bool = False
    listing: asyncio.Task[None] | None = None
    warming: asyncio.Task[None] | None = None


class DirectLane:
    """Reads pods of the Releases that are looked at.

    Args:
        readings: what the gates make of what was read.
        scrapers: by the name of their connection.
        cluster: lists pods.
        clock: the time.
        pushing: where samples are pushed; None where they are not.
        gateways: those that connections name, by the name of their connection.
    """

    def __init__(
        self,
        readings: DirectReadings,
        scrapers: Mapping[str, Scraper],
        cluster: Cluster,
        clock: Clock,
        pushing: Pushing | None = None,
        *,
        gateways: Mapping[str, Gateways] | None = None,
    ) -> None:
        self._readings, self._scrapers, self._cluster, self._clock = readings, scrapers, cluster, clock
        self._pushing, self._spent = pushing, time.thread_time
        self._gateways = gateways or {}
        self._releases: dict[ReleaseKey, _Release] = {}
        self.hand_in: HandIn = lambda *_: None

    async def open(self) -> None:
        """Let samples be pushed.

        Raises:
            Terminal: nobody can.
        """
        if self._pushing is not None:
            await self._pushing.open()

    @property
    def followed(self) -> int:
        """How many Releases have their pods read."""
        return sum(bool(one.groups) for one in self._releases.values())

    def follow(self, key: ReleaseKey, subject: Subject, looked_at: Collection[str]) -> None:
        """Read the pods of a Release from now on, as those of its gates want it that are looked at."""
        wanted = [gate for gate in subject.gates.values() if gate.own is not None and gate.name in looked_at]
        if subject.since is None or not wanted:
            self.forget(key)
            return
        release = self._releases.get(key)
        if release is None:
            release = self._releases[key] = _Release(subject)
        elif _versions(release.subject) != _versions(subject):
            release.pods, release.listed = None, float("-inf")
        release.subject = subject
        # A warm-up counts for nothing, so nothing is read before its end.
        now = self._clock.now()
        ends = {gate.name: subject.since + gate.initial_delay for gate in wanted}
        begun = [gate for gate in wanted if ends[gate.name] <= now]
        followed = self._readings.follow(begun, subject.names, subject.revision, subject.states, alone=subject.alone)
        self._group(key, release, followed)
        if release.warming is not None:
            release.warming.cancel()
            release.warming = None
        if later := [end for end in ends.values() if end > now]:
            warm = self._follow_later(key, subject, frozenset(looked_at), (min(later) - now).total_seconds())
            release.warming = asyncio.create_task(warm, name=f"warm-up of {key}")

    async def _follow_later(self, key: ReleaseKey, subject: Subject, looked_at: Collection[str], seconds: float) -> None:
        await self._clock.sleep(seconds)
        release = self._releases.get(key)
        if release is not None and release.subject is subject:
            release.warming = None
            self.follow(key, subject, looked_at)

    def forget(self, key: ReleaseKey) -> None:
        """Read the pods of a Release no more."""
        release = self._releases.pop(key, None)
        if release is None:
            return
        for group in release.groups.values():
            _end(group)
        for task in (release.listing, release.warming):
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        """Stop, and close all connections."""
        for key in list(self._releases):
            self.forget(key)
        closing = [*(one.close() for one in self._scrapers.values()), *(one.close() for one in self._gateways.values())]
        await asyncio.gather(*closing)
        if self._pushing is not None:
            await self._pushing.close()

    def _group(self, key: ReleaseKey, release: _Release, followed: Iterable[Followed]) -> None:
        by_way: dict[_Way, list[Followed]] = {}
        for one in followed:
            by_way.setdefault((one.gate.connection, one.way, one.gateway), []).append(one)
        for way in set(release.groups) - set(by_way):
            _end(release.groups.pop(way))
        for way, gates in by_way.items():
            group = release.groups.get(way)
            if group is None:
                group = release.groups[way] = self._begin(key, release, way)
            if tuple(gates) != group.gates:
                group.gates = tuple(gates)
                group.series = Series(tuple(dict.fromkeys(wish for one in gates for wish in one.wishes)))
                self._choose(release, group)

    def _begin(self, key: ReleaseKey, release: _Release, way: _Way) -> _Group:
        connection, asked, gateway = way

        def failed() -> None:
            release.again = True

        if isinstance(asked, Push):
            assert self._pushing is not None
            group = _Group(_EVERY, self._pushing.source(key.namespace, connection, asked))
        elif gateway is not None:
            at = self._gateways[connection].source(key.namespace, gateway)
            group = _Group(asked.interval.total_seconds(), at, of_pods=False)
        else:
            seconds = asked.interval.total_seconds()
            group = _Group(seconds, _Pages(self._scrapers[connection], key, asked, self._clock, failed))
        group.task = asyncio.create_task(self._run(key, release, group), name=f"direct readings {key}")
        return group

    async def _run(self, key: ReleaseKey, release: _Release, group: _Group) -> None:
        interval = group.seconds
        # Each Release has a phase of its own, or all would be read in one instant.
        phase = zlib.crc32(f"{key.namespace}/{key.name}".encode()) % 1000 / 1000 * interval
        while True:
            if group.of_pods:
                self._list(key, release)
            try:
                await self._round(key, release, group)
            except Exception:  # a bug in one Release's readings must not end those of all
                log.exception("direct readings failed", release=str(key))
            now = self._clock.monotonic()
            await self._clock.sleep(interval - (now - phase) % interval)

    async def _round(self, key: ReleaseKey, release: _Release, group: _Group) -> None:
        if group.of_pods and release.pods is None:
            if release.listing is not None:
                await asyncio.wait({release.listing})
            if release.pods is None:
                return
        found = await group.rounds.round()
        if group.of_pods and release.pods is None:
            # The versions are others meanwhile: these pages are not theirs.
            return
        subject, spent = release.subject, 0.0
        for one in group.gates:
            gate, began = one.gate, self._spent()
            try:
                reading = self._readings.take(one, found, alpha=subject.alpha, alone=subject.alone)
            except Exception as error:  # a bug over the numbers of one gate must not keep the others from theirs
                if one.broken(error):
                    log.exception("direct readings failed", release=str(key), gate=gate.name)
                continue
            spent += self._spent() - began
            if reading is not None:
                self.hand_in(key, gate, reading, one.failing and gate.on_breach is BreachAction.ROLLBACK and not gate.dry_run)
        if spent > FREE:
            group.rounds.charge(spent - FREE)

    def _list(self, key: ReleaseKey, release: _Release) -> None:
        """Have the pods listed if it is time."""
        now = self._clock.monotonic()
        if release.listing is None and now - release.listed >= (LISTED_AGAIN if release.again else LISTED_EVERY):
            release.listed, release.again = now, False
            release.listing = asyncio.create_task(self._listed(key, release), name=f"pods of {key}")

    async def _listed(self, key: ReleaseKey, release: _Release) -> None:
        subject = release.subject
        revisions = f"{subject.revision},{subject.stable_revision}"
        try:
            selector = f"{subject.version_label} in ({revisions})"
            listing = await self._cluster.list(PODS.path(key.namespace), label_selector=selector, within=_WITHIN, slim=slim)
        except ApiError as error:
            log.warning("pods could not be listed for direct readings", release=str(key), cause=str(error))
            return
        finally:
            release.listing = None
        if _versions(subject) != _versions(release.subject):
            release.listed = float("-inf")
            return
        release.pods = _parted(listing.items, subject)
        for group in release.groups.values():
            if group.of_pods:
                self._choose(release, group)

    def _choose(self, release: _Release, group: _Group) -> None:
        if not group.of_pods:
            group.rounds.listed(group.series, (), ())
            return
        if release.pods is None:
            return
        canary, stable = release.pods
        compares = any(one.gate.versus_stable is not None for one in group.gates)
        group.rounds.listed(group.series, canary, stable if compares else [])


async def pods_of_gateway(cluster: Cluster, config: GatewayConfig) -> Sequence[Mapping[str, Any]] | str:
    """Return the pods of a gateway, each as `slim` returns it; or why they cannot be listed, in words."""
    try:
        listing = await cluster.list(PODS.path(config.namespace), label_selector=config.labels, within=_WITHIN, slim=slim)
    except ApiError as error:
        log.warning("pods of a gateway could not be listed", gateway=config.name, namespace=config.namespace, cause=str(error))
        if isinstance(error, Forbidden):
            return "the operator may not list its pods: give it that right in the gateway's namespace"
        return "its pods could not be listed"
    return listing.items


def _end(group: _Group) -> None:
    if group.task is not None:
        group.task.cancel()
    group.rounds.close()


def _versions(subject: Subject) -> tuple[str, ...]:
    names = subject.names
    return subject.revision, subject.stable_revision, names.canary_pods, names.stable_pods, subject.version_label


def _parted(pods: Iterable[dict[str, Any]], subject: Subject) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the pods of both versions: those that bear their labels and names, and not only the labels."""
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
    names = subject.names
    for pod in pods:
        revision = (pod["metadata"].get("labels") or {}).get(subject.version_label)
        for place, (wanted, expression) in enumerate(
            ((subject.revision, names.canary_pods), (subject.stable_revision, names.stable_pods))
        ):
            if revision == wanted and is_pod_of(expression, pod["metadata"]["name"]):
                found[place].append(pod)
    return found
