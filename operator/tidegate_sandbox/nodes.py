"""Nodes: fake ones of kwok for number, and process nodes for traffic.

Thousands of pods cost nothing where nobody asks them; where requests flow, a pod is a process with an address of its own.
"""

import asyncio
import sys

from tidegate_sandbox import binaries
from tidegate_sandbox.apiclient import Object, condition
from tidegate_sandbox.programs import until
from tidegate_sandbox.sandbox import Sandbox

FAKE = "kwok.x-k8s.io/node"
"""Annotation and taint of the fake nodes, as kwok's own documentation has it; the value is ``fake``."""


async def start_kwok(sandbox: Sandbox) -> None:
    """Bring up kwok and its fake nodes.

    Next to process nodes the fake ones are tainted, so that no pod that should serve lands on one by chance: pods for
    them tolerate ``kwok.x-k8s.io/node=fake:NoSchedule``.

    Raises:
        PartError: kwok or a node did not come up.
    """
    names = [f"kwok-{number}" for number in range(1, sandbox.spec.kwok_nodes + 1)]
    tainted = "process-nodes" in sandbox.spec.parts
    for name in names:
        await until(sandbox.api.creating("/api/v1/nodes", fake_node(name, tainted=tainted)), f"node {name}")
    stages = await asyncio.to_thread(binaries.files, "kwok", "kwok-stages")
    arguments = [
        f"--kubeconfig={sandbox.layout.kubeconfig}",
        f"--manage-nodes-with-annotation-selector={FAKE}=fake",
        "--node-lease-duration-seconds=40",
        "--cidr=10.245.0.0/16",
        *(f"--config={stage}" for stage in stages),
    ]

    async def ready() -> str | None:
        for name in names:
            missing = await sandbox.api.finding(f"/api/v1/nodes/{name}", condition("Ready"))()
            if missing is not None:
                return f"node {name}: {missing}"
        return None

    await sandbox.run("kwok", arguments, ready)
    sandbox.node_names[:0] = names


async def start_process_nodes(sandbox: Sandbox) -> None:
    """Bring up the nodes whose pods are local processes.

    Raises:
        PartError: a node did not come up.
    """

    async def start(number: int) -> None:
        name = f"process-{number}"
        arguments = [f"--kubeconfig={sandbox.layout.kubeconfig}", f"--node={name}"]
        arguments += [f"--pod-cidr=10.244.{number - 1}.0/24", f"--log-dir={sandbox.layout.logs / 'pods'}"]
        if sandbox.spec.images is not None:
            arguments += [f"--images={sandbox.spec.images}"]
        ready = sandbox.api.finding(f"/api/v1/nodes/{name}", condition("Ready"))
        agent = [sys.executable, "-m", "tidegate_sandbox.node_agent"]
        await sandbox.run(f"node-agent-{number}", arguments, ready, program=agent)

    numbers = range(1, sandbox.spec.process_nodes + 1)
    await asyncio.gather(*(start(number) for number in numbers))
    sandbox.node_names += [f"process-{number}" for number in numbers]


def fake_node(name: str, *, tainted: bool) -> Object:
    """Return the object of a fake node, which kwok fills with a status."""
    taints = [{"key": FAKE, "value": "fake", "effect": "NoSchedule"}] if tainted else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {FAKE: "fake"},
            "labels": {"type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "spec": {"taints": taints},
    }
