"""The way into the sandbox: leaves the machine's network and process table, then becomes its first process.

Three processes of this program make a sandbox, so that nothing of it is ever left behind:

- the *launcher*, outside, which hands signals in and the exit status out;
- the *first process* of the sandbox's own process table, which the kernel kills with the launcher, and with which it
  kills everything else; it does nothing but bury the dead and watch;
- the *supervisor*, which starts and watches the parts; when it goes, so does the first process.
"""

import asyncio
import fcntl
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from tidegate_sandbox import isolation, relay, state
from tidegate_sandbox.cluster import API_PORT, FAILED, GATEWAY_PORT, PROMETHEUS_PORT, Layout


def main() -> int:
    """Run the sandbox that the plan in the given directory describes, and return its exit status."""
    layout, parent = Layout(Path(sys.argv[1])), int(sys.argv[2])
    plan = state.Plan.load(layout)
    if plan.attached:
        isolation.die_with_parent()
        if os.getppid() != parent:
            return FAILED
    # Never closed: the processes that are forked from here hold it until the last of them is gone.
    lock = os.open(layout.lock, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    relays = _listen(plan)
    try:
        isolation.isolate()
    except isolation.IsolationError as refused:
        state.State(layout).fail(str(refused))
        return FAILED
    ready_to_go, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        isolation.die_with_parent()
        # An empty answer: the launcher died before the line above could tie us to it.
        os._exit(_first_process(layout, plan, relays) if os.read(ready_to_go, 1) else FAILED)
    os.close(ready_to_go)
    layout.pid.write_text(str(child))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    os.write(go, b".")
    for outside in relays.values():
        outside.close()
    _, status = os.waitpid(child, 0)
    return _exit_status(status)


def _listen(plan: state.Plan) -> dict[int, socket.socket]:
    if plan.attached:
        return {}
    ports = {API_PORT}
    ports |= {GATEWAY_PORT} if "gateway" in plan.spec.parts else set()
    ports |= {PROMETHEUS_PORT} if "prometheus" in plan.spec.parts else set()
    return {port: relay.listen() for port in ports}


def _first_process(layout: Layout, plan: state.Plan, relays: Mapping[int, socket.socket]) -> int:
    try:
        isolation.furnish()
    except isolation.IsolationError as refused:
        state.State(layout).fail(str(refused))
        return FAILED
    supervisor = os.fork()
    if supervisor == 0:
        _supervise(layout, plan, relays)
    for outside in relays.values():
        outside.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(supervisor, signal.SIGTERM))
    while True:
        pid, status = os.wait()
        if pid == supervisor:
            return _exit_status(status)


def _supervise(layout: Layout, plan: state.Plan, relays: Mapping[int, socket.socket]) -> NoReturn:
    from tidegate_sandbox import supervisor

    status = FAILED
    try:
        status = asyncio.run(supervisor.supervise(layout, plan, relays))
    except Exception:  # noqa: BLE001 - this process never returns into the one that it was forked from
        traceback.print_exc()
        state.State(layout).fail("the supervisor broke; its traceback is above")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _exit_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
