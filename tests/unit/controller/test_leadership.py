"""Whether a process takes part in an election, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.cluster.election import Place
from tidegate.controller.process import config
from tidegate.controller.process.config import LeaderElection
from tidegate.controller.process.leadership import instance, place_of
from tidegate.runtime.errors import Terminal


@pytest.fixture(autouse=True)
def outside_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POD_NAME", "POD_NAMESPACE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


def test_on_ones_own_machine_nobody_is_elected() -> None:
    """Outside of a cluster there is no namespace of the operator, and no election."""
    assert place_of(LeaderElection()) is None


def test_configured_namespace_makes_an_election_anywhere() -> None:
    """Who names a namespace wants an election."""
    assert Place("system", "tidegate") == place_of(LeaderElection(namespace="system"))


def test_pod_knows_its_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a pod the Lease is in the pod's namespace; also where its manifest forgot to say it, for two must never both write."""
    account = tmp_path / "namespace"
    account.write_text("from-the-account\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")

    unsaid = place_of(LeaderElection(), service_account=account)
    monkeypatch.setenv("POD_NAMESPACE", "said")
    said = place_of(LeaderElection(lease_name="other"), service_account=account)

    assert (Place("from-the-account", "tidegate"), Place("said", "other")) == (unsaid, said)


def test_election_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is only ever one pod."""
    monkeypatch.setenv("POD_NAMESPACE", "said")

    assert place_of(LeaderElection(enabled=False)) is None


def test_replica_is_called_as_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """People find the leader by the name of its pod."""
    monkeypatch.setenv("POD_NAME", "tidegate-7f-x2")

    assert "tidegate-7f-x2" == instance()


def read(tmp_path: Path, text: str) -> LeaderElection:
    """Read a configuration file."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return config.load(path).leader_election


def test_times_are_those_of_kubernetes_own_controllers(tmp_path: Path) -> None:
    """Without a word in the file: 15, 10 and 2 seconds."""
    found = read(tmp_path, "")

    times = [one.total_seconds() for one in (found.lease_duration, found.renew_deadline, found.retry_period)]
    assert (True, [15.0, 10.0, 2.0]) == (found.enabled, times)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("{leaseDuration: 1s}", "leaseDuration must be whole seconds, from 2s to 1m"),
        ("{leaseDuration: 61s}", "leaseDuration must be whole seconds, from 2s to 1m"),
        ("{leaseDuration: 12s500ms}", "leaseDuration must be whole seconds, from 2s to 1m"),
        ("{renewDeadline: 15s}", "renewDeadline must be a second shorter than leaseDuration, or more"),
        ("{leaseDuration: 10s}", "renewDeadline must be a second shorter than leaseDuration, or more"),
        ("{retryPeriod: 6s}", "retryPeriod must be at least 100ms and at most half of renewDeadline"),
        ("{retryPeriod: 50ms}", "retryPeriod must be at least 100ms and at most half of renewDeadline"),
        ("{namespace: 'No such'}", "must match the pattern"),
        ("{leader: true}", "there is no such field"),
    ],
)
def test_times_that_would_let_two_write_are_refused(tmp_path: Path, said: str, cause: str) -> None:
    """A leader must stop before its lease runs out, and must have time for two attempts to renew it."""
    with pytest.raises(Terminal, match=cause) as caught:
        read(tmp_path, f"leaderElection: {said}\n")

    assert "config.yaml: leaderElection" in str(caught.value)
