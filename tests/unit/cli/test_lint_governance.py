"""What `tidegate lint` finds in the rules of a policy: a condition is text, and the API server does not read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.cli.conftest import Json, Tidegate
from unit.cli.test_lint import findings, gate, policy

BAKE: Json = {"bake": "1m"}


@pytest.mark.parametrize(
    ("when", "found"),
    [
        pytest.param("release.type == 'major' && environment == 'production'", [], id="sound"),
        pytest.param("'team' in labels && labels['team'] == 'cart'", [], id="a label that may be missing"),
        pytest.param(
            "release.type = 'major'",
            [("error", "\"release.type = 'major'\" is not CEL: 1:14: Syntax error: token recognition error at: '= '")],
            id="no CEL",
        ),
        pytest.param(
            "env == 'production'",
            [
                (
                    "error",
                    (
                        "\"env == 'production'\" names env; there are release.type, environment, labels, versions.stable, "
                        "versions.candidate"
                    ),
                )
            ],
            id="no such name",
        ),
        pytest.param(
            "release.type == 'Major'",
            [("warning", "there is no release type 'Major'; there are major, minor, patch, hotfix")],
            id="no such type",
        ),
        pytest.param(
            "labels['team'] == 'cart'",
            [
                (
                    "warning",
                    (
                        "\"labels['team'] == 'cart'\" cannot be evaluated: there is no 'team': without it no "
                        "rollout starts; if a label may be missing, begin with: 'team' in labels && ..."
                    ),
                )
            ],
            id="a label that must be there",
        ),
    ],
)
def test_conditions_are_read_before_they_are_applied(
    tidegate: Tidegate, tmp_path: Path, when: str, found: list[tuple[str, str]]
) -> None:
    """What cannot be read is an error, what fails for some Releases a warning, each at its line."""
    file = policy(tmp_path, gate(), rules=[{"when": when, "set": BAKE}])

    told = [one for one in findings(tidegate, file) if one[1].startswith("spec.rules")]

    assert [(severity, "spec.rules[0].when", message) for severity, message in found] == told


def test_windows_of_a_rule_are_read_as_those_of_the_policy(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a rule whose windows are in a zone that does not exist, then the finding names the rule."""
    windows = {"timeZone": "Europe/Berln", "deny": [{"cron": "0 9 * * *", "for": "1h"}]}
    file = policy(tmp_path, gate(), rules=[{"when": "true", "set": {"windows": windows}}])

    (told,) = [one for one in findings(tidegate, file) if one[1].startswith("spec.rules")]

    assert ("error", "spec.rules[0].set.windows.timeZone") == told[:2]
