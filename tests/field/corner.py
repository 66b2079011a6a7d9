"""Where a case is played: a namespace, an operator with the rights of deploy/, and a Prometheus that scrapes as the case has it."""

from __future__ import annotations

import asyncio
import copy
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.history import History
from e2e.manifests import Json
from e2e.operator_process import Operator
from e2e.prometheus_stand_in import StandIn
from e2e.real_prometheus import RealPrometheus
from e2e.world import World
from field.case import Case, Scraping
from field.kube_state import KubeState
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import NAMESPACES
from tidegate_sandbox.cluster import ClusterInfo, Layout

SERVICES = Path(__file__).with_name("services")


@dataclass(frozen=True)
class Ground:
    """What all cases share.

    Attributes:
        info: the sandbox, in which deploy/ is installed.
        admin: the API, as its administrator.
        kubeconfig: the operator's.
        folder: for what operators and Prometheus write.
    """

    info: ClusterInfo
    admin: Cluster
    kubeconfig: Path
    folder: Path


@dataclass(frozen=True)
class Corner:
    """One case's part of the cluster.

    Attributes:
        world: its namespace, with its operator and its history.
        folder: of its own.
        words: what the words in manifests stand for, such as $HOST.
    """

    world: World
    folder: Path
    words: dict[str, str]


@asynccontextmanager
async def corner(ground: Ground, case: Case) -> AsyncIterator[Corner]:
    """Prepare the ground for a case, and leave nothing behind but its folder."""
    folder = Path(tempfile.mkdtemp(prefix=f"{case.name}-", dir=ground.folder))
    namespace = f"field-{uuid.uuid4().hex[:8]}"
    await ground.admin.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ground.admin.delete, NAMESPACES.path(None, namespace))
        history = await stack.enter_async_context(History(ground.admin, namespace))
        address = await _prometheus(stack, ground, case, history, folder, namespace)
        connections = [{"name": "default", "address": address, "timeout": "5s"}]
        operator = Operator(folder, ground.kubeconfig, [namespace], {"connections": connections} | case.config)
        await operator.start()
        stack.push_async_callback(operator.kill)
        world = World(ground.info, ground.admin, namespace, history, operator, StandIn())
        stack.push_async_callback(_end, world)
        yield Corner(world, folder, _words(ground.info, world, folder))


async def _end(world: World) -> None:
    await world.stop_load()
    await world.operator.kill()
    await asyncio.shield(world.clear())


async def _prometheus(stack: AsyncExitStack, ground: Ground, case: Case, history: History, folder: Path, namespace: str) -> str:
    if case.scraping is Scraping.ONCE:
        assert ground.info.prometheus_url is not None
        return ground.info.prometheus_url
    states = KubeState(history)
    await states.start()
    stack.push_async_callback(states.stop)
    found = RealPrometheus(ground.info, folder, [namespace], 1, lambda jobs: _jobs(case.scraping, jobs, states.port))
    await stack.enter_async_context(found)
    return found.address


def _jobs(scraping: Scraping, jobs: list[Json], port: int) -> list[Json]:
    """Return the jobs of a Prometheus that scrapes in one of these ways, made of the job for pods."""
    states = {"job_name": "kube-state-metrics", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    if scraping is Scraping.KUBE_STATE:
        return [*jobs, states]
    twins = []
    for which in "ab":
        job = copy.deepcopy(jobs[0])
        job["job_name"] = f"pods-{which}"
        if scraping is Scraping.REPLICAS:
            labels = {"job": "pods", "prometheus_replica": f"prometheus-{which}"}
            job["relabel_configs"] += [{"target_label": label, "replacement": value} for label, value in labels.items()]
        twins.append(job)
    return twins


def _words(info: ClusterInfo, world: World, folder: Path) -> dict[str, str]:
    # The API server has made the certificate for itself, and `kubernetes.default.svc` is one of the names in it.
    layout = Layout(info.directory)
    return {
        "$HOST": world.host,
        "$NAMESPACE": world.namespace,
        "$PYTHON": sys.executable,
        "$SERVICES": str(SERVICES),
        "$FOLDER": str(folder),
        "$TLS": str(layout.tls),
        "$AUTHORITY": layout.ca_file.read_text(),
    }
