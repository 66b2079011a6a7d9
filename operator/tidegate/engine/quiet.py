"""A look in which nothing but numbers is new: what it comes to, without a decision.

While a step is held, such a look can decide nothing, and nearly all looks of a good version are so. To ask all rules for each was
most of what it costs to watch a rollout.
"""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter

from tidegate.api.edits import edited
from tidegate.api.gate import Gate
from tidegate.api.names import Phase, Verdict
from tidegate.api.status import GateStatus, ReleaseStatus
from tidegate.engine.counted import first_weight, weight_since
from tidegate.engine.gate_status import alpha_of, take
from tidegate.engine.plan import Look
from tidegate.judge.evidence.gate import interval_of
from tidegate.judge.reading import Reading

NUMBERS = frozenset(
    {
        *("at", "stable", "canary", "samples", "message", "telemetry", "evidence"),
        *("newest", "newest_stable", "weight_requests", "quiet_since", "usual_gap"),
    }
)
"""Fields of a gate's status that a look may change without a decision on it. Not whether the gate is clear: a step ends by that."""
_decided = attrgetter(*sorted(GateStatus.model_fields.keys() - NUMBERS))


def taken_in(status: ReleaseStatus, reading: Reading, now: datetime, *, known_since: datetime) -> ReleaseStatus | None:
    """Return a status with a look in it, as a decision on nothing but that look would make it; None where one is to be made.

    It is what `decide` makes of it as long as nothing else has changed, but for sentences that quote numbers: no write comes of it,
    nothing is told, and nothing is waited for that was not before.

    Args:
        status: as decided last.
        reading: the look; not beyond its limit.
        now: the time, with zone.
        known_since: since when this process knows the Release: on the first look of each gate since then it is decided, as weights
            may wait for it.
    """
    rollout, candidate = status.rollout, status.candidate
    if rollout is None or candidate is None or reading.revision != candidate.revision or not _is_held(status, now):
        return None
    gate = next((gate for gate in rollout.spec.gates if gate.name == reading.gate), None)
    before = next((state for state in status.gates if state.name == reading.gate), None)
    if gate is None or before is None or before.at < known_since or not _goes_on(gate, before, reading):
        return None
    begun = None if first_weight(status) else weight_since(status)
    found = take(gate, reading, before, alpha=alpha_of(rollout.spec), weight_since=begun)
    if found.anew or found.unjudged is not None or _decided(found.state) != _decided(before):
        return None
    return edited(status, gates=tuple(found.state if state is before else state for state in status.gates))


def first_looks(status: ReleaseStatus, now: datetime) -> tuple[Look, ...]:
    """Return the next looks of a rollout that a process finds as it starts; empty where its first pass has to say which.

    They are those that the pass would plan, while nothing but a look could decide anything.

    Args:
        status: as it is stored.
        now: the time, with zone.
    """
    rollout = status.rollout
    if rollout is None or rollout.exposed_at is None or not _is_held(status, now):
        return ()
    states = {state.name: state for state in status.gates}
    looks = []
    for gate in rollout.spec.gates:
        state = states.get(gate.name)
        if state is None or state.verdict is Verdict.FAIL or not _is_plain(gate):
            return ()
        first = rollout.exposed_at + max(gate.interval, gate.initial_delay)
        looks.append(Look(gate.name, max(first, state.at + interval_of(gate, state))))
    return tuple(looks)


def _is_held(status: ReleaseStatus, now: datetime) -> bool:
    """Whether the rollout stays where it is for a time that is known, whatever its gates pass: none of them can end the step."""
    rollout, step = status.rollout, status.step
    if rollout is None or step is None or step.since is None or step.until is None or rollout.exposed_at is None:
        return False
    free = rollout.undo is None and rollout.paused is None and not rollout.skip_to_end and not rollout.spec.advance_on_proof
    # With all traffic on the new version some gates are compared with what stable had last.
    given = status.phase is Phase.PROGRESSING and 0 < status.weight < 100 and status.weight == step.weight
    return free and given and now < step.until


def _goes_on(gate: Gate, before: GateStatus, reading: Reading) -> bool:
    """Whether a look is one of many: of a gate that always acts, was read well, and was not breached before."""
    read = not reading.trouble and reading.around is None and reading.at > before.at
    return _is_plain(gate) and read and before.undecided_since is None and before.verdict is not Verdict.FAIL


def _is_plain(gate: Gate) -> bool:
    """Whether a gate is looked at for as long as the new version has traffic, and by looks alone."""
    return gate.active_for is None and gate.own is None and gate.metric.error_budget is None
