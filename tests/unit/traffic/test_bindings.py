"""What is bound to a Service by its name, and what it takes for it to hold for the operator's two."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tidegate.engine.route import RouteRef
from tidegate.traffic.bindings import KINDS, Kind, about, past, routes_of, slim, unfollowed, unread, unread_among
from tidegate.traffic.httproute import KIND, HTTPRouteRouter
from unit.docs.pages import text_of

Json = dict[str, Any]

BY_KIND = {f"{kind.kind}.{kind.group}": kind for kind in KINDS}
TLS = BY_KIND["BackendTLSPolicy.gateway.networking.k8s.io"]
RULE = BY_KIND["DestinationRule.networking.istio.io"]
HEALTH = BY_KIND["HealthCheckPolicy.networking.gke.io"]
PROFILE = BY_KIND["ServiceProfile.linkerd.io"]
NAMES = ("checkout", "checkout-stable", "checkout-canary")


def seen(kind: Kind, name: str, **spec: Any) -> Json:
    return slim(kind, {"metadata": {"namespace": "shop", "name": name}, "spec": spec})


def tls(*names: str, name: str = "tls", **more: Any) -> Json:
    return seen(TLS, name, targetRefs=[{"group": "", "kind": "Service", "name": one, **more} for one in names])


def rule(host: str) -> Json:
    return seen(RULE, "rule", host=host)


@pytest.mark.parametrize(
    "spec",
    [
        {"targetRefs": [{"group": "", "kind": "Service", "name": "checkout"}]},
        {"targetRefs": [{"group": "core", "kind": "Service", "name": "checkout"}]},
        {"targetRefs": [{"kind": "Gateway", "name": "edge"}, {"kind": "Service", "name": "checkout", "namespace": "shop"}]},
        {"targetRef": {"kind": "Service", "name": "checkout"}},
        {"targetReference": {"name": "checkout"}},
    ],
)
def test_every_form_of_a_target_is_understood(spec: Json) -> None:
    """A list, a single reference, the core group under either name, a default kind: each of them names the Service."""
    assert [["checkout", ""]] == seen(TLS, "x", **spec)["services"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "checkout"}]},
        {"targetRefs": [{"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": "checkout"}]},
        {"targetRefs": [{"kind": "Service", "name": "checkout", "namespace": "elsewhere"}]},
        {"targetRefs": ["checkout", None]},
    ],
)
def test_what_is_bound_to_something_else_names_no_service(spec: Json) -> None:
    """A route or an import of the same name is not the Service, nor is one of another namespace."""
    assert [] == seen(TLS, "x", **spec)["services"]


@pytest.mark.parametrize("rest", ["", ".shop", ".shop.svc", ".shop.svc.cluster.local", ".shop.svc.k8s.corp."])
def test_hosts_name_their_service(rest: str) -> None:
    """Short, with the namespace, or in full, whatever the cluster's domain is called."""
    assert [["checkout", ""]] == rule(f"checkout{rest}")["services"]
    assert [["checkout", ""]] == seen(PROFILE, f"checkout{rest}")["services"]


@pytest.mark.parametrize("host", ["*", "*.shop.svc.cluster.local", "checkout.other", "checkout.other.svc", "shop.example"])
def test_other_hosts_name_no_service_of_the_namespace(host: str) -> None:
    """A wildcard holds for the operator's Services, too; other hosts are another's."""
    assert [] == rule(host)["services"]


def test_policy_that_names_the_service_alone_is_in_the_way() -> None:
    """Kind and name are said, what it would do without, and how to mend it."""
    found = unfollowed("checkout", [tls("checkout")])

    assert found is not None
    assert found.reason == "BoundByName"
    assert found.message == (
        "spec.traffic.service: BackendTLSPolicy tls applies to Service checkout by name, but not to checkout-stable and "
        "checkout-canary, which carry requests during a rollout: add checkout-stable and checkout-canary to its spec.targetRefs"
    )


def test_policy_that_names_all_three_follows() -> None:
    """The names are known beforehand, so they can stand in Git."""
    assert unfollowed("checkout", [tls(*NAMES)]) is None
    assert unfollowed("checkout", []) is None
    assert unfollowed("checkout", [tls("ledger")]) is None


def test_half_of_it_is_not_enough() -> None:
    """The one that is missing is named alone."""
    found = unfollowed("checkout", [tls("checkout", "checkout-stable")])

    assert found is not None
    assert "but not to checkout-canary, which carries requests" in found.message


def test_kinds_that_name_one_service_take_one_object_for_each() -> None:
    """What an object cannot say itself another of its kind says; one of another kind says nothing of it."""
    one = [seen(HEALTH, name, targetRef={"kind": "Service", "name": name}) for name in NAMES]

    assert unfollowed("checkout", one) is None
    found = unfollowed("checkout", [*one[:1], tls(*NAMES)])
    assert found is not None
    assert found.message.endswith("create one of the same kind for checkout-stable and checkout-canary too")
    assert unfollowed("checkout", [rule(f"{name}.shop.svc.cluster.local") for name in NAMES]) is None


def test_what_holds_for_a_port_is_to_hold_for_the_same_port() -> None:
    """All ports cover one of them; another port covers nothing."""
    on_https = tls("checkout", sectionName="https")

    assert unfollowed("checkout", [on_https, tls(*NAMES[1:])]) is None
    assert unfollowed("checkout", [on_https, tls(*NAMES[1:], sectionName="https")]) is None
    assert unfollowed("checkout", [on_https, tls(*NAMES[1:], sectionName="admin")]) is not None
    assert unfollowed("checkout", [tls("checkout"), tls(*NAMES[1:], sectionName="https")]) is not None


def test_many_are_told_by_a_few() -> None:
    """The first with its cure, two more by their names, and how many besides."""
    found = unfollowed("checkout", [tls("checkout", name=name) for name in "abcde"])

    assert found is not None
    assert found.message.endswith("to its spec.targetRefs; the same goes for BackendTLSPolicy b and BackendTLSPolicy c and 2 more")


def test_only_what_is_about_the_service_is_kept() -> None:
    """A change of another Service's policy is no reason to decide anew; a kind that could not be read concerns everybody."""
    closed = unread(RULE, "no right to list destinationrules.networking.istio.io")
    found = [tls("ledger"), tls("checkout"), tls("checkout-canary"), closed]

    assert found[1:] == about(found, "checkout")
    assert ("DestinationRule (no right to list destinationrules.networking.istio.io)",) == unread_among(found)
    assert unfollowed("checkout", [closed]) is None


def test_roles_have_each_kind_and_no_more() -> None:
    """What is looked at may be listed, and nothing else be done to it."""
    role = next(one for one in yaml.safe_load_all(text_of("deploy/operator/rbac.yaml")) if one["kind"] == "ClusterRole")
    groups = {kind.group for kind in KINDS}
    given = {
        (group, resource): rule["verbs"]
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if group in groups and resource != "httproutes"
    }

    assert {(kind.group, kind.plural): ["list"] for kind in KINDS} == given


def test_routes_that_no_release_names_lead_past_it() -> None:
    """They are told by name, in order; weight 0, another Service, another namespace and the Release's own routes do not count."""

    def leading(route: str, **ref: object) -> Json:
        backend = {"group": "", "kind": "Service", "name": "checkout", "port": 80} | ref
        obj = {"metadata": {"namespace": "shop", "name": route}, "spec": {"rules": [{"backendRefs": [backend]}]}}
        return slim(routes_of(HTTPRouteRouter()), obj)

    none = [leading("idle", weight=0), leading("ledger", name="ledger"), leading("abroad", namespace="other")]
    found = [leading("web"), leading("partners"), leading("app", weight=3), *none, unread(KINDS[0], "no right")]

    web, app, partners = (RouteRef(KIND, name) for name in ("web", "app", "partners"))
    assert past("checkout", found, {web}) == (app, partners)
    assert past("checkout", found, {web, app, partners}) == ()
    assert unfollowed("checkout", found) is None
