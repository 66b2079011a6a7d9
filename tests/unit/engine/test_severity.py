"""Each kind of transition has a severity, and one rollback is critical once."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import tidegate.engine
from tidegate.api.outbox import TransitionStatus
from tidegate.engine.severity import SEVERITIES, Severity, severity_of
from tidegate.engine.transitions import Alert, Transition

for found in pkgutil.walk_packages(tidegate.engine.__path__, "tidegate.engine."):
    importlib.import_module(found.name)


def kinds(kind: type[Transition] = Transition) -> Iterator[type[Transition]]:
    """Yield all kinds of transitions that the operator has."""
    for one in kind.__subclasses__():
        if "id" in vars(one) and one.__module__.startswith("tidegate."):
            yield one
        yield from kinds(one)


def test_each_kind_has_a_severity() -> None:
    """Given a new kind of transition, then the table has a word for it; and none for what there is not."""
    assert sorted(SEVERITIES) == sorted({kind.id for kind in kinds()})


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=lambda kind: kind.id), ids=lambda kind: kind.id)
def test_what_somebody_should_look_at_is_a_warning_at_least(kind: type[Transition]) -> None:
    """Given a kind whose Event is a Warning, then it is one or more; given a Normal one, then a notice at most."""
    loud = {Severity.WARNING, Severity.CRITICAL}

    assert severity_of(kind.id, "Normal") not in loud
    if issubclass(kind, Alert):
        assert severity_of(kind.id, "Warning") in loud


def test_a_rollback_is_critical_once() -> None:
    """Given a breach, or another reason to roll back, then its beginning is critical and its end is not."""
    assert [Severity.CRITICAL, Severity.CRITICAL, Severity.WARNING] == [
        severity_of(event, "Warning") for event in ("breach-rolls-back", "rolling-back", "ended")
    ]
    assert Severity.NOTICE == severity_of("ended", "Normal"), "promoted"
    assert Severity.NOTICE == severity_of("rolling-back", "Normal"), "somebody wanted it"


def test_a_kind_that_is_not_known_counts_by_its_type() -> None:
    """Given what a newer operator has left, then it is told all the same."""
    assert [Severity.WARNING, Severity.NOTICE] == [severity_of("from-the-future", type_) for type_ in ("Warning", "Normal")]


def test_a_transition_keeps_the_version_that_it_is_about() -> None:
    """Given a stored transition of an older operator, then it has no version, and can be read."""
    one = TransitionStatus.model_validate({"number": 1, "id": "paused", "reason": "Paused", "at": "2026-01-01T00:00:00Z"})

    assert one.version is None
