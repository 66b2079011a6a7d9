"""The part of CEL that the rules of Tidegate's own CustomResourceDefinitions are written in: manifests are checked offline.

The rules are those of the models (`x-kubernetes-validations`): nothing is written a second time. Whatever goes beyond the part that
they use is an error, and never silently true. https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tidegate.api.base import parse_duration

_TOKENS = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<mark>\|\||&&|==|!=|<=|>=|[-+!<>()\[\].,]))"
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "in": lambda one, many: one in many,
}
_SUMS: Mapping[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub}
_WORDS = {"true": True, "false": False, "null": None}
_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})


class CelError(ValueError):
    """A rule cannot be read or evaluated; the message names what is not known."""


@dataclass(frozen=True)
class Node:
    """A part of an expression.

    Attributes:
        kind: literal, name, select, index, call, list, not, minus, or an operator.
        value: the literal, or the name that is used, selected or called.
        parts: the parts that it is made of; the target of a method comes first.
        method: whether a call has a target.
    """

    kind: str
    value: Any = None
    parts: tuple[Node, ...] = ()
    method: bool = False


def holds(rule: str, value: Any) -> bool:
    """Evaluate a rule on a value, which is `self` in it.

    Raises:
        CelError: the rule uses what is not known here, or does not fit the value.
    """
    try:
        return bool(_evaluate(parse(rule), {"self": value}))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        msg = f"cannot be evaluated: {error}"
        raise CelError(msg) from error


@lru_cache(maxsize=256)
def parse(rule: str) -> Node:
    """Read an expression.

    Raises:
        CelError: it is not of the part of CEL that is known here.
    """
    parser = _Parser(_tokens(rule), rule)
    node = parser.expression()
    parser.end()
    return node


def _tokens(rule: str) -> list[tuple[str, str]]:
    found, position = [], 0
    text = rule.rstrip()
    while position < len(text):
        token = _TOKENS.match(text, position)
        if token is None:
            msg = f"cannot read {text[position : position + 20]!r}"
            raise CelError(msg)
        found.append((str(token.lastgroup), token[str(token.lastgroup)]))
        position = token.end()
    return found


class _Parser:
    """Recursive descent, one method for each level of precedence."""

    def __init__(self, tokens: Sequence[tuple[str, str]], rule: str) -> None:
        self._tokens = tokens
        self._rule = rule
        self._position = 0

    def expression(self) -> Node:
        return self._chain("||", lambda: self._chain("&&", self._comparison))

    def end(self) -> None:
        if self._position != len(self._tokens):
            raise self._error()

    def _chain(self, mark: str, deeper: Callable[[], Node]) -> Node:
        node = deeper()
        while self._takes(mark):
            node = Node(mark, parts=(node, deeper()))
        return node

    def _comparison(self) -> Node:
        node = self._sum()
        while (mark := self._ahead()) in _COMPARISONS:
            self._position += 1
            node = Node(mark, parts=(node, self._sum()))
        return node

    def _sum(self) -> Node:
        node = self._unary()
        while (mark := self._ahead()) in _SUMS:
            self._position += 1
            node = Node(mark, parts=(node, self._unary()))
        return node

    def _unary(self) -> Node:
        if self._takes("!"):
            return Node("not", parts=(self._unary(),))
        if self._takes("-"):
            return Node("minus", parts=(self._unary(),))
        return self._member()

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if self._takes("."):
                name = self._take("name")
                node = self._call(name, node) if self._ahead() == "(" else Node("select", name, (node,))
            elif self._takes("["):
                node = Node("index", parts=(node, self.expression()))
                self._close("]")
            else:
                return node

    def _primary(self) -> Node:
        if self._takes("("):
            node = self.expression()
            self._close(")")
            return node
        if self._takes("["):
            return Node("list", parts=self._arguments("]"))
        if self._position == len(self._tokens):
            raise self._error()
        kind, text = self._tokens[self._position]
        self._position += 1
        match kind:
            case "number":
                return Node("literal", float(text) if "." in text else int(text))
            case "string":
                return Node("literal", re.sub(r"\\(.)", r"\1", text[1:-1]))
            case "name" if text in _WORDS:
                return Node("literal", _WORDS[text])
            case "name":
                return self._call(text, None) if self._ahead() == "(" else Node("name", text)
        raise self._error()

    def _call(self, name: str, target: Node | None) -> Node:
        self._close("(")
        arguments = self._arguments(")")
        return Node("call", name, (target, *arguments) if target is not None else arguments, target is not None)

    def _arguments(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._takes(end):
            if found:
                self._close(",")
            found.append(self.expression())
        return tuple(found)

    def _ahead(self) -> str:
        return self._tokens[self._position][1] if self._position < len(self._tokens) else ""

    def _takes(self, mark: str) -> bool:
        taken = self._ahead() == mark and self._tokens[self._position][0] == "mark"
        self._position += taken
        return taken

    def _take(self, kind: str) -> str:
        if self._position == len(self._tokens) or self._tokens[self._position][0] != kind:
            raise self._error()
        self._position += 1
        return self._tokens[self._position - 1][1]

    def _close(self, mark: str) -> None:
        if not self._takes(mark):
            raise self._error()

    def _error(self) -> CelError:
        return CelError(f"cannot read {self._ahead() or 'the end'!r} in {self._rule!r}")


def _evaluate(node: Node, names: Mapping[str, Any]) -> Any:
    match node.kind:
        case "literal":
            return node.value
        case "name":
            return names[node.value]
        case "select":
            return _evaluate(node.parts[0], names)[node.value]
        case "index":
            return _evaluate(node.parts[0], names)[_evaluate(node.parts[1], names)]
        case "list":
            return [_evaluate(part, names) for part in node.parts]
        case "not":
            return not _evaluate(node.parts[0], names)
        case "minus":
            return -_evaluate(node.parts[0], names)
        case "||":
            return any(_evaluate(part, names) for part in node.parts)
        case "&&":
            return all(_evaluate(part, names) for part in node.parts)
        case "call":
            return _call(node, names)
    known = _COMPARISONS.get(node.kind) or _SUMS[node.kind]
    return known(_evaluate(node.parts[0], names), _evaluate(node.parts[1], names))


def _call(node: Node, names: Mapping[str, Any]) -> Any:
    parts = node.parts
    if node.method and node.value in _MACROS and len(parts) == 3:
        return _macro(node, names)
    if node.value == "has" and not node.method and len(parts) == 1 and parts[0].kind == "select":
        return parts[0].value in _evaluate(parts[0].parts[0], names)
    values = [_evaluate(part, names) for part in parts]
    match (node.value, *values):
        case ("size", value):
            return len(value)
        case ("duration", text):
            return parse_duration(text)
        case ("isSorted", list() as items) if node.method:
            return items == sorted(items)
        case ("matches", str() as text, str() as pattern) if node.method:
            return re.search(pattern, text) is not None
    msg = f"the function {node.value} is not known"
    raise CelError(msg)


def _macro(node: Node, names: Mapping[str, Any]) -> Any:
    target, variable, body = node.parts
    items = list(_evaluate(target, names))
    results = [_evaluate(body, {**names, variable.value: item}) for item in items]
    match node.value:
        case "all":
            return all(results)
        case "exists":
            return any(results)
        case "exists_one":
            return sum(bool(result) for result in results) == 1
        case "filter":
            return [item for item, kept in zip(items, results, strict=True) if kept]
        case _:
            return results
