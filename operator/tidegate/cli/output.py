"""How commands speak: results on stdout, everything else on stderr, and an exit status that scripts can rely on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, NoReturn, TypeVar

import typer

_Value = TypeVar("_Value")
CANNOT = 2
"""Exit status of a command that could not do what it was asked: wrong arguments, unreadable files, nobody to ask."""


class Format(StrEnum):
    """How a result is written."""

    TEXT = "text"
    JSON = "json"


Form = Annotated[Format, typer.Option("--output", "-o", help="text, or json for machines.")]


def fail(message: str) -> NoReturn:
    """Say why a command cannot go on, and end it."""
    typer.echo(f"tidegate: {message}", err=True)
    raise typer.Exit(CANNOT)


def parsed(option: str, parse: Callable[[str], _Value], text: str) -> _Value:
    """Read what was given to an option; the command ends in words if it cannot be read."""
    try:
        return parse(text)
    except ValueError as error:
        fail(f"{option}: {error}")


def write_json(document: Any) -> None:
    """Write a document for machines."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def write_line(document: Any) -> None:
    """Write one document of many for machines, on a line of its own."""
    typer.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))


def columns() -> int:
    """Return the width of the terminal, or of $COLUMNS; 100 where nobody knows."""
    return shutil.get_terminal_size((100, 24)).columns


def is_terminal() -> bool:
    """Whether a person reads along, so that colours make sense."""
    return sys.stdout.isatty()
