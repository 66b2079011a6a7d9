"""What there is to be said of each module of the house without running it: its length, its reason, its functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from unit.docs.pages import ROOT

FOLDERS = ("operator", "bench", "requirements", ".ci", "tests")
WAITS = frozenset({"until", "eventually", "settled", "stays"})
"""Helpers of several modules of tests that fail where what they wait for does not come, or does not stay."""


@dataclass(frozen=True)
class Function:
    """A function of a module, or a method.

    Attributes:
        name: behind that of its class, if it has one.
        lines: how many it has.
        fails: something in it can fail a test: an assertion, an error that is awaited, a story's `then`, or a wait that gives up.
        calls: last names of what it calls.
    """

    name: str
    lines: int
    fails: bool
    calls: frozenset[str]


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


def _functions(body: list[ast.stmt], *, of_tests: bool, within: str = "") -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, of_tests=of_tests, within=f"{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            called = [inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call)] if of_tests else []
            fails = of_tests and any(isinstance(inner, ast.Assert | ast.Raise) for inner in ast.walk(node))
            yield Function(within + node.name, lines, fails or any(map(_fails, called)), frozenset(map(_last, called)))


def _last(called: ast.expr) -> str:
    match called:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _fails(called: ast.expr) -> bool:
    match called:
        case (
            ast.Attribute(value=ast.Name(id="then")) | ast.Attribute(value=ast.Name(id="pytest"), attr="raises" | "fail" | "warns")
        ):
            return True
    return _last(called) in WAITS


@cache
def modules() -> tuple[Module, ...]:
    """Read all modules; their trees are not kept, which would slow every test after it down."""
    found = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        name = path.relative_to(ROOT).as_posix()
        functions = tuple(_functions(tree.body, of_tests=path.name.startswith("test_")))
        found.append(Module(name, len(text.splitlines()), ast.get_docstring(tree) or "", functions))
    return tuple(found)
