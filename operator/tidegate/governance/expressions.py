"""Conditions that people write in policies (CEL): what they may ask of a release, and how little one may cost.

A condition is text of people, and runs in the process that takes traffic away. So it is short, it knows neither loops (macros such
as `all` and `map`, which nest) nor regular expressions nor arithmetic, and what is left costs time in proportion to its length and
to what it compares. https://github.com/google/cel-spec
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from tidegate.api.base import clip
from tidegate.api.policy import CONDITION_LENGTH
from tidegate.api.release import ReleaseType

_MOST_WORDS = 160
VARIABLES = ("environment", "labels", "release", "versions")
_OPERATORS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_&&_", "_||_", "!_", "_?_:_", "_[_]", "@in"})
FUNCTIONS = ("contains", "endsWith", "size", "startsWith")
_NAMES = {"@not_strictly_false": "all() or exists()", "_+_": "+, map(), filter() or exists_one()"}


class ExpressionError(ValueError):
    """A condition cannot be read or evaluated; the message is for people, and names what is not known."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What conditions are about: one version that is to be released.

    Attributes:
        type: how much it changes.
        environment: what the Release says of where it is; empty where it says nothing.
        labels: of the Release.
        stable: name of the version in force.
        candidate: name of the version to come.
    """

    type: ReleaseType
    environment: str = ""
    labels: Mapping[str, str]
    stable: str = ""
    candidate: str = ""

    def variables(self) -> dict[str, Any]:
        """Return it as conditions see it."""
        return {
            "release": {"type": self.type.value},
            "environment": self.environment,
            "labels": dict(self.labels),
            "versions": {"stable": self.stable, "candidate": self.candidate},
        }


def applies(condition: str, subject: Subject) -> bool:
    """Return whether a condition holds of a release.

    Raises:
        ExpressionError: it cannot be read, or not be evaluated here: a label that is not there, values that cannot be compared.
    """
    program = _read(condition)
    try:
        result = program.execute(subject.variables())
    except Exception as error:
        raise ExpressionError(f"{condition!r} cannot be evaluated: {_words(error)}") from error
    if not isinstance(result, bool):
        raise ExpressionError(f"{condition!r} is neither true nor false")
    return result


def check(condition: str) -> None:
    """Read a condition.

    Raises:
        ExpressionError: it is no condition, or asks for more than there is.
    """
    _read(condition)


def _read(condition: str) -> Any:
    found = _compiled(condition)
    if isinstance(found, str):
        raise ExpressionError(found)
    return found


@lru_cache(maxsize=512)
def _compiled(condition: str) -> Any:
    """Return a condition as a program, or what is wrong with it in words."""
    if len(condition) > CONDITION_LENGTH:
        return f"a condition has at most {CONDITION_LENGTH} characters"
    try:
        program = _library().compile(condition)
    except Exception as error:  # noqa: BLE001 - as above
        return f"{condition!r} is not CEL: {_words(error)}"
    used = program.references()
    if unknown := sorted(set(used["functions"]) - _OPERATORS - set(FUNCTIONS)):
        return (
            f"{condition!r} uses {_NAMES.get(unknown[0], unknown[0])}; there are comparisons, &&, ||, !, in, {', '.join(FUNCTIONS)}"
        )
    if unknown := sorted(set(used["variables"]) - set(VARIABLES)):
        return f"{condition!r} names {unknown[0]}; there are release.type, environment, labels, versions.stable, versions.candidate"
    return program


def _words(error: Exception) -> str:
    """Return what the library says, as far as it helps: not what else there might have been, nor the rules of the language."""
    if isinstance(error, KeyError):
        return f"there is no {error}"
    said = str(error).partition("\n")[0]
    if said.startswith(("No such overload", "Undefined variable or function")):
        # What is not there was refused before: it is there, and not for these values.
        return "the types of its values do not fit what it does with them"
    at = said.rpartition("ERROR: <input>:")[2]
    return clip(at.partition(" expecting ")[0], _MOST_WORDS)


@lru_cache(maxsize=1)
def _library() -> ModuleType:
    """Load the extension of the package alone, where a policy has a condition.

    The package brings its own command line with it, and the terminal library of that: a second or more, and three times the memory,
    in the middle of a pass. What is loaded stands where the package's own import finds it.
    """
    if (loaded := sys.modules.get(_EXTENSION)) is not None:
        return loaded
    package = importlib.util.find_spec("cel")
    where = package.submodule_search_locations if package is not None else None
    spec = importlib.machinery.PathFinder.find_spec(_EXTENSION, where)
    if spec is None or spec.loader is None:
        return importlib.import_module("cel")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_EXTENSION] = module
    spec.loader.exec_module(module)
    return module


_EXTENSION = "cel.cel"
