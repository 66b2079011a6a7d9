"""Cases of pods that come and go, and of objects unlike those of most."""

from __future__ import annotations

from e2e.manifests import NAME, Json, step
from field.case import Case, End, Outcome
from field.manifests import HELD, container, policy, ports, template
from field.pod_hands import QUOTA

LOST = "pods that come and go"
ROOM = "no fault of the version"
ZERO = "scaled to 0"
PEOPLE = "what a person types"
SECOND = "two Releases of one Deployment"
ODD = "objects unlike those of most"

_LONG = f"{NAME}-".ljust(56, "x")
_CLIMBING = policy(step(50, "5s"), step(100, "3s"))
_SLOW = {"spec": {"minReadySeconds": 4}}
_NOT_FOR_LONG = {
    "exec": {"command": ["false"]},
    "initialDelaySeconds": 8,
    "periodSeconds": 1,
    "failureThreshold": 1,
}
_ROOM_FOR_STABLE = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": QUOTA}, "spec": {"hard": {"pods": "2"}}}


def _told(version: str, replicas: int = 2) -> Json:
    own = {"command": ["$PYTHON", "$SERVICES/told_service.py"], "terminationMessagePolicy": "FallbackToLogsOnError"}
    found = template(container(version, env={"ORDERS": "$FOLDER"}, **own))
    return {"spec": {**found["spec"], "replicas": replicas}}


def _lost(name: str, story: str, end: End, *hands: str, replicas: int = 2, **more: object) -> Case:
    return Case(
        name,
        LOST,
        story,
        (end,),
        before={"Deployment": _told("v1", replicas), "RolloutPolicy": more.pop("steps", _CLIMBING)},
        then={"Deployment": _told("v2", replicas)},
        hands=hands,
        crash_gap=1.5,
        **more,
    )


def _without_room(name: str, story: str, end: End, *hands: str, **spec: object) -> Case:
    return Case(
        name,
        ROOM,
        story,
        (end,),
        before={"RolloutPolicy": policy(step(50, "4s"), step(100), progressDeadline="12s", **spec)},
        more=(_ROOM_FOR_STABLE,),
        then={"Deployment": template(container("v2"))},
        hands=hands,
        lasting=bool(hands),
        load=10,
    )


def _settings(version: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"settings-{version[1:]}"}, "data": {"COLOUR": version}}


def _with_settings(version: str) -> Json:
    return template(container(version, envFrom=[{"configMapRef": {"name": _settings(version)["metadata"]["name"]}}]))


def _deployment(version: str, **spec: object) -> Json:
    return {"spec": {**template(container(version), labels={"app": NAME, "tier": "web"})["spec"], **spec}}


def _odd(name: str, story: str, spec: Json, *more: Json) -> Case:
    return Case(
        name,
        ODD,
        story,
        (End(Outcome.PROMOTED),),
        before={"Deployment": _deployment("v1", **spec)},
        more=more,
        then={"Deployment": _deployment("v2", **spec)},
        checks=("the_route_is_as_it_was", "old_pods_are_gone"),
    )


_BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": NAME},
    "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": NAME}}},
}
_OTHER_LABELS = {"app": "other"}
_OTHER_SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "other"},
    "spec": {"selector": _OTHER_LABELS, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
}
_OTHER = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "other"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": _OTHER_LABELS},
        **template(container("v0"), labels=_OTHER_LABELS, nodeSelector={"type": "process"}, terminationGracePeriodSeconds=6)[
            "spec"
        ],
    },
}
_AT_THE_LISTENER = [{"name": "contour", "namespace": "projectcontour", "sectionName": "http"}]
_MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "other", "port": 80}}}
_HEADER = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-shop", "value": "yes"}]}}
_TO_US = {"name": NAME, "port": 80}
_RULES = [
    {
        "matches": [{"headers": [{"name": "x-beta", "value": "1"}], "method": "GET"}],
        "filters": [_HEADER],
        "backendRefs": [_TO_US],
    },
    {
        "matches": [{"path": {"type": "PathPrefix", "value": "/static"}}],
        "timeouts": {"request": "5s"},
        "backendRefs": [{**_TO_US, "weight": 3}, {"name": "other", "port": 80, "weight": 1}],
    },
    {
        "matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
        "filters": [{"type": "RequestRedirect", "requestRedirect": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/"}}}],
    },
    {
        "matches": [{"path": {"type": "PathPrefix", "value": "/closed"}}],
        "backendRefs": [{**_TO_US, "weight": 0}, {"name": "other", "port": 80, "weight": 1}],
    },
    {"filters": [_MIRROR], "backendRefs": [{**_TO_US, "weight": 7}]},
]
_INTERNAL = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "internal"},
    "spec": {"parentRefs": _AT_THE_LISTENER, "hostnames": ["internal.$HOST"], "rules": [{"backendRefs": [_TO_US]}]},
}


_TWO_PORTS = ports(("http", 80, "http"), ("same", 81, 8080))
_AUTOSCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": NAME},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
        "minReplicas": 3,
        "maxReplicas": 4,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
    },
}


def _behind_a_sidecar(version: str) -> Json:
    own = {"restartPolicy": "Always", "name": "proxy"}
    proxy = {**container(version), **own}
    return template(container(version, port=9090, port_name="app"), initContainers=[proxy])


CASES = (
    _lost(
        "crash-once",
        "the new version's containers crash once while it has half of the traffic",
        End(Outcome.PROMOTED, ("starts again", "exit code 7", "cannot open the ledger")),
        "crash_once",
        checks=("it_climbed_anew", "the_route_is_as_it_was"),
        sample=True,
    ),
    _lost(
        "crash-and-killed",
        "they crash, and are killed with the signal of one who takes too much memory when they have half of the traffic again",
        End(Outcome.ROLLED_BACK, ("twice", "exit code 137")),
        "crash_and_be_killed",
        checks=("it_climbed_anew",),
    ),
    Case(
        "crash-for-ever",
        LOST,
        "the new version serves for some seconds each time that it is started, and then crashes",
        (End(Outcome.ROLLED_BACK, ("twice", "exit code 1")),),
        before={"RolloutPolicy": policy(step(50, "3s"), step(100, HELD))},
        then={"Deployment": template(container("v2", env={"FAIL_AFTER": "9"}))},
        crash_gap=1.5,
    ),
    _lost(
        "three-of-four-lost",
        "three of the four new pods are not ready any more while all traffic is theirs",
        End(Outcome.UNDER_WAY, ("25%", "1 of 4 pods")),
        "lose_all_but_one",
        replicas=4,
        steps=policy(step(50, "2s"), step(100, "8s")),
        checks=("the_weight_is_what_pods_carry",),
        stays=12,
        sample=True,
    ),
    _lost(
        "flapping",
        "the new version's pods are ready and not ready by turns",
        End(Outcome.ROLLED_BACK, ("twice", "readiness probe")),
        "flap",
        steps=policy(step(50, HELD), step(100)),
    ),
    _lost(
        "drained",
        "the new version's pods are deleted three times while they have half of the traffic, as nodes are drained",
        End(Outcome.PROMOTED),
        "delete_the_new_pods",
        checks=("it_climbed_anew", "the_route_is_as_it_was"),
        steps=policy(step(50, "8s"), step(100)),
    ),
    _lost(
        "old-pods-lost",
        "the containers of the version in force crash while the new one has half of the traffic",
        End(Outcome.PROMOTED),
        "lose_the_old_pods",
        checks=("the_route_is_as_it_was",),
    ),
    Case(
        "liveness",
        LOST,
        "the new version's liveness probe ceases to pass some seconds after each start",
        (End(Outcome.ROLLED_BACK, ("twice", "container app")),),
        before={"RolloutPolicy": policy(step(50, "3s"), step(100, HELD))},
        then={"Deployment": template(container("v2", livenessProbe=_NOT_FOR_LONG))},
        crash_gap=4,
    ),
    Case(
        "slow-start",
        LOST,
        "pods count as available only once they have been ready for some seconds (minReadySeconds)",
        (End(Outcome.PROMOTED),),
        before={"Deployment": _SLOW},
        then={"Deployment": template(container("v2", env={"READY_AFTER": "2"}))},
        checks=("no_weight_before_pods_are_available", "the_route_is_as_it_was"),
    ),
    Case(
        "slow-start-of-a-moved-port",
        LOST,
        "the same, and the number of the target port changes with the template",
        (End(Outcome.PROMOTED),),
        before={"Deployment": _SLOW, "Service": ports(("http", 80, 8080))},
        then={"Service": ports(("http", 80, 9191)), "Deployment": template(container("v2", port=9191))},
        own_gap=15,
        checks=("no_weight_before_pods_are_available",),
    ),
    _without_room(
        "quota-waits",
        "a quota leaves no room for new pods, and the policy waits",
        End(Outcome.UNDER_WAY, ("exceeded quota", "onDeadline is Wait")),
        onDeadline="Wait",
    ),
    _without_room(
        "quota-undoes",
        "a quota leaves no room for new pods; the version is undone, which is no verdict on it",
        End(Outcome.UNDONE, ("exceeded quota", "was not judged", "retry")),
    ),
    _without_room(
        "quota-retried",
        "a quota leaves no room for new pods; the version is undone, room is made, and it is tried again",
        End(Outcome.PROMOTED),
        "make_room_and_retry",
    ),
    Case(
        "image-away",
        ROOM,
        "the new version's image is nowhere to be found",
        (End(Outcome.UNDONE, ("elsewhere.example/checkout:v2", "not found")),),
        before={"RolloutPolicy": policy(step(50, "4s"), step(100), progressDeadline="12s")},
        then={"Deployment": template(container("v2", image=f"elsewhere.example/{NAME}:v2"))},
        load=10,
    ),
    Case(
        "settings-away",
        ROOM,
        "the new version's container takes its environment from a ConfigMap that is not there",
        (End(Outcome.UNDONE, ("configmap", "settings")),),
        before={"RolloutPolicy": policy(step(50, "4s"), step(100), progressDeadline="12s")},
        then={"Deployment": template(container("v2", envFrom=[{"configMapRef": {"name": "settings"}}]))},
        load=10,
    ),
    Case(
        "settings-pruned",
        ROOM,
        "the sync that brings the new version prunes the ConfigMap of the one in force, which is scaled up amid the rollout",
        (End(Outcome.UNDER_WAY, ("2 of 4 pods of v1 are ready", 'configmap "settings-1" not found', "restore it")),),
        before={"Deployment": _with_settings("v1"), "RolloutPolicy": policy(step(50, HELD), step(100))},
        more=(_settings("v1"), _settings("v2")),
        then={"Deployment": _with_settings("v2")},
        hands=("prune_settings_and_scale_up",),
        load=10,
        seconds=180,
    ),
    Case(
        "no-node",
        ROOM,
        "no node has what the new version's pods ask for",
        (End(Outcome.UNDONE, ("Unschedulable", "was not judged")),),
        before={"RolloutPolicy": policy(step(50, "4s"), step(100), progressDeadline="12s")},
        then={"Deployment": template(container("v2"), nodeSelector={"type": "process", "disk": "fast"})},
        load=10,
    ),
    Case(
        "scaled-to-0-and-back",
        ZERO,
        "the Deployment is scaled to 0 in the midst of a rollout, and up again",
        (End(Outcome.PROMOTED),),
        before={"RolloutPolicy": policy(step(50, "5s"), step(100))},
        then={"Deployment": template(container("v2"))},
        hands=("scale_to_0_and_back",),
        checks=("it_climbed_anew", "the_route_is_as_it_was"),
    ),
    Case(
        "version-of-the-night",
        ZERO,
        "a version comes while the Deployment is scaled to 0, and is scaled up in the morning",
        (End(Outcome.PROMOTED),),
        then={"Deployment": {"spec": {**template(container("v2"))["spec"], "replicas": 0}}},
        hands=("scale_up_in_the_morning",),
        checks=("each_step_was_climbed", "the_route_is_as_it_was"),
        sample=True,
    ),
    Case(
        "two-releases",
        SECOND,
        "a second Release names the same Deployment, Service and route",
        (End(Outcome.PROMOTED),),
        then={"Deployment": template(container("v2"))},
        hands=("add_a_second_release",),
        checks=("the_second_release_says_one_true_thing", "the_route_is_as_it_was"),
    ),
    Case(
        "burst-of-versions",
        PEOPLE,
        "three versions come one after another within a second, and then the first of them again",
        (End(Outcome.PROMOTED),),
        then={"Deployment": template(container("v2"))},
        hands=("change_again_and_again",),
        lasting=True,
        checks=("the_route_is_as_it_was",),
    ),
    Case(
        "replaced-by-force",
        PEOPLE,
        "the Deployment is deleted and made anew amid a rollout, as kubectl replace --force does",
        (End(Outcome.PROMOTED), End(Outcome.UNDER_WAY, ("v2 serves",)), End(Outcome.ROLLED_BACK, ("v2 serves",))),
        before={"RolloutPolicy": policy(step(50, "20s"), step(100))},
        then={"Deployment": template(container("v2"))},
        hands=("replace_by_force",),
        lasting=True,
        checks=("the_route_is_as_it_was",),
    ),
    Case(
        "rollback-with-a-hold",
        PEOPLE,
        "a person rolls back with a hold, and then the next version comes",
        (End(Outcome.ROLLED_BACK, ("request to resume", "v3")),),
        before={"RolloutPolicy": policy(step(50, HELD), step(100))},
        then={"Deployment": template(container("v2"))},
        hands=("roll_back_with_a_hold_and_change",),
        lasting=True,
        stays=5,
    ),
    Case(
        "resumed-after-a-hold",
        PEOPLE,
        "a person rolls back with a hold, the next version comes and waits, and the person resumes",
        (End(Outcome.UNDER_WAY, ("v3 serves",)),),
        before={"RolloutPolicy": policy(step(50, "6s"), step(100))},
        then={"Deployment": template(container("v2"))},
        hands=("roll_back_with_a_hold_change_and_resume",),
        lasting=True,
        checks=("the_route_is_as_it_was",),
    ),
    Case(
        "long-names",
        ODD,
        "the Service's name has the 56 characters that it may have at most, so that the operator's two have 63",
        (End(Outcome.PROMOTED),),
        before={
            "Service": {"metadata": {"name": _LONG}},
            "HTTPRoute": {"spec": {"rules": [{"backendRefs": [{"name": _LONG, "port": 80}]}]}},
            "Release": {"spec": {"traffic": {"service": _LONG}}},
        },
        then={"Deployment": template(container("v2"))},
        checks=("the_route_is_as_it_was",),
    ),
    _odd(
        "recreate",
        "strategy Recreate, no history, a selector by expressions, and a budget that lets no pod be evicted",
        {
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 0,
            "selector": {
                "matchLabels": None,
                "matchExpressions": [
                    {"key": "app", "operator": "In", "values": [NAME]},
                    {"key": "tier", "operator": "Exists"},
                ],
            },
        },
        _BUDGET,
    ),
    _odd(
        "all-unavailable",
        "a rolling update that may take all pods away at once, and a progress deadline of its own that is short",
        {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}},
            "progressDeadlineSeconds": 3,
            "minReadySeconds": 2,
        },
    ),
    Case(
        "rules-of-all-kinds",
        ODD,
        "two routes at a listener, one with rules of headers, methods, filters, a mirror, a timeout, and weights of its own",
        (End(Outcome.PROMOTED),),
        before={
            "HTTPRoute": {"spec": {"parentRefs": _AT_THE_LISTENER, "rules": _RULES}},
            "Release": {"spec": {"traffic": {"gatewayAPI": {"httpRoutes": [{"name": NAME}, {"name": "internal"}]}}}},
        },
        more=(_OTHER_SERVICE, _OTHER, _INTERNAL),
        then={"Deployment": template(container("v2"))},
        checks=("the_route_is_as_it_was",),
    ),
    Case(
        "service-of-all-kinds",
        ODD,
        "a Service with two ports, clients bound to pods, and addresses that are not ready",
        (End(Outcome.PROMOTED),),
        before={"Service": {"spec": {**_TWO_PORTS["spec"], "sessionAffinity": "ClientIP", "publishNotReadyAddresses": True}}},
        then={"Deployment": template(container("v2", env={"READY_AFTER": "3"}))},
        checks=("the_route_is_as_it_was",),
    ),
    Case(
        "paused-in-git",
        ODD,
        "the manifest with the new version says that the Deployment is paused",
        (End(Outcome.PROMOTED),),
        then={"Deployment": {"spec": {**template(container("v2"))["spec"], "paused": True}}},
        checks=("the_route_is_as_it_was",),
    ),
    Case(
        "autoscaled",
        ODD,
        "an autoscaler has the number of pods, and gets no metrics",
        (End(Outcome.PROMOTED),),
        more=(_AUTOSCALER,),
        then={"Deployment": template(container("v2"))},
        checks=("the_route_is_as_it_was",),
    ),
    Case(
        "port-of-a-native-sidecar",
        ODD,
        "the Service's target port is the name of a native sidecar's port, as behind a mesh's proxy",
        (End(Outcome.PROMOTED),),
        before={"Deployment": _behind_a_sidecar("v1")},
        then={"Deployment": _behind_a_sidecar("v2")},
        checks=("the_route_is_as_it_was",),
    ),
)
