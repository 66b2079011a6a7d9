"""`tidegate lint`: Releases that wait for each other."""

from __future__ import annotations

from pathlib import Path

import yaml

from unit.cli.conftest import Tidegate
from unit.cli.test_lint import findings


def chain(tmp_path: Path, after: dict[str, str]) -> Path:
    """Write Releases `checkout` of several namespaces, each after that of another."""
    documents = [
        {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "Release",
            "metadata": {"name": "checkout", "namespace": namespace},
            "spec": {
                "targetRef": {"name": "checkout"},
                "policyRef": {"name": "p"},
                "after": [{"release": "checkout", "namespace": other}] if other else [],
            },
        }
        for namespace, other in after.items()
    ]
    file = tmp_path / "releases.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return file


def test_releases_that_wait_for_each_other_are_errors(tidegate: Tidegate, tmp_path: Path) -> None:
    """Each Release of the circle has its error, with the way round; one that only leads to the circle has none."""
    file = chain(tmp_path, {"dev": "production", "staging": "dev", "production": "staging", "demo": "production"})

    found = findings(tidegate, file)

    assert [("error", "spec.after[0]")] * 3 == [one[:2] for one in found]
    words = "a circle, so no rollout of checkout would ever start: it comes after"
    way = "checkout in production, then checkout in staging, then checkout in dev"
    assert f"{words} {way}" in [message for *_, message in found]


def test_a_release_after_itself_is_an_error(tidegate: Tidegate, tmp_path: Path) -> None:
    """With its own namespace written out, which no rule of the API server can see."""
    ((severity, field, message),) = findings(tidegate, chain(tmp_path, {"staging": "staging"}))

    assert ("error", "spec.after[0]") == (severity, field)
    assert message == "a circle, so no rollout of checkout would ever start: it comes after checkout in staging"


def test_a_chain_is_no_circle(tidegate: Tidegate, tmp_path: Path) -> None:
    """From dev to production there is nothing to say, whether all of them are among the files or not."""
    assert [] == findings(tidegate, chain(tmp_path, {"staging": "dev", "production": "staging"}))


def test_following_counts_as_well(tidegate: Tidegate, tmp_path: Path) -> None:
    """A Release that follows one which comes after it: neither would ever begin."""
    file = chain(tmp_path, {"staging": "production", "production": ""})
    documents = [one | {"spec": {**one["spec"]}} for one in yaml.safe_load_all(file.read_text())]
    documents[1]["spec"]["follow"] = {"release": "checkout", "namespace": "staging"}
    file.write_text(yaml.safe_dump_all(documents))

    assert [("error", "spec.after[0]"), ("error", "spec.follow")] == [one[:2] for one in findings(tidegate, file)]
