"""Brings the parts of a sandbox up side by side, runs the caller's command, and answers while it runs.

It takes nothing down: when it returns, its process table ends and the kernel kills whatever is in it.
"""

import asyncio
import json
import secrets
import signal
import socket
import sys
from collections.abc import Mapping

from tidegate_sandbox import controlplane, gateway, monitoring, nodes, relay
from tidegate_sandbox.apiclient import ApiClient
from tidegate_sandbox.cluster import (
    API_PORT,
    CONTROL_PORT,
    ENVOY_ADMIN_PORT,
    FAILED,
    GATEWAY_PORT,
    PROMETHEUS_PORT,
    ClusterInfo,
    Layout,
)
from tidegate_sandbox.programs import PartError, Program
from tidegate_sandbox.sandbox import API_URL, Sandbox
from tidegate_sandbox.state import READY, Plan, State

_GRACE_SECONDS = 10.0
"""How long the caller's command may take to end after it was asked to."""

_WATCH_SECONDS = 0.2


async def supervise(layout: Layout, plan: Plan, relays: Mapping[int, socket.socket]) -> int:
    """Bring a sandbox up, run its command or stay, and return the exit status.

    Args:
        layout: the sandbox's files.
        plan: what to bring up, and what to run.
        relays: sockets of the machine's own network, by the port of the sandbox that they lead to.
    """
    token = secrets.token_urlsafe(24)
    async with ApiClient(API_URL, token, layout.ca_file) as api:
        supervisor = _Supervisor(layout, plan, relays, token, api)
        return await supervisor.run()


class _Supervisor:
    def __init__(self, layout: Layout, plan: Plan, relays: Mapping[int, socket.socket], token: str, api: ApiClient) -> None:
        self._layout = layout
        self._plan = plan
        self._relays = relays
        self._state = State(layout)
        self._asked_to_end = asyncio.Event()
        self._command: asyncio.subprocess.Process | None = None
        self._sandbox = Sandbox(plan.spec, layout, plan.bin_dir, token, api, self._note)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_end.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        coming_up = asyncio.create_task(self._bring_up())
        asked = asyncio.create_task(self._asked_to_end.wait())
        await asyncio.wait({coming_up, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not coming_up.done():
            return 128 + signal.SIGINT
        try:
            coming_up.result()
        except PartError as failed:
            self._state.fail(str(failed))
            return FAILED
        background = [asyncio.create_task(self._watch()), asyncio.create_task(self._serve_control())]
        background += [asyncio.create_task(relay.serve(outside, port)) for port, outside in self._relays.items()]
        if self._plan.command:
            return await self._run_command(asked)
        await asked
        return 0

    def _interrupted(self) -> None:
        # The terminal sends Ctrl-C to the command too: as long as one runs, it decides what that means.
        if self._command is None:
            self._asked_to_end.set()

    async def _bring_up(self) -> None:
        self._layout.logs.mkdir(exist_ok=True)
        self._layout.temporary.mkdir(exist_ok=True)
        self._state.write()
        sandbox, parts = self._sandbox, self._plan.spec.parts
        await controlplane.start_api(sandbox)
        starts = {
            "controllers": controlplane.start_controllers,
            "kwok": nodes.start_kwok,
            "process-nodes": nodes.start_process_nodes,
            "gateway": gateway.start_gateway,
            "prometheus": monitoring.start_prometheus,
        }
        tasks = [asyncio.create_task(start(sandbox)) for part, start in starts.items() if part in parts]
        if tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        self._write_outer_kubeconfig()
        self._state.phase = READY
        self._state.cluster = self._info()
        self._state.write()

    def _note(self, program: Program) -> None:
        pid = program.process.pid if program.process is not None else None
        seconds = None if program.seconds is None else round(program.seconds, 2)
        self._state.programs[program.name] = {"pid": pid, "seconds": seconds, "running": program.running}
        self._state.write()

    def _info(self) -> ClusterInfo:
        layout, parts = self._layout, self._plan.spec.parts
        return ClusterInfo(
            directory=layout.directory,
            parts=parts,
            api_url=API_URL,
            token=self._sandbox.token,
            kubeconfig=layout.kubeconfig,
            ca_file=layout.ca_file,
            audit_log=layout.audit_log,
            bin_dir=self._plan.bin_dir,
            node_names=tuple(self._sandbox.node_names),
            gateway_url=f"http://127.0.0.1:{GATEWAY_PORT}" if "gateway" in parts else None,
            envoy_admin_url=f"http://127.0.0.1:{ENVOY_ADMIN_PORT}" if "gateway" in parts else None,
            prometheus_url=f"http://127.0.0.1:{PROMETHEUS_PORT}" if "prometheus" in parts else None,
        )

    def _write_outer_kubeconfig(self) -> None:
        names = {API_PORT: "api", GATEWAY_PORT: "gateway", PROMETHEUS_PORT: "prometheus"}
        for port, outside in self._relays.items():
            scheme = "https" if port == API_PORT else "http"
            self._state.outside[names[port]] = f"{scheme}://127.0.0.1:{outside.getsockname()[1]}"
        if "api" in self._state.outside:
            path = self._layout.outer_kubeconfig
            path.touch(mode=0o600)
            path.write_text(controlplane.kubeconfig(self._state.outside["api"], self._sandbox.token, self._layout.ca_file))

    async def _run_command(self, asked: "asyncio.Task[bool]") -> int:
        environment = self._layout.environment(self._plan.bin_dir)
        try:
            self._command = await asyncio.create_subprocess_exec(*self._plan.command, env=environment)
        except OSError as error:
            print(f"tidegate-sandbox: {self._plan.command[0]}: {error.strerror}", file=sys.stderr)
            return 127 if isinstance(error, FileNotFoundError) else 126
        ended = asyncio.create_task(self._command.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            self._command.terminate()
            await asyncio.wait({ended}, timeout=_GRACE_SECONDS)
        code = self._command.returncode
        if code is None:
            return 128 + signal.SIGTERM
        return code if code >= 0 else 128 - code

    async def _watch(self) -> None:
        """Tell when a program ends that should run: a test that fails after that has its reason here."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for program in self._sandbox.programs.values():
                if program.expected_to_run and not program.running:
                    program.expected_to_run = False
                    print(f"tidegate-sandbox: {program.ended()}", file=sys.stderr, flush=True)
                    self._note(program)

    async def _serve_control(self) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = json.loads(await reader.readline())
            error = await self._control(request["action"], request["program"])
            writer.write(json.dumps({"error": error}).encode() + b"\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", CONTROL_PORT)
        async with server:
            await server.serve_forever()

    async def _control(self, action: str, name: str) -> str:
        program = self._sandbox.programs.get(name)
        if program is None:
            return f"there is no program {name!r}; there are {', '.join(self._sandbox.programs)}"
        try:
            match action:
                case "stop":
                    await program.stop()
                case "start" if not program.running:
                    await program.start()
                case "freeze":
                    program.freeze()
                case "thaw":
                    program.thaw()
        except PartError as failed:
            return str(failed)
        self._note(program)
        return ""
