"""What is wrong with a document that people wrote, field by field and in words: one way for specs, policies and configuration.

No word of it quotes a value: among them may be what should be in no log and no status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError


def field_of(place: Iterable[str | int]) -> str:
    """Write a place as the API server does: `spec.gates[0].metric`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def cause_of(problem: Mapping[str, Any]) -> str:
    """Say what is wrong with one field, in the words of its rule.

    Args:
        problem: one of `ValidationError.errors()`.
    """
    match problem["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "is required"
        case _:
            return str(problem["msg"]).removeprefix("Value error, ")


def problems_of(error: ValidationError, *, where: tuple[str, ...] = (), leave_out: Sequence[str | int] = ()) -> Iterator[str]:
    """Yield each field that is wrong, and why.

    Args:
        error: what the model says.
        where: of which part of the document the model is; empty for all of it, which is called the file.
        leave_out: parts of places that are the model's own, and stand in no document.
    """
    for one in error.errors(include_url=False, include_input=False):
        place = field_of(part for part in (*where, *one["loc"]) if part not in leave_out)
        yield f"{place or 'the file'}: {cause_of(one)}"
