"""The node agent under the real scheduler and the real controllers: what a Deployment, a Job and an EndpointSlice see."""

import asyncio
import os
import pathlib
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tidegate_sandbox import cluster, loadgen
from tidegate_sandbox.node_agent import api

INSIDE = bool(os.environ.get(cluster.ENVIRONMENT_VARIABLE)) and "controllers" in cluster.ClusterInfo.from_environment().parts

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not INSIDE, reason="no cluster: run this with `tidegate-sandbox run --parts api,controllers -- pytest -m e2e`"
    ),
]

APP_PORT = 8080
IMAGE = "registry.example/checkout"


class Agent:
    """A node agent of the test's own, on a node that takes only the test's pods."""

    def __init__(self, folder: pathlib.Path) -> None:
        # Workers of one test run share the network namespace: each gets a pod network of its own.
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        self.node = f"own-{uuid.uuid4().hex[:8]}"
        self._logs = folder / "pods"
        self._output = folder / "agent.log"
        self._cidr = f"10.244.{240 + worker % 14}.0/24"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--kubeconfig", str(cluster.ClusterInfo.from_environment().kubeconfig), "--node", self.node]
        arguments += ["--pod-cidr", self._cidr, "--crash-backoff", "500ms", "--log-dir", str(self._logs)]
        arguments += ["--taint", f"test={self.node}:NoSchedule"]
        with self._output.open("ab") as output:
            command = [sys.executable, "-m", "tidegate_sandbox.node_agent", *arguments]
            self._process = subprocess.Popen(command, stderr=output)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)


class Shop:
    """A namespace of the test's own, and what is in it."""

    def __init__(self, client: api.ApiClient, agent: Agent) -> None:
        self.client = client
        self.agent = agent
        self.namespace = f"shop-{uuid.uuid4().hex[:8]}"

    def pod_spec(self, container: dict[str, Any], **more: Any) -> dict[str, Any]:
        app = {"name": "app", "image": f"{IMAGE}:v1", **container}
        return {
            "nodeSelector": {"kubernetes.io/hostname": self.agent.node},
            "tolerations": [{"key": "test", "value": self.agent.node}],
            "containers": [app],
            **more,
        }

    async def deploy(self, container: dict[str, Any] | None = None, replicas: int = 1, **spec: Any) -> None:
        serve = {
            "ports": [{"name": "http", "containerPort": APP_PORT}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
            "env": [{"name": "SHUTDOWN_GRACE", "value": "2"}, {"name": "LATENCY_MS", "value": "2"}],
        }
        body = {
            "metadata": {"name": "checkout"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "checkout"}},
                "template": {
                    "metadata": {"labels": {"app": "checkout"}},
                    "spec": self.pod_spec(serve if container is None else container, **spec),
                },
            },
        }
        await self.client.request("POST", f"/apis/apps/v1/namespaces/{self.namespace}/deployments", body=body)

    async def patch_deployment(self, spec: dict[str, Any]) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/checkout"
        await self.client.request("PATCH", path, body={"spec": spec}, content_type=api.STRATEGIC_MERGE_PATCH)

    async def run_job(self, script: str, policy: str) -> None:
        container = {"command": ["sh", "-c", script]}
        spec = {"template": {"spec": self.pod_spec(container, restartPolicy=policy)}}
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        await self.client.request("POST", path, body={"metadata": {"name": "task"}, "spec": spec})

    async def job_condition(self) -> str:
        job = await self.client.request("GET", f"/apis/batch/v1/namespaces/{self.namespace}/jobs/task")
        held = [entry["type"] for entry in job.get("status", {}).get("conditions") or () if entry["status"] == "True"]
        return held[-1] if held else ""

    async def pods(self) -> list[dict[str, Any]]:
        found = await self.client.request("GET", f"/api/v1/namespaces/{self.namespace}/pods")
        return list(found["items"])

    async def ready_pods(self) -> list[dict[str, Any]]:
        return [pod for pod in await self.pods() if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)]

    async def container(self) -> dict[str, Any]:
        """The status of the container of the only pod; empty while there is none."""
        pods = await self.pods()
        statuses = pods[0].get("status", {}).get("containerStatuses") if pods else None
        return statuses[0] if statuses else {}

    async def waiting_reason(self) -> str:
        return str((await self.container()).get("state", {}).get("waiting", {}).get("reason", ""))

    async def endpoints(self) -> list[dict[str, Any]]:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        slices = (await self.client.request("GET", path))["items"]
        return [endpoint for found in slices for endpoint in found.get("endpoints") or ()]


def is_ready(pod: dict[str, Any]) -> bool:
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in pod["status"].get("conditions") or ())


def addresses_of(pods: list[dict[str, Any]]) -> set[str]:
    return {pod["status"]["podIP"] for pod in pods}


async def until(holds: Callable[[], Awaitable[Any]], seconds: float = 30.0) -> Any:
    """Ask again until the answer is true, and return it."""
    async with asyncio.timeout(seconds):
        while True:
            if answer := await holds():
                return answer
            await asyncio.sleep(0.05)


@pytest.fixture
async def shop(tmp_path: pathlib.Path) -> AsyncIterator[Shop]:
    access = api.load_kubeconfig(cluster.ClusterInfo.from_environment().kubeconfig)
    agent = Agent(tmp_path)
    agent.start()
    async with api.ApiClient(access, "node-agent-tests") as client:
        made = Shop(client, agent)
        await client.request("POST", "/api/v1/namespaces", body={"metadata": {"name": made.namespace}})
        try:
            yield made
        finally:
            # Nobody waits for the namespace: its controller takes seconds, and nothing in it matters any more.
            await client.request("DELETE", f"/api/v1/namespaces/{made.namespace}")
            agent.stop()
            at_once = {"gracePeriodSeconds": 0}
            await client.request("DELETE", f"/api/v1/namespaces/{made.namespace}/pods", body=at_once)
            await client.request("DELETE", f"/api/v1/nodes/{agent.node}")


async def no_pods(shop: Shop) -> bool:
    return not await shop.pods()


async def count_ready(shop: Shop, count: int) -> list[dict[str, Any]]:
    pods = await shop.ready_pods()
    return pods if len(pods) == count else []


async def test_a_deployment_rolls_out(shop: Shop):
    """Given three replicas of the demo service, then all turn Ready soon, each with an address that answers and endpoints."""
    service = {"metadata": {"name": "checkout"}, "spec": {"selector": {"app": "checkout"}, "ports": [{"port": APP_PORT}]}}
    await shop.client.request("POST", f"/api/v1/namespaces/{shop.namespace}/services", body=service)

    await shop.deploy(replicas=3)
    pods = await until(lambda: count_ready(shop, 3))

    addresses = addresses_of(pods)
    assert len(addresses) == 3
    async with aiohttp.ClientSession() as session:
        for address in addresses:
            async with session.get(f"http://{address}:{APP_PORT}/") as response:
                assert response.headers["x-version"] == "v1"

    async def serving() -> set[str]:
        return {entry["addresses"][0] for entry in await shop.endpoints() if entry["conditions"]["ready"]}

    async def all_serve() -> bool:
        return await serving() == addresses

    assert await until(all_serve)


async def test_a_removed_pod_serves_on_until_it_is_gone(shop: Shop):
    """Given a pod under load, when the Deployment is scaled down, then it answers while it terminates, and leaves no address."""
    await shop.deploy()
    (pod,) = await until(lambda: count_ready(shop, 1))
    address = pod["status"]["podIP"]

    async with loadgen.Load(f"http://{address}:{APP_PORT}/", "shop.example", 50) as load:
        await asyncio.sleep(0.2)
        await shop.patch_deployment({"replicas": 0})
        await until(lambda: terminating(shop))
        removed_at = time.time()
        await asyncio.sleep(1.0)
        answers = load.answers()
    await until(lambda: no_pods(shop))

    assert answers.failures() == []
    assert len(answers.between(removed_at, time.time())) > 20
    with pytest.raises(loadgen.RefusedError):
        loadgen.check_target(f"http://{address}/")


async def terminating(shop: Shop) -> bool:
    return any("deletionTimestamp" in pod["metadata"] for pod in await shop.pods())


async def test_a_crashing_version_backs_off(shop: Shop):
    """Given a container that crashes, then CrashLoopBackOff shows with the exit code and the restarts."""
    await shop.deploy({"command": ["sh", "-c", "exit 3"]})

    async def backing_off() -> bool:
        return await shop.waiting_reason() == "CrashLoopBackOff" and (await shop.container())["restartCount"] >= 2

    await until(backing_off)
    container = await shop.container()
    (pod,) = await shop.pods()

    assert pod["status"]["phase"] == "Running"
    assert container["lastState"]["terminated"]["exitCode"] == 3
    assert container["lastState"]["terminated"]["reason"] == "Error"


async def test_an_unknown_image_is_not_pulled(shop: Shop):
    """Given an image that does not exist, then ImagePullBackOff shows and the pod stays Pending."""
    await shop.deploy({"image": "registry.invalid/checkout:v9"})

    async def backing_off() -> bool:
        return await shop.waiting_reason() == "ImagePullBackOff"

    await until(backing_off)
    (pod,) = await shop.pods()

    assert pod["status"]["phase"] == "Pending"
    assert "registry.invalid/checkout:v9: not found" in (await shop.container())["state"]["waiting"]["message"]


async def test_a_config_map_arrives_late(shop: Shop):
    """Given a reference to an absent ConfigMap, when it is created, then the container starts with its value."""
    reference = {"name": "VERSION", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "version"}}}
    await shop.deploy({"env": [reference]})

    async def refused() -> bool:
        return await shop.waiting_reason() == "CreateContainerConfigError"

    await until(refused)
    body = {"metadata": {"name": "settings"}, "data": {"version": "v7"}}
    await shop.client.request("POST", f"/api/v1/namespaces/{shop.namespace}/configmaps", body=body)
    (pod,) = await until(lambda: count_ready(shop, 1))

    async def version() -> str:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://{pod['status']['podIP']}:8080/") as answer:
                return str(answer.headers["x-version"])
        except aiohttp.ClientConnectionError:
            return ""

    assert await until(version) == "v7"


async def test_a_failed_liveness_probe_restarts_the_container(shop: Shop):
    """Given a liveness probe that fails, then the container is restarted and the pod stays."""
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    await shop.deploy({"command": ["sleep", "600"], "livenessProbe": probe})

    async def restarted() -> bool:
        return int((await shop.container()).get("restartCount", 0)) >= 1

    await until(restarted)

    assert len(await shop.pods()) == 1


@pytest.mark.parametrize(
    ("script", "policy", "condition", "restarts"),
    [
        ("exit 0", "Never", "Complete", 0),
        ("test -e tried && exit 0; touch tried; exit 1", "OnFailure", "Complete", 1),
    ],
)
async def test_a_job_completes(shop: Shop, script: str, policy: str, condition: str, restarts: int):
    """Given a task that ends, then its Job completes, after a restart where its policy allows one."""
    await shop.run_job(script, policy)

    async def reached() -> bool:
        return await shop.job_condition() == condition

    await until(reached)

    assert (await shop.container())["restartCount"] == restarts


async def test_pods_outlive_the_agent(shop: Shop):
    """Given a killed agent, then its processes are gone; when it comes back, then the pods run again at their addresses."""
    await shop.deploy(replicas=2)
    before = await until(lambda: count_ready(shop, 2))

    shop.agent.kill()
    await until(lambda: refuses(before[0]["status"]["podIP"]))
    shop.agent.start()

    async def restarted() -> list[dict[str, Any]]:
        pods = await shop.ready_pods()
        counts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods]
        return pods if counts == [1, 1] else []

    after = await until(restarted)

    assert addresses_of(after) == addresses_of(before)


async def test_an_agent_clears_what_a_killed_one_left(shop: Shop):
    """Given an agent that was killed with a pod, when the pod was deleted meanwhile, then the next agent removes its address."""
    await shop.deploy()
    (pod,) = await until(lambda: count_ready(shop, 1))
    shop.agent.kill()
    await shop.patch_deployment({"replicas": 0})
    path = f"/api/v1/namespaces/{shop.namespace}/pods/{pod['metadata']['name']}"
    await shop.client.request("DELETE", path, body={"gracePeriodSeconds": 0})
    loadgen.check_target(f"http://{pod['status']['podIP']}/")

    shop.agent.start()

    async def cleared() -> bool:
        try:
            loadgen.check_target(f"http://{pod['status']['podIP']}/")
        except loadgen.RefusedError:
            return True
        return False

    assert await until(cleared)


async def refuses(address: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, APP_PORT)
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # The listener ended between its kernel's answer and its own: it is going, and the next one is refused.
        return False
    writer.close()
    return False


async def test_a_stopped_agent_leaves_nothing(shop: Shop):
    """Given a running pod, when the agent is told to stop, then it ends cleanly with its processes and addresses."""
    await shop.deploy()
    (pod,) = await until(lambda: count_ready(shop, 1))

    code = shop.agent.stop()

    assert code == 0
    with pytest.raises(loadgen.RefusedError):
        loadgen.check_target(f"http://{pod['status']['podIP']}/")
    shop.agent.start()


def kubectl_logs(shop: Shop, *arguments: str) -> str:
    command = ["kubectl", "logs", "--namespace", shop.namespace, "--selector", "app=checkout", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


async def test_kubectl_shows_logs(shop: Shop):
    """Given a container that crashed, then kubectl shows the log of the present instance and of the one before."""
    await shop.deploy({"command": ["sh", "-c", "test -e tried && { echo again; exec sleep 60; }; touch tried; echo first"]})

    async def running_again() -> bool:
        container = await shop.container()
        return container.get("restartCount") == 1 and "running" in container["state"]

    await until(running_again)
    await until(lambda: asyncio.to_thread(kubectl_logs, shop))

    assert kubectl_logs(shop) == "again\n"
    assert kubectl_logs(shop, "--previous", "--tail=5") == "first\n"
