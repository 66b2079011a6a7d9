"""Who of a group is about to start, and is waited for although its rollout is not seen yet."""

from __future__ import annotations

import pytest

from tidegate.api.names import Cause
from tidegate.governance.groups import Failure, GroupView, MemberView, Standing, about_to_start

READY = MemberView(release="checkout", standing=Standing.WAITS, version="v2", ready=True)
FAILED = Failure(revision="hash2", version="v2", cause=Cause.GATE, message="error rate 5%")


@pytest.mark.parametrize(
    ("others", "waited_for"),
    [
        ((), True),
        ((MemberView(release="api", standing=Standing.CLIMBS, version="v2", step=0, last=2),), True),
        ((MemberView(release="api", standing=Standing.WAITS, version="v2", ready=True),), True),
        ((MemberView(release="api", standing=Standing.WAITS, version="v2", waits=("Approval",)),), False),
        ((MemberView(release="api", standing=Standing.WAITS, version="v2", away=True),), True),
        ((MemberView(release="api", standing=Standing.UNDONE, version="v2"),), False),
        ((MemberView(release="api", standing=Standing.KEPT_OUT, version="v2", failed=FAILED),), False),
        ((MemberView(release="api", standing=Standing.REST),), True),
    ],
)
def test_who_could_start_now_is_waited_for(others: tuple[MemberView, ...], waited_for: bool) -> None:
    """Its start may be seen late; but who is kept by another member keeps nobody who climbs."""
    found = about_to_start(GroupView("shop", (READY, *others)))

    assert waited_for == (READY in found)
    assert all(one.ready and not one.away for one in found)


def test_who_is_scaled_to_zero_or_waits_for_something_else_is_not() -> None:
    away = MemberView(release="checkout", standing=Standing.WAITS, version="v2", ready=True, away=True)
    held = MemberView(release="checkout", standing=Standing.WAITS, version="v2")

    assert [[], []] == [about_to_start(GroupView("shop", (one,))) for one in (away, held)]
