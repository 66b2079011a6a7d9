"""The commands of CONTRIBUTING.md run as they are written there."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tidegate.cli.main import app
from tidegate_sandbox import cli
from tidegate_sandbox.cluster import ClusterSpec

ROOT = Path(__file__).parents[3]
BIN = ".venv/bin/"
BLOCKS = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands() -> Iterator[list[str]]:
    """Give each command of the page's blocks as words, without comments and what it is told by the shell."""
    for block in BLOCKS.findall((ROOT / "CONTRIBUTING.md").read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            inner = re.search(r"\$\((.*)\)", line) if line.startswith("export ") else None
            text = inner[1] if inner else line
            if text.startswith((BIN, "make ", "kubectl ")):
                yield shlex.split(text, comments=True)


def parsed(program: Any, arguments: list[str]) -> dict[str, Any]:
    """Return what a program's command takes a command line for; fails where it would refuse it."""
    name, command, rest = program.resolve_command(program.make_context("it", arguments[:1]), arguments)
    return dict(command.make_context(name, rest).params)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_command_runs_as_written(words: list[str]) -> None:
    """Its program is there and takes these arguments, and the files that it names are in the repository."""
    program, arguments = words[0].removeprefix(BIN), words[1:]
    match program:
        case "make":
            done = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        case "tidegate":
            found = parsed(get_command(app), arguments)
            assert found.get("config") is None or (ROOT / str(found["config"])).is_file()
        case "tidegate-sandbox":
            found = parsed(get_command(cli.app), arguments)
            if "parts" in found:
                ClusterSpec(tuple(str(found["parts"]).split(",")))
            if found.get("command"):
                test_command_runs_as_written(list(found["command"]))
        case "env":
            test_command_runs_as_written([word for word in arguments if "=" not in word or word.startswith("-")])
        case "pytest":
            assert all((ROOT / one).exists() for one in arguments if one.startswith("tests/"))
        case "python":
            assert arguments[0] == "-m"
            assert (ROOT / "tests" / arguments[1] / "__main__.py").is_file()
        case "kubectl":
            assert (ROOT / arguments[arguments.index("-k") + 1] / "kustomization.yaml").is_file()
        case _:
            pytest.fail(f"nobody has checked {program}")


def test_there_are_commands() -> None:
    """The page has some, or the test above tests nothing."""
    assert len(list(commands())) > 8
