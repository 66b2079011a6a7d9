"""The caches of everything around Releases, how far these can be trusted, and the hold policy."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import structlog

from tidegate.api.names import HOLD_POLICY, Reason
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Forbidden, NotFound
from tidegate.cluster.reflector import Reflector, State
from tidegate.cluster.resources import (
    CLUSTER_ROLLOUT_POLICIES,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
)
from tidegate.controller.observe.relations import Relation, Relations, policy_of
from tidegate.engine.snapshot import Blocker
from tidegate.runtime.clock import Clock
from tidegate.runtime.errors import Terminal
from tidegate.runtime.store import Object, Store

log = structlog.get_logger(__name__)

SYNC_SECONDS = 60.0
"""Longest wait for the first lists; Releases that need what could not be listed by then wait on, and the others are served."""
LISTS_AT_ONCE = 2
"""Lists that are made at a time: thousands of objects take much more memory on their way in than once they are kept."""
LOOK_SECONDS = 1.0
"""Between looks at the state of the caches."""
AGAIN_SECONDS = 5.0
"""Between looks at the hold policy while they fail."""
HOLD_SECONDS = 60.0
"""Between looks at the hold policy: for so long a change of it goes unnoticed."""
FORBIDDEN_SECONDS = 600.0
"""The same at most where it may not be read: people change that, and rarely. An API server that has just started forbids everything
for a second, so the first looks come sooner."""

_UNTOLD = frozenset({State.ABSENT, State.FORBIDDEN})
"""What the API server says where it tells of no objects."""


@dataclass(frozen=True)
class Prerequisites:
    """What is in the way of a Release, and is none of its own objects.

    Attributes:
        blockers: what is absent, forbidden or not known.
        blind: some of what it needs has never been seen, so that what the caches lack may well be there.
    """

    blockers: tuple[Blocker, ...] = ()
    blind: bool = False


class Informers:
    """Everything around Releases.

    Args:
        cluster: the API.
        store: the caches.
        relations: what is watched, and which Releases need it.
        clock: the time.
        namespaces: namespaces that are served; empty for all.
        jitter: spreads requests.
        changed: told that every Release has to be looked at again.
        cluster_policies: whether what no namespace has is read, which takes rights for the whole cluster:
            ClusterRolloutPolicies, ReleaseFreezes, labels of namespaces.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        relations: Relations,
        *,
        clock: Clock,
        namespaces: Collection[str],
        jitter: random.Random,
        changed: Callable[[], None],
        cluster_policies: bool = True,
    ) -> None:
        self._cluster, self._clock, self._changed = cluster, clock, changed
        self._cluster_policies = cluster_policies
        places: list[str | None] = list(namespaces) or [None]
        turns = asyncio.Semaphore(LISTS_AT_ONCE)
        self._mirrors: list[tuple[str | None, Relation, Reflector]] = [
            (
                place,
                relation,
                Reflector(
                    cluster,
                    relation.resource,
                    store,
                    clock=clock,
                    namespace=place,
                    label_selector=relation.label,
                    keep=relation.keep,
                    jitter=jitter,
                    turns=turns,
                ),
            )
            for relation in relations
            if cluster_policies or relation.resource.namespaced
            for place in (places if relation.resource.namespaced else [None])
        ]
        self.keep_held = True
        self._look_again, self._forbidden = AGAIN_SECONDS, 0

    @property
    def reflectors(self) -> list[Reflector]:
        """The mirrors of all that is watched; the caller runs them."""
        return [reflector for _, _, reflector in self._mirrors]

    async def first(self) -> None:
        """Wait until it is known how things stand, for a minute at most.

        Raises:
            Terminal: the API server does not know policies.
        """
        await asyncio.gather(*(reflector.wait_synced(SYNC_SECONDS) for reflector in self.reflectors))
        for _, relation, reflector in self._mirrors:
            health = reflector.health
            if health.state is State.ABSENT and relation.own:
                words = f"the API server does not know {reflector.resource.qualified}: apply crds/ first"
                raise Terminal(words, reason=Reason.API_ABSENT)
            if health.state is not State.SYNCED:
                log.warning("not watched", resource=reflector.resource.qualified, state=health.state.value, cause=health.message)
        await self._look_for_hold()

    async def run(self) -> None:
        """Have every Release looked at again when something changes that no object tells of, until cancelled."""
        before, looked = self._outlook(), self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if self._clock.monotonic() - looked >= self._look_again:
                await self._look_for_hold()
                looked = self._clock.monotonic()
            if (now := self._outlook()) != before:
                before = now
                self._changed()

    def prerequisites(self, release: Object) -> Prerequisites:
        """Return what has to be there before anything can be decided on a Release, as far as it is in the way."""
        blockers, blind = [], False
        if not self._cluster_policies and policy_of(release) is CLUSTER_ROLLOUT_POLICIES:
            words = "spec.policyRef: this operator reads no ClusterRolloutPolicy (clusterPolicies: false): name a RolloutPolicy"
            blockers.append(Blocker(Reason.MISSING_POLICY, words))
        for relation, reflector in self._needed(release):
            health, resource = reflector.health, reflector.resource
            never_seen = health.age == float("inf")
            match health.state:
                case State.ABSENT:
                    blockers.append(Blocker(Reason.API_ABSENT, f"{resource.qualified}: {health.message}"))
                    continue
                case State.FORBIDDEN:
                    blockers.append(Blocker(Reason.NO_PERMISSION, f"list or watch {resource.qualified}: {health.message}"))
                case _ if never_seen:
                    words = health.message or "not listed yet"
                    blockers.append(Blocker(Reason.API_ERROR, f"list {resource.qualified}: {words}"))
            blind = blind or (never_seen and not relation.own)
        return Prerequisites(tuple(blockers), blind)

    def unread(self, kind: str) -> str:
        """Return why it is not known which objects of a kind there are, in words; empty where it is, or the kind is not watched."""
        for _, relation, reflector in self._mirrors:
            health = reflector.health
            if relation.resource.kind == kind and (health.state in _UNTOLD or health.age == float("inf")):
                return f"list or watch {reflector.resource.qualified}: {health.message or 'not listed yet'}"
        return ""

    def ages(self) -> dict[str, float]:
        """Return for how many seconds nothing has been heard of a resource, in any namespace."""
        ages: dict[str, float] = {}
        for reflector in self.reflectors:
            name = reflector.resource.qualified
            ages[name] = max(ages.get(name, 0.0), reflector.health.age)
        return ages

    def report(self) -> Iterator[tuple[str, bool, str]]:
        """Yield of each cache the resource, whether it is known how things stand, and that in words."""
        for place, _, reflector in self._mirrors:
            health = reflector.health
            # What is absent or forbidden stands in the status of the Releases that need it; no new start of the operator mends it.
            known = health.state in {State.SYNCED, State.ABSENT, State.FORBIDDEN}
            name = reflector.resource.qualified + (f" in {place}" if place else "")
            yield name, known, health.message or f"{health.state.value}, heard {health.age:.0f} s ago"

    def _needed(self, release: Object) -> Iterator[tuple[Relation, Reflector]]:
        places = {None, release["metadata"]["namespace"]}
        for place, relation, reflector in self._mirrors:
            if place in places and relation.needed(release):
                yield relation, reflector

    def _outlook(self) -> tuple[object, ...]:
        """Return what the way of Releases depends on, but for objects."""
        states = ((r.health.state if r.health.state in _UNTOLD else None, r.health.age == float("inf")) for r in self.reflectors)
        return (self.keep_held, *states)

    async def _look_for_hold(self) -> None:
        """Find out whether the API server itself holds changed templates; until that is known, workloads stay held."""
        before, self._look_again = self.keep_held, AGAIN_SECONDS
        try:
            for resource in (MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS):
                await self._cluster.get(resource.path(None, HOLD_POLICY))
        except (NotFound, Forbidden) as error:
            self.keep_held = True
            self._forbidden = self._forbidden + 1 if isinstance(error, Forbidden) else 0
            self._look_again = (
                min(FORBIDDEN_SECONDS, AGAIN_SECONDS * 2.0 ** min(self._forbidden - 1, 16)) if self._forbidden else HOLD_SECONDS
            )
            cause = "it is not there" if isinstance(error, NotFound) else str(error)
        except ApiError as error:
            # An API server that is away, or has too much to do, says nothing of the policy.
            log.warning("the admission policy could not be read", policy=HOLD_POLICY, cause=str(error))
            return
        else:
            self.keep_held, self._look_again, cause = False, HOLD_SECONDS, "it is there"
        if self.keep_held is not before:
            log.info("admission policy", policy=HOLD_POLICY, keepHeld=self.keep_held, cause=cause)
