"""The names under which gateways count, as the real programs gave them, and whose requests a preset takes them for."""

import re

import pytest

from tidegate.api.metric import Source
from tidegate.prometheus.presets import Version, places
from tidegate.prometheus.promql import Names

NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s-[a-z0-9]{5}", "c-[a-z0-9]{5}", 80)
TRAEFIK = "httproute-shop-checkout-gw-gw-traefik-ep-web-0-8c940671125a8173b1ae-svc-shop-{}-2@kubernetesgateway"
"""Traefik 3.7.9."""


def taken_for(source: Source, value: str) -> set[Version]:
    """The versions whose series have a name. What the patterns use means the same to Python as to RE2."""
    return {
        version
        for version in (Version.CANARY, Version.STABLE)
        if any(re.fullmatch(place[0].value, value) for place in places(source, NAMES, version))
    }


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (Source.ENVOY, "shop_{}_80"),
        (Source.ENVOY, "service/shop/{}/80/http"),
        (Source.TRAEFIK, "shop-{}-80@kubernetescrd"),
        (Source.TRAEFIK, "shop-{}-http-80@kubernetesgateway"),
        (Source.TRAEFIK, TRAEFIK),
    ],
    ids=["Contour", "Envoy Gateway, mergeBackends", "Traefik, IngressRoute", "Traefik until 3.7.5", "Traefik from 3.7.6"],
)
def test_each_version_is_found_by_its_service_and_no_other(source, name):
    """Stable's requests are never the new version's."""
    assert taken_for(source, name.format("checkout-canary")) == {Version.CANARY}
    assert taken_for(source, name.format("checkout-stable")) == {Version.STABLE}
    assert taken_for(source, name.format("checkout")) == set()
    assert taken_for(source, name.format("other-checkout-canary")) == set()
    assert taken_for(source, name.format("checkout-canary").replace("shop", "bank")) == set()


@pytest.mark.parametrize("version", ["canary", "stable"])
def test_route_of_another_namespace_counts_nothing_here(version):
    """Whatever a Service there is called: the name of Traefik's backend begins with the namespace of its route."""
    own = TRAEFIK.format(f"checkout-{version}")
    assert taken_for(Source.TRAEFIK, own)
    others = own.replace("httproute-shop-", "httproute-bank-")
    assert taken_for(Source.TRAEFIK, others) == set()
    assert taken_for(Source.TRAEFIK, others.replace("-svc-shop-", "-svc-bank-x-svc-shop-")) == set()


def test_one_cluster_for_both_versions_is_neithers():
    """Envoy Gateway 1.9 without mergeBackends."""
    assert taken_for(Source.ENVOY, "httproute/shop/checkout/rule/0") == set()
