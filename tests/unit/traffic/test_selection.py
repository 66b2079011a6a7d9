"""Whose pods a Service selects."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.api.names import Reason
from tidegate.traffic.selection import Pods, stranger
from tidegate.traffic.services import Services, unsupported, user_view

Json = dict[str, Any]
BIG = Pods(
    workload="Deployment big",
    label="pod-template-hash",
    labels={"app": "big", "tier": "front"},
    revisions={
        "aaaa": {"app": "big", "pod-template-hash": "aaaa"},
        "bbbb": {"app": "big", "tier": "front", "pod-template-hash": "bbbb"},
    },
)


def service(name: str = "ledger", **selector: str) -> Json:
    return {"metadata": {"name": name, "namespace": "shop", "uid": "u"}, "spec": {"selector": selector, "ports": [{"port": 80}]}}


def test_service_of_another_workload_is_told_with_both_and_the_cure():
    """The message says what is selected, what the pods have, and what to write instead."""
    blocker = stranger(service(app="ledger"), BIG)

    assert blocker is not None
    assert blocker.reason is Reason.INVALID_SPEC
    assert blocker.message == (
        "spec.traffic.service: Service ledger selects app=ledger, the pods of Deployment big have app=big: "
        "name the Service of Deployment big, or correct the selector or spec.targetRef"
    )


def test_only_what_differs_is_told():
    """Labels that fit are left out, one that the pods do not have is told as such, and of many the first three are."""
    some, many = (
        stranger(service(app="big", zone="a"), BIG),
        stranger(service(**{f"label-{number}": "x" for number in range(9)}), BIG),
    )

    assert some is not None
    assert "selects zone=a, the pods of Deployment big have no zone: " in some.message
    assert many is not None
    assert "selects label-0=x, label-1=x, label-2=x, the pods" in many.message


@pytest.mark.parametrize("selector", [{"app": "big"}, {"app": "big", "tier": "front"}, {"app": "big", "pod-template-hash": "gone"}])
def test_service_of_the_deployment_is_fine_pinned_or_not(selector: dict[str, str]):
    """Part of the labels is enough, and the pin is not what its user selects by."""
    assert stranger(service(**selector), BIG) is None
    assert user_view(service(**selector), BIG).selects


def test_pods_that_are_missed_are_known_by_revision():
    """A Service may select the template's pods and not those of an older one, which had no such label."""
    view = user_view(service(app="big", tier="front"), BIG)

    assert (True, {"aaaa"}) == (view.selects, set(view.misses))


def test_service_of_another_workload_selects_nothing_here():
    """Neither the template's pods, nor those of any ReplicaSet."""
    view = user_view(service(app="ledger"), BIG)

    assert (False, {"aaaa", "bbbb"}) == (view.selects, set(view.misses))


def test_unknown_pods_are_no_reason_to_refuse():
    """While the Deployment is missing, that is what the status tells of, and nothing is taken for a mistake of the Service."""
    given = Services(release="big", release_uid="r", user=service(app="ledger"))

    assert unsupported(given) is None
    assert user_view(given.user).selects
    assert unsupported(given, BIG) == stranger(given.user, BIG)


def test_pin_alone_is_no_selector():
    """Without the pin such a Service would select nothing: it cannot be split by version."""
    blocker = unsupported(Services(release="big", release_uid="r", user=service(**{"pod-template-hash": "aaaa"})), BIG)

    assert blocker is not None
    assert blocker.reason is Reason.MISSING_SERVICE
