"""Every sentence that users see is in the catalogue, tests/messages/*.txt, so that wording is reviewed as a diff."""

from __future__ import annotations

import pytest

from messages.catalogue import FOLDER, catalogue, written
from tidegate.api.names import EventReason, Reason
from tidegate.engine.waits import Wait

# The stories are played once, and not by each worker.
pytestmark = pytest.mark.xdist_group("messages")

FILES = sorted(path.stem for path in FOLDER.glob("*.txt") if path.stem != "allowed")
ANEW = "run `make messages` (PYTHONPATH=operator:tests python -m messages) and read the diff as its readers will"
ELSEWHERE = {
    Reason.API_ABSENT: "tests/api",
    Reason.API_ERROR: "tests/api",
    Reason.CONFLICT: "tests/api",
    Reason.INTERNAL_ERROR: "tests/unit/controller",
}
"""Reasons of what goes wrong around a decision: no story of the engine comes to them."""


@pytest.mark.parametrize("name", FILES)
def test_every_sentence_is_in_the_catalogue_as_it_is_told(name: str) -> None:
    """Given a file of the catalogue, then its lines are those that the operator, the command line and the API have today."""
    there, now = written(name), catalogue().get(name, [])

    new = [line for line in now if line not in there]
    gone = [line for line in there if line not in now]
    assert ([], []) == (new, gone), ANEW
    assert there == now, ANEW


def test_every_place_has_its_file() -> None:
    """Given a new package with sentences, then it gets a file of its own."""
    assert FILES == sorted(catalogue()), ANEW


def test_every_event_wait_and_reason_is_told_by_a_story() -> None:
    """Given a new reason of Events or conditions, or something new to wait for, then a story comes to it."""
    events = {line.split(":")[0] for line in written("events")}
    waits = {line.split(":")[0] for line in written("waits")}
    reasons = {line.split(":")[0].split()[-1] for line in written("conditions")}

    assert set() == {reason.value for reason in EventReason} - events
    assert set() == {wait.name for wait in Wait} - waits
    assert {reason.value for reason in ELSEWHERE} == {reason.value for reason in Reason} - reasons
