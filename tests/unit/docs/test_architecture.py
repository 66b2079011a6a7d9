"""The page on architecture says what is there: the layers that are enforced, and functions that exist."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from itertools import takewhile
from typing import Any

import pytest

from unit.docs.pages import ROOT, text_of

PAGE = text_of("docs/architecture.md")
NAMED = re.compile(r"`(tidegate(?:\.\w+)+)`")
ROWS = re.compile(r"^\| (\d+) \| `([\w.]+)` \|", re.MULTILINE)


def found(name: str) -> Any:
    """Return what a dotted name names: the rest of it in the innermost module that there is."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part, None)
        return thing
    return None


@pytest.mark.parametrize("name", sorted(set(NAMED.findall(PAGE))))
def test_what_is_named_exists(name: str) -> None:
    """Each name of the code on the page is that of something that can be called."""
    assert callable(found(name)), name


def test_the_way_has_twelve_functions() -> None:
    """They are numbered in their order."""
    assert [number for number, _ in ROWS.findall(PAGE)] == [str(number) for number in range(1, 13)]


def test_the_picture_has_the_layers_that_are_enforced() -> None:
    """Each layer of import-linter's contract stands in the picture, on a line below those that it may not import from."""
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["name"] == "Layers")
    picture = takewhile(lambda line: line != "```", PAGE.split("```\n", 1)[1].splitlines())
    words = [set(re.findall(r"\b[a-z]+\b", line[36:62])) for line in picture]
    lines = []
    for layer in layers:
        names = {name.strip().removeprefix("tidegate.") for name in layer.split("|")}
        lines.append([number for number, line in enumerate(words) if names <= line])

    assert [len(found) for found in lines] == [1] * len(layers), lines
    assert sorted(lines) == lines
    assert (ROOT / "operator" / "tidegate" / "edge.py").is_file()
