"""The life of a container, with real processes on loopback."""

import asyncio
import datetime as dt
import pathlib
import socket
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from tidegate_sandbox.node_agent import containers, environment, images, status
from tidegate_sandbox.node_agent.containers import Role

BACKOFF_SECONDS = 0.05


class World:
    """One pod's container runner, and every view it ever showed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.catalogue = images.ImageCatalogue({"shell:*": images.Program(("sh",))})
        self.config = environment.ConfigData()
        self.shown: list[status.ContainerView] = []
        self.spec: dict[str, Any] = {"terminationGracePeriodSeconds": 5}
        self.runner: containers.ContainerRunner
        self.task: asyncio.Task[None]

    async def read_config(self, namespace: str, wanted: environment.ConfigReferences) -> environment.ConfigData:
        return self.config

    def resolve(self, image: str) -> images.Program | None:
        return self.catalogue.resolve(image)

    def start(
        self,
        script: str,
        *,
        role: Role = Role.MAIN,
        policy: str = "Always",
        recovered: status.ContainerView | None = None,
        **container: Any,
    ) -> None:
        spec = {"name": "app", "image": "shell:1", "command": ["sh", "-c", textwrap.dedent(script)], **container}
        site = containers.Site(
            pod={"metadata": {"name": "checkout-abc", "namespace": "shop", "uid": "u-1"}, "spec": self.spec},
            placement=environment.Placement("127.0.0.1", "process-1", "127.0.0.1"),
            folder=self.folder,
            logs=self.folder / "logs",
        )
        tools = containers.Tools(self, self.read_config, BACKOFF_SECONDS, lambda: dt.datetime.now(dt.UTC))
        self.runner = containers.ContainerRunner(
            spec,
            role=role,
            restart_policy=policy,
            site=site,
            tools=tools,
            on_change=lambda: self.shown.append(self.runner.view),
            recovered=recovered,
        )
        self.task = asyncio.create_task(self.runner.run())

    async def until(self, holds: Callable[[status.ContainerView], bool]) -> status.ContainerView:
        """Wait until a view was shown for which ``holds``, and return it."""
        async with asyncio.timeout(10):
            while True:
                for view in self.shown:
                    if holds(view):
                        return view
                await asyncio.sleep(0.005)

    async def ended(self) -> status.Terminated:
        async with asyncio.timeout(10):
            await self.task
        assert isinstance(self.runner.view.state, status.Terminated)
        return self.runner.view.state

    async def stop(self, seconds: float = 5.0) -> status.Terminated:
        self.runner.stop(containers.Grace(seconds))
        return await self.ended()

    @property
    def waiting_reasons(self) -> list[str]:
        return [view.state.reason for view in self.shown if isinstance(view.state, status.Waiting)]


@pytest.fixture
async def world(tmp_path: pathlib.Path):
    made = World(tmp_path)
    yield made
    made.task.cancel()
    await asyncio.gather(made.task, return_exceptions=True)


def running(view: status.ContainerView) -> bool:
    return isinstance(view.state, status.Running)


def waiting_for(reason: str) -> Callable[[status.ContainerView], bool]:
    return lambda view: isinstance(view.state, status.Waiting) and view.state.reason == reason


async def test_a_container_without_probes_is_ready_when_it_runs(world: World):
    """Given no probes, when the process runs, then the container is started and ready."""
    world.start("sleep 60")

    view = await world.until(lambda view: view.ready)

    assert running(view)
    assert view.started
    assert view.container_id.startswith("process://")


async def test_a_completed_container_stays_completed(world: World):
    """Given restartPolicy Never, when the process ends with 0, then the container is Completed and not run again."""
    world.start("exit 0", policy="Never")

    ended = await world.ended()

    assert (ended.exit_code, ended.reason) == (0, "Completed")
    assert world.runner.succeeded
    assert world.runner.view.restart_count == 0


async def test_a_crashing_container_backs_off(world: World):
    """Given restartPolicy Always, when the process crashes again and again, then CrashLoopBackOff shows with the exit code."""
    world.start("exit 3")

    view = await world.until(lambda view: waiting_for("CrashLoopBackOff")(view) and view.restart_count == 2)

    assert isinstance(view.state, status.Waiting)
    assert view.state.message == "back-off 0.1s restarting failed container=app pod=checkout-abc_shop(u-1)"
    assert view.last_terminated is not None
    assert (view.last_terminated.exit_code, view.last_terminated.reason) == (3, "Error")


async def test_stopping_a_container_in_back_off_shows_its_last_end(world: World):
    """Given a container that waits for its restart, when it is stopped, then it shows how it ended, and does not restart."""
    world.start("exit 3")
    await world.until(waiting_for("CrashLoopBackOff"))

    ended = await world.stop()

    assert ended.exit_code == 3


async def test_on_failure_restarts_until_it_succeeds(world: World):
    """Given restartPolicy OnFailure, when the second attempt succeeds, then it is over with one restart."""
    world.start("test -e tried && exit 0; touch tried; exit 1", policy="OnFailure")

    ended = await world.ended()

    assert ended.exit_code == 0
    assert world.runner.view.restart_count == 1
    assert world.runner.view.last_terminated is not None


async def test_an_unknown_image_is_not_found_until_it_is(world: World):
    """Given an image that maps to nothing, then ErrImagePull and ImagePullBackOff show; when it appears, the container starts."""
    world.start("sleep 60", image="registry.invalid/checkout:v9")
    view = await world.until(waiting_for("ImagePullBackOff"))

    world.catalogue = images.ImageCatalogue({"registry.invalid/*": images.Program(("sh",))})
    await world.until(running)

    assert world.waiting_reasons[:2] == ["ErrImagePull", "ImagePullBackOff"]
    assert isinstance(view.state, status.Waiting)
    assert view.state.message.startswith('Back-off pulling image "registry.invalid/checkout:v9": ErrImagePull: ')


async def test_a_missing_config_map_holds_the_start_back(world: World):
    """Given a reference to an absent ConfigMap, then the kubelet's error shows; when it appears, the container starts."""
    reference = {"name": "RATE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "rate"}}}
    world.start('test "$RATE" = 0.5 && sleep 60', env=[reference])
    view = await world.until(waiting_for("CreateContainerConfigError"))

    world.config = environment.ConfigData({"settings": {"rate": "0.5"}}, {})
    await world.until(running)

    assert view.state == status.Waiting("CreateContainerConfigError", 'configmap "settings" not found')


async def test_an_unsupported_probe_is_a_configuration_error(world: World):
    """Given a gRPC probe, then the container does not start and says why."""
    world.start("sleep 60", readinessProbe={"grpc": {"port": 80}})

    view = await world.until(waiting_for("CreateContainerConfigError"))

    assert isinstance(view.state, status.Waiting)
    assert "httpGet, tcpSocket and exec only" in view.state.message


async def test_a_program_that_cannot_be_executed(world: World):
    """Given a command that does not exist, when it is started, then the container ends with StartError and 128."""
    world.start("", command=["/does/not/exist"], policy="Never")

    ended = await world.ended()

    assert (ended.exit_code, ended.reason) == (128, "StartError")
    assert "/does/not/exist" in ended.message


async def test_stopping_lets_the_process_finish(world: World):
    """Given a process that tidies up on SIGTERM, when it is stopped, then it ends by itself with its own exit code."""
    world.start("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.02; done")
    log = world.folder / "logs" / "app" / "0.log"
    await eventually(lambda: log.exists() and "up" in log.read_text())

    ended = await world.stop()

    assert ended.exit_code == 7
    assert log.read_text() == "up\nbye\n"


async def test_a_process_that_ignores_sigterm_is_killed(world: World):
    """Given a process that ignores SIGTERM, when the grace period is over, then it is killed: exit code 137."""
    world.start("trap '' TERM; echo up; while :; do sleep 0.02; done")
    await eventually(lambda: "up" in (world.folder / "logs" / "app" / "0.log").read_text())

    ended = await world.stop(seconds=0.2)

    assert ended.exit_code == 137


async def test_the_grace_period_can_be_shortened(world: World):
    """Given a stop with a long grace period, when a second one asks for a short one, then the short one counts."""
    world.start("trap '' TERM; echo up; while :; do sleep 0.02; done")
    await eventually(lambda: "up" in (world.folder / "logs" / "app" / "0.log").read_text())
    world.runner.stop(containers.Grace(60))

    ended = await world.stop(seconds=0.2)

    assert ended.exit_code == 137


async def test_the_pre_stop_hook_runs_before_sigterm(world: World):
    """Given a preStop hook, when the container is stopped, then the hook is done before the process hears of it."""
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > order"]}}}
    world.start("trap 'echo term >> order; exit 0' TERM; echo up; while :; do sleep 0.02; done", lifecycle=hook)
    await eventually(lambda: "up" in (world.folder / "logs" / "app" / "0.log").read_text())

    await world.stop()

    assert (world.folder / "order").read_text() == "hook\nterm\n"


async def test_what_a_process_leaves_behind_ends_with_it(world: World):
    """Given a process with a child in the background, when it ends, then the child ends too."""
    world.start("sleep 60 & echo $! > child; exit 0", policy="Never")

    await world.ended()

    child = pathlib.Path("/proc") / (world.folder / "child").read_text().strip() / "cmdline"
    await eventually(lambda: not child.exists() or child.read_bytes() == b"")


async def test_readiness_follows_the_probe(world: World):
    """Given an exec readiness probe, when its outcome turns, then the container turns ready and unready without a restart."""
    probe = {"exec": {"command": ["test", "-e", "ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    world.start("sleep 60", readinessProbe=probe)
    await world.until(running)
    assert not world.runner.view.ready

    (world.folder / "ready").touch()
    await eventually(lambda: world.runner.view.ready)
    (world.folder / "ready").unlink()
    await eventually(lambda: not world.runner.view.ready)

    assert world.runner.view.restart_count == 0


async def test_a_failed_liveness_probe_restarts(world: World):
    """Given a liveness probe that fails, then the process is stopped with SIGTERM and started again."""
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    world.start("exec sleep 60", livenessProbe=probe)

    view = await world.until(lambda view: running(view) and view.restart_count == 1)

    assert view.last_terminated is not None
    assert view.last_terminated.exit_code == 143


async def test_the_startup_probe_comes_first(world: World):
    """Given a startup probe, then the container counts as started, and is probed for readiness, only after it passed."""
    world.start(
        "sleep 60",
        startupProbe={"exec": {"command": ["test", "-e", "up"]}, "periodSeconds": 1},
        readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1},
    )
    await world.until(running)
    before = world.runner.view

    (world.folder / "up").touch()
    await eventually(lambda: world.runner.view.ready)

    assert (before.started, before.ready) == (False, False)
    assert world.runner.view.started


async def test_a_container_that_never_starts_up_is_restarted(world: World):
    """Given a startup probe that never passes, when its failures are used up, then the container is restarted."""
    world.start("exec sleep 60", startupProbe={"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1})

    view = await world.until(lambda view: view.restart_count == 1)

    assert view.last_terminated is not None
    assert not view.ready


HTTP_SERVER = f"""
exec {sys.executable} -c '
import http.server, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ok" else 503); self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
pathlib.Path("port").write_text(str(server.server_port)); server.serve_forever()
'
"""


@pytest.mark.parametrize(
    ("probe", "passes"),
    [
        ({"httpGet": {"path": "/ok", "port": "web"}}, True),
        ({"httpGet": {"path": "/no", "port": "web"}}, False),
        ({"tcpSocket": {"port": "web"}}, True),
        ({"tcpSocket": {"port": "absent"}}, False),
    ],
)
async def test_network_probes(world: World, unused_port: int, probe: dict[str, Any], passes: bool):
    """An HTTP answer below 400 or an accepted connection passes; an error answer or an unknown port name does not."""
    server = HTTP_SERVER.replace('("127.0.0.1", 0)', f'("127.0.0.1", {unused_port})')
    world.start(server, readinessProbe={**probe, "periodSeconds": 1}, ports=[{"name": "web", "containerPort": unused_port}])
    await eventually((world.folder / "port").exists)
    await asyncio.sleep(0.5 if not passes else 0)

    if passes:
        await eventually(lambda: world.runner.view.ready)

    assert world.runner.view.ready is passes


async def test_the_last_words_of_a_crash(world: World):
    """Given terminationMessagePolicy FallbackToLogsOnError, when the process fails, then the end of its log is the message."""
    world.start("echo cannot open database; exit 1", policy="Never", terminationMessagePolicy="FallbackToLogsOnError")

    ended = await world.ended()

    assert ended.message == "cannot open database\n"


@pytest.mark.parametrize(("path", "code"), [("dev/termination-log", 0), ("dev/termination-log", 3), ("said/here", 0)])
async def test_what_a_container_leaves_as_its_message(world: World, path: str, code: int):
    """Given a process that writes its termination message, then that is the message, however it ended."""
    more = {} if path == "dev/termination-log" else {"terminationMessagePath": f"/{path}"}
    world.start(f"echo done >{path}; exit {code}", policy="Never", **more)

    ended = await world.ended()

    assert ended.message == "done\n"


async def test_an_init_container_is_ready_when_it_is_done(world: World):
    """Given an init container, then its probes do not count, and it is ready once it ended with 0."""
    world.start("exit 0", role=Role.INIT, policy="OnFailure")

    await world.ended()

    assert world.runner.view.ready
    assert not world.runner.view.started


async def test_a_recovered_container_is_restarted_with_its_count(world: World):
    """Given a container that ended with a former agent, when its policy says so, then it runs again and the count goes on."""
    recovered = status.recover_container(
        {"name": "app", "image": "shell:1", "restartCount": 4, "state": {"running": {}}},
        init=False,
        sidecar=False,
        now=dt.datetime.now(dt.UTC),
    )
    world.start("sleep 60", recovered=recovered)

    view = await world.until(running)

    assert view.restart_count == 5


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                if holds():
                    return
            except FileNotFoundError:
                pass
            await asyncio.sleep(0.005)


@pytest.fixture
def unused_port() -> int:

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
