"""The judge Evidence, look by look: verdicts and their stories."""

import itertools
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.status import EvidenceStatus, GateStatus
from tidegate.judge.evidence.gate import fails, judge
from tidegate.judge.reading import Counts, Judgement, Reading, Tally
from unit.judge.evidence.counts import binomial

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALPHA = 1 / 300


def gate(measure="ErrorRate", **fields) -> Gate:
    source = "Kubernetes" if measure == "Restarts" else "HTTP"
    return Gate.model_validate({"name": "a-gate", "metric": {"preset": {"source": source, "measure": measure}}, **fields})


ONE_POINT = gate(versusStable={"maxIncrease": {"points": 1}})
NO_INCREASE = gate(versusStable={"maxIncrease": {"percent": 0}})
AVAILABLE = gate("Availability", threshold={"min": 0.999})
RESTARTS = gate("Restarts", threshold={"max": 1})
LATENCY = gate("Latency", versusStable={"maxIncrease": {"percent": 10}})
BOUNDS = tuple(0.005 * 1.6**power for power in range(15))


def status(at: datetime, evidence: EvidenceStatus | None, last: Judgement | None = None) -> GateStatus:
    """What the status has after a look."""
    verdict, message = (last.verdict, last.message) if last else (Verdict.UNDECIDED, "")
    starved_since = at if last and last.starved else None
    return GateStatus(
        name="a-gate", verdict=verdict, message=message, limit="", looks="", at=at, undecided_since=starved_since, evidence=evidence
    )


class Rollout:
    """A gate that is looked at every 5 s; the status is stored and read again between any two looks."""

    def __init__(self, a_gate: Gate, alpha: float = ALPHA) -> None:
        self.gate, self.alpha, self.at, self.last = a_gate, alpha, BEGIN, None
        self.evidence: EvidenceStatus | None = None

    def look(self, canary=None, stable=None, *, seconds=5.0, bounds=(), alone=False, **more) -> Judgement:
        known = status(self.at, self.evidence, self.last) if self.evidence else None
        before, self.at = self.at, self.at + timedelta(seconds=seconds)
        counts = None if canary is None else Counts(before, canary, stable, bounds)
        reading = Reading("a-gate", "abc", self.at, counts=counts, **more)
        self.last = judge(self.gate, reading, known, alpha=self.alpha, alone=alone)
        assert (self.last.verdict is Verdict.FAIL) == fails(self.gate, reading, known, alpha=self.alpha, alone=alone)
        assert self.last == judge(self.gate, reading, known, alpha=self.alpha, alone=alone), "it goes on from what was taken"
        found = self.last.evidence
        self.evidence = found and EvidenceStatus.model_validate(found.to_wire())
        return self.last

    def go_on(self, looks: int, p_c: float, p_b: float | None, *, n=25, m=225, seed=1) -> Judgement:
        rng = random.Random(seed)
        for _ in range(looks):
            stable = None if p_b is None else Tally(m, binomial(rng, m, p_b))
            self.look(Tally(n, binomial(rng, n, p_c)), stable)
        return self.last


class TestFail:
    def test_all_requests_fail(self):
        """25 of 25 in the first 5 seconds, stable as ever: shut at the first look."""
        judgement = Rollout(NO_INCREASE).look(Tally(25, 25), Tally(225, 2))

        assert Verdict.FAIL is judgement.verdict
        assert not judgement.clear
        assert (1.0, pytest.approx(2 / 225)) == (judgement.canary, judgement.stable)

    @pytest.mark.parametrize("a_gate", [ONE_POINT, AVAILABLE], ids=["points", "threshold"])
    def test_all_requests_fail_whatever_the_limit(self, a_gate):
        stable = Tally(225, 2) if a_gate is ONE_POINT else None

        assert Verdict.FAIL is Rollout(a_gate).look(Tally(25, 25), stable).verdict

    @pytest.mark.parametrize(
        ("canary", "looks", "words"),
        [
            (Tally(60, 1), 2, "no evidence either way yet (1 in 300 is needed)"),
            (Tally(60, 4), 4, "evidence against it 1 in 200, for it none (1 in 300 is needed)"),
            (Tally(60, 0), 6, "evidence against it none, for it 1 in 73 (1 in 300 is needed)"),
        ],
        ids=["neither", "against", "for"],
    )
    def test_evidence_that_is_not_there_is_nothing(self, canary, looks, words):
        """Where nothing speaks against a version, or for it, the sentence says that, and no odds of 1 in 1."""
        rollout = Rollout(ONE_POINT)
        for _ in range(looks):
            judgement = rollout.look(canary, Tally(540, 5))

        assert Verdict.UNDECIDED is judgement.verdict
        assert f", limit less than 1 point above stable; undecided: {words}" in judgement.message

    def test_a_fault_is_told_with_its_numbers(self):
        """An SRE reads counts, both rates, the ratio with its interval, the limit and how sure it is."""
        rollout = Rollout(ONE_POINT)
        for _ in range(120):
            judgement = rollout.look(Tally(25, 1.28), Tally(225, 2.2))

        assert Verdict.FAIL is judgement.verdict
        both = "5.12% (154 of 3,000 requests), stable 0.978% (264 of 27,000)"
        assert judgement.message.startswith(f"error rate {both}: 5.2 times as high (interval ")
        assert ", limit less than 1 point above stable; at most 1 in " in judgement.message
        assert judgement.message.endswith(" versions within the limit ever looks this bad (fails at 1 in 300)")

    def test_it_is_seen_although_prometheus_is_away_now(self):
        """What was counted suffices, whatever the last reading says."""
        rollout = Rollout(NO_INCREASE)
        rollout.look(Tally(25, 25), Tally(225, 2))

        judgement = rollout.look(trouble="Prometheus answered 503")

        assert Verdict.FAIL is judgement.verdict
        assert not judgement.starved

    def test_fewer_requests_than_wanted_are_enough_for_a_catastrophe(self):
        rollout = Rollout(gate(threshold={"max": 0.01}, minSamples=1000))

        assert Verdict.FAIL is rollout.look(Tally(25, 25)).verdict

    def test_a_crash_loop(self):
        """Twelve restarts of two pods in five minutes where one per pod-hour is allowed."""
        rollout = Rollout(RESTARTS)
        for _ in range(12):
            judgement = rollout.look(Tally(2 * 25 / 3600, 1.0), seconds=25)

        assert Verdict.FAIL is judgement.verdict
        assert "72 (12 in 0.167 pod-hours)" in judgement.message


class TestPass:
    def test_shown_to_be_within_the_limit(self):
        """Half a percent of errors in both versions where one point more is allowed, for 20 minutes."""
        judgement = Rollout(ONE_POINT).go_on(240, 0.005, 0.005)

        assert Verdict.PASS is judgement.verdict
        assert judgement.clear
        assert ", limit less than 1 point above stable; at most 1 in " in judgement.message
        assert " versions beyond the limit ever looks this good (passes at 1 in 300)" in judgement.message

    def test_all_limits_have_to_be_shown(self):
        """Far below a threshold, but no increase can be proven where there is none."""
        both = gate(versusStable={"maxIncrease": {"percent": 0}}, threshold={"max": 0.5})

        judgement = Rollout(both).go_on(60, 0.01, 0.01)

        assert Verdict.UNDECIDED is judgement.verdict
        assert not judgement.starved

    def test_quiet_pods(self):
        """No restart in ten pod-hours; pod-hours are no requests, of which a gate wants 20."""
        judgement = Rollout(RESTARTS).look(Tally(10.0, 0.0), seconds=18_000)

        assert Verdict.PASS is judgement.verdict


class TestUndecided:
    def test_nothing_was_counted_yet(self):
        judgement = Rollout(ONE_POINT).look()

        assert (Verdict.UNDECIDED, True, False) == (judgement.verdict, judgement.starved, judgement.clear)
        assert judgement.message == "error rate of the new version is not known: it has had no requests yet; 20 requests are needed"
        assert judgement.evidence is None

    def test_no_names_matched(self):
        """The reader's hint is what people need to hear."""
        judgement = Rollout(ONE_POINT).look(hint="no series has pod=~checkout-abc-.*")

        assert (
            judgement.message
            == "error rate of the new version is not known: no series has pod=~checkout-abc-.*; 20 requests are needed"
        )

    def test_too_few_requests(self):
        """With how many are still needed, and how long that takes."""
        judgement = Rollout(ONE_POINT).look(Tally(4, 0), Tally(36, 0), seconds=30.0)

        assert (Verdict.UNDECIDED, True, False) == (judgement.verdict, judgement.starved, judgement.clear)
        assert judgement.message == (
            "error rate cannot be judged yet: 4 requests of the new version so far, 20 needed, 2 minutes at the present rate"
        )

    def test_nothing_speaks_against_it(self):
        """Like stable, and no increase is allowed: nobody can prove that, but nothing speaks against it."""
        judgement = Rollout(NO_INCREASE).go_on(60, 0.01, 0.01)

        assert (Verdict.UNDECIDED, False, True) == (judgement.verdict, judgement.starved, judgement.clear)

    def test_a_fault_that_is_not_certain_yet(self):
        """Twice as many errors for some minutes: not clear, and how many more requests would show it."""
        rollout = Rollout(NO_INCREASE)
        for look in range(30):
            judgement = rollout.look(Tally(25, 0.5), Tally(225, float(look % 4 + 1)))

        assert (Verdict.UNDECIDED, False) == (judgement.verdict, judgement.starved)
        assert judgement.evidence.requests_needed is None or judgement.evidence.requests_needed > 0

    def test_how_many_more_requests_it_takes(self):
        """The forecast comes true within a factor of two, if everything goes on as it was."""
        rollout = Rollout(NO_INCREASE)
        for _ in range(48):
            judgement = rollout.look(Tally(25, 0.6), Tally(225, 2.25))
        assert "more requests" in judgement.message
        forecast, begun = judgement.evidence.requests_needed, judgement.samples
        assert pytest.approx(forecast / 300) == judgement.evidence.minutes_needed

        while judgement.verdict is Verdict.UNDECIDED:
            judgement = rollout.look(Tally(25, 0.6), Tally(225, 2.25))

        assert 0.5 < (judgement.samples - begun) / forecast < 2

    def test_trouble_keeps_what_is_known(self):
        """Prometheus is away: held, said in its words, and evidence goes on where it was."""
        rollout = Rollout(ONE_POINT)
        before = rollout.go_on(24, 0.01, 0.01).evidence

        judgement = rollout.look(trouble="Prometheus answered 503")

        assert (Verdict.UNDECIDED, True, False) == (judgement.verdict, judgement.starved, judgement.clear)
        assert judgement.message == "error rate cannot be judged: Prometheus answered 503"
        assert before.state == judgement.evidence.state

    def test_no_counts_this_time(self):
        """Scrapes are rarer than looks: nothing is known that was not known before. How long that may last is for the engine."""
        rollout = Rollout(ONE_POINT)
        before = rollout.go_on(24, 0.01, 0.01)

        judgement = rollout.look()

        assert (before.verdict, before.clear, False) == (judgement.verdict, judgement.clear, judgement.starved)
        assert before.evidence.state == judgement.evidence.state

    def test_what_was_counted_is_not_counted_twice(self):
        """The same reading again, or one that overlaps with it."""
        rollout = Rollout(ONE_POINT)
        first = rollout.look(Tally(100, 1), Tally(900, 9)).evidence
        rollout.at -= timedelta(seconds=5)

        again = rollout.look(Tally(100, 1), Tally(900, 9))

        assert first.canary_requests == again.evidence.canary_requests
        assert "overlaps" in again.message

    def test_metrics_without_a_test(self):
        """A limit that cannot be tested on counts is undecided for ever."""
        judgement = Rollout(gate("Latency", threshold={"min": 0.1})).look(Tally(100), None)

        assert Verdict.UNDECIDED is judgement.verdict


class TestAllTrafficOnTheNewVersion:
    def test_a_fault_is_held_against_what_stable_had(self):
        """Healthy at 10% for ten minutes, all requests fail at 100%."""
        rollout = Rollout(NO_INCREASE)
        rollout.go_on(120, 0.01, 0.01)
        assert Verdict.UNDECIDED is rollout.last.verdict

        judgement = rollout.look(Tally(250, 250), Tally(0, 0), alone=True)

        assert Verdict.FAIL is judgement.verdict

    def test_a_healthy_version_is_left_alone(self):
        rollout = Rollout(NO_INCREASE)
        rollout.go_on(120, 0.01, 0.01)
        rng = random.Random(9)
        for _ in range(120):
            judgement = rollout.look(Tally(250, binomial(rng, 250, 0.01)), Tally(0, 0), alone=True)

        assert Verdict.UNDECIDED is judgement.verdict


class TestWhatIsStored:
    @pytest.mark.parametrize("a_gate", [ONE_POINT, NO_INCREASE, AVAILABLE, RESTARTS, LATENCY], ids=lambda g: g.name)
    def test_a_restart_of_the_operator_changes_nothing(self, a_gate):
        """Stored and read again between looks, or kept in memory: the same states and verdicts, bit for bit."""
        rng, stored, kept, at = random.Random(81), None, None, BEGIN
        for _ in range(40):
            over = [25.0 * 0.6**place for place in range(len(BOUNDS))]
            canary, stable = Tally(25, binomial(rng, 25, 0.02)), Tally(225, binomial(rng, 225, 0.01))
            if a_gate is LATENCY:
                canary, stable = Tally(25, 0, tuple(over)), Tally(225, 0, tuple(9 * value for value in over))
            compared = stable if a_gate.versus_stable else None
            counts = Counts(at, canary, compared, BOUNDS if a_gate is LATENCY else ())
            at += timedelta(seconds=5)
            reading = Reading("a-gate", "abc", at, counts=counts)
            one = judge(a_gate, reading, stored and status(at, stored), alpha=ALPHA)
            other = judge(a_gate, reading, kept and status(at, kept), alpha=ALPHA)
            assert one == other
            kept, stored = other.evidence, EvidenceStatus.model_validate_json(one.evidence.model_dump_json(by_alias=True))

        assert len(stored.state) < 16_384

    def test_other_limits_begin_anew(self):
        """A state of other limits is not read: the counts begin again."""
        rollout = Rollout(ONE_POINT)
        rollout.go_on(24, 0.01, 0.01)
        rollout.gate = NO_INCREASE

        judgement = rollout.look(Tally(25, 0), Tally(225, 2))

        assert 25 == judgement.samples
        assert (rollout.at - timedelta(seconds=5)) == judgement.evidence.since

    def test_a_clock_that_was_set_moves_everything(self):
        """All times of the status are moved with it: counting goes on, and nothing overlaps."""
        rollout = Rollout(ONE_POINT)
        rollout.go_on(24, 0.01, 0.01)
        rollout.at -= timedelta(hours=2)
        rollout.evidence = rollout.evidence.model_copy(update={"since": rollout.evidence.since - timedelta(hours=2)})

        judgement = rollout.look(Tally(25, 0), Tally(225, 2))

        assert 25 * 25 == judgement.samples
        assert not judgement.starved

    def test_the_history_covers_all_looks_in_few_points(self):
        """A day of looks every 30 s: at most 64 points, evenly spaced, the newest being the newest."""
        rollout = Rollout(ONE_POINT)
        for _ in range(2880):
            found = rollout.look(Tally(25, 0.25), Tally(225, 2.25), seconds=30.0).evidence

        assert 28 <= len(found.history) <= 64
        assert pytest.approx(86_400, rel=0.05) == (len(found.history) - 1) * found.history_step
        assert found.history[-1] == pytest.approx(found.harm, abs=0.1)

    def test_gaps_are_gaps(self):
        """An hour without the operator: the curve stays where it was."""
        rollout = Rollout(ONE_POINT)
        rollout.go_on(24, 0.01, 0.01)
        rollout.at += timedelta(hours=1)

        found = rollout.look(Tally(25, 0), Tally(225, 2)).evidence

        assert len(found.history) <= 64
        assert (len(found.history) - 1) * found.history_step <= 3725


class TestWords:
    def test_they_follow_the_counts_at_first_and_then_every_half_minute(self):
        """Two hours of a good version: new words at each of the first looks, and then every 30 s."""
        rollout, told = Rollout(ONE_POINT), []
        for look in range(1, 1441):
            words = rollout.look(Tally(25, 0), Tally(225, 1 if look % 3 == 0 else 0)).message
            if not told or words != told[-1][1]:
                told.append((5 * look, words))

        times = [at for at, _ in told]
        assert [5, 10, 15, 20] == times[:4]
        assert 30 == max(after - before for before, after in itertools.pairwise(times))
        assert 1440 / 6 <= len(times) <= 1440 / 6 + 40

    def test_a_new_verdict_has_words_of_its_own(self):
        """Ten minutes of a good version, then nothing but errors: the words are those of the failure at once."""
        rollout = Rollout(ONE_POINT)
        rollout.go_on(121, 0.01, 0.01)

        judgement = rollout.look(Tally(25, 25), Tally(225, 2))

        assert Verdict.FAIL is judgement.verdict
        assert "ever looks this bad (fails at 1 in 300)" in judgement.message

    def test_the_verdict_that_it_moves_towards(self):
        """Three minutes of a bad version and of a good one: what is still needed is for Fail, and for Pass."""
        bad, good = Rollout(ONE_POINT), Rollout(ONE_POINT)

        assert Verdict.FAIL is bad.go_on(36, 0.04, 0.01).evidence.towards
        assert Verdict.PASS is good.go_on(36, 0.01, 0.01).evidence.towards

    def test_what_is_missing_is_said_at_once_and_for_as_long_as_it_is(self):
        """Prometheus away for one look: said at this look, and no more at the next."""
        rollout = Rollout(ONE_POINT)
        rollout.go_on(121, 0.01, 0.01)

        assert rollout.look(trouble="connection refused").message.endswith("connection refused")
        assert "connection" not in rollout.look(Tally(50, 0), Tally(450, 4), seconds=5.0).message


ABSURD = st.one_of(st.sampled_from([0.0, math.inf, -math.inf, math.nan, -1.0, 1e308, 1e-300]), st.floats(0, 1e6), st.floats())
TALLY = st.builds(Tally, ABSURD, ABSURD, st.lists(ABSURD, max_size=3).map(tuple))
GATES = st.sampled_from(
    [ONE_POINT, NO_INCREASE, AVAILABLE, RESTARTS, LATENCY, gate("Tail", versusStable={"maxIncrease": {"percent": 0}}),
     gate("Availability", versusStable={"maxDecrease": {"percent": 5}}, threshold={"min": 0.5, "max": 0.99}),
     gate(versusStable={"maxDecrease": {"points": 1}}), gate("Latency", threshold={"max": 0.3})]
)  # fmt: skip


class TestNothingRaises:
    @settings(max_examples=150)
    @example(ONE_POINT, [(Tally(0.0), None, (), False, 0.0), (Tally(2.2e-311), None, (), False, 1.0)])
    @given(
        GATES,
        st.lists(
            st.tuples(TALLY, st.none() | TALLY, st.lists(ABSURD, max_size=3).map(tuple), st.booleans(), st.floats(0, 1e6)),
            max_size=6,
        ),
    )
    def test_absurd_counts(self, a_gate, looks):
        """Infinite, negative or missing counts, more bad ones than all, bounds in no order, gaps and no time at all."""
        evidence, at = None, BEGIN
        for canary, stable, bounds, alone, seconds in looks:
            since, at = at, at + timedelta(seconds=seconds)
            reading = Reading("a-gate", "abc", at, counts=Counts(since, canary, stable, bounds))
            judgement = judge(a_gate, reading, evidence and status(since, evidence), alpha=ALPHA, alone=alone)
            evidence = judgement.evidence
            assert len(judgement.message) <= 1024
            for value in (evidence.harm, evidence.proof, evidence.bursts, *evidence.history):
                assert math.isfinite(value)

    @given(GATES, st.floats(0, 1e6), st.integers(1, 4))
    def test_without_data_nothing_fails(self, a_gate, total, looks):
        """No bad events, or no requests of the new version: never Fail, except where having none is what is not allowed."""
        evidence, at = None, BEGIN
        for _ in range(looks):
            since, at = at, at + timedelta(seconds=30)
            counts = Counts(since, Tally(0.0), Tally(total, total) if a_gate.versus_stable else None)
            reading = Reading("a-gate", "abc", at, counts=counts)
            judgement = judge(a_gate, reading, evidence and status(since, evidence), alpha=ALPHA)
            evidence = judgement.evidence

            assert Verdict.UNDECIDED is judgement.verdict
            assert not judgement.clear

    @given(st.text(max_size=100))
    def test_states_that_are_none(self, text):
        """Whatever stands in the status: it begins anew."""
        evidence = EvidenceStatus(since=BEGIN, state=text)
        reading = Reading("a-gate", "abc", BEGIN + timedelta(seconds=5), counts=Counts(BEGIN, Tally(25, 0), Tally(225, 2)))

        assert 25 == judge(ONE_POINT, reading, status(BEGIN, evidence), alpha=ALPHA).samples

    def test_numbers_that_are_none_are_said_to_be(self):
        judgement = Rollout(ONE_POINT).look(Tally(math.nan, 0), Tally(225, 2))

        assert judgement.starved
        assert judgement.message == "error rate cannot be judged: the counts are no numbers of requests"


def test_latencies_are_given_in_seconds_with_their_ratio():
    """Both quantiles are estimated from all buckets so far."""
    rollout = Rollout(LATENCY)
    over = [225.0 * 0.6**place for place in range(len(BOUNDS))]
    for _ in range(30):
        judgement = rollout.look(Tally(25, 0, tuple(v / 9 for v in over)), Tally(225, 0, tuple(over)), bounds=BOUNDS)

    assert judgement.stable == pytest.approx(judgement.canary)
    assert "P99 latency " in judgement.message
    assert judgement.clear
    assert replace(judgement, message="") != judgement


FINE = tuple(0.01 * 1.05**power for power in range(110))
"""More bounds than are kept: they are chosen twice."""


class TestBoundsThatAreChosen:
    """What a gate says of latencies rests on what was counted at the bounds that are tested, and on no more than that."""

    def few(self, rollout: Rollout, looks: int) -> list[Judgement]:
        """A tenth of the requests go to the new version; none is slower than 0.3 s, but 2% of stable's, which began cold."""
        return self.some(rollout, 5, slow=2.4) + self.some(rollout, looks - 5, slow=0.6)

    def some(self, rollout: Rollout, looks: int, *, slow: float) -> list[Judgement]:
        over = [float(bound < 0.3) for bound in FINE]
        slow = [0.02 * (bound < slow) for bound in FINE]
        canary, stable = (
            Tally(20, 0, tuple(20 * one for one in over)),
            [180 * max(one, two) for one, two in zip(over, slow, strict=True)],
        )
        return [rollout.look(canary, Tally(180, 0, tuple(stable)), seconds=1.0, bounds=FINE) for _ in range(looks)]

    def test_a_weight_does_not_rise_on_the_first_few_requests_after_that(self):
        """Given a gate that wants 200 requests, when the bounds are chosen for good after a dozen seconds, then it wants 200 since.

        Seconds are added up to blocks of five: the block after those that show which bounds to take is not tested on any.
        """
        rollout = Rollout(gate("Latency", versusStable={"maxIncrease": {"percent": 10}}, minSamples=200))

        looks = self.few(rollout, 39)

        clear = [number for number, one in enumerate(looks, 1) if one.clear]
        begun = [number for number, one in enumerate(looks, 1) if "again from zero" in one.message]
        assert begun == [1, 2, 3, 4, 5, 21, 22, 23, 24, 25]
        assert clear == [*range(15, 21), *range(35, 40)]
        assert "120 requests of the new version since stable has shown which buckets hold its quantile" in looks[30].message
        assert looks[21].starved


class TestBurstsThatNobodySaw:
    """Limits in points: a version that fails in bursts beside a stable version that never fails."""

    def after_a_good_minute(self, *bad: int, stable_bad: int = 0) -> Verdict:
        rollout = Rollout(ONE_POINT, alpha=0.005)
        for number in range(12):
            rollout.look(Tally(100, 0), Tally(900, 0 if number % 4 else stable_bad))
        for count in bad:
            rollout.look(Tally(100, count), Tally(900, 0))
        return rollout.last.verdict

    def test_one_burst_may_be_chance(self):
        assert self.after_a_good_minute(16) is Verdict.UNDECIDED
        assert self.after_a_good_minute(16, 0, 0, 0) is Verdict.UNDECIDED

    def test_the_second_is_none(self):
        """20% of the requests of ten seconds."""
        assert self.after_a_good_minute(18, 20) is Verdict.FAIL

    def test_right_after_the_start_two_may_be_chance(self):
        """Nobody was seen to go without failures yet: stable may have them as well, and had none in these 15 seconds."""
        rollout = Rollout(ONE_POINT, alpha=0.01 / 3)

        for bad in (0, 8, 8):
            rollout.look(Tally(21, bad), Tally(62, 0))

        assert rollout.last.verdict is Verdict.UNDECIDED

    def test_where_stable_has_them_they_are_how_the_service_is(self):
        assert self.after_a_good_minute(16, 16, stable_bad=24) is Verdict.UNDECIDED
