"""What comes from outside, as strategies: JSON of any shape, and objects as odd as the API server lets them be."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st

from unit.controller.objects import NAME, NAMESPACE

Json = dict[str, Any]
Place = tuple[str | int, ...]

ODD_TEXTS = [
    "",
    " ",
    "\x00",
    "\u202e",
    "\U0001f30a" * 300,
    "a" * 2000,
    "9" * 5000,
    "\u0663",
    "-1",
    "1e999",
    "Infinity",
    "NaN",
    "{}",
    "[]",
    "[1]",
    '[{"name": 1}]',
    '[{"name": "checkout", "port": "x"}]',
    '[{"name": "checkout", "weight": "x"}]',
    "[" * 5000,
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-01-01",
    "99999h99999h99999h99999h",
    "200%",
    "Rollback",
    "Promoting",
]
texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=12)
numbers = st.sampled_from([0, 1, -1, 100, 101, 2**31 - 1, 2**31, 2**53, 2**63 - 1, -(2**63)]) | st.integers(-1000, 1000)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | floats | texts
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8
)
"""JSON of any shape."""


def places(document: Any, at: Place = ()) -> Iterator[Place]:
    """Yield every place in a JSON document."""
    yield at
    members = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in members:
        yield from places(value, (*at, key))


def replaced(document: Any, at: Place, value: Any) -> Any:
    """Return a JSON document with another value at a place."""
    if not at:
        return value
    changed = copy.copy(document)
    changed[at[0]] = replaced(document[at[0]], at[1:], value)
    return changed


@st.composite
def damaged(draw: st.DrawFn, documents: list[Any], *, most: int = 3) -> Any:
    """Draw one of several documents with other JSON at up to so many places."""
    document = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.sampled_from(list(places(document))))
        document = replaced(document, at, draw(anything))
    return document


# What differs from an object that is as it should be: whatever the API server lets through. What it demands stays as it is.

int32 = st.sampled_from([0, 1, 2, 3, 2**31 - 1]) | st.integers(0, 20)
words = st.sampled_from([NAME, "a", "bbbb", "aaaa", "x" * 63, "x.y", "0"])
label_values = st.sampled_from(["", NAME, "aaaa", "bbbb", "stable", "canary", "x" * 63])
labels = st.dictionaries(
    st.sampled_from(["app", "pod-template-hash", "tidegate.dev/release", "tidegate.dev/role", "tier"]), label_values, max_size=4
)
own_labels = labels.map(lambda drawn: drawn | {"app": NAME}) | labels
annotations = st.fixed_dictionaries(
    {},
    optional={
        "deployment.kubernetes.io/revision": st.sampled_from(["1", "9" * 5000, "\u0663", "\u00b2", "-1", ""]),
        "tidegate.dev/request": st.sampled_from(["pause/1", "rollback/" + "x" * 2000, "promote", "/", "retry/\x00"]) | texts,
        "projectcontour.io/x": texts,
        "kubectl.kubernetes.io/restartedAt": texts,
    },
)
times = st.sampled_from(["2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
uids = st.sampled_from(["deployment", "release", "namespace", "other"])
images = st.sampled_from(
    ["", ":", "checkout:v1", "checkout:v2", "a/b@sha256:" + "f" * 64, "@", "x:" + "t" * 3000, "registry:5000/x", "x:\u00e4\n"]
)
quantities = st.sampled_from(
    [
        "1e999999999",
        "1e-999999999",
        "1e999999",
        "NaN",
        "sNaN",
        "Infinity",
        "1",
        "500m",
        "1e3",
        "128Mi",
        "1E",
        "9223372036854775807",
        "-5",
        "0",
        "1n",
    ]
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Draw a map that may have some of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def optionally(required: dict[str, st.SearchStrategy[Any]], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Draw a map that has all the required fields and may have some of the others."""
    return st.fixed_dictionaries(required, optional=fields)


owners = st.lists(
    optionally(
        {
            "apiVersion": st.just("v1"),
            "kind": st.sampled_from(["Deployment", "Namespace", "Release", "Rollout"]),
            "name": words,
            "uid": uids,
        },
        controller=st.booleans(),
    ),
    max_size=2,
)
metadata = optional(
    labels=own_labels,
    annotations=annotations,
    ownerReferences=owners,
    creationTimestamp=times,
    deletionTimestamp=times,
    generation=st.integers(0, 2**31),
    managedFields=st.lists(optional(manager=st.sampled_from(["tidegate", "kubectl"]), operation=st.just("Update")), max_size=2),
    finalizers=st.lists(texts, max_size=2),
)
containers = st.lists(
    optionally(
        {"name": st.sampled_from(["app", "sidecar"])},
        image=images,
        resources=optional(
            limits=st.dictionaries(st.sampled_from(["cpu", "memory"]), quantities), requests=st.just({}), claims=st.just([])
        ),
        env=st.lists(st.just({"name": "A", "value": "\u00e4\n"}), max_size=1),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda one: one["name"],
)
templates = st.fixed_dictionaries(
    {
        "metadata": optional(labels=own_labels, annotations=annotations, creationTimestamp=st.none()),
        "spec": optionally({"containers": containers}, initContainers=containers, nodeSelector=labels, volumes=st.just([])),
    }
)
selectors = optional(
    matchLabels=labels,
    matchExpressions=st.lists(
        optionally(
            {"key": st.sampled_from(["app", "tier"]), "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"])},
            values=st.lists(label_values, max_size=2),
        ),
        max_size=2,
    ),
)
scales = optional(
    observedGeneration=st.integers(0, 2**31),
    replicas=int32,
    updatedReplicas=int32,
    readyReplicas=int32,
    availableReplicas=int32,
    conditions=st.lists(
        optionally(
            {
                "type": st.sampled_from(["ReplicaFailure", "Progressing"]),
                "status": st.sampled_from(["True", "False", "Unknown"]),
                "reason": texts,
            },
            message=texts,
        ),
        max_size=2,
    ),
)
surges = st.sampled_from([{}, {"maxSurge": 1}, {"maxSurge": "25%"}, {"maxSurge": "2147483647%"}, {"maxUnavailable": "100%"}])
strategies = st.sampled_from([{"type": "Recreate"}, {}]) | surges.map(lambda one: {"type": "RollingUpdate", "rollingUpdate": one})
deployments = optional(
    metadata=metadata,
    spec=optional(
        selector=selectors, template=templates, replicas=int32, paused=st.booleans(), strategy=strategies, minReadySeconds=int32
    ),
    status=scales,
)
replica_sets = optional(
    metadata=metadata, spec=optional(selector=selectors, template=templates, replicas=int32, minReadySeconds=int32), status=scales
)
ports = st.lists(
    optionally(
        {"port": st.integers(1, 65535), "protocol": st.sampled_from(["TCP", "UDP"])},
        name=words,
        targetPort=st.integers(1, 65535) | words,
        nodePort=st.integers(1, 65535),
    ),
    max_size=3,
)
services = optional(
    metadata=metadata,
    spec=optional(
        selector=labels,
        ports=ports,
        clusterIP=st.sampled_from(["None", "10.0.0.1", ""]),
        type=st.sampled_from(["ClusterIP", "ExternalName", "LoadBalancer"]),
        externalName=texts,
        sessionAffinity=st.just("ClientIP"),
        sessionAffinityConfig=st.just({"clientIP": {"timeoutSeconds": 1}}),
    ),
)
slices = optional(
    endpoints=st.none()
    | st.lists(
        optionally(
            {"addresses": st.just(["10.0.0.1"])},
            conditions=optional(ready=st.booleans(), terminating=st.booleans()),
            targetRef=optional(uid=uids),
        ),
        max_size=3,
    ),
    ports=st.none() | st.lists(optional(name=st.none() | texts, port=st.none() | st.integers(1, 65535)), max_size=3),
)
backends = st.lists(
    optionally(
        {"name": st.sampled_from([NAME, f"{NAME}-stable", f"{NAME}-canary", "other"])},
        weight=st.sampled_from([0, 1, 50, 100, 1_000_000]),
        port=st.integers(1, 65535),
        namespace=st.sampled_from([NAMESPACE, "elsewhere"]),
        group=st.sampled_from(["", "example.dev"]),
        kind=st.sampled_from(["Service", "Bucket"]),
        filters=st.just([{"type": "RequestHeaderModifier"}]),
    ),
    max_size=16,
)
parents = optionally({"name": words}, namespace=words, sectionName=words, port=st.integers(1, 65535), kind=words, group=st.just(""))
conditions = st.lists(
    optionally(
        {
            "type": st.sampled_from(["Accepted", "ResolvedRefs", "PartiallyInvalid", "Odd"]),
            "status": st.sampled_from(["True", "False", "Unknown"]),
            "reason": st.just("Odd"),
            "message": texts,
            "lastTransitionTime": times,
        },
        observedGeneration=st.integers(0, 2**31),
    ),
    max_size=3,
)
routes = optional(
    metadata=metadata,
    spec=optional(
        parentRefs=st.lists(parents, max_size=2),
        rules=st.lists(optional(backendRefs=backends, matches=st.just([{"path": {"value": "/"}}]), name=words), max_size=16),
    ),
    status=st.fixed_dictionaries(
        {"parents": st.lists(optionally({"parentRef": parents, "controllerName": words}, conditions=conditions), max_size=2)}
    ),
)


def _metric(kind: str) -> st.SearchStrategy[Json]:
    part = optional(
        name=st.sampled_from(["cpu", "memory"]),
        container=words,
        metric=optional(name=words, selector=selectors),
        target=optional(averageUtilization=int32, averageValue=quantities, value=quantities, type=words),
        current=optional(averageUtilization=int32, averageValue=quantities, value=quantities),
    )
    return optionally({"type": st.just(kind)}, **{kind[0].lower() + kind[1:]: part})


metrics = st.lists(st.one_of(map(_metric, ("Resource", "ContainerResource", "Pods", "Object", "External"))), max_size=3)
rules_of_scaling = optional(
    selectPolicy=st.sampled_from(["Max", "Min", "Disabled"]),
    tolerance=quantities,
    policies=st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["Pods", "Percent"]), "value": int32, "periodSeconds": st.integers(1, 1800)}
        ),
        max_size=2,
    ),
)
autoscalers = optionally(
    {
        "apiVersion": st.just("autoscaling/v2"),
        "kind": st.just("HorizontalPodAutoscaler"),
        "metadata": st.sampled_from([NAME, "other"]).map(lambda name: {"namespace": NAMESPACE, "name": name}),
        "spec": optionally(
            {
                "scaleTargetRef": optionally(
                    {"kind": st.sampled_from(["Deployment", "StatefulSet"]), "name": st.just(NAME)},
                    apiVersion=st.sampled_from(["apps/v1", "", "x", "apps"]),
                ),
                "maxReplicas": int32,
            },
            minReplicas=int32,
            metrics=metrics,
            behavior=optional(scaleUp=rules_of_scaling),
        ),
    },
    status=optional(currentMetrics=metrics, conditions=conditions, currentReplicas=int32, desiredReplicas=int32),
)
ended = optional(reason=texts, message=texts, exitCode=numbers)
container_states = optional(waiting=optional(reason=texts, message=texts), terminated=ended, running=st.just({}))
container_statuses = st.lists(
    optionally({"name": words}, state=container_states, lastState=container_states, ready=st.booleans(), restartCount=int32),
    max_size=2,
)
pods = optionally(
    {
        "apiVersion": st.just("v1"),
        "kind": st.just("Pod"),
        "metadata": metadata.map(lambda drawn: {"namespace": NAMESPACE, "name": "checkout-bbbb-x"} | drawn),
    },
    status=optional(
        phase=st.sampled_from(["Pending", "Failed", "Running"]),
        reason=texts,
        message=texts,
        conditions=conditions,
        containerStatuses=container_statuses,
        initContainerStatuses=container_statuses,
    ),
)
originals = backends.map(lambda found: json.dumps(found)[:8192])


def laid_over(whole: Json, drawn: Json) -> Json:
    """Return an object with what was drawn in place of its own: each field of metadata, spec and status, or a field beside them."""
    parts = {
        name: {**whole.get(name, {}), **value} if name in {"metadata", "spec", "status"} else value for name, value in drawn.items()
    }
    return {**whole, **parts}
