"""All that is read for one Release, and only while its rollout waits for it.

Pods, slices and bound objects are too many to be watched for every Release of a cluster; a rollout that needs them asks for its
own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from tidegate.api.names import Reason
from tidegate.api.status import ReleaseStatus
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import ENDPOINT_SLICES, PODS
from tidegate.controller.observe.bindings import Bindings
from tidegate.controller.observe.flags import Flags
from tidegate.controller.observe.flags import asked as wanted_of
from tidegate.controller.observe.flags import seen as seen_of_flags
from tidegate.controller.observe.hook_config import HookConfig
from tidegate.controller.observe.hooks import Hooks
from tidegate.controller.observe.on_demand import (
    BOUND,
    CALLS,
    CALLS_AT_ONCE,
    CALLS_OF_ONE,
    FLAG_CALLS,
    FLAGS,
    REASONS,
    RIGHTS,
    RUNS,
    SELECTED,
    STABLE_REASONS,
    USER_ENDPOINTS,
    Inquiries,
    owned,
    slim,
)
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.relations import SERVICE_OF_SLICE
from tidegate.controller.observe.rights import Rights
from tidegate.controller.observe.runs import Runs, ids_of, seen
from tidegate.controller.observe.runs import asked as questions_of
from tidegate.controller.observe.together import COLLECTING, Together
from tidegate.engine.plan import Plan
from tidegate.engine.waits import Inquiry
from tidegate.governance.flags import FlagKind, FlagView
from tidegate.governance.runs import RunState, RunView
from tidegate.runtime.clock import Clock
from tidegate.runtime.store import Object
from tidegate.traffic.routers import Routers
from tidegate.traffic.selection import selection_of
from tidegate.traffic.services import Services


@dataclass(frozen=True)
class Answers:
    """What was read around the user's Service; None each where it was not.

    Attributes:
        endpoints: its EndpointSlices.
        selected: pods that it selects.
        bound: what is bound to it by its name.
    """

    endpoints: list[Object] | None = None
    selected: list[Object] | None = None
    bound: list[Object] | None = None


NOTHING = Answers()
MANY = 10_000
"""Releases that may ask at once for what is read together: how many lists are under way is counted there."""


class Questions:
    """Asks what plans want to know.

    Args:
        cluster: the API.
        clock: measures patience.
        arrived: told of a Release for which something new was read.
        entitled: told of one for which it was read whether those who have decided may; by default `arrived`.
        routers: whose routes are looked for that lead past a Release.
        rights: asks for the rights of those who have decided; None where nothing can be decided.
        hooks: what checks may call, by name.
        collecting: seconds for which those who ask for lists of one kind are collected.

    Attributes:
        reasons: pods of new versions, for their own reasons for not becoming ready.
        stable_reasons: those of stable versions.
        endpoints: those of users' Services.
        selected: the pods that users' Services select.
        bound: what is bound to users' Services by their names.
        rights: those of who has decided.
        checks: the Jobs of checks, which are made by it, too.
        calls: answers of hooks.
        flags: definitions of flags, which are written by it, too.
        flag_calls: answers of hooks that set flags.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Clock,
        arrived: Callable[[ReleaseKey], None],
        routers: Routers,
        rights: Rights | None = None,
        entitled: Callable[[ReleaseKey], None] | None = None,
        hooks: Mapping[str, HookConfig] | None = None,
        collecting: float = COLLECTING,
    ) -> None:
        self.reasons, self.stable_reasons = (
            Inquiries(query, cluster, clock=clock, arrived=arrived) for query in (REASONS, STABLE_REASONS)
        )
        together = partial(Together, cluster, collecting=collecting)
        slices, pods = together(ENDPOINT_SLICES, slim=slim), together(PODS, slim=owned)
        many = partial(Inquiries, cluster=cluster, clock=clock, arrived=arrived, at_once=MANY)
        self.endpoints = many(USER_ENDPOINTS, read=lambda place, name: slices.read(place, f"{SERVICE_OF_SLICE}={name}"))
        self.selected = many(SELECTED, read=pods.read)
        bindings = Bindings(cluster, clock=clock, routers=routers)
        self.bound = Inquiries(BOUND, cluster, clock=clock, arrived=arrived, read=bindings.read)
        self.checks = Inquiries(RUNS, cluster, clock=clock, arrived=arrived, read=Runs(cluster, clock=clock).read)
        calls = Hooks(hooks or {})
        self._flags = flags = Flags(cluster, calls)
        called = partial(Inquiries, cluster=cluster, clock=clock, arrived=arrived, at_once=CALLS_AT_ONCE, of_one=CALLS_OF_ONE)
        self.calls, self.flag_calls = called(CALLS, read=calls.read), called(FLAG_CALLS, read=flags.tell)
        self.flags = Inquiries(FLAGS, cluster, clock=clock, arrived=arrived, read=flags.read)
        self._rights = rights
        read = rights.read if rights is not None else None
        self.rights = Inquiries(RIGHTS, cluster, clock=clock, arrived=entitled or arrived, read=read)

    def pods(self, key: ReleaseKey, revision: str | None) -> list[Object] | None:
        """Return the pods of a version as read last, for their own reasons for not becoming ready; None where they were not."""
        return self.reasons.of(key, revision)

    def stable_pods(self, key: ReleaseKey, revision: str | None) -> list[Object] | None:
        """Return the pods of the version in force as read last; None where all are ready, or they were not read yet."""
        return self.stable_reasons.of(key, revision)

    def entitled(self, key: ReleaseKey) -> Mapping[str, bool] | None:
        """Return by uid of a decision whether whoever has made it may do so still; None where that was not asked."""
        found = self.rights.of(key, self._rights.asked(*key)) if self._rights is not None else None
        return None if found is None else {str(one["uid"]): bool(one["allowed"]) for one in found}

    def runs(self, key: ReleaseKey) -> Mapping[str, RunView]:
        """Return what was seen of the Jobs of checks, by their names, and of requests by their ids: those under way run."""
        under_way = dict.fromkeys(ids_of(self.calls.wanted(key)), RunView(RunState.RUNS))
        return {**under_way, **seen((*(self.checks.last(key) or ()), *(self.calls.last(key) or ())))}

    def flagged(self, key: ReleaseKey) -> Mapping[str, FlagView]:
        """Return what was seen of definitions of flags, by the flags' ids."""
        return seen_of_flags((*(self.flags.last(key) or ()), *(self.flag_calls.last(key) or ())))

    def answers(self, key: ReleaseKey, beside: Services | None) -> Answers:
        """Return what was read around the user's Service.

        Args:
            key: which Release.
            beside: the Services; None where the user's is missing.
        """
        if beside is None:
            return NOTHING
        return Answers(
            endpoints=self.endpoints.of(key, beside.name),
            selected=self.selected.of(key, selection_of(beside.user)),
            bound=self.bound.of(key, beside.name),
        )

    def ask(
        self, key: ReleaseKey, plan: Plan, beside: Services | None, version_label: str | None, *, stored: bool = True
    ) -> Iterator[float]:
        """Have read what is waited for; yield after how many seconds to ask again.

        Args:
            key: which Release.
            plan: what was decided.
            beside: the Services; None where the user's is missing.
            version_label: that tells the pods of a version from others; None where the workload is missing.
            stored: whether its status is stored: before that no Job is made.
        """
        status, name = plan.status, beside.name if beside is not None else None
        new, lost = status.candidate, status.rollout.lost if status.rollout is not None else None
        asked = Inquiry.PODS in plan.inquiries or (lost is not None and lost.unexplained > 0)
        if version_label and new is not None and status.step is not None and (new.ready < new.replicas or asked):
            yield self.reasons.want(key, new.revision, label=version_label, urgent=asked)
        else:
            self.reasons.forget(key)
        if version_label and (old := status.stable) is not None and old.ready < old.replicas:
            yield self.stable_reasons.want(key, old.revision, label=version_label)
        else:
            self.stable_reasons.forget(key)
        if Inquiry.ENDPOINTS in plan.inquiries and name is not None:
            wait = self.endpoints.want(key, name)
            if not plan.actions:
                # A way back that is refused is tried again by the queue instead, more and more rarely.
                yield wait
        else:
            self.endpoints.forget(key)
        if Inquiry.SELECTED in plan.inquiries and beside is not None and (selection := selection_of(beside.user)):
            yield self.selected.want(key, selection, at_ease=_at_ease(status, Reason.SHARED_SERVICE))
        else:
            self.selected.forget(key)
        if Inquiry.BOUND in plan.inquiries and name is not None:
            yield self.bound.want(key, name, at_ease=_at_ease(status, Reason.BOUND_BY_NAME))
        else:
            self.bound.forget(key)
        yield from self._ask_for_rights(key, plan)
        yield from self._ask_for_checks(key, plan, stored=stored)
        yield from self._ask_for_flags(key, plan, stored=stored)

    def _ask_for_flags(self, key: ReleaseKey, plan: Plan, *, stored: bool) -> Iterator[float]:
        told = tuple(wish for wish in plan.flags if wish.target.kind is FlagKind.HOOK)
        for inquiries, wanted in ((self.flags, tuple(wish for wish in plan.flags if wish not in told)), (self.flag_calls, told)):
            if not wanted:
                inquiries.forget(key)
            elif stored or not any(wish.writes for wish in wanted):
                yield inquiries.want(key, wanted_of(key.name, wanted))

    def _ask_for_checks(self, key: ReleaseKey, plan: Plan, *, stored: bool) -> Iterator[float]:
        for inquiries, wanted in ((self.checks, plan.runs), (self.calls, plan.calls)):
            if not wanted:
                inquiries.forget(key)
            elif stored:
                yield inquiries.want(key, questions_of(wanted))

    def _ask_for_rights(self, key: ReleaseKey, plan: Plan) -> Iterator[float]:
        if Inquiry.RIGHTS in plan.inquiries and self._rights is not None:
            yield self.rights.want(key, self._rights.asked(*key))
        else:
            self.rights.forget(key)

    def forget(self, key: ReleaseKey) -> None:
        """Nobody waits for anything of this Release any more."""
        for one in self._all:
            one.forget(key)

    async def stop(self) -> None:
        """End what is being read."""
        await asyncio.gather(*(one.stop() for one in self._all), self._flags.stop())

    @property
    def _all(self) -> tuple[Inquiries, ...]:
        pods = self.reasons, self.stable_reasons, self.endpoints, self.selected, self.bound
        return *pods, self.rights, self.checks, self.calls, self.flags, self.flag_calls


def _at_ease(status: ReleaseStatus, reason: Reason) -> bool:
    """Whether nothing that was read is in the way of a rollout for this reason."""
    return all(condition.reason != reason for condition in status.conditions)
