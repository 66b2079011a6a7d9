"""An operator before the sandbox's API server, behind a proxy that counts and fails, and a namespace for it to serve."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from aiohttp import web

from api.cluster_access import ROOT, apply, established, kubectl, once, run
from api.cluster_client_access import api_server
from api.fault_proxy import FaultProxy, fault_proxy
from api.shop import install_gateway_api
from nursery import shared
from operator_process import Operator
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import DEPLOYMENTS, EVENTS, HTTP_ROUTES, NAMESPACES, RELEASES, ROLLOUT_POLICIES, SERVICES, Resource

T = TypeVar("T")
Json = dict[str, Any]
SYSTEM, NAME = "tidegate-system", "checkout"
LABELS = {"app": NAME}
PATIENCE = 60.0
SEES_FREEZES: list[dict[str, Any]] = [
    {"apiGroups": ["tidegate.dev"], "resources": ["releasefreezes"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
]


def install() -> None:
    """Install deploy/ but for the Deployment and the admission policies: here Deployments stay paused between rollouts."""
    once("operator", _install)


def _install() -> None:
    objects = [found for found in yaml.safe_load_all(kubectl("kustomize", str(ROOT / "deploy"))) if found]
    definitions = [found for found in objects if found["kind"] in {"CustomResourceDefinition", "Namespace"}]
    apply(yaml.safe_dump_all(definitions))
    names = [f"crd/{found['metadata']['name']}" for found in definitions if found["kind"] == "CustomResourceDefinition"]
    established(*names)
    rights = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    apply(yaml.safe_dump_all([found for found in objects if found["kind"] in rights]))
    install_gateway_api()


def token_of(account: str, namespace: str = SYSTEM) -> str:
    """Return a token of a ServiceAccount."""
    return kubectl("create", "token", account, "--namespace", namespace, "--duration=2h").strip()


@dataclass
class Scene:
    """One test's namespace, the proxy and the operator that serves it."""

    admin: Cluster
    proxy: FaultProxy
    namespace: str
    folder: Path
    operators: list[Operator] = field(default_factory=list)

    @property
    def operator(self) -> Operator:
        """The operator that was started last."""
        return self.operators[-1]

    async def start(
        self,
        token: str | None = None,
        *,
        ready: bool = True,
        namespaces: tuple[str, ...] = (),
        program: tuple[str, ...] = (),
        forked: bool = True,
        environment: dict[str, str] | None = None,
        **config: Any,
    ) -> Operator:
        """Start an operator with the rights of a token; by default those of the ServiceAccount of deploy/.

        It is forked off a process that has imported everything, unless another program is asked for or its memory is looked at.
        """
        folder = self.folder / f"operator-{len(self.operators)}"
        folder.mkdir()
        kubeconfig = self.proxy.kubeconfig(token or token_of("tidegate"), folder / "kubeconfig")
        served = namespaces or (self.namespace,)
        wanted = {"logLevel": "info", "warmUp": "200ms", "statusHeartbeat": "30s", **config}
        nursery = shared() if forked and not program else None
        operator = Operator(folder, kubeconfig, served, wanted, program=program, environment=environment, nursery=nursery)
        self.operators.append(operator)
        await operator.start()
        if ready:
            await operator.ready()
        return operator

    async def create(self, resource: Resource, name: str, **body: Any) -> Json:
        """Create an object in the test's namespace, as its author would."""
        metadata = {"name": name, **body.pop("metadata", {})}
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **body}
        # As its author: under our own name the operator would take it for a trace of its own.
        return await self.admin.create(resource.path(self.namespace), whole, manager="kubectl")

    async def deployment(self, image: str = "checkout:v1", *, replicas: int = 2) -> Json:
        """Create the Deployment, on fake nodes."""
        pod = {
            "containers": [{"name": "app", "image": image}],
            "nodeSelector": {"type": "kwok"},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 1,
        }
        template = {"metadata": {"labels": LABELS}, "spec": pod}
        spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template}
        return await self.create(DEPLOYMENTS, NAME, spec=spec)

    async def policy(self, **spec: Any) -> Json:
        """Create the policy; by default one without gates that takes a few seconds."""
        plain = {"steps": [{"weight": 50, "hold": "1s"}, {"weight": 100}], "bake": "1s", "drain": "0s", "progressDeadline": "2m"}
        return await self.create(ROLLOUT_POLICIES, "production", spec=plain | spec)

    async def service(self) -> Json:
        """Create the user's Service."""
        return await self.create(SERVICES, NAME, spec={"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]})

    async def route(self) -> Json:
        """Create the user's route. Where no gateway runs, nobody accepts it; where one does, no other test's is in its way."""
        parent = {"name": "contour", "namespace": "projectcontour"}
        rules = [{"backendRefs": [{"name": NAME, "port": 80}]}]
        return await self.create(
            HTTP_ROUTES, NAME, spec={"parentRefs": [parent], "hostnames": [f"{self.namespace}.example"], "rules": rules}
        )

    async def release(self, *, route: bool = False, **spec: Any) -> Json:
        """Create the Release."""
        traffic = {"traffic": {"service": NAME, "gatewayAPI": {"httpRoutes": [{"name": NAME}]}}} if route else {}
        wanted = {"targetRef": {"name": NAME}, "policyRef": {"name": "production"}, **traffic}
        return await self.create(RELEASES, NAME, spec=wanted | spec)

    async def status(self) -> Json:
        """Return the status of the Release."""
        found = await self.admin.get(RELEASES.path(self.namespace, NAME))
        status: Json = found.get("status") or {}
        return status

    async def until(self, holds: Callable[[Json], bool], *, within: float = PATIENCE) -> Json:
        """Wait until the status is as wanted, and return it."""
        deadline = time.monotonic() + within
        while not holds(status := await self.status()):
            said = self.operator.tail(15) if self.operators else ""
            assert time.monotonic() < deadline, f"not within {within:g} s; the status is {json.dumps(status)}\n{said}"
            await asyncio.sleep(0.05)
        return status

    async def idle(self) -> Json:
        """Wait until the Release is content with what is there."""
        return await self.until(lambda status: condition(status, "Ready")[0] == "True")

    async def events(self, *reasons: str) -> dict[str, int]:
        """Wait for Events on the Release of these reasons; return how often each reason was told."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found: Counter[str] = Counter()
            for event in (await self.admin.list(EVENTS.path(self.namespace))).items:
                if event["involvedObject"]["kind"] == "Release":
                    found[event["reason"]] += event["count"]
            if set(reasons) <= set(found):
                return dict(found)
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)

    async def weights(self) -> dict[str, int]:
        """Return the weights in the route by Service."""
        route = await self.admin.get(HTTP_ROUTES.path(self.namespace, NAME))
        return {backend["name"]: backend.get("weight", 1) for backend in route["spec"]["rules"][0]["backendRefs"]}

    async def set_image(self, image: str, *, committed: str | None = None) -> None:
        """Change the template as its author would, who may say when the commit was made."""
        operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
        if committed is not None:
            # The controller has annotated it with its revision.
            operations.append({"op": "add", "path": "/metadata/annotations/tidegate.dev~1committed-at", "value": committed})
        await self.admin.json_patch(DEPLOYMENTS.path(self.namespace, NAME), operations, manager="author")

    async def leave(self) -> None:
        """End the operators, and let the namespace go, finalizers or not."""
        for operator in self.operators:
            await operator.end(signal.SIGKILL)
        for release in (await self.admin.list(RELEASES.path(self.namespace))).items:
            path = RELEASES.path(self.namespace, release["metadata"]["name"])
            try:
                await self.admin.merge_patch(path, {"metadata": {"finalizers": None}})
            except NotFound:
                continue
        await self.admin.delete(NAMESPACES.path(None, self.namespace))


@asynccontextmanager
async def router_of(scene: Scene) -> AsyncIterator[None]:
    """Accept every route of the scene's namespace as it is, as a gateway's controller does."""

    async def accept() -> None:
        while True:
            for route in (await scene.admin.list(HTTP_ROUTES.path(scene.namespace))).items:
                await _accept(scene, route)
            await asyncio.sleep(0.05)

    accepting = asyncio.create_task(accept())
    try:
        yield
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)


async def _accept(scene: Scene, route: Json) -> None:
    generation, known = route["metadata"]["generation"], (route.get("status") or {}).get("parents") or ()
    if any(one["observedGeneration"] == generation for parent in known for one in parent["conditions"]):
        return
    told = {"status": "True", "reason": "Fine", "message": "", "observedGeneration": generation}
    conditions = [{"type": kind, "lastTransitionTime": "2026-01-01T00:00:00Z", **told} for kind in ("Accepted", "ResolvedRefs")]
    parent = {"parentRef": route["spec"]["parentRefs"][0], "controllerName": "test.tidegate.dev/router", "conditions": conditions}
    path = HTTP_ROUTES.path(scene.namespace, route["metadata"]["name"], "status")
    await scene.admin.merge_patch(path, {"status": {"parents": [parent]}}, manager="router")


@dataclass
class Prometheus:
    """Answers each instant query with one number.

    Attributes:
        canary: what queries for the new version get; all others get 0.
    """

    canary: float = 0.0
    _runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/api/v1/query", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        query = request.query.get("query") or str((await request.post()).get("query"))
        if "tidegate_question" in query:
            # It joins nothing: the series of several queries would have to be told apart.
            return web.json_response({"status": "error", "errorType": "bad_data", "error": "no joins here"}, status=400)
        value = self.canary if "canary" in query else 0.0
        if "timestamp(" in query:
            value = time.time()
        result = [{"metric": {}, "value": [time.time(), str(value)]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


@asynccontextmanager
async def scene_in(folder: Path) -> AsyncIterator[Scene]:
    """Open a namespace behind a proxy."""
    name = f"tidegate-operator-{uuid.uuid4().hex[:8]}"
    async with api_server() as admin, fault_proxy() as proxy:
        await admin.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        scene = Scene(admin, proxy, name, folder)
        try:
            yield scene
        finally:
            await scene.leave()


@contextmanager
def account_with(rules: list[Json], *, namespace: str) -> Iterator[str]:
    """Make a ServiceAccount that may do what these rules of a Role allow in its namespace, and return its token.

    In the cluster it may see freezes, without which no rollout begins.
    """
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "limited"}, "rules": rules}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "limited"},
        "roleRef": reference,
        "subjects": [{"kind": "ServiceAccount", "name": "limited", "namespace": namespace}],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "limited"}}
    for found in (account, role, binding):
        found["metadata"]["namespace"] = namespace  # type: ignore[index]
    wide = [_clusterwide(role, f"limited-{namespace}", rules=SEES_FREEZES), _clusterwide(binding, f"limited-{namespace}")]
    wide[1]["roleRef"] = reference | {"kind": "ClusterRole", "name": f"limited-{namespace}"}
    apply(yaml.safe_dump_all([account, role, binding, *wide]))
    yield token_of("limited", namespace)
    run("kubectl", "delete", "rolebinding/limited", "role/limited", "--namespace", namespace)
    run("kubectl", "delete", f"clusterrolebinding/limited-{namespace}", f"clusterrole/limited-{namespace}")


def _clusterwide(found: Json, name: str, **more: Any) -> Json:
    """Return a role, or a binding, for the whole cluster."""
    return found | {"kind": f"Cluster{found['kind']}", "metadata": {"name": name}} | more


def rules_of_deploy() -> list[Json]:
    """Return the rules of the operator's ClusterRole."""
    objects = yaml.safe_load_all(kubectl("kustomize", str(ROOT / "deploy")))
    role = next(found for found in objects if found and found["kind"] == "ClusterRole" and found["metadata"]["name"] == "tidegate")
    rules: list[Json] = role["rules"]
    return rules


def condition(status: Json, kind: str) -> tuple[str, str, str]:
    """Return status, reason and message of a condition; empty where it is not there."""
    found = next((one for one in status.get("conditions", ()) if one["type"] == kind), {})
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")
