"""The life of one pod: an address, its containers, its status, its graceful end."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import pathlib
import shutil
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate_sandbox.node_agent import addresses, api, containers, environment, logs, status

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Host:
    """What pods share: the API, the address pool and interface, the folders, and what containers need."""

    client: api.ApiClient
    pool: addresses.AddressPool
    interface: addresses.Interface
    tools: containers.Tools
    work_dir: pathlib.Path
    log_dir: pathlib.Path


class PodWorker:
    """Runs one pod that is bound to a node of this agent. Create one per pod uid, run once."""

    def __init__(self, pod: Mapping[str, Any], host: Host) -> None:
        self._pod = pod
        self._host = host
        self._start_time = status.moment(pod.get("status", {}).get("startTime"), host.tools.now())
        self._address = ""
        self._reported: Mapping[str, Any] = pod.get("status", {})
        self._init: list[containers.ContainerRunner] = []
        self._main: list[containers.ContainerRunner] = []
        self._initialized = False
        self._terminal = False
        self._gone = False
        self._grace: containers.Grace | None = None
        self._leaving = asyncio.Event()
        self._dirty = asyncio.Event()
        self._flushing = asyncio.Lock()

    @property
    def node_name(self) -> str:
        """The node that the pod is bound to."""
        return str(self._pod["spec"]["nodeName"])

    @property
    def name(self) -> tuple[str, str]:
        """Namespace and name of the pod."""
        return self._pod["metadata"]["namespace"], self._pod["metadata"]["name"]

    def log(self, container: str, *, previous: bool) -> logs.LogFile | None:
        """Return the log of a container's current (or last) instance, or of the one before; None if there is none."""
        for runner in [*self._main, *self._init]:
            if runner.view.name == container:
                return runner.log(previous=previous)
        return None

    def observe(self, pod: Mapping[str, Any]) -> None:
        """Take in the pod as the API server shows it now."""
        self._pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._leave()
        elif pod["spec"].get("readinessGates"):
            self._dirty.set()

    def vanish(self, last: Mapping[str, Any] | None) -> None:
        """The pod is no more in the API: end its containers; there is nothing left to report.

        ``last`` is its final state where that is known: a forced deletion shows there as no grace at all.
        """
        self._pod = last or self._pod
        self._gone = True
        self._leave()

    def _leave(self) -> None:
        seconds = containers.pod_grace_seconds(self._pod)
        if self._grace is None:
            self._grace = containers.Grace(seconds)
        else:
            self._grace.shorten(seconds)
        self._leaving.set()
        for runner in [*self._main, *self._init]:
            # Sidecars outlive the containers that they serve: see _run_containers.
            if runner.role is not containers.Role.SIDECAR:
                runner.stop(self._grace)

    async def run(self) -> None:
        """Run the pod until it is deleted; when cancelled its processes are killed and its address is freed."""
        publisher = asyncio.create_task(self._publish_changes())
        try:
            if self._pod.get("status", {}).get("phase") not in (status.SUCCEEDED, status.FAILED):
                await self._live()
            await self._leaving.wait()
            publisher.cancel()
            await self._publish()
            await self._delete()
        finally:
            publisher.cancel()

    async def _live(self) -> None:
        self._dirty.set()
        folder = self._host.work_dir / str(self._pod["metadata"]["uid"])
        try:
            await self._take_address()
            folder.mkdir(parents=True, exist_ok=True)
            self._create_runners(folder)
            if self._pod["metadata"].get("deletionTimestamp"):
                self._leave()
            await self._run_containers()
        finally:
            self._release_address()
            shutil.rmtree(folder, ignore_errors=True)
        self._terminal = self._leaving.is_set()
        self._dirty.set()

    async def _take_address(self) -> None:
        if self._pod["spec"].get("hostNetwork"):
            self._address = self._host.pool.node_address
            return
        preferred = self._pod.get("status", {}).get("podIP")
        async for attempt in api.attempts():
            if self._leaving.is_set():
                return
            try:
                address = self._host.pool.allocate(preferred if _is_ipv4(preferred) else None)
                self._host.interface.add(address)
            except (addresses.AddressError, OSError) as error:
                if attempt == 0:
                    _log.warning("pod %s: %s", self._pod["metadata"]["name"], error)
                continue
            self._address = address
            return

    def _release_address(self) -> None:
        if not self._address or self._address == self._host.pool.node_address:
            return
        try:
            self._host.interface.remove(self._address)
        except (addresses.AddressError, OSError) as error:
            _log.warning("%s", error)
        self._host.pool.release(self._address)

    def _create_runners(self, folder: pathlib.Path) -> None:
        metadata, spec = self._pod["metadata"], self._pod["spec"]
        log_dir = self._host.log_dir / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"
        placement = environment.Placement(self._address, self.node_name, self._host.pool.node_address)
        site = containers.Site(self._pod, placement, folder, log_dir)
        policy = spec.get("restartPolicy", status.ALWAYS)
        for container in spec.get("initContainers") or ():
            sidecar = container.get("restartPolicy") == status.ALWAYS
            role = containers.Role.SIDECAR if sidecar else containers.Role.INIT
            once = status.NEVER if policy == status.NEVER else "OnFailure"
            self._init.append(self._runner(container, role, status.ALWAYS if sidecar else once, site))
        for container in spec["containers"]:
            self._main.append(self._runner(container, containers.Role.MAIN, policy, site))

    def _runner(
        self, container: Mapping[str, Any], role: containers.Role, policy: str, site: containers.Site
    ) -> containers.ContainerRunner:
        init = role is not containers.Role.MAIN
        reported = self._pod.get("status", {}).get("initContainerStatuses" if init else "containerStatuses") or ()
        recovered = status.recover_container(
            next((entry for entry in reported if entry.get("name") == container["name"]), None),
            init=init,
            sidecar=role is containers.Role.SIDECAR,
            now=self._host.tools.now(),
        )
        return containers.ContainerRunner(
            container,
            role=role,
            restart_policy=policy,
            site=site,
            tools=self._host.tools,
            on_change=self._dirty.set,
            recovered=recovered,
        )

    async def _run_containers(self) -> None:
        """Run init containers in turn, then all main containers side by side, then end the sidecars."""
        sidecars: list[asyncio.Task[None]] = []
        try:
            if await self._initialise(sidecars):
                self._initialized = True
                self._dirty.set()
                await asyncio.gather(*(runner.run() for runner in self._main))
            else:
                self._abandon_main()
            await self._stop_sidecars(sidecars)
        finally:
            for task in sidecars:
                task.cancel()

    async def _initialise(self, sidecars: list[asyncio.Task[None]]) -> bool:
        for runner in self._init:
            if self._leaving.is_set():
                return False
            if runner.role is containers.Role.SIDECAR:
                sidecars.append(asyncio.create_task(runner.run()))
                await _either(runner.wait_started(), self._leaving.wait())
                continue
            await runner.run()
            if not runner.succeeded:
                return False
        return not self._leaving.is_set()

    def _abandon_main(self) -> None:
        # A pod whose initialisation failed or was cut short is over: nothing of it may look as if it could still start.
        self._terminal = True
        self._dirty.set()

    async def _stop_sidecars(self, tasks: list[asyncio.Task[None]]) -> None:
        if not tasks:
            return
        grace = self._grace or containers.Grace(containers.pod_grace_seconds(self._pod))
        for runner in self._init:
            if runner.role is containers.Role.SIDECAR:
                runner.stop(grace)
        await asyncio.gather(*tasks)

    async def _publish_changes(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._publish()

    async def _publish(self) -> None:
        """Bring the pod's status in the API up to date, trying until it is or the pod is gone."""
        async with self._flushing:
            async for _ in api.attempts():
                wanted = self._status()
                if self._gone or wanted is None or wanted == self._reported:
                    return
                try:
                    await self._patch_status(wanted)
                except api.TRANSIENT as error:
                    if isinstance(error, api.ApiError) and error.status in (404, 409):
                        return
                    _log.warning("status of pod %s: %s", self._pod["metadata"]["name"], api.describe(error))
                    continue
                self._reported = wanted
                return

    def _status(self) -> status.Json | None:
        if not self._main:
            return None
        view = status.PodView(
            init_containers=tuple(runner.view for runner in self._init),
            containers=tuple(runner.view for runner in self._main),
            host_ip=self._host.pool.node_address,
            pod_ip=self._address,
            start_time=self._start_time,
            initialized=self._initialized,
            terminal=self._terminal,
        )
        return status.pod_status(self._pod, view, self._reported, self._host.tools.now())

    async def _patch_status(self, wanted: status.Json) -> None:
        body = dict(wanted)
        if self._reported.get("podIP") not in (None, "", self._address):
            # podIPs merges by address: without the directive the former address would stay in the list.
            body["podIPs"] = [{"$patch": "replace"}, *wanted["podIPs"]]
        patch = {"metadata": {"uid": self._pod["metadata"]["uid"]}, "status": body}
        await self._host.client.request("PATCH", self._path() + "/status", body=patch, content_type=api.STRATEGIC_MERGE_PATCH)

    async def _delete(self) -> None:
        """Tell the API server that the pod has ended, so that the object can go."""
        uid = self._pod["metadata"]["uid"]
        async for _ in api.attempts():
            if self._gone:
                return
            try:
                body = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
                await self._host.client.request("DELETE", self._path(), body=body)
            except api.TRANSIENT as error:
                if not isinstance(error, api.ApiError) or error.status not in (404, 409):
                    _log.warning("deletion of pod %s: %s", self._pod["metadata"]["name"], api.describe(error))
                    continue
            return

    def _path(self) -> str:
        metadata = self._pod["metadata"]
        return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


async def _either(*awaitables: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _is_ipv4(text: str | None) -> bool:
    try:
        return text is not None and ipaddress.ip_address(text).version == 4
    except ValueError:
        return False
