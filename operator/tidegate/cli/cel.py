"""The rules of Tidegate's own CustomResourceDefinitions, evaluated offline: manifests are checked without an API server.

The rules are those of the models (`x-kubernetes-validations`): nothing is written a second time. Of what Kubernetes adds to CEL
only the functions below are known; a rule that needs more is an error, and never silently true.
https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import cel


class CelError(ValueError):
    """A rule cannot be read or evaluated; the message names what is not known."""


def holds(rule: str, value: Any) -> bool:
    """Evaluate a rule with `self` being a value.

    Args:
        rule: in CEL, with a truth value as its result.
        value: JSON, with floats where the schema says `number`: CEL does not mix types.

    Raises:
        CelError: the rule goes beyond the known part of CEL, or its types do not fit the value.
    """
    try:
        result = compiled(rule).execute(cel.Context(variables={"self": _escaped(value)}, functions=dict(_KUBERNETES)))
    except (RuntimeError, TypeError, ValueError) as error:
        raise CelError(f"cannot be evaluated: {error}") from error
    if not isinstance(result, bool):
        raise CelError("is neither true nor false")
    return result


@lru_cache(maxsize=256)
def compiled(rule: str) -> cel.Program:
    """Read a rule.

    Raises:
        CelError: it is not CEL.
    """
    try:
        return cel.compile(rule)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CelError(f"is not CEL: {error}") from error


def _escaped(value: Any) -> Any:
    """Return a value with its fields by the names that rules call them: the API server escapes those that are words of CEL."""
    match value:
        case dict():
            return {f"__{name}__" if name in _RESERVED else name: _escaped(child) for name, child in value.items()}
        case list():
            return [_escaped(child) for child in value]
    return value


def _is_sorted(items: Sequence[Any]) -> bool:
    return all(one <= other for one, other in pairwise(items))


_ASCII_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


def _upper_ascii(text: str) -> str:
    return text.translate(_ASCII_UPPER)


_KUBERNETES: Mapping[str, Any] = {"isSorted": _is_sorted, "upperAscii": _upper_ascii}
"""What the API server knows beside the standard functions, as far as our rules use it (its list library, strings of CEL)."""
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
) | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
