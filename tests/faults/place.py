"""One injection's corner of the cluster: a namespace, its user's objects, operators behind wires, a Prometheus, and a recorder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from api.operator_access import SYSTEM, token_of
from e2e import operator_process
from e2e.manifests import Json
from e2e.world import World
from faults.asking import Endpoint
from faults.prometheus import Prometheus
from faults.recorder import Recorder, Router
from faults.telling import Receivers
from faults.wire import Wire
from nursery import POISON, write_offset
from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import connect
from tidegate.cluster.errors import ApiError, NotFound
from tidegate.cluster.resources import NAMESPACES, RELEASES
from tidegate_sandbox.cluster import ClusterInfo

T = TypeVar("T")
QUICK = {"logLevel": "info", "warmUp": "100ms", "statusHeartbeat": "30s", "workers": 2}
GATEWAY = {"name": "faults", "namespace": "default"}
"""The Gateway of the tests' routes: one that no real controller feels responsible for."""
RBAC = "rbac.authorization.k8s.io/v1"
ELECTION = {"leaseName": "tidegate", "leaseDuration": "4s", "renewDeadline": "2s", "retryPeriod": "500ms"}
"""How two operators agree: as always, but in a quarter of the time."""
PATIENCE = 60.0
"""Seconds until a journey counts as stuck. Each part of one takes a few; what is tried again waits ten at most."""
DOWN = 0.3
"""Seconds between a crash and the next start."""


class Operator(operator_process.Operator):
    """An operator out of the nursery, behind a wire of its own.

    Args:
        wire: its way to the API server.
        place: folder for its files.
        token: as whom it speaks.
        namespaces: which it serves.
        config: its configuration.
    """

    def __init__(self, wire: Wire, place: Path, token: str, namespaces: Sequence[str], config: dict[str, Any]) -> None:
        folder = place / wire.name
        folder.mkdir()
        self.wire, self.clock = wire, folder / "clock"
        kubeconfig = wire.kubeconfig(token, folder / "kubeconfig")
        super().__init__(folder, kubeconfig, namespaces, QUICK | config, clock=self.clock)
        self._poison = folder / "poison"
        write_offset(self.clock, 0.0)
        self.starts, self._listened = 0, 0
        self._again: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.kept_alive = self._down = False

    async def start(self) -> None:
        """Start it."""
        self.starts += 1
        self._listened = len(self._ports())
        self._environment = {"POD_NAME": f"tidegate-{self.wire.name}-{self.starts}", POISON: str(self._poison)}
        await super().start()

    async def crash(self) -> None:
        """End it as a crash of its machine does, and start it again a moment later; nothing happens to one that is down."""
        if self._down:
            return
        self._down = True
        await self.kill()
        self._again = asyncio.create_task(self._start_again())

    async def _start_again(self) -> None:
        await asyncio.sleep(DOWN)
        await self.start()
        self._down = False

    async def up(self) -> None:
        """Wait until it has been started again after a crash."""
        if self._again is not None:
            await self._again

    def dismiss(self) -> None:
        """Tell it to end."""
        self._signal(signal.SIGTERM)

    async def gone(self) -> None:
        """Wait until the process that runs now has ended."""
        if self._process is not None:
            await self._process.wait()

    def keep_alive(self) -> None:
        """Start it again whenever it ends by itself, as a kubelet does."""
        self.kept_alive = True
        self._keeping = asyncio.create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        while True:
            process = self._process
            assert process is not None
            await process.wait()
            if process is self._process and not self._told:
                await asyncio.sleep(DOWN)
                await self.start()
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """End it as a crash of its machine would."""
        self._told = True
        await super().kill()

    async def leave_alone(self) -> None:
        """Start it no more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    @property
    def port(self) -> int | None:
        """The port of its endpoints since its last start; None while it does not listen."""
        ports = self._ports()
        return ports[-1] if len(ports) > self._listened else None

    def _ports(self) -> list[int]:
        return [int(line["port"]) for line in self.lines() if line.get("event") == "listening"]

    @property
    def trouble(self) -> str:
        """What must not happen to it, whatever happens around it; empty where all is well."""
        return self.bug if self._told or self.kept_alive else super().trouble

    def stop_breathing(self) -> None:
        """Have it hang, as on a machine that swaps or is being moved."""
        self._signal(signal.SIGSTOP)

    def breathe(self) -> None:
        """Have it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def poison(self, gate: str) -> None:
        """Have the judge of a gate raise at every look."""
        self._poison.write_text(gate)

    def antidote(self) -> None:
        """Let it judge again."""
        self._poison.unlink(missing_ok=True)

    @property
    def poisoned(self) -> list[str]:
        """The gates that it could not judge, as its log has them: one entry for each look."""
        return [line["gate"] for line in self.lines() if line.get("event") == "a gate could not be judged"]

    def step_clock(self, seconds: float) -> None:
        """Step its clock to so many seconds ahead of the host's."""
        write_offset(self.clock, seconds)


@dataclass
class Place(World):
    """A world whose routes belong to a router of the tests and whose operators can be hurt.

    Attributes:
        operators: all that serve the namespace; `operator` is the first.
        router: accepts routes.
        patience: seconds until a journey counts as stuck.
        prometheus: answers for the gates; the same as `stand_in`.
        recorder: what happened; the same as `history`.
        neighbour: namespace of another tenant on the same operators, which nothing is recorded of; empty where there is none.
        frozen: from when until when (time.time) releases are frozen here, so that nothing may rise.
        receivers: of notifications; None where nobody is told.
        endpoint: what checks by requests ask; None where nothing is asked.
        shards: into how many parts the operators share Releases out.
        turned: when the numbers of the new version turned bad (time.time), where it counts how soon that is asked for at all.
    """

    receivers: Receivers | None = None
    endpoint: Endpoint | None = None
    turned: float | None = None
    shards: int = 1
    neighbour: str = ""
    frozen: list[tuple[float, float]] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    router: Router | None = None
    patience: float = PATIENCE

    @property
    def prometheus(self) -> Prometheus:
        assert isinstance(self.stand_in, Prometheus)
        return self.stand_in

    @property
    def recorder(self) -> Recorder:
        assert isinstance(self.history, Recorder)
        return self.history

    @property
    def first(self) -> Operator:
        assert isinstance(self.operator, Operator)
        return self.operator

    @property
    def wire(self) -> Wire:
        return self.first.wire

    async def until(self, what: str, holds: Callable[[], Any], *, within: float | None = None) -> None:
        """Wait until something holds, for as long as a journey with a fault can take to get there."""
        await super().until(what, holds, within=within or self.patience)

    async def apply(self, manifest: Json) -> Json:
        """Apply a manifest as the user's GitOps tool does; it is tried again while the API server is away."""
        if manifest["kind"] == "HTTPRoute":
            manifest = {**manifest, "spec": {**manifest["spec"], "parentRefs": [GATEWAY]}}
        base = super().apply
        return await insist(lambda: base(manifest))

    async def ask(self, verb: str) -> str:
        """Ask by the annotation, likewise."""
        base = super().ask
        return await insist(lambda: base(verb))

    async def delete(self, path: str) -> None:
        """Delete an object, likewise; one that has gone already is deleted."""
        with contextlib.suppress(NotFound):
            await insist(lambda: self.cluster.delete(path))

    async def patch(self, path: str, body: Json) -> Json:
        """Patch an object as people and autoscalers do, likewise."""
        return await insist(lambda: self.cluster.merge_patch(path, body, manager="kubectl"))

    async def rest(self, seconds: float, *, within: float = 20.0) -> None:
        """Wait until nothing has changed and nothing was written for some seconds."""
        deadline = asyncio.get_running_loop().time() + within
        while True:
            before = self._marks()
            await asyncio.sleep(seconds)
            if before == self._marks() or asyncio.get_running_loop().time() > deadline:
                return

    def _marks(self) -> tuple[int, ...]:
        return (self.recorder.count, *(len(operator.wire.work) for operator in self.operators))


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask the API server, again and again while it is away."""
    for _ in range(150):
        try:
            return await ask()
        except ApiError as error:
            if error.status not in {0, 409, 429, 500, 503, 504}:
                raise
            await asyncio.sleep(0.2)
    return await ask()


class Grounds:
    """What all places share: the cluster's administrator, and a token of the operator's account."""

    def __init__(self, info: ClusterInfo, admin: Cluster, token: str, folder: Path) -> None:
        self.info, self.admin, self.token, self.folder = info, admin, token, folder

    @asynccontextmanager
    async def place(
        self,
        *,
        operators: int = 1,
        query_timeout: str = "1s",
        neighbour: bool = False,
        told: bool = False,
        asked: bool = False,
        **config: Any,
    ) -> AsyncIterator[Place]:
        """Open a place with operators that run; afterwards nothing of it is left.

        Args:
            operators: how many.
            query_timeout: for how long they wait for Prometheus.
            neighbour: whether they serve another tenant's namespace, too.
            told: whether there are receivers of notifications, one that takes all and one that hangs.
            asked: whether there is an endpoint that checks may ask.
            config: of the operators, beside what they are told everywhere.
        """
        served = await self._namespaces(neighbour=neighbour)
        namespace, folder = served[0], self.folder / served[0]
        folder.mkdir(parents=True)
        prometheus, recorder = Prometheus(), Recorder(self.admin, namespace)
        router, receivers, endpoint = Router(self.admin, namespace), Receivers() if told else None, Endpoint() if asked else None
        place: Place | None = None
        wires: list[Wire] = []
        try:
            await prometheus.start()
            config |= {"notifications": await receivers.start(folder)} if receivers is not None else {}
            config |= {"hooks": await endpoint.start(namespace)} if endpoint is not None else {}
            connections = [{"name": "stand-in", "address": prometheus.address, "timeout": query_timeout}]
            await self._open(wires, operators, neighbours=served[1:])
            config |= {"leaderElection": await self._let_elect(namespace)} if operators > 1 else {}
            made = [Operator(wire, folder, self.token, served, {"connections": connections, **config}) for wire in wires]
            async with recorder:
                router.follow(recorder)
                place = Place(self.info, self.admin, namespace, recorder, made[0], prometheus, operators=made, router=router)
                place.receivers, place.endpoint, place.shards = receivers, endpoint, config.get("shards", 1)
                place.neighbour = served[-1] if neighbour else ""
                for operator in made:
                    await operator.start()
                    if operators > 1:
                        operator.keep_alive()
                yield place
        finally:
            await asyncio.shield(self._leave(served, place, wires, prometheus, router))

    async def _namespaces(self, *, neighbour: bool) -> list[str]:
        """Create a namespace, and one of another tenant if there is to be one; return them."""
        name = f"faults-{uuid.uuid4().hex[:8]}"
        made = [name, *([f"{name}-neighbour"] if neighbour else [])]
        for one in made:
            await self.admin.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
        return made

    async def _open(self, wires: list[Wire], operators: int, *, neighbours: Sequence[str]) -> None:
        """Open a wire for each operator; those that are open are to be closed whatever becomes of the next."""
        for number in range(operators):
            wire = Wire(await connect()).setup(chr(ord("a") + number))
            wire.neighbours = frozenset(neighbours)
            await wire.start()
            wires.append(wire)

    async def _let_elect(self, namespace: str) -> Json:
        """Give the operators' account the right to a Lease in the namespace, as deploy/ does in the operator's own.

        Returns:
            What their configuration says of it.
        """
        verbs = ["create", "get", "watch", "update", "patch"]
        rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}]
        named = {"metadata": {"name": "election", "namespace": namespace}}
        role = {"apiVersion": RBAC, "kind": "Role", "rules": rules, **named}
        subject = {"kind": "ServiceAccount", "name": "tidegate", "namespace": SYSTEM}
        reference = {"apiGroup": RBAC.partition("/")[0], "kind": "Role", "name": "election"}
        binding = {"apiVersion": RBAC, "kind": "RoleBinding", "subjects": [subject], "roleRef": reference, **named}
        for body, plural in ((role, "roles"), (binding, "rolebindings")):
            await self.admin.create(f"/apis/{RBAC}/namespaces/{namespace}/{plural}", body)
        return ELECTION | {"namespace": namespace}

    async def _leave(
        self, namespaces: Sequence[str], place: Place | None, wires: list[Wire], prometheus: Prometheus, router: Router
    ) -> None:
        if place is not None and place.receivers is not None:
            await place.receivers.stop()
        if place is not None and place.endpoint is not None:
            await place.endpoint.stop()
        for operator in place.operators if place else ():
            operator.breathe()
            await operator.leave_alone()
            with contextlib.suppress(Exception):
                await operator.up()
            await operator.kill()
        await router.stop()
        for wire in wires:
            wire.cut_off = False
            await wire.stop()
        await prometheus.stop()
        for namespace in namespaces:
            for release in (await self.admin.list(RELEASES.path(namespace))).items:
                with contextlib.suppress(ApiError):
                    path = RELEASES.path(namespace, release["metadata"]["name"])
                    await self.admin.merge_patch(path, {"metadata": {"finalizers": None}})
            await self.admin.delete(NAMESPACES.path(None, namespace))


@asynccontextmanager
async def grounds(folder: Path) -> AsyncIterator[Grounds]:
    """Open what all places share. The kinds, policies and rights of deploy/ must be there."""
    info = ClusterInfo.from_environment()
    token = await asyncio.to_thread(token_of, "tidegate")
    async with Cluster(await connect()) as admin:
        yield Grounds(info, admin, token, folder)


def dump(place: Place) -> str:
    """Tell everything that explains what went wrong in a place."""
    written = [f"{one.at:.3f} {one.wire} {one.status} {one.asked}" for operator in place.operators for one in operator.wire.written]
    told = [json.dumps(line) for operator in place.operators for line in operator.lines()[-60:]]
    return "\n".join([place.account(), "--- Writes", *written, "--- Logs", *told])
