"""From what the API server has stored to our own types, and what is wrong with it in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from tidegate.api.base import plain
from tidegate.api.kept import opened
from tidegate.api.status import ReleaseStatus
from tidegate.api.wrong import problems_of
from tidegate.engine.rules.requests import LONGEST_REQUEST
from tidegate.engine.snapshot import Request, Verb
from tidegate.runtime.store import Object

log = structlog.get_logger(__name__)


def request_of(text: str | None) -> Request | None:
    """Read what a person has asked for by the annotation; None where nothing was."""
    if not text:
        return None
    verb, _, name = text.partition("/")
    known = next((one for one in Verb if one == verb), None) if name else None
    return Request(known, plain(name, LONGEST_REQUEST), plain(text, LONGEST_REQUEST))


def stored_status(release: Object, unpacked: Mapping[str, Any] | None = None) -> ReleaseStatus:
    """Read the status that is stored; what cannot be read of it is left out, and that is logged.

    A status may have been written by an operator that knows more. Whatever else it says, above all which versions were rejected,
    must not be lost with what this one does not understand.

    Args:
        release: the Release as stored.
        unpacked: its status, where it has been unpacked already.
    """
    stored = dict(opened(release.get("status") or {}) if unpacked is None else unpacked)
    while True:
        try:
            return ReleaseStatus.model_validate(stored)
        except ValidationError as error:
            metadata = release["metadata"]
            cause = in_words(error, where="status")
            log.warning("stored status is read in part", release=metadata["name"], namespace=metadata["namespace"], cause=cause)
            rest = _without(stored, {one["loc"][:2] for one in error.errors()})
            stored = rest if rest != stored else {}


def _without(stored: Mapping[str, Any], places: set[tuple[int | str, ...]]) -> dict[str, Any]:
    """Leave out the fields that errors name; of a list only the items."""
    rest: dict[str, Any] = {}
    for name, value in stored.items():
        named = {place[1:] for place in places if place[:1] == (name,)}
        if not named:
            rest[name] = value
        elif isinstance(value, list) and () not in named:
            rest[name] = [item for index, item in enumerate(value) if (index,) not in named]
    return rest


def in_words(error: ValidationError, *, where: str = "spec") -> str:
    """Say which fields are wrong and why, without their values."""
    return "; ".join(problems_of(error, where=(where,)))
