"""Every command that a sentence shows can be pasted as it stands: the CLI's own parser takes it, and it names the namespace."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Any

import pytest
import typer

from messages.catalogue import FOLDER, written
from tidegate.cli.main import app
from unit.docs.pages import DOCS, ROOT

TOLD = sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem not in {"allowed", "untold", "help", "admission"})
"""What is told. What admission policies say is put together by the API server, in tests/api/test_guard.py."""
OURS = re.compile(r"kubectl tidegate [^;:`)&]*+")
"""Up to where a sentence goes on."""
ANNOTATES = re.compile(r"kubectl annotate (?:\$\(date \+%s\)|[^;:`)$])*+")
REQUEST = re.compile(r" -n shop tidegate\.dev/request=(shop|promote|pause|resume|retry)/\$\(date \+%s\)$")
EVERYWHERE = frozenset({"freeze", "thaw", "audit"})
"""What is about no namespace, or may be about all."""
FILLED = {"{on_release}": "kubectl tidegate retry checkout -n shop", "{thaw}": "kubectl tidegate thaw incident"}
"""What the source fills into a sentence as a whole; the rest stands in one word for a word."""


def commands(expression: re.Pattern[str], lines: Iterable[str]) -> list[str]:
    """Return the commands that lines show."""
    found = (match.group().strip().rstrip(".,|") for line in lines for match in expression.finditer(filled(line)))
    return [one for one in dict.fromkeys(found) if "..." not in one]


def filled(line: str) -> str:
    """Return a template of the source with a word for each of its places."""
    for place, text in FILLED.items():
        line = line.replace(place, text)
    return re.sub(r"\{[^} ]*\}", "shop", line)


def told() -> list[str]:
    """Return the lines of the catalogue."""
    return [line for name in TOLD for line in written(name)]


def pages() -> list[str]:
    """Return the lines of the pages, which tell their readers of one Release in one namespace."""
    return [line for page in (*DOCS.glob("*.md"), ROOT / "README.md") for line in page.read_text(encoding="utf-8").splitlines()]


def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """Return name and parameters of a command as the CLI takes it; what it refuses raises."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("tidegate", [], resilient_parsing=True)
    name, found, rest = group.resolve_command(context, shlex.split(command)[2:])
    return name, found.make_context(name, list(rest)).params


def test_people_are_shown_commands() -> None:
    """Those that they are shown most are among them, each as it is where annotations count and where they do not."""
    ours, annotations = commands(OURS, told()), commands(ANNOTATES, told())

    assert {"kubectl tidegate approve checkout -n shop --role qa", "kubectl tidegate thaw incident"} <= set(ours)
    assert "kubectl tidegate resume checkout -n shop" in ours
    assert "kubectl annotate --overwrite release checkout -n shop tidegate.dev/request=resume/$(date +%s)" in annotations


@pytest.mark.parametrize("command", commands(OURS, told()))
def test_it_can_be_pasted(command: str) -> None:
    """The parser takes it; what is about a Release says of which namespace, as its reader may work in another."""
    name, parameters = parsed(command)

    assert parameters.get("namespace") or name in EVERYWHERE


@pytest.mark.parametrize("command", commands(OURS, pages()))
def test_pages_show_what_there_is(command: str) -> None:
    """The parser takes it."""
    assert parsed(command)


@pytest.mark.parametrize("command", commands(ANNOTATES, told()))
def test_annotation_can_be_pasted(command: str) -> None:
    """It names the namespace and takes the place of a request before it; its id is new each time, and no shell trips over it."""
    assert REQUEST.search(command)
    assert "--overwrite release " in command
    assert not re.search(r"[<>]", command)
