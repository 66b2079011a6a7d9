"""Whether the split itself does harm: stable against itself, before the route was split and since.

The pods are the same and the minutes are next to each other, so what fails since and did not before is no fault of a version. How
much fails is held against what failed before, as high as that may have been (Chernoff's bound at half of the chance of a false
alarm), and a plain step above it. Against that goes a mixture of likelihood ratios over what has been counted since, which is a
supermartingale as long as no more fails than that: by Ville's inequality it reaches 2 / alpha with a chance of at most alpha / 2,
however often one looks. What the split does it does from its first request on: once a minute of them has spoken as clearly
against harm, what fails later has another cause, and is left to the gates. Failures come in bursts; so many requests count as one
as a burst may hold: `BURST`, or all of a fifth of a second where more come.
"""

from __future__ import annotations

import math
from datetime import timedelta
from enum import StrEnum

from tidegate.judge import words
from tidegate.judge.evidence.numbers import log_mean
from tidegate.judge.reading import Around, Tally

ALPHA = 1 / 250
"""Chance of a false alarm in one rollout, by all of its gates together."""
BURST = 5.0
"""Requests at least that may fail together and count as one."""
_BURST_SECONDS = 0.2
_STEP = 0.02
"""Share by which more must fail at least before it is called harm."""
_SHARES = (0.05, 0.1, 0.2, 0.4, 0.7, 0.95, 0.999)
"""Alternatives: parts of the way from the most that is usual to all."""
_HALVINGS = 30
_SETTLED = 60.0
"""Seconds after which requests of before are over: scrapes are late, and data planes take a while."""
_HARMLESS = -math.log(20)
"""Logarithm of the evidence at which no harm is thought of any more."""


class Finding(StrEnum):
    """What is known of a split."""

    HARM = "requests of stable fail since the split that did not before"
    HARMLESS = "enough of them went through it for a minute or more without harm"
    OPEN = "neither"


def judged(around: Around, *, alpha: float) -> Finding:
    """Return whether the split does harm.

    Never raises, whatever the numbers are. Nothing is said where nothing was counted before: then it may always have been so.

    Args:
        around: what stable has counted before and since.
        alpha: the chance of a false alarm, over all looks.
    """
    before, lately, after = around.before, around.lately, around.after
    counted = (before.total, before.bad, lately.total, lately.bad, after.total, after.bad, around.seconds)
    if not all(math.isfinite(number) and number >= 0 for number in counted) or before.total <= 0 or after.total <= 0:
        return Finding.OPEN
    usual = _at_most(before, alpha / 2, _burst(before.total, around.seconds_before))
    if lately.total > 0 and lately.bad * before.total > before.bad * lately.total:
        # It had begun to fail before the split.
        usual = max(usual, _at_most(lately, alpha / 2, _burst(before.total, around.seconds_before)))
    limit = usual + max(_STEP, min(usual, (1 - usual) / 4))
    if limit >= 1:
        return Finding.OPEN
    evidence = _evidence(after, limit, _burst(after.total, around.seconds))
    if evidence >= math.log(2 / alpha) and after.bad * before.total > before.bad * after.total:
        return Finding.HARM
    return Finding.HARMLESS if evidence <= _HARMLESS and around.seconds >= _SETTLED else Finding.OPEN


def in_words(measure: str, around: Around) -> str:
    """Say what has changed with the split: `error rate of stable is 90% (90 of 100 requests) since ..., 0% (0 of 900) in ...`."""
    before, after = around.before, around.after
    span = words.age(timedelta(seconds=around.seconds_before))
    return (
        f"{measure} of stable {_share(after)} ({round(after.bad):,} of {words.requests(after.total)}) since the split at "
        f"{around.since:%H:%M:%S} UTC, {_share(before)} ({round(before.bad):,} of {round(before.total):,}) of the same pods in the "
        f"{span} before"
    )


def _share(tally: Tally) -> str:
    return f"{words.number(100 * min(1.0, tally.bad / tally.total), 3)}%"


def _burst(total: float, seconds: float) -> float:
    return max(BURST, total / max(seconds, 1.0) * _BURST_SECONDS)


def _at_most(tally: Tally, alpha: float, burst: float) -> float:
    """Return the greatest share that is still believed: where n * KL(seen, share) reaches log(1 / alpha)."""
    n, seen = tally.total / burst, min(1.0, tally.bad / tally.total)
    low, high = seen, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if n * _divergence(seen, middle) < math.log(1 / alpha):
            low = middle
        else:
            high = middle
    return high


def _divergence(seen: float, share: float) -> float:
    if share >= 1:
        return math.inf if seen < 1 else 0.0
    first = seen * math.log(seen / share) if seen > 0 else 0.0
    return first + ((1 - seen) * math.log((1 - seen) / (1 - share)) if seen < 1 else 0.0)


def _evidence(after: Tally, limit: float, burst: float) -> float:
    """Return the logarithm of the mixture of likelihood ratios."""
    bad = min(after.bad, after.total) / burst
    good = after.total / burst - bad
    shares = (limit + (1 - limit) * part for part in _SHARES)
    return log_mean([bad * math.log(share / limit) + good * math.log((1 - share) / (1 - limit)) for share in shares])
