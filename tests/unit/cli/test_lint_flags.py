"""What lint says of flags: those that no rollout could set, and steps that say something else than is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.cli.flags import closed
from tidegate.cli.manifests import load
from tidegate.controller.process import config
from unit.cli.test_lint import Json, Tidegate, findings, gate, policy

MAP = {"configMap": {"name": "shop-flags"}}
FEATURE = {"name": "feature", "flag": "new-checkout"}


def step(weight: int, **flag: Any) -> Json:
    return {"weight": weight, "flags": [{"name": "feature", **flag}]}


SETS = [step(50, percent=30), step(100, variant="on")]


def release(folder: Path, flags: Json | None = None, **ref: str) -> None:
    spec = {"targetRef": {"name": "checkout"}, "policyRef": {"name": "p", **ref}, **({"flags": flags} if flags else {})}
    document = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": {"name": "checkout"}, "spec": spec}
    (folder / "release.yaml").write_text(yaml.safe_dump(document))


def told(tidegate: Tidegate, *arguments: Any) -> list[tuple[str, str, str]]:
    """Return what is said of flags."""
    return [one for one in findings(tidegate, *arguments) if "flag" in one[2] or "hook" in one[2]]


@pytest.mark.parametrize(
    ("flags", "field", "there"),
    [
        ({**MAP, "items": [FEATURE]}, "", ""),
        ({**MAP, "items": [{"name": "payments"}]}, "spec.flags.items", "there are: payments"),
        (None, "spec.policyRef.name", "there is none"),
    ],
)
def test_steps_set_flags_that_the_release_has(
    tidegate: Tidegate, tmp_path: Path, flags: Json | None, field: str, there: str
) -> None:
    """What a step sets and the Release lacks keeps every rollout from starting: it is said once, with what there is."""
    policy(tmp_path, gate(), steps=SETS)
    release(tmp_path, flags)

    words = f"steps of RolloutPolicy/p set flag feature, which spec.flags does not have ({there}): no rollout starts"
    assert ([("error", field, words)] if field else []) == told(tidegate, tmp_path)


def test_steps_of_rules_are_steps(tidegate: Tidegate, tmp_path: Path) -> None:
    """They may never apply to this Release, so that it is a warning; and a Release of another policy is asked nothing."""
    policy(tmp_path, gate(), rules=[{"when": "release.type == 'major'", "set": {"steps": SETS}}])
    release(tmp_path)
    words = "steps of rules[0] of RolloutPolicy/p set flag feature, which spec.flags does not have (there is none)"
    assert [("warning", "spec.policyRef.name", f"{words}: no rollout that it applies to starts")] == told(tidegate, tmp_path)

    release(tmp_path, kind="ClusterRolloutPolicy")

    assert [] == told(tidegate, tmp_path)


def test_percentages_rise_and_end_with_a_variant(tidegate: Tidegate, tmp_path: Path) -> None:
    file = policy(tmp_path, gate(), steps=[step(10, percent=50), step(50, percent=30), step(100, percent=100)])

    assert [
        ("warning", "spec.steps[1].flags[0].percent", "flag feature falls from 50% to 30% while the weight rises"),
        (
            "note",
            "spec.steps[2].flags[0].percent",
            "flag feature ends with 100%: users without a targeting key do not get it; end with variant",
        ),
    ] == told(tidegate, file)


@pytest.mark.parametrize(
    ("hook", "opens", "field", "words"),
    [
        ("flags", {"shop": ["new-*"]}, "", ""),
        (
            "flags",
            {"shop": ["payments"], "blog": ["*"]},
            "spec.flags.items[0]",
            "namespace shop may not set flag new-checkout by hook flags: add it to hooks.flags.flags.shop",
        ),
        ("flag", {"shop": ["*"]}, "spec.flags.http.hook", "the operator's configuration has no hook flag; there are: flags"),
    ],
)
def test_hooks_that_would_not_set_a_flag(tmp_path: Path, hook: str, opens: Json, field: str, words: str) -> None:
    """By the configuration that the operator has; one that opens a hook to checks opens no flag."""
    release(tmp_path, {"http": {"hook": hook}, "items": [FEATURE]})
    configured = tmp_path / "config.txt"
    hooks = {"flags": {"address": "https://flags.example", "namespaces": ["shop"], "flags": opens}}
    configured.write_text(yaml.safe_dump({"hooks": hooks}))

    found = [*closed([*load(tmp_path / "release.yaml")], config.load(configured).hooks, "shop")]

    assert ([(field, words)] if field else []) == [(one.field, one.message) for _, one in found]
