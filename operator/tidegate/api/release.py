"""Release: what is released, through which route, under which policy.

What is of one Deployment stands here; what many share, steps and gates above all, stands in the policy that it names.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule, Time
from tidegate.api.flags import FLAGS_RULES, Flags
from tidegate.api.gate import Name
from tidegate.api.grouped import Group

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
HTTP_ROUTE = "HTTPRoute"
"""Kind of the routes of which a status names no kind."""
CONTAINER_NAMES = Rule(
    "self.all(name, size(name) <= 63 && name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",
    "keys must be names of containers",
)


class WorkloadKind(StrEnum):
    """Kinds of workload that a Release may manage."""

    DEPLOYMENT = "Deployment"


class PolicyKind(StrEnum):
    """Kinds of policy that a Release may follow."""

    NAMESPACED = "RolloutPolicy"
    CLUSTER = "ClusterRolloutPolicy"


class Match(StrEnum):
    """By what a version of another Release is known to be the same."""

    IMAGES = "Images"
    VERSION = "Version"


class ReleaseType(StrEnum):
    """How much a version changes, by semantic versioning; or that it mends what is broken now."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    HOTFIX = "hotfix"


class TargetRef(Model):
    """The workload, in the Release's namespace."""

    kind: Annotated[
        WorkloadKind,
        Field(description="Kind of the workload. Default: Deployment."),
    ] = WorkloadKind.DEPLOYMENT
    name: Annotated[ObjectName, Field(description="Name of the Deployment.")]


class PolicyRef(Model):
    """The policy: a RolloutPolicy of the same namespace or a ClusterRolloutPolicy."""

    kind: Annotated[
        PolicyKind,
        Field(description="RolloutPolicy or ClusterRolloutPolicy. Default: RolloutPolicy."),
    ] = PolicyKind.NAMESPACED
    name: Annotated[ObjectName, Field(description="Name of the policy.")]


class HTTPRouteRef(Model):
    """An HTTPRoute in the Release's namespace."""

    name: Annotated[ObjectName, Field(description="Name of the HTTPRoute. Every rule of it that names the Service is shifted.")]


class GatewayAPI(Model):
    """Traffic through Gateway API."""

    http_routes: Annotated[
        tuple[HTTPRouteRef, ...],
        Field(min_length=1, max_length=8, description="HTTPRoutes whose rules name the Service, 1 to 8."),
        K8s(list_map_keys=("name",)),
    ]


class Traffic(Model):
    """How requests reach the workload: a Service and exactly one router."""

    service: Annotated[
        Name,
        Field(
            description=(
                "Name of the Service that the routes name, at most 56 characters. "
                "Its selector must fit the labels of the Deployment's pod template."
            )
        ),
        K8s(rules=(Rule("size(self) <= 56", "must have at most 56 characters: `-canary` is put behind it"),)),
    ]
    pin_service: Annotated[
        bool,
        Field(
            description=(
                "Also keep the Service's own selector on the version that serves, for callers that go past the route. "
                "Only where no GitOps tool owns the selector by server-side apply. Default: false."
            )
        ),
    ] = False
    gateway_api: Annotated[  # to_camel would write gatewayApi
        GatewayAPI | None, Field(alias="gatewayAPI", description="Router: HTTPRoutes of Gateway API v1. Default: none.")
    ] = None


_CLUSTER = (
    "Name of its cluster in the operator's configuration (clusters). This namespace must be allowed there to read the other one. "
    "Default: this cluster."
)


class After(Model):
    """Another Release, which must have proved a version before it is rolled out here."""

    release: Annotated[ObjectName, Field(description="Name of the other Release.")]
    namespace: Annotated[
        Name | None,
        Field(description="Its namespace. Whoever writes this field needs the right to get that Release. Default: this one."),
    ] = None
    cluster: Annotated[Name | None, Field(description=_CLUSTER)] = None
    soak: Annotated[
        Duration,
        Field(
            description="How long the version must have been in force there, without a rollback to it, at most 720h. 0s: its "
            "promotion there is enough. Default: 0s."
        ),
    ] = timedelta(0)
    match: Annotated[
        Match,
        Field(
            description="By what the version is known to be the same. Images: each container runs the same image there, by digest "
            "if either names one, else by name and tag. Version: it is called the same. Default: Images."
        ),
    ] = Match.IMAGES


class Follow(Model):
    """Another Release, whose proved images are rolled out here."""

    release: Annotated[ObjectName, Field(description="Name of the other Release.")]
    namespace: Annotated[
        Name | None,
        Field(description="Its namespace. Whoever writes this field needs the right to get that Release. Default: this one."),
    ] = None
    cluster: Annotated[Name | None, Field(description=_CLUSTER)] = None


class ReleaseSpec(Model):
    """What is released, through which route, under which policy."""

    version: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description="Name of the version for people. Default: the tag of the image that changed last.",
        ),
    ] = None
    type: Annotated[
        ReleaseType | None,
        Field(
            description=(
                "Type of the versions to come, for the rules of policies: major, minor, patch or hotfix. It counts as it is when a "
                "rollout starts. Default: by the first number that differs in the names of both versions; major where one has none."
            )
        ),
    ] = None
    target_ref: Annotated[TargetRef, Field(description="The workload that is released.")]
    images: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=512)]],
        Field(
            max_length=20,
            description=("Images by container name, laid over the Deployment's own. Default: none; the Deployment's images count."),
        ),
        K8s(rules=(CONTAINER_NAMES,)),
    ] = {}  # noqa: RUF012 - pydantic gives each object a copy
    committed_at: Annotated[
        Time | None,
        Field(
            description=(
                "When the commit of the version was made, such as 2026-12-24T09:00:00Z: its lead time counts from here. Set it "
                "with `images`; it counts as it is when a rollout starts, and must be later than that of the version before. "
                "Default: the annotation tidegate.dev/committed-at of the Deployment, if the Release has no images."
            )
        ),
    ] = None
    policy_ref: Annotated[PolicyRef, Field(description="The policy that rollouts follow.")]
    environment: Annotated[Name | None, Field(description="Name of the environment, e.g. production. Default: none.")] = None
    traffic: Annotated[
        Traffic | None,
        Field(
            description=(
                "How requests reach the workload: a Service and exactly one router. Default: none; then versions share "
                "the requests by their number of pods, and the new version gets at most half before its promotion."
            )
        ),
        K8s(rules=(Rule("has(self.gatewayAPI)", "give exactly one router: gatewayAPI"),)),
    ] = None
    after: Annotated[
        tuple[After, ...],
        Field(
            max_length=4,
            description="Releases that must have proved a version before its rollout starts here, at most 4, e.g. that of staging. "
            "A version that served here before is rolled out without. Default: none.",
        ),
    ] = ()
    group: Annotated[
        Group | None,
        Field(
            description="Other Releases of this namespace that this one moves with: no step begins before all that are being "
            "rolled out have passed the one before it, and if one is rolled back, all are. Default: none."
        ),
    ] = None
    follow: Annotated[
        Follow | None,
        Field(
            description="A Release whose version is taken over as soon as it is proved there: its images are laid over the "
            "Deployment's own, as by `images`, and stand in status.followed. How long it must have run there is the soak of "
            "`after` for the same Release. Default: none."
        ),
    ] = None
    flags: Annotated[
        Flags | None,
        Field(
            description=(
                "Feature flags that steps of the policy set and that decisions with the action Switch force off or on. Whoever "
                "writes this field needs the right to patch the object with their definitions. Default: none."
            )
        ),
        K8s(rules=FLAGS_RULES),
    ] = None
