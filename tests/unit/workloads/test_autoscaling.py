"""What the numbers of a HorizontalPodAutoscaler mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.workloads.autoscaling import (
    MEMORY,
    READS,
    Average,
    ScaleTarget,
    counted_for_certain,
    most_replicas,
    target_of,
    tolerance,
    usages,
)

Json = dict[str, Any]
CPU = "Resource cpu"


def resource(target: Json, current: Json | None, *, name: str = "cpu", container: str = "") -> tuple[Json, Json]:
    """A metric of pods or of one of their containers as it is wanted and as it is."""
    kind, place = ("ContainerResource", "containerResource") if container else ("Resource", "resource")
    source = {"name": name, **({"container": container} if container else {})}
    now: Json = {"type": ""} if current is None else {"type": kind, place: {**source, "current": current}}
    return {"type": kind, place: {**source, "target": target}}, now


def of_pods(target: str, current: str, *, selector: Json | None = None) -> tuple[Json, Json]:
    """A metric of the application's own."""
    metric = {"name": "requests_per_second", **({"selector": selector} if selector else {})}
    return (
        {"type": "Pods", "pods": {"metric": metric, "target": {"type": "AverageValue", "averageValue": target}}},
        {"type": "Pods", "pods": {"metric": metric, "current": {"averageValue": current}}},
    )


def scaler(*metrics: tuple[Json, Json], active: str = "True", **spec: Any) -> Json:
    return {
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "maxReplicas": 20,
            "metrics": [wanted for wanted, _ in metrics],
            **spec,
        },
        "status": {
            "currentMetrics": [now for _, now in metrics],
            "conditions": [{"type": "ScalingActive", "status": active}],
        },
    }


UTILIZATION = resource({"averageUtilization": 50}, {"averageUtilization": 75, "averageValue": "750m"})


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (UTILIZATION, 1.5),
        (resource({"averageValue": "500m"}, {"averageValue": "1"}), 2.0),
        (resource({"averageUtilization": 80}, {"averageUtilization": 40, "averageValue": "40m"}, container="app"), 0.5),
        (of_pods("100", "150"), 1.5),
        (of_pods("1k", "1500", selector={"matchLabels": {"verb": "GET"}}), 1.5),
        (resource({"averageUtilization": 50}, {"averageUtilization": 0, "averageValue": "0"}), 0.0),
    ],
)
def test_average_as_a_multiple_of_its_target(metric: tuple[Json, Json], expected: float) -> None:
    """Processor time and the application's own metrics, by utilization or by value."""
    assert [expected] == list(usages(scaler(metric)).values())


@pytest.mark.parametrize(
    "metric",
    [
        resource({"averageValue": "1Gi"}, {"averageValue": "2Gi"}, name="memory"),
        resource({"averageUtilization": 50}, None),
        resource({"averageUtilization": 50}, {"averageValue": "1"}),
        ({"type": "Object", "object": {"target": {"value": "10"}}}, {"type": "Object", "object": {"current": {"value": "20"}}}),
        ({"type": "External", "external": {"target": {"averageValue": "1"}}}, {"type": "External", "external": {"current": {}}}),
        ({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 0}}}, UTILIZATION[1]),
        ({"type": "Later"}, {"type": "Later"}),
    ],
    ids=["memory", "not read", "another field", "object", "external", "no target", "unknown"],
)
def test_what_does_not_tell_how_busy_pods_are(metric: tuple[Json, Json]) -> None:
    """Idle pods have memory, too; what is no average over pods does not change with their number."""
    assert {} == usages(scaler(metric))


def test_autoscaler_that_cannot_scale_tells_nothing() -> None:
    """While it says of itself that it has no numbers to go by, old ones do not count."""
    assert {} == usages(scaler(UTILIZATION, active="False"))
    assert {} == usages({"spec": {}})
    assert {} == usages({})


def test_several_metrics_are_kept_apart() -> None:
    """Each counts by itself; of two targets of one metric, the one that asks for more."""
    several = scaler(
        UTILIZATION,
        resource({"averageValue": "250m"}, {"averageValue": "750m"}),
        resource({"averageUtilization": 50}, {"averageUtilization": 20}, container="app"),
        of_pods("10", "20", selector={"matchExpressions": [{"key": "verb", "operator": "In", "values": ["PUT", "GET"]}]}),
    )

    found = usages(several)

    assert {CPU: 3.0, "ContainerResource cpu app": 0.4, "Pods requests_per_second [\"verb In ['GET', 'PUT']\"]": 2.0} == found
    assert [True, True, False] == [counted_for_certain(name) for name in found]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"}, ScaleTarget("Deployment", "checkout")),
        ({"kind": "Deployment", "name": "checkout"}, ScaleTarget("Deployment", "checkout")),
        ({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "checkout"}, None),
        ({"apiVersion": "apps.example/v1", "kind": "Deployment", "name": "checkout"}, None),
        ({}, None),
    ],
)
def test_what_is_scaled(reference: Json, expected: ScaleTarget | None) -> None:
    """Only Deployments of Kubernetes itself are released."""
    assert expected == target_of({"spec": {"scaleTargetRef": reference}})


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (None, 20),
        ({"selectPolicy": "Disabled"}, 4),
        ({"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}, 5),
        ({"policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}]}, 6),
        ({"policies": [{"type": "Percent", "value": 10, "periodSeconds": 15}]}, 5),
        (
            {
                "policies": [
                    {"type": "Pods", "value": 3, "periodSeconds": 60},
                    {"type": "Percent", "value": 900, "periodSeconds": 60},
                ]
            },
            20,
        ),
        (
            {
                "selectPolicy": "Min",
                "policies": [
                    {"type": "Pods", "value": 3, "periodSeconds": 60},
                    {"type": "Percent", "value": 900, "periodSeconds": 60},
                ],
            },
            5,
        ),
        ({"policies": [{"type": "Later", "value": 1, "periodSeconds": 1}]}, 20),
        ({"policies": []}, 20),
    ],
)
def test_rules_of_scaling_up_are_kept(rules: Json | None, expected: int) -> None:
    """Given 4 pods now and 2 a minute ago: as many more as the autoscaler's own rules allow."""
    spec = {} if rules is None else {"behavior": {"scaleUp": rules}}

    assert expected == most_replicas(scaler(**spec), least_within=lambda seconds: 2 if seconds >= 60 else 4)


def test_tolerance_is_the_autoscalers_own() -> None:
    """As it says, or as its controller has it by default."""
    assert 0.1 == tolerance(scaler())
    assert 0.05 == tolerance(scaler(behavior={"scaleUp": {"tolerance": "50m"}}))


class Told:
    """An average over four old pods, and the load that it is taken for."""

    def __init__(self, *, certain: bool = True) -> None:
        self.now, self.average = 1000.0, Average({"old": 4}, certain=certain)

    def load(self, usage: float, *, new: int = 0, old: int = 4, after: float = 15.0) -> float:
        self.now += after
        return self.average.load(usage, {"old": old, "new": new}, now=self.now, heard=self.now)


def test_new_pods_count_once_they_have_lowered_the_average() -> None:
    """Given 4 busy pods and 4 new idle ones: half of the usage is the same load; from then on all eight are counted."""
    told = Told()
    assert 4.0 == told.load(1.0)
    assert 4.0 == told.load(1.0, new=4)
    assert 4.0 == told.load(0.5, new=4)

    assert 8.0 == told.load(1.0, new=4)


def test_load_that_rises_before_the_new_pods_are_counted() -> None:
    """The old pods alone are twice as busy: that is the load; later all are, and it is still the load."""
    told = Told()
    told.load(1.0)

    assert [8.0, 8.0, 12.0] == [told.load(2.0, new=4), told.load(1.0, new=4), told.load(1.5, new=4)]


def test_new_pods_that_do_not_lower_the_average_are_no_load() -> None:
    """Given a metric that idle pods do not have, the old pods alone count, however long that lasts."""
    told = Told(certain=False)
    told.load(1.0)

    assert {4.0} == {told.load(1.0, new=4) for _ in range(100)}


def test_processor_time_of_ready_pods_is_counted_after_some_reads() -> None:
    """Given a load that rises with the very look that counts the new pods, it is known once they must have been counted."""
    told = Told()
    told.load(1.0)
    assert 4.0 == told.load(1.0, new=4)

    assert [4.0, 4.0, 8.0] == [told.load(1.0, new=4) for _ in range(READS)]


def test_pods_that_go_on_coming_put_that_off() -> None:
    """Each time that others become ready, it begins anew."""
    told = Told()
    told.load(1.0)

    assert {4.0} == {told.load(1.0, new=4 + number // 2) for number in range(12)}


def test_average_that_was_not_read_again_is_no_news() -> None:
    """Given an autoscaler that has stopped, pods that come do not make its last number a higher load."""
    told = Told()
    told.load(1.0)

    found = [told.average.load(1.0, {"old": 4, "new": n}, now=told.now + 600 * n, heard=told.now) for n in (4, 8, 16)]

    assert [4.0, 4.0, 4.0] == found


def test_what_the_load_was_is_forgotten() -> None:
    """A load that has fallen long since is no sign that new pods are counted: the usage of the old ones has risen again."""
    told = Told(certain=False)
    told.load(2.0)
    told.load(1.0, new=4)

    told = Told(certain=False)
    told.load(2.0)
    told.load(0.9)
    told.load(0.9, after=MEMORY + 1)

    assert 4.0 == told.load(1.0, new=4)


def test_pods_that_go_are_not_counted() -> None:
    """With the new pods gone, or half of the old ones, those that are left are what the average is over."""
    told = Told()
    told.load(1.0)
    told.load(0.5, new=4)

    assert [4.0, 2.0] == [told.load(1.0), told.load(1.0, old=2)]


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 9), st.integers(0, 9), st.floats(0, 90)), min_size=1, max_size=20),
    st.booleans(),
)
def test_load_is_between_that_of_the_least_and_that_of_all_pods(looks: list[tuple[float, int, int, float]], certain: bool) -> None:
    """Whatever comes, never more than the average times all pods that are ready, and never negative."""
    told = Told(certain=certain)

    for usage, old, new, after in looks:
        found = told.load(usage, old=old, new=new, after=after)
        assert 0 <= found <= usage * (old + new) + 1e-9
