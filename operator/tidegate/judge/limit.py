"""The judge of fixed limits: one look is within the limit, beyond it, or cannot be judged.

Limits relative to stable are strict: "less than 10% increase" means that exactly 10% is beyond. Thresholds are
inclusive: "at least 99.9%" means that exactly 99.9% is within. Both allow for the rounding of binary floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegate.api.base import clip, format_duration
from tidegate.api.gate import Change, Gate
from tidegate.api.metric import Measure, Unit
from tidegate.api.names import Verdict
from tidegate.judge import choice, words
from tidegate.judge.reading import Judgement, Reading

"""Longest message, in characters: the limit of the status field."""

FAILING = 0.5
"""Share of bad requests from which on stable is nothing to be compared with: as bad as that is no good."""
NOTHING_TO_COMPARE = "stable itself is failing, so a comparison with it proves nothing; fix what takes both versions down"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOLERANCE = 1e-9
"""Relative rounding that is no difference: 0.33 against 0.3 is an increase of 10%, not of 10.000000000000009%."""


_MEASURES = {
    Measure.ERROR_RATE: "error rate",
    Measure.AVAILABILITY: "availability",
    Measure.TAIL: "share of slow requests",
    Measure.CPU: "CPU use",
    Measure.MEMORY: "memory use",
    Measure.RESTARTS: "container restarts per pod and hour",
}
_WITHOUT_REQUESTS = frozenset({Measure.CPU, Measure.MEMORY, Measure.RESTARTS})
"""Measures of pods: they have no requests of which there could be too few."""
_UNITS = {Measure.LATENCY: Unit.SECONDS, Measure.RESTARTS: Unit.NUMBER}


@dataclass(frozen=True)
class _Check:
    """One limit of a gate, applied to one look.

    Attributes:
        verdict: what this limit alone says.
        limit: the limit in words.
        finding: what was compared, in words that follow `..., stable 0.1%`; empty where the value itself says it.
        target: the compared value and its limit, where the compared value is the metric's own.
    """

    verdict: Verdict
    limit: str
    finding: str = ""
    target: float | None = None


def judge(gate: Gate, reading: Reading) -> Judgement:
    """Judge one look of a gate.

    A limit that is exceeded decides, whatever the others say: a threshold fails without any data of stable. Otherwise
    one limit that cannot be judged makes the look undecided. Never raises, whatever the numbers are.

    Args:
        gate: the metric's unit and the limits; a gate without any limit is undecided.
        reading: the values, in the metric's unit.
    """
    verdict, message = _look(gate, reading)
    return Judgement(
        verdict=verdict,
        limit=clip(limit_in_words(gate)),
        message=clip(message),
        canary=reading.canary,
        stable=reading.stable,
        samples=reading.canary_samples,
        starved=verdict is Verdict.UNDECIDED,
        clear=verdict is Verdict.PASS,
    )


def beyond_warning(gate: Gate, judgement: Judgement) -> bool:
    """Whether the values are beyond the narrower limit that a gate may have for scoring; without a value they are not."""
    if gate.warning is None:
        return False
    narrow = gate.model_copy(
        update={"versus_stable": gate.warning.versus_stable, "threshold": gate.warning.threshold, "min_samples": 0}
    )
    reading = Reading(gate.name, "", _EPOCH, canary=judgement.canary, stable=judgement.stable)
    return _look(narrow, reading)[0] is Verdict.FAIL


def breached(looks: str, gate: Gate) -> bool:
    """Whether at least `failureLimit` of the last `of` looks were beyond the limit; for the judge Evidence, whether the last was.

    Args:
        looks: P, F and U for each look, the oldest first.
        gate: for its `failureLimit` and `of`.
    """
    if choice.by_evidence(gate):
        return looks.endswith("F")
    return looks[-gate.of :].count("F") >= gate.failure_limit


def limit_in_words(gate: Gate) -> str:
    """Return the gate's limits, e.g. `less than 1 point above stable and at most 5%`."""
    limits = [limit for limit, _ in _relative_limits(gate)] + [limit for limit, _, _ in _fixed_limits(gate)]
    return " and ".join(limits) or "none"


def measure_in_words(gate: Gate) -> str:
    """Return what the gate measures, e.g. `error rate` or `P99 latency`; for PromQL the gate's own name."""
    preset = gate.metric.preset
    if gate.metric.error_budget is not None:
        return "burn rate of the error budget"
    if preset is None:
        return gate.name
    if preset.measure is Measure.LATENCY:
        return f"P{words.number(preset.quantile * 100, 6)} latency"
    return _MEASURES[preset.measure]


def unit_of(gate: Gate) -> Unit:
    """Return the unit of the gate's values."""
    if gate.metric.preset is not None:
        return _UNITS.get(gate.metric.preset.measure, Unit.RATIO)
    if gate.metric.counters is not None:
        return Unit.RATIO
    return gate.metric.promql.unit if gate.metric.promql is not None else Unit.NUMBER


def _look(gate: Gate, reading: Reading) -> tuple[Verdict, str]:
    measure = measure_in_words(gate)
    canary = _known(reading.canary)
    if canary is None:
        reason = reading.trouble or _no_data(gate, reading)
        return Verdict.UNDECIDED, f"{measure} of the new version is not known: {reason}"
    if too_few := _too_few_samples(gate, reading):
        return Verdict.UNDECIDED, too_few
    checks = [*_against_stable(gate, reading, canary), *_against_threshold(gate, canary)]
    failed = [check for check in checks if check.verdict is Verdict.FAIL]
    if failed:
        return Verdict.FAIL, _sentence(gate, reading, canary, failed)
    if reading.trouble:
        return Verdict.UNDECIDED, f"{measure} cannot be judged: {reading.trouble}"
    undecided = [check for check in checks if check.verdict is Verdict.UNDECIDED]
    if undecided or not checks:
        return Verdict.UNDECIDED, _sentence(gate, reading, canary, undecided)
    if _stable_fails(gate, reading):
        return Verdict.UNDECIDED, f"{_sentence(gate, reading, canary, checks)}; {NOTHING_TO_COMPARE}"
    return Verdict.PASS, _sentence(gate, reading, canary, checks)


def _stable_fails(gate: Gate, reading: Reading) -> bool:
    """Whether stable itself is plainly failing, and the new version with it, by a gate that compares them."""
    preset, stable, canary = gate.metric.preset, _known(reading.stable), _known(reading.canary)
    if gate.versus_stable is None or preset is None or stable is None or canary is None:
        return False
    if preset.measure is Measure.AVAILABILITY:
        stable, canary = 1 - stable, 1 - canary
    elif preset.measure is not Measure.ERROR_RATE:
        return False
    return both_fail(canary, stable)


def both_fail(canary: float, stable: float) -> bool:
    """Whether shares of bad requests are such that stable is no measure of the new version, which does not cure it either."""
    return stable >= FAILING and canary >= stable / 2


def _no_data(gate: Gate, reading: Reading) -> str:
    if _count(reading.canary_samples) == 0:
        return f"it had no requests in the last {format_duration(gate.window)}"
    if reading.hint:
        return reading.hint
    if gate.metric.preset is not None:
        return f"Prometheus has no data of it in the last {format_duration(gate.window)}"
    return "the query gave no number"


def _too_few_samples(gate: Gate, reading: Reading) -> str:
    """Return why there are too few requests to judge, or nothing."""
    promql = gate.metric.promql
    preset = gate.metric.preset
    uncounted = preset is not None and preset.measure in _WITHOUT_REQUESTS
    if gate.min_samples == 0 or uncounted or (promql is not None and promql.samples is None):
        return ""
    measure = measure_in_words(gate)
    samples = _count(reading.canary_samples)
    if samples is None:
        reason = reading.trouble or "the number of requests of the new version is not known"
        return f"{measure} cannot be judged: {reason}, {gate.min_samples:,} needed"
    if round(samples) >= gate.min_samples:
        return ""
    return (
        f"{measure} cannot be judged yet: {words.requests(samples)} of the new version "
        f"in the last {format_duration(gate.window)}, {gate.min_samples:,} needed"
    )


def _relative_limits(gate: Gate) -> Iterator[tuple[str, tuple[int, Change, bool]]]:
    """Give each limit relative to stable: in words, and as (direction, change, whether it is in percent of stable)."""
    versus, unit = gate.versus_stable, unit_of(gate)
    if versus is None:
        return
    for change, direction, where in ((versus.max_increase, 1, "above"), (versus.max_decrease, -1, "below")):
        if change is not None and change.points is not None:
            yield f"less than {words.points(change.points, unit, 6)} {where} stable", (direction, change, False)
        if change is not None and change.percent is not None:
            yield f"less than {words.number(change.percent, 6)}% {where} stable", (direction, change, True)


def _fixed_limits(gate: Gate) -> Iterator[tuple[str, float, Callable[[float], bool]]]:
    """Give each fixed limit: in words, as a number, and as the test whether a value is beyond it."""
    threshold, unit = gate.threshold, unit_of(gate)
    if threshold is None:
        return
    least, most = threshold.min, threshold.max
    if least is not None:
        yield f"at least {words.quantity(least, unit, 6)}", least, lambda value: value < least - abs(least) * _TOLERANCE
    if most is not None:
        yield f"at most {words.quantity(most, unit, 6)}", most, lambda value: value > most + abs(most) * _TOLERANCE


def _against_threshold(gate: Gate, canary: float) -> Iterator[_Check]:
    for limit, number, beyond in _fixed_limits(gate):
        yield _Check(Verdict.FAIL if beyond(canary) else Verdict.PASS, limit, target=number)


def _against_stable(gate: Gate, reading: Reading, canary: float) -> Iterator[_Check]:
    stable = _known(reading.stable)
    for limit, (direction, change, relative) in _relative_limits(gate):
        if stable is None:
            yield _Check(Verdict.UNDECIDED, limit, "stable has no data to compare with")
        elif math.isinf(stable):
            yield _Check(Verdict.UNDECIDED, limit, "an infinite value of stable is nothing to compare with")
        elif relative:
            yield _in_percent(gate, reading, limit, direction * (canary - stable), change.percent or 0.0)
        else:
            yield _in_points(gate, limit, direction * (canary - stable), change.points or 0.0, direction)


def _in_points(gate: Gate, limit: str, worse_by: float, allowed: float, direction: int) -> _Check:
    unit = unit_of(gate)
    amount = worse_by * 100 if unit is Unit.RATIO else worse_by
    text = _telling(lambda value, digits: words.points(value, unit, digits), abs(amount), allowed)
    return _Check(_strict(amount, allowed), limit, f"{text} {_more_or_less(amount * direction)}")


def _in_percent(gate: Gate, reading: Reading, limit: str, worse_by: float, allowed: float) -> _Check:
    """Judge a relative change.

    From a stable value of 0 every change for the worse is infinitely large, and so beyond any limit, provided that the
    0 rests on at least `minSamples` requests of stable (where their number is known). The alternative, to leave it
    undecided, would let a version that fails every request keep its traffic because stable fails none. From a stable
    value below 0 the change is taken relative to its magnitude, so that a rise stays a rise.
    """
    stable = reading.stable or 0.0
    if stable == 0 and worse_by > 0:
        samples = _count(reading.stable_samples)
        if samples is not None and samples < gate.min_samples:
            return _Check(Verdict.UNDECIDED, limit, f"stable is zero on {words.requests(samples)} only")
        return _Check(Verdict.FAIL, limit, "any change from zero is beyond a limit in percent")
    if stable == 0:
        return _Check(_strict(0.0, allowed) if worse_by == 0 else Verdict.PASS, limit)
    amount = worse_by / abs(stable) * 100
    text = _telling(words.number, abs(amount), allowed)
    return _Check(_strict(amount, allowed), limit, f"{text}% {_more_or_less((reading.canary or 0.0) - stable)}")


def _strict(amount: float, allowed: float) -> Verdict:
    return Verdict.FAIL if amount >= allowed * (1 - _TOLERANCE) else Verdict.PASS


def _more_or_less(change: float) -> str:
    return "less" if change < 0 else "more"


def _sentence(gate: Gate, reading: Reading, canary: float, checks: list[_Check]) -> str:
    """Write the look in one sentence: the value and its counts, stable's value, the change, the limits that decided."""
    unit = unit_of(gate)
    targets = [check.target for check in checks if check.target is not None]
    nearest = min(targets, key=lambda target: abs(target - canary), default=canary)
    value = _telling(lambda number, digits: words.quantity(number, unit, digits), canary, nearest)
    text = f"{measure_in_words(gate)} {value}{_evidence(gate, reading, canary)}"
    findings = list(dict.fromkeys(check.finding for check in checks if check.finding))
    stable = _known(reading.stable)
    if stable is not None and (gate.versus_stable is not None or not checks):
        text += f", stable {words.quantity(stable, unit)}"
    if findings:
        text += (": " if stable is not None else ", ") + " and ".join(findings)
    return f"{text}, limit {' and '.join(check.limit for check in checks) or limit_in_words(gate)}"


def _evidence(gate: Gate, reading: Reading, canary: float) -> str:
    """Return the counts behind a value, e.g. ` (154 of 3,010 requests)`."""
    samples = _count(reading.canary_samples)
    if samples is None:
        return ""
    preset = gate.metric.preset
    if preset is None or preset.measure not in (Measure.ERROR_RATE, Measure.AVAILABILITY) or not 0 <= canary <= 1:
        return f" ({words.requests(samples)})"
    if preset.measure is Measure.ERROR_RATE:
        return f" ({words.count(canary * samples)} of {words.requests(samples)})"
    return f" ({words.count((1 - canary) * samples)} of {words.requests(samples)} not answered)"


def _telling(write: Callable[[float, int], str], value: float, other: float) -> str:
    """Write a value with enough digits to tell it from its limit: 99.8996% is not 99.9% where that is the limit."""
    if not math.isclose(value, other, rel_tol=_TOLERANCE):
        for digits in range(words.DIGITS, words.MOST_DIGITS + 1):
            if write(value, digits) != write(other, digits):
                return write(value, digits)
    return write(value, words.DIGITS)


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _count(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
