"""What of the user's Service holds for the operator's two beside it."""

from __future__ import annotations

import pytest
from kubernetes.client import V1ServiceSpec

from tidegate.engine.plan import Role
from tidegate.traffic.followed import COPIED, FIELDS, Fate
from tidegate.traffic.services import body, correction
from unit.traffic.test_services import services, user_service

GIVEN = {
    "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
    "internalTrafficPolicy": "Local",
    "trafficDistribution": "PreferClose",
    "ipFamilyPolicy": "PreferDualStack",
    "ipFamilies": ["IPv4", "IPv6"],
    "publishNotReadyAddresses": True,
    "externalIPs": ["192.0.2.1"],
    "externalTrafficPolicy": "Local",
    "loadBalancerClass": "example.org/edge",
    "loadBalancerSourceRanges": ["192.0.2.0/24"],
}


def test_every_field_of_a_service_has_its_fate() -> None:
    """A field that the API gets with a later version is noticed here, and somebody says what becomes of it."""
    assert set(V1ServiceSpec.attribute_map.values()) == set(FIELDS)
    assert all(why for _, why in FIELDS.values())


@pytest.mark.parametrize("role", list(Role))
def test_fields_become_what_the_table_says(role: Role) -> None:
    """Fields that are copied are as they were, what is for those outside is not there, and the rest is made."""
    spec = body(services(user_service(**GIVEN)), role, revision="abc")["spec"]

    assert {name: GIVEN[name] for name in COPIED} == {name: spec[name] for name in COPIED}
    assert not any(name in spec for name, (fate, _) in FIELDS.items() if fate is Fate.LEFT)


@pytest.mark.parametrize(
    "label",
    [
        "istio.io/use-waypoint",
        "istio.io/use-waypoint-namespace",
        "istio.io/ingress-use-waypoint",
        "service.kubernetes.io/service-proxy-name",
    ],
)
def test_requests_go_through_the_same_waypoint(label: str) -> None:
    """What a waypoint forbids is not allowed by way of the operator's Services; marks of ownership stay behind."""
    user = user_service()
    user["metadata"]["labels"] = {label: "gate", "argocd.argoproj.io/instance": "shop"}

    labels = body(services(user), Role.CANARY, revision="abc")["metadata"]["labels"]

    assert "gate" == labels[label]
    assert "argocd.argoproj.io/instance" not in labels


def test_a_waypoint_that_comes_or_goes_follows_at_once() -> None:
    """A label that is put on the user's Service during a rollout, or taken off it, is so on the operator's."""
    user, plain = user_service(), user_service()
    user["metadata"]["labels"] = {"istio.io/use-waypoint": "gate"}
    led, direct = (body(services(one), Role.STABLE, revision="abc") for one in (user, plain))
    for one in (led, direct):
        one["metadata"] |= {"resourceVersion": "7"}

    for existing, wanted in ((direct, led), (led, direct)):
        (labels,) = [one["value"] for one in correction(existing, wanted) or () if one["path"] == "/metadata/labels"]
        assert wanted["metadata"]["labels"] == labels


@pytest.mark.parametrize(
    ("annotation", "follows"),
    [
        ("config.linkerd.io/opaque-ports", True),
        ("service.kubernetes.io/topology-mode", True),
        ("networking.istio.io/traffic-distribution", True),
        ("haproxy.org/backend-config-snippet", True),
        ("service.cilium.io/global", False),
        ("cloud.google.com/neg-status", False),
        ("service.beta.kubernetes.io/aws-load-balancer-type", False),
    ],
)
def test_annotations_about_talking_to_pods_follow(annotation: str, follows: bool) -> None:
    """What says how to talk to the pods follows; what has something made beside the Service does not."""
    user = user_service()
    user["metadata"]["annotations"] = {annotation: "it"}

    assert follows == (annotation in body(services(user), Role.STABLE, revision="abc")["metadata"].get("annotations", {}))
