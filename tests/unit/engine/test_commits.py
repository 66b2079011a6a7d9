"""When a version's commit was made goes into its record, and with the version into what is in force."""

from __future__ import annotations

from datetime import timedelta

import pytest

from simulation.policies import finish, idle, policy, step
from simulation.views import at
from simulation.world import World
from tidegate.api.base import format_time
from tidegate.governance.dora import measures, rollout_of

QUICK = policy(step(25, "4s"), step(100), bake="1s")


def ago(world: World, **span: float) -> str:
    return format_time(at(world.now) - timedelta(**span))


def rolled_out(world: World, image: str, committed: str) -> None:
    """Apply an image with the time of its commit, and have it promoted."""
    world.committed = committed
    world.apply(image)
    world.crank(2)
    finish(world)


def test_a_lead_time_begins_with_the_commit() -> None:
    """Given a commit of three hours ago, the record has it, what is in force has it, and the lead time is three hours and more."""
    world = idle(QUICK)
    committed = ago(world, hours=3)
    rolled_out(world, "v2", committed)

    spec = world.archive.specs[-1]

    assert (committed, None) == (spec["committedAt"], spec.get("commitIgnored"))
    assert world.status.stable is not None
    assert world.status.stable.committed_at is not None
    assert committed == format_time(world.status.stable.committed_at)
    found = measures([rollout_of(spec)], timedelta(days=7))
    assert (1, 0) == (found.from_commits, found.ignored)
    assert timedelta(hours=3) < found.lead_times[0] < timedelta(hours=4)


@pytest.mark.parametrize(
    ("committed", "ignored"),
    [({"hours": -2}, "Future"), ({"days": 366}, "TooOld"), (None, "Unreadable")],
)
def test_what_cannot_be_is_recorded_and_not_counted(committed: dict[str, float] | None, ignored: str) -> None:
    """A time in the future, of long ago, or none at all: the record says which, and the lead time is from first seen."""
    world = idle(QUICK)
    rolled_out(world, "v2", ago(world, **committed) if committed else "soon")

    spec = world.archive.specs[-1]

    assert (ignored, committed is not None) == (spec["commitIgnored"], "committedAt" in spec)
    found = measures([rollout_of(spec)], timedelta(days=7))
    assert (0, 1) == (found.from_commits, found.ignored)
    assert found.lead_times[0] < timedelta(minutes=5)


def test_what_the_version_before_has_left_is_no_commit_of_the_next() -> None:
    """Given v3 whose author has left the time of v2's commit as it was, that is told; v4 with one of its own counts again."""
    world = idle(QUICK)
    committed = ago(world, hours=3)
    rolled_out(world, "v2", committed)
    rolled_out(world, "v3", committed)
    rolled_out(world, "v4", ago(world, hours=1))

    second, third, fourth = world.archive.specs

    assert [None, "NotNewer", None] == [spec.get("commitIgnored") for spec in (second, third, fourth)]
    assert committed == third["committedAt"]


def test_a_time_to_come_is_not_held_against_the_next_version() -> None:
    """Given v2 that says it was committed next week, v3 of today counts."""
    world = idle(QUICK)
    rolled_out(world, "v2", ago(world, days=-7))
    rolled_out(world, "v3", ago(world, hours=1))

    assert ["Future", None] == [spec.get("commitIgnored") for spec in world.archive.specs]


def test_what_serves_at_first_has_its_commit() -> None:
    """A version that the Release takes on is what the next one is held against."""
    world = World(QUICK)
    world.committed = ago(world, hours=5)
    world.crank(30, until=lambda: world.status.stable is not None)
    assert world.status.stable is not None
    assert world.status.stable.committed_at is not None

    world.apply("v2")
    world.crank(2)
    finish(world)

    assert "NotNewer" == world.archive.specs[-1]["commitIgnored"]


def test_without_a_word_nothing_is_recorded_of_it() -> None:
    world = idle(QUICK)
    rolled_out(world, "v2", "")

    assert not {"committedAt", "commitIgnored"} & world.archive.specs[-1].keys()
