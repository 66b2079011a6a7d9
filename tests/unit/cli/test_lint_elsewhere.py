"""`tidegate lint`: Releases that name some of other clusters."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tidegate.cli.elsewhere import unreadable
from tidegate.cli.manifests import load
from tidegate.controller.process import config
from unit.cli.conftest import Tidegate
from unit.cli.test_lint import findings


def release(folder: Path, **spec: object) -> Path:
    """Write a Release of production."""
    document = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": "checkout", "namespace": "production"},
        "spec": {"targetRef": {"name": "checkout"}, "policyRef": {"name": "p"}, **spec},
    }
    file = folder / "release.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def configured(folder: Path) -> Path:
    """Write an operator's configuration: production may read staging in west."""
    file = folder / "config.yaml"
    west = {"kubeconfig": "/etc/west/kubeconfig", "allow": [{"from": ["production"], "to": ["staging"]}]}
    file.write_text(yaml.safe_dump({"clusters": {"west": west}}))
    return file


CLOSED = (
    "the operator's configuration lets no Release of production read those of production there; allow it in clusters.west.allow"
)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"cluster": "west", "namespace": "staging"}, None),
        ({"namespace": "staging"}, None),
        ({"cluster": "west"}, CLOSED),
        ({"cluster": "wset", "namespace": "staging"}, "the operator's configuration has no cluster wset; there are: west"),
    ],
)
def test_what_would_not_be_read_is_an_error(tmp_path: Path, named: dict[str, str], words: str | None) -> None:
    """By the configuration that the operator has, for `after` and for `follow`."""
    clusters = config.load(configured(tmp_path)).clusters
    for spec, field in (({"after": [{"release": "a"}, {"release": "checkout", **named}]}, "spec.after[1].cluster"),):
        found = list(unreadable(list(load(release(tmp_path, **spec))), clusters, "default"))
        assert [(one.field, one.message) for _, one in found] == ([(field, words)] if words else [])
    follow = {"follow": {"release": "checkout", **named}}

    found = list(unreadable(list(load(release(tmp_path, **follow))), clusters, "default"))

    assert [(one.field, one.message) for _, one in found] == ([("spec.follow.cluster", words)] if words else [])


def test_a_configuration_that_cannot_be_read_ends_the_command(tidegate: Tidegate, tmp_path: Path) -> None:
    """Nothing could be checked."""
    ended = tidegate("lint", str(release(tmp_path)), "--config", str(tmp_path / "none.yaml"))

    assert (ended.exit_code, "none.yaml: cannot be read" in ended.output) == (2, True)


def test_a_namesake_in_another_cluster_makes_no_circle(tidegate: Tidegate, tmp_path: Path) -> None:
    """It is another Release, and what that comes after stands in no file here."""
    assert [] == findings(tidegate, release(tmp_path, after=[{"release": "checkout", "cluster": "west"}]))
