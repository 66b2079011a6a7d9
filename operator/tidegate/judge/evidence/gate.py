"""The judge Evidence: one look of one gate, from counts to a verdict.

What may be relied on, for a version that keeps all limits of the gate at all times, whose requests fail independently given
what came before: the chance that any look ever says Fail is at most alpha (Ville's inequality), however often one looks and
whatever is done with the traffic in between. The same for Pass and a version that exceeds a limit. Where failures may come in
bursts, the evidence is that of several laws, weighed by what stable shows of them (`bursts`); that part is an estimate, checked by
simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from tidegate.api.base import clip
from tidegate.api.gate import Gate
from tidegate.api.metric import Measure
from tidegate.api.names import Verdict
from tidegate.api.status import EvidenceStatus, GateStatus
from tidegate.judge import limit
from tidegate.judge.evidence import sentence
from tidegate.judge.evidence.estimate import Estimate, estimate
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.numbers import powers_of_ten
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Judgement, Reading

CLOSER = 0.4
"""Evidence of harm, as a power of ten, from which on a gate is looked at more often than its interval says: each sample counts."""
OFTENER = 10
"""Looks for one, then."""
POINTS = 60
"""Most points of the history of evidence."""
_SHORTEST = timedelta(seconds=1)
_ROUND = 2


def judge(gate: Gate, reading: Reading, before: GateStatus | None, *, alpha: float, alone: bool = False) -> Judgement:
    """Judge one look of a gate on all that has been counted.

    Fail and Pass once the evidence for them reaches 1 / alpha. Never raises, whatever the numbers are. Words are those of the
    look before while the verdict is the same and little has been counted since: see `Trial.show`.

    Args:
        gate: the metric and the limits; a gate whose limits cannot be tested on counts is undecided.
        reading: what was counted since the look before.
        before: what is known from the looks before; None at the first.
        alpha: the chance of a false alarm that this gate may take, between 0 and 1.
        alone: all traffic is on the new version, so that stable has none to be compared with.
    """
    known = before.evidence if before is not None else None
    if not reading.spans and known is None:
        return _nothing(gate, reading)
    trial, trouble = _AHEAD.take_over(gate, reading, known, alone=alone) or _taken(gate, reading, known, alone=alone)
    needed = -math.log(alpha)
    weights = (trial.harm(), trial.proof(), needed)
    found = estimate(trial)
    failing = _stable_fails(trial)
    verdict = _verdict(gate, trial, weights, sound=not trouble and not failing)
    starved = verdict is Verdict.UNDECIDED and (bool(trouble) or not _enough(gate, trial))
    said = _said(before, verdict) if trial.resumed and not starved and not failing else ""
    if trial.show(alpha, now=verdict is not Verdict.UNDECIDED and not said):
        said = ""
    return Judgement(
        verdict=verdict,
        limit=clip(trial.limits.in_words),
        message=clip(
            said or _message(gate, _Look(reading, verdict, weights, trouble), trial, found) + _nothing_to_compare(verdict, failing)
        ),
        canary=found.canary,
        stable=found.stable,
        samples=trial.samples,
        starved=starved,
        # A look without new counts is one of many where scrapes are rarer; how long there were none is for the engine to say.
        clear=not trouble and not failing and _enough(gate, trial) and found.within and weights[0] < needed / 2,
        evidence=_status(trial, found, weights, known, alpha),
        anew=known is not None and not trial.resumed,
    )


def _stable_fails(trial: Trial) -> bool:
    """Whether stable itself is plainly failing, and the new version with it, by a gate that compares them."""
    stable, canary = trial.totals.stable, trial.totals.canary
    counts = trial.limits.compares and trial.limits.measure in (None, Measure.ERROR_RATE, Measure.AVAILABILITY)
    if not counts or stable.total <= 0 or canary.total <= 0:
        return False
    return limit.both_fail(canary.bad / canary.total, stable.bad / stable.total)


def _nothing_to_compare(verdict: Verdict, failing: bool) -> str:  # noqa: FBT001 - two facts of one look
    return f"; {limit.NOTHING_TO_COMPARE}" if failing and verdict is Verdict.UNDECIDED else ""


def _said(before: GateStatus | None, verdict: Verdict) -> str:
    """Return the words of the look before if they may stand: what fails, or has changed, is told with the newest numbers."""
    same = before is not None and before.verdict is verdict is not Verdict.FAIL and before.undecided_since is None
    return before.message if before is not None and same else ""


def interval_of(gate: Gate, state: GateStatus | None) -> timedelta:
    """Return how long after a look the next one is due: sooner while something speaks against the new version, and not enough yet.

    Args:
        gate: the gate.
        state: what its last look found; None before the first.
    """
    known = state.evidence if state is not None and state.verdict is Verdict.UNDECIDED else None
    if known is None or known.harm < CLOSER:
        return gate.interval
    return min(gate.interval, max(_SHORTEST, gate.interval / OFTENER))


def fails(gate: Gate, reading: Reading, before: GateStatus | None, *, alpha: float, alone: bool = False) -> bool:
    """Whether `judge` says Fail, for those who need no more than that, or need it first: `judge` goes on from there."""
    known = before.evidence if before is not None else None
    if not reading.spans and known is None:
        return False
    taken = _taken(gate, reading, known, alone=alone)
    _AHEAD.keep(gate, reading, known, taken, alone=alone)
    return taken[0].harm() >= -math.log(alpha)


class _Ahead:
    """Keeps tests into which a look was taken already, for whoever judges that look next: taking it is most of the work.

    A look is told by what it is, and not by what it equals. Each is handed over once, as what comes next changes the tests.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[int, tuple[Gate, Reading, EvidenceStatus | None, bool, tuple[Trial, str]]] = {}

    def keep(self, gate: Gate, reading: Reading, known: EvidenceStatus | None, taken: tuple[Trial, str], *, alone: bool) -> None:
        """Keep what came of taking a look; the oldest goes where there are too many."""
        while len(self._kept) >= self._most:
            self._kept.pop(next(iter(self._kept)), None)
        self._kept[id(reading)] = gate, reading, known, alone, taken

    def take_over(self, gate: Gate, reading: Reading, known: EvidenceStatus | None, *, alone: bool) -> tuple[Trial, str] | None:
        """Return what came of taking a look; None where it was not taken, or into other tests."""
        found = self._kept.pop(id(reading), None)
        if found is None or not (found[0] is gate and found[1] is reading and found[2] is known and found[3] == alone):
            return None
        return found[4]


_AHEAD = _Ahead(256)


def _taken(gate: Gate, reading: Reading, known: EvidenceStatus | None, *, alone: bool) -> tuple[Trial, str]:
    """Return the tests with the look's counts in them, and why counts are missing or cannot be used."""
    spans, limits = reading.spans, limits_of(gate)
    trial = Trial(limits, known.state, known.since) if known is not None and known.state else None
    if trial is None or not trial.resumed:
        trial = Trial(limits, "", spans[0].since if spans else reading.at)
    troubles = [trial.take(one, reading.at, alone=alone) for one in spans]
    return trial, reading.trouble or next(filter(None, troubles), "")


def _nothing(gate: Gate, reading: Reading) -> Judgement:
    """Return the judgement before anything was counted."""
    reason = reading.trouble or reading.hint or "it has had no requests yet"
    return Judgement(
        verdict=Verdict.UNDECIDED,
        limit=clip(limit.limit_in_words(gate)),
        message=clip(f"{limit.measure_in_words(gate)} of the new version is not known: {reason}{_wanted(gate)}"),
        starved=True,
    )


def _wanted(gate: Gate) -> str:
    """Return how many requests there must be at least, in words that follow a reason; empty where no number is asked for."""
    return f"; {gate.min_samples:,} requests are needed" if gate.min_samples > 0 else ""


def _enough(gate: Gate, trial: Trial) -> bool:
    """Whether there were as many requests as the gate wants; pod-hours are no requests."""
    if trial.limits.measure is Measure.RESTARTS:
        return trial.samples > 0
    return round(trial.tested) >= max(1, gate.min_samples)


def _verdict(gate: Gate, trial: Trial, weights: tuple[float, float, float], *, sound: bool) -> Verdict:
    harm, proof, needed = weights
    if harm >= needed:
        return Verdict.FAIL
    return Verdict.PASS if proof >= needed and sound and _enough(gate, trial) else Verdict.UNDECIDED


@dataclass(frozen=True)
class _Look:
    """What came of a look: the reading, the verdict, evidence of harm and proof and what is enough, and why counts are missing."""

    reading: Reading
    verdict: Verdict
    weights: tuple[float, float, float]
    trouble: str


def _message(gate: Gate, look: _Look, trial: Trial, found: Estimate) -> str:
    if look.verdict is Verdict.FAIL:
        return sentence.sentence(gate, trial, found, look.verdict, look.weights)
    if look.trouble:
        return f"{trial.limits.name} cannot be judged: {look.trouble}"
    if found.canary is None:
        return f"{trial.limits.name} of the new version is not known: {_unknown(gate, look.reading, trial)}"
    if not _enough(gate, trial):
        return sentence.too_few(gate, trial)
    return sentence.sentence(gate, trial, found, look.verdict, look.weights)


def _unknown(gate: Gate, reading: Reading, trial: Trial) -> str:
    """Return why there is no value, though nothing went wrong."""
    if trial.samples == 0:
        return f"{reading.hint or 'it has had no requests yet'}{_wanted(gate)}"
    if reading.hint:
        return reading.hint
    if trial.limits.of_latency and trial.tested == 0:
        return f"counting starts again from zero, now that stable has shown which buckets hold its quantile{_wanted(gate)}"
    return "Prometheus has no new counts"


def _status(
    trial: Trial, found: Estimate, weights: tuple[float, float, float], before: EvidenceStatus | None, alpha: float
) -> EvidenceStatus:
    harm, proof, needed = (round(powers_of_ten(weight), _ROUND) for weight in weights)
    totals, limits = trial.totals, trial.limits
    bad = not limits.of_latency or totals.bound is not None
    low, high = trial.ratio_ends
    still, rate = trial.needed, trial.per_minute
    step, history = _history(trial, harm, before)
    return EvidenceStatus(
        since=trial.since,
        until=trial.until,
        canary_requests=trial.samples,
        canary_bad=totals.canary.bad if bad else None,
        stable_requests=totals.stable.total,
        stable_bad=totals.stable.bad if bad else None,
        ratio=found.ratio,
        ratio_low=low,
        ratio_high=high,
        confidence=1 - alpha,
        harm=harm,
        proof=proof,
        needed=needed,
        bursts=round(trial.bursts, _ROUND),
        requests_needed=still[0] if still else None,
        minutes_needed=still[0] / rate if still and rate > 0 else None,
        towards=None if still is None else Verdict.FAIL if still[1] else Verdict.PASS,
        history_step=step,
        history=history,
        state=trial.text(),
    )


def _history(trial: Trial, harm: float, before: EvidenceStatus | None) -> tuple[float, tuple[float, ...]]:
    """Return the step and the points of harm over time, every other one left out once there are too many."""
    elapsed = trial.elapsed
    step, points = (before.history_step, list(before.history)) if before is not None and trial.resumed else (0.0, [])
    if step <= 0:
        step = max(elapsed, 1.0)
    while elapsed / step >= POINTS:
        step, points = 2 * step, points[::2]
    due = math.floor(elapsed / step + 1e-9) + 1
    if len(points) < due:
        points += [points[-1] if points else 0.0] * (due - len(points) - 1) + [harm]
    return step, tuple(points)
