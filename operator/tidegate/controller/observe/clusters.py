"""Releases of other clusters, read by one watch for each cluster: what is kept is as much as proves a version, and no more.

Another cluster may be away, wrongly set up, or not be what it should be. Nothing of this cluster waits for it: what could not be
read is a view that says so, and the barrier that reads it is closed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from tidegate.cluster.client import Cluster
from tidegate.cluster.config import ClusterConfig
from tidegate.cluster.kubeconfig import KubeconfigError, connect_by, place_by
from tidegate.cluster.reflector import Reflector, State
from tidegate.cluster.resources import RELEASES
from tidegate.cluster.sending import Json
from tidegate.controller.observe.upstreams import LONGEST_NAME, shown_of, told_apart, unlooked, view_of
from tidegate.governance.times import moment
from tidegate.governance.upstreams import UpstreamView
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Change, Store

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""Between looks whether a cluster is away, or is back."""
RETRY_SECONDS = 10.0
"""Between attempts at a kubeconfig that cannot be used, and between looks whether one that is used leads elsewhere by now."""
SETTLE_SECONDS = 0.5
"""After a break, until what was missed counts as known: a watch that goes on tells it right behind its acceptance."""
BACK = "what happened meanwhile is still being read from cluster"
"""What is said for as long."""
LARGEST = 16 * 1024 * 1024
"""Bytes of a page or an event that another cluster may send: ten times as many as an object may have there."""
LONGEST = 100_000
"""Releases that another cluster may list, also in namespaces that nobody may look at: their names are held until it ends."""
MOST = 10_000
"""Releases of another cluster that are kept, some 600 bytes each."""

Turned = Callable[[str], None]
"""Told that a cluster is away, or is back."""
Changed = Callable[[str, Change], None]
"""Told of a cluster that what others may know of a Release there has changed."""


class Clusters:
    """All other clusters.

    Args:
        configs: by their names, how each is reached and who may look at what.
        clock: the time.
        jitter: spreads requests.
        changed: told of each change that concerns those who look at it.
        turned: told that a cluster is away, or is back.
    """

    def __init__(
        self, configs: Mapping[str, ClusterConfig], *, clock: Clock, jitter: random.Random, changed: Changed, turned: Turned
    ) -> None:
        self._configs = configs
        self._others = {
            name: OtherCluster(name, config, clock=clock, jitter=jitter, changed=changed, turned=turned)
            for name, config in configs.items()
        }

    def parts(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Yield what the process has to run, by names for people."""
        for name, other in self._others.items():
            yield f"watch of cluster {name}", other.run()

    def view(self, own: str, cluster: str, namespace: str, name: str) -> UpstreamView:
        """Return how a Release there stands, for Releases of a namespace here.

        Args:
            own: the namespace here.
            cluster: where the other Release is.
            namespace: of the other Release.
            name: of the other Release.
        """
        config = self._configs.get(cluster)
        if config is None or not config.allows(own, namespace):
            return unlooked(own, cluster, namespace, name)
        return self._others[cluster].view(namespace, name)

    def ages(self) -> dict[str, float]:
        """Return by the names of clusters for how many seconds nothing was heard of them."""
        return {name: other.age for name, other in self._others.items()}


class OtherCluster:
    """One other cluster. It is reached by its kubeconfig, which may come, change and be wrong for a while.

    Args:
        name: what Releases call it.
        config: how it is reached, and who may look at what.
        clock: the time.
        jitter: spreads requests.
        changed: told of each change that concerns those who look at it.
        turned: told that it is away, or is back.
    """

    def __init__(
        self, name: str, config: ClusterConfig, *, clock: Clock, jitter: random.Random, changed: Changed, turned: Turned
    ) -> None:
        self._name, self._path, self._seen = name, Path(config.kubeconfig), config.seen
        self._clock, self._jitter, self._changed, self._turned = clock, jitter, changed, turned
        self._store = Store(clock)
        self._mirror: Reflector | None = None
        self._trouble = ""
        self._began = clock.now()

    @property
    def age(self) -> float:
        """Seconds since something was heard of it; infinite if nothing ever was."""
        return self._mirror.health.age if self._mirror is not None else float("inf")

    def view(self, namespace: str, name: str) -> UpstreamView:
        """Return how one of its Releases stands; whoever asks has made sure that the namespace may be looked at."""
        unread = self.unread()
        found = self._store.get(RELEASES.kind, namespace, name)
        if not unread and found is None and self._store.count(RELEASES.kind) >= MOST:
            full = f"cluster {self._name} has more than {MOST} Releases in the namespaces that may be read"
            unread = f"{full}; allow fewer in clusters.{self._name}"
        if unread:
            return UpstreamView(release=name, namespace=namespace, cluster=self._name, unread=unread)
        return view_of(found, namespace, name, self._name)

    def unread(self) -> str:
        """Return why nothing is known of it now, with the cure; empty where something is. The words stay while it is so."""
        where = f"clusters.{self._name}.kubeconfig"
        if self._mirror is None and not self._trouble:
            return f"cluster {self._name} was not read yet: the operator has just started"
        if self._mirror is None:
            return f"cluster {self._name} cannot be reached: {where}: {self._trouble}; fix that file"
        health = self._mirror.health
        match health.state:
            case State.SYNCED:
                return "" if health.steady >= SETTLE_SECONDS else f"{BACK} {self._name}"
            case State.ABSENT:
                return f"cluster {self._name} knows no Releases; install Tidegate's kinds there, or fix {where}"
            case State.FORBIDDEN:
                cure = f"renew the credentials in {where}, or give its account there list and watch on {RELEASES.qualified}"
                return f"cluster {self._name} lets the operator read no Releases; {cure}"
        cure = f"check that its API server runs, and that the operator can reach it ({where})"
        return f"nothing was heard from cluster {self._name} since {moment(health.heard or self._began)}; {cure}"

    async def run(self) -> None:
        """Follow it until cancelled; nothing that is wrong with it ends this."""
        while True:
            try:
                await self._serve()
            except KubeconfigError as error:
                self._stand(None, str(error))
            except Exception as error:
                log.exception("another cluster could not be followed", cluster=self._name)
                self._stand(None, f"unexpected trouble ({type(error).__name__}), see the operator's log")
            await self._clock.sleep(RETRY_SECONDS)

    async def _serve(self) -> None:
        """Follow what the kubeconfig leads to, until it leads elsewhere."""
        place, connection = await place_by(self._path), await connect_by(self._path)
        async with Cluster(connection, largest=LARGEST, longest=LONGEST) as cluster:
            self._store = Store(self._clock)
            self._store.on_change(RELEASES.kind, self._told)
            self._began = self._clock.now()
            mirror = Reflector(
                cluster, RELEASES, self._store, clock=self._clock, keep=self._kept, jitter=self._jitter, shape=self._shape
            )
            self._stand(mirror, "")
            task = asyncio.create_task(mirror.run())
            try:
                await self._watch_over(place)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _watch_over(self, place: tuple[str, str]) -> None:
        """Tell when the cluster goes away and comes back; return once the kubeconfig leads to another one."""
        before, looked = self.unread(), self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if (now := self.unread()) != before and not now.startswith(BACK):
                before = now
                log.log(
                    logging.WARNING if now else logging.INFO, "another cluster", cluster=self._name, trouble=now or "none any more"
                )
                self._turned(self._name)
            if self._clock.monotonic() - looked < RETRY_SECONDS:
                continue
            looked = self._clock.monotonic()
            # One that cannot be read ends nothing: the connection goes on with what it has, and says so in the log.
            with suppress(KubeconfigError):
                if await place_by(self._path) != place:
                    return

    def _stand(self, mirror: Reflector | None, trouble: str) -> None:
        """Note by what the cluster is followed, or why by nothing, and tell those who look at it."""
        known = (self._mirror is None) == (mirror is None) and self._trouble == trouble
        self._mirror, self._trouble = mirror, trouble
        if known:
            return
        if trouble:
            log.warning("another cluster cannot be reached", cluster=self._name, kubeconfig=str(self._path), cause=trouble)
        self._turned(self._name)

    def _told(self, change: Change) -> None:
        if told_apart(change):
            self._changed(self._name, change)

    def _shape(self, release: Json) -> Json:
        if release["metadata"].get("namespace") in self._seen:
            return shown_of(release)
        metadata = {field: str(release["metadata"][field])[:LONGEST_NAME] for field in ("namespace", "name", "resourceVersion")}
        return {"apiVersion": RELEASES.api_version, "kind": RELEASES.kind, "metadata": metadata}

    def _kept(self, release: Json) -> bool:
        metadata = release["metadata"]
        known = self._store.kept(RELEASES.kind, metadata["namespace"], metadata["name"]) is not None
        return metadata["namespace"] in self._seen and (known or self._store.count(RELEASES.kind) < MOST)
