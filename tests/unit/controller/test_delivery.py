"""The four keys of delivery as metrics: of records, so that no restart loses one, and of no more of them than count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tidegate.api.base import format_time
from tidegate.controller.metrics import DELIVERY_SPAN, MOST_DELIVERED, Delivery
from tidegate.controller.reconcile.records import Records
from tidegate.governance.dora import measures, rollout_of
from unit.controller.api_server import settled
from unit.controller.objects import NAMESPACE
from unit.controller.stage import Stage

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
Json = dict[str, Any]
LABELS = {"namespace": "shop", "release": "checkout", "environment": "production"}
KEYS = ("deployments_per_week", "lead_time_seconds", "change_failure_ratio", "time_to_restore_seconds")


def spec(number: int, ended: datetime, outcome: str = "Promoted", *, hotfix: bool = False, **more: Any) -> Json:
    """A record's spec of a rollout that took an hour, two hours after its version was seen."""

    def at(hours: float) -> str:
        return format_time(ended - timedelta(hours=hours))

    undone = {"undoAt": at(0.1)} if outcome == "RolledBack" else {}
    return {
        "number": number,
        "namespace": "shop",
        "release": "checkout",
        "environment": "production",
        "outcome": outcome,
        "type": "hotfix" if hotfix else "minor",
        "seenAt": at(2),
        "startedAt": at(1),
        "exposedAt": at(0.9),
        "course": [{"step": 1, "weight": 10, "at": at(0.9)}],
        "endedAt": at(0),
        **undone,
        **more,
    }


class Shown:
    """The metrics on a clock of the test's own."""

    def __init__(self) -> None:
        self.now = NOW
        self.registry = CollectorRegistry()
        self.delivery = Delivery(self.registry, lambda: self.now)

    def values(self, **labels: str) -> tuple[float | None, ...]:
        return tuple(self.registry.get_sample_value(f"tidegate_{key}", LABELS | labels) for key in KEYS)


def test_they_are_what_the_command_says() -> None:
    """Given promotions and a rollback, then each key is that of `tidegate dora` over thirty days."""
    shown = Shown()
    specs = [spec(1, NOW - timedelta(days=9)), spec(2, NOW - timedelta(days=2), "RolledBack"), spec(3, NOW - timedelta(days=1))]
    for one in (*specs, specs[0]):
        shown.delivery.add(one)
    expected = measures(map(rollout_of, specs), DELIVERY_SPAN)

    per_week, lead, failures, restore = shown.values()
    assert (expected.per_week, 7200.0) == (per_week, lead)
    assert (1 / 3, 0.8 * 3600) == (pytest.approx(failures), pytest.approx(restore))


def test_each_release_and_environment_has_its_own() -> None:
    """And those that are gone have none."""
    shown = Shown()
    shown.delivery.add(spec(1, NOW))
    shown.delivery.add(spec(1, NOW, release="cart", environment=""))
    before = shown.values()[0], shown.values(release="cart", environment="")[0]
    shown.delivery.forget("shop", "checkout")

    assert None not in before
    assert ((None,) * 4, before[1]) == (shown.values(), shown.values(release="cart", environment="")[0])


def test_what_is_older_than_thirty_days_counts_no_more() -> None:
    """A service that is not released any more has no frequency, without anything that happens to it."""
    shown = Shown()
    shown.delivery.add(spec(1, NOW))
    shown.delivery.add(spec(2, NOW - timedelta(days=31), release="cart"))
    fresh = shown.values()[0], shown.values(release="cart")[0]
    shown.now += DELIVERY_SPAN + timedelta(hours=2)

    assert (pytest.approx(7 / 30), None) == fresh
    assert (None,) * 4 == shown.values()


def test_of_many_rollouts_the_last_ones_count() -> None:
    """Nobody fills the memory by releasing often."""
    shown = Shown()
    for number in range(1, MOST_DELIVERED + 21):
        shown.delivery.add(spec(number, NOW - timedelta(minutes=500 - number), "Promoted" if number > 20 else "RolledBack"))

    assert (pytest.approx(MOST_DELIVERED * 7 / 30), 0.0) == (shown.values()[0], shown.values()[2])


@given(
    st.dictionaries(st.sampled_from(["number", "endedAt", "outcome", "course", "namespace"]), st.none() | st.text() | st.integers())
)
def test_a_record_of_somebody_else_is_left_out(odd: Json) -> None:
    """Whatever stands in it, nothing fails."""
    shown = Shown()
    shown.delivery.add({**spec(1, NOW), **odd})
    shown.delivery.add({})

    assert 4 == len(list(shown.delivery.collect()))


async def test_right_after_a_restart_they_are_whole(stage: Stage) -> None:
    """Given records that an operator before has written, then they count, and an API server that is away is asked again."""
    ended = datetime.now(UTC) - timedelta(hours=1)
    for number in range(1, 4):
        metadata = {"name": f"checkout-{number:05d}", "namespace": NAMESPACE}
        stage.api.put(
            {"apiVersion": "tidegate.dev/v1alpha1", "kind": "ReleaseRecord", "metadata": metadata, "spec": spec(number, ended)}
        )
    stage.api.fault("GET", "/releaserecords", status=503, times=1)

    def value() -> float | None:
        return stage.metrics.registry.get_sample_value("tidegate_deployments_per_week", LABELS)

    told: Callable[[Any, Callable[[], None]], None] = stage.outbox.recorded
    read = Records(stage.cluster, told, clock=stage.clock, moved=stage.queue.add, metrics=stage.metrics, namespaces=(NAMESPACE,))
    running = asyncio.create_task(read.run())
    await settled(lambda: stage.clock.sleepers > 0)
    early = value()
    stage.clock.advance(61)
    await settled(lambda: value() is not None)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert (None, pytest.approx(3 * 7 / 30)) == (early, value())
