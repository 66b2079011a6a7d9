"""Whatever a gate has lived through, its judge goes on: no look raises, no number is none, and a broken version is found."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tidegate.api.gate import Gate
from tidegate.api.names import Verdict
from tidegate.api.status import GateStatus
from tidegate.engine.gate_status import fails, judged, take
from tidegate.judge.evidence import bursts
from tidegate.judge.evidence.interval import Interval
from tidegate.judge.evidence.limits import limits_of
from tidegate.judge.evidence.numbers import MOST
from tidegate.judge.evidence.paired import PairedTest
from tidegate.judge.evidence.threshold import ThresholdTest
from tidegate.judge.evidence.trial import Trial
from tidegate.judge.reading import Reading, Tally
from unit.fuzz.effort import EFFORT, fuzz
from unit.fuzz.lives import AGAINST_STABLE, BEGIN, FIXED, GATES, LATENCIES, Regime, alike, readings, regimes

ALPHA = 0.003
seeds = st.integers(0, 2**31)


def checked(gate: Gate, reading: Reading, before: GateStatus | None, *, alone: bool) -> GateStatus:
    """Take a look, and check all that holds for every one."""
    state = judged(gate, reading, before, alpha=ALPHA, alone=alone)
    assert fails(gate, reading, before, alpha=ALPHA, alone=alone) is (state.verdict is Verdict.FAIL)
    found = state.evidence
    assert finite(json.loads(state.model_dump_json()))
    if found is None:
        return state
    limits = limits_of(gate)
    trial = Trial(limits, found.state, found.since)
    assert trial.resumed
    assert trial.text() == found.state
    assert (trial.harm() >= -math.log(ALPHA)) is (state.verdict is Verdict.FAIL)
    assert abs(trial.harm()) <= MOST
    assert abs(trial.proof()) <= MOST
    assert sum(trial.weights) == pytest.approx(1)
    assert min(trial.weights) >= 0
    for test, one in zip(limits.tests, trial.states, strict=True):
        if isinstance(test, PairedTest | ThresholdTest):
            undivided = list(one)
            test.temper(undivided, bursts.weights_at(1.0))
            assert test.harm(one) <= test.harm(undivided) + 1e-9
            assert test.proof(one) <= test.proof(undivided) + 1e-9
    return state


def finite(value: Any) -> bool:
    """Whether all numbers in a document are."""
    if isinstance(value, dict | list):
        return all(finite(one) for one in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.no_cover
class TestAnyLife:
    @given(st.sampled_from(GATES), st.lists(regimes, min_size=1, max_size=6), seeds)
    @fuzz(150)
    def test_every_look_is_sound(self, gate, past, seed):
        state = None

        for reading, alone in readings(past, gate, seed):
            state = checked(gate, reading, state, alone=alone)

    @given(st.sampled_from(GATES), st.lists(regimes, min_size=1, max_size=3), seeds)
    @fuzz(40)
    def test_a_state_that_is_damaged_begins_anew(self, gate, past, seed):
        rng, state, anew = random.Random(seed), None, False
        for reading, alone in readings(past, gate, seed):
            if state is not None and state.evidence is not None and rng.random() < 0.1:
                text = state.evidence.state
                cut = rng.randrange(len(text))
                worse = rng.choice([text[:cut], text[:cut] + "A" + text[cut:], text[:8] + "////" + text[12:], "x", ""])
                state = state.model_copy(update={"evidence": state.evidence.model_copy(update={"state": worse})})
                anew = True

            taken = take(gate, reading, state, alpha=ALPHA, alone=alone)

            assert taken.unjudged is None
            assert not anew or taken.anew
            assert finite(json.loads(taken.state.model_dump_json()))
            state, anew = taken.state, False

    @given(st.sampled_from((*AGAINST_STABLE, *FIXED, *LATENCIES)), st.lists(regimes, min_size=1, max_size=6), seeds)
    @fuzz(60)
    def test_a_version_without_a_bad_event_never_fails(self, gate, past, seed):
        state = None

        for reading, alone in readings([replace(one, canary=0.0) for one in past], gate, seed):
            state = judged(gate, reading, state, alpha=ALPHA, alone=alone)
            assert state.verdict is not Verdict.FAIL


@pytest.mark.no_cover
class TestRecovery:
    """No past blinds a gate for good: a version of which all requests fail is found, whatever was before."""

    LOOKS = 60

    @given(st.sampled_from(AGAINST_STABLE), st.lists(alike, max_size=4), st.sampled_from([0.01, 0.1, 0.5]), seeds)
    @fuzz(100)
    def test_against_stable(self, gate, past, share, seed):
        self.found(gate, past, Regime(looks=self.LOOKS, requests=40 / share, share=share, canary=1.0), seed)

    @given(st.sampled_from(FIXED), st.lists(alike, max_size=4), seeds)
    @fuzz(60)
    def test_against_a_limit(self, gate, past, seed):
        calm = [replace(one, canary=min(one.canary, 0.001)) for one in past]

        self.found(gate, calm, Regime(looks=self.LOOKS, requests=80, share=0.5, canary=1.0), seed)

    def found(self, gate: Gate, past: list[Regime], broken: Regime, seed: int) -> None:
        state = None
        for reading, _ in readings([*past, broken], gate, seed):
            state = judged(gate, reading, state, alpha=ALPHA)
            if state.verdict is Verdict.FAIL:
                return
        pytest.fail(f"not found within {self.LOOKS} looks: {state.message if state else ''}")


@pytest.mark.skipif(EFFORT == 1, reason="takes minutes")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("gate", [AGAINST_STABLE[1], AGAINST_STABLE[3], FIXED[0]])
def test_a_life_of_a_million_looks(gate):
    """Calm, outages of both, bursts and floods for two months; then everything fails, and is found."""
    rng, trial = random.Random(1), Trial(limits_of(gate), "", BEGIN)
    base, requests = 0.001, 1000.0
    for look in range(1_000_000):
        if look % 5000 == 0:
            base, requests = rng.choice([0.0, 0.001, 0.003]), 10 ** rng.uniform(1, 6)
        outage = look % 50_000 < 12 and gate.versus_stable is not None
        bad = requests * (1.0 if outage else base)
        both = Tally(requests, float(round(bad)))
        trial.add(Interval(both, both if gate.versus_stable is not None else None, 5.0 * look, 5.0 * look + 5))
        if look % 1000 == 0:
            assert -MOST <= trial.harm() < -math.log(ALPHA)
            assert finite(trial.states)
    for more in range(100):
        at = 5.0 * (1_000_000 + more)
        trial.add(Interval(Tally(100, 100), Tally(100, 0) if gate.versus_stable is not None else None, at, at + 5))
    assert trial.harm() >= -math.log(ALPHA)
