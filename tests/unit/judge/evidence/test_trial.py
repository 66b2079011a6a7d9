"""All that is known of one gate: what its tests and the estimate of bursts have to do with each other."""

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from tidegate.api.gate import Gate
from tidegate.judge.evidence import bursts, latency
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Tally
from unit.judge.evidence.latencies import Version, intervals, lognormal

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALPHA = 1 / 300
TAIL = Gate.model_validate(
    {
        "name": "slow",
        "metric": {"preset": {"source": "HTTP", "measure": "Tail"}},
        "versusStable": {"maxIncrease": {"percent": 0}},
    }
)


FIXED = Gate.model_validate(
    {
        "name": "slow",
        "metric": {"preset": {"source": "HTTP", "measure": "Latency", "quantile": 0.95}},
        "threshold": {"max": 0.6},
    }
)

ERRORS = Gate.model_validate(
    {
        "name": "errors",
        "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
        "versusStable": {"maxIncrease": {"percent": 50}},
    }
)


def trial(gate: Gate = TAIL) -> Trial:
    return Trial(limits_of(gate), "", BEGIN)


def healthy(seed: int, together: float, looks: int = 90) -> Iterator[Interval]:
    """3,000 requests a minute, a tenth of them for the new version, looked at every 5 s."""
    canary, stable = (Version(lognormal(), number, bursts=together) for number in (25, 225))
    return intervals(canary, stable, random.Random(seed), looks=looks, seconds=5.0)


def test_slow_requests_in_bursts_fail_no_healthy_version_while_little_is_known():
    """Groups of five slow requests, from the first minutes on, when stable has not shown yet that they come like this."""
    failed = 0
    for seed in range(60):
        one = trial()
        for interval in healthy(seed, 5.0):
            one.add(interval)
            if one.harm() >= -math.log(ALPHA):
                failed += 1
                break

    assert failed <= 1


def test_bursts_are_watched_where_slow_requests_are_rare():
    """The bound about which the first looks are mistaken is changed once, and what was learned at it is forgotten."""
    one, bounds = trial(), (0.1, 0.5, 1.0)
    seen = []
    for look in range(30):
        # At first one in a hundred is slower than 1 s, later than 0.5 s.
        beyond = (2.0, 2.0) if look < 3 else (2.0, 0.0)
        stable = Tally(225.0, over=(90.0, *beyond))
        one.add(Interval(Tally(25.0, over=(10.0, 0.0, 0.0)), stable, 5.0 * look, 5.0 * look + 5, bounds))
        seen.append((latency.watched(one.states[0]), sum(one.stable_spread[2:4])))

    watched = [bound for bound, _ in seen]
    assert {None, 0.5, 1.0} >= set(watched)
    assert 0.5 == watched[-1]
    changes = [look for look in range(1, 30) if watched[look] != watched[look - 1]]
    assert len(changes) <= 2


def test_a_fixed_limit_learns_of_bursts_from_the_version_itself():
    """Nobody asks stable; within some minutes its own slow requests have shown that they come one at a time."""
    one = trial(FIXED)
    for interval in healthy(2, 1.0):
        one.add(replace(interval, stable=None))

    assert latency.watched(one.states[0]) is not None
    assert one.bursts < 1.2


def test_what_is_known_of_bursts_counts_at_once():
    """The factor that is shown is that of the counts so far, whether something was learned in the last interval or not."""
    one = trial()
    for interval in healthy(1, 1.0, looks=40):
        one.add(interval)

        assert bursts.mean(bursts.weights(one.spread)) == one.bursts


def test_days_of_silence_leave_no_rate():
    """What fades for two days is too little to divide by."""
    one = trial(ERRORS)
    one.add(Interval(Tally(20), Tally(20), 0.0, 5.0))
    for hour in range(48):
        one.add(Interval(Tally(0), Tally(1), 5.0 + 3600 * hour, 5.0 + 3600 * (hour + 1)))

    assert one.per_minute == 0
