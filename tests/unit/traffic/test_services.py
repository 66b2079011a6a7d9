"""The operator's two Services beside the user's, and the pin in the user's own."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from tidegate.api.names import LABEL_POD_TEMPLATE_HASH as LABEL
from tidegate.api.names import LABEL_RELEASE, Reason
from tidegate.api.originals import PortStatus
from tidegate.engine.plan import Role
from tidegate.engine.snapshot import ServiceView
from tidegate.traffic.services import (
    Services,
    body,
    correction,
    pin_patch,
    service_view,
    unsupported,
    user_view,
    with_endpoints,
)

Json = dict[str, Any]


def user_service(name: str = "checkout", **spec: Any) -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "nodePort": 30080, "appProtocol": "http"}]
    defaults = {"type": "NodePort", "clusterIP": "10.0.0.7", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": "user-uid"},
        "spec": {"selector": {"app": "checkout"}, "ports": ports, **defaults, **spec},
    }


def services(user: Json | None = None, **own: Json) -> Services:
    return Services(release="checkout", release_uid="release-uid", user=user or user_service(), **own)


def stored(wanted: Json) -> Json:
    """What the API server makes of it."""
    metadata = {**wanted["metadata"], "uid": "own-uid", "resourceVersion": "7"}
    return {**wanted, "metadata": metadata, "spec": {**wanted["spec"], "clusterIP": "10.0.0.8"}}


def endpoint(uid: str, **conditions: bool) -> Json:
    return {"addresses": [f"10.244.0.{uid}"], "conditions": conditions, "targetRef": {"kind": "Pod", "uid": uid}}


def slice_of(service: str, *endpoints: Json) -> Json:
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return {"metadata": {"labels": {"kubernetes.io/service-name": service}}, "endpoints": list(endpoints), "ports": ports}


def test_service_selects_one_revision_of_what_the_users_selects():
    """The selector is the user's with the revision; ports are the user's without the node port."""
    wanted = body(services(), Role.CANARY, revision="abc")

    assert wanted["metadata"]["name"] == "checkout-canary"
    assert wanted["metadata"]["labels"] == {"tidegate.dev/release": "checkout", "tidegate.dev/role": "canary"}
    assert wanted["spec"] == {
        "type": "ClusterIP",
        "selector": {"app": "checkout", "pod-template-hash": "abc"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}],
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
    }


def test_service_outlives_the_release_until_the_traffic_has_left():
    """The garbage collector deletes what only a deleted Release owns: the user's Service keeps ours until we delete it."""
    owners = body(services(), Role.CANARY, revision="abc")["metadata"]["ownerReferences"]

    assert [(owner["kind"], owner["uid"]) for owner in owners] == [("Service", "user-uid"), ("Release", "release-uid")]
    assert not any(owner["controller"] or owner["blockOwnerDeletion"] for owner in owners)


def test_service_without_its_owners_is_still_ours():
    """Given that the garbage collector has taken the Release from the owners, the label tells whose the Service is."""
    own = stored(body(services(), Role.CANARY, revision="abc"))
    del own["metadata"]["ownerReferences"]

    assert service_view(services(canary=own), Role.CANARY, slices=[]) is not None


def test_pin_in_the_users_service_does_not_reach_the_operators():
    """Given that the user's Service is pinned to a revision, the operator's still select their own."""
    pinned = user_service(selector={"app": "checkout", "pod-template-hash": "old"})

    assert body(services(pinned), Role.CANARY, revision="new")["spec"]["selector"]["pod-template-hash"] == "new"


def test_headless_service_stays_headless():
    """A router that goes to pods by name needs the operator's Services headless, too."""
    assert body(services(user_service(clusterIP="None")), Role.STABLE, revision="abc")["spec"]["clusterIP"] == "None"


def test_how_to_talk_to_pods_is_copied_and_marks_of_ownership_are_not():
    """Annotations for a router go along; those of a GitOps tool would make the tool delete the copy."""
    user = user_service(trafficDistribution="PreferClose", publishNotReadyAddresses=True)
    user["metadata"]["annotations"] = {"projectcontour.io/upstream-protocol.h2c": "80", "argocd.argoproj.io/tracking-id": "shop"}

    wanted = body(services(user), Role.STABLE, revision="abc")

    assert wanted["metadata"]["annotations"] == {"projectcontour.io/upstream-protocol.h2c": "80"}
    assert wanted["spec"]["trafficDistribution"] == "PreferClose"
    assert "publishNotReadyAddresses" not in wanted["spec"]


def test_families_of_addresses_are_those_of_the_users_service():
    """Pods that listen on IPv6 alone are reached through the operator's Services as through the user's."""
    user = user_service(ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv6", "IPv4"])

    wanted = body(services(user), Role.STABLE, revision="abc")["spec"]

    assert (wanted["ipFamilyPolicy"], wanted["ipFamilies"]) == ("PreferDualStack", ["IPv6", "IPv4"])


def test_view_of_an_own_service():
    """Revision, ready endpoints, and whether it follows the user's Service."""
    own = stored(body(services(), Role.CANARY, revision="abc"))

    view = service_view(services(canary=own), Role.CANARY, slices=[slice_of("checkout-canary", endpoint("1", ready=True))])

    targets = (PortStatus(port=80, protocol="TCP", target="http", app_protocol="http"),)
    assert view == ServiceView(name="checkout-canary", revision="abc", endpoints=1, current=True, targets=targets)


@pytest.mark.parametrize(
    "change",
    [
        {"ports": [{"name": "http", "port": 81, "targetPort": "http", "protocol": "TCP"}]},
        {"selector": {"app": "checkout", "tier": "front"}},
        {"sessionAffinity": "ClientIP"},
    ],
)
def test_service_that_no_longer_follows_the_users(change: Json):
    """Given that the user has changed their Service, the operator's is outdated."""
    own = stored(body(services(), Role.STABLE, revision="abc"))

    view = service_view(services(user_service(**change), stable=own), Role.STABLE, slices=[])

    assert view is not None
    assert not view.current


def test_order_of_ports_does_not_matter():
    """The API server keeps ports as a map: another order is no other Service."""
    ports = [{"name": name, "port": port, "protocol": "TCP", "targetPort": port} for name, port in (("a", 80), ("b", 81))]
    own = stored(body(services(user_service(ports=ports)), Role.STABLE, revision="abc"))
    own["spec"]["ports"] = own["spec"]["ports"][::-1]

    view = service_view(services(user_service(ports=ports), stable=own), Role.STABLE, slices=[])

    assert view is not None
    assert view.current


def test_missing_service_has_no_view():
    """Nothing there, nothing seen."""
    assert service_view(services(), Role.STABLE, slices=[]) is None


def test_service_of_somebody_else_is_not_ours():
    """Given a Service of the needed name that belongs to somebody else, it is no view of ours, and status says so."""
    given = services(stable=user_service("checkout-stable"))

    blocker = unsupported(given)

    assert service_view(given, Role.STABLE, slices=[]) is None
    assert blocker is not None
    assert blocker.reason is Reason.CONFLICT
    assert blocker.message == (
        "spec.traffic.service: Service checkout-stable exists and does not belong to Release checkout, which needs a Service of "
        "that name for Service checkout: move what uses it to a Service of another name and delete this one; "
        "the Release then continues"
    )


def test_service_that_another_release_shifts_is_not_to_be_deleted():
    """Given a Service that another Release splits, status names that Release, and no Service that carries traffic."""
    other = user_service("checkout-stable")
    other["metadata"]["labels"] = {LABEL_RELEASE: "shop"}

    blocker = unsupported(services(stable=other))

    assert blocker is not None
    assert blocker.message == (
        "spec.traffic.service: Release shop already shifts the requests of Service checkout (checkout-stable is its own), "
        "and only one Release can; name another Service, or delete Release checkout"
    )


def test_service_without_a_selector_cannot_be_split():
    """An ExternalName, or a Service with endpoints made by hand, has no versions."""
    blocker = unsupported(services(user_service(selector={})))

    assert blocker is not None
    assert "no selector" in blocker.message


def test_name_that_would_be_too_long_is_told():
    """A Service's name has at most 63 characters, and ours needs seven more than the user's."""
    blocker = unsupported(services(user_service("c" * 57)))

    assert blocker is not None
    assert blocker.reason is Reason.INVALID_SPEC


def test_plain_service_is_supported():
    """Nothing stands in the way."""
    assert unsupported(services()) is None


def test_what_the_users_service_lacks_is_counted():
    """Endpoints of the operator's Services that the user's does not have, as its slices are behind; more are fine."""
    has = [slice_of("checkout", endpoint("1", ready=True), endpoint("2", ready=False), endpoint("9", ready=True))]
    given = services(**{role.value: stored(body(services(), role, revision=role.value)) for role in Role})
    pieces = [slice_of("checkout-stable", endpoint("1", ready=True), endpoint("2", ready=True))]
    own = [(Role.STABLE, pieces), (Role.CANARY, [slice_of("checkout-canary")])]

    view = with_endpoints(user_view(user_service()), given, has, own, ports={80})

    assert (view.endpoints, view.missing_endpoints) == (2, 1)


def test_pin_comes_and_goes():
    """The pin is one key of the selector; without it the selector is the user's again."""
    free = user_service()

    pinned = jsonpatch.apply_patch(free, pin_patch(free, label=LABEL, revision="abc"))
    moved = jsonpatch.apply_patch(pinned, pin_patch(pinned, label=LABEL, revision="def"))

    assert user_view(free).revision is None
    assert user_view(moved).revision == "def"
    assert jsonpatch.apply_patch(moved, pin_patch(moved, label=LABEL, revision=None)) == free
    assert pin_patch(moved, label=LABEL, revision="def") is None
    assert pin_patch(free, label=LABEL, revision=None) is None


def test_service_that_is_as_it_is_to_be_is_not_corrected():
    """Nothing differs, nothing is written."""
    wanted = body(services(), Role.CANARY, revision="abc")

    assert correction(stored(wanted), wanted) is None


def test_correction_turns_a_service_to_another_revision():
    """The patch changes the selector alone, and fits no other version of the Service than the one that was seen."""
    existing = stored(body(services(), Role.CANARY, revision="abc"))

    patch = correction(existing, body(services(), Role.CANARY, revision="def"))

    assert patch == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/spec/selector", "value": {"app": "checkout", "pod-template-hash": "def"}},
    ]


def test_correction_that_comes_late_fits_no_more():
    """Given a Service that was turned to a third revision since, the patch that was to turn it to the second is refused."""
    existing = stored(body(services(), Role.CANARY, revision="first"))
    late = correction(existing, body(services(), Role.CANARY, revision="second"))
    turned = stored(body(services(), Role.CANARY, revision="third"))
    turned["metadata"]["resourceVersion"] = "8"

    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(turned, late)


def test_corrected_service_is_what_it_is_to_be():
    """Given a user's Service that was recreated with another port, affinity and annotation, ours leaves nothing behind."""
    before = user_service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    before["metadata"]["annotations"] = {"projectcontour.io/upstream-protocol.h2c": "80"}
    before["metadata"]["labels"] = {"istio.io/use-waypoint": "gate"}
    existing = stored(body(services(before), Role.STABLE, revision="abc"))
    after = user_service(ports=[{"port": 81, "targetPort": 81, "protocol": "TCP"}], trafficDistribution="PreferClose")
    after["metadata"] |= {"uid": "new-user-uid", "annotations": {"konghq.com/protocol": "h2c"}, "labels": {"team": "shop"}}
    wanted = body(services(after), Role.STABLE, revision="def")

    corrected = jsonpatch.apply_patch(existing, correction(existing, wanted))

    assert corrected == stored(wanted)


def test_correction_keeps_what_others_have_added():
    """Labels, annotations and owners of others stay."""
    existing = stored(body(services(), Role.STABLE, revision="abc"))
    friend = {"apiVersion": "v1", "kind": "ConfigMap", "name": "friend", "uid": "friend-uid"}
    existing["metadata"]["labels"]["team"] = "shop"
    existing["metadata"]["annotations"] = {"example.org/note": "kept"}
    existing["metadata"]["ownerReferences"].append(friend)

    corrected = jsonpatch.apply_patch(existing, correction(existing, body(services(), Role.STABLE, revision="def")))

    assert corrected["metadata"]["labels"]["team"] == "shop"
    assert corrected["metadata"]["annotations"] == {"example.org/note": "kept"}
    assert friend in corrected["metadata"]["ownerReferences"]
