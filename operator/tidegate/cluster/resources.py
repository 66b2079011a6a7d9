"""The kinds of the Kubernetes API that Tidegate reads or writes, and where they live."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API.

    Attributes:
        group: API group; empty for the core group.
        version: such as `v1`.
        plural: as in paths and RBAC rules.
        kind: as in manifests.
        namespaced: whether its objects live in namespaces.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in manifests: `apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As kubectl and the API's own messages name it: `deployments.apps`, or `services` for the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of the collection, of one object, or of one of its subresources.

        Args:
            namespace: None or empty for the collection over all namespaces, and for cluster-scoped resources.
            name: the object; None for the collection.
            subresource: such as `status` or `scale`.

        Raises:
            ValueError: if the parts do not make a path of this resource, such as a name without its namespace.
        """
        if namespace and not self.namespaced:
            raise ValueError(f"{self.qualified} are not namespaced")
        if name and self.namespaced and not namespace:
            raise ValueError(f"one of {self.qualified} needs a namespace")
        if subresource and not name:
            raise ValueError(f"subresource {subresource} of {self.qualified} needs a name")
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", namespace) if namespace else ()), self.plural, name, subresource]
        return "/".join(part for part in parts if part)


NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
PODS: Final = Resource("", "v1", "pods", "Pod")
SERVICES: Final = Resource("", "v1", "services", "Service")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
EVENTS: Final = Resource("", "v1", "events", "Event")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
HORIZONTAL_POD_AUTOSCALERS: Final = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
CRON_JOBS: Final = Resource("batch", "v1", "cronjobs", "CronJob")
JOBS: Final = Resource("batch", "v1", "jobs", "Job")
FEATURE_FLAGS: Final = Resource("core.openfeature.dev", "v1beta1", "featureflags", "FeatureFlag")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
HTTP_ROUTES: Final = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
CUSTOM_RESOURCE_DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
MUTATING_ADMISSION_POLICIES: Final = Resource(
    "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", namespaced=False
)
MUTATING_ADMISSION_POLICY_BINDINGS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingadmissionpolicybindings",
    "MutatingAdmissionPolicyBinding",
    namespaced=False,
)
VALIDATING_ADMISSION_POLICIES: Final = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
VALIDATING_ADMISSION_POLICY_BINDINGS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)
LOCAL_SUBJECT_ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview"
)
SELF_SUBJECT_REVIEWS: Final = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
RELEASES: Final = Resource("tidegate.dev", "v1alpha1", "releases", "Release")
ROLLOUT_POLICIES: Final = Resource("tidegate.dev", "v1alpha1", "rolloutpolicies", "RolloutPolicy")
CLUSTER_ROLLOUT_POLICIES: Final = Resource(
    "tidegate.dev", "v1alpha1", "clusterrolloutpolicies", "ClusterRolloutPolicy", namespaced=False
)
RELEASE_DECISIONS: Final = Resource("tidegate.dev", "v1alpha1", "releasedecisions", "ReleaseDecision")
RELEASE_RECORDS: Final = Resource("tidegate.dev", "v1alpha1", "releaserecords", "ReleaseRecord")
RELEASE_FREEZES: Final = Resource("tidegate.dev", "v1alpha1", "releasefreezes", "ReleaseFreeze", namespaced=False)

ALL: Final = (
    NAMESPACES,
    PODS,
    SERVICES,
    SECRETS,
    CONFIG_MAPS,
    EVENTS,
    DEPLOYMENTS,
    REPLICA_SETS,
    ENDPOINT_SLICES,
    HORIZONTAL_POD_AUTOSCALERS,
    CRON_JOBS,
    JOBS,
    FEATURE_FLAGS,
    LEASES,
    HTTP_ROUTES,
    CUSTOM_RESOURCE_DEFINITIONS,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    RELEASES,
    ROLLOUT_POLICIES,
    CLUSTER_ROLLOUT_POLICIES,
    RELEASE_DECISIONS,
    RELEASE_RECORDS,
    RELEASE_FREEZES,
)

_BY_KIND: Final = {(resource.api_version, resource.kind): resource for resource in ALL}


def resource_of(obj: Mapping[str, Any]) -> Resource:
    """The resource of an object that says its apiVersion and kind.

    Raises:
        LookupError: if it is none of those that Tidegate deals with.
    """
    found = _BY_KIND.get((obj["apiVersion"], obj["kind"]))
    if found is None:
        raise LookupError(f"{obj['kind']} of {obj['apiVersion']} is not a kind that Tidegate handles")
    return found


def path_of(obj: Mapping[str, Any], subresource: str | None = None) -> str:
    """The path of an object that says its apiVersion, kind, namespace and name.

    Raises:
        LookupError: if it is none of the kinds that Tidegate deals with.
        ValueError: if it is namespaced and says no namespace.
    """
    metadata = obj["metadata"]
    return resource_of(obj).path(metadata.get("namespace"), metadata["name"], subresource)


@dataclass(frozen=True, slots=True)
class Target:
    """What a path of the API stands for.

    Attributes:
        resource: qualified plural with its subresource, such as `deployments.apps/status`; the path itself where it is
            no resource.
        namespace: empty for all namespaces and for cluster-scoped resources.
        name: empty for a collection.
    """

    resource: str
    namespace: str = ""
    name: str = ""

    @classmethod
    def of(cls, path: str) -> "Target":
        """Takes a path apart: `/apis/apps/v1/namespaces/shop/deployments/checkout/status`."""
        parts = path.strip("/").split("/")
        match parts:
            case ["api", _, *rest]:
                group = ""
            case ["apis", group, _, *rest]:
                pass
            case _:
                return cls(path)
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in {"status", "finalize"}:
            namespace, rest = rest[1], rest[2:]
        if not rest:
            return cls(path)
        plural, name, *subresources = [*rest, ""]
        qualified = f"{plural}.{group}" if group else plural
        return cls("/".join([qualified, *(part for part in subresources if part)]), namespace, name)

    def __str__(self) -> str:
        return self.resource + (f" {self.name}" if self.name else "") + (f" in {self.namespace}" if self.namespace else "")
