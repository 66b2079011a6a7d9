"""Plays the acts: changes the Deployment's image, looks on, does what a person would, and keeps what was recorded."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tidegate_sandbox.demo import probe, scenario
from tidegate_sandbox.demo.kube import Kube, Object
from tidegate_sandbox.demo.probe import Probe, Prober
from tidegate_sandbox.demo.record import Record, is_alert
from tidegate_sandbox.demo.scenario import ERROR_RATE, P99, Act, GateTerms, PolicyTerms
from tidegate_sandbox.demo.seen import RELEASE, EventSeen, Seen
from tidegate_sandbox.demo.show import Row, Show
from tidegate_sandbox.loadgen import Load

_ACT_SECONDS = 90.0
_READING_SECONDS = 1.0
"""How long the person reads before asking for a rollback."""
_SETTLING_SECONDS = 1.0
_TABLE_SECONDS = 0.25


class PlayError(Exception):
    """An act did not come to its end; the message says what was waited for."""


@dataclass
class _Tally:
    """Counts the answers of an act as they come."""

    position: int
    requests: int = 0
    failed: collections.Counter[str] = field(default_factory=collections.Counter)

    def update(self, load: Load) -> None:
        for answer in load.since(self.position):
            self.position += 1
            self.requests += 1
            if answer.failed:
                self.failed[answer.version] += 1


class Play:
    """The acts, one after another."""

    def __init__(self, *, kube: Kube, load: Load, prober: Prober, seen: Seen, show: Show, policy: PolicyTerms) -> None:
        """Prepare.

        Args:
            kube: the way to the API server.
            load: the load that is on.
            prober: asks Prometheus and Envoy.
            seen: what is seen of the cluster, kept up to date by somebody else.
            show: where it is told.
            policy: the policy that is in force.
        """
        self._kube = kube
        self._load = load
        self._prober = prober
        self._seen = seen
        self._show = show
        self._policy = policy
        self._rows = {act.version: Row(act.version, act.story) for act in scenario.ACTS}
        self._current: Record | None = None
        self._told = ("", "")
        self._route_spec: Object = {}
        self._broken = ""

    def give_up(self, reason: str) -> None:
        """Have whatever is waited for end in a PlayError with this reason: going on makes no sense."""
        self._broken = self._broken or reason
        self._seen.changed.set()

    @asynccontextmanager
    async def beside(self, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Run something while the context is open; what it raises ends the play."""

        def ended(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self.give_up(f"{type(error).__name__}: {error}")

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def taken_on(self) -> None:
        """Wait until the Release stands: what serves is the stable version. Raises PlayError where it does not."""
        await self._until(lambda: bool(self._seen.route) and self._seen.status.get("phase") == "Idle", "the Release is Idle")
        self._route_spec = self._seen.route["spec"]

    async def play(self, act: Act, stable: str) -> Record:
        """Play one act to its end.

        Raises:
            PlayError: it did not come to an end.
            KubeError: the API server refused what a person does in it.
        """
        record = Record(act, stable, time.time(), pods_before=list(self._seen.pods.values()))
        self._current, mark, tally = record, self._load.mark(), _Tally(self._load.mark())
        routes, phases, looks, events = (
            len(self._seen.routes),
            len(self._seen.phases),
            len(self._seen.looks),
            set(self._seen.events),
        )
        self._show.line(f"{act.version}: kubectl set image deployment/checkout app={scenario.image(act.version)}   ({act.story})")
        async with self.beside(self._look_on(record, routes, tally)):
            await self._kube.kubectl(
                *("set", "image", f"deployment/{scenario.NAME}", f"app={scenario.image(act.version)}"),
                f"--namespace={scenario.NAMESPACE}",
            )
            if act.pauses:
                await self._roll_back_by_request(record, events)
            await self._until(lambda: self._ended(act), f"{act.version} is {act.outcome}")
            await asyncio.sleep(_SETTLING_SECONDS)
        record.ended = time.time()
        record.last_rollout = dict(self._seen.status["lastRollout"])
        record.answers = list(self._load.since(mark))
        record.routes, record.phases = self._seen.routes[routes:], self._seen.phases[phases:]
        record.looks = self._seen.looks[looks:]
        record.events = [event for uid, event in self._seen.events.items() if uid not in events]
        record.pods_after = list(self._seen.pods.values())
        record.route_kept = self._seen.route["spec"] == self._route_spec
        self._tell_end(record, tally)
        return record

    def tell_release(self) -> None:
        """Show what the Release says; to be called whenever it changes."""
        status = self._seen.status
        if self._current is None or not status:
            return
        state = f"{self._current.act.version}: {status.get('phase', '')}, weight {status.get('weight', 0)}%"
        says, _, waits = status.get("message", "").partition("; waits ")
        # What it waits for changes more often than what it does; a long reason need not be read three times.
        new = (state, says) != self._told
        self._told = (state, says)
        self._show.line(f"{state}: {status.get('message', '')}" if new else f"{state}: waits {waits}" if waits else "")

    async def _roll_back_by_request(self, record: Record, events_before: set[str]) -> None:
        act = record.act
        await self._until(lambda: self._seen.status.get("phase") == "Paused" or self._ended(act), f"{act.version} is paused")
        if self._ended(act):
            return
        await self._until(lambda: any(is_alert(e, act.gate) for e in self._new_events(events_before)), "an Event that alerts")
        alert = next(event for event in self._new_events(events_before) if is_alert(event, act.gate))
        self._show.line(f"{act.version}: {alert.kind} Event {alert.reason}: {alert.message}")
        await asyncio.sleep(_READING_SECONDS)
        request = f"rollback/demo-{act.version}"
        self._show.line(
            f"{act.version}: kubectl annotate release/checkout tidegate.dev/request={request}   (what a person decides)"
        )
        record.requested_at = time.time()
        await self._kube.patch(RELEASE, {"metadata": {"annotations": {"tidegate.dev/request": request}}})

    def _new_events(self, before: set[str]) -> list[EventSeen]:
        return [event for uid, event in self._seen.events.items() if uid not in before]

    def _ended(self, act: Act) -> bool:
        status = self._seen.status
        if status.get("phase") == "Paused" and not act.pauses:
            raise PlayError(f"{act.version} was to be {act.outcome}, and is paused: {status.get('message', '')}")
        settled = status.get("phase") in {"Idle", "RolledBack"} and not status.get("rollout")
        return settled and (status.get("lastRollout") or {}).get("version") == act.version

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(_ACT_SECONDS):
                while not holds():
                    if self._broken:
                        raise PlayError(self._broken)
                    self._seen.changed.clear()
                    await self._seen.changed.wait()
        except TimeoutError:
            raise PlayError(f"waited {_ACT_SECONDS:.0f} s in vain until {what}") from None

    # What is measured meanwhile

    async def _look_on(self, record: Record, routes: int, tally: _Tally) -> None:
        canary, stable = f"{scenario.NAME}-canary", f"{scenario.NAME}-stable"
        errors = probe.error_rate(canary, stable)

        def exposed() -> bool:
            if record.exposed_at is None:
                seen = self._seen.routes[routes:]
                record.exposed_at = next((moment.at for moment in seen if moment.weight), None)
            return record.exposed_at is not None and bool(self._seen.routes[-1].weight)

        async def look(terms: GateTerms, queries: probe.Queries) -> None:
            since = record.exposed_at
            if since is not None:
                window = probe.window_at(terms, since, time.time())
                record.probes.setdefault(terms.name, []).append(await self._prober.probe(queries, window))

        async def look_at_errors() -> None:
            if exposed():
                await look(self._policy.gates[ERROR_RATE], errors)

        async def look_at_latency() -> None:
            new, old = self._seen.revision_of(record.act.version), self._seen.revision_of(record.stable)
            if exposed() and new and old:
                await look(self._policy.gates[P99], probe.p99_latency(new, old))

        async def look_at_envoy() -> None:
            count = await self._prober.sent_to(canary)
            if count is not None and (not record.envoy or record.envoy[-1][1] != count):
                record.envoy.append((time.time(), count))

        async def draw() -> None:
            tally.update(self._load)
            self._rows[record.act.version] = self._row(record, tally)
            self._show.table(tuple(self._rows.values()), self._caption())

        async with asyncio.TaskGroup() as group:
            group.create_task(probe.every(probe.ERRORS_SECONDS, look_at_errors))
            group.create_task(probe.every(probe.LATENCY_SECONDS, look_at_latency))
            group.create_task(probe.every(probe.ENVOY_SECONDS, look_at_envoy))
            group.create_task(probe.every(_TABLE_SECONDS, draw))

    # What is shown

    def _row(self, record: Record, tally: _Tally) -> Row:
        status, act = self._seen.status, record.act
        return Row(
            act.version,
            act.story,
            state=status.get("phase", ""),
            weight=f"{status.get('weight', 0)}%",
            error_rate=_pair(record.probes.get(ERROR_RATE), lambda value: f"{value * 100:.1f}", "%"),
            p99=_pair(record.probes.get(P99), lambda value: f"{value * 1000:.0f}", " ms"),
            requests=f"{tally.requests:,}",
            failed=f"{tally.failed.total():,}",
        )

    def _caption(self) -> str:
        return f"{self._load.mark():,} requests through Envoy so far. {self._seen.status.get('message', '')}"

    def _tell_end(self, record: Record, tally: _Tally) -> None:
        act, last = record.act, record.last_rollout
        tally.update(self._load)
        self._rows[act.version] = replace(self._row(record, tally), state=last["outcome"], weight="")
        self._show.table(tuple(self._rows.values()), self._caption())
        cause = "" if last["cause"] == last["outcome"] else f" ({last['cause']})"
        self._show.line(f"{act.version}: {last['outcome']}{cause}: {last.get('message', '')}")


def _pair(probes: list[Probe] | None, write: Callable[[float], str], unit: str) -> str:
    last = next((one for one in reversed(probes or []) if one.canary is not None), None)
    if last is None or last.canary is None:
        return ""
    return f"{write(last.canary)} / {write(last.stable) if last.stable is not None else '-'}{unit}"
