"""`tidegate waits` and `tidegate freeze` in words, without an API server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.waiting import WaitingFor
from tidegate.cli.freezes import _where
from tidegate.cli.main import app
from tidegate.cli.waits import Waiter, _age, _attesters, _lines

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def test_each_barrier_has_its_lines() -> None:
    """What waits and at which weight; below it each barrier with its age, its end where there is one, and the command."""
    freeze = WaitingFor(barrier="Freeze", what="ReleaseFreeze incident: why", since=NOON, how="kubectl tidegate thaw incident")
    window = WaitingFor(barrier="Window", what="closed", since=NOON - timedelta(days=3), until=NOON + timedelta(hours=2))

    lines = list(_lines([Waiter("shop", "checkout", "v2", "Progressing", 25, (freeze, window))], NOON + timedelta(minutes=5)))

    assert [
        "shop/checkout: v2 waits at 25%",
        "  Freeze (for 5m): ReleaseFreeze incident: why",
        "    kubectl tidegate thaw incident",
        "  Window (for 3d, until Mon 2026-11-30 14:00 UTC): closed",
    ] == lines


def test_of_a_missing_vote_it_is_said_who_can_give_it() -> None:
    """Below the command that gives it; tools read it by role."""
    how = "kubectl tidegate approve checkout -n shop --role qa"
    vote = WaitingFor(barrier="Approval", what="1 more approval by role qa (0 of 1 given)", since=NOON, how=how)
    waiter = Waiter("shop", "checkout", "v2", "Waiting", 0, (vote,), {"qa": "ann can approve as qa"})

    assert [f"    {how}", "    ann can approve as qa"] == list(_lines([waiter], NOON))[2:]
    assert {"qa": "ann can approve as qa"} == waiter.to_wire()["voters"]


def test_of_a_missing_check_it_is_said_who_can_attest_it() -> None:
    """The same for a check: of the policy's roles the one that is missing."""
    spec = RolloutPolicySpec.model_validate(
        {
            "steps": [{"weight": 100}],
            "checks": [
                {"name": "scan", "at": "Start", "attested": {"role": "ci"}},
                {"name": "load", "at": "Start", "attested": {"role": "performance"}},
                {"name": "smoke", "at": "Start", "cronJob": "smoke"},
            ],
        }
    )
    check = WaitingFor(barrier="Check", what="check scan by role ci", since=NOON, how="kubectl tidegate attest ...")
    waiter = Waiter("shop", "checkout", "v2", "Waiting", 0, (check,), attesters={"ci": "ServiceAccount shop/ci can attest as ci"})

    assert ["ci"] == _attesters(spec, check.what)
    assert "    ServiceAccount shop/ci can attest as ci" == list(_lines([waiter], NOON))[-1]
    assert {"ci": "ServiceAccount shop/ci can attest as ci"} == waiter.to_wire()["attesters"]
    assert "voters" not in waiter.to_wire()


@pytest.mark.parametrize(("seconds", "told"), [(-3, "0s"), (0.4, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (90000, "1d")])
def test_ages_are_told_in_their_largest_unit(seconds: float, told: str) -> None:
    """As kubectl does; a clock that is ahead makes nothing younger than new."""
    assert told == _age(timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "all Releases"),
        ({"environments": ["production"]}, "Releases of production"),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, "Releases in the namespaces that it selects"),
        ({"releaseSelector": {"matchLabels": {"tier": "one"}}}, "Releases with tier=one"),
    ],
)
def test_it_is_said_what_a_freeze_is_for(spec: dict[str, object], told: str) -> None:
    """All of them, or those that it names."""
    assert told == _where(spec)


def test_a_freeze_beyond_all_years_is_refused_in_words() -> None:
    """No traceback: it is what somebody has typed."""
    found = CliRunner().invoke(app, ["freeze", "x", "--reason", "y", "--from", "9999-12-31T00:00:00Z", "--for", "720h"])

    assert (2, "tidegate: --for: there are no years beyond 9999\n") == (found.exit_code, found.output)
