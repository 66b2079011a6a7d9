"""The recorder against a real API server: the Events are what kubectl finds and sorts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.cluster_client_access import config_map, fresh_namespace, needs_api_server
from tidegate.cluster.client import Cluster
from tidegate.cluster.events import EventType, Recorder
from tidegate.cluster.resources import CONFIG_MAPS, EVENTS, NAMESPACES
from tidegate.runtime.clock import SystemClock

pytestmark = needs_api_server


class Stamped(SystemClock):
    """Waits like the host's clock, but says what the test wants."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        return self._moment


@pytest.fixture
async def about(cluster: Cluster) -> AsyncIterator[dict[str, Any]]:
    """The object that the Events are about."""
    async with fresh_namespace(cluster) as place:
        yield await cluster.create(CONFIG_MAPS.path(place), config_map(place, "checkout"))


async def written(cluster: Cluster, obj: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    """What kubectl describe looks for: by uid of the object."""
    place, uid = obj["metadata"]["namespace"], obj["metadata"]["uid"]
    found = await cluster.list(EVENTS.path(place), field_selector=f"involvedObject.uid={uid}")
    return sorted((item["type"], item["reason"], item["message"], item["count"]) for item in found.items)


async def test_events_of_one_process(cluster: Cluster, about: dict[str, Any]):
    """Repetitions are counted, before and after the first was written; long messages are taken."""
    recorder = Recorder(cluster, clock=SystemClock(), instance="tidegate-0")
    recorder.start()
    for _ in range(3):
        recorder.normal(about, "WeightChanged", "weight 10%")
    await recorder.stop(within=20)
    recorder.start()
    recorder.normal(about, "WeightChanged", "weight 10%")
    recorder.normal(about, "WeightChanged", "weight 25%")
    recorder.warning(about, "Breach", "ü" * 5000)
    await recorder.stop(within=20)

    assert [
        ("Normal", "WeightChanged", "weight 10%", 4),
        ("Normal", "WeightChanged", "weight 25%", 1),
        ("Warning", "Breach", "ü" * 510 + "…", 1),
    ] == await written(cluster, about)


async def test_event_goes_on_after_a_restart(cluster: Cluster, about: dict[str, Any]):
    """Another process that says the same raises the count of the same Event."""
    # Both within one window of ten minutes, whatever the time is.
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for instance, moment in (("tidegate-0", noon), ("tidegate-1", noon + timedelta(seconds=5))):
        recorder = Recorder(cluster, clock=Stamped(moment), instance=instance)
        recorder.start()
        recorder.normal(about, "Waiting", "for metrics")
        await recorder.stop(within=20)

    assert [("Normal", "Waiting", "for metrics", 2)] == await written(cluster, about)


async def test_event_of_a_part_becomes_that_of_the_whole(cluster: Cluster, about: dict[str, Any]):
    """What an operator that ends tells alone, the next one makes the Event of both; the one after that changes nothing."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    alone, both = "v2 starts", "v2 starts. v2 has 10%"
    recorder = Recorder(cluster, clock=Stamped(noon), instance="tidegate-0")
    recorder.start()
    recorder.record(about, EventType.NORMAL, "RolloutStarted", alone, at=noon)
    await recorder.stop(within=20)
    assert [("Normal", "RolloutStarted", alone, 1)] == await written(cluster, about)

    for instance in ("tidegate-1", "tidegate-2"):
        recorder = Recorder(cluster, clock=Stamped(noon + timedelta(seconds=5)), instance=instance)
        recorder.start()
        recorder.record(about, EventType.NORMAL, "RolloutStarted", both, former=(alone, noon))
        await recorder.stop(within=20)
        assert [("Normal", "RolloutStarted", both, 1)] == await written(cluster, about)


async def test_deleted_event_comes_back(cluster: Cluster, about: dict[str, Any]):
    """If somebody deletes the Event, the next repetition creates it again."""
    recorder = Recorder(cluster, clock=SystemClock(), instance="tidegate-0")
    recorder.start()
    recorder.normal(about, "Waiting", "for metrics")
    await recorder.stop(within=20)
    place = about["metadata"]["namespace"]
    for event in (await cluster.list(EVENTS.path(place))).items:
        await cluster.delete(EVENTS.path(place, event["metadata"]["name"]))

    recorder.start()
    recorder.normal(about, "Waiting", "for metrics")
    await recorder.stop(within=20)

    assert [("Normal", "Waiting", "for metrics", 2)] == await written(cluster, about)


async def test_event_about_a_cluster_scoped_object(cluster: Cluster, about: dict[str, Any]):
    """The API takes it in the namespace `default` only."""
    namespace = await cluster.get(NAMESPACES.path(None, about["metadata"]["namespace"]))
    recorder = Recorder(cluster, clock=SystemClock(), instance="tidegate-0")
    recorder.start()
    recorder.normal(namespace, "Seen", "x")
    await recorder.stop(within=20)

    uid = namespace["metadata"]["uid"]
    found = await cluster.list(EVENTS.path("default"), field_selector=f"involvedObject.uid={uid}")
    assert ["Seen"] == [event["reason"] for event in found.items]
