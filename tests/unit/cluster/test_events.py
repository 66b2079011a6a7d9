"""The recorder never waits, repeats itself in one Event, and stays within its limits."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tidegate.cluster.client import Cluster
from tidegate.cluster.events import BURST, CAPACITY, REFILL, REFUSALS, WINDOW, Dropped, EventType, Recorder
from tidegate.cluster.resources import EVENTS
from unit.cluster.loopback import AutoClock, Loopback, refuse, reply


def release(name: str = "checkout", namespace: str = "shop") -> dict[str, Any]:
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
    }


class Desk:
    """A recorder that has not started yet, and what became of its Events."""

    def __init__(self, cluster: Cluster, loopback: Loopback, clock: AutoClock) -> None:
        self.loopback = loopback
        self.clock = clock
        self.dropped: list[Dropped] = []
        self.recorder = Recorder(cluster, clock=clock, instance="tidegate-0", on_drop=self.dropped.append)

    def accept(self, count: int) -> None:
        self.loopback.others.extend(reply({"kind": "Event"}) for _ in range(count))

    async def flush(self) -> None:
        self.recorder.start()
        await self.recorder.stop(within=10)


@pytest.fixture
async def desk(cluster: Cluster, loopback: Loopback, auto_clock: AutoClock) -> AsyncIterator[Desk]:
    desk = Desk(cluster, loopback, auto_clock)
    yield desk
    await desk.recorder.stop(within=0)


async def test_event_says_who_what_when_and_why(desk: Desk):
    """What kubectl shows is all there."""
    desk.accept(1)
    desk.recorder.normal(release(), "WeightChanged", "checkout v2: weight 10%")
    await desk.flush()

    created = desk.loopback.bodies[0]
    assert [("POST", EVENTS.path("shop"))] == desk.loopback.asked()
    assert re.fullmatch(r"checkout\.[0-9a-f]{16}", created["metadata"]["name"])
    moment = desk.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": created["metadata"]["name"], "namespace": "shop"},
        "involvedObject": {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "Release",
            "name": "checkout",
            "uid": "uid-checkout",
            "namespace": "shop",
        },
        "type": "Normal",
        "reason": "WeightChanged",
        "message": "checkout v2: weight 10%",
        "count": 1,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": "tidegate", "host": "tidegate-0"},
        "reportingComponent": "tidegate",
        "reportingInstance": "tidegate-0",
    } == created


async def test_repetition_while_waiting_costs_nothing(desk: Desk):
    """Three of the same in one breath are one request with count 3."""
    desk.accept(1)
    for _ in range(3):
        desk.recorder.warning(release(), "Waiting", "for metrics")
    await desk.flush()

    assert [3] == [body["count"] for body in desk.loopback.bodies]


async def test_repetition_later_raises_the_count(desk: Desk):
    """Within ten minutes it is the same Event, with a later time."""
    desk.accept(2)
    desk.recorder.normal(release(), "Waiting", "for metrics")
    await desk.flush()
    desk.clock.advance(30)
    desk.recorder.normal(release(), "Waiting", "for metrics")
    await desk.flush()

    name = desk.loopback.bodies[0]["metadata"]["name"]
    assert ("PATCH", EVENTS.path("shop", name)) == desk.loopback.asked()[1]
    assert {"count": 2, "lastTimestamp": "2026-01-01T00:00:30Z"} == desk.loopback.bodies[1]


async def test_repetition_after_the_window_is_a_new_event(desk: Desk):
    """After ten minutes it is news again."""
    desk.accept(2)
    for _ in range(2):
        desk.recorder.normal(release(), "Waiting", "for metrics")
        await desk.flush()
        desk.clock.advance(WINDOW + 1)

    assert ["POST", "POST"] == [method for method, _ in desk.loopback.asked()]
    first, second = (body["metadata"]["name"] for body in desk.loopback.bodies)
    assert first != second


async def test_event_that_an_earlier_life_began_is_continued(desk: Desk):
    """After a restart or a change of leader the count goes on."""
    desk.loopback.others.append(refuse(409, "AlreadyExists"))
    desk.loopback.others.append(reply({"kind": "Event", "count": 4, "reportingInstance": "tidegate-1"}))
    desk.accept(1)
    desk.recorder.normal(release(), "Waiting", "for metrics")
    await desk.flush()

    assert ["POST", "GET", "PATCH"] == [method for method, _ in desk.loopback.asked()]
    assert 5 == desk.loopback.bodies[2]["count"]


async def test_answer_that_got_lost_does_not_count_twice(desk: Desk):
    """The Event was created, but the answer said otherwise: it is our own that exists already."""
    desk.loopback.others.append(refuse(504, "Timeout"))
    desk.loopback.others.append(refuse(409, "AlreadyExists"))
    there = {"kind": "Event", "count": 1, "reportingInstance": "tidegate-0", "firstTimestamp": "2026-01-01T00:00:00Z"}
    desk.loopback.others.append(reply(there))
    desk.accept(1)
    desk.recorder.normal(release(), "Waiting", "for metrics")
    await desk.flush()

    assert 1 == desk.loopback.bodies[3]["count"]


async def test_event_that_the_api_forgot_is_created_again(desk: Desk):
    """Events live an hour by default, or as long as somebody lets them."""
    desk.accept(1)
    desk.recorder.normal(release(), "Waiting", "for metrics")
    await desk.flush()
    desk.loopback.others.append(refuse(404, "NotFound"))
    desk.accept(1)
    desk.recorder.normal(release(), "Waiting", "for metrics")
    await desk.flush()

    assert ["POST", "PATCH", "POST"] == [method for method, _ in desk.loopback.asked()]
    assert 2 == desk.loopback.bodies[2]["count"]


async def test_events_about_cluster_scoped_objects(desk: Desk):
    """They live in the namespace `default`, where kubectl looks for them."""
    desk.accept(1)
    policy = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "ClusterRolloutPolicy", "metadata": {"name": "p", "uid": "u"}}
    desk.recorder.normal(policy, "Used", "by 3 Releases")
    await desk.flush()

    assert [("POST", EVENTS.path("default"))] == desk.loopback.asked()
    assert "namespace" not in desk.loopback.bodies[0]["involvedObject"]


async def test_long_message_is_cut_between_characters(desk: Desk):
    """The API counts bytes; no character is cut in two."""
    desk.accept(1)
    desk.recorder.normal(release(), "Long", "ü" * 2000)
    await desk.flush()

    message = desk.loopback.bodies[0]["message"]
    assert len(message.encode()) <= 1024
    assert message == "ü" * (len(message) - 1) + "…"


async def test_one_object_cannot_flood(desk: Desk):
    """Beyond its burst an object gets one Event every few seconds; the others are not affected."""
    for number in range(BURST + 5):
        desk.recorder.normal(release(), "Flood", f"number {number}")
    desk.recorder.normal(release("other"), "Calm", "one")

    assert BURST + 1 == desk.recorder.waiting()
    assert [Dropped.RATE] * 5 == desk.dropped

    desk.clock.advance(REFILL)
    desk.recorder.normal(release(), "Flood", "later")
    assert BURST + 2 == desk.recorder.waiting()
    desk.accept(BURST + 2)
    await desk.flush()


async def test_oldest_goes_when_too_many_wait(desk: Desk):
    """The buffer is bounded, and what is dropped is counted."""
    for number in range(CAPACITY + 1):
        desk.recorder.normal(release(f"r{number}"), "Begun", "x")

    assert CAPACITY == desk.recorder.waiting()
    assert [Dropped.CAPACITY] == desk.dropped


async def test_api_that_is_away_is_waited_for(desk: Desk):
    """Trouble that passes loses nothing."""
    desk.loopback.others.append(refuse(503, "ServiceUnavailable"))
    desk.loopback.others.append(refuse(429, "TooManyRequests", details={"retryAfterSeconds": 3}))
    desk.accept(1)
    desk.recorder.normal(release(), "Begun", "x")
    await desk.flush()

    assert [] == desk.dropped
    assert [0.5, 3.0] == desk.clock.slept


class Lapsed:
    """A fence that is down for the first write: the lease could not be renewed, and was taken by nobody."""

    grace = 5.0

    def __init__(self) -> None:
        self.asked = 0

    def remaining(self) -> float:
        self.asked += 1
        return 0.0 if self.asked == 1 else 10.0


async def test_event_waits_until_a_leader_may_write_again(loopback: Loopback, auto_clock: AutoClock):
    """Given a lease that could not be renewed for a moment, what happened right then is told once it is."""
    async with Cluster(loopback.connection(), fence=(fence := Lapsed())) as cluster:
        desk = Desk(cluster, loopback, auto_clock)
        desk.accept(1)
        desk.recorder.normal(release(), "WeightChanged", "x")
        await desk.flush()

    assert fence.asked > 1
    assert ([], ["POST"]) == (desk.dropped, [method for method, _ in loopback.asked()])


async def test_refused_event_is_dropped_and_the_next_one_written(desk: Desk):
    """In a namespace that is being deleted, for one."""
    terminating = {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace", "message": "is being terminated"}]}
    desk.loopback.others.append(refuse(403, "Forbidden", details=terminating))
    desk.accept(1)
    for reason in ("First", "Second"):
        desk.recorder.normal(release(), reason, "x")
    await desk.flush()

    assert [Dropped.REFUSED] == desk.dropped
    assert "Second" == desk.loopback.bodies[-1]["reason"]


async def test_event_that_an_api_server_refuses_as_it_starts_is_not_lost(desk: Desk):
    """It refuses everything until it has read its roles: the Event is tried again."""
    desk.loopback.others.append(refuse(403, "Forbidden"))
    desk.accept(1)
    desk.recorder.normal(release(), "Begun", "x")
    await desk.flush()

    assert [] == desk.dropped
    assert ["POST", "POST"] == [method for method, _ in desk.loopback.asked()]


async def test_permission_that_stays_away_is_not_waited_for_long(desk: Desk):
    """Without the right to write Events there are none, and no requests without end."""
    desk.loopback.otherwise = refuse(403, "Forbidden")
    desk.recorder.normal(release(), "Begun", "x")
    await desk.flush()

    assert [Dropped.REFUSED] == desk.dropped
    assert REFUSALS <= sum(desk.clock.slept) <= REFUSALS + 10


async def test_event_told_again_is_left_alone_where_it_is_written(desk: Desk):
    """Given an Event that an earlier life has decided on and written, telling it again changes nothing."""
    happened = desk.clock.now() - timedelta(minutes=20)
    desk.loopback.others.append(refuse(409, "AlreadyExists"))
    there = {"kind": "Event", "count": 1, "reportingInstance": "tidegate-1", "lastTimestamp": "2025-12-31T23:40:01Z"}
    desk.loopback.others.append(reply(there))
    desk.recorder.record(release(), EventType.NORMAL, "Begun", "x", at=happened, again=True)
    await desk.flush()

    assert ["POST", "GET"] == [method for method, _ in desk.loopback.asked()]


async def test_event_told_again_is_written_where_it_was_lost(desk: Desk):
    """Given an Event that an earlier life has decided on and not written, it is written with the time at which it happened."""
    desk.accept(1)
    desk.recorder.record(release(), EventType.NORMAL, "Begun", "x", at=desk.clock.now() - timedelta(minutes=20), again=True)
    await desk.flush()

    told = desk.loopback.bodies[0]
    assert ("2025-12-31T23:40:00Z", 1) == (told["lastTimestamp"], told["count"])


async def test_event_told_again_has_the_name_that_it_had(desk: Desk):
    """The name follows from when it happened, not from when it is told."""
    happened = desk.clock.now()
    desk.accept(2)
    desk.recorder.record(release(), EventType.NORMAL, "Begun", "x", at=happened)
    await desk.flush()
    desk.clock.advance(3 * WINDOW)
    desk.recorder.record(release(), EventType.NORMAL, "Begun", "x", at=happened, again=True)
    await desk.flush()

    first, second = (body["metadata"]["name"] for body in desk.loopback.bodies)
    assert first == second


async def test_repetition_told_again_is_counted_where_it_was_lost(desk: Desk):
    """Given an Event that happened a second time just before its operator died, telling it again raises the count."""
    there = {"kind": "Event", "count": 1, "reportingInstance": "tidegate-1", "lastTimestamp": "2025-12-31T23:59:00Z"}
    desk.loopback.others.append(refuse(409, "AlreadyExists"))
    desk.loopback.others.append(reply(there))
    desk.accept(1)
    desk.recorder.record(release(), EventType.NORMAL, "Begun", "x", at=desk.clock.now(), again=True)
    await desk.flush()

    assert {"count": 2, "lastTimestamp": "2026-01-01T00:00:00Z"} == desk.loopback.bodies[-1]


async def test_event_is_known_to_be_written(desk: Desk):
    """Only once the API has taken it, with all its repetitions."""
    event = (release(), EventType.NORMAL, "Begun", "x")
    desk.accept(1)
    unknown = desk.recorder.written(*event)
    desk.recorder.record(*event)
    waiting = desk.recorder.written(*event)
    await desk.flush()
    written = desk.recorder.written(*event)
    desk.recorder.record(*event)

    assert (False, False, True, False) == (unknown, waiting, written, desk.recorder.written(*event))


async def test_event_that_fails_does_not_hold_up_the_others(desk: Desk):
    """It goes to the end of the line, and is given up when its window is over."""

    async def answer(request: Any) -> Any:
        failing = (await request.json())["reason"] == "First"
        return await (refuse(500, "InternalError") if failing else reply({"kind": "Event"}))(request)

    desk.loopback.otherwise = answer
    for reason in ("First", "Second", "Third"):
        desk.recorder.normal(release(), reason, "x")
    await desk.flush()

    reasons = [body["reason"] for body in desk.loopback.bodies]
    assert ["First", "Second", "Third"] == reasons[:3]
    assert {"First"} == set(reasons[3:])
    assert [Dropped.REFUSED] == desk.dropped
    assert WINDOW <= sum(desk.clock.slept) <= WINDOW + 10
    assert max(desk.clock.slept) <= 10


async def test_stop_gives_up_on_what_cannot_be_written(desk: Desk, cluster: Cluster):
    """Shutdown does not hang on an API that does not answer."""

    async def never(_: Any) -> Any:
        await asyncio.Event().wait()

    desk.loopback.others.append(never)
    desk.recorder.normal(release(), "Begun", "x")
    desk.recorder.start()
    stopping = asyncio.Event()

    async def expire(seconds: float, *, wake: asyncio.Event | None = None) -> None:
        stopping.set()

    desk.clock.sleep = expire  # type: ignore[method-assign]
    await desk.recorder.stop(within=1)

    assert stopping.is_set()
    await desk.recorder.stop(within=1)


async def test_event_that_is_under_way_is_not_forgotten(desk: Desk):
    """Given one that comes again beyond its object's burst while its request fails, it is tried again, and so are others."""

    async def away(request: Any) -> Any:
        desk.recorder.normal(release(), "Begun", "number 0")
        return await refuse(503, "ServiceUnavailable")(request)

    desk.loopback.others.append(away)
    desk.accept(BURST)
    for number in range(BURST):
        desk.recorder.normal(release(), "Begun", f"number {number}")
    await desk.flush()

    assert [Dropped.RATE] == desk.dropped
    assert [f"number {number}" for number in (*range(BURST), 0)] == [body["message"] for body in desk.loopback.bodies]


async def test_event_is_tried_again_however_many_others_came_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Given one whose count is to be raised, and that is the one remembered longest when the API is away, it is not lost."""

    async def away(request: Any) -> Any:
        for number in range(3):
            desk.recorder.normal(release(f"r{number}"), "Begun", "x")
        return await refuse(503, "ServiceUnavailable")(request)

    monkeypatch.setattr("tidegate.cluster.events.SERIES", 3)
    desk.accept(1)
    desk.recorder.normal(release(), "Waiting", "for metrics")
    await desk.flush()
    desk.loopback.others.append(away)
    desk.accept(4)
    desk.recorder.normal(release(), "Waiting", "for metrics")
    await desk.flush()

    raised = [body for body in desk.loopback.bodies if body.get("kind") != "Event"]
    assert ([2, 2], 0) == ([body["count"] for body in raised], desk.recorder.waiting())
