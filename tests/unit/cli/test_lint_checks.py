"""What lint says of checks by Jobs: CronJobs that are not there, or that do not let the Release run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.cli.hooks import uncallable
from tidegate.cli.manifests import load
from tidegate.controller.process import config
from unit.cli.conftest import Server
from unit.cli.test_lint import Json, Tidegate, findings, gate, policy
from unit.cli.test_lint_approvals import API, HIDDEN, RELEASE

CRON_JOB = "/apis/batch/v1/namespaces/shop/cronjobs/checkout-smoke"
PREFIX = "RolloutPolicy/p requires check smoke: "


def allows(run_for: str) -> Json:
    """Return a CronJob that lets Releases run it."""
    return {"kind": "CronJob", "metadata": {"name": "checkout-smoke", "annotations": {"tidegate.dev/run-for": run_for}}}


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (allows("checkout"), []),
        (
            allows("payments"),
            [
                (
                    "warning",
                    (
                        f"{PREFIX}CronJob checkout-smoke does not let Release checkout run it; annotate the CronJob with "
                        "tidegate.dev/run-for=checkout"
                    ),
                )
            ],
        ),
        (
            (404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": "no"}),
            [("warning", f"{PREFIX}CronJob checkout-smoke was not found in shop")],
        ),
        (
            HIDDEN,
            [("note", f"{PREFIX}whether CronJob checkout-smoke is there is not known: you may not get cronjobs in shop")],
        ),
    ],
)
def test_cronjobs_that_could_not_be_run(
    tidegate: Tidegate,
    tmp_path: Path,
    cluster: Callable[[Json], tuple[Server, Path]],
    there: Any,
    found: list[tuple[str, str]],
) -> None:
    """With --server each CronJob that a policy's checks name is looked at, for each Release that would wait for it."""
    policy(tmp_path, gate(), checks=[{"name": "smoke", "at": "Start", "cronJob": "checkout-smoke"}])
    (tmp_path / "release.yaml").write_text(RELEASE)
    _, kubeconfig = cluster({f"{API}/releases/checkout": {}, f"{API}/rolloutpolicies/p": {}, CRON_JOB: there})

    told = findings(tidegate, tmp_path, "--server", "--kubeconfig", kubeconfig)

    assert found == [(severity, message) for severity, field, message in told if field == "spec.policyRef.name"]


def test_points_after_a_rollout_are_no_weights(tidegate: Tidegate, tmp_path: Path) -> None:
    """No step has to come to them."""
    file = policy(tmp_path, gate(), checks=[{"name": "contract", "at": "Promoted", "cronJob": "checkout-contract"}])

    assert [] == [one for one in findings(tidegate, file) if one[1].startswith("spec.checks")]


@pytest.mark.parametrize(
    ("hook", "namespace", "words"),
    [
        ("broker", "shop", None),
        ("broker", "other", "namespace other may not call hook broker: add it to hooks.broker.namespaces"),
        ("borker", "shop", "the operator's configuration has no hook borker; there are: broker"),
    ],
)
def test_hooks_that_could_not_be_called(tmp_path: Path, hook: str, namespace: str, words: str | None) -> None:
    """By the configuration that the operator has."""
    file = policy(tmp_path, checks=[{"name": "contract", "at": "Start", "http": {"hook": hook}}])
    configured = tmp_path / "config.yaml"
    configured.write_text(yaml.safe_dump({"hooks": {"broker": {"address": "https://broker", "namespaces": ["shop"]}}}))

    found = [*uncallable([*load(file)], config.load(configured).hooks, namespace)]

    assert [(one.field, one.message) for _, one in found] == ([("spec.checks[0].http.hook", words)] if words else [])


def test_cronjobs_of_migrations_are_looked_at(
    tidegate: Tidegate, tmp_path: Path, cluster: Callable[[Json], tuple[Server, Path]]
) -> None:
    """As those of checks are."""
    missing = (404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": "no"})
    policy(tmp_path, gate(), backup={"cronJob": "checkout-smoke"}, migrations={"expand": {"cronJob": "expand"}})
    (tmp_path / "release.yaml").write_text(RELEASE)
    answers = {CRON_JOB: allows("checkout"), CRON_JOB.replace("checkout-smoke", "expand"): missing}
    _, kubeconfig = cluster({f"{API}/releases/checkout": {}, f"{API}/rolloutpolicies/p": {}, **answers})

    told = findings(tidegate, tmp_path, "--server", "--kubeconfig", kubeconfig)

    words = "RolloutPolicy/p requires expand: CronJob expand was not found in shop"
    assert [("warning", words)] == [(severity, message) for severity, field, message in told if field == "spec.policyRef.name"]


@pytest.mark.parametrize(
    ("names", "backup", "found"),
    [
        (["expand", "rollback"], False, []),
        (["contract"], True, []),
        (
            ["contract"],
            False,
            [("warning", "spec.migrations.contract", "contract removes what no rollback brings back, and there is")],
        ),
        (
            ["migrate"],
            False,
            [("note", "spec.migrations", "without rollback a version that is rolled back leaves behind what its")],
        ),
    ],
)
def test_migrations_without_a_way_back(
    tidegate: Tidegate, tmp_path: Path, names: list[str], backup: bool, found: list[tuple[str, str, str]]
) -> None:
    """What stays behind, and what nothing brings back."""
    more = {"backup": {"cronJob": "b"}} if backup else {}
    file = policy(tmp_path, gate(), migrations={name: {"cronJob": "a"} for name in names}, **more)

    told = [one for one in findings(tidegate, file) if one[1].startswith("spec.migrations")]

    assert found == [
        (severity, field, message[: len(wanted)]) for (severity, field, message), (*_, wanted) in zip(told, found, strict=True)
    ]
