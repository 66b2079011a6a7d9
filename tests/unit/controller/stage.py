"""The reconciler with everything around it, on a clock that stands still until the test moves it."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tidegate.api.gate import Gate
from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, LABEL_RELEASE, Cause, Phase
from tidegate.api.originals import OriginalRule
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import ReleaseStatus, RevisionStatus, RolloutStatus, StepStatus
from tidegate.cluster.events import Recorder
from tidegate.controller.looks.looks import Looks
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.decisions import Decisions
from tidegate.controller.observe.gather import Gatherer
from tidegate.controller.observe.informers import Prerequisites
from tidegate.controller.observe.on_demand import BOUND, SELECTED
from tidegate.controller.observe.questions import Questions
from tidegate.controller.observe.references import References, ReleaseKey
from tidegate.controller.observe.relations import SERVICE_OF_SLICE, Relations
from tidegate.controller.observe.write_through import CachedCluster
from tidegate.controller.reconcile.groups import Mode, Sources, Targets, Timers
from tidegate.controller.reconcile.outbox import Outbox
from tidegate.controller.reconcile.outcomes import Outcomes
from tidegate.controller.reconcile.reconciler import Reconciler
from tidegate.controller.reconcile.records import Records
from tidegate.controller.reconcile.sinks.events import Events
from tidegate.controller.reconcile.sinks.sink import Sink
from tidegate.engine.plan import Role
from tidegate.governance.admission import Standing
from tidegate.judge.reading import Reading
from tidegate.prometheus.queries import Names
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.queue import KeyedQueue
from tidegate.runtime.scheduler import Scheduler
from tidegate.runtime.spare import Spare
from tidegate.runtime.store import Change, Store
from tidegate.traffic import services
from tidegate.traffic.routers import Routers
from unit.controller import objects
from unit.controller.api_server import ApiServer, settled
from unit.controller.objects import NAME, NAMESPACE, Json

KEY = ReleaseKey(NAMESPACE, NAME)
PATH = f"/apis/tidegate.dev/v1alpha1/namespaces/{NAMESPACE}/releases/{NAME}"
ROUTE_PATH = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes/{NAME}"
DEPLOYMENT_PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"


class Stage:
    """What a story is played on."""

    def __init__(
        self, api: ApiServer, spare: Spare | None = None, *, sinks: Sequence[Sink] = (), routers: Routers | None = None
    ) -> None:
        routers = routers or Routers.all()
        relations = Relations(routers)
        self.api, self.clock, self.references = api, ManualClock(), References(relations)
        labels = (SERVICE_OF_SLICE, LABEL_RELEASE, LABEL_POD_TEMPLATE_HASH)
        self.store = Store(self.clock, labels=labels, needed=self.references.need, spare=spare)
        self.store.on_change("Release", self._learn)
        self.cluster = CachedCluster(api.connection(), self.store, relations)
        self.queue: KeyedQueue[ReleaseKey] = KeyedQueue(self.clock, jitter=random.Random(1))
        self.due: Scheduler[ReleaseKey] = Scheduler(self.clock)
        self.metrics = Metrics()
        self.recorder = Recorder(self.cluster, clock=self.clock, instance="test")
        self.values: dict[str, float | None] = {}
        self.looks = Looks(clock=self.clock, reader=self, arrived=self.queue.add)
        self.questions = Questions(self.cluster, clock=self.clock, arrived=self.queue.add, routers=routers, collecting=0)
        self.pods, self.endpoints = self.questions.reasons, self.questions.endpoints
        self.outside = Prerequisites()
        self.keep_held, self.pressing, self.ending = False, False, False
        self.decisions = Decisions(self.store, Standing)
        self.gatherer = Gatherer(
            self.store, routers, clock=self.clock, warm_up=1.5, decisions=self.decisions, runs=self.questions.runs
        )
        self.told = Events(self.recorder, clock=self.clock)
        self.outbox = Outbox((self.told, *sinks))
        self.outcomes = Outcomes(self.cluster, clock=self.clock)
        self.records = Records(self.cluster, self.outbox.recorded, clock=self.clock, moved=self.queue.add, metrics=self.metrics)
        self.reconciler = Reconciler(
            Sources(self.store, self.gatherer, self.looks, self.questions, lambda _: self.outside),
            Targets(self.cluster, routers, self.outbox, self.metrics, self.outcomes, self.records),
            Timers(self.clock, self.due, self.queue.add, timedelta(seconds=30)),
            Mode(keep_held=lambda: self.keep_held, pressing=lambda: self.pressing, ending=lambda: self.ending),
        )

    def _learn(self, change: Change) -> None:
        key = ReleaseKey(change.key.namespace, change.key.name)
        self.store.let_go(self.references.learn(key, change.new))

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        """Whether it is known from where on counters count: these gates have none."""
        return True

    def rest(self, namespace: str, release: str, gate: str) -> float:
        return 0.0

    def forget(self, namespace: str, release: str) -> None:
        """Let go of what is known of a Release: nothing."""

    async def read(
        self, gate: Gate, names: Names, revision: str, at: datetime, since: datetime | None, *, weight_since: datetime | None = None
    ) -> Reading:
        """Answer for Prometheus."""
        return Reading(gate=gate.name, revision=revision, at=at, canary=self.values.get(gate.name), stable=0.0)

    async def close(self) -> None:
        await self.questions.stop()
        await self.recorder.stop(within=0)
        await self.cluster.close()

    def add(self, obj: Json) -> Json:
        """Let an author write an object, which the watch sees at once."""
        return self.api.put(obj, self.store)

    def adopted(self, *, route: bool = True, status: Json | None = None, **spec: Any) -> None:
        """Put on stage a Release whose Deployment serves v1."""
        self.add(objects.policy(**spec))
        deployment = self.add(objects.deployment(labels={LABEL_RELEASE: NAME}))
        self.add(objects.replica_set(deployment))
        self.add(objects.service())
        self.add(objects.route())
        stable = ReleaseStatus(stable=RevisionStatus(revision="aaaa", version="v1", replicas=2, ready=2), phase=Phase.IDLE)
        metadata = {"finalizers": ["tidegate.dev/handback"]}
        self.add(objects.release(route=route, status=status or stable.to_wire(), metadata=metadata))

    def at_ten_percent(self, **spec: Any) -> None:
        """Put on stage a rollout of v2 over v1 that has 10% since a minute ago."""
        then = self.clock.now() - timedelta(seconds=20)
        policy = RolloutPolicySpec.model_validate(objects.policy(**spec)["spec"])
        original = [{"name": NAME, "port": 80}]
        status = ReleaseStatus(
            phase=Phase.PROGRESSING,
            weight=10,
            stable=RevisionStatus(revision="aaaa", version="v1", replicas=2, ready=2),
            candidate=RevisionStatus(revision="bbbb", version="v2", replicas=1, ready=1),
            step=StepStatus(index=0, weight=10, entered=then, since=then, until=then + policy.steps[0].hold),
            rollout=RolloutStatus(policy="RolloutPolicy/production", spec=policy, started_at=then, exposed_at=then),
            original_rules=(OriginalRule(route=NAME, rule=0, backend_refs=json.dumps(original)),),
        )
        self.adopted(status=status.to_wire(), **spec)
        deployment = self.add(objects.deployment("checkout:v2", paused=True, labels={LABEL_RELEASE: NAME}))
        canary = objects.replica_set(deployment, "checkout:v2", hashed="bbbb", replicas=1)
        canary["metadata"]["labels"] |= {LABEL_RELEASE: NAME, "tidegate.dev/role": "canary"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "uid": "namespace"}}
        release = self.api.objects[PATH]
        canary["metadata"]["ownerReferences"] = [
            objects.owned_by(namespace),
            objects.owned_by(release, controller=False),
        ]
        self.add(canary)
        self._own_services()
        pair = [{"name": f"{NAME}-stable", "port": 80, "weight": 90}, {"name": f"{NAME}-canary", "port": 80, "weight": 10}]
        self.add(objects.route(NAME, *pair))

    def _own_services(self) -> None:
        user = self.api.objects[f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}"]
        around = services.Services(release=NAME, release_uid=self.api.objects[PATH]["metadata"]["uid"], user=user)
        for role, revision in ((Role.STABLE, "aaaa"), (Role.CANARY, "bbbb")):
            body = services.body(around, role, revision=revision)
            self.add(body)
            name = body["metadata"]["name"]
            self.add(
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "namespace": NAMESPACE,
                        "name": f"{name}-x",
                        "labels": {SERVICE_OF_SLICE: name, LABEL_RELEASE: NAME},
                    },
                    "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "targetRef": {"uid": role.value}}],
                    "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
                }
            )

    def arrive(self, value: float | None, *, gate: str = "error-rate") -> None:
        """Let a look of a gate come in, as if Prometheus had answered just now."""
        self.values[gate] = value

    async def look(self) -> None:
        """Take the looks that are due, and wait for what they find."""
        for slot in self.looks._scheduler.pop_due():
            self.looks._start(slot)
        for task in tuple(self.looks._flying.values()):
            await task

    async def breach(self) -> None:
        """Let the gate's next look find an error rate of half."""
        self.values["error-rate"] = 0.5
        self.clock.advance(2.5)
        await self.look()

    def restarted(self, *, sinks: Sequence[Sink] = ()) -> Stage:
        """Return the next life of an operator: all that it knows is what the API server has."""
        again = Stage(self.api, sinks=sinks)
        for obj in self.api.objects.values():
            if obj["kind"] != "Event":
                again.store.upsert(obj["kind"], copy.deepcopy(obj))
        return again

    async def passes(self, most: int = 12) -> int:
        """Make passes until one of them writes nothing, and return how many were made."""
        for number in range(most):
            before = len(self.api.requests)
            await self.reconciler.reconcile(KEY)
            if len(self.api.requests) == before and not await self._reading():
                return number + 1
        raise AssertionError(f"still writing after {most} passes: {self.api.requests[-3:]}")

    async def _reading(self) -> bool:
        """Wait for what is read around the user's Service, and return whether it was being read for the first time just now."""
        asked = ((SELECTED, self.questions.selected, f"app={NAME}"), (BOUND, self.questions.bound, NAME))
        waited = {f"{query.what} {KEY}": (by, value) for query, by, value in asked if by.of(KEY, value) is None}
        tasks = [task for task in asyncio.all_tasks() if task.get_name() in waited]
        await asyncio.gather(*tasks)
        return any(by.of(KEY, value) is not None for by, value in waited.values())

    async def knows_what_is_around(self) -> None:
        """Let a pass have the pods read that the user's Service selects."""
        await self.reconciler.reconcile(KEY)
        await self._reading()

    @property
    def status(self) -> Json:
        """The status as the API server has it."""
        status: Json = self.api.objects[PATH].get("status") or {}
        return status

    @property
    def kept(self) -> list[Json]:
        """The transitions that the status keeps, as the API server has it."""
        kept: list[Json] = (self.status.get("outbox") or {}).get("transitions", [])
        return kept

    @property
    def stalled(self) -> tuple[str, str, str]:
        """Status, reason and message of the condition Stalled."""
        condition = next(one for one in self.status["conditions"] if one["type"] == "Stalled")
        return condition["status"], condition["reason"], condition["message"]

    @property
    def weights(self) -> dict[str, int]:
        """The weights in the route as the API server has it."""
        backends = self.api.objects[ROUTE_PATH]["spec"]["rules"][0]["backendRefs"]
        return {backend["name"]: backend.get("weight", 1) for backend in backends}

    @property
    def undone(self) -> str | None:
        """Why the rollout is being undone, as the API server has it."""
        return (self.status.get("rollout") or {}).get("undo")


BREACH = Cause.GATE.value


async def events(stage: Stage, *, written: bool = True) -> list[str]:
    """Write out the Events that wait, unless they are to be lost, and return the reasons of all that are written."""
    if written:
        stage.told.tell_held()
        stage.recorder.start()
        await settled(lambda: not stage.recorder.waiting() and stage.recorder._idle.is_set())
        await stage.recorder.stop(within=0)
    # A patch of one that is there has no reason.
    return [body["reason"] for body in stage.api.written("/events") if "reason" in body]
