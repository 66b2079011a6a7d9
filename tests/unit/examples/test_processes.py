"""The policies of five release processes: what a version waits for under each, in what order, and what a hotfix leaves out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseType
from tidegate.engine.migrations import declared
from tidegate.governance import checks, rules, windows
from tidegate.governance.expressions import Subject, applies
from unit.docs.pages import ROOT

POLICIES = {path.stem.removeprefix("process-"): path for path in sorted((ROOT / "examples").glob("process-*.yaml"))}
"""All of them."""


def policy(name: str) -> RolloutPolicySpec:
    return RolloutPolicySpec.model_validate(yaml.safe_load(POLICIES[name].read_text(encoding="utf-8"))["spec"])


def version(kind: ReleaseType, **labels: str) -> Subject:
    return Subject(type=kind, environment="production", labels=labels, stable="v1.2.2", candidate="v1.2.3")


def checked(name: str, kind: ReleaseType, *, upto: int = 100) -> list[str]:
    """Return the checks that a version has to have passed by a weight, in their order."""
    subject = version(kind)
    asked = checks.ahead(policy(name).checks, lambda when: applies(when, subject), above=-1, upto=upto)
    assert not [trouble for _, trouble in asked if trouble]
    return [one.name for one, _ in asked]


def asked(name: str, subject: Subject) -> dict[str, int]:
    """Return the votes that a version needs before it starts."""
    entries = [one for one in policy(name).approvals if one.at == "Start" and (one.when is None or applies(one.when, subject))]
    return {role: number for one in entries for role, number in one.roles.items()}


def test_there_is_one_for_each() -> None:
    assert ["hub", "manager", "phases", "pipeline", "trunk"] == list(POLICIES)


@pytest.mark.parametrize(
    ("name", "before", "later"),
    [
        ("hub", ["tests", "schema-validation", "documentation"], ["smoke"]),
        ("pipeline", ["ci", "coverage", "code-review", "security-scan", "end-to-end", "load"], []),
        ("trunk", ["tests", "security-scan", "migrations", "feature-flags"], []),
        ("phases", ["tests", "coverage", "vulnerabilities", "benchmarks", "changelog", "smoke", "integration"], []),
        ("manager", ["database"], []),
    ],
)
def test_lists_before_a_deployment_are_checks(name: str, before: list[str], later: list[str]) -> None:
    assert before == checked(name, ReleaseType.MINOR, upto=0)
    assert before + later == checked(name, ReleaseType.MINOR)


@pytest.mark.parametrize("name", ["hub", "trunk", "manager"])
def test_lists_after_a_deployment_are_checks(name: str) -> None:
    assert [one.name for one in policy(name).checks if one.at == "Promoted"]


@pytest.mark.parametrize(
    ("name", "kind", "wanted"),
    [
        ("hub", ReleaseType.MINOR, {"qa": 1, "architect": 1}),
        ("hub", ReleaseType.HOTFIX, {}),
        ("pipeline", ReleaseType.MINOR, {"release-approver": 1}),
        ("pipeline", ReleaseType.HOTFIX, {"senior-engineer": 1, "team-lead": 1}),
        ("trunk", ReleaseType.MINOR, {"release-manager": 1}),
        ("manager", ReleaseType.MINOR, {"admin": 1}),
    ],
)
def test_who_has_to_approve(name: str, kind: ReleaseType, wanted: dict[str, int]) -> None:
    assert wanted == asked(name, version(kind, risk="low"))


def test_what_is_high_risk_takes_security() -> None:
    assert {"qa": 1, "architect": 1, "security": 1} == asked("hub", version(ReleaseType.MINOR, risk="high"))


def test_a_hotfix_takes_a_minimum_of_tests_and_the_full_ones_afterwards() -> None:
    """And a fifth of the holds."""
    phases = policy("phases")

    assert ["tests", "vulnerabilities", "smoke"] == checked("phases", ReleaseType.HOTFIX)
    after = [one for one in phases.checks if one.at == "Promoted" and one.when and applies(one.when, version(ReleaseType.HOTFIX))]
    assert ["full-tests"] == [one.name for one in after]
    assert phases.hotfix is not None
    assert "Upstream" in {one.value for one in phases.hotfix.skip}


def test_majors_take_longer() -> None:
    usual, major = (rules.ruled(policy("phases"), version(kind)).spec for kind in (ReleaseType.MINOR, ReleaseType.MAJOR))

    assert timedelta(minutes=30) == usual.bake
    assert timedelta(hours=4) == major.bake
    assert [5, 25, 100] == [step.weight for step in major.steps]


@pytest.mark.parametrize(
    ("name", "at", "wanted"),
    [
        ("phases", datetime(2026, 12, 4, 12, tzinfo=UTC), False),
        ("phases", datetime(2026, 12, 7, 12, tzinfo=UTC), True),
        ("trunk", datetime(2026, 12, 1, 9, tzinfo=UTC), True),
        ("trunk", datetime(2026, 12, 1, 20, tzinfo=UTC), False),
        ("manager", datetime(2026, 12, 2, 3, tzinfo=UTC), True),
        ("manager", datetime(2026, 12, 2, 12, tzinfo=UTC), False),
    ],
)
def test_when_releases_start(name: str, at: datetime, wanted: bool) -> None:
    """Not on Fridays, in office hours, while little is going on."""
    found = policy(name).windows
    assert found is not None
    assert wanted == windows.state(found, at).open


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("hub", ["Backup"]),
        ("trunk", ["Backup", "DryRun", "Expand", "Migrate", "Contract", "Rollback"]),
        ("manager", ["Backup", "DryRun", "Expand", "Rollback"]),
    ],
)
def test_backups_and_migrations(name: str, wanted: list[str]) -> None:
    """Backup first, a dry run before anything is changed, and a way back."""
    assert wanted == list(declared(policy(name)))


def test_a_feature_is_enabled_by_the_steps_of_releases_that_have_one() -> None:
    """With the flag off first; without the label nothing is set."""
    flagged = rules.ruled(policy("phases"), version(ReleaseType.MINOR, feature="yes")).spec.steps
    plain = rules.ruled(policy("phases"), version(ReleaseType.MINOR)).spec.steps
    assert [5, 25, None] == [flag.percent for step in flagged for flag in step.flags]
    assert ["on"] == [flag.variant for flag in flagged[-1].flags]
    assert [] == [flag for step in plain for flag in step.flags]
