"""Sentences as they stand in the operator's source: what can be told at all, whether a story tells it or not.

Each string constant and f-string that reads as prose is one, with what is filled in as `{name}`. Queries, drawings and expressions
are none. What the log says is told apart, for it is read by others and at another time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tidegate

OPERATOR = Path(tidegate.__file__).parent
PROSE = re.compile(r"[A-Za-z{}'%]{2,}[,;:)]? [a-z({]")
"""Two words, of which the second is no name."""
NOT_TOLD = {
    "crds.py": "for who changes the API",
    "reference.py": "docs/reference.md is itself read as a diff",
    "schema.py": "for who changes the API",
    "waits.py": "what holds for a wait is for who reads the rules; what is told of it stands in the rules",
    "followed.py": "the table is for docs/concepts.md, which a test compares",
    "plot.py": "drawings",
    "dialects.py": "what servers answer",
    "masking.py": "expressions",
}
QUERY = re.compile(
    r"^\(*(\{\w+\} or label_replace|sum|max|min|count|topk|label_replace|histogram_\w+|timestamp|clamp_min|group|rate)"
    r"\b ?(by|without)? ?[({]"
)
QUERY_PARTS = (
    "offset {",
    "} or {",
    "]) ",
    "stroke",
    " * sum(",
    "unless on()",
    "and on (",
    "and on()",
    "max without ({join}) ({",
    "#fff",
)
CEL = re.compile(r"\b(self|has|size)[.(]")
LOGGED = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})


def sentences() -> dict[str, list[str]]:
    """Return the templates of sentences by package, sorted, so that a module may move; the log's as `log`."""
    found: dict[str, set[str]] = {}
    for path in sorted(OPERATOR.rglob("*.py")):
        module = path.relative_to(OPERATOR)
        if path.name in NOT_TOLD or len(module.parts) == 1:
            continue
        for text, logged in _told(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault("log" if logged else module.parts[0], set()).add(text)
    return {package: sorted(texts) for package, texts in found.items()}


def _told(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    silent = {id(child) for node in ast.walk(tree) for child in _silent(node)}
    logged = {id(part) for node in ast.walk(tree) if _is_log(node) for part in ast.walk(node)}
    texts = [node for node in ast.walk(tree) if id(node) not in silent and isinstance(node, ast.Constant | ast.JoinedStr)]
    for node in sorted(texts, key=lambda one: (one.lineno, one.col_offset)):
        text = template(node)
        if PROSE.search(text) and not QUERY.match(text) and not CEL.search(text) and not any(part in text for part in QUERY_PARTS):
            yield text, id(node) in logged


def _silent(node: ast.AST) -> list[ast.AST]:
    """What is no sentence: docstrings, pieces of an f-string, descriptions of fields (docs/reference.md has those), annotations."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.JoinedStr):
        return [*ast.walk(node.value)]
    if isinstance(node, ast.JoinedStr):
        return [part for part in node.values if isinstance(part, ast.Constant)]
    if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
        return [*ast.walk(node.format_spec)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Field", "Column", "Kind", "cast"}:
        return [*ast.walk(node)]
    if isinstance(node, ast.ClassDef) and node.name in {"Rise", "Bound"}:
        return [*ast.walk(node)]
    if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
        return [part for part in ast.walk(node.annotation) if not isinstance(part, ast.Call)]
    return []


def _is_log(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOGGED):
        return False
    return "log" in ast.unparse(node.func.value).lower()


def template(node: ast.AST) -> str:
    """Return a string as it stands in the source, with the name of what is filled in."""
    if isinstance(node, ast.Constant):
        return " ".join(str(node.value).split()) if isinstance(node.value, str) else ""
    assert isinstance(node, ast.JoinedStr)
    parts = (str(one.value) if isinstance(one, ast.Constant) else f"{{{_name(one)}}}" for one in node.values)
    return " ".join("".join(parts).split())


def _name(node: ast.AST) -> str:
    match node:
        case ast.FormattedValue(value) | ast.Starred(value):
            return _name(value)
        case ast.Name(name):
            return name.lstrip("_")
        case ast.Attribute(value, attr):
            return f"{_name(value)}.{attr}" if attr in {"version", "name"} else attr
        case ast.Call(ast.Name(name)) | ast.Call(ast.Attribute(_, name)):
            return name.lstrip("_")
        case _:
            return "…"
