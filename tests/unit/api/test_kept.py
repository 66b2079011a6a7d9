"""What the operator keeps for itself in a status, packed away from what people read."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.kept import UNREADABLE, opened, packed
from tidegate.api.status import ReleaseStatus

AT = "2026-01-02T03:04:05Z"
GATE = {"name": "errors", "verdict": "Undecided", "at": AT, "message": "not decided yet", "looks": "U", "clear": True, "kept": ""}
EVIDENCE = {"since": AT, "canaryRequests": 10.5, "history": [0.1, -0.2], "state": "12;3"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists, max_leaves=5
)
PARTS = st.dictionaries(st.sampled_from(["name", "spec", "gates", "message", "evidence", "looks"]), VALUES)


def test_people_read_what_is_said_and_nothing_that_a_test_goes_on_from() -> None:
    """A gate keeps its words and values; its evidence, and the policy of the rollout, are in one text each."""
    stored = packed(
        {"phase": "Progressing", "gates": [{**GATE, "evidence": EVIDENCE}], "rollout": {"policy": "p", "spec": {"a": 1}}}
    )

    (gate,) = stored["gates"]
    assert {"name", "verdict", "at", "message", "looks", "kept"} == set(gate)
    assert {"policy", "kept"} == set(stored["rollout"])
    assert "Progressing" == stored["phase"]


def test_a_status_comes_back_as_it_was() -> None:
    """What was packed is in its fields again, to the last digit."""
    status = {"gates": [{**GATE, "evidence": EVIDENCE}], "rollout": {"policy": "p", "spec": {"a": [1, 2.5]}, "kept": ""}}

    assert status == opened(packed(status))


def test_a_status_of_an_operator_before_is_read_as_it_is() -> None:
    """Fields that are there count, and nothing is missed."""
    found = ReleaseStatus.model_validate({"gates": [{**GATE, "evidence": EVIDENCE}]}).gates[0].evidence

    assert found is not None
    assert (10.5, (0.1, -0.2), "12;3") == (found.canary_requests, found.history, found.state)


@pytest.mark.parametrize(
    "text", ["nonsense", "AAAA", base64.b64encode(zlib.compress(b"[1]")).decode(), base64.b64encode(zlib.compress(b"{")).decode()]
)
def test_a_text_that_cannot_be_read_begins_anew(text: str) -> None:
    """A hand has written into it: the test of that gate begins anew, with a word, and all else stands."""
    status = ReleaseStatus.model_validate({"phase": "Progressing", "gates": [{**GATE, "kept": text}]})

    assert status.gates[0].message == "not decided yet"
    assert status.gates[0].evidence is not None
    assert status.gates[0].evidence.state == UNREADABLE


def test_a_text_that_grows_without_end_is_not_read() -> None:
    """A megabyte of zeros takes a thousand bytes; more than four megabytes are nobody's status."""
    bomb = base64.b64encode(zlib.compress(b"0" * 50_000_000)).decode()

    assert UNREADABLE == opened({"gates": [{**GATE, "kept": bomb}]})["gates"][0]["evidence"]["state"]


@given(
    status=st.dictionaries(st.sampled_from(["phase", "gates", "rollout", "lastRollout"]), VALUES | PARTS | st.lists(PARTS | VALUES))
)
def test_whatever_stands_there_comes_back(status: dict[str, Any]) -> None:
    """A hand may have written anything; what is none of ours is left as it is, but for the empty text of what was packed."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: bare(one) for name, one in value.items() if name != "kept"}
        return [bare(one) for one in value] if isinstance(value, list) else value

    assert bare(status) == bare(opened(packed(status)))
