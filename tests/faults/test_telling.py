"""What must not be of notifications is seen: an orderly account, and then again with one thing wrong."""

from __future__ import annotations

import pytest

from faults.telling import Told, wrong

THERE = {2: ("uid.2", "rollout-started"), 3: ("uid.3", "weight-raised")}
FIRST, SECOND = Told("uid.2", 2, "rollout-started", "Rollout of v2"), Told("uid.3", 3, "weight-raised", "Weight of v2")


@pytest.mark.parametrize(
    ("told", "lives", "expected"),
    [
        ([FIRST, SECOND], 1, set()),
        ([FIRST, FIRST, SECOND], 2, set()),
        ([FIRST, SECOND, FIRST, SECOND], 2, set()),
        ([FIRST], 1, {"told"}),
        ([FIRST, FIRST, SECOND], 1, {"told-once"}),
        ([SECOND, FIRST], 1, {"in-order"}),
        ([FIRST, SECOND, Told("uid.4", 4, "ended", "v2 is promoted")], 1, {"told-as-stored"}),
        ([FIRST, Told("uid.3", 3, "ended", "v2 is promoted"), SECOND], 2, {"told-as-stored", "one-id"}),
        ([FIRST, Told("other.3", 3, "weight-raised", "Weight of v2")], 1, {"told", "told-as-stored"}),
    ],
)
def test_what_is_wrong_is_named(told: list[Told], lives: int, expected: set[str]) -> None:
    """Each transition that was stored is told, by one id, once in a life, in order, and nothing else is."""
    assert expected == {invariant for invariant, _ in wrong(told, THERE, lives)}
