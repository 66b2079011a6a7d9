"""The catalogue: every sentence that users see, a line each, in one file for each place where they see it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from messages import sources, told

FOLDER = Path(__file__).parent


@cache
def catalogue() -> dict[str, list[str]]:
    """Return the lines of each file, by its name without `.txt`."""
    found = told.catalogue() | {f"source-{name}": lines for name, lines in sources.sentences().items()}
    return found | {"untold": untold(found)}


def untold(found: dict[str, list[str]]) -> list[str]:
    """Return the sentences of the engine that no story comes to: a new one had better not be among them."""
    told_ones = "\n".join(line for name in ("status", "events", "waits", "conditions") for line in found[name])
    return [line for line in found["source-engine"] if not re.search(_expression(line), told_ones)]


def _expression(template: str) -> str:
    return ".*".join(re.escape(part) for part in re.split(r"\{[^}]*\}", template))


def written(name: str) -> list[str]:
    """Return the lines of a file of the catalogue as it is."""
    path = FOLDER / f"{name}.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
