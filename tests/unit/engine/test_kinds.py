"""A kind of workload is known in its own room: no rule, and nothing else of the engine that rules rest on, knows one by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tidegate.engine
from tidegate.api.release import WorkloadKind
from tidegate.engine.handover.kinds import HANDOVERS

ENGINE = Path(tidegate.engine.__file__).parent
KINDS = re.compile(r"deployment|replica_?set", re.IGNORECASE)
NEUTRAL = ("draft.py", "changes.py", "facts.py", "pods.py", "barriers.py", "report.py", "rules/*.py", "writes/*.py")


def modules() -> Iterator[Path]:
    """Yield the modules that know no kind."""
    for pattern in NEUTRAL:
        found = sorted(ENGINE.glob(pattern))
        assert found, pattern
        yield from found


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ENGINE)))
def test_no_rule_knows_a_kind(path: Path):
    """Neither code nor comments, and no sentence but by the words of the workload's handover."""
    text = path.read_text().replace("Wait.REPLICA_SET", "")  # What is waited for is a table of names.

    assert [] == [line.strip() for line in text.splitlines() if KINDS.search(line)]


def test_a_kind_is_asked_for_by_the_registry_alone():
    """Nothing of the engine but the registry imports the room of a kind."""
    rooms = {path for path in (ENGINE / "handover").iterdir() if path.is_dir() and path.name != "__pycache__"}
    others = [path for path in ENGINE.rglob("*.py") if not rooms & set(path.parents) and path.name != "kinds.py"]

    imported = {
        node.module
        for path in others
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }

    assert not [name for name in imported for room in rooms if name.startswith(f"tidegate.engine.handover.{room.name}")]


def test_every_kind_that_a_release_may_name_is_there():
    """Given what spec.targetRef may name, then the engine has its handover, under the name that people read."""
    assert {kind: kind.value for kind in WorkloadKind} == {kind: handover.kind for kind, handover in HANDOVERS.items()}
