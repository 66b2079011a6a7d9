"""The demo inside its cluster: sets the stage, plays the acts, and says what is to be made of it."""

from __future__ import annotations

import asyncio
import signal
import time

import aiohttp

from tidegate_sandbox.cluster import ClusterInfo
from tidegate_sandbox.demo import report, scenario, stage
from tidegate_sandbox.demo.kube import Kube, KubeError
from tidegate_sandbox.demo.play import Play, PlayError
from tidegate_sandbox.demo.probe import Prober
from tidegate_sandbox.demo.report import Limit, Run, Version
from tidegate_sandbox.demo.scenario import P99, Act, PolicyTerms
from tidegate_sandbox.demo.seen import Seen
from tidegate_sandbox.demo.show import Show
from tidegate_sandbox.loadgen import Load
from tidegate_sandbox.programs import PartError

_LOG_LINES = 25
_WARM_SECONDS = 6.0
"""Load before the first act: what stable did lately is what a new version is compared with."""
INTERRUPTED = 130


def main(begun: float) -> int:
    """Run the demo in the sandbox that this process is in.

    Args:
        begun: when the demo was started (``time.time``), once the programs were there.

    Returns:
        0 where every outcome and limit was as said, 1 where not, 130 after Ctrl-C.
    """
    with Show(begun) as show:
        try:
            return asyncio.run(_main(begun, show))
        except (KeyboardInterrupt, asyncio.CancelledError):
            show.text("interrupted; nothing is left behind")
            return INTERRUPTED


async def _main(begun: float, show: Show) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    cluster, policy = ClusterInfo.from_environment(), scenario.read_policy()
    async with Kube(cluster) as kube:
        demo = _Demo(begun, cluster, policy, kube, show)
        try:
            return await demo.run()
        except (PlayError, PartError, stage.StageError, KubeError) as failed:
            show.end_table()
            show.text(f"\nThe demo failed: {failed}")
        await demo.tell_why()
        return 1


class _Demo:
    def __init__(self, begun: float, cluster: ClusterInfo, policy: PolicyTerms, kube: Kube, show: Show) -> None:
        self._begun = begun
        self._cluster = cluster
        self._policy = policy
        self._kube = kube
        self._show = show
        self._seconds_to_cluster = time.time() - begun
        self._seconds_to_first_act = 0.0
        self._versions: list[tuple[Act, str, Version]] = []

    async def run(self) -> int:
        self._show.line("the cluster is up: Kubernetes with Contour, Envoy and Prometheus, all real, in a network of their own")
        await self._set_stage()
        assert self._cluster.gateway_url is not None
        url = f"{self._cluster.gateway_url}/"
        await stage.answers(url)
        load = Load(url, scenario.HOST, scenario.RATE)
        try:
            async with load:
                await self._play(load)
        except PlayError as failed:
            self._write(self._run(load), str(failed))
            raise
        return self._conclude(self._run(load))

    async def tell_why(self) -> None:
        """Print what helps to find out why the demo failed."""
        for what, arguments in (
            ("The Release", ("get", "release", scenario.NAME, "--output=yaml")),
            ("Its Events", ("events", f"--for=release/{scenario.NAME}")),
            ("Pods", ("get", "pods", "--output=wide")),
        ):
            try:
                text = await self._kube.kubectl(*arguments, f"--namespace={scenario.NAMESPACE}")
            except KubeError as error:
                text = str(error)
            self._show.text(f"\n{what}:\n{text.rstrip()}")
        if scenario.OPERATOR_LOG.exists():
            lines = scenario.OPERATOR_LOG.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            self._show.text(f"\nThe end of {scenario.OPERATOR_LOG.relative_to(scenario.ROOT)}:")
            self._show.text("\n".join(line[:600] for line in lines))

    async def _set_stage(self) -> None:
        await asyncio.gather(stage.install_tidegate(self._kube), stage.install_service(self._kube))
        self._show.line(f"deploy/ is applied; {scenario.FIRST} of the service {scenario.NAME} serves with 4 pods")
        self._show.line(
            "no container can run here: the Deployment of deploy/ is scaled to 0, and the operator runs as a process with the "
            f"token of its ServiceAccount {scenario.OPERATOR_NAMESPACE}/{scenario.OPERATOR_ACCOUNT}, so with the rights of deploy/"
        )
        await stage.install_release(self._kube)
        self._show.line(
            f"the policy is the seed policy with short times: {self._policy.hold:g} s at {self._policy.weights[0]}% for 30 min, "
            f"{self._policy.bake:g} s of bake for 10 min, a look every {self._policy.gates[P99].interval:g} s for every 30 s"
        )

    async def _play(self, load: Load) -> None:
        urls = self._cluster.prometheus_url, self._cluster.envoy_admin_url
        assert urls[0] is not None
        assert urls[1] is not None
        seen = Seen()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            prober = Prober(session, urls[0], urls[1])
            play = Play(kube=self._kube, load=load, prober=prober, seen=seen, show=self._show, policy=self._policy)
            async with (
                play.beside(seen.follow(self._kube, play.tell_release)),
                stage.operator(self._kube, self._cluster, play.give_up),
            ):
                warm = asyncio.create_task(asyncio.sleep(_WARM_SECONDS))
                await play.taken_on()
                await warm
                self._show.line(
                    f"the operator has taken {scenario.NAME} on; {scenario.RATE:.0f} requests a second go through Envoy"
                )
                self._seconds_to_first_act = time.time() - self._begun
                stable = scenario.FIRST
                for act in scenario.ACTS:
                    record = await play.play(act, stable)
                    version = report.measured(record, self._policy, self._cluster.audit_log)
                    self._versions.append((act, stable, version))
                    if version.outcome != act.outcome:
                        raise PlayError(f"{act.version} was to be {act.outcome}, and is {version.outcome}: {version.message}")
                    stable = record.serving

    def _run(self, load: Load) -> Run:
        answers = load.answers()
        return Run(
            seconds=round(time.time() - self._begun, 1),
            seconds_to_cluster=round(self._seconds_to_cluster, 1),
            seconds_to_first_act=round(self._seconds_to_first_act, 1),
            load_seconds=round(answers[-1].at - answers[0].at, 1) if answers else 0.0,
            requests=len(answers),
            failed=len(answers.failures()),
            latest_send_seconds=round(load.latest_delay, 3),
        )

    def _write(self, run: Run, error: str = "") -> tuple[list[Limit], bool]:
        limits = report.limits(self._versions, run, self._policy)
        content = report.document([version for _, _, version in self._versions], limits, run, self._policy, error)
        report.write(scenario.REPORT, content)
        return limits, content["passed"]

    def _conclude(self, run: Run) -> int:
        limits, passed = self._write(run)
        self._show.end_table()
        self._show.text(report.summary(self._versions, limits, run, self._policy))
        self._show.text(f"The numbers are in {scenario.REPORT.relative_to(scenario.ROOT)}.")
        return 0 if passed else 1
