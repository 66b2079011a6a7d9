"""What a gate's status says in words, from its fields alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from messages.judged import EVIDENCE
from tidegate.api.gate import Gate, Judge
from tidegate.api.names import Verdict
from tidegate.api.status import EvidenceStatus, GateStatus
from tidegate.judge.explain import drift_of, explain, odds, to_wire

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def gate(measure: str = "ErrorRate", source: str = "HTTP", **fields: Any) -> Gate:
    wire = {
        "name": "errors",
        "metric": {"preset": {"source": source, "measure": measure}},
        "versusStable": {"maxIncrease": {"percent": 20}},
        **fields,
    }
    return Gate.model_validate({name: value for name, value in wire.items() if value is not None})


def evidence(**fields: Any) -> EvidenceStatus:
    return EvidenceStatus(**{**EVIDENCE, **fields})


def state(verdict: Verdict, found: EvidenceStatus | None = None, **fields: Any) -> GateStatus:
    known: dict[str, Any] = {"canary": 154 / 3010, "stable": 27 / 27040, "limit": "less than 20% above stable"}
    return GateStatus(name="errors", verdict=verdict, at=NOON, evidence=found, **{**known, **fields})


def test_a_failure_says_counts_rates_ratio_and_how_sure_it_is() -> None:
    """Given a breach, then two sentences hold all its numbers, and a third what it does."""
    told = explain(state(Verdict.FAIL, evidence(harm=4.1)), gate())

    counted = (
        "Error rate of the new version is 5.12% (154 of 3,010 requests), stable's is 0.0999% (27 of 27,040 requests): "
        "51 times as high, with 99.67% confidence 34 to 80 times; the limit is less than 20% above stable."
    )
    assert told.sentences == (
        counted,
        "The chance that a version within the limit ever looks this bad is at most 1 in 13,000; it fails at 1 in 300.",
    )
    assert ("A breach takes all traffic back.",) == told.notes
    assert (Judge.EVIDENCE, None) == (told.judge, told.drift)


def test_a_failure_before_the_evidence_is_complete_is_said_to_be_one() -> None:
    """A catastrophe needs no long counting, and the words do not claim evidence that is not there."""
    told = explain(state(Verdict.FAIL, evidence(harm=1.0)), gate())

    assert (
        "It fails at once: so many failures need no further evidence (the test alone: 1 in 10, it fails at 1 in 300)." in told.text
    )


def test_a_proof_says_what_was_shown() -> None:
    """Given a pass, then the evidence is that for the limit being kept."""
    told = explain(state(Verdict.PASS, evidence(harm=-3, proof=3.2)), gate())

    assert (
        "The chance that a version beyond the limit ever looks this good is at most 1 in 1,600; it passes at 1 in 300." in told.text
    )
    assert () == told.notes


def test_a_pass_without_proof_claims_none() -> None:
    """Where nothing was shown, nothing but that is said."""
    told = explain(state(Verdict.PASS, evidence(harm=0.5, proof=0.4)), gate())

    assert "No evidence against it: it stands at 1 in 3, and it fails at 1 in 300." in told.text


@pytest.mark.parametrize(
    ("harm", "proof", "drift", "words"),
    [
        (1.5, 0.0, Verdict.FAIL, "the chance that a version within the limit looks this bad is 1 in 32; 1 in 300 is needed"),
        (0.0, 1.5, Verdict.PASS, "the chance that a version beyond the limit looks this good is 1 in 32; 1 in 300 is needed"),
        (
            0.45,
            0.9,
            Verdict.PASS,
            "looks this bad is 1 in 3, the chance that a version beyond the limit looks this good is 1 in 8;",
        ),
        (0.1, 0.2, None, "The counts do not decide it yet; 1 in 300 is needed for a verdict."),
    ],
)
def test_an_open_verdict_says_which_way_it_goes(harm: float, proof: float, drift: Verdict | None, words: str) -> None:
    """Given counts that decide nothing yet, then both sides are told as far as they are worth a word, and the drift."""
    canary = 0.002 if drift is Verdict.FAIL else 0.0005
    undecided = state(Verdict.UNDECIDED, evidence(harm=harm, proof=proof), canary=canary)

    assert (drift, drift) == (drift_of(undecided), drift_of(undecided, gate()))
    assert words in explain(undecided, gate()).text


def test_what_is_still_needed_is_said_in_requests_and_time() -> None:
    """Given an estimate of the judge, then it is told with the verdict that it leads to, in numbers that do not pretend."""
    undecided = state(Verdict.UNDECIDED, evidence(harm=1.2, requests_needed=1234, minutes_needed=4.2))

    assert (
        "It moves towards Fail, which needs about 1,200 more requests of the new version, 4 min at the present rate."
        in explain(undecided, gate()).notes
    )


def test_the_drift_is_where_the_values_are_and_not_where_the_evidence_was() -> None:
    """Given some evidence of harm from a bad hour, and values that are within the limit by now, then it moves towards Pass."""
    undecided = state(Verdict.UNDECIDED, evidence(harm=0.5, requests_needed=1, minutes_needed=0.5), canary=0.0005)

    assert (
        "It moves towards Pass, which needs about 1 more request of the new version, 30 s at the present rate."
        in explain(undecided, gate()).notes
    )


@pytest.mark.parametrize(
    ("minutes", "words"), [(0.2, "12 s"), (45, "45 min"), (60 * 5.5, "5.5 h"), (60 * 24 * 9, "9 days")], ids=str
)
def test_times_are_written_as_people_say_them(minutes: float, words: str) -> None:
    """Nobody plans in thousands of minutes."""
    undecided = state(Verdict.UNDECIDED, evidence(harm=1.0, requests_needed=50, minutes_needed=minutes))

    assert f", {words} at the present rate." in explain(undecided, gate()).text


def test_too_little_data_is_said_with_the_reason_and_what_it_leads_to() -> None:
    """Given a starved gate, then its own words say why, and the policy's what that counts as."""
    starved = state(
        Verdict.UNDECIDED, evidence(canary_requests=3), undecided_since=NOON, message="3 requests of the new version, 20 needed"
    )
    policy = gate(onNoData={"then": "Fail", "after": "5m"})

    told = explain(starved, policy)

    assert "It cannot be judged since 12:00:00 UTC: 3 requests of the new version, 20 needed." == told.sentences[1]
    assert ("onNoData: Fail after 5m.",) == told.notes


@pytest.mark.parametrize(
    ("fields", "clear", "words"),
    [
        ({}, True, "The weight may rise meanwhile: the evidence against the new version is too weak to hold it."),
        ({"requireProof": True}, True, "The weight waits for the proof (requireProof)."),
        ({}, False, "The weight waits for it."),
    ],
)
def test_an_open_verdict_says_whether_the_weight_waits(fields: dict[str, Any], clear: bool, words: str) -> None:
    """What people want to know of an open verdict is whether it holds them up."""
    assert (words,) == explain(state(Verdict.UNDECIDED, evidence(), clear=clear), gate(**fields)).notes


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"onBreach": "Pause", "ask": ["sre", "product"]}, "A breach pauses the rollout until sre, product decide."),
        ({"onBreach": "Hold"}, "A breach keeps the weight from rising."),
        ({"onBreach": "Warn"}, "A breach warns."),
        ({"dryRun": True}, "Dry run: the verdict is recorded, and nothing acts on it."),
    ],
)
def test_a_breach_says_what_it_does(fields: dict[str, Any], words: str) -> None:
    """The consequence comes from the policy."""
    assert (words,) == explain(state(Verdict.FAIL, evidence(harm=9)), gate(**fields)).notes


def test_a_fault_that_began_late_explains_its_ratio() -> None:
    """Given a failure whose ratio over the whole rollout is still unclear, then the reader learns why it fails all the same."""
    told = explain(state(Verdict.FAIL, evidence(harm=4, ratio=1.4, ratio_low=0.72, ratio_high=1.8)), gate())

    assert any(note.startswith("The ratio is that of the whole rollout;") for note in told.notes)


def test_bursts_are_told() -> None:
    """Given errors that come together, then the reader learns why so many count for so little."""
    told = explain(state(Verdict.FAIL, evidence(harm=3, bursts=4.8)), gate())

    assert "In stable, bad events come in bursts of about 4.8, so that 4.8 of them count as one." in told.notes


def test_no_bursts_are_told_of_a_stable_without_errors() -> None:
    """Given a stable version without any bad event, then nobody is told of bursts that nobody has seen."""
    told = explain(state(Verdict.FAIL, evidence(harm=3, bursts=4.6, stable_bad=0)), gate())

    assert not any("come in bursts of" in note for note in told.notes)
    assert any("until then they count less" in note for note in told.notes)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ratio_high": None}, "51 times as high, with 99.67% confidence at least 34 times;"),
        ({"ratio_low": None}, "51 times as high, with 99.67% confidence at most 80 times;"),
        ({"ratio_low": None, "ratio_high": None}, "51 times as high;"),
        ({"ratio": None}, "(27 of 27,040 requests); the limit"),
    ],
)
def test_half_known_intervals_are_told_as_far_as_they_are_known(fields: dict[str, Any], words: str) -> None:
    """At the beginning one end of the interval is open, and no end is made up."""
    assert words in explain(state(Verdict.UNDECIDED, evidence(**fields)), gate()).sentences[0]


def test_a_fixed_limit_does_not_speak_of_stable() -> None:
    """Given a gate that compares with nothing, then stable is left out."""
    told = explain(
        state(Verdict.FAIL, evidence(harm=3, ratio=None, stable_requests=0, stable_bad=None), stable=None),
        gate(versusStable=None, threshold={"max": 0.01}),
    )

    assert "stable" not in told.sentences[0].replace("less than 20% above stable", "")


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (gate("Availability", versusStable=None, threshold={"min": 0.999}), "(154 of 3,010 requests not answered)"),
        (gate("Tail"), "(154 of 3,010 requests slow)"),
        (
            gate("Restarts", "Kubernetes", versusStable=None, threshold={"max": 0.5}),
            "(154 in 3,010 pod-hours)",
        ),
    ],
    ids=["availability", "tail", "restarts"],
)
def test_counts_are_called_what_they_are(policy: Gate, words: str) -> None:
    """Bad events have a name in each measure."""
    assert words in explain(state(Verdict.FAIL, evidence(harm=3)), policy).sentences[0]


def test_counters_of_ones_own_are_called_by_the_gate() -> None:
    """Given counters, then the gate's name stands for the measure."""
    pair = {"bad": "b", "total": "t"}
    policy = gate(metric={"counters": {"canary": pair, "stable": pair}})

    assert (
        explain(state(Verdict.FAIL, evidence(harm=3)), policy).sentences[0].startswith("errors of the new version is 5.12% (154 of")
    )


def test_without_the_policy_a_share_is_still_a_share() -> None:
    """Given a rollout that is over and whose policy is gone, then values that are shares of what was counted are in percent."""
    told = explain(state(Verdict.FAIL, evidence(harm=3)))

    assert told.sentences[0].startswith("errors of the new version is 5.12% (154 of 3,010 requests), stable's is 0.0999%")
    assert () == told.notes


def test_without_the_policy_other_values_stay_numbers() -> None:
    """Given seconds of a policy that is gone, then no unit is made up."""
    assert "is 0.25 (154 of" in explain(state(Verdict.FAIL, evidence(harm=3), canary=0.25)).sentences[0]


def test_a_limit_is_told_by_its_looks() -> None:
    """Given the judge Limit, then its own sentence and its looks are what there is."""
    policy = gate(judge="Limit", failureLimit=2, of=3)
    found = state(Verdict.FAIL, message="error rate of the new version is 5.12%, limit at most 1%", looks="PFF")

    told = explain(found, policy)

    assert told.sentences == (
        "Error rate of the new version is 5.12%, limit at most 1%.",
        "Checks, oldest first: PFF; 2 beyond the limit, 2 of 3 are a breach.",
    )
    assert (Judge.LIMIT, ("A breach takes all traffic back.",)) == (told.judge, told.notes)


def test_a_limit_without_words_is_told_from_its_values() -> None:
    """Given a status that an older operator wrote, then value and limit are told."""
    told = explain(state(Verdict.PASS, looks="P"), gate(judge="Limit"))

    assert "Error rate of the new version is 5.12%; limit: less than 20% above stable." == told.sentences[0]


@pytest.mark.parametrize(
    ("power", "words"),
    [
        (-2, "1 in 1"),
        (0.2, "1 in 1"),
        (2.477, "1 in 300"),
        (5.1, "1 in 130,000"),
        (7.08, "1 in 12 million"),
        (10, "1 in 10 billion"),
        (25.3, "1 in 10^25"),
    ],
)
def test_odds_are_written_so_that_they_can_be_said(power: float, words: str) -> None:
    """Two digits, and words for what has too many."""
    assert words == odds(power)


def test_the_document_for_machines_has_stable_names_and_no_inner_state() -> None:
    """What scripts read: names as in the status, times of the history, and nothing that only the judge understands."""
    found = evidence(harm=1.2, proof=0.1, history=(0.0, 0.5), history_step=30, state="AAAA")

    document = to_wire(state(Verdict.UNDECIDED, found, looks="U"), gate())

    assert ("errors", "Undecided", "Evidence", "error rate", "Ratio", "Rollback", "Fail") == tuple(
        document[name] for name in ("name", "verdict", "judge", "measure", "unit", "onBreach", "drift")
    )
    assert "state" not in document["evidence"]
    assert (3010, 154) == (document["evidence"]["canaryRequests"], document["evidence"]["canaryBad"])
    assert document["evidence"]["history"] == [
        {"at": "2026-11-21T11:50:00.000Z", "harm": 0.0},
        {"at": "2026-11-21T11:50:30.000Z", "harm": 0.5},
    ]
    assert "stable" not in to_wire(state(Verdict.PASS, stable=None))
