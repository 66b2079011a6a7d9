"""All regular expressions of the operator, found in its source, and the texts that are worst for each of them."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

SOURCE = Path(__file__).parents[3] / "operator"
METHODS = ("fullmatch", "match", "search", "finditer", "findall", "sub", "split")
_FORBIDDEN = frozenset({"re", "regex", "fnmatch", "sre_parse"})
_EXAMPLES = 12
_MOST = 64
_BESIDE = " \n\"'\\a0{}\x00"
_CATEGORIES = {codes.CATEGORY_DIGIT: "0", codes.CATEGORY_SPACE: " ", codes.CATEGORY_WORD: "a"}


@dataclass(frozen=True)
class Expression:
    """One regular expression of the source.

    Attributes:
        module: its module.
        name: its name in there.
        pattern: the expression.
        used: the methods that the module calls; all where it calls none of them itself.
    """

    module: str
    name: str
    pattern: re.Pattern[str]
    used: tuple[str, ...]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.module}.{self.name}"


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Give the operator's modules."""
    for path in sorted((SOURCE / "tidegate").rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def expressions() -> list[Expression]:
    """Return all that are compiled as constants of a module."""
    found = []
    for module, tree in modules():
        for name in _constants(tree):
            used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _named(node.value, name)}
            methods = tuple(method for method in METHODS if method in used) or METHODS
            found.append(Expression(module, name, _of_text(getattr(importlib.import_module(module), name)), methods))
    return found


def _of_text(pattern: re.Pattern[Any]) -> re.Pattern[str]:
    """Return an expression of bytes as the same one of text."""
    return re.compile(pattern.pattern.decode(), pattern.flags) if isinstance(pattern.pattern, bytes) else pattern


def others() -> list[str]:
    """Return every other use of regular expressions: those that `expressions` does not see."""
    found = []
    for module, tree in modules():
        known = {id(node.value) for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in _FORBIDDEN:
                found.append(f"{module}: from {node.module} import ...")
            if isinstance(node, ast.Import):
                renamed = [one.name for one in node.names if one.name in _FORBIDDEN and (one.name != "re" or one.asname)]
                found += [f"{module}: import {name}" for name in renamed]
            if isinstance(node, ast.Call) and _of_re(node.func) and id(node) not in known:
                found.append(f"{module}: {ast.unparse(node)}")
    return found


def examples(pattern: str, flags: int = 0) -> list[str]:
    """Return a few texts that an expression matches, one for each way through it."""
    return list(dict.fromkeys(islice(_ways(parser.parse(pattern, flags)), _EXAMPLES)))


def shapes(pattern: str, flags: int = 0) -> list[tuple[str, str, str]]:
    """Return beginnings, what is to be repeated, and ends: texts that go some way into an expression, and then make it try."""
    found = examples(pattern, flags)
    begun = list(dict.fromkeys(one[:end] for one in found for end in range(min(len(one), 12) + 1)))[:_MOST]
    alphabet = list(dict.fromkeys("".join(found)[:12] + _BESIDE))
    pairs = ["".join(pair) for pair in product(alphabet, repeat=2)]
    marks = [one for one in dict.fromkeys(pattern) if not one.isalnum()][:_EXAMPLES]
    once = [(start, one, end) for start in begun for one in alphabet for end in ("", "\x00")]
    ended = [("", one, end) for one in alphabet for end in marks]
    return [*once, *ended, *(("", one, "") for one in [*pairs, *begun] if one)]


def _constants(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and _of_re(value.func):
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _of_re(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and _named(function.value, "re")


def _named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _ways(tree: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    """Give texts that a sequence of nodes matches."""
    ways = [""]
    for code, value in tree:
        ways = [f"{before}{one}" for before, one in product(ways, list(islice(_of_node(code, value), 4)) or [""])][:_EXAMPLES]
    yield from ways


def _of_node(code: Any, value: Any) -> Iterator[str]:
    if code in (codes.LITERAL, codes.NOT_LITERAL):
        yield chr(value) if code is codes.LITERAL else next(one for one in "a0" if ord(one) != value)
    elif code is codes.ANY:
        yield "a"
    elif code is codes.IN:
        yield from _of_class(value)
    elif code is codes.BRANCH:
        for branch in value[1]:
            yield from islice(_ways(branch), 2)
    elif code is codes.SUBPATTERN:
        yield from _ways(value[3])
    elif code is codes.ATOMIC_GROUP:
        yield from _ways(value)
    elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        least, most, inner = value
        for times in (max(least, 1), least, min(least + 2, int(most))):
            yield from (one * times for one in islice(_ways(inner), 2))


def _of_class(items: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    members = list(items)
    if members[0][0] is codes.NEGATE:
        excluded = {chr(value) for code, value in members if code is codes.LITERAL}
        yield next(one for one in "a0 -!" if one not in excluded and not _ranged(one, members))
        return
    for code, value in members[:3]:
        if code is codes.LITERAL:
            yield chr(value)
        elif code is codes.RANGE:
            yield chr(value[0])
        else:
            yield _CATEGORIES.get(value, "!")


def _ranged(one: str, members: Iterable[tuple[Any, Any]]) -> bool:
    return any(code is codes.RANGE and value[0] <= ord(one) <= value[1] for code, value in members)
