"""Changes of a status name fields that exist, with values of their types: a type checker sees it, and so does who passes it by."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_type_hints

import pytest

import tidegate
from tidegate.api import edits
from tidegate.api.base import Model
from tidegate.api.edits import edited
from tidegate.api.originals import TargetsStatus
from tidegate.api.recorded import RecordsStatus, TrailStatus
from tidegate.api.status import (
    EvidenceStatus,
    GateStatus,
    LossStatus,
    PauseStatus,
    ReleaseStatus,
    RevisionStatus,
    RolloutStatus,
    StepStatus,
)

CODE = Path(tidegate.__file__).parent
EDITED = (
    *(ReleaseStatus, RolloutStatus, StepStatus, GateStatus, EvidenceStatus, LossStatus, RevisionStatus, PauseStatus),
    *(TargetsStatus, TrailStatus, RecordsStatus),
)
UNCHECKED = {"api/edits.py", "engine/repair.py"}
"""`repair` puts off moments by their names, and reads each by it first, so that a misspelt one raises."""


@pytest.mark.parametrize("model", EDITED, ids=lambda model: model.__name__)
def test_every_field_may_change_and_no_other(model: type[Model]):
    """What the type checker lets pass is what the model has: the same names, with the same types."""
    edit = getattr(edits, f"{model.__name__.removesuffix('Status')}Edit")

    assert {name: hint for name, hint in get_type_hints(model).items() if name in model.model_fields} == get_type_hints(edit)


def test_field_that_does_not_exist_is_refused():
    """Where no type checker has looked, a misspelt field is an error, and not lost."""
    misspelt = {"pahse": "Idle"}

    with pytest.raises(TypeError, match="ReleaseStatus has no field pahse"):
        edited(ReleaseStatus(), **misspelt)  # type: ignore[call-overload]


def test_what_is_changed_stays_as_it_is():
    """The status that was is not the one that comes."""
    before = ReleaseStatus(weight=25)

    after = edited(before, weight=50)

    assert (25, 50) == (before.weight, after.weight)


def test_a_status_is_changed_in_no_other_way():
    """`model_copy(update=...)` takes anything, so engine and controller do without it, but for copies of a policy's parts."""
    found = {
        path.relative_to(CODE).as_posix()
        for folder in ("api", "engine", "controller")
        for path in (CODE / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "model_copy"
        if isinstance(node.func.value, ast.Name) and node.func.value.id not in {"gate", "asked", "spec"}
    }
    assert UNCHECKED == found
