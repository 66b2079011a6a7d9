"""What is installed, before a real API server: it takes every object, and grants the operator what it needs and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cluster_access import Answer, Api, api_proxy, install_crds, kubectl, namespace, needs_api, run
from api.manifests import KUBECONFORM, Key, helm, kustomize, needs_helm, needs_kubeconform

pytestmark = [*needs_api, pytest.mark.xdist_group("deploy-api")]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    install_crds()
    with api_proxy() as api:
        yield api


@pytest.fixture(scope="module")
def place(api: Api) -> Iterator[str]:
    restricted = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}
    with namespace("tidegate-deploy", **restricted) as name:
        yield name


def in_place(objects: dict[Key, dict[str, Any]], place: str) -> str:
    """Move objects to a namespace that exists, so that the API server can be asked about them without installing anything."""
    moved = [found for (kind, _), found in objects.items() if kind not in {"Namespace", "ServiceMonitor"}]
    return yaml.safe_dump_all(moved).replace("tidegate-system", place)


def taken(text: str) -> int:
    """Ask the API server, which keeps nothing, and return how many objects it takes; kubectl fails at the first that it refuses."""
    said = kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "-f", "-", stdin=text)
    return said.count(" serverside-applied (server dry run)")


@pytest.mark.parametrize("folder", [".", "overlays/without-admission"])
def test_api_server_takes_what_kustomize_renders(place: str, folder: str) -> None:
    """Every object passes strict validation and admission of the API server."""
    text = in_place(kustomize(folder), place)

    assert taken(text) == len(list(yaml.safe_load_all(text)))


@needs_helm
def test_api_server_takes_what_helm_renders(place: str) -> None:
    """Every object of the chart, optional ones included, passes strict validation and admission of the API server."""
    text = in_place(helm("--set", "networkPolicy.enabled=true,serve.enabled=true", "--set", f"watchNamespaces={{{place}}}"), place)

    assert taken(text) == len(list(yaml.safe_load_all(text)))


def pod_of(objects: dict[Key, dict[str, Any]], of: str = "tidegate", **more: Any) -> dict[str, Any]:
    """Return a pod of a Deployment, by default of the operator's."""
    template = objects["Deployment", of]["spec"]["template"]
    metadata = {**template["metadata"], "name": of}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**template["spec"], **more}}


def admitted(api: Api, place: str, pod: dict[str, Any]) -> Answer:
    return api.request("POST", f"/api/v1/namespaces/{place}/pods?dryRun=All", pod, "application/json")


def test_pod_passes_the_restricted_standard(api: Api, place: str) -> None:
    """The operator's pod is admitted to a namespace that enforces the restricted Pod Security Standard."""
    answer = admitted(api, place, pod_of(kustomize(".")))

    assert answer.accepted, answer.message


@needs_helm
def test_pod_of_the_chart_passes_the_restricted_standard(api: Api, place: str) -> None:
    """Likewise that of the chart, installed for the cluster or for single namespaces."""
    for options in ((), ("--set", "scope=namespaced,watchNamespaces={shop}")):
        answer = admitted(api, place, pod_of(helm(*options)))

        assert answer.accepted, answer.message
    answer = admitted(api, place, pod_of(helm("--set", "serve.enabled=true"), "tidegate-serve"))
    assert answer.accepted, answer.message


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"securityContext": {"runAsNonRoot": True}}, "seccompProfile"),
        ({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, "runAsNonRoot"),
        ({"hostNetwork": True}, "host namespaces"),
        ({"volumes": [{"name": "config", "hostPath": {"path": "/"}}, {"name": "tmp", "emptyDir": {}}]}, "hostPath"),
    ],
)
def test_pod_that_is_less_closed_is_refused(api: Api, place: str, more: dict[str, Any], named: str) -> None:
    """The standard is enforced here: with one of its measures taken away, the same pod is refused, and the refusal names it."""
    answer = admitted(api, place, pod_of(kustomize("."), **more))

    assert 403 == answer.status
    assert "violates PodSecurity" in answer.message
    assert named in answer.message


RIGHTS = [
    ("patch", "releases.tidegate.dev", "shop"),
    ("patch", "releases.tidegate.dev/status", "shop"),
    ("watch", "rolloutpolicies.tidegate.dev", "shop"),
    ("list", "clusterrolloutpolicies.tidegate.dev", ""),
    ("watch", "releasefreezes.tidegate.dev", ""),
    ("watch", "namespaces", ""),
    ("patch", "deployments.apps", "shop"),
    ("create", "replicasets.apps", "shop"),
    ("delete", "services", "shop"),
    ("watch", "endpointslices.discovery.k8s.io", "shop"),
    ("list", "pods", "shop"),
    ("get", "namespaces", "shop"),
    ("get", "events", "shop"),
    ("create", "events", "shop"),
    ("patch", "httproutes.gateway.networking.k8s.io", "shop"),
    ("get", "mutatingadmissionpolicies.admissionregistration.k8s.io/tidegate-hold", ""),
]
NO_RIGHTS = [
    ("get", "secrets", "shop"),
    ("list", "secrets", "tidegate-system"),
    ("get", "configmaps", "tidegate-system"),
    ("create", "pods", "shop"),
    ("create", "pods/exec", "shop"),
    ("get", "pods/log", "shop"),
    ("create", "serviceaccounts/token", "tidegate-system"),
    ("update", "releases.tidegate.dev", "shop"),
    ("update", "releases.tidegate.dev/finalizers", "shop"),
    ("update", "deployments.apps/finalizers", "shop"),
    ("update", "horizontalpodautoscalers.autoscaling", "shop"),
    ("update", "namespaces", "shop"),
    ("create", "releasefreezes.tidegate.dev", ""),
    ("delete", "releases.tidegate.dev", "shop"),
    ("create", "releases.tidegate.dev", "shop"),
    ("delete", "deployments.apps", "shop"),
    ("update", "rolloutpolicies.tidegate.dev", "shop"),
    ("delete", "pods", "shop"),
    ("get", "mutatingadmissionpolicies.admissionregistration.k8s.io/another", ""),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io", ""),
]


@pytest.fixture(scope="module")
def account(api: Api, place: str) -> Iterator[str]:
    """The user name of a ServiceAccount with the operator's roles; they are bound under names of their own."""
    wanted = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    chosen = [found for (kind, _), found in kustomize(".").items() if kind in wanted]
    text = yaml.safe_dump_all(chosen).replace("tidegate-system", place)
    text = re.sub(r"^(  |- |)(.*)name: (tidegate[-a-z]*)$", rf"\1\2name: \3-{place}", text, flags=re.MULTILINE)
    kubectl("apply", "--server-side", "-f", "-", stdin=text)
    yield f"system:serviceaccount:{place}:tidegate-{place}"
    run("kubectl", "delete", "--wait=false", "-f", "-", stdin=text)


def test_operator_may_do_what_it_does_and_no_more(api: Api, account: str) -> None:
    """The API server's own authorizer grants what the operator needs, in any namespace, and refuses the rest."""
    for granted, rights in ((True, RIGHTS), (False, NO_RIGHTS)):
        for verb, resource, where in rights:
            assert granted == allowed(api, account, verb, resource, where), (verb, resource)


def test_operator_may_write_its_own_lease_and_no_other(api: Api, account: str, place: str) -> None:
    """The Lease of its election is its own; those of others are not, nor are those of other namespaces."""
    own, other = "leases.coordination.k8s.io:tidegate", "leases.coordination.k8s.io:another"

    assert allowed(api, account, "create", "leases.coordination.k8s.io", place)
    assert all(allowed(api, account, verb, own, place) for verb in ("get", "watch", "update"))
    assert not any(allowed(api, account, verb, own, place) for verb in ("list", "delete", "patch"))
    assert not any(allowed(api, account, verb, other, place) for verb in ("get", "watch", "update"))
    assert not any(allowed(api, account, verb, own, "kube-system") for verb in ("get", "watch", "create", "update"))


def allowed(api: Api, user: str, verb: str, resource: str, where: str) -> bool:
    """Ask the API server's authorizer.

    `resource` is `plural.group/subresource`, for the cluster's kinds `plural.group/name`; `plural.group:name` for one object.
    """
    resource, _, name = resource.partition(":")
    full, _, rest = resource.partition("/")
    plural, _, group = full.partition(".")
    attributes = {"verb": verb, "group": group, "resource": plural, "namespace": where}
    attributes |= {"subresource": rest, "name": name} if where else {"name": rest}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review, "application/json")
    return bool(answer.body["status"]["allowed"])


@pytest.fixture(scope="module")
def schemas(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON schemas for kubeconform, from the API server itself: it serves what it validates by."""
    folder = tmp_path_factory.mktemp("schemas")
    index = api.request("GET", "/openapi/v3", "").body["paths"]
    for path, where in index.items():
        if not re.fullmatch(
            r"api/v1|apis/(apps|rbac\.authorization|admissionregistration|apiextensions|networking|policy).*/v1", path
        ):
            continue
        components = api.request("GET", where["serverRelativeURL"], "").body["components"]
        for name, schema in components["schemas"].items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                group = f"-{kind['group'].split('.')[0]}" if kind["group"] else ""
                document = {"$ref": f"#/components/schemas/{name}", "components": components}
                (folder / f"{kind['kind'].lower()}{group}-{kind['version']}.json").write_text(json.dumps(document))
    return folder


@needs_helm
@needs_kubeconform
@pytest.mark.parametrize("tool", ["kustomize", "helm"])
def test_kubeconform_finds_nothing(schemas: Path, tool: str) -> None:
    """Kubeconform validates every object by the schemas that the API server publishes."""
    objects = kustomize(".") if tool == "kustomize" else helm("--set", "networkPolicy.enabled=true")
    location = f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"

    done = run(KUBECONFORM, "-schema-location", location, "-output", "json", "-summary", stdin=yaml.safe_dump_all(objects.values()))

    summary = json.loads(done.stdout)["summary"]
    assert done.returncode == 0, done.stdout
    assert summary == {"valid": len(objects), "invalid": 0, "errors": 0, "skipped": 0}
