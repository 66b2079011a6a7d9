"""What is made of the records: the verdict on outcomes and limits, build/demo.json, and a summary for people."""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tidegate_sandbox.demo import measure, scenario
from tidegate_sandbox.demo.record import Record, is_alert
from tidegate_sandbox.demo.scenario import P99, Act, Cause, Outcome, PolicyTerms

_TRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Trace:
    """How a breach came to be seen; times are in seconds since the version got traffic.

    Attributes:
        probes: time, value of the new version, value of stable, requests of the new version.
        looks: time, looks of the operator by then (P, F, U; oldest first), what the last one said.
    """

    probes: list[tuple[float, float | None, float | None, float | None]] = field(default_factory=list)
    looks: list[tuple[float, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Version:
    """How one version went, measured. Durations in seconds; None where there is nothing to measure.

    Attributes:
        version: its name.
        outcome: Promoted or RolledBack.
        cause: why, in one word, as the Release says it.
        gate: the gate that was breached; empty without one.
        message: why, in words.
        seconds: from the change of the image until all had settled.
        seconds_from_breach_visible_to_stable: from the first evaluation in which Prometheus showed the breach of its gate
            to the last request that Envoy sent to it; from its first traffic where no probe showed it before it was shut out.
        seconds_from_breach_visible_to_paused: to the phase Paused; 0 where the operator saw it before the demo's next probe.
        seconds_from_request_to_stable: from the person's request to the last request that Envoy sent to it.
        weights_seen: its shares of the traffic in percent, in the route, in order.
        requests: all requests meanwhile, whoever answered.
        requests_by_version: the same by the version that answered; `none` are those that no version answered.
        failed_requests_by_version: of these, the failed ones.
        pods_restarted: restarted containers, and lost pods of the version that serves in the end.
        api_requests: the operator's requests to the API server meanwhile.
        alerted: whether a Warning Event named the gate.
        serves: the versions that answered in the last second.
        route_as_written: whether the route was in the end as its author wrote it.
        trace: of the breached gate, by seconds since the version got traffic: what the demo's probes found until some seconds
            after the breach was visible, and what the operator's looks had found.
        p99_ratio: the least and greatest P99 in relation to stable's that Prometheus showed.
    """

    version: str
    outcome: str
    cause: str
    gate: str
    message: str
    seconds: float
    seconds_from_breach_visible_to_stable: float | None
    seconds_from_breach_visible_to_paused: float | None
    seconds_from_request_to_stable: float | None
    weights_seen: list[int]
    requests: int
    requests_by_version: dict[str, int]
    failed_requests_by_version: dict[str, int]
    pods_restarted: int
    api_requests: int
    alerted: bool
    serves: list[str]
    route_as_written: bool
    p99_ratio: measure.Spread | None
    trace: Trace


@dataclass(frozen=True)
class Limit:
    """One thing that had to hold: what, what was allowed, what was measured, and whether it held."""

    what: str
    allowed: str
    measured: str
    kept: bool


@dataclass(frozen=True)
class Run:
    """The demo as a whole. Durations in seconds.

    Attributes:
        seconds: all of it, once binaries were cached.
        seconds_to_cluster: until the cluster was up.
        seconds_to_first_act: until the first version was released.
        load_seconds: from the first answer to the last.
        requests: answered requests.
        failed: of these, the failed ones.
        latest_send_seconds: the longest delay with which a request was sent: what a busy machine did to the load.
    """

    seconds: float
    seconds_to_cluster: float
    seconds_to_first_act: float
    load_seconds: float
    requests: int
    failed: int
    latest_send_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.load_seconds if self.load_seconds else 0.0


def measured(record: Record, policy: PolicyTerms, audit_log: Path) -> Version:
    """Return the numbers of one act."""
    act, last = record.act, record.last_rollout
    terms = policy.gates.get(act.gate)
    stable_since = measure.stable_since(record.answers, act.version, record.envoy)
    stable_since = stable_since if act.outcome is Outcome.ROLLED_BACK else None
    probes, shut = record.probes.get(act.gate, ()), stable_since is not None
    visible = measure.breach_visible_at(probes, terms, shut=shut) if terms else None
    if visible is None and act.cause is Cause.GATE:
        # No probe came between the first sample of the breach and the shut route: counted from its first traffic it took longer.
        visible = record.exposed_at
    paused_at = next((phase.at for phase in record.phases if phase.phase == "Paused"), None)
    failed = collections.Counter(answer.version for answer in record.answers if answer.failed)
    requests = collections.Counter(answer.version for answer in record.answers)
    with audit_log.open(encoding="utf-8") as lines:
        api_requests = measure.api_requests(lines, scenario.OPERATOR_AGENT, record.begun, record.ended)
    return Version(
        version=act.version,
        outcome=last["outcome"],
        cause=last["cause"],
        gate=act.gate if any(is_alert(event, act.gate) for event in record.events) else "",
        message=last.get("message", ""),
        seconds=round(record.ended - record.begun, 2),
        seconds_from_breach_visible_to_stable=_between(visible, stable_since),
        seconds_from_breach_visible_to_paused=_between(visible, paused_at),
        seconds_from_request_to_stable=_between(record.requested_at, stable_since),
        weights_seen=measure.weights_seen(record.routes),
        requests=len(record.answers),
        requests_by_version=dict(sorted(requests.items())),
        failed_requests_by_version={version: failed[version] for version in sorted(requests)},
        pods_restarted=measure.pods_restarted(record.pods_before, record.pods_after, record.serving),
        api_requests=api_requests,
        alerted=any(event.kind == "Warning" and event.reason == Cause.GATE for event in record.events),
        serves=sorted({answer.version for answer in record.answers if answer.at - answer.seconds > record.ended - 1.0}),
        route_as_written=record.route_kept,
        p99_ratio=measure.ratios(record.probes.get(P99, ()), policy.gates[P99]),
        trace=_trace(record, visible),
    )


def _trace(record: Record, visible: float | None) -> Trace:
    begun, gate = record.exposed_at or record.begun, record.act.gate
    probes = [probe for probe in record.probes.get(gate, ()) if visible is not None and probe.at <= visible + _TRACE_SECONDS]
    return Trace(
        probes=[(round(probe.at - begun, 2), probe.canary, probe.stable, probe.samples) for probe in probes],
        looks=[(round(look.at - begun, 2), look.looks, look.message) for look in record.looks if look.gate == gate],
    )


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, round(end - begin, 2))


def limits(acts: Sequence[tuple[Act, str, Version]], run: Run, policy: PolicyTerms) -> list[Limit]:
    """Return everything that had to hold, with what was measured.

    Args:
        acts: each act, the version that served before it, and how it went.
        run: the demo as a whole.
        policy: the policy that was in force.
    """
    found: list[Limit] = []
    for act, stable, version in acts:
        found += _of_version(act, stable, version, policy)
    own = sum(version.failed_requests_by_version.get(act.version, 0) for act, _, version in acts if act.fails_requests)
    found.append(
        Limit("failed requests from beginning to end, expected ones left out", "0", str(run.failed - own), run.failed == own)
    )
    found.append(Limit("load", f"at least {scenario.LEAST_RATE:.0f}/s", f"{run.rate:.0f}/s", run.rate >= scenario.LEAST_RATE))
    whole = Limit(
        "the whole demo", f"at most {scenario.MOST_SECONDS:.0f} s", f"{run.seconds:.0f} s", run.seconds <= scenario.MOST_SECONDS
    )
    return [*found, whole]


def _of_version(act: Act, stable: str, version: Version, policy: PolicyTerms) -> list[Limit]:
    def limit(what: str, allowed: object, value: object, *, kept: bool | None = None) -> Limit:
        return Limit(f"{act.version}: {what}", str(allowed), str(value), value == allowed if kept is None else kept)

    promoted = act.outcome is Outcome.PROMOTED
    serves = act.version if promoted else stable
    failed = {
        name: count for name, count in version.failed_requests_by_version.items() if name != act.version or not act.fails_requests
    }
    found = [
        limit("outcome", act.outcome.value, version.outcome),
        limit("cause", act.cause.value, version.cause),
        limit("answers in the end", serves, ", ".join(version.serves)),
        limit("route as its author wrote it", True, version.route_as_written),
        limit("pods restarted", 0, version.pods_restarted),
        limit("failed requests, its own left out" if act.fails_requests else "failed requests", 0, sum(failed.values())),
    ]
    if act.gate:
        found.append(limit("breached gate, in a Warning Event", act.gate, version.gate))
    if not promoted:
        most, greatest = policy.weights[0], max(version.weights_seen, default=0)
        found.append(limit("greatest share of the traffic", f"{most}%", f"{greatest}%", kept=greatest <= most))
    if act.cause is Cause.GATE:
        allowed, taken = act.allowed(policy.gates[act.gate].interval), version.seconds_from_breach_visible_to_stable
        what = "from the breach visible in Prometheus to all traffic on stable"
        found.append(limit(what, f"at most {allowed:g} s", f"{taken} s", kept=taken is not None and taken <= allowed))
    return found


def document(versions: Sequence[Version], found: Sequence[Limit], run: Run, policy: PolicyTerms, error: str = "") -> dict[str, Any]:
    """Return what build/demo.json holds; ``error`` says why the demo came to no end, if so."""
    return {
        "passed": not error and len(versions) == len(scenario.ACTS) and all(limit.kept for limit in found),
        "error": error,
        "versions": [asdict(version) for version in versions],
        "limits": [asdict(limit) for limit in found],
        "run": asdict(run),
        "policy": {**asdict(policy), "weights": list(policy.weights)},
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write build/demo.json."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def summary(acts: Sequence[tuple[Act, str, Version]], found: Sequence[Limit], run: Run, policy: PolicyTerms) -> str:
    """Return what happened, for people."""
    lines = ["", "What happened", ""]
    for act, stable, version in acts:
        lines += [
            f"  {act.version}  {act.story}: {version.outcome}",
            *(f"      {text}" for text in _told(act, stable, version, policy)),
            "",
        ]
    by_version = sum(
        (collections.Counter(version.failed_requests_by_version) for _, _, version in acts), collections.Counter[str]()
    )
    failed = ", ".join(f"{count} by {_who(name)}" for name, count in by_version.items() if count)
    lines.append(f"  {run.requests:,} requests went through Envoy, {run.rate:.0f} a second; failed: {failed or 'none'}.")
    lines.append(f"  The operator sent {sum(version.api_requests for _, _, version in acts)} requests to the API server for that.")
    lines.append(f"  {run.seconds:.0f} s in all, {run.seconds_to_first_act:.0f} s of it until the first version was released.")
    broken = [limit for limit in found if not limit.kept]
    lines += ["", f"All {len(found)} limits were kept." if not broken else f"{len(broken)} of {len(found)} limits were broken:"]
    lines += [f"  {limit.what}: {limit.measured}; allowed: {limit.allowed}" for limit in broken]
    return "\n".join(lines)


def _who(name: str) -> str:
    return "the gateway itself" if name == "none" else name


def _told(act: Act, stable: str, version: Version, policy: PolicyTerms) -> list[str]:
    weights = " -> ".join(f"{weight}%" for weight in version.weights_seen)
    failed = sum(version.failed_requests_by_version.values())
    own = version.failed_requests_by_version.get(act.version, 0)
    lines = [
        f"share of the traffic {weights}; {failed} of {version.requests:,} requests failed"
        + (f", {own} of them answered by it" if own else "")
    ]
    if act.outcome is Outcome.PROMOTED:
        lines.append(f"the pods that were judged serve on, {version.pods_restarted} restarted")
    if act.cause is Cause.GATE:
        allowed = act.allowed(policy.gates[act.gate].interval)
        taken = version.seconds_from_breach_visible_to_stable
        lines.append(f"all traffic was on {stable} {taken} s after Prometheus could show the breach (allowed: {allowed:g} s)")
    if act.pauses:
        lines.append(
            f"paused {version.seconds_from_breach_visible_to_paused} s after Prometheus could show the breach, with a Warning "
            f"Event; all traffic was on {stable} {version.seconds_from_request_to_stable} s after the request"
        )
    if version.message and act.outcome is not Outcome.PROMOTED:
        lines.append(version.message)
    return lines
