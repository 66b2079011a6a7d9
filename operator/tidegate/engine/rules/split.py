"""Whether the split itself does harm: stable against itself before it, whatever the gates say of the new version.

Looked at are the error rates and availabilities that the policy has a preset for, from the split on: also before the new version
has traffic. Not latency: a gateway that goes through other Services opens new connections, and is slower for a while as it should.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from tidegate.api.gate import Gate, Judge
from tidegate.api.metric import Measure
from tidegate.api.names import Cause
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import ReleaseStatus
from tidegate.engine.changes import roll_back
from tidegate.engine.draft import Draft
from tidegate.engine.plan import Look
from tidegate.engine.waits import CHANGED, Ruling
from tidegate.judge import limit, split
from tidegate.judge.reading import Around

WATCHED = timedelta(minutes=5)
"""For so long what fails anew is put down to the split; what comes later has another cause."""
LONGEST = timedelta(seconds=10)
"""Most time between two looks, however seldom the gate itself is looked at."""
_SUFFIX = "/split"
"""Ends the name of such a look; no gate's name has a slash."""
_MEASURES = frozenset({Measure.ERROR_RATE, Measure.AVAILABILITY})


def gates_of(spec: RolloutPolicySpec, harmless: Collection[str] = ()) -> tuple[Gate, ...]:
    """Return what is looked at, as gates with names of their own: one for each source and measure.

    Args:
        spec: the policy.
        harmless: names of those that are not looked at any more.
    """
    first: dict[tuple[object, ...], Gate] = {}
    for gate in spec.gates:
        preset = gate.metric.preset
        if preset is not None and preset.measure in _MEASURES:
            first.setdefault((gate.connection, preset.source, preset.measure), gate)
    named = ((f"{gate.name}{_SUFFIX}", gate) for gate in first.values())
    return tuple(
        gate.model_copy(update={"name": name, "judge": Judge.LIMIT, "interval": min(gate.interval, LONGEST)})
        for name, gate in named
        if name not in harmless
    )


def is_of_split(gate: Gate) -> bool:
    """Whether a gate is one of those."""
    return gate.name.endswith(_SUFFIX)


def origin_of(name: str) -> str:
    """Return the name of the gate that one of those was made from; of any other gate its own."""
    return name.removesuffix(_SUFFIX)


def watched_since(status: ReleaseStatus) -> datetime | None:
    """Return since when a route is split that is looked at; None where it is not, or not any more."""
    rollout = status.rollout
    return rollout.split_at if rollout is not None and rollout.undo is None else None


def _watched(draft: Draft) -> tuple[Gate, ...]:
    """Return what is still looked at."""
    since = watched_since(draft.status)
    # With all traffic on the new version there is nothing left to be compared.
    on = draft.climbing and draft.routed and since is not None and draft.now < since + WATCHED and draft.status.weight < 100
    return gates_of(draft.spec, draft.rollout.split_harmless) if on else ()


def next_looks(draft: Draft, looks: Iterable[Look]) -> tuple[Look, ...]:
    """Return the next look for each.

    It goes with the next one of the gate that it comes from, so that both share requests and are decided on together; where that is
    too far off, or there is none, it is at the next multiple of its interval since the split.

    Args:
        draft: the decision.
        looks: the next ones of the policy's gates.
    """
    since = watched_since(draft.status)
    if since is None:
        return ()
    with_gate = {look.gate: look.at for look in looks}

    def at(gate: Gate) -> datetime:
        found = with_gate.get(origin_of(gate.name))
        if found is not None and found <= draft.now + gate.interval:
            return found
        return since + ((draft.now - since) // gate.interval + 1) * gate.interval

    return tuple(Look(gate.name, at(gate)) for gate in _watched(draft))


def split_is_judged(draft: Draft) -> Ruling:
    """Where requests of stable fail since the split that did not before, the route goes back at once, and no version is to blame.

    Where enough went through it unharmed, what fails from now on has another cause, and it is not looked at any more.
    """
    for gate, around, alpha in _seen(draft):
        match split.judged(around, alpha=alpha):
            case split.Finding.HARM:
                _take_back(draft, split.in_words(limit.measure_in_words(gate), around))
                return CHANGED
            case split.Finding.HARMLESS:
                draft.set_rollout(split_harmless=(*draft.rollout.split_harmless, gate.name))
                return CHANGED
            case split.Finding.OPEN:
                pass
    return None


def _seen(draft: Draft) -> Iterator[tuple[Gate, Around, float]]:
    """Give what was seen of this split since the last decision, with the chance of a false alarm that each may take."""
    gates = {gate.name: gate for gate in _watched(draft)}
    if not gates:
        return
    alpha = split.ALPHA / len(gates_of(draft.spec))
    for reading in draft.snap.readings:
        gate, around = gates.get(reading.gate), reading.around
        of_this = reading.revision == draft.candidate.revision and around is not None and around.since == draft.rollout.split_at
        if gate is not None and around is not None and of_this:
            yield gate, around, alpha


def _take_back(draft: Draft, finding: str) -> None:
    service = draft.snap.user_service.name if draft.snap.user_service is not None else "the Service"
    old, new = draft.stable.version, draft.candidate.version
    message = (
        f"splitting the route made requests to {old} fail; {new} is not to blame: {finding}. Find the gateway or mesh policy that "
        f"names Service {service}, or a difference in ports; make it cover {service}-stable and {service}-canary too, then "
        f"request retry. If {old} still fails, the cause lies elsewhere"
    )
    roll_back(draft, Cause.SPLIT, message)
