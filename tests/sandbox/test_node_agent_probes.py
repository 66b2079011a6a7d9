"""How checks add up to a verdict, and when they are made."""

from typing import Any

import pytest

from tidegate_sandbox.node_agent import probes
from tidegate_sandbox.node_agent.probes import Kind, Verdict


def machine(kind: Kind, **settings: Any) -> probes.ProbeMachine:
    spec = probes.parse(kind, {"tcpSocket": {"port": 80}, **settings})
    assert spec is not None
    return probes.ProbeMachine(spec)


def play(subject: probes.ProbeMachine, results: str) -> list[float]:
    """Feed results ('+' passed, '-' failed) each at the time the machine asked for; return those times."""
    times = []
    for result in results:
        times.append(round(subject.next_check, 3))
        subject.observe(ok=result == "+", at=subject.next_check)
    return times


def test_the_api_servers_defaults():
    """A probe that says nothing else runs every 10 s, waits 1 s, and turns on 1 success and 3 failures."""
    spec = probes.parse(Kind.READINESS, {"httpGet": {"port": 80}})

    assert probes.ProbeSpec(Kind.READINESS, "httpGet", {"port": 80}, 0, 10, 1, 1, 3) == spec


def test_no_probe():
    """A container without a probe has nothing to parse."""
    assert probes.parse(Kind.LIVENESS, None) is None


def test_an_unsupported_handler_is_named():
    """A gRPC probe is refused with the handlers that there are."""
    with pytest.raises(probes.UnsupportedProbeError, match=r"Readiness probe: .*httpGet, tcpSocket and exec"):
        probes.parse(Kind.READINESS, {"grpc": {"port": 80}})


def test_readiness_starts_at_once_and_hurries_until_it_passed():
    """Checks come every 200 ms while the container was never ready, and every period afterwards."""
    subject = machine(Kind.READINESS, periodSeconds=5)

    times = play(subject, "---++")

    assert times == [0, 0.2, 0.4, 0.6, 5.6]
    assert subject.verdict is Verdict.SUCCESS


def test_the_initial_delay_is_kept():
    """No check is made before initialDelaySeconds."""
    assert play(machine(Kind.READINESS, initialDelaySeconds=3), "--") == [3, 3.2]


def test_early_failures_count_once_per_period():
    """Hurried checks do not use up the failures that a startup probe allows."""
    subject = machine(Kind.STARTUP, periodSeconds=1, failureThreshold=2)

    play(subject, "-----")
    within = subject.verdict
    play(subject, "-")

    assert within is Verdict.UNKNOWN
    assert subject.verdict is Verdict.FAILURE


def test_success_threshold_takes_whole_periods():
    """Readiness after 3 successes comes two periods after the first, as with a kubelet."""
    subject = machine(Kind.READINESS, periodSeconds=1, successThreshold=3)

    times = play(subject, "-+++")

    assert times == [0, 0.2, 1.2, 2.2]
    assert subject.verdict is Verdict.SUCCESS


def test_a_lost_check_does_not_make_unready():
    """Readiness is lost only after failureThreshold failures in a row."""
    subject = machine(Kind.READINESS, periodSeconds=1, failureThreshold=3)

    play(subject, "+--+--")
    still = subject.verdict
    play(subject, "-")

    assert still is Verdict.SUCCESS
    assert subject.verdict is Verdict.FAILURE


def test_liveness_begins_a_period_late_and_never_hurries():
    """A container is taken for alive; its first check comes one period after the start, each failure counts."""
    subject = machine(Kind.LIVENESS, periodSeconds=2, failureThreshold=2)
    at_first = subject.verdict

    times = play(subject, "--")

    assert at_first is Verdict.SUCCESS
    assert times == [2, 4]
    assert subject.verdict is Verdict.FAILURE


def test_a_late_check_moves_the_following_ones():
    """After a check that came long after its time no checks are made up for."""
    subject = machine(Kind.READINESS, periodSeconds=1)

    subject.observe(ok=True, at=0.0)
    subject.observe(ok=True, at=7.5)

    assert subject.next_check == 8.5
