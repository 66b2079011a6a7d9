"""Releases that move together: no step before the others, and what happens to one happens to all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from simulation import grouped
from simulation.deciders import decide
from simulation.grouped import Member, Together
from simulation.policies import condition, events, gate, policy, ready, step
from tidegate.api.decision import Action
from tidegate.api.names import Cause, Phase
from tidegate.api.status import Outcome

STEPS = policy(step(10, "5s"), step(50, "5s"), step(100), gates=(gate(),), bake="5s")


def together(*names: str, **specs: dict[str, Any]) -> Together:
    """Return a group whose Releases serve v1."""
    found = Together(*(Member(name, specs.get(name, STEPS)) for name in names))
    assert found.crank(15, until=lambda: all(ready(one) for one in found)), [one.status.message for one in found]
    for one in found:
        one.notices.clear()
    return found


def on(group: Together) -> Iterable[Member]:
    return [one for one in group if one.status.rollout is not None]


def test_members_start_as_soon_as_all_have_a_new_version():
    """Given three that are applied within seconds, then all start together, long before the time to gather is over."""
    group = together("api", "orders", "workers")
    for one in group:
        one.gather = timedelta(minutes=5)

    group.apply("v2", "api")
    group.crank(3)
    assert (Phase.WAITING, []) == (group["api"].status.phase, on(group))
    (entry,) = group["api"].status.waiting_for
    assert ("Group", "orders, workers of group shop may still get a new version (gather 5m)") == (entry.barrier, entry.what)
    assert entry.until is not None
    group.apply("v2", "orders")
    group.crank(3)
    assert [] == on(group)
    group.apply("v2", "workers")
    group.crank(2)

    assert 3 == len([*on(group)])


def test_member_without_a_new_version_holds_nobody_up_for_longer_than_that():
    """Given one of three alone, then it starts when the time to gather is over, and is promoted alone."""
    group = together("api", "orders", "workers")

    group.apply("v2", "api")
    assert group.crank(12, until=lambda: group["api"].status.rollout is not None)
    group.settled()

    assert ["v2", "v1", "v1"] == [one.status.stable.version for one in group]


def test_all_go_step_by_step_at_the_pace_of_the_slowest():
    """Given one whose pods come up slowly, then nobody is at a step before it has passed the one before, and all are promoted."""
    group = together("api", "orders", "workers")
    group["orders"].cluster.start_up = {"v2": 15.0}
    apart: set[int] = set()

    def seen(member: Member) -> None:
        grouped.check(member, member.last)
        steps = [one.at_step for one in group if one.at_step is not None]
        apart.add(max(steps, default=0) - min(steps, default=0))

    group.apply("v2")
    assert group.crank(200, until=lambda: all(one.status.stable.version == "v2" for one in group), seen=seen)

    assert apart <= {0, 1}
    ends = [one.status.last_rollout.finished_at for one in group]
    assert max(ends) - min(ends) < timedelta(seconds=5)


def test_who_waits_says_for_whom_and_what_that_one_waits_for():
    """Given a member that a person has paused, then the others wait at their step, and name it with the command that ends it."""
    group = together("api", "orders")
    group.apply("v2")
    group.crank(4)
    group["orders"].ask("pause/1")
    group.crank(20)

    api = group["api"].status
    assert 10 == api.weight
    words = "waits for group shop to pass step 1: orders (step 1 of 3, waits for Pause); kubectl annotate --overwrite release"
    assert words in api.message
    assert [("Group", True)] == [(entry.barrier, "request=resume" in entry.how) for entry in api.waiting_for]
    assert 1 == len(events(group["api"], "Waiting"))
    group["orders"].ask("resume/2")
    group.settled()
    assert ["v2", "v2"] == [one.status.stable.version for one in group]


def test_breach_of_one_rolls_back_all():
    """Given three at 10%, when a gate of one fails, then all give their traffic back in the next pass, for its reason."""
    group = together("api", "orders", "workers")
    group.apply("v2")
    assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))
    group.crank(1)
    group["orders"].look("errors", 0.5)
    group["orders"].operate()
    assert 0 == group["orders"].status.weight

    for name in ("api", "workers"):
        group[name].operate()
        status = group[name].status
        assert (0, Phase.ROLLING_BACK, Cause.GROUP) == (status.weight, status.phase, status.rollout.undo)
        assert "orders v2 was rolled back: " in status.rollout.undo_message
        assert "orders v2 was rolled back: " in events(group[name], "RollingBack")[0]
    group.settled()
    assert ["v1"] * 3 == [one.status.stable.version for one in group]
    (kept,) = group["api"].status.rejected
    assert (Cause.GROUP, "orders") == (kept.cause, kept.member)
    assert all(condition(one, "Stalled") for one in group)


@pytest.mark.parametrize("how", ["request", "crash", "deadline"])
def test_whatever_rolls_one_back_rolls_back_all(how: str):
    """A person's request, pods that are lost, and pods that never come up are reasons for all."""
    steps = policy(step(10, "20s"), step(100), progressDeadline="10s", drain="3s")
    group = together("api", "orders", api=steps, orders=steps)
    if how == "deadline":
        group["orders"].cluster.start_up = {"v2": None}
    group.apply("v2")
    if how != "deadline":
        assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))
    if how == "request":
        group["orders"].ask("rollback/1")
    if how == "crash":
        for _ in range(2):
            group["orders"].crash("v2")
            group.crank(4)
    group.settled()

    found = [one.status.last_rollout for one in group]
    assert [Outcome.ROLLED_BACK] * 2 == [one.outcome for one in found]
    assert Cause.GROUP is found[0].cause
    assert Cause.GROUP is not found[1].cause


def test_those_that_bake_are_rolled_back_too():
    """Given one at 100% that bakes while another still has to pass, when that fails, then the first goes back at once."""
    group = together("api", "orders", api=policy(step(100), bake="5s"), orders=STEPS)
    group.apply("v2")
    assert group.crank(60, until=lambda: group["api"].status.phase is Phase.BAKING and group["orders"].status.weight == 10)

    group["orders"].look("errors", 0.5)
    group.crank(1)

    assert (0, Cause.GROUP) == (group["api"].status.weight, group["api"].status.rollout.undo)


def test_changed_template_of_one_is_no_reason_for_the_others():
    """Given two at 10%, when one is reverted in its manifest, then it leaves, and the other is promoted alone."""
    group = together("api", "orders")
    group.apply("v2")
    assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))

    group.apply("v1", "orders")
    group.settled()

    assert ["v2", "v1"] == [one.status.stable.version for one in group]


def test_fix_of_one_brings_back_those_that_it_took_along():
    """Given three that were rolled back because of orders, when that gets v3, then v2 of the others is rolled out with it."""
    group = together("api", "orders", "workers")
    group.apply("v2")
    assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))
    group["orders"].look("errors", 0.5)
    group.crank(1)
    group.settled()

    group.apply("v3", "orders")
    group.crank(4)
    assert 3 == len([*on(group)]), [one.status.message for one in group]
    assert "orders of group shop comes again with v3" in events(group["api"], "Retried")[0]
    group.settled()

    assert ["v2", "v3", "v2"] == [one.status.stable.version for one in group]


def test_retry_of_the_one_that_failed_brings_all_back():
    """Who has mended a database asks for one retry, of the member that had failed for it."""
    group = together("api", "orders")
    group.apply("v2")
    assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))
    group["orders"].look("errors", 0.5)
    group.crank(1)
    group.settled()

    group["orders"].ask("retry/1")
    group.settled()

    assert ["v2", "v2"] == [one.status.stable.version for one in group]


@pytest.mark.parametrize("fresh", ["v1", "v3"])
def test_member_that_leaves_takes_nobody_along_for_a_failure_that_was_tried_again(fresh: str):
    """Given a breach, a retry that brings all back, and a member whose people then change its template, the others go on."""
    group = together("api", "orders")
    group.apply("v2")
    assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))
    group["orders"].look("errors", 0.5)
    group.crank(1)
    group["orders"].ask("retry/1")
    group.crank(2)
    assert group.crank(60, until=lambda: all(one.status.weight == 10 for one in group)), [one.status.message for one in group]

    group.apply(fresh, "orders")
    group.settled()

    assert ["v2", fresh] == [one.status.stable.version for one in group]
    assert ["RolledBack", "Promoted"] == [one["outcome"] for one in group["api"].archive.specs]
    assert [["orders"], ["orders"]] == [one["movedWith"] for one in group["api"].archive.specs]


def test_version_that_is_rejected_before_it_starts_keeps_the_others_waiting():
    """Given a version that a person rejects while another gathers, then that one does not start alone, and says what would help."""
    group = together("api", "orders", "workers")
    api, orders = group["api"], group["orders"]
    for one in group:
        one.gather = timedelta(seconds=20)
    group.apply("v2", "api", "orders")
    group.crank(5)
    assert [] == on(group)

    decide(orders, Action.REJECT)
    group.crank(40)

    assert [] == on(group)
    words = (
        "v2 waits for another version of orders of group shop, or a retry: v2 was rejected there (rejected by ann as qa); kubectl"
    )
    assert words in api.status.message
    assert "release orders -n shop tidegate.dev/request=retry/" in api.status.waiting_for[0].how
    group.apply("v1", "orders")
    group.settled()
    assert ["v2", "v1", "v1"] == [one.status.stable.version for one in group]


def test_old_rejection_of_one_is_no_reason_for_what_others_get_later():
    """Given a version that was rejected days ago and is still in the template, then others go without it."""
    group = together("api", "orders")
    group.apply("v2", "orders")
    decide(group["orders"], Action.REJECT)
    group.crank(15)
    decide(group["orders"], Action.REJECT)
    group.settled()

    group.apply("v2", "api")
    group.settled()

    assert ["v2", "v1"] == [one.status.stable.version for one in group]


def test_member_that_a_person_holds_is_named():
    """Given one whose new version is held, then the others do not start without it, and say how it is let go."""
    group = together("api", "orders")
    group["orders"].ask("rollback-and-hold/1")
    group.crank(1)
    group.apply("v2")
    group.crank(30)

    assert [] == on(group)
    words = "v2 waits for group shop to be able to start: orders (v2 has not started, waits for Hold); kubectl annotate"
    assert words in group["api"].status.message
    group["orders"].ask("resume/2")
    group.settled()
    assert ["v2", "v2"] == [one.status.stable.version for one in group]


def test_member_that_is_scaled_to_zero_holds_nobody_up():
    """It has no traffic to move, however new its version is."""
    group = together("api", "orders")
    group["orders"].cluster.scale(0)
    group.crank(5)

    group.apply("v2")

    assert group.crank(60, until=lambda: group["api"].status.stable.version == "v2"), group["api"].status.message


def test_member_that_is_deleted_leaves():
    """Given two at 10%, when one Release is deleted, then the other goes on to its promotion."""
    group = together("api", "orders")
    group.apply("v2")
    assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))

    group["orders"].delete()

    assert group.crank(60, until=lambda: group["api"].status.stable.version == "v2"), group["api"].status.message


def test_full_promotion_of_one_waits_for_the_others_step_by_step():
    """A person promotes one of two: it goes without holds, and never more than a step ahead."""
    group = together("api", "orders")
    group.apply("v2")
    assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))

    group["api"].ask("promote/1")
    assert group.crank(
        200,
        until=lambda: all(one.status.stable.version == "v2" for one in group),
        seen=lambda member: grouped.check(member, member.last),
    )


def test_operator_that_was_dead_meanwhile_still_knows_who_moved_together():
    """Given two at 10%, when one is rolled back to the end while no pass of the other is made, then that one follows."""
    group = together("api", "orders")
    group.apply("v2")
    assert group.crank(40, until=lambda: all(one.status.weight == 10 for one in group))
    group.crank(1)
    orders = group["orders"]
    orders.look("errors", 0.5)
    assert orders.crank(60, until=lambda: orders.status.rollout is None)

    group["api"].die()
    group["api"].operate()

    assert (0, Cause.GROUP) == (group["api"].status.weight, group["api"].status.rollout.undo)
