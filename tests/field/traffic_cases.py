"""Cases of traffic: Services, ports, policies and parents of routes."""

from __future__ import annotations

from e2e.manifests import NAME, Json, step
from field.case import Case, End, Outcome
from field.manifests import HELD, container, gate, policy, ports, template

VERSION = "app.kubernetes.io/version"
ENVOY_ERRORS = gate("Envoy", "ErrorRate", versusStable={"maxIncrease": {"points": 1}})

BOUND = "policy bound to the Service by name"
MOVED = "the Service changes with the template"
HARM = "the split does harm"
PORT = "endpoints without the port"
SHARED = "a Service over other pods, too"
PARENT = "a parent of the route that says nothing"
SERVICES = "Services unlike the user's"
LEAVES_OUT = "a data plane that leaves out weight 0"


def _tls(version: str) -> Json:
    env = [{"name": "TLS_FOLDER", "value": "$TLS"}]
    ready = {"tcpSocket": {"port": 8443}, "periodSeconds": 1}
    own = {"ports": [{"name": "https", "containerPort": 8443}], "command": ["$PYTHON", "$SERVICES/tls_service.py"]}
    return template({**container(version), **own, "env": env, "readinessProbe": ready})


_SECURE = ports(("https", 443, "https"))
_TO_443 = {"spec": {"rules": [{"backendRefs": [{"name": NAME, "port": 443}]}]}}
_AUTHORITY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"}, "data": {"ca.crt": "$AUTHORITY"}}


def _tls_policy(*services: str) -> Json:
    authority = [{"group": "", "kind": "ConfigMap", "name": "authority"}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1alpha3",
        "kind": "BackendTLSPolicy",
        "metadata": {"name": "speaks-tls"},
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": name} for name in services],
            "validation": {"hostname": "kubernetes.default.svc", "caCertificateRefs": authority},
        },
    }


_RETRIES = {
    "apiVersion": "gateway.networking.x-k8s.io/v1alpha1",
    "kind": "XBackendTrafficPolicy",
    "metadata": {"name": "few-retries"},
    "spec": {
        "targetRefs": [{"group": "", "kind": "Service", "name": NAME}],
        "retryConstraint": {"budget": {"percent": 20, "interval": "10s"}},
    },
}


def _selecting(version: str) -> Json:
    return {"spec": {"selector": {"app": NAME, VERSION: version}}}


def _told(version: str) -> Json:
    return template(container(version, command=["$PYTHON", "$SERVICES/split_service.py"], env={"ILL_FILE": "$FOLDER/ill"}))


def _other_deployment(name: str) -> Json:
    labels = {"app": NAME, "machines": name}
    pod = template(container("v1"), labels=labels, nodeSelector={"type": "process"}, terminationGracePeriodSeconds=6)
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, **pod["spec"]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def _reserved(version: str) -> Json:
    found = template(container(version), labels={"app": NAME, "machines": "reserved"})
    return {"spec": {**found["spec"], "selector": {"matchLabels": {"app": NAME, "machines": "reserved"}}}}


_HEADER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-from", "value": "edge"}]}}
_FILTERED = {"spec": {"rules": [{"backendRefs": [{"name": NAME, "port": 80, "filters": [_HEADER]}]}]}}
_TWO_PARENTS = {
    "spec": {"parentRefs": [{"name": "contour", "namespace": "projectcontour"}, {"name": "edge", "namespace": "projectcontour"}]}
}

CASES = (
    Case(
        "tls-policy",
        BOUND,
        "the pods speak TLS, which a BackendTLSPolicy says that names the Service",
        (End(Outcome.PROMOTED), End(Outcome.REFUSED, ("BackendTLSPolicy", "speaks-tls"))),
        before={
            "Deployment": _tls("v1"),
            "Service": _SECURE,
            "HTTPRoute": _TO_443,
            "RolloutPolicy": policy(step(10, "8s"), step(100), gates=(ENVOY_ERRORS,)),
        },
        more=(_AUTHORITY, _tls_policy(NAME)),
        then={"Deployment": _tls("v2")},
        sample=True,
    ),
    Case(
        "tls-policy-follows",
        BOUND,
        "the pods speak TLS, and the BackendTLSPolicy that says so names the Service and the two of a rollout",
        (End(Outcome.PROMOTED),),
        before={
            "Deployment": _tls("v1"),
            "Service": _SECURE,
            "HTTPRoute": _TO_443,
            "RolloutPolicy": policy(step(10, "8s"), step(100), gates=(ENVOY_ERRORS,)),
        },
        more=(_AUTHORITY, _tls_policy(NAME, f"{NAME}-stable", f"{NAME}-canary")),
        then={"Deployment": _tls("v2")},
    ),
    Case(
        "traffic-policy",
        BOUND,
        "an XBackendTrafficPolicy, which no part of this cluster obeys, names the Service",
        (End(Outcome.PROMOTED), End(Outcome.REFUSED, ("XBackendTrafficPolicy", "few-retries"))),
        more=(_RETRIES,),
        then={"Deployment": template(container("v2"))},
        checks=("the_traffic_policy_follows",),
    ),
    Case(
        "stable-fails-once-split",
        HARM,
        "from the split on stable's pods fail every request, for a reason that nobody could foresee; the new ones fail as well",
        (End(Outcome.ROLLED_BACK, ("stable",)),),
        before={
            "Deployment": _told("v1"),
            "RolloutPolicy": policy(step(50, "40s"), step(100), gates=(ENVOY_ERRORS,)),
        },
        then={"Deployment": _told("v2")},
        hands=("fail_while_split",),
        sample=True,
        ill=frozenset({"v1", "v2"}),
    ),
    Case(
        "selector-has-the-version",
        MOVED,
        "the Service selects by the version's label, which changes in one apply with the pods' labels",
        (End(Outcome.PROMOTED),),
        before={"Service": _selecting("v1"), "Deployment": template(container("v1"), labels={VERSION: "v1"})},
        then={"Service": _selecting("v2"), "Deployment": template(container("v2"), labels={VERSION: "v2"})},
        own_gap=15,
    ),
    Case(
        "target-port-moves",
        MOVED,
        "the number of the target port changes in one apply with the port that the container listens on",
        (End(Outcome.PROMOTED),),
        before={"Service": ports(("http", 80, 8080))},
        then={"Service": ports(("http", 80, 9191)), "Deployment": template(container("v2", port=9191))},
        own_gap=15,
    ),
    Case(
        "named-port-moves",
        MOVED,
        "the target port's name changes in one apply with the name of the container's port",
        (End(Outcome.PROMOTED),),
        then={"Service": ports(("http", 80, "web")), "Deployment": template(container("v2", port_name="web"))},
        own_gap=15,
    ),
    Case(
        "port-renamed",
        PORT,
        "the new version calls its port otherwise than the Service does: ready pods, and no port to reach them by",
        (End(Outcome.UNDONE, ("port", "http")), End(Outcome.REFUSED, ("port", "http"))),
        before={"RolloutPolicy": policy(step(50, "4s"), step(100), progressDeadline="20s")},
        then={"Deployment": template(container("v2", port_name="web"))},
        sample=True,
    ),
    Case(
        "one-port-of-two",
        PORT,
        "the Service has two ports, and the new version has but the one that the route does not name",
        (End(Outcome.UNDONE, ("port", "http")), End(Outcome.REFUSED, ("port", "http"))),
        before={
            "Service": ports(("admin", 81, "admin"), ("http", 80, "http")),
            "RolloutPolicy": policy(step(50, "4s"), step(100), progressDeadline="20s"),
        },
        then={"Deployment": template(container("v2", port_name="admin"))},
    ),
    Case(
        "two-deployments",
        SHARED,
        "one Service selects the pods of two Deployments, of which one is released",
        (End(Outcome.REFUSED, ("spot",)), End(Outcome.PROMOTED)),
        before={"Deployment": _reserved("v1")},
        more=(_other_deployment("spot"),),
        then={"Deployment": _reserved("v2")},
        checks=("other_pods_keep_their_share",),
    ),
    Case(
        "silent-parent",
        PARENT,
        "the route has a second parent whose controller never says a word",
        (End(Outcome.UNDONE, ("edge",)), End(Outcome.REFUSED, ("edge",)), End(Outcome.PROMOTED)),
        before={"HTTPRoute": _TWO_PARENTS, "RolloutPolicy": policy(step(50, "4s"), step(100), progressDeadline="20s")},
        then={"Deployment": template(container("v2"))},
    ),
    Case(
        "parent-added-before-rollback",
        PARENT,
        "a parent whose controller never says a word is added in the midst of a rollout, which a person then rolls back",
        (End(Outcome.ROLLED_BACK),),
        before={"RolloutPolicy": policy(step(50, HELD), step(100), progressDeadline="30s")},
        then={"Deployment": template(container("v2"))},
        hands=("add_a_parent_and_roll_back",),
    ),
    Case(
        "weight-0-is-left-out",
        LEAVES_OUT,
        "the operator is told that the data plane leaves out backends of weight 0; the backend has a filter of its own",
        (End(Outcome.PROMOTED),),
        before={"HTTPRoute": _FILTERED, "RolloutPolicy": policy(step(20, "4s"), step(100), drain="2s")},
        then={"Deployment": template(container("v2"))},
        config={"warmWeights": {"projectcontour.io/gateway-controller": True}},
        load=100.0,
        checks=("each_backend_was_warm",),
    ),
    Case(
        "former-controller",
        PARENT,
        "the status of the route still has what a former controller said of the same parent, and that was no",
        (End(Outcome.PROMOTED),),
        then={"Deployment": template(container("v2"))},
        hands=("keep_what_a_former_controller_said",),
    ),
    Case(
        "address-families",
        SERVICES,
        "the Service asks for both families of addresses where there are both",
        (End(Outcome.PROMOTED),),
        before={"Service": {"spec": {"ipFamilyPolicy": "PreferDualStack"}}},
        then={"Deployment": template(container("v2"))},
        services={"ipFamilyPolicy": "PreferDualStack"},
    ),
)
