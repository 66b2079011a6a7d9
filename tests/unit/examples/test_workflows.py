"""The workflows of GitHub Actions ask for what there is: paths and bodies of the HTTP API, and commands that the CLI takes."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
import typer
import yaml

from tidegate.cli.main import app
from tidegate.serve.bodies import Prepare, State
from tidegate.serve.openapi import document
from unit.docs.pages import ROOT

WORKFLOWS = sorted((ROOT / "examples" / "github").glob("*.yml"))


def scripts(path: Any) -> list[str]:
    """Return what the steps of a workflow run, each with its lines put together."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step["run"].replace("\\\n", " ") for job in jobs for step in job["steps"]]


def test_there_is_one_for_each_way() -> None:
    assert ["release-by-cli.yml", "release-by-http.yml"] == [path.name for path in WORKFLOWS]


def test_bodies_and_paths_are_those_of_the_document() -> None:
    text = "\n".join(scripts(ROOT / "examples" / "github" / "release-by-http.yml"))
    paths = {found.replace("$RELEASE", "{release_id}") for found in re.findall(r"\$API(/[^\"]+)", text)}
    states = set(re.findall(r"\b(promoted|failed|rolled_back)\b", text))

    assert {"/api/releases/prepare", "/api/releases/{release_id}"} == paths
    assert paths <= set(document("0")["paths"])
    (body,) = re.findall(r"--data '([^']+)'", text)
    assert "production" == Prepare.model_validate(json.loads(body)).to_env
    assert {"promoted", "failed", "rolled_back"} == states <= {*State}


@pytest.mark.parametrize(
    "command", re.findall(r"^tidegate [^|\n]+|(?<=until )tidegate [^|\n]+", "\n".join(scripts(WORKFLOWS[0])), re.MULTILINE)
)
def test_commands_are_those_of_the_cli(command: str) -> None:
    group: Any = typer.main.get_command(app)
    name, *rest = shlex.split(command)[1:]
    context = group.make_context("tidegate", [], resilient_parsing=True)
    _, found, rest = group.resolve_command(context, [name, *rest])

    parameters = found.make_context(name, list(rest)).params
    assert "shop" == parameters["namespace"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_tokens_come_from_secrets_and_are_not_shown(path: Any) -> None:
    """No step has one in its text, and the job's own token has no right."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))

    assert {} == document["permissions"]
    assert not [script for script in scripts(path) if "secrets." in script]
