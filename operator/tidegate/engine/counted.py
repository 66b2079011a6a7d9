"""What a look has found that is new: how much the new version has counted at its weight, and for how long nothing.

Blind is not bad, and blind is not good: a version whose counters vanish or stand still keeps the weight that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.api.edits import edited
from tidegate.api.gate import Gate
from tidegate.api.metric import Measure
from tidegate.api.status import GateStatus, ReleaseStatus
from tidegate.judge import choice, words
from tidegate.judge.reading import Counts, Reading

AWAY = timedelta(seconds=10)
"""How much later than two intervals a look may come before nobody has looked meanwhile: the operator may have been away."""
LEAST_SILENCE = timedelta(minutes=2)
"""For less than this silence is never taken for one: two scrapes at Prometheus' own default. No weight rises meanwhile."""
_FADING = 0.95
"""By this the usual gap falls with each look that finds something, until a longer one is met: pods are scraped at times of their
own, which come in clusters."""
_PATIENCE = 2
"""How many usual gaps, and how many intervals, may pass before silence is silence."""
_LATE = 1.5
"""How many usual gaps may have passed since something new was found when a weight rises."""
_ROUNDED = timedelta(milliseconds=100)
"""By so much times in the status and those of looks may differ."""
_DAY = 86_400.0


@dataclass(frozen=True)
class Seen:
    """What a gate's status says after a look of what was new in it.

    Attributes:
        newest: time of the newest sample of the new version that was ever seen; None where nobody can tell.
        newest_stable: likewise for stable.
        weight_requests: requests of the new version at its present weight; None where nobody can tell.
        quiet_since: when something new was found last, or from when on it is looked for.
        usual_gap: seconds that usually lie between two looks that find something new.
        fresh: whether this look has found something new.
        silent: whether nothing has come for longer than is usual.
    """

    newest: datetime | None
    newest_stable: datetime | None
    weight_requests: float | None
    quiet_since: datetime
    usual_gap: float
    fresh: bool
    silent: bool


def seen(gate: Gate, reading: Reading, before: GateStatus | None, *, weight_since: datetime | None) -> Seen:
    """Return what is new in a look.

    Args:
        gate: the gate.
        reading: what was read.
        before: its status after the look before; None at the first.
        weight_since: since when the new version has its present weight, as far as it had another before; None where all that is
            counted counts for it.
    """
    spans = reading.spans if choice.by_evidence(gate) else None
    fresh, usual = _fresh(spans, reading, before), before.usual_gap if before is not None else 0.0
    unwatched = before is not None and _unwatched(gate, reading, before)
    quiet = None if before is None or unwatched else before.quiet_since
    patience = max(_PATIENCE * gate.interval.total_seconds(), min(_PATIENCE * usual, _DAY), LEAST_SILENCE.total_seconds())
    waited = 0.0 if quiet is None else (reading.at - quiet).total_seconds()
    if fresh:
        usual = max(_FADING * usual, min(waited, patience))
    return Seen(
        newest=_later(reading.newest, before.newest if before is not None else None),
        newest_stable=_later(reading.newest_stable, before.newest_stable if before is not None else None),
        weight_requests=_at_weight(spans, reading, before, weight_since, unwatched=unwatched),
        quiet_since=reading.at if fresh or quiet is None else quiet,
        usual_gap=round(usual, 3),
        fresh=fresh,
        silent=not fresh and waited > patience,
    )


def _fresh(spans: Sequence[Counts] | None, reading: Reading, before: GateStatus | None) -> bool:
    """Whether a look has found something new: requests; for Limit a newer sample, or a value where no times are known."""
    if spans is not None:
        return any(counts.canary.total > 0 for counts in spans)
    if before is None or before.newest is None:
        return reading.canary is not None
    return reading.newest is not None and reading.newest > before.newest


def _unwatched(gate: Gate, reading: Reading, before: GateStatus) -> bool:
    """Whether nobody has looked since the look before, and counts do not cover the time: that silence is not the version's."""
    covered = bool(reading.spans) and reading.spans[0].since <= before.at + _ROUNDED
    return reading.at - before.at > 2 * gate.interval + AWAY and not covered


def _at_weight(
    spans: Sequence[Counts] | None,
    reading: Reading,
    before: GateStatus | None,
    weight_since: datetime | None,
    *,
    unwatched: bool,
) -> float | None:
    known = before.weight_requests if before is not None else None
    window = reading.at_weight
    if spans is None:
        told = window is not None and (weight_since is None or window.since >= weight_since - _ROUNDED)
        return window.requests if window is not None and told else known
    if unwatched:
        known = 0.0
    spans = [counts for counts in spans if counts.canary.total > 0]
    if weight_since is not None:
        # What was scraped before the weight and after it may all have come before it: it counts for neither.
        scraped = before.newest if before is not None else None
        straddling = 1 if scraped is not None and scraped < weight_since else 0
        spans = [counts for counts in spans[straddling:] if counts.since >= weight_since - _ROUNDED]
    return (known or 0.0) + sum(counts.canary.total for counts in spans)


def _seconds(value: float) -> timedelta:
    """Return a span of at most a day: a hand may have written anything into the status."""
    return timedelta(seconds=min(max(value, 0.0), _DAY))


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def in_words(gate: Gate, found: Seen, reading: Reading) -> str:
    """Say since when nothing new was found, e.g. `no request of the new version has been counted since 12:03:10 UTC (4 min)`."""
    what = (
        "no request of the new version has been counted"
        if choice.by_evidence(gate)
        else "nothing new has been measured of the new version"
    )
    return f"{what} since {found.quiet_since:%H:%M:%S} UTC ({words.age(reading.at - found.quiet_since)})"


def why(found: Seen, reading: Reading) -> str:
    """Say why nothing new may have been found, as far as can be told."""
    if reading.trouble or reading.hint:
        return reading.trouble or reading.hint
    if found.newest is None:
        return "its counters stand still, or are gone: does it get requests, and does Prometheus scrape its pods?"
    old = reading.at - found.newest
    if reading.newest is None:
        return f"its series are gone, the newest sample was {words.age(old)} ago: does Prometheus still scrape its pods?"
    if old > max(LEAST_SILENCE, _seconds(_PATIENCE * found.usual_gap)):
        return f"Prometheus' newest sample of it is {words.age(old)} old: does it still scrape its pods?"
    return f"its counters stand still, the newest sample is {words.age(old)} old: does it get requests?"


def weight_since(status: ReleaseStatus) -> datetime | None:
    """Return since when the new version has the weight that it has; None while it gets another, or has none."""
    step, rollout = status.step, status.rollout
    if step is None or rollout is None or status.weight == 0 or step.weight != status.weight:
        return None
    return rollout.exposed_at if first_weight(status) else step.since


def first_weight(status: ReleaseStatus) -> bool:
    """Whether the new version has had no other weight before: then all that it has counted was counted at this one."""
    step, rollout = status.step, status.rollout
    exposed = rollout.exposed_at if rollout is not None else None
    return step is not None and exposed is not None and exposed >= step.entered


def begun_anew(state: GateStatus) -> GateStatus:
    """Return what a gate said without the requests that count for a weight, if they were known."""
    return state if state.weight_requests is None else edited(state, weight_requests=0.0)


def lacking(gate: Gate, state: GateStatus, since: datetime) -> str:
    """Say what is missing of what has to be seen of the new version at its weight before that may rise; empty where nothing is.

    Args:
        gate: the gate.
        state: what it said last.
        since: when the new version got the weight.
    """
    newest = state.newest
    age = f"; the newest sample of the new version is {words.age(state.at - newest)} old" if newest is not None else ""
    if newest is not None and newest < since:
        return f"no sample of the new version is newer than {since:%H:%M:%S} UTC, when it got this weight{age}"
    return _too_few(gate, state, since, age) or _late(gate, state, age)


def _too_few(gate: Gate, state: GateStatus, since: datetime, age: str) -> str:
    newest, preset = state.newest, gate.metric.preset
    if state.weight_requests is None and not choice.by_evidence(gate):
        spans = min(gate.window, _seconds(state.usual_gap))
        young = newest is not None and newest < since + spans
        return f"the new version has no sample from {words.age(spans)} or more after it got this weight{age}" if young else ""
    counted = state.weight_requests or 0.0
    if preset is not None and preset.measure is Measure.RESTARTS:
        return "" if counted > 0 else f"no pod of the new version was seen since it got this weight{age}"
    needed = max(1, gate.min_samples)
    if round(counted) >= needed:
        return ""
    return f"{words.requests(counted)} of the new version counted since it got this weight, {needed:,} needed{age}"


def _late(gate: Gate, state: GateStatus, age: str) -> str:
    if state.quiet_since is None:
        return ""
    waited, usual = state.at - state.quiet_since, _seconds(state.usual_gap)
    if waited <= max(_PATIENCE * gate.interval, _LATE * usual):
        return ""
    what = "no request of the new version has been counted" if choice.by_evidence(gate) else "nothing new was measured"
    often = f", which is usual every {words.age(usual)}" if usual else ""
    return f"{what} for {words.age(waited)}{often}{age}"
