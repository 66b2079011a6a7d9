"""What of the user's Service holds for the operator's two beside it as well, and what does not, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class Fate(Enum):
    """What becomes of a field of the user's Service."""

    COPIED = "copied"
    MADE = "made from it"
    LEFT = "left out"


FIELDS: Mapping[str, tuple[Fate, str]] = {
    "sessionAffinity": (Fate.COPIED, "how requests are spread"),
    "sessionAffinityConfig": (Fate.COPIED, "how requests are spread"),
    "internalTrafficPolicy": (Fate.COPIED, "how requests are spread"),
    "trafficDistribution": (Fate.COPIED, "how requests are spread"),
    "ipFamilyPolicy": (Fate.COPIED, "families of addresses"),
    "ipFamilies": (Fate.COPIED, "families of addresses"),
    "selector": (Fate.MADE, "of one revision"),
    "ports": (Fate.MADE, "as the pods of that revision answer on them, without node ports"),
    "clusterIP": (Fate.MADE, "None where the user's is headless; an address cannot be had twice"),
    "type": (Fate.MADE, "ClusterIP: only routes lead to it"),
    "publishNotReadyAddresses": (Fate.LEFT, "weight must find pods that are ready"),
    "clusterIPs": (Fate.LEFT, "given by the API server"),
    "externalName": (Fate.LEFT, "a Service of another name has no pods to be split"),
    "externalIPs": (Fate.LEFT, "nobody outside asks it"),
    "externalTrafficPolicy": (Fate.LEFT, "nobody outside asks it"),
    "healthCheckNodePort": (Fate.LEFT, "nobody outside asks it"),
    "allocateLoadBalancerNodePorts": (Fate.LEFT, "nobody outside asks it"),
    "loadBalancerClass": (Fate.LEFT, "nobody outside asks it"),
    "loadBalancerIP": (Fate.LEFT, "nobody outside asks it"),
    "loadBalancerSourceRanges": (Fate.LEFT, "nobody outside asks it"),
}
"""Every field of a Service's spec, by its name."""
COPIED = tuple(name for name, (fate, _) in FIELDS.items() if fate is Fate.COPIED)
"""Fields that follow as they are."""
_ANNOTATIONS = (
    "projectcontour.io/",
    "traefik.ingress.kubernetes.io/",
    "konghq.com/",
    "haproxy.org/",
    "networking.istio.io/",
    "balancer.linkerd.io/",
    "retry.linkerd.io/",
    "timeout.linkerd.io/",
    "config.linkerd.io/opaque-ports",
    "service.kubernetes.io/topology-",
)
"""Prefixes of annotations that tell a router, a mesh or kube-proxy how to talk to the pods. All others may be marks of ownership,
or have things made beside a Service: addresses outside, groups of endpoints, a share in other clusters."""
_LABELS = frozenset(
    {
        "istio.io/use-waypoint",
        "istio.io/use-waypoint-namespace",
        "istio.io/ingress-use-waypoint",
        "service.kubernetes.io/service-proxy-name",
    }
)
"""Labels that say through what requests go: what a waypoint forbids must not be allowed by way of the operator's Services."""


def annotations_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations of a Service that follow, as they are."""
    return {key: value for key, value in _metadata(service, "annotations").items() if key.startswith(_ANNOTATIONS)}


def labels_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of a Service that follow, as they are."""
    return {key: value for key, value in _metadata(service, "labels").items() if key in _LABELS}


def of_others(service: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels and the annotations of one of the operator's Services that do not follow the user's: others' own."""
    labels = {key: value for key, value in _metadata(service, "labels").items() if key not in _LABELS}
    annotations = {key: value for key, value in _metadata(service, "annotations").items() if not key.startswith(_ANNOTATIONS)}
    return labels, annotations


def _metadata(service: Mapping[str, Any], name: str) -> Mapping[str, str]:
    found: Mapping[str, str] = service["metadata"].get(name) or {}
    return found
