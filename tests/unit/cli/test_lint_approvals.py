"""What lint says of approvals: conditions that are none, and points that no step has."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.cli.test_lint import Json, Tidegate, findings, gate, policy


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"at": "100%"}, []),
        ({"at": "Start", "when": "release.type == 'major'"}, []),
        (
            {"at": "Start", "when": "colour == 'red'"},
            [
                (
                    "error",
                    "spec.approvals[0].when",
                    (
                        "\"colour == 'red'\" names colour; there are release.type, environment, labels, versions.stable, "
                        "versions.candidate"
                    ),
                )
            ],
        ),
        (
            {"at": "50%"},
            [
                (
                    "note",
                    "spec.approvals[0].at",
                    "no step has weight 50%: the votes are needed before the step with weight 100%",
                )
            ],
        ),
    ],
)
def test_approvals_that_surprise_are_told(tidegate: Tidegate, tmp_path: Path, entry: Json, found: list[tuple[str, str, str]]):
    """A condition that is none would let nothing through; a point between two steps is that of the later one."""
    file = policy(tmp_path, gate(), approvals=[{"roles": {"qa": 1}} | entry])

    assert found == [one for one in findings(tidegate, file) if one[1].startswith("spec.approvals")]
