"""One test's corner of the cluster: a namespace, its history, what its user wrote, and an operator that serves it alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from e2e import manifests
from e2e.history import History
from e2e.manifests import NAME, App, Json
from e2e.operator_process import Operator
from e2e.prometheus_stand_in import StandIn
from tidegate.api.kept import opened
from tidegate.api.names import ANNOTATION_REQUEST
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import RELEASES, resource_of
from tidegate_sandbox.cluster import ClusterInfo
from tidegate_sandbox.loadgen import Load

USER = "shop-team"
"""Field manager of the user, who applies as GitOps tools do: server-side, with force."""
PATIENCE = 90.0
"""Seconds until a test gives up waiting. What it waits for takes a few; a machine that is busy may take many more."""


@dataclass
class World:
    """What Given, When and Then share.

    Attributes:
        info: the sandbox.
        cluster: the API, as its administrator.
        namespace: of this test alone.
        history: what happened in it.
        operator: serves this namespace.
        stand_in: answers for Prometheus where a gate names the connection `stand-in`.
        app: the user's Deployment as written last.
        written: specs of the user's other objects as the API server took them, by kind.
        load: requests through Envoy, if any.
        failing: versions that answer with errors or crash, as they were told to.
        app_deleted: the user has deleted the Deployment: nothing is to serve any more.
    """

    info: ClusterInfo
    cluster: Cluster
    namespace: str
    history: History
    operator: Operator
    stand_in: StandIn
    app: App = field(default_factory=App)
    written: dict[str, Json] = field(default_factory=dict)
    load: Load | None = None
    failing: set[str] = field(default_factory=set)
    app_deleted: bool = False

    @property
    def host(self) -> str:
        """The host name of the user's route."""
        return f"{self.namespace}.example"

    # The user's hand.

    async def apply(self, manifest: Json) -> Json:
        """Apply a manifest in the test's namespace as the user's GitOps tool does."""
        namespaced = resource_of(manifest).namespaced
        place = {"namespace": self.namespace} if namespaced else {}
        placed = {**manifest, "metadata": {**manifest["metadata"], **place}}
        taken = await self.cluster.apply(placed, manager=USER)
        if manifest["kind"] in {"HTTPRoute", "Service"} and manifest["metadata"]["name"] == NAME:
            self.written[manifest["kind"]] = taken["spec"]
        return taken

    async def apply_app(self, app: App) -> None:
        """Apply the user's Deployment."""
        self.app = app
        await self.apply(manifests.deployment(app))

    async def ask(self, verb: str) -> str:
        """Ask by the annotation on the Release, with an id that was not used before; return the request."""
        request = f"{verb}/{time.time_ns()}"
        body = {"metadata": {"annotations": {ANNOTATION_REQUEST: request}}}
        await self.cluster.merge_patch(RELEASES.path(self.namespace, NAME), body, manager=USER)
        return request

    async def kubectl(self, *arguments: str, stdin: str | None = None, within: float = PATIENCE) -> tuple[int, str]:
        """Run kubectl in the test's namespace; return its exit status and all that it says."""
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            "--namespace",
            self.namespace,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(within):
                said, _ = await process.communicate(stdin.encode() if stdin else None)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return process.returncode, said.decode()

    # What there is to see.

    @property
    def release(self) -> Json:
        """The Release as it is now; empty where there is none."""
        return self.history.get("Release", NAME) or {}

    @property
    def status(self) -> Json:
        """The Release's status as it is now."""
        return opened(self.release.get("status") or {})

    @property
    def message(self) -> str:
        """What the Release's status says in words."""
        return str(self.status.get("message", ""))

    def condition(self, kind: str) -> Json:
        """Return a condition of the Release; empty where it has none."""
        return condition_of(self.release, kind)

    def replica_set(self, version: str) -> Json | None:
        """Return the newest ReplicaSet whose image has this tag."""
        found = [rs for rs in self.history.all("ReplicaSet") if image_of(rs).endswith(f":{version}")]
        return max(found, key=lambda rs: rs["metadata"]["creationTimestamp"], default=None)

    def replicas(self, version: str) -> int:
        """Return how many pods of a version are wanted."""
        found = self.replica_set(version)
        return int(found["spec"]["replicas"]) if found else 0

    def ready(self, version: str) -> int:
        """Return how many pods of a version are ready."""
        found = self.replica_set(version)
        return int((found.get("status") or {}).get("readyReplicas") or 0) if found else 0

    def pods(self, version: str) -> list[Json]:
        """Return the pods of a version that are there and not being stopped."""
        return [
            pod
            for pod in self.history.all("Pod")
            if pod["spec"]["containers"][0]["image"].endswith(f":{version}") and not pod["metadata"].get("deletionTimestamp")
        ]

    @property
    def route(self) -> Json:
        """The user's HTTPRoute as it is now."""
        found = self.history.get("HTTPRoute", NAME)
        assert found is not None, "there is no HTTPRoute"
        return found

    # Waiting.

    async def until(self, what: str, holds: Callable[[], Any], *, within: float = PATIENCE) -> None:
        """Wait until something holds; a test that waits in vain says for what, and all that is known."""
        found: list[Any] = []

        def settled() -> bool:
            found[:] = [holds()]
            return bool(found[0]) or self.operator.trouble

        if await self.history.until(settled, within=within) and found[0]:
            return
        words = self.operator.trouble or f"not within {within:g} s"
        raise AssertionError(f"{words}: {what}\n{self.account()}")

    async def stays(self, what: str, holds: Callable[[], Any], *, seconds: float) -> None:
        """Watch for some seconds that something does not cease to hold."""
        if await self.history.until(lambda: not holds(), within=seconds):
            raise AssertionError(f"did not stay so for {seconds:g} s: {what}\n{self.account()}")

    def account(self) -> str:
        """Tell everything that explains why a test waits in vain."""
        status = {key: self.status.get(key) for key in ("phase", "message", "weight", "step", "gates", "handledRequest")}
        conditions = [f"{c['type']}={c['status']} ({c['reason']}): {c['message']}" for c in self.status.get("conditions", ())]
        events = sorted(self.history.events(), key=lambda event: event["metadata"]["creationTimestamp"])
        sets = [
            f"{image_of(rs)} {rs['spec']['replicas']} wanted, status {rs.get('status')}" for rs in self.history.all("ReplicaSet")
        ]
        routes = [f"{seen.at:.2f} {weights(seen.object)}" for seen in self.history.versions("HTTPRoute")]
        parts = {
            "Release": [f"{key}: {value}" for key, value in status.items()] + conditions,
            "Events": [f"{event['type']} {event['reason']}: {event['message']}" for event in events],
            "ReplicaSets": sets,
            "Route, version by version": routes,
            "Operator": self.operator.tail().splitlines(),
        }
        return "\n".join(f"--- {title}\n" + "\n".join(lines) for title, lines in parts.items())

    # The end.

    async def stop_load(self) -> None:
        """Send nothing more, and wait for the answers that are under way."""
        if self.load is not None:
            await self.load.stop()

    async def clear(self) -> None:
        """Leave nothing behind: the operator is gone already, so nobody else takes finalizers away."""
        for release in (await self.cluster.list(RELEASES.path(self.namespace))).items:
            path = RELEASES.path(self.namespace, release["metadata"]["name"])
            await self.cluster.merge_patch(path, {"metadata": {"finalizers": None}}, manager=USER)


def condition_of(release: Json, kind: str) -> Json:
    """Return a condition of a Release; empty where it has none."""
    return next((c for c in (release.get("status") or {}).get("conditions", ()) if c["type"] == kind), {})


def image_of(workload: Json) -> str:
    """Return the image of a Deployment's or ReplicaSet's first container."""
    return str(workload["spec"]["template"]["spec"]["containers"][0]["image"])


def weights(route: Json) -> list[dict[str, int]]:
    """Return the weight of each backend, rule by rule."""
    return [
        {backend["name"]: int(backend.get("weight", 1)) for backend in rule.get("backendRefs", ())}
        for rule in route["spec"]["rules"]
    ]


def canary_share(route: Json) -> float:
    """Return the new version's share in percent of what the user's Service has in the first rule that names it."""
    for rule in weights(route):
        own = {name: weight for name, weight in rule.items() if name in {NAME, f"{NAME}-stable", f"{NAME}-canary"}}
        if own:
            return 100 * own.get(f"{NAME}-canary", 0) / (sum(own.values()) or 1)
    return 0
