"""What a gate's status means, for a tired reader: from the fields of the status to sentences, and to a document for machines.

Nothing is judged here. Whatever is said rests on the fields that the judge has written; the gate of the policy, where it is known,
gives units and what a verdict does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tidegate.api.base import format_duration, format_time
from tidegate.api.gate import BreachAction, Gate, Judge
from tidegate.api.metric import Measure, Unit
from tidegate.api.names import Verdict
from tidegate.api.status import EvidenceStatus, GateStatus
from tidegate.judge import choice, limit, words
from tidegate.judge.reading import Reading

_SAYS_NOTHING = math.log10(2)
"""Evidence below this power of ten, 1 in 2, is not worth a word."""
NO_EVIDENCE = "1 in 1"
"""What `odds` writes where there is none."""
_BURSTS = 1.05
_SAME = 1e-6
_FIRST = {
    BreachAction.ROLLBACK: "takes all traffic back",
    BreachAction.PAUSE: "pauses the rollout",
    BreachAction.HOLD: "keeps the weight from rising",
    BreachAction.WARN: "warns",
}
_LATENCIES = frozenset({Measure.LATENCY, Measure.TAIL})


@dataclass(frozen=True)
class Explanation:
    """One gate, explained.

    Attributes:
        sentences: what was counted, and how strong the evidence is: one or two sentences.
        notes: what would change the verdict, what it does, and what the reader should keep in mind; each a sentence.
        drift: the verdict that an undecided gate moves towards; None where it is decided, or where nothing speaks yet.
        judge: which judge it was; None where the status does not tell.
    """

    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    drift: Verdict | None
    judge: Judge | None

    @property
    def text(self) -> str:
        """All of it, in one paragraph."""
        return " ".join((*self.sentences, *self.notes))


def explain(state: GateStatus, gate: Gate | None = None) -> Explanation:
    """Explain what a gate said last.

    Args:
        state: the gate's status.
        gate: the gate as the policy has it; None where that is not known any more, which costs units and consequences.
    """
    found = state.evidence
    if found is None:
        judge = None if gate is None else Judge.EVIDENCE if choice.by_evidence(gate) else Judge.LIMIT
        return Explanation(tuple(_limit_sentences(state, gate)), tuple(_consequences(state, gate)), None, judge)
    drift = drift_of(state, gate)
    first = _counted(state, found, gate)
    weighed = _weighed(state, found)
    notes = (*_outlook(state, found, drift), *_consequences(state, gate), *_bursts(found))
    return Explanation((first, weighed), notes, drift, Judge.EVIDENCE)


def drift_of(state: GateStatus, gate: Gate | None = None) -> Verdict | None:
    """Return the verdict that an undecided gate moves towards, if everything goes on as it was on average.

    Where it is too far to say when, that is on which side of the limit the values are; where the policy is not known, for which
    side there is more evidence. None where the gate is decided, where it lacks data, and where nothing speaks yet.
    """
    found = state.evidence
    if found is None or state.verdict is not Verdict.UNDECIDED or state.undecided_since is not None:
        return None
    if found.towards is not None:
        return found.towards
    if found.requests_needed is None and max(found.harm, found.proof) < _SAYS_NOTHING:
        return None
    if gate is not None and state.canary is not None:
        reading = Reading(gate.name, "", state.at, canary=state.canary, stable=state.stable)
        side = limit.judge(gate.model_copy(update={"min_samples": 0}), reading).verdict
        if side is not Verdict.UNDECIDED:
            return side
    return Verdict.FAIL if found.harm > found.proof else Verdict.PASS


def odds(power: float) -> str:
    """Write evidence as the chance that it rests on, e.g. `1 in 300`; a power of ten below 0 is no evidence at all.

    An e-process that reaches N does so, for a version within its limit, in at most one of N rollouts, however often it is looked
    at (Ville's inequality).
    """
    if power < _SAYS_NOTHING:
        return NO_EVIDENCE
    if power < 6:
        return f"1 in {words.count(_rounded(10**power))}"
    for exponent, name in ((9, "million"), (12, "billion")):
        if power < exponent:
            return f"1 in {words.number(_rounded(10 ** (power - exponent + 3)), 2)} {name}"
    return f"1 in 10^{math.floor(power)}"


def to_wire(state: GateStatus, gate: Gate | None = None) -> dict[str, Any]:
    """Return the explanation and what it rests on as a document for machines; fields that are not known are absent."""
    told = explain(state, gate)
    document: dict[str, Any] = {
        "name": state.name,
        "verdict": state.verdict.value,
        "judge": told.judge.value if told.judge else None,
        "measure": limit.measure_in_words(gate) if gate else None,
        "unit": limit.unit_of(gate).value if gate else None,
        "limit": state.limit or None,
        "onBreach": gate.on_breach.value if gate else None,
        "dryRun": gate.dry_run if gate else None,
        "at": format_time(state.at),
        "canary": state.canary,
        "stable": state.stable,
        "samples": state.samples,
        "looks": state.looks or None,
        "undecidedSince": format_time(state.undecided_since) if state.undecided_since else None,
        "clear": state.clear,
        "drift": told.drift.value if told.drift else None,
        "message": state.message,
        "sentences": list(told.sentences),
        "notes": list(told.notes),
        "evidence": _evidence_to_wire(state.evidence) if state.evidence else None,
    }
    return {name: value for name, value in document.items() if value is not None}


def _evidence_to_wire(found: EvidenceStatus) -> dict[str, Any]:
    document = found.to_wire()
    document.pop("state", None)
    step = timedelta(seconds=found.history_step)
    document["history"] = [
        {"at": format_time(found.since + index * step), "harm": harm} for index, harm in enumerate(found.history)
    ]
    return document


def _counted(state: GateStatus, found: EvidenceStatus, gate: Gate | None) -> str:
    """Say what was counted: both values with their counts, the ratio with its interval, the limit."""
    text = f"{_measure(state, gate)} of the new version is "
    text += _value(state.canary, gate, found.canary_bad, found.canary_requests)
    text += _in_brackets(_counts(found.canary_bad, found.canary_requests, gate))
    compared = gate is None or gate.versus_stable is not None
    if compared and (state.stable is not None or found.stable_requests > 0):
        text += f", stable's is {_value(state.stable, gate, found.stable_bad, found.stable_requests)}"
        text += _in_brackets(_counts(found.stable_bad, found.stable_requests, gate))
    if found.ratio is not None:
        text += f": {_ratio(found, gate)}"
    return text + (f"; the limit is {state.limit}." if state.limit else ".")


def _ratio(found: EvidenceStatus, gate: Gate | None) -> str:
    preset = gate.metric.preset if gate is not None else None
    text = words.times(found.ratio or 0.0, preset.measure if preset is not None else None)
    low, high = found.ratio_low, found.ratio_high
    sure = f"with {words.percent(found.confidence * 100, 2)} confidence"
    if low is not None and low > 0 and high is not None and math.isfinite(high):
        return f"{text}, {sure} {words.number(low, 2)} to {words.number(high, 2)} times"
    if low is not None and low > 0:
        return f"{text}, {sure} at least {words.number(low, 2)} times"
    if high is not None and math.isfinite(high):
        return f"{text}, {sure} at most {words.number(high, 2)} times"
    return text


def _weighed(state: GateStatus, found: EvidenceStatus) -> str:
    """Say how strong the evidence is, and how strong it has to be."""
    enough, harm, proof = odds(found.needed), odds(found.harm), odds(found.proof)
    if state.verdict is Verdict.FAIL:
        if found.harm >= found.needed:
            return f"The chance that a version within the limit ever looks this bad is at most {harm}; it fails at {enough}."
        return f"It fails at once: so many failures need no further evidence (the test alone: {harm}, it fails at {enough})."
    if state.verdict is Verdict.PASS:
        if found.proof >= found.needed:
            return f"The chance that a version beyond the limit ever looks this good is at most {proof}; it passes at {enough}."
        return f"No evidence against it: it stands at {harm}, and it fails at {enough}."
    if state.undecided_since is not None:
        since = f"{state.undecided_since:%H:%M:%S} UTC"
        return f"It cannot be judged since {since}: {(state.message or 'there is too little data').rstrip('.')}."
    parts = []
    if found.harm >= _SAYS_NOTHING:
        parts.append(f"the chance that a version within the limit looks this bad is {harm}")
    if found.proof >= _SAYS_NOTHING:
        parts.append(f"the chance that a version beyond the limit looks this good is {proof}")
    if not parts:
        return f"The counts do not decide it yet; {enough} is needed for a verdict."
    return f"Not decided yet: {', '.join(parts)}; {enough} is needed for a verdict."


def _outlook(state: GateStatus, found: EvidenceStatus, drift: Verdict | None) -> Iterator[str]:
    """Say what is still needed, and for which verdict."""
    if state.verdict is Verdict.FAIL and found.ratio_low is not None and found.ratio_low < 1:
        yield "The ratio is that of the whole rollout; the evidence weighs later parts by themselves, too: faults may begin late."
    if state.verdict is not Verdict.UNDECIDED:
        return
    towards = f"It moves towards {drift.value}" if drift is not None else "A verdict needs"
    if found.requests_needed is None:
        if drift is not None:
            yield f"{towards}."
        return
    more = "" if drift is None else ", which needs"
    needed = words.count(_rounded(max(1.0, found.requests_needed)))
    text = f"{towards}{more} about {needed} more request{'' if needed == '1' else 's'} of the new version"
    if found.minutes_needed is not None:
        span = timedelta(seconds=max(1, round(found.minutes_needed * 60)))
        text += f", {_span(span)} at the present rate"
    yield f"{text}."


def _limit_sentences(state: GateStatus, gate: Gate | None) -> Iterator[str]:
    """Explain a look at a fixed limit: the judge's own sentence, and how many looks were beyond it."""
    if state.message:
        yield _sentence(state.message)
    else:
        yield f"{_measure(state, gate)} of the new version is {_value(state.canary, gate)}; limit: {state.limit or 'not known'}."
    if not state.looks:
        return
    beyond = state.looks.count("F")
    text = f"Checks, oldest first: {state.looks}; {beyond} beyond the limit"
    if gate is not None:
        text += f", {gate.failure_limit} of {gate.of} are a breach"
    yield f"{text}."


def _consequences(state: GateStatus, gate: Gate | None) -> Iterator[str]:
    """Say what the verdict does, where the policy is known."""
    if gate is None:
        return
    if gate.dry_run:
        yield "Dry run: the verdict is recorded, and nothing acts on it."
        return
    if state.verdict is Verdict.FAIL:
        asked = f" until {', '.join(gate.ask)} decide" if gate.ask and gate.on_breach is BreachAction.PAUSE else ""
        yield f"A breach {_FIRST[gate.on_breach]}{asked}."
    elif state.verdict is Verdict.UNDECIDED and state.undecided_since is not None:
        after = format_duration(gate.on_no_data.after)
        yield f"onNoData: {gate.on_no_data.then.value} after {after}."
    elif state.verdict is Verdict.UNDECIDED and gate.on_breach is not BreachAction.WARN:
        if state.clear and not gate.require_proof:
            yield "The weight may rise meanwhile: the evidence against the new version is too weak to hold it."
        elif gate.require_proof and state.clear:
            yield "The weight waits for the proof (requireProof)."
        else:
            yield "The weight waits for it."


def _bursts(found: EvidenceStatus) -> Iterator[str]:
    if found.bursts >= _BURSTS and not found.stable_bad:
        yield "Stable has had nothing bad yet that would tell whether bad events come in bursts: until then they count less."
    elif found.bursts >= _BURSTS:
        size = words.number(found.bursts, 2)
        yield f"In stable, bad events come in bursts of about {size}, so that {size} of them count as one."


def _measure(state: GateStatus, gate: Gate | None) -> str:
    text = limit.measure_in_words(gate) if gate is not None else state.name
    return text if gate is None or gate.metric.preset is None else text[:1].upper() + text[1:]


def _value(value: float | None, gate: Gate | None, bad: float | None = None, total: float = 0) -> str:
    if value is None:
        return "not known"
    if gate is not None:
        return words.quantity(value, limit.unit_of(gate))
    # Without the policy nobody knows the unit, but a value that is the share of what was counted is a share.
    share = bad / total if bad is not None and total > 0 else None
    shared = share is not None and min(abs(value - share), abs(1 - value - share)) < _SAME
    return words.quantity(value, Unit.RATIO if shared else Unit.NUMBER)


def _counts(bad: float | None, total: float, gate: Gate | None) -> str:
    preset = gate.metric.preset if gate is not None else None
    if preset is not None and preset.measure is Measure.RESTARTS:
        return f"{words.count(bad or 0)} in {words.number(total, 3)} pod-hours"
    if bad is None:
        return words.requests(total) if total else ""
    if preset is None:
        what = "" if gate is None else " bad"
    else:
        what = " slow" if preset.measure in _LATENCIES else " not answered" if preset.measure is Measure.AVAILABILITY else ""
    return f"{words.count(bad)} of {words.requests(total)}{what}"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _rounded(value: float) -> float:
    """Two significant digits: more would pretend to be known."""
    if value <= 0 or not math.isfinite(value):
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(value / scale) * scale


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
