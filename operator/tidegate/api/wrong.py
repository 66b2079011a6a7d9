"""What is wrong with a document that people wrote, field by field and in words: one way for specs, policies and configuration.

No word of it quotes a value: among them may be what should be in no log and no status.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from yaml import MarkedYAMLError
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError


def field_of(place: Iterable[str | int]) -> str:
    """Write a place as the API server does: `spec.gates[0].metric`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


_A_TIME = "must be a time such as 2026-01-02T03:04:05Z"
_CAUSES = {
    "extra_forbidden": "there is no such field",
    "missing": "is required",
    "union_tag_not_found": "is required",
    "none_required": "must be left out",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "timezone_aware": "must have a time zone, such as Z",
}
"""What is wrong, by the library's type of it; braces name what the library knows of the rule."""
_KINDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), "must be text"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), "must be a map"),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "datetime_object_invalid"), _A_TIME),
    **dict.fromkeys(("time_delta_type", "time_delta_parsing"), "must be a duration such as 30s"),
}
"""What a value has to be, by the types of what may be wrong with it."""
_MEMBER = re.compile(r"<[^<:>]*+: ([^<>]*+)>")
"""A member of an enumeration, as the library writes it."""
_NAME = "[key]"
"""What the library puts into the place of a member of a map whose name is wrong, and not its value."""
_OURS = frozenset({"value_error", "assertion_error"})
"""Types of what our own rules say."""


def cause_of(problem: Mapping[str, Any]) -> str:
    """Say what is wrong with one field, in the words of its rule, or in ours where the rule is the library's.

    Args:
        problem: one of `ValidationError.errors()`.
    """
    kind, context = problem["type"], problem.get("ctx") or {}
    if kind in _OURS:
        return str(problem["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind in _KINDS:
        return _KINDS[kind]
    if kind in ("enum", "literal_error", "union_tag_invalid"):
        names = str(context.get("expected") or context["expected_tags"]).replace("'", "")
        if kind == "union_tag_invalid":
            names = _MEMBER.sub(r"\1", " or ".join(names.rsplit(", ", 1)))
        return f"must be one of {names}" if " or " in names else f"must be {names}"
    if context.get("min_length") == 1:
        return "must not be empty"
    return _CAUSES[kind].format(**context) if kind in _CAUSES else "is invalid"


def not_yaml(error: Exception) -> str:
    """Say where a text is no YAML, and why, without quoting it.

    Args:
        error: what reading it has raised.
    """
    if not isinstance(error, MarkedYAMLError):
        return "is not YAML"
    why = error.problem or "syntax error"
    if isinstance(error, ComposerError | ConstructorError):
        # These name what stands there: an alias, a tag.
        why = why.partition("'")[0].rstrip()
    mark = error.problem_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"is not YAML ({place}{why})"


def problems_of(error: ValidationError, *, where: tuple[str, ...] = (), leave_out: Sequence[str | int] = ()) -> Iterator[str]:
    """Yield each field that is wrong, and why.

    Args:
        error: what the model says.
        where: of which part of the document the model is; empty for all of it, which is called the file.
        leave_out: parts of places that are the model's own, and stand in no document.
    """
    for one in error.errors(include_url=False, include_input=False):
        # Which of several kinds of map it is to be stands in one of its fields, which is then what is wrong.
        kind = (one["ctx"]["discriminator"].strip("'"),) if one["type"].startswith("union_tag_") else ()
        place = field_of(part for part in (*where, *one["loc"], *kind) if part not in (*leave_out, _NAME))
        whose = "its name " if _NAME in one["loc"] else ""
        yield f"{place or 'the file'}: {whose}{cause_of(one)}"
