"""The judge of fixed limits, look by look."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.base import SENTENCE
from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.judge.limit import breached, judge, limit_in_words, measure_in_words
from tidegate.judge.reading import Judgement, Reading

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

ERROR_RATE = {"preset": {"source": "Envoy", "measure": "ErrorRate"}}
LATENCY = {"preset": {"source": "Envoy", "measure": "Latency"}}
AVAILABILITY = {"preset": {"source": "Envoy", "measure": "Availability"}}
QUEUE = {"promql": {"canary": "queue", "stable": "queue"}}


def gate(metric: dict = ERROR_RATE, **fields: object) -> Gate:
    return Gate.model_validate({"name": "a-gate", "metric": metric, **fields})


def up_to_points(points: float, metric: dict = ERROR_RATE, **fields: object) -> Gate:
    return gate(metric, versusStable={"maxIncrease": {"points": points}}, **fields)


def up_to_percent(percent: float, metric: dict = LATENCY, **fields: object) -> Gate:
    return gate(metric, versusStable={"maxIncrease": {"percent": percent}}, **fields)


def look(a_gate: Gate, canary: float | None, stable: float | None = None, samples: float | None = 1000, **more) -> Judgement:
    reading = Reading("a-gate", "abc", AT, canary=canary, stable=stable, canary_samples=samples, **more)
    return judge(a_gate, reading)


class TestTheSeedPolicy:
    """Error rate less than 1% more, P99 latency less than 10% more, availability at least 99.9%."""

    def test_error_rate_fails_with_its_counts(self):
        """An SRE reads what failed, on how many requests, against what, by how much, and what was allowed."""
        judgement = look(up_to_points(1), canary=154 / 3010, stable=0.001, samples=3010)

        assert Verdict.FAIL is judgement.verdict
        assert judgement.limit == "less than 1 point above stable"
        assert judgement.message == (
            "error rate 5.12% (154 of 3,010 requests), stable 0.1%: 5.02 points more, limit less than 1 point above stable"
        )

    def test_latency_passes_in_milliseconds(self):
        """Times below a second are given in milliseconds."""
        judgement = look(up_to_percent(10), canary=0.210, stable=0.2)

        assert Verdict.PASS is judgement.verdict
        assert judgement.message == (
            "P99 latency 210 ms (1,000 requests), stable 200 ms: 5% more, limit less than 10% above stable"
        )

    def test_availability_fails_against_a_fixed_limit(self):
        """A ratio near 1 is given with the digits that matter."""
        judgement = look(gate(AVAILABILITY, threshold={"min": 0.999}), canary=0.99896, samples=100_000)

        assert Verdict.FAIL is judgement.verdict
        assert judgement.message == ("availability 99.896% (104 of 100,000 requests not answered), limit at least 99.9%")


class TestLimits:
    """Where exactly a limit lies."""

    @pytest.mark.parametrize(
        ("a_gate", "canary", "stable", "expected"),
        [
            (up_to_points(1), 0.0149, 0.005, Verdict.PASS),
            (up_to_points(1), 0.015, 0.005, Verdict.FAIL),
            (up_to_points(1), 0.0151, 0.0051, Verdict.FAIL),
            (up_to_points(1), 0.005, 0.5, Verdict.PASS),
            (up_to_points(0), 0.005, 0.005, Verdict.FAIL),
            (up_to_points(0), 0.004, 0.005, Verdict.PASS),
            (up_to_points(0.02, LATENCY), 0.2199, 0.2, Verdict.PASS),
            (up_to_points(0.02, LATENCY), 0.22, 0.2, Verdict.FAIL),
            (up_to_points(5, QUEUE), 14, 10, Verdict.PASS),
            (up_to_points(5, QUEUE), 15, 10, Verdict.FAIL),
            (up_to_percent(10), 0.2199, 0.2, Verdict.PASS),
            (up_to_percent(10), 0.22, 0.2, Verdict.FAIL),
            (up_to_percent(10), 0.33, 0.3, Verdict.FAIL),
            (up_to_percent(10, QUEUE), -8, -10, Verdict.FAIL),
            (up_to_percent(10, QUEUE), -9.5, -10, Verdict.PASS),
            (gate(QUEUE, versusStable={"maxDecrease": {"percent": 10}}), 90, 100, Verdict.FAIL),
            (gate(QUEUE, versusStable={"maxDecrease": {"percent": 10}}), 91, 100, Verdict.PASS),
            (gate(AVAILABILITY, versusStable={"maxDecrease": {"points": 0.1}}), 0.9991, 1.0, Verdict.PASS),
            (gate(AVAILABILITY, versusStable={"maxDecrease": {"points": 0.1}}), 0.999, 1.0, Verdict.FAIL),
        ],
    )
    def test_against_stable_the_limit_itself_is_beyond(self, a_gate, canary, stable, expected):
        """Less than 10% means that exactly 10% is too much, whatever binary floats make of it."""
        assert expected is look(a_gate, canary, stable).verdict

    @pytest.mark.parametrize(
        ("threshold", "canary", "expected"),
        [
            ({"min": 0.999}, 1 - 3 / 3000, Verdict.PASS),
            ({"min": 0.999}, 0.99899, Verdict.FAIL),
            ({"max": 0.3}, 0.1 + 0.2, Verdict.PASS),
            ({"max": 0.3}, 0.30001, Verdict.FAIL),
            ({"min": 0.1, "max": 0.3}, 0.2, Verdict.PASS),
            ({"min": 0.1, "max": 0.3}, 0.05, Verdict.FAIL),
            ({"max": 0}, 0, Verdict.PASS),
            ({"min": -2}, -2, Verdict.PASS),
            ({"min": -2}, -2.1, Verdict.FAIL),
        ],
    )
    def test_a_threshold_is_within_itself(self, threshold, canary, expected):
        """At least 99.9% is kept by 99.9%."""
        assert expected is look(gate(threshold=threshold), canary).verdict

    def test_a_value_just_beyond_its_limit_does_not_read_like_the_limit(self):
        """99.8996% is not rounded to the 99.9% that is asked for."""
        judgement = look(gate(AVAILABILITY, threshold={"min": 0.999}), canary=0.998996)

        assert Verdict.FAIL is judgement.verdict
        assert "availability 99.8996% (" in judgement.message

    def test_a_change_just_within_its_limit_does_not_read_like_the_limit(self):
        """9.9996% more passes, and does not read as 10% more."""
        judgement = look(up_to_percent(10), canary=0.2199992, stable=0.2)

        assert Verdict.PASS is judgement.verdict
        assert "9.9996% more" in judgement.message

    def test_both_limits_must_hold(self):
        """A version may be no worse than stable and still be too bad, and the message names the limit that failed."""
        a_gate = up_to_points(1, threshold={"max": 0.02})

        judgement = look(a_gate, canary=0.05, stable=0.05)

        assert Verdict.FAIL is judgement.verdict
        assert judgement.limit == "less than 1 point above stable and at most 2%"
        assert judgement.message == "error rate 5% (50 of 1,000 requests), stable 5%, limit at most 2%"

    def test_a_fixed_limit_fails_without_stable(self):
        """An absent stable version does not shield a bad one."""
        assert Verdict.FAIL is look(up_to_points(1, threshold={"max": 0.02}), canary=0.05, stable=None).verdict

    def test_a_fixed_limit_fails_although_stable_could_not_be_asked(self):
        """Trouble with the query of stable alone does not shield a bad version either."""
        a_gate = up_to_points(1, threshold={"max": 0.02})

        assert Verdict.FAIL is look(a_gate, canary=0.05, trouble="timeout").verdict

    def test_a_gate_without_a_limit_judges_nothing(self):
        """The schema forbids it; an object stored before the rule existed must not pass."""
        assert Verdict.UNDECIDED is look(gate(), canary=0.0).verdict


class TestFromZero:
    """Percent of nothing."""

    def test_nothing_to_nothing_is_no_change(self):
        """Neither version fails a request."""
        assert Verdict.PASS is look(up_to_percent(10, ERROR_RATE), canary=0.0, stable=0.0, stable_samples=500).verdict

    def test_something_from_nothing_is_beyond_any_percentage(self):
        """A version that fails requests does not keep its traffic because stable fails none."""
        judgement = look(up_to_percent(10, ERROR_RATE), canary=0.5, stable=0.0, stable_samples=500)

        assert Verdict.FAIL is judgement.verdict
        assert "stable 0%: any change from zero is beyond a limit in percent" in judgement.message

    def test_a_zero_of_few_requests_proves_nothing(self):
        """Stable has to have had minSamples requests for its zero to count."""
        judgement = look(up_to_percent(10, ERROR_RATE), canary=0.01, stable=0.0, stable_samples=3)

        assert Verdict.UNDECIDED is judgement.verdict
        assert "stable is zero on 3 requests only" in judgement.message

    def test_a_zero_of_unknown_size_counts(self):
        """Queries of one's own have no count for stable."""
        assert Verdict.FAIL is look(up_to_percent(10, QUEUE), canary=2, stable=0.0).verdict

    def test_a_change_for_the_better_passes(self):
        """From 0 down is a decrease, however large."""
        assert Verdict.PASS is look(up_to_percent(10, QUEUE), canary=-2, stable=0.0).verdict


class TestUndecided:
    """Blind is not bad."""

    def test_trouble(self):
        """Prometheus' own words reach the reader."""
        judgement = look(up_to_points(1), canary=None, trouble="Prometheus connection default: connection refused")

        assert Verdict.UNDECIDED is judgement.verdict
        assert judgement.message == (
            "error rate of the new version is not known: Prometheus connection default: connection refused"
        )

    def test_trouble_with_stable_only(self):
        """A value of the new version alone cannot be compared."""
        judgement = look(up_to_points(1), canary=0.0, trouble="no answer within 5s")

        assert Verdict.UNDECIDED is judgement.verdict
        assert judgement.message == "error rate cannot be judged: no answer within 5s"

    @pytest.mark.parametrize("nothing", [None, math.nan])
    def test_no_data_of_the_new_version(self, nothing):
        """No number is no verdict."""
        judgement = look(up_to_points(1), canary=nothing, stable=0.1, samples=None)

        assert Verdict.UNDECIDED is judgement.verdict
        assert judgement.message == "error rate of the new version is not known: Prometheus has no data of it in the last 1m"

    def test_no_requests(self):
        """That nobody called is said, when it is known."""
        judgement = look(up_to_points(1), canary=None, samples=0)

        assert judgement.message == "error rate of the new version is not known: it had no requests in the last 1m"

    def test_no_number_from_a_query_of_ones_own(self):
        """The gate is named where the measure has no name."""
        assert look(up_to_points(1, QUEUE), None).message == "a-gate of the new version is not known: the query gave no number"

    @pytest.mark.parametrize("nothing", [None, math.nan])
    def test_no_data_of_stable(self, nothing):
        """There is nothing to compare with."""
        judgement = look(up_to_points(1), canary=0.1, stable=nothing)

        assert Verdict.UNDECIDED is judgement.verdict
        assert judgement.message == (
            "error rate 10% (100 of 1,000 requests), stable has no data to compare with, limit less than 1 point above stable"
        )

    def test_too_few_requests(self):
        """It says how many there are and how many are needed."""
        judgement = look(up_to_points(1), canary=1.0, stable=0.0, samples=12.3)

        assert Verdict.UNDECIDED is judgement.verdict
        assert judgement.message == ("error rate cannot be judged yet: 12 requests of the new version in the last 1m, 20 needed")

    def test_an_unknown_number_of_requests(self):
        """Where requests are to be counted, no count is too few."""
        judgement = look(up_to_points(1), canary=1.0, stable=0.0, samples=None)

        assert Verdict.UNDECIDED is judgement.verdict
        assert judgement.message == (
            "error rate cannot be judged: the number of requests of the new version is not known, 20 needed"
        )

    def test_an_infinite_number_of_requests(self):
        """A division by zero in a query counts nothing."""
        assert Verdict.UNDECIDED is look(up_to_points(1), canary=0.0, stable=0.0, samples=math.inf).verdict

    def test_a_query_without_samples_needs_none(self):
        """The rule minSamples does not apply to what cannot be counted."""
        assert Verdict.PASS is look(up_to_points(1, QUEUE), canary=1, stable=1, samples=None).verdict

    @pytest.mark.parametrize("measure", ["CPU", "Memory", "Restarts"])
    def test_what_pods_tell_needs_no_requests(self, measure):
        """There are none: a minimum of them would hold every rollout for ever."""
        metric = {"preset": {"source": "Kubernetes", "measure": measure}}

        assert Verdict.FAIL is look(gate(metric, threshold={"max": 1}), canary=2.0, samples=None).verdict
        assert Verdict.PASS is look(gate(metric, threshold={"max": 1}), canary=0.5, samples=None).verdict

    def test_a_gate_that_asks_for_no_samples_needs_none(self):
        """A minSamples of 0 switches the rule off."""
        assert Verdict.FAIL is look(up_to_points(1, minSamples=0), canary=1.0, stable=0.0, samples=None).verdict

    def test_rounded_requests_count(self):
        """19.7 requests are shown as 20 and count as 20: rates over a window are extrapolated."""
        assert Verdict.PASS is look(up_to_points(1), canary=0.0, stable=0.0, samples=19.7).verdict


class TestInfinity:
    """What a division by zero in a query leaves."""

    def test_an_infinite_value_is_beyond_every_upper_limit(self):
        """More than anything is more than the limit."""
        assert Verdict.FAIL is look(up_to_points(1), canary=math.inf, stable=0.1).verdict
        assert Verdict.FAIL is look(up_to_percent(10), canary=math.inf, stable=0.1).verdict
        assert Verdict.FAIL is look(gate(threshold={"max": 5}), canary=math.inf).verdict

    def test_an_infinite_stable_is_nothing_to_compare_with(self):
        """Everything would pass against it."""
        judgement = look(up_to_points(1), canary=0.5, stable=math.inf)

        assert Verdict.UNDECIDED is judgement.verdict
        assert "an infinite value of stable is nothing to compare with" in judgement.message


class TestBreach:
    """failureLimit of the last `of` looks."""

    @pytest.mark.parametrize(
        ("looks", "failure_limit", "of", "expected"),
        [
            ("", 1, 1, False),
            ("F", 1, 1, True),
            ("FP", 1, 1, False),
            ("PPFUF", 2, 3, True),
            ("FFPUF", 2, 3, False),
            ("FF", 3, 5, False),
            ("FPFPF", 3, 5, True),
            ("UUUUU", 1, 5, False),
        ],
    )
    def test_only_looks_beyond_the_limit_count(self, looks, failure_limit, of, expected):
        """Undecided looks neither breach nor excuse."""
        assert expected is breached(looks, up_to_points(1, failureLimit=failure_limit, of=of, judge="Limit"))


class TestWords:
    """Limits and measures, as people say them."""

    @pytest.mark.parametrize(
        ("a_gate", "expected"),
        [
            (up_to_points(1), "less than 1 point above stable"),
            (up_to_points(0.5), "less than 0.5 points above stable"),
            (up_to_points(0.02, LATENCY), "less than 20 ms above stable"),
            (up_to_points(1500, QUEUE), "less than 1,500 above stable"),
            (up_to_percent(10), "less than 10% above stable"),
            (gate(AVAILABILITY, versusStable={"maxDecrease": {"points": 0.05}}), "less than 0.05 points below stable"),
            (gate(LATENCY, threshold={"max": 1.5}), "at most 1.5 s"),
            (gate(AVAILABILITY, threshold={"min": 0.9995}), "at least 99.95%"),
            (gate(QUEUE, threshold={"min": 1, "max": 2}), "at least 1 and at most 2"),
            (gate(), "none"),
        ],
    )
    def test_limits(self, a_gate, expected):
        """The limit is read without the policy at hand."""
        assert expected == limit_in_words(a_gate)

    @pytest.mark.parametrize(
        ("metric", "expected"),
        [
            (ERROR_RATE, "error rate"),
            (LATENCY, "P99 latency"),
            ({"preset": {"source": "HTTP", "measure": "Latency", "quantile": 0.999}}, "P99.9 latency"),
            ({"preset": {"source": "HTTP", "measure": "Latency", "quantile": 0.5}}, "P50 latency"),
            (AVAILABILITY, "availability"),
            (QUEUE, "a-gate"),
        ],
    )
    def test_measures(self, metric, expected):
        """A preset has a name in the trade; a query of one's own has the gate's."""
        assert expected == measure_in_words(gate(metric))

    def test_a_long_message_is_cut(self):
        """Status fields are bounded, and Prometheus' words are not."""
        judgement = look(up_to_points(1), canary=None, trouble="x" * 5000)

        assert len(judgement.message) == SENTENCE
        assert judgement.message.endswith("…")


ANY = st.none() | st.floats()
LIMIT = st.floats(min_value=0, max_value=1e6)
CHANGES = st.fixed_dictionaries({"points": LIMIT}) | st.fixed_dictionaries({"percent": LIMIT})
VERSUS = st.fixed_dictionaries({"maxIncrease": CHANGES}) | st.fixed_dictionaries({"maxDecrease": CHANGES})
BOUND = st.floats(allow_nan=False, allow_infinity=False)
THRESHOLDS = st.fixed_dictionaries({}, optional={"min": BOUND, "max": BOUND})
METRICS = st.sampled_from(
    [
        ERROR_RATE,
        LATENCY,
        AVAILABILITY,
        QUEUE,
        {"promql": {"canary": "q", "stable": "q", "samples": "q", "unit": "Ratio"}},
    ]
)


@given(METRICS, st.none() | VERSUS, st.none() | THRESHOLDS, ANY, ANY, ANY, ANY, st.sampled_from(["", "trouble"]))
def test_every_look_has_a_verdict_in_words(metric, versus, threshold, canary, stable, samples, stable_samples, trouble):
    """Whatever the numbers, the judge answers, and the answer fits the status."""
    a_gate = gate(metric, versusStable=versus, threshold=threshold)

    judgement = look(a_gate, canary, stable, samples, stable_samples=stable_samples, trouble=trouble)

    assert 1 <= len(judgement.message) <= SENTENCE
    assert 1 <= len(judgement.limit) <= SENTENCE
    if canary is None or math.isnan(canary):
        assert Verdict.UNDECIDED is judgement.verdict


@given(
    METRICS,
    CHANGES,
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_higher_value_never_helps_against_an_upper_limit(metric, change, one, other, stable):
    """What fails still fails when it is worse; what passes still passes when it is better."""
    a_gate = gate(metric, versusStable={"maxIncrease": change})
    better, worse = sorted((one, other))

    if Verdict.FAIL is look(a_gate, better, stable).verdict:
        assert Verdict.FAIL is look(a_gate, worse, stable).verdict


@given(st.fixed_dictionaries({"max": BOUND}), st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_higher_value_never_helps_against_a_greatest_value(threshold, one, other):
    """The same for a fixed limit."""
    better, worse = sorted((one, other))

    if Verdict.FAIL is look(gate(threshold=threshold), better).verdict:
        assert Verdict.FAIL is look(gate(threshold=threshold), worse).verdict


@given(CHANGES, st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_increase_and_decrease_mirror_each_other(change, canary, stable):
    """A limit on the way up is a limit on the way down with the signs turned."""
    up = gate(QUEUE, versusStable={"maxIncrease": change})
    down = gate(QUEUE, versusStable={"maxDecrease": change})

    assert look(up, canary, stable).verdict is look(down, -canary, -stable).verdict


@given(VERSUS, THRESHOLDS, st.floats(0, 1), st.floats(0, 1))
def test_two_limits_are_no_more_lenient_than_each(versus, threshold, canary, stable):
    """A second limit never saves a version from the first."""
    both = look(gate(versusStable=versus, threshold=threshold), canary, stable).verdict
    alone = {look(gate(versusStable=versus), canary, stable).verdict}
    if threshold:
        alone.add(look(gate(threshold=threshold), canary, stable).verdict)

    assert (Verdict.FAIL in alone) is (both is Verdict.FAIL)


@given(st.integers(0, 19), st.floats(0, 1), st.floats(0, 1))
def test_too_few_requests_never_decide(samples, canary, stable):
    """Below minSamples there is no verdict, however bad it looks."""
    a_gate = up_to_points(1, threshold={"max": 0.0}, minSamples=20)

    assert Verdict.UNDECIDED is look(a_gate, canary, stable, samples).verdict


def test_the_window_is_named_as_the_policy_writes_it():
    """1m30s, not 90 seconds."""
    a_gate = up_to_points(1, window=timedelta(seconds=90))

    assert "in the last 1m30s" in look(a_gate, canary=None, samples=None).message
