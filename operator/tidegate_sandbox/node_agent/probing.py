"""Runs the probes of one container instance.

When pods count as ready decides when they get traffic, so probes keep the kubelet's order, delays and thresholds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from tidegate_sandbox.node_agent import checks, probes

_log = logging.getLogger(__name__)


class ProbeSession:
    """Startup probe first, then readiness and liveness side by side.

    ``started`` and ``ready`` are as the container's status shows them; ``unhealthy`` is fulfilled with the probe that
    demands a restart. ``on_change`` is called whenever ``started`` or ``ready`` changed.
    """

    def __init__(
        self,
        specs: Mapping[probes.Kind, probes.ProbeSpec],
        target: checks.Target,
        on_change: Callable[[], None],
        label: str,
    ) -> None:
        self._specs = specs
        self._target = target
        self._on_change = on_change
        self._label = label
        self._began = asyncio.get_running_loop().time()
        self._liveness: asyncio.Task[None] | None = None
        self._quiet = False
        self.started = probes.Kind.STARTUP not in specs
        self.ready = self.started and probes.Kind.READINESS not in specs
        self.unhealthy: asyncio.Future[probes.ProbeSpec] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Probe until cancelled, or until a failed startup probe leaves nothing to probe."""
        startup = self._specs.get(probes.Kind.STARTUP)
        if startup is not None:
            await self._probe(startup)
            if not self.started:
                return
        async with asyncio.TaskGroup() as group:
            readiness, liveness = (self._specs.get(kind) for kind in (probes.Kind.READINESS, probes.Kind.LIVENESS))
            if readiness is not None:
                group.create_task(self._probe(readiness))
            if liveness is not None and not self._quiet:
                self._liveness = group.create_task(self._probe(liveness))

    def quiesce(self) -> None:
        """Stop asking for restarts: the container is being stopped. Readiness is probed on, as by a kubelet."""
        self._quiet = True
        if self._liveness is not None:
            self._liveness.cancel()

    async def _probe(self, spec: probes.ProbeSpec) -> None:
        machine = probes.ProbeMachine(spec)
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(max(0.0, self._began + machine.next_check - clock()))
            at = clock() - self._began
            outcome = await checks.check(spec.handler, spec.settings, self._target, spec.timeout)
            before = machine.verdict
            verdict = machine.observe(ok=outcome.ok, at=at)
            if verdict is not before and verdict is probes.Verdict.FAILURE:
                _log.info("%s: %s probe failed: %s", self._label, spec.kind.value, outcome.message)
            if self._take(spec, verdict):
                return

    def _take(self, spec: probes.ProbeSpec, verdict: probes.Verdict) -> bool:
        """Apply a verdict; return whether this probe has said all it can."""
        success = verdict is probes.Verdict.SUCCESS
        if spec.kind is probes.Kind.READINESS:
            if self.ready is not success:
                self.ready = success
                self._on_change()
            return False
        if verdict is probes.Verdict.FAILURE:
            if not self._quiet and not self.unhealthy.done():
                self.unhealthy.set_result(spec)
            return True
        if spec.kind is probes.Kind.STARTUP and success:
            self.started = True
            self.ready = probes.Kind.READINESS not in self._specs
            self._on_change()
            return True
        return False
