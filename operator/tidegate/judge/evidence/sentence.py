"""A gate's verdict by evidence, in words that a tired reader understands.

Numbers first, then how sure they make it: people act on this sentence without knowing what an e-value is.
"""

from __future__ import annotations

from tidegate.api.gate import Gate
from tidegate.api.metric import Measure, Unit
from tidegate.api.names import Verdict
from tidegate.judge import limit, words
from tidegate.judge.evidence.estimate import Estimate
from tidegate.judge.evidence.numbers import powers_of_ten
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.explain import NO_EVIDENCE, odds
from tidegate.judge.reading import Tally

BURSTS = 1.5
"""Factor of bursts from which on they are spoken of."""
_BAD = {Measure.AVAILABILITY: " not answered", Measure.TAIL: " slower"}


def sentence(gate: Gate, trial: Trial, found: Estimate, verdict: Verdict, weights: tuple[float, float, float]) -> str:
    """Say what was counted, how it compares, and how strong the evidence is.

    Args:
        gate: the gate.
        trial: what is known of it.
        found: its values so far.
        verdict: what follows.
        weights: evidence of harm, of proof, and what is enough, as natural logarithms.
    """
    measure = trial.limits.name
    text = f"{measure} {_value(gate, trial, found.canary, trial.totals.canary, of='requests')}"
    if trial.limits.compares:
        text += f", stable {_value(gate, trial, found.stable, trial.totals.stable)}" if found.stable is not None else ""
        text += _compared(trial, found)
    text += f", limit {trial.limits.in_words}"
    harm, proof, needed = (odds(powers_of_ten(weight)) for weight in weights)
    if verdict is Verdict.FAIL:
        text += f"; at most {harm} versions within the limit ever looks this bad (fails at {needed})"
    elif verdict is Verdict.PASS:
        text += f"; at most {proof} versions beyond the limit ever looks this good (passes at {needed})"
    else:
        text += f"; undecided: {_undecided(trial, harm, proof, needed)}"
    return text + _bursts(trial)


def too_few(gate: Gate, trial: Trial) -> str:
    """Say that there are fewer requests than the gate wants."""
    measure = trial.limits.name
    more, since = gate.min_samples - trial.tested, "so far"
    if trial.tested < trial.samples:
        since = "since stable has shown which buckets hold its quantile"
    text = f"{measure} cannot be judged yet: {words.requests(trial.tested)} of the new version {since}, "
    text += f"{gate.min_samples:,} needed"
    rate = trial.per_minute
    return f"{text}, {_minutes(more / rate)} at the present rate" if rate > 0 else text


def _value(gate: Gate, trial: Trial, value: float | None, counted: Tally, of: str = "") -> str:
    unit, measure = limit.unit_of(gate), trial.limits.measure
    if value is None:
        return "not known"
    text = words.quantity(value, unit)
    if unit is Unit.SECONDS:
        return f"{text} ({words.requests(counted.total)})" if of else text
    if measure is Measure.RESTARTS:
        return f"{text} ({words.count(counted.bad)} in {words.number(counted.total)} pod-hours)"
    bound = trial.totals.bound
    slower = f" than {words.quantity(bound, Unit.SECONDS)}" if bound is not None else ""
    number = f"{words.count(counted.bad)} of {words.count(counted.total)}"
    return f"{text} ({number}{' ' + of if of else ''}{_BAD.get(measure, '') + slower if of else ''})"


def _compared(trial: Trial, found: Estimate) -> str:
    if found.ratio is None:
        return ""
    text = f": {words.times(found.ratio, trial.limits.measure)}"
    low, high = trial.ratio_ends
    if low is not None and high is not None:
        return f"{text} (interval {words.number(low, 2)} to {words.number(high, 2)})"
    if low is not None:
        return f"{text} (at least {words.number(low, 2)})"
    return text if high is None else f"{text} (at most {words.number(high, 2)})"


def _undecided(trial: Trial, harm: str, proof: str, needed: str) -> str:
    text = f"{_so_far(harm, proof)} ({needed} is needed)"
    still = trial.needed
    if still is None:
        return f"{text}; the value is too close to the limit to tell" if trial.samples > 0 else text
    requests, fails = still
    rate = trial.per_minute
    time = f" ({_minutes(requests / rate)} at this rate)" if rate > 0 else ""
    way = "beyond" if fails else "within"
    if trial.limits.measure is Measure.RESTARTS:
        return f"{text}; about {words.number(requests, 2)} more pod-hours like these{time} would show that it is {way} the limit"
    about = f"{float(f'{requests:.1e}'):,.0f}"
    return f"{text}; about {about} more requests like these{time} would show that it is {way} the limit"


def _so_far(harm: str, proof: str) -> str:
    """Say what speaks against a version and for it, each as `odds` writes it."""
    if harm == proof == NO_EVIDENCE:
        return "no evidence either way yet"
    against, inwards = ("none" if side == NO_EVIDENCE else side for side in (harm, proof))
    return f"evidence against it {against}, for it {inwards}"


def _minutes(value: float) -> str:
    if value < 1:
        return "less than a minute"
    if value < 120:
        return "1 minute" if round(value) == 1 else f"{round(value):,} minutes"
    if value < 525_600:
        return f"{round(value / 60):,} hours" if value < 2880 else f"{round(value / 1440):,} days"
    return "more than a year"


def _bursts(trial: Trial) -> str:
    factor = trial.bursts
    if factor < BURSTS:
        return ""
    what = "slow requests" if trial.limits.of_latency else "bad requests"
    if trial.bursts_known:
        return f"; {what} come in bursts, {words.number(factor, 1)} times as uneven as by chance, so they count less"
    return f"; {what} count less until it is known whether they come in bursts"
