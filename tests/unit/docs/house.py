"""What there is to be said of each module of the house without running it: its length, its reason, its functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from unit.docs.pages import ROOT

FOLDERS = ("operator", "bench", "requirements", ".ci", "tests")


@dataclass(frozen=True)
class Function:
    """A function of a module, or a method.

    Attributes:
        name: behind that of its class, if it has one.
        lines: how many it has.
    """

    name: str
    lines: int


@dataclass(frozen=True)
class Module:
    """A module.

    Attributes:
        name: its path in the repository.
        lines: how many it has.
        said: its docstring.
        functions: those that are part of no other.
    """

    name: str
    lines: int
    said: str
    functions: tuple[Function, ...]


def _functions(body: list[ast.stmt], within: str = "") -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(within + node.name, (node.end_lineno or 0) - node.lineno + 1)


@cache
def modules() -> tuple[Module, ...]:
    """Read all modules; their trees are not kept, which would slow every test after it down."""
    found = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        name = path.relative_to(ROOT).as_posix()
        found.append(Module(name, len(text.splitlines()), ast.get_docstring(tree) or "", tuple(_functions(tree.body))))
    return tuple(found)
