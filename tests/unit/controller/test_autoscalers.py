"""The autoscaler of a Deployment is found, and so is what its numbers tell."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.controller.observe.autoscalers import Autoscalers
from tidegate.engine.handover.deployment.view import Owner, ReplicaSetView
from tidegate.engine.snapshot import AutoscalerView
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.store import Store
from tidegate.workloads.autoscaling import READS

Json = dict[str, Any]
KIND, NAMESPACE = "HorizontalPodAutoscaler", "shop"


def _arm(name: str, owner: Owner, pods: int) -> ReplicaSetView:
    counts = {"wanted": pods, "current": pods, "ready": pods, "available": pods}
    return ReplicaSetView(name=name, revision=name, owner=owner, **counts)


class Shop:
    """A Deployment and its autoscalers, as a store has them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = Store(self.clock)
        self.autoscalers = Autoscalers(self.store, clock=self.clock)
        self._version = 0

    def scaler(self, name: str = "web", *, target: str = "checkout", usage: int | None = 50, **spec: Any) -> None:
        self._version += 1
        current = (
            [] if usage is None else [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": usage}}}]
        )
        metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 50}}}
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
        self.store.upsert(
            KIND,
            {
                "metadata": {"namespace": NAMESPACE, "name": name, "uid": f"uid-{name}", "resourceVersion": str(self._version)},
                "spec": {"scaleTargetRef": reference, "maxReplicas": 20, "metrics": [metric], **spec},
                "status": {"currentMetrics": current},
            },
        )

    def remove(self, name: str = "web") -> None:
        self._version += 1
        found = self.store.get(KIND, NAMESPACE, name)
        assert found is not None
        self.store.remove(KIND, {**found, "metadata": {**found["metadata"], "resourceVersion": str(self._version)}})

    def view(self, *, stable: int = 4, canary: int = 0, replicas: int = 4) -> AutoscalerView | None:
        deployment = {"metadata": {"namespace": NAMESPACE, "name": "checkout", "uid": "uid"}, "spec": {"replicas": replicas}}
        sets = [
            _arm("old", Owner.DEPLOYMENT, stable),
            _arm("new", Owner.RELEASE, canary),
        ]
        return self.autoscalers.view("Deployment", deployment, sets)

    def load(self, **ready: int) -> float | None:
        found = self.view(**ready)
        assert found is not None
        return found.load


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_deployment_without_an_autoscaler(shop: Shop) -> None:
    """Nobody scales it, or somebody scales another one."""
    shop.scaler(target="cart")

    assert shop.view() is None


def test_autoscaler_of_a_deployment(shop: Shop) -> None:
    """It is found by its target."""
    shop.scaler(usage=75)

    assert AutoscalerView("web", load=6.0, most=20, tolerance=0.1) == shop.view()


def test_two_autoscalers_contradict_each_other(shop: Shop) -> None:
    """With two of them none counts, until one is gone or scales another Deployment."""
    shop.scaler("web")
    shop.scaler("api")
    assert shop.view() is None

    shop.scaler("api", target="cart")
    assert (found := shop.view()) is not None
    assert "web" == found.name

    shop.scaler("api")
    assert shop.view() is None
    shop.remove("web")
    assert (found := shop.view()) is not None
    assert "api" == found.name


def test_autoscaler_that_is_gone(shop: Shop) -> None:
    """A deleted autoscaler says nothing more."""
    shop.scaler()
    shop.view()

    shop.remove()

    assert shop.view() is None


def test_autoscaler_without_numbers(shop: Shop) -> None:
    """It is there, and tells of no load yet."""
    shop.scaler(usage=None)

    assert shop.load() is None


def test_gap_in_the_numbers_is_bridged(shop: Shop) -> None:
    """Given numbers that were away for a while, what was known of the pods still is."""
    shop.scaler(usage=50)
    shop.load(canary=0)
    shop.scaler(usage=25)
    assert 4.0 == shop.load(canary=4)
    shop.scaler(usage=None)
    assert shop.load(canary=4) is None

    shop.scaler(usage=50)

    assert 8.0 == shop.load(canary=4)


def test_pods_of_a_new_version_at_first_sight(shop: Shop) -> None:
    """After a start in the middle of a rollout, only the Deployment's own pods count, until the others must have been counted."""
    shop.scaler(usage=50)
    assert 4.0 == shop.load(canary=4)

    found = []
    for usage in (51, 50, 51):
        shop.clock.advance(15)
        shop.scaler(usage=usage)
        found.append(shop.load(canary=4))

    assert pytest.approx([4.08, 4.0, 8.16]) == found


def test_writes_that_change_no_number_are_no_news(shop: Shop) -> None:
    """Somebody annotates the autoscaler: what it said before is as old as it was."""
    shop.scaler(usage=50)
    shop.load(canary=4)

    for _ in range(2 * READS):
        shop.clock.advance(15)
        shop.scaler(usage=50)
        assert 4.0 == shop.load(canary=4)


def test_autoscaler_made_anew_starts_afresh(shop: Shop) -> None:
    """What was learned of the pods was learned from another one's numbers."""
    shop.scaler("web", usage=50)
    shop.load()
    shop.scaler("web", usage=25)
    shop.load(canary=4)
    shop.remove("web")

    shop.scaler("api", usage=50)

    assert 4.0 == shop.load(canary=4)


def test_scaling_up_is_as_fast_as_its_rules_allow(shop: Shop) -> None:
    """Two pods a minute: counted from the size that the Deployment had a minute ago."""
    rules = {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}
    shop.scaler(usage=150, behavior={"scaleUp": rules})

    def most(replicas: int, after: float) -> int:
        shop.clock.advance(after)
        found = shop.view(replicas=replicas)
        assert found is not None
        return found.most

    assert [6, 6, 6, 8, 8] == [most(4, 0), most(6, 1), most(6, 58), most(6, 2), most(6, 3600)]


def test_objects_that_are_gone_are_forgotten(shop: Shop) -> None:
    """Nothing is kept of Deployments and autoscalers that are not there any more."""
    shop.scaler()
    shop.view()

    shop.remove()
    for uid in ("uid", "uid-web", "never seen"):
        shop.autoscalers.forget(uid)

    assert [{}, {}, {}] == [shop.autoscalers._of, shop.autoscalers._heard, shop.autoscalers._followed]
