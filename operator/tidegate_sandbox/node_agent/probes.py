"""Probe settings and the state machine that turns single checks into a verdict. No input or output here."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EARLY_INTERVAL = 0.2
"""Seconds between checks while a container never passed a readiness or startup probe.

A kubelet would wait ``periodSeconds``; local rollouts would spend most of their time waiting for it.
"""

_HANDLERS = ("httpGet", "tcpSocket", "exec")


class Kind(enum.Enum):
    """The three probes of a container."""

    STARTUP = "Startup"
    READINESS = "Readiness"
    LIVENESS = "Liveness"


class Verdict(enum.Enum):
    """What the checks so far amount to."""

    UNKNOWN = "Unknown"
    SUCCESS = "Success"
    FAILURE = "Failure"


class UnsupportedProbeError(ValueError):
    """The probe has no handler that this agent can run; the message names it."""


@dataclass(frozen=True)
class ProbeSpec:
    """A probe with the defaults of the API server filled in. Durations in seconds."""

    kind: Kind
    handler: str
    settings: Mapping[str, Any]
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace: float | None = None

    @property
    def first_check(self) -> float:
        """Seconds from the start of the container to the first check.

        A kubelet's liveness check comes on the first tick of a clock that was started with the pod: one period later.
        """
        return max(self.initial_delay, self.period) if self.kind is Kind.LIVENESS else self.initial_delay


def parse(kind: Kind, probe: Mapping[str, Any] | None) -> ProbeSpec | None:
    """Read a probe of a container; None where there is none. Raises UnsupportedProbeError for one such as gRPC."""
    if not probe:
        return None
    handler = next((name for name in _HANDLERS if probe.get(name) is not None), None)
    if handler is None:
        raise UnsupportedProbeError(f"{kind.value} probe: the node agent runs httpGet, tcpSocket and exec only")
    grace = probe.get("terminationGracePeriodSeconds")
    return ProbeSpec(
        kind=kind,
        handler=handler,
        settings=probe[handler],
        initial_delay=float(probe.get("initialDelaySeconds") or 0),
        period=float(max(1, probe.get("periodSeconds") or 10)),
        timeout=float(max(1, probe.get("timeoutSeconds") or 1)),
        success_threshold=max(1, probe.get("successThreshold") or 1),
        failure_threshold=max(1, probe.get("failureThreshold") or 3),
        termination_grace=None if grace is None else float(grace),
    )


class ProbeMachine:
    """Counts checks as the kubelet does and says when the next one is due.

    Times are seconds since the start of the container, given by the caller.
    """

    def __init__(self, spec: ProbeSpec) -> None:
        self.spec = spec
        # A kubelet takes a container for alive until shown otherwise, and for unready until shown otherwise.
        self.verdict = Verdict.SUCCESS if spec.kind is Kind.LIVENESS else Verdict.UNKNOWN
        self._next_tick = spec.first_check
        self._run_of_success: bool | None = None
        self._run_length = 0
        self._early = spec.kind is not Kind.LIVENESS
        self.next_check = spec.first_check

    def observe(self, *, ok: bool, at: float) -> Verdict:
        """Take in one check's result made at ``at``; return the verdict from now on."""
        on_tick = at >= self._next_tick
        if ok:
            if self._early and not on_tick:
                self._next_tick = at
                on_tick = True
            self._early = False
        if on_tick:
            due = self._next_tick + self.spec.period
            self._next_tick = due if due > at else at + self.spec.period
            self._count(ok=ok)
        self.next_check = min(self._next_tick, at + EARLY_INTERVAL) if self._early else self._next_tick
        return self.verdict

    def _count(self, *, ok: bool) -> None:
        self._run_length = self._run_length + 1 if ok == self._run_of_success else 1
        self._run_of_success = ok
        threshold = self.spec.success_threshold if ok else self.spec.failure_threshold
        if self._run_length >= threshold:
            self.verdict = Verdict.SUCCESS if ok else Verdict.FAILURE
