"""What stands before the first act: Tidegate as deploy/ has it, the service, and load on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tidegate_sandbox.cluster import ENVIRONMENT_VARIABLE, ClusterInfo
from tidegate_sandbox.demo import scenario
from tidegate_sandbox.demo.kube import Kube, KubeError
from tidegate_sandbox.demo.seen import DEPLOYMENT, ROUTE
from tidegate_sandbox.programs import until

OPERATOR_PORT = 6980
_STOP_SECONDS = 5.0
_SERVING_IN_A_ROW = 20


class StageError(Exception):
    """What the demo needs did not come up; the message says what and why."""


async def install_tidegate(kube: Kube) -> None:
    """Apply deploy/ as it is, but for the number of the operator's pods, and wait until its kinds are served.

    Raises:
        KubeError: the API server refused a part of it.
    """
    overlay = scenario.BUILD / "demo-deploy"
    overlay.mkdir(parents=True, exist_ok=True)
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../deploy"],
        "replicas": [{"name": "tidegate", "count": 0}],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    await kube.kubectl("apply", "--server-side", f"--kustomize={overlay}")
    kinds = ("releases", "rolloutpolicies", "clusterrolloutpolicies", "releasefreezes")
    await kube.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{kind}.tidegate.dev" for kind in kinds))


async def install_service(kube: Kube) -> None:
    """Apply the service and its route, and wait until its pods are available and the route is accepted.

    Raises:
        KubeError: the API server refused a part of it.
        PartError: it did not become available.
    """
    await kube.apply(scenario.MANIFESTS / "app.yaml")

    async def available() -> str | None:
        try:
            deployment, route = await kube.get(DEPLOYMENT), await kube.get(ROUTE)
        except KubeError as error:
            return str(error)
        ready = deployment.get("status", {}).get("availableReplicas", 0)
        if ready < deployment["spec"]["replicas"]:
            return f"{ready} of {deployment['spec']['replicas']} pods are available"
        parents = route.get("status", {}).get("parents") or []
        accepted = any(entry["type"] == "Accepted" and entry["status"] == "True" for one in parents for entry in one["conditions"])
        return None if accepted else "the route is not accepted yet"

    await until(available, "the service")


async def install_release(kube: Kube) -> None:
    """Apply the policy and the Release. Raises KubeError where the API server refuses one."""
    await kube.apply(scenario.MANIFESTS / "policy.yaml", scenario.MANIFESTS / "release.yaml")


async def answers(url: str) -> None:
    """Wait until the route answers many requests in a row. Raises PartError where it does not."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:

        async def answered() -> str | None:
            for _ in range(_SERVING_IN_A_ROW):
                try:
                    async with session.get(url, headers={"Host": scenario.HOST}) as response:
                        if response.status != 200:
                            return f"status {response.status}"
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    return str(error)
            return None

        await until(answered, "the route through Envoy")


@asynccontextmanager
async def operator(kube: Kube, cluster: ClusterInfo, on_end: Callable[[str], None]) -> AsyncIterator[None]:
    """Run the operator while the context is open, with the token of the ServiceAccount of deploy/ and nothing else.

    Args:
        kube: the way to a token.
        cluster: where it runs.
        on_end: told why, should it end by itself.

    Raises:
        KubeError: there is no token for it.
        StageError: it ended at once.
        PartError: it did not become ready.
    """
    config, kubeconfig = await _write_operator_files(kube, cluster)
    command = Path(sys.executable).with_name("tidegate")
    environment = {name: value for name, value in os.environ.items() if name not in {"KUBECONFIG", ENVIRONMENT_VARIABLE}}
    with scenario.OPERATOR_LOG.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(command, "run", "--config", config, "--kubeconfig", kubeconfig),
            env=environment,
            stdout=log,
            stderr=log,
        )
    ended = asyncio.create_task(process.wait())
    try:
        async with aiohttp.ClientSession() as session:

            async def ready() -> str | None:
                if ended.done():
                    raise StageError(f"the operator ended with status {ended.result()}")
                try:
                    async with session.get(f"http://127.0.0.1:{OPERATOR_PORT}/readyz") as response:
                        return None if response.status == 200 else await response.text()
                except (aiohttp.ClientError, OSError) as error:
                    return str(error)

            await until(ready, "the operator")
        ended.add_done_callback(
            lambda task: None if task.cancelled() else on_end(f"the operator ended with status {task.result()}")
        )
        yield
    finally:
        ended.cancel()
        await _stop(process)


def write_kubeconfig(cluster: ClusterInfo, path: Path, *, user: str, token: str) -> None:
    """Write the cluster's kubeconfig for somebody with a token of their own, readable for this user alone."""
    config: dict[str, Any] = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": user, "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = user
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))


async def _write_operator_files(kube: Kube, cluster: ClusterInfo) -> tuple[Path, Path]:
    """Write the operator's configuration and its kubeconfig into the sandbox's own directory, where they go with it."""
    token = await kube.kubectl("create", "token", scenario.OPERATOR_ACCOUNT, f"--namespace={scenario.OPERATOR_NAMESPACE}")
    kubeconfig = cluster.directory / "kubeconfig.operator"
    write_kubeconfig(cluster, kubeconfig, user=scenario.OPERATOR_ACCOUNT, token=token.strip())
    config = cluster.directory / "operator.json"
    content = {
        "connections": [{"name": "default", "address": cluster.prometheus_url}] if cluster.prometheus_url else [],
        "httpHost": "127.0.0.1",
        "httpPort": OPERATOR_PORT,
        "probePort": 0,
    }
    config.write_text(json.dumps(content))
    return config, kubeconfig


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
