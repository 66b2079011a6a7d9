"""The demo's verdict on itself, and what it tells people."""

import dataclasses
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tidegate_sandbox.demo import report, scenario
from tidegate_sandbox.demo.measure import Spread
from tidegate_sandbox.demo.probe import Probe
from tidegate_sandbox.demo.record import Record
from tidegate_sandbox.demo.report import Limit, Run, Trace, Version
from tidegate_sandbox.demo.scenario import ACTS, Act
from tidegate_sandbox.demo.seen import EventSeen, LookSeen, PhaseSeen, RouteSeen
from tidegate_sandbox.demo.show import Row, Show, draw
from tidegate_sandbox.loadgen import Answer

POLICY = scenario.read_policy()
RUN = Run(seconds=120.0, seconds_to_cluster=10.0, seconds_to_first_act=20.0, load_seconds=100.0, requests=20_000, failed=8)
STABLE = {"v2": "v1", "v3": "v2", "v4": "v2", "v5": "v2", "v6": "v5"}


def went(act: Act, **changes: Any) -> Version:
    """An act that went as it should, but for the changes."""
    promoted = act.outcome is scenario.Outcome.PROMOTED
    stable = STABLE[act.version]
    version = Version(
        version=act.version,
        outcome=act.outcome.value,
        cause=act.cause.value,
        gate=act.gate,
        message="in words",
        seconds=25.0,
        seconds_from_breach_visible_to_stable=None if promoted else 1.2,
        seconds_from_breach_visible_to_paused=0.8 if act.pauses else None,
        seconds_from_request_to_stable=0.2 if act.pauses else None,
        weights_seen=[0, 10, 100] if promoted else [0, 10, 0],
        requests=5_000,
        requests_by_version={stable: 4_500, act.version: 500},
        failed_requests_by_version={stable: 0, act.version: 4 if act.fails_requests else 0},
        pods_restarted=0,
        api_requests=40,
        alerted=bool(act.gate),
        serves=[act.version if promoted else stable],
        route_as_written=True,
        p99_ratio=Spread(0.99, 1.01),
        trace=Trace(),
    )
    return dataclasses.replace(version, **changes)


def broken(*, of: str = "", run: Run = RUN, **changes: Any) -> list[str]:
    """Which limits are broken where one version went differently."""
    acts = [(act, STABLE[act.version], went(act, **(changes if act.version == of else {}))) for act in ACTS]
    return [limit.what for limit in report.limits(acts, run, POLICY) if not limit.kept]


def test_a_demo_that_went_as_said_breaks_no_limit():
    """Two promotions without a failure, three shut-outs in time: every limit is kept."""
    assert broken() == []


@pytest.mark.parametrize(
    ("version", "changes", "what"),
    [
        ("v2", {"outcome": "RolledBack"}, ["v2: outcome"]),
        ("v2", {"failed_requests_by_version": {"v1": 0, "v2": 1}}, ["v2: failed requests"]),
        ("v2", {"failed_requests_by_version": {"none": 1}}, ["v2: failed requests"]),
        ("v5", {"pods_restarted": 1}, ["v5: pods restarted"]),
        ("v5", {"serves": ["v2", "v5"]}, ["v5: answers in the end"]),
        ("v5", {"route_as_written": False}, ["v5: route as its author wrote it"]),
        ("v3", {"failed_requests_by_version": {"v2": 1, "v3": 4}}, ["v3: failed requests, its own left out"]),
        ("v3", {"gate": "availability"}, ["v3: breached gate, in a Warning Event"]),
        ("v3", {"weights_seen": [0, 10, 100, 0]}, ["v3: greatest share of the traffic"]),
        (
            "v6",
            {"seconds_from_breach_visible_to_stable": 3.6},
            ["v6: from the breach visible in Prometheus to all traffic on stable"],
        ),
        (
            "v3",
            {"seconds_from_breach_visible_to_stable": None},
            ["v3: from the breach visible in Prometheus to all traffic on stable"],
        ),
        ("v4", {"cause": "GateBreached"}, ["v4: cause"]),
        ("v4", {"failed_requests_by_version": {"v4": 1}}, ["v4: failed requests"]),
        ("v4", {"gate": ""}, ["v4: breached gate, in a Warning Event"]),
    ],
)
def test_each_limit_is_broken_by_its_own_measurement(version: str, changes: dict[str, Any], what: list[str]):
    """What differs from what was said is named, and nothing else is."""
    assert broken(of=version, **changes) == what


def test_a_shut_out_may_take_one_interval_and_a_second_and_a_half():
    """Looks come every 2 s: 3.5 s are allowed, exactly, to a version that answers nothing but errors."""
    assert broken(of="v6", seconds_from_breach_visible_to_stable=3.5) == []


def test_a_few_errors_may_take_longer():
    """One error in twenty takes a while to be told from chance: 23.5 s are allowed."""
    assert broken(of="v3", seconds_from_breach_visible_to_stable=23.5) == []
    assert broken(of="v3", seconds_from_breach_visible_to_stable=23.6) != []


def test_the_whole_demo_has_limits_of_its_own():
    """A failure between two acts, too little load and too much time are broken limits."""
    assert broken(run=dataclasses.replace(RUN, failed=9)) == ["failed requests from beginning to end, expected ones left out"]
    assert broken(run=dataclasses.replace(RUN, requests=9_900)) == ["load"]
    assert broken(run=dataclasses.replace(RUN, seconds=300.1)) == ["the whole demo"]


def test_a_demo_that_came_to_no_end_has_not_passed():
    """All limits of the versions so far may be kept: without the last version, or with an error, it has failed."""
    kept = [Limit("v2: outcome", "Promoted", "Promoted", kept=True)]
    versions = [went(act) for act in ACTS]

    assert report.document(versions, kept, RUN, POLICY)["passed"] is True
    assert report.document(versions[:3], kept, RUN, POLICY)["passed"] is False
    assert report.document(versions, kept, RUN, POLICY, "the operator ended")["passed"] is False


def test_the_document_is_json_with_the_named_fields(tmp_path: Path):
    """Tools read build/demo.json: each version has the fields that are promised."""
    path = tmp_path / "demo.json"
    report.write(path, report.document([went(ACTS[1])], [], RUN, POLICY))

    version = json.loads(path.read_text())["versions"][0]

    promised = {
        *("version", "outcome", "cause", "seconds_from_breach_visible_to_stable", "weights_seen", "requests"),
        *("failed_requests_by_version", "pods_restarted", "api_requests"),
    }
    assert promised <= set(version)
    assert version["p99_ratio"] == {"least": 0.99, "greatest": 1.01}


def test_the_summary_says_what_happened_in_words():
    """A person reads outcome, share, failures and times, and which limits were broken."""
    acts = [(act, STABLE[act.version], went(act)) for act in ACTS]
    found = [*report.limits(acts, RUN, POLICY), Limit("the whole demo", "at most 300 s", "320 s", kept=False)]

    text = report.summary(acts, found, RUN, POLICY)

    assert "v3  answers 5% of its requests with errors: RolledBack" in text
    assert "0% -> 10% -> 0%; 4 of 5,000 requests failed, 4 of them answered by it" in text
    assert "all traffic was on v2 1.2 s after Prometheus could show the breach (allowed: 23.5 s)" in text
    assert "all traffic was on v5 1.2 s after Prometheus could show the breach (allowed: 3.5 s)" in text
    assert "with a Warning Event; all traffic was on v2 0.2 s after the request" in text
    assert "20,000 requests went through Envoy, 200 a second; failed: 4 by v3, 4 by v6." in text
    assert "the whole demo: 320 s; allowed: at most 300 s" in text


def record_of_v3() -> Record:
    """Breach visible at 10.4, last request to v3 sent at 11.9, 502 by the gateway at 12."""

    def answer(at: float, version: str, status: int = 200) -> Answer:
        return Answer(at, at, 0.1, version, "pod", status)

    return Record(
        act=ACTS[1],
        stable="v2",
        begun=0.0,
        ended=20.0,
        last_rollout={"outcome": "RolledBack", "cause": "GateBreached", "message": "gate error-rate: 5%"},
        answers=[answer(11.0, "v3", 500), answer(12.0, "v3"), answer(12.0, "none", 502), answer(19.5, "v2")],
        routes=[RouteSeen(1, None), RouteSeen(2, 0.0), RouteSeen(8, 10.0), RouteSeen(11.8, 0.0), RouteSeen(18, None)],
        phases=[PhaseSeen(1, "Progressing"), PhaseSeen(11.7, "RollingBack"), PhaseSeen(18, "RolledBack")],
        events=[EventSeen(11.7, "Warning", "GateBreached", "Rolling back v3: gate error-rate: 5%")],
        exposed_at=8.0,
        looks=[LookSeen(10.1, "error-rate", "UF", "5%"), LookSeen(10.1, "availability", "PP", "100%")],
        probes={"error-rate": [Probe(10.2, 0.0, 0.0, 40), Probe(10.4, 0.05, 0.0, 44), Probe(10.6, 0.05, 0.0, 48)]},
        route_kept=True,
    )


def test_an_act_is_measured_from_what_was_recorded(tmp_path: Path):
    """Times come from the demo's own probes and the load's own answers, not from the Release."""
    audit_log = tmp_path / "audit.log"
    audit_log.write_text("")

    version = report.measured(record_of_v3(), POLICY, audit_log)

    assert version.seconds_from_breach_visible_to_stable == 1.5
    assert version.weights_seen == [0, 10, 0]
    assert version.trace.looks == [(2.1, "UF", "5%")]
    assert [probe[0] for probe in version.trace.probes] == pytest.approx([2.2, 2.4, 2.6])
    assert version.failed_requests_by_version == {"none": 1, "v2": 0, "v3": 1}
    assert (version.gate, version.serves, version.pods_restarted) == ("error-rate", ["v2"], 0)


def test_what_no_probe_saw_is_counted_from_the_first_traffic(tmp_path: Path):
    """Shut before a rate showed the breach, a version took as long as it had traffic at the most; and that is held to the limit."""
    audit_log = tmp_path / "audit.log"
    audit_log.write_text("")
    unseen = replace(record_of_v3(), probes={"error-rate": [Probe(10.2, 0.0, 0.0, 0)]})

    version = report.measured(unseen, POLICY, audit_log)

    assert version.seconds_from_breach_visible_to_stable == pytest.approx(11.9 - 8.0)


def test_without_a_terminal_only_changes_are_told():
    """Lines carry the time; the same twice in a row is told once, and no table is drawn."""
    console = Console(force_terminal=False, file=io.StringIO(), record=True, width=80)
    with Show(begun=0.0, console=console) as show:
        show.line("v2: Progressing")
        show.line("v2: Progressing")
        show.table([Row("v2", "good")], "caption")
        show.line("")

    text = console.export_text()

    assert text.count("v2: Progressing") == 1
    assert "caption" not in text


def test_on_a_terminal_the_last_table_stays_above_what_follows():
    """The table is drawn anew in its place; once it has ended, text comes below it."""
    output = io.StringIO()
    with Show(begun=0.0, console=Console(force_terminal=True, file=output, width=120)) as show:
        show.table([Row("v2", "good", "Progressing")], "caption")
        show.table([Row("v2", "good", "Promoted")], "caption")
        show.end_table()
        show.text("What happened")

    text = output.getvalue()

    assert text.index("Progressing") < text.rindex("Promoted") < text.index("What happened")


def test_a_narrow_terminal_sees_every_number():
    """At 80 columns the table leaves out what a version is like, and nothing else is cut."""
    row = Row("v3", "answers 5% of its requests with errors", "RollingBack", "10%", "5.7 / 0.0%", "302 / 303 ms", "12,664", "5")
    console = Console(force_terminal=False, file=io.StringIO(), record=True, width=80)

    console.print(draw([row], "caption", wide=False))

    text = console.export_text()
    assert all(value in text for value in ("v3", "RollingBack", "10%", "5.7 / 0.0%", "302 / 303 ms", "12,664", "Failed"))
