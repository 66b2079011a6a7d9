"""What evidence says of a database's changes: the plan that a dry run has left, what it came to, and the backup before.

A dry run may leave its plan as its last line: a JSON list of objects with operation, table and sql, as release processes write them
down. What is no such list is the result as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tidegate.api.migrations import MigrationPhase

Text = Annotated[str, Field(max_length=4096)]
Spec = Mapping[str, Any]
_PLANNED = ("operation", "table", "sql")


class Migration(BaseModel):
    """A change of the database, as the dry run has planned it, or the Jobs that made it.

    Attributes:
        operation: such as add_column; where no plan was left, expand or migrate.
        table: the table; None where the plan has none.
        sql: the statement; None likewise.
        dry_run_result: what the dry run came to; None where there was none.
        result: what expand came to, or migrate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    operation: Text
    table: Text | None
    sql: Text | None
    dry_run_result: dict[str, Any] | None
    result: Text | None


class Backup(BaseModel):
    """The backup that was made before anything of the version was there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: Text
    result: Text
    job: Text
    timestamp: Text | None


def migrations(spec: Spec) -> list[Migration]:
    """Return the changes of a record."""
    found = _by_phase(spec)
    dry, changed = found.get(MigrationPhase.DRY_RUN), [found[one] for one in _CHANGES if one in found]
    planned, result = _plan(dry) if dry is not None else [], _result(dry)
    if planned:
        made = str(changed[0].get("result")) if changed else None
        return [_planned(one, result, made) for one in planned]
    made_by = [(str(one.get("phase", "")).lower(), str(one.get("result"))) for one in changed]
    if not made_by and dry is not None:
        made_by = [("expand", "")]
    return [
        Migration(operation=operation, table=None, sql=None, dry_run_result=result, result=came_to or None)
        for operation, came_to in made_by
    ]


def backup(spec: Spec) -> Backup | None:
    """Return the backup of a record; None where none was made."""
    one = _by_phase(spec).get(MigrationPhase.BACKUP)
    if one is None:
        return None
    at = one.get("ended")
    return Backup(
        reference=str(one.get("output", "")),
        result=str(one.get("result")),
        job=str(one.get("job", "")),
        timestamp=str(at) if at is not None else None,
    )


def lines(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield when each Job of a record had ended, and what it came to."""
    for one in spec.get("migrations") or ():
        if one.get("ended"):
            said = one.get("message") or one.get("output") or ""
            yield str(one["ended"]), f"{one.get('phase')} {one.get('result')} (Job {one.get('job')}){f': {said}' if said else ''}"


_CHANGES = (MigrationPhase.EXPAND, MigrationPhase.MIGRATE)


def _by_phase(spec: Spec) -> dict[str, Mapping[str, Any]]:
    return {str(one.get("phase")): one for one in spec.get("migrations") or ()}


def _plan(dry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the plan that a dry run has left; empty where it has left none."""
    try:
        found = json.loads(str(dry.get("output", "")))
    except ValueError:
        return []
    entries = found if isinstance(found, list) else []
    return [one for one in entries if isinstance(one, dict) and isinstance(one.get("operation"), str)]


def _result(dry: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if dry is None:
        return None
    return {"result": str(dry.get("result")), "output": str(dry.get("output", ""))}


def _planned(one: Mapping[str, Any], result: dict[str, Any] | None, made: str | None) -> Migration:
    operation, table, sql = (str(one[name])[:4096] if one.get(name) is not None else None for name in _PLANNED)
    own = one.get("dry_run_result")
    whole = (
        {"result": (result or {}).get("result")} if own is None else own if isinstance(own, dict) else {"output": str(own)[:4096]}
    )
    return Migration(operation=operation or "", table=table, sql=sql, dry_run_result=whole, result=made)
