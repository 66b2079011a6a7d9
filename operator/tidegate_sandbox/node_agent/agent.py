"""The agent as a whole: nodes, and a worker for each pod that is bound to one of them."""

from __future__ import annotations

import asyncio
import logging
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate_sandbox.node_agent import api, environment, images, logs, nodes, pods, status

_log = logging.getLogger(__name__)


class WatchedCatalogue:
    """The images file, read again whenever it changes; a file that turned malformed leaves the last good state."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._modified = path.stat().st_mtime_ns if path.exists() else 0
        self._catalogue = images.load_catalogue(path)

    def resolve(self, image: str) -> images.Program | None:
        """Return the program for an image, None where there is none."""
        try:
            modified = self._path.stat().st_mtime_ns
            if modified != self._modified:
                self._modified = modified
                self._catalogue = images.load_catalogue(self._path)
        except (OSError, images.ImageFileError) as error:
            _log.warning("%s", error)
        return self._catalogue.resolve(image)


class ConfigObjects:
    """Reads ConfigMaps and Secrets for containers' environments."""

    def __init__(self, client: api.ApiClient) -> None:
        self._client = client

    async def read(self, namespace: str, wanted: environment.ConfigReferences) -> environment.ConfigData:
        """Return the objects that exist. Raises environment.ConfigError when the API server cannot be asked."""
        config_maps: dict[str, Mapping[str, str]] = {}
        secrets: dict[str, Mapping[str, str]] = {}
        for name in sorted(wanted.config_maps):
            found = await self._get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
            if found is not None:
                config_maps[name] = found.get("data") or {}
        for name in sorted(wanted.secrets):
            found = await self._get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
            if found is not None:
                secrets[name] = environment.secret_text(found)
        return environment.ConfigData(config_maps, secrets)

    async def _get(self, path: str) -> api.Json | None:
        try:
            return await self._client.request("GET", path)
        except api.TRANSIENT as error:
            if isinstance(error, api.ApiError) and error.status == 404:
                return None
            raise environment.ConfigError(f"cannot read {path}: {api.describe(error)}") from error


class NodeAgent:
    """Runs the pods of some nodes until cancelled."""

    def __init__(self, host: pods.Host, node_names: Sequence[str], settings: nodes.NodeSettings) -> None:
        self._host = host
        self._node_names = node_names
        self._settings = settings
        self._workers: dict[str, pods.PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Register the nodes and run their pods. When cancelled every process is killed and every address is freed."""
        address = self._host.pool.node_address
        for leftover in self._host.pool.pod_addresses():
            # An agent that was killed could not tidy up: its pods' addresses would still seem to be there.
            self._host.interface.remove(leftover)
        self._host.interface.add(address)
        self._host.work_dir.mkdir(parents=True, exist_ok=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(logs.serve(address, self._find_log, self._host.work_dir))
                for name in self._node_names:
                    keeper = nodes.NodeKeeper(self._host.client, name, self._settings, self._host.tools.now)
                    group.create_task(keeper.run())
                    group.create_task(self._reflector(name).run())
        finally:
            await self._stop_all()
            self._host.interface.remove(address)

    def _find_log(self, namespace: str, pod: str, container: str, previous: bool) -> logs.LogFile | None:  # noqa: FBT001
        for worker in self._workers.values():
            if worker.name == (namespace, pod):
                return worker.log(container, previous=previous)
        return None

    def _reflector(self, node: str) -> api.Reflector:
        return api.Reflector(
            self._host.client,
            "/api/v1/pods",
            {"fieldSelector": f"spec.nodeName={node}"},
            lambda found: self._on_list(node, found),
            self._on_event,
        )

    def _on_list(self, node: str, found: list[api.Json]) -> None:
        present = {pod["metadata"]["uid"] for pod in found}
        for uid, worker in list(self._workers.items()):
            if worker.node_name == node and uid not in present:
                self._forget(uid, None)
        for pod in found:
            self._on_pod(pod)

    def _on_event(self, kind: str, pod: Mapping[str, Any]) -> None:
        if kind == "DELETED":
            self._forget(pod["metadata"]["uid"], pod)
        else:
            self._on_pod(pod)

    def _on_pod(self, pod: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        uid = metadata["uid"]
        worker = self._workers.get(uid)
        if worker is not None:
            worker.observe(pod)
            return
        over = pod.get("status", {}).get("phase") in (status.SUCCEEDED, status.FAILED)
        if over and not metadata.get("deletionTimestamp"):
            return
        worker = self._workers[uid] = pods.PodWorker(pod, self._host)
        worker.observe(pod)
        label = f"{metadata['namespace']}/{metadata['name']}"
        self._tasks[uid] = asyncio.create_task(self._run_worker(worker, label), name=label)

    async def _run_worker(self, worker: pods.PodWorker, label: str) -> None:
        try:
            await worker.run()
        except Exception:  # noqa: BLE001
            # One pod's failure must not end the others'; its processes and address are gone with the worker.
            _log.exception("pod %s: the worker failed", label)

    def _forget(self, uid: str, last: Mapping[str, Any] | None) -> None:
        worker = self._workers.pop(uid, None)
        if worker is None:
            return
        worker.vanish(last)
        task = self._tasks[uid]
        task.add_done_callback(lambda _: self._tasks.pop(uid, None))

    async def _stop_all(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
