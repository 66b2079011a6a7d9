"""What was recorded of one act: the material that everything is measured on.

It is kept apart from what is measured and judged, so that these are pure functions of it, and tested without a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tidegate_sandbox.demo.probe import Probe
from tidegate_sandbox.demo.scenario import Act, Cause, Outcome
from tidegate_sandbox.demo.seen import EventSeen, LookSeen, PhaseSeen, PodSeen, RouteSeen
from tidegate_sandbox.loadgen import Answer


@dataclass
class Record:
    """What was recorded of one act. Times are of ``time.time``.

    Attributes:
        act: the act.
        stable: the version that served when it began.
        begun: when the image was changed.
        ended: when all had settled.
        exposed_at: when the route first gave the version weight.
        requested_at: when the person asked for a rollback.
        last_rollout: what the Release says of it.
        answers: what the load got meanwhile.
        routes: what the route was meanwhile.
        phases: the phases of the Release meanwhile.
        events: Events on the Release meanwhile.
        looks: what gates had said meanwhile.
        looks: list[LookSeen] = field(default_factory=list)
    pods_before: all pods when it began.
        pods_after: all pods that were seen by its end.
        probes: what Prometheus said, by gate.
        envoy: Envoy's counter of requests to the new version, with the time of each new value.
        route_kept: whether the route was in the end as its author wrote it.
    """

    act: Act
    stable: str
    begun: float
    ended: float = 0.0
    exposed_at: float | None = None
    requested_at: float | None = None
    last_rollout: dict[str, Any] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    routes: list[RouteSeen] = field(default_factory=list)
    phases: list[PhaseSeen] = field(default_factory=list)
    events: list[EventSeen] = field(default_factory=list)
    looks: list[LookSeen] = field(default_factory=list)
    pods_before: list[PodSeen] = field(default_factory=list)
    pods_after: list[PodSeen] = field(default_factory=list)
    probes: dict[str, list[Probe]] = field(default_factory=dict)
    envoy: list[tuple[float, int]] = field(default_factory=list)
    route_kept: bool = False

    @property
    def serving(self) -> str:
        """The version that must serve in the end."""
        return self.act.version if self.act.outcome is Outcome.PROMOTED else self.stable


def is_alert(event: EventSeen, gate: str) -> bool:
    """Whether an Event is the Warning that a gate was breached."""
    return event.kind == "Warning" and event.reason == Cause.GATE and gate in event.message
