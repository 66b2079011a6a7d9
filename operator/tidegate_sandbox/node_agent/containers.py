"""The life of one container: start, probe, end, back off, start again, until stopped or complete."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import logging
import pathlib
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tidegate_sandbox.node_agent import backoff, checks, environment, images, logs, probes, probing, process, status

_log = logging.getLogger(__name__)

MIN_STOP_SECONDS = 2.0
"""What a container gets after SIGTERM when its preStop hook used up the grace period, as in the kubelet."""

_ERROR_SHOWN_SECONDS = 1.0
_CONFIG_RETRY_SECONDS = 5.0
_MESSAGE_BYTES = 2048
_MESSAGE_FILE_BYTES = 4096
_MESSAGE_PATH = "dev/termination-log"
_START_ERROR = 128


class Role(enum.Enum):
    """Which of a pod's lists a container is in."""

    MAIN = "main"
    INIT = "init"
    SIDECAR = "sidecar"


class Catalogue(Protocol):
    """Where programs are looked up."""

    def resolve(self, image: str) -> images.Program | None:
        """Return the program for an image, None where there is none."""


ConfigReader = Callable[[str, environment.ConfigReferences], Awaitable[environment.ConfigData]]
"""Reads the named ConfigMaps and Secrets of a namespace. Raises environment.ConfigError when they cannot be read."""


@dataclass(frozen=True)
class Tools:
    """What runners need from the agent. ``crash_backoff`` in seconds; ``now`` is the wall clock, with a time zone."""

    catalogue: Catalogue
    read_config: ConfigReader
    crash_backoff: float
    now: Callable[[], dt.datetime]


@dataclass(frozen=True)
class Site:
    """Where a pod's containers run: the pod, its addresses, its own folder and the folder of its logs."""

    pod: Mapping[str, Any]
    placement: environment.Placement
    folder: pathlib.Path
    logs: pathlib.Path

    @property
    def label(self) -> str:
        """The pod as the kubelet writes it in messages: ``name_namespace(uid)``."""
        metadata = self.pod["metadata"]
        return f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"


class Grace:
    """Time left until processes are killed. May be shortened while it runs."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._deadline, self._over.set)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._deadline - self._loop.time())

    def shorten(self, seconds: float) -> None:
        """End in ``seconds`` unless it ends sooner anyway."""
        deadline = self._loop.time() + seconds
        if deadline < self._deadline:
            self._deadline = deadline
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._over.set)

    async def over(self) -> None:
        """Wait until the time is up."""
        await self._over.wait()


@dataclass(frozen=True)
class _Launch:
    arguments: list[str]
    target: checks.Target
    specs: Mapping[probes.Kind, probes.ProbeSpec]


class ContainerRunner:
    """Runs one container of a pod. ``view`` is what the status shows; ``on_change`` is called when it changes."""

    def __init__(
        self,
        container: Mapping[str, Any],
        *,
        role: Role,
        restart_policy: str,
        site: Site,
        tools: Tools,
        on_change: Callable[[], None],
        recovered: status.ContainerView | None = None,
    ) -> None:
        self.container = container
        self.role = role
        self._restart_policy = restart_policy
        self._site = site
        self._tools = tools
        self._on_change = on_change
        self._backoff = backoff.CrashBackoff(tools.crash_backoff)
        self._stopping = asyncio.Event()
        self._grace: Grace | None = None
        self._started = asyncio.Event()
        self.view = recovered or status.ContainerView(
            name=container["name"],
            image=container.get("image", ""),
            state=status.Waiting("PodInitializing" if site.pod["spec"].get("initContainers") else "ContainerCreating"),
            sidecar=role is Role.SIDECAR,
        )
        self._restarts = self.view.restart_count

    @property
    def succeeded(self) -> bool:
        """Whether the container has ended with exit code 0 and will not run again."""
        return isinstance(self.view.state, status.Terminated) and self.view.state.exit_code == 0

    def log(self, *, previous: bool) -> logs.LogFile | None:
        """Return the log of the current (or last) instance, or of the one before; None if there was none."""
        number = self._restarts - 1 if previous else self._restarts
        if number < 0:
            return None

        def live() -> bool:
            return isinstance(self.view.state, status.Running) and self.view.restart_count == number

        return logs.LogFile(self._log_path(number), live)

    def _log_path(self, number: int) -> pathlib.Path:
        return self._site.logs / self.view.name / f"{number}.log"

    async def wait_started(self) -> None:
        """Wait until the container runs and its startup probe, if any, has passed."""
        await self._started.wait()

    def stop(self, grace: Grace) -> None:
        """Ask the container to end within ``grace`` and not to start again. :meth:`run` returns when it has."""
        if self._grace is not None:
            self._grace.shorten(grace.remaining)
        else:
            self._grace = grace
        self._stopping.set()

    async def run(self) -> None:
        """Run the container until it is stopped or its restart policy says it is complete."""
        try:
            while not self._stopping.is_set():
                if isinstance(self.view.state, status.Terminated) and not await self._may_start_again(self.view.state):
                    break
                launch = await self._prepare()
                if launch is not None:
                    await self._run_instance(launch)
        finally:
            self._conclude()

    async def _may_start_again(self, ended: status.Terminated) -> bool:
        if not status.should_restart(self._restart_policy, ended.exit_code):
            return False
        delay = self._backoff.delay_after_exit(asyncio.get_running_loop().time())
        self._set(last_terminated=ended)
        if delay > 0:
            subject = f"container={self.view.name} pod={self._site.label}"
            message = f"back-off {_go_duration(delay)} restarting failed {subject}"
            self._set(state=status.Waiting("CrashLoopBackOff", message))
            await self._pause(delay)
        self._restarts += 1
        return True

    async def _prepare(self) -> _Launch | None:
        """Find the program and its settings, for as long as that takes; None when stopped meanwhile."""
        pulls = backoff.PullBackoff(self._tools.crash_backoff)
        while not self._stopping.is_set():
            program = self._tools.catalogue.resolve(self.view.image)
            if program is None:
                await self._show_missing_image(pulls.next_delay())
                continue
            try:
                return await self._launch(program)
            except (environment.ConfigError, probes.UnsupportedProbeError) as error:
                self._set(state=status.Waiting("CreateContainerConfigError", str(error)))
            await self._pause(min(_CONFIG_RETRY_SECONDS, self._tools.crash_backoff))
        return None

    async def _show_missing_image(self, delay: float) -> None:
        image = self.view.image
        reference = images.with_tag(image)
        problem = (
            f'failed to pull and unpack image "{reference}": failed to resolve reference "{reference}": {reference}: not found'
        )
        self._set(state=status.Waiting("ErrImagePull", problem))
        await self._pause(min(delay, _ERROR_SHOWN_SECONDS))
        message = f'Back-off pulling image "{image}": ErrImagePull: {problem}'
        self._set(state=status.Waiting("ImagePullBackOff", message))
        await self._pause(delay)

    async def _launch(self, program: images.Program) -> _Launch:
        pod, container = self._site.pod, self.container
        wanted = environment.references(container)
        data = environment.ConfigData()
        if wanted.config_maps or wanted.secrets:
            data = await self._tools.read_config(pod["metadata"]["namespace"], wanted)
        env = environment.compose(pod, container, program, self._site.placement, data)
        folder = pathlib.Path(container["workingDir"]) if container.get("workingDir") else self._site.folder
        target = checks.Target(self._site.placement.pod_ip, checks.named_ports(container), env, folder)
        parsed = [
            probes.parse(kind, container.get(field))
            for kind, field in (
                (probes.Kind.STARTUP, "startupProbe"),
                (probes.Kind.READINESS, "readinessProbe"),
                (probes.Kind.LIVENESS, "livenessProbe"),
            )
        ]
        specs = {spec.kind: spec for spec in parsed if spec is not None}
        return _Launch(environment.command_line(container, program, env), target, specs)

    async def _run_instance(self, launch: _Launch) -> None:
        """Run one process to its end and leave the outcome in the view."""
        began = self._tools.now()
        container_id = f"process://{uuid.uuid4().hex}"
        log, last_words = self._log_path(self._restarts), self._site.folder / self._message_path
        last_words.parent.mkdir(parents=True, exist_ok=True)
        last_words.unlink(missing_ok=True)
        try:
            running = process.start(launch.arguments, launch.target.env, launch.target.cwd, log)
        except (OSError, ValueError) as error:
            message = f'failed to start container: exec "{launch.arguments[0]}": {error}'
            self._ended(_START_ERROR, began, container_id, message, reason="StartError")
            return
        session = probing.ProbeSession(
            launch.specs if self.role is not Role.INIT else {},
            launch.target,
            lambda: self._show_probes(session),
            f"{self._site.label} {self.view.name}",
        )
        self._set(state=status.Running(began), container_id=container_id, restart_count=self._restarts)
        self._show_probes(session)
        probing_task = asyncio.create_task(session.run())
        try:
            await self._supervise(running, session, launch)
            code = await running.wait()
        finally:
            probing_task.cancel()
            await running.destroy()
            # A probe that runs a command has a process of its own to see to its end.
            await asyncio.gather(probing_task, return_exceptions=True)
        self._ended(code, began, container_id, self._last_words(code, log))

    async def _supervise(self, running: process.Process, session: probing.ProbeSession, launch: _Launch) -> None:
        """Return when the process has ended, by itself, by request, or because a probe demanded it."""
        exited = asyncio.create_task(running.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        ends: set[asyncio.Future[Any]] = {exited, stopping, session.unhealthy}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                return
            session.quiesce()
            if self._grace is None:
                own = session.unhealthy.result().termination_grace
                self._grace = Grace(own if own is not None else pod_grace_seconds(self._site.pod))
            await self._shut_down(exited, running, launch, self._grace)
        finally:
            exited.cancel()
            stopping.cancel()
            if not self._stopping.is_set():
                self._grace = None

    async def _shut_down(self, exited: asyncio.Task[int], running: process.Process, launch: _Launch, grace: Grace) -> None:
        hook = (self.container.get("lifecycle") or {}).get("preStop")
        if hook:
            await _first_of(exited, asyncio.create_task(_run_hook(hook, launch.target, grace.remaining)), grace)
            if grace.remaining < MIN_STOP_SECONDS:
                grace = Grace(MIN_STOP_SECONDS)
        running.terminate()
        await _first_of(exited, None, grace)
        if not running.ended:
            running.kill()
            await exited

    def _show_probes(self, session: probing.ProbeSession) -> None:
        if not isinstance(self.view.state, status.Running):
            return
        if session.started:
            self._started.set()
        if self.role is not Role.INIT:
            self._set(started=session.started, ready=session.ready)

    def _ended(self, code: int, began: dt.datetime, container_id: str, message: str, reason: str | None = None) -> None:
        why = reason or ("Completed" if code == 0 else "Error")
        ended = status.Terminated(code, why, began, self._tools.now(), container_id, message)
        complete = self.role is Role.INIT and code == 0
        self._set(state=ended, container_id=container_id, restart_count=self._restarts, started=False, ready=complete)

    @property
    def _message_path(self) -> str:
        return str(self.container.get("terminationMessagePath") or _MESSAGE_PATH).lstrip("/")

    def _last_words(self, code: int, log: pathlib.Path) -> str:
        path = self._site.folder / self._message_path
        if path.is_file() and (written := path.read_bytes()[:_MESSAGE_FILE_BYTES]):
            return written.decode("utf-8", "replace")
        if code == 0 or self.container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return ""
        return log.read_bytes()[-_MESSAGE_BYTES:].decode("utf-8", "replace")

    def _conclude(self) -> None:
        """A container that waits for its next start when it is stopped shows how it ended last."""
        if not isinstance(self.view.state, status.Waiting) or not self._stopping.is_set():
            return
        now = self._tools.now()
        never = status.Terminated(137, "ContainerStatusUnknown", now, now, "", "the container never ran")
        self._set(state=self.view.last_terminated or never)

    def _set(self, **changes: Any) -> None:
        view = replace(self.view, **changes)
        if view != self.view:
            self.view = view
            self._on_change()

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until :meth:`stop`."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def pod_grace_seconds(pod: Mapping[str, Any]) -> float:
    """Return the seconds a pod has to end: those of its deletion, else those of its specification."""
    deletion = pod.get("metadata", {}).get("deletionGracePeriodSeconds")
    own = pod.get("spec", {}).get("terminationGracePeriodSeconds")
    return max(1.0, float(deletion if deletion is not None else 30 if own is None else own))


async def _first_of(exited: asyncio.Task[int], other: asyncio.Task[None] | None, grace: Grace) -> None:
    """Wait for the first of: the process ended, ``other`` done, the grace period over."""
    over = asyncio.create_task(grace.over())
    try:
        await asyncio.wait({exited, over, *([other] if other else [])}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.cancel()
        if other is not None:
            other.cancel()


async def _run_hook(hook: Mapping[str, Any], target: checks.Target, limit: float) -> None:
    if "sleep" in hook:
        await asyncio.sleep(float(hook["sleep"].get("seconds", 0)))
        return
    handler = next(iter(hook))
    outcome = await checks.check(handler, hook[handler], target, max(limit, 0.1))
    if not outcome.ok:
        _log.info("preStop hook of %s: %s", target.pod_ip, outcome.message)


def _go_duration(seconds: float) -> str:
    """Format as Go does in the kubelet's messages: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
