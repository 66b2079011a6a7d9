"""The stage for the scenarios: deploy/ in the cluster, and for each test a namespace and an operator of its own."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from api.cluster_access import ROOT, apply, eventually, kubectl, once, run
from api.cluster_client_access import api_server, kubeconfig_with
from e2e import gateway_page, invariants
from e2e.history import History
from e2e.operator_process import Operator
from e2e.prometheus_stand_in import StandIn
from e2e.story import Given, Then, When
from e2e.world import World
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import NAMESPACES
from tidegate_sandbox.cluster import GATEWAY_NAMESPACE, ClusterInfo

SYSTEM = "tidegate-system"
ACCOUNT = "tidegate"


@pytest.fixture(scope="session")
def sandbox() -> ClusterInfo:
    return ClusterInfo.from_environment()


@pytest.fixture(scope="session")
def installed(sandbox: ClusterInfo) -> None:
    """deploy/ is applied, and its admission policies are in force."""
    # A sandbox without a gateway plays an older cluster, which cannot hold templates by itself either.
    install(held_by_policy="gateway" in sandbox.parts)


def install(*, held_by_policy: bool) -> None:
    """Apply deploy/ but for the Deployment: the tests start the operator themselves, with the ServiceAccount of its pod."""
    once("deploy-held" if held_by_policy else "deploy", partial(_install, held_by_policy=held_by_policy))


def _install(*, held_by_policy: bool) -> None:
    folder = ROOT / "deploy" if held_by_policy else ROOT / "deploy" / "overlays" / "without-admission"
    objects = [document for document in yaml.safe_load_all(kubectl("kustomize", str(folder))) if document]
    definitions = [found for found in objects if found["kind"] in {"CustomResourceDefinition", "Namespace"}]
    apply(yaml.safe_dump_all(definitions))
    names = [f"crd/{found['metadata']['name']}" for found in definitions if found["kind"] == "CustomResourceDefinition"]
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    apply(yaml.safe_dump_all([found for found in objects if found not in definitions and found["kind"] != "Deployment"]))
    if held_by_policy:
        eventually(held, wanted=bool, timeout=60)
    eventually(refused, wanted=bool, timeout=60)


def held() -> bool:
    """Whether the policy that holds templates is in force, which takes the API server a few seconds."""
    pod = {"metadata": {"labels": {"app": "probe"}}, "spec": {"containers": [{"name": "app", "image": "probe:1"}]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "probe", "namespace": "default", "labels": {"tidegate.dev/release": "probe"}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "probe"}}, "template": pod},
    }
    apply(yaml.safe_dump(body))
    arguments = (
        "set",
        "image",
        "deployment/probe",
        "app=probe:2",
        "--dry-run=server",
        "-n",
        "default",
        "-o",
        "jsonpath={.spec.paused}",
    )
    return kubectl(*arguments) == "true"


def refused() -> bool:
    """Whether the policy that checks requests is in force."""
    body = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": "probe", "namespace": "default", "annotations": {"tidegate.dev/request": "nonsense"}},
        "spec": {"targetRef": {"name": "probe"}, "policyRef": {"name": "probe"}},
    }
    return run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(body)).returncode != 0


@pytest.fixture(scope="session")
def kubeconfig(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's: it has the token of the ServiceAccount of deploy/, and nothing else."""
    token = kubectl("create", "token", ACCOUNT, "--namespace", SYSTEM, "--duration=6h").strip()
    return kubeconfig_with(token, tmp_path_factory.mktemp("operator") / "kubeconfig")


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def admin(installed: None) -> AsyncIterator[Cluster]:
    async with api_server() as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(admin: Cluster) -> AsyncIterator[str]:
    name = f"shop-{uuid.uuid4().hex[:8]}"
    await admin.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await admin.delete(NAMESPACES.path(None, name))


@pytest_asyncio.fixture(loop_scope="session")
async def stand_in() -> AsyncIterator[StandIn]:
    server = StandIn()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def operator(
    sandbox: ClusterInfo, namespace: str, kubeconfig: Path, stand_in: StandIn, tmp_path: Path
) -> AsyncIterator[Operator]:
    """An operator for the test's namespace; it starts while the test prepares the ground."""
    connections = [{"name": "stand-in", "address": stand_in.address, "timeout": "1s"}]
    if sandbox.prometheus_url is not None:
        gateway = {"name": "edge", "source": "Envoy", "namespace": GATEWAY_NAMESPACE, "port": gateway_page.PORT}
        direct = {"gateways": [{**gateway, "selector": {"app": "envoy-page", "of": namespace}}]}
        connections.append({"name": "default", "address": sandbox.prometheus_url, "timeout": "5s", "direct": direct})
    found = Operator(tmp_path, kubeconfig, [namespace], {"connections": connections})
    await found.start()
    yield found
    await found.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def world(
    request: pytest.FixtureRequest, sandbox: ClusterInfo, admin: Cluster, namespace: str, operator: Operator, stand_in: StandIn
) -> AsyncIterator[World]:
    try:
        async with History(admin, namespace) as history:
            found = World(sandbox, admin, namespace, history, operator, stand_in)
            request.node.stash[WORLD] = found
            yield found
            await found.stop_load()
            if not request.node.stash.get(FAILED, False):
                assert not found.operator.trouble, found.operator.trouble
                await invariants.check(found)
            status = await found.operator.stop()
            assert status in {0, -signal.SIGKILL}, f"the operator ended with status {status}:\n{found.operator.tail()}"
    finally:
        await found.stop_load()
        await found.operator.kill()
        await asyncio.shield(found.clear())


WORLD = pytest.StashKey[World]()
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A test that fails shows what its namespace and its operator have to tell."""
    report = yield
    world = item.stash.get(WORLD, None)
    if report.failed:
        item.stash[FAILED] = True
        if world is not None and "--- Operator" not in str(report.longrepr):
            report.sections.append(("what is known", world.account()))
    return report


@pytest.fixture
def given(world: World) -> Given:
    return Given(world)


@pytest.fixture
def when(world: World) -> When:
    return When(world)


@pytest.fixture
def then(world: World) -> Then:
    return Then(world)
