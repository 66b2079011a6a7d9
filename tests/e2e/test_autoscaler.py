"""With the cluster's own HorizontalPodAutoscaler: while two versions have pods, those that serve are enough for the load.

The autoscaler reads a metrics API of the tests, in which pods without traffic are idle and the others share the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from api.cluster_access import apply, kubectl
from api.cluster_client_access import kubeconfig_with
from e2e import invariants
from e2e.autoscaler_measures import Answer, figures, table
from e2e.autoscaler_rounds import DOUBLES, HALVES, PHASES, PREVIEW, USUAL, Phase, Round, come_to, never_written
from e2e.busy_shop import TICK, BusyShop
from e2e.conftest import ACCOUNT, SYSTEM
from e2e.history import History
from e2e.manifests import Json
from e2e.metrics_api import MetricsApi
from e2e.operator_process import Operator
from e2e.prometheus_stand_in import StandIn
from e2e.story import Then, one_loop
from e2e.world import World
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import NAMESPACES
from tidegate_sandbox.cluster import ClusterInfo, NoSandboxError
from tidegate_sandbox.controlplane import AUTOSCALER_SECONDS

NEEDED = {"api", "controllers", "kwok", "gateway"}
BOUND = AUTOSCALER_SECONDS + 2 * TICK
"""Seconds, counted from when the metrics show nothing but the new load, until the Deployment is large enough: one look of the
autoscaler, and what is lost by looking at it four times a second."""
SLACK = 1.0
"""Seconds for everybody's own work, on a machine that carries twenty shops."""
BUSY = 6.0
"""The same on a machine that runs all other tests at the same time."""
REPORT = os.environ.get("TIDEGATE_AUTOSCALER")
"""Where the measured table goes, as Markdown, and beside it the figures as JSON; without it, only one phase is tried."""


def _why_not() -> str:
    try:
        missing = NEEDED - set(ClusterInfo.from_environment().parts)
    except NoSandboxError as error:
        return str(error)
    return f"the sandbox is without {', '.join(sorted(missing))}" if missing else ""


pytestmark = [
    pytest.mark.e2e,
    one_loop,
    pytest.mark.skipif(bool(_why_not()), reason=f"not enough of a sandbox: {_why_not()}"),
    # There can be but one metrics API in a cluster.
    pytest.mark.xdist_group("metrics-api"),
]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def metrics(admin: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MetricsApi]:
    api = MetricsApi(admin, tmp_path_factory.mktemp("metrics"))
    await api.start()
    yield api
    await api.stop()


@pytest.fixture(scope="module")
def unsighted(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig with all rights of the operator but those on autoscalers: it cannot know of any."""
    name, group = "tidegate-unsighted", "rbac.authorization.k8s.io"
    role = json.loads(kubectl("get", "clusterrole", ACCOUNT, "-o", "json"))
    rules = [rule for rule in role["rules"] if "autoscaling" not in rule["apiGroups"]]
    assert len(rules) == len(role["rules"]) - 1
    api, metadata = {"apiVersion": f"{group}/v1"}, {"metadata": {"name": name}}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}]

    def binding(role: str) -> Json:
        reference = {"apiGroup": group, "kind": "ClusterRole", "name": role}
        return {
            **api,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{name}-{role}"},
            "roleRef": reference,
            "subjects": subjects,
        }

    manifest = yaml.safe_dump_all(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}},
            {**api, "kind": "ClusterRole", **metadata, "rules": rules},
            binding(name),
            binding(f"{ACCOUNT}-cluster"),
        ]
    )
    apply(manifest)
    token = kubectl("create", "token", name, "--namespace", SYSTEM, "--duration=1h").strip()
    yield kubeconfig_with(token, tmp_path_factory.mktemp("unsighted") / "kubeconfig")
    kubectl("delete", "-f", "-", stdin=manifest)


@pytest_asyncio.fixture(loop_scope="session")
async def shop(world: World, metrics: MetricsApi) -> AsyncIterator[BusyShop]:
    found = BusyShop(world, load=USUAL)
    metrics.follow(world.namespace, found.samples)
    async with found.open():
        yield found


async def test_pods_for_a_load_that_idle_pods_hide(then: Then, world: World, shop: BusyShop) -> None:
    """Given as many idle pods as busy ones, which make twice the load look like none too much, pods for it come all the same."""
    await come_to(PREVIEW, world, shop, replicas=USUAL)

    answer = await Round(PREVIEW, world, shop, corrected=True).rise(DOUBLES, 2.0 * USUAL)

    assert 0 < answer.short, "the load did not double"
    assert answer.decided <= BOUND + BUSY
    await then.event("Scaled", "HorizontalPodAutoscaler checkout")
    await never_written([world], accounts=f"system:serviceaccount:{SYSTEM}:")


# Every phase, with and without the correction: `make autoscaler`.


@dataclass
class Stage:
    """Shops side by side.

    Attributes:
        info: the sandbox.
        admin: the API, as its administrator.
        metrics: of all shops.
        stand_in: for Prometheus, which nobody asks here.
        answers: what was measured.
        starts: seconds that pods took to start.
    """

    info: ClusterInfo
    admin: Cluster
    metrics: MetricsApi
    stand_in: StandIn
    answers: list[Answer] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def namespaces(self, number: int) -> AsyncIterator[list[str]]:
        """Make namespaces."""
        names = [f"shop-{uuid.uuid4().hex[:8]}" for _ in range(number)]
        for name in names:
            await self.admin.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        try:
            yield names
        finally:
            for name in names:
                await self.admin.delete(NAMESPACES.path(None, name))

    async def measure(self, phase: Phase, namespace: str, operator: Operator, *, corrected: bool | None) -> None:
        """Measure a phase in a namespace, and see that what always holds held there, too."""
        async with History(self.admin, namespace) as history:
            world = World(self.info, self.admin, namespace, history, operator, self.stand_in)
            shop = BusyShop(world, load=2 * USUAL)
            self.metrics.follow(namespace, shop.samples)
            try:
                async with shop.open():
                    await Round(phase, world, shop, corrected, self.answers).run()
                assert bool(corrected) == bool(history.events("Scaled")) or phase.hidden is None, world.account()
                stalled = world.condition("Stalled")
                assert stalled.get("status") != "True" or stalled["reason"] == "RolledBack", world.account()
                await invariants.check(world)
                await never_written([world], accounts=f"system:serviceaccount:{SYSTEM}:")
            finally:
                self.starts += shop.starts
                await world.clear()


@pytest.mark.skipif(not REPORT, reason="takes seven minutes: make autoscaler")
@pytest.mark.timeout(900)
async def test_every_phase_with_and_without_the_correction(
    sandbox: ClusterInfo,
    admin: Cluster,
    metrics: MetricsApi,
    stand_in: StandIn,
    kubeconfig: Path,
    unsighted: Path,
    tmp_path: Path,
) -> None:
    """Whatever the phase of a rollout, pods follow a load that doubles or halves as soon as an autoscaler can have them do so.

    An operator that may not see autoscalers shows what the correction is for. Everything else goes its way, and the log says so.
    """
    stage = Stage(sandbox, admin, metrics, stand_in)
    rollouts = [phase for phase in PHASES if phase.steps is not None]
    alone = [phase for phase in PHASES if phase.steps is None]
    async with stage.namespaces(2 * len(rollouts) + len(alone)) as names:
        ours, theirs, nobodys = names[: len(rollouts)], names[len(rollouts) : 2 * len(rollouts)], names[2 * len(rollouts) :]
        async with running(tmp_path, kubeconfig, ours) as sighted, running(tmp_path, unsighted, theirs) as blind:
            work = [stage.measure(phase, name, sighted, corrected=True) for phase, name in zip(rollouts, ours, strict=True)]
            work += [stage.measure(phase, name, blind, corrected=False) for phase, name in zip(rollouts, theirs, strict=True)]
            work += [stage.measure(phase, name, sighted, corrected=None) for phase, name in zip(alone, nobodys, strict=True)]
            errors = [error for error in await asyncio.gather(*work, return_exceptions=True) if error is not None]
            report(stage)
            assert any(line.get("resource") == "horizontalpodautoscalers.autoscaling" for line in blind.lines())

    assert [] == errors, "\n\n".join(map(str, errors))
    corrected = [answer for answer in stage.answers if answer.corrected]
    assert [] == [answer for answer in corrected if answer.decided > BOUND + SLACK]
    assert [] == [answer for answer in corrected if answer.change == HALVES and answer.short > 2 * TICK]
    hidden = [answer for answer in stage.answers if answer.corrected is False and answer.phase == PREVIEW.name and not answer.into]
    assert any(not answer.followed for answer in hidden), "nothing was hidden"


@contextlib.asynccontextmanager
async def running(folder: Path, kubeconfig: Path, namespaces: list[str]) -> AsyncIterator[Operator]:
    """Run an operator that serves some namespaces."""
    operator = Operator(folder, kubeconfig, namespaces, {})
    await operator.start()
    try:
        yield operator
        await operator.stop()
    finally:
        await operator.kill()


def report(stage: Stage) -> None:
    """Write what was measured."""
    order = {phase.name: number for number, phase in enumerate(PHASES)}
    answers = sorted(stage.answers, key=lambda answer: order[answer.phase])
    decided = max((answer.decided for answer in answers if answer.corrected), default=0.0)
    ninth = statistics.quantiles(stage.starts, n=10)[-1]
    words = [
        f"Pods were ready {statistics.median(stage.starts):.1f} s after their creation, nine out of ten within {ninth:.1f} s.",
        f"With the correction, enough pods were wanted {decided:.1f} s after the metrics showed the load, at worst ({BOUND:g} s).",
    ]
    lines = [*table(answers), "", *words]
    print("\n".join(lines), flush=True)
    if REPORT:
        page = Path(REPORT)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("\n".join(lines) + "\n")
        wire = [figure.to_wire() for figure in figures(answers, bound=BOUND)]
        page.with_suffix(".json").write_text(json.dumps(wire, indent=1) + "\n")
