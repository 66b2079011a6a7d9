"""What is installed: kustomize and Helm render the same, with the values and options that their users give."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cluster_access import kubectl, run
from api.manifests import CHART, DEPLOY, HELM, Key, by_name, comparable, helm, helm_documents, kustomize, needs_helm, needs_kubectl
from tidegate.api.names import HOLD_POLICY
from tidegate.controller.process import config as configuration


@needs_kubectl
@needs_helm
def test_kustomize_and_helm_install_the_same() -> None:
    """Both ways lead to the same objects, but for the namespace, which Helm leaves to its `--create-namespace`."""
    ours = kustomize(".")
    del ours["Namespace", "tidegate-system"]

    theirs = helm()

    assert sorted(ours) == sorted(theirs)
    for key, found in ours.items():
        assert comparable(found) == comparable(theirs[key]), key


@needs_kubectl
@needs_helm
def test_optional_parts_are_the_same() -> None:
    """The ServiceMonitor, the NetworkPolicy and what flags take are the same as kustomize components and as values of the chart."""
    direct = ("--set-json", 'config.connections=[{"name":"default","address":"http://prometheus:9090","direct":{}}]')
    theirs = helm("--set", "serviceMonitor.enabled=true,networkPolicy.enabled=true,flags.enabled=true", *direct)
    for file in ("servicemonitor", "networkpolicy", "direct"):
        ((key, ours),) = by_name((DEPLOY / "components" / file / f"{file}.yaml").read_text()).items()
        assert comparable(ours) == comparable(theirs[key])
    for file in ("rbac", "policies"):
        for key, ours in by_name((DEPLOY / "components" / "flags" / f"{file}.yaml").read_text()).items():
            assert comparable(ours) == comparable(theirs[key]), key


@needs_kubectl
def test_components_add_to_a_kustomization(tmp_path: Path) -> None:
    """A kustomization of one's own may take deploy/ and add components, registry and tag."""
    here = os.path.relpath(DEPLOY, tmp_path)
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [here],
                "components": [f"{here}/components/{name}" for name in ("servicemonitor", "networkpolicy", "direct", "serve")],
                "images": [{"name": "tidegate", "newName": "registry.example/tidegate", "newTag": "v9"}],
            }
        )
    )

    objects = by_name(kubectl("kustomize", str(tmp_path)))

    assert {("ServiceMonitor", "tidegate"), ("NetworkPolicy", "tidegate")} <= objects.keys()
    pods = [objects["Deployment", name]["spec"]["template"]["spec"] for name in ("tidegate", "tidegate-serve")]
    assert {pod["containers"][0]["image"] for pod in pods} == {"registry.example/tidegate:v9"}


@needs_kubectl
def test_overlay_without_admission_leaves_only_what_writes_out() -> None:
    """For older clusters everything is installed but the policies that hold templates and write down names."""
    whole, without = kustomize("."), kustomize("overlays/without-admission")

    written = (HOLD_POLICY, "tidegate-decisions", "tidegate-changed-by", "tidegate-changed-by-release")
    kinds = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
    assert whole.keys() - without.keys() == {(kind, name) for kind in kinds for name in written}
    assert without == {key: found for key, found in whole.items() if key in without}


@needs_kubectl
def test_operator_reads_the_configuration_that_is_installed(tmp_path: Path) -> None:
    """The ConfigMap of kustomize is a configuration that the operator accepts, with a connection of the name `default`."""
    file = tmp_path / "config.yaml"
    file.write_text(kustomize(".")["ConfigMap", "tidegate-config"]["data"]["config.yaml"])

    loaded = configuration.load(file)

    assert [connection.name for connection in loaded.connections] == ["default"]


@needs_helm
def test_operator_reads_the_configuration_of_the_chart(tmp_path: Path) -> None:
    """What the chart makes of its values, with every option of a connection given, is a configuration that the operator accepts."""
    values = {
        "watchNamespaces": ["shop"],
        "clusters": {"west": {"secretName": "tidegate-west", "allow": [{"from": ["shop"], "to": ["shop", "staging"]}]}},
        "leaderElection": {"enabled": True, "leaseDuration": "20s", "renewDeadline": "12s", "retryPeriod": "3s"},
        "config": {
            "logLevel": "debug",
            "warmUp": "3s",
            "stepReplicasLimit": 20,
            "connections": [
                {
                    "name": "central",
                    "address": "https://prometheus.example/prefix",
                    "headers": {"X-Scope-OrgID": "shop", "X-Tenant": {"fromFile": "/etc/prometheus/tenant"}},
                    "basicAuth": {"username": "tidegate", "passwordFile": "/etc/prometheus/password"},
                    "tls": {"caFile": "/etc/prometheus/ca.crt", "serverName": "prometheus"},
                    "timeout": "10s",
                    "concurrency": 4,
                    "namespaces": ["shop"],
                    "queries": "clusterPolicies",
                }
            ],
        },
    }
    file = tmp_path / "config.yaml"
    done = run(HELM, "template", "tidegate", str(CHART), "--values", "-", stdin=json.dumps(values))
    assert done.returncode == 0, done.stderr
    file.write_text(by_name(done.stdout)["ConfigMap", "tidegate-config"]["data"]["config.yaml"])

    loaded = configuration.load(file)

    assert loaded.watch_namespaces == ("shop",)
    assert loaded.clusters["west"].allows("shop", "staging")
    assert [connection.name for connection in loaded.connections] == ["central"]


@needs_kubectl
@needs_helm
def test_two_replicas_of_which_one_works() -> None:
    """Both ways install two pods, apart from each other, of which one goes at a time, and that take part in an election."""
    for objects in (kustomize("."), helm()):
        spec = objects["Deployment", "tidegate"]["spec"]
        pod, labels = spec["template"]["spec"], spec["selector"]["matchLabels"]

        assert 2 == spec["replicas"]
        assert {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}} == spec["strategy"]
        assert ["kubernetes.io/hostname", "topology.kubernetes.io/zone"] == [
            one["topologyKey"] for one in pod["topologySpreadConstraints"]
        ]
        assert all(one["labelSelector"]["matchLabels"] == labels for one in pod["topologySpreadConstraints"])
        assert {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"} == {
            one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in pod["containers"][0]["env"]
        }
        budget = objects["PodDisruptionBudget", "tidegate"]["spec"]
        assert (1, labels) == (budget["maxUnavailable"], budget["selector"]["matchLabels"])
        name = configuration.Config().leader_election.lease_name
        assert [name] == objects["Role", "tidegate-leader-election"]["rules"][1]["resourceNames"]


@needs_helm
def test_without_leader_election_there_is_never_a_second_pod(tmp_path: Path) -> None:
    """Given an installation without leader election, the pod is replaced and not joined, and more replicas are refused."""
    alone = helm("--set", "leaderElection.enabled=false,replicas=1")
    file = tmp_path / "config.yaml"
    file.write_text(alone["ConfigMap", "tidegate-config"]["data"]["config.yaml"])

    refused = run(HELM, "template", "tidegate", str(CHART), "--set", "leaderElection.enabled=false")

    assert {"type": "Recreate"} == alone["Deployment", "tidegate"]["spec"]["strategy"]
    assert not {"PodDisruptionBudget", "Role"} & {kind for kind, _ in alone}
    assert configuration.load(file).leader_election.enabled is False
    assert "without leaderElection.enabled" in refused.stderr


@needs_kubectl
@needs_helm
def test_pod_is_closed() -> None:
    """Beyond the restricted standard: nothing can be written but /tmp, and a token is there because the pod itself asks for it."""
    for objects in (kustomize("."), helm()):
        pod = objects["Deployment", "tidegate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]

        assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert 0 != pod["securityContext"]["runAsUser"]
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container["securityContext"]
        assert {"/tmp"} == {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
        assert (True, False) == (pod["automountServiceAccountToken"], pod["enableServiceLinks"])
        assert objects["ServiceAccount", "tidegate"]["automountServiceAccountToken"] is False
        assert not [name for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace") if pod.get(name)]


@needs_helm
def test_network_policy_lets_through_what_is_needed() -> None:
    """In: the ports of metrics and of probes. Out: DNS, the API server and Prometheus; each for whom the values name."""
    inside = '[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]'
    servers, nodes = '[{"ipBlock":{"cidr":"10.1.0.0/16"}}]', '[{"ipBlock":{"cidr":"10.2.0.0/16"}}]'
    peers = {"ingressFrom": inside, "probesFrom": nodes, "egressTo": servers}
    options = [part for name, value in peers.items() for part in ("--set-json", f"networkPolicy.{name}={value}")]
    wide = helm("--set", "networkPolicy.enabled=true")["NetworkPolicy", "tidegate"]["spec"]
    narrow = helm("--set", "networkPolicy.enabled=true", *options)["NetworkPolicy", "tidegate"]["spec"]
    labels = helm()["Deployment", "tidegate"]["spec"]["selector"]["matchLabels"]

    for spec in (wide, narrow):
        assert labels == spec["podSelector"]["matchLabels"]
        assert ["Ingress", "Egress"] == spec["policyTypes"]
        assert [["http"], ["probes"]] == [[one["port"] for one in rule["ports"]] for rule in spec["ingress"]]
        assert [[53, 53], [443, 6443, 9090]] == [[one["port"] for one in rule["ports"]] for rule in spec["egress"]]
    assert not [rule for rule in (*wide["ingress"], *wide["egress"]) if {"from", "to"} & rule.keys()]
    assert json.loads(inside) == narrow["ingress"][0]["from"]
    assert json.loads(nodes) == narrow["ingress"][1]["from"]
    assert json.loads(servers) == narrow["egress"][1]["to"]


@needs_kubectl
@needs_helm
def test_probes_ask_a_port_of_their_own() -> None:
    """Both ways probe the port that serves no metrics, and the ports are those that the operator listens on by default."""
    for objects in (kustomize("."), helm()):
        (container,) = objects["Deployment", "tidegate"]["spec"]["template"]["spec"]["containers"]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        defaults = configuration.Config()

        assert {"http": defaults.http_port, "probes": defaults.probe_port} == ports
        assert {"probes"} == {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "liveness", "readiness")}
        assert ["http"] == [one["targetPort"] for one in objects["Service", "tidegate"]["spec"]["ports"]]


@needs_kubectl
def test_no_role_of_the_operator_has_a_wildcard() -> None:
    """Every right is named: group, resource and verb."""
    objects = kustomize(".")

    for (kind, name), found in objects.items():
        for rule in found["rules"] if kind in {"ClusterRole", "Role"} else []:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], name
            assert not {"secrets", "configmaps"} & set(rule["resources"]), name


def aggregated(objects: dict[Key, dict[str, Any]]) -> dict[str, set[str]]:
    """Return which built-in roles each role for people is part of."""
    mark = "rbac.authorization.k8s.io/aggregate-to-"
    roles = {name: found for (kind, name), found in objects.items() if kind == "ClusterRole"}
    labels = {name: found["metadata"].get("labels", {}) for name, found in roles.items()}
    marks = {name: {label.removeprefix(mark) for label in found if label.startswith(mark)} for name, found in labels.items()}
    return {name: found for name, found in marks.items() if found}


VIEW, EDIT = {"tidegate-view": {"view", "edit", "admin"}}, {"edit", "admin"}
RELEASES = {**VIEW, "tidegate-release-edit": EDIT, "tidegate-releaser": EDIT}
BOTH = {**RELEASES, "tidegate-policy-edit": EDIT}


@needs_kubectl
@needs_helm
@pytest.mark.parametrize(
    ("component", "options", "expected"),
    [
        (None, (), BOTH),
        (None, ("--set", "rbac.aggregate=true"), BOTH),
        ("without-policy-aggregation", ("--set", "rbac.aggregate.policies=false"), RELEASES),
        ("without-release-aggregation", ("--set", "rbac.aggregate.releases=false"), {**VIEW, "tidegate-policy-edit": EDIT}),
    ],
)
def test_releases_and_policies_are_aggregated_apart(
    tmp_path: Path, component: str | None, options: tuple[str, ...], expected: dict[str, set[str]]
) -> None:
    """Both ways, editing of Releases and of policies is part of `edit` and `admin` or not, each for itself; the roles stay."""
    here = os.path.relpath(DEPLOY, tmp_path)
    components = [f"{here}/components/{component}"] if component else []
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [here], "components": components}))
    ours, theirs = by_name(kubectl("kustomize", str(tmp_path))), helm(*options)

    assert expected == aggregated(ours) == aggregated(theirs)
    for name in ("view", "release-edit", "policy-edit", "edit", "cluster-policies", "releaser", "approver", "admin"):
        assert ours["ClusterRole", f"tidegate-{name}"]["rules"] == theirs["ClusterRole", f"tidegate-{name}"]["rules"]


@needs_helm
def test_no_roles_for_people_where_none_are_wanted() -> None:
    """`rbac.aggregate: false`, as it was before there were two, makes no role for people."""
    roles = {name for kind, name in helm("--set", "rbac.aggregate=false") if kind == "ClusterRole"}

    assert {"tidegate", "tidegate-cluster"} == roles


@needs_kubectl
def test_nobody_is_given_the_status_or_what_is_of_the_cluster() -> None:
    """No role for people writes the status of a Release; one alone writes ClusterRolloutPolicies, and one alone ReleaseFreezes."""
    objects = kustomize(".")
    for (kind, name), found in objects.items():
        if kind != "ClusterRole" or not name.startswith("tidegate-") or name == "tidegate-cluster":
            continue
        written = {one for rule in found["rules"] if set(rule["verbs"]) - {"get", "list", "watch"} for one in rule["resources"]}
        assert "releases/status" not in written, name
        assert "clusterrolloutpolicies" not in written or name == "tidegate-cluster-policies"
        assert "releasefreezes" not in written or name == "tidegate-freezes"
    assert not {"tidegate-cluster-policies", "tidegate-freezes"} & set(aggregated(objects))


@needs_helm
def test_named_namespaces_bind_the_operator_there_only() -> None:
    """With `watchNamespaces`, the operator's rights end at those namespaces, and its configuration names them."""
    done = run(HELM, "template", "tidegate", str(CHART), "--set", "watchNamespaces={shop,bank}")

    documents = [document for document in yaml.safe_load_all(done.stdout) if document]

    bindings = [one for one in documents if one["kind"] == "RoleBinding" and one["roleRef"]["kind"] == "ClusterRole"]
    cluster_wide = [document["roleRef"]["name"] for document in documents if document["kind"] == "ClusterRoleBinding"]
    (configuration,) = (document["data"]["config.yaml"] for document in documents if document["kind"] == "ConfigMap")
    assert {"shop", "bank"} == {binding["metadata"]["namespace"] for binding in bindings}
    assert {"tidegate"} == {binding["roleRef"]["name"] for binding in bindings}
    assert cluster_wide == ["tidegate-cluster"]
    assert yaml.safe_load(configuration)["watchNamespaces"] == ["shop", "bank"]


@needs_helm
@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("replicas=17", "/replicas"),
        ("leaderElection.enabled=perhaps", "/leaderElection/enabled"),
        ("image.digest=sha256:abc", "/image/digest"),
        ("config.connections[0].name=Default", "/config/connections/0"),
        ("admission.hold.enabled=maybe", "/admission/hold/enabled"),
        ("admission.deputy.enabled=maybe", "/admission/deputy/enabled"),
        ("admission.guard.operators[0]=it's", "/admission/guard/operators/0"),
        ("imagee.tag=1", "imagee"),
        ("scope=cluster-wide", "/scope"),
        ("clusters.west.secretName=west", "/clusters/west"),
        ("networkPolicy.egressTo[0].cidr=10.0.0.0/8", "/networkPolicy/egressTo/0"),
    ],
)
def test_wrong_values_are_named(option: str, named: str) -> None:
    """A wrong value stops Helm before anything is installed, and the message says which."""
    done = run(HELM, "template", "tidegate", str(CHART), "--set", option)

    assert done.returncode != 0
    assert named in done.stderr


@needs_helm
def test_single_namespaces_have_to_be_named() -> None:
    """`scope: namespaced` without namespaces would serve none: the chart stops with the value to set."""
    refused = run(HELM, "template", "tidegate", str(CHART), "--set", "scope=namespaced")

    assert "scope: namespaced needs watchNamespaces" in refused.stderr


@needs_helm
def test_operator_reads_the_configuration_for_single_namespaces(tmp_path: Path) -> None:
    """Installed for single namespaces, the operator serves these and reads no policy of the cluster."""
    file = tmp_path / "config.yaml"
    objects = helm_documents("--set", "scope=namespaced,watchNamespaces={shop,bank}")
    file.write_text(next(one["data"]["config.yaml"] for one in objects if one["kind"] == "ConfigMap"))

    loaded = configuration.load(file)

    assert (("shop", "bank"), False) == (loaded.watch_namespaces, loaded.cluster_policies)


@needs_helm
def test_older_cluster_is_told_what_to_set() -> None:
    """Before Kubernetes 1.36 the chart stops with the value to set; with it, the chart is rendered without the policy."""
    older = ["template", "tidegate", str(CHART), "--kube-version", "1.33.0"]

    refused = run(HELM, *older)
    taken = run(HELM, *older, "--set", "admission.hold.enabled=false")

    assert "set admission.hold.enabled=false" in refused.stderr
    assert taken.returncode == 0, taken.stderr
    assert ("MutatingAdmissionPolicy", HOLD_POLICY) not in by_name(taken.stdout)


@needs_helm
def test_notes_say_what_holds_without_the_deputy() -> None:
    """The policy that asks about a Release's author is installed unless it is switched off, and then Helm says what that means."""
    policy = ("ValidatingAdmissionPolicy", "tidegate-deputy")
    dry = (HELM, "install", "tidegate", str(CHART), "--dry-run=client", "--namespace", "tidegate-system")

    plain, off = run(*dry), run(*dry, "--set", "admission.deputy.enabled=false")

    assert policy in helm()
    assert policy not in helm("--set", "admission.deputy.enabled=false")
    words = "who may create Releases may run any image"
    assert (False, True) == (words in plain.stdout, words in off.stdout), off.stderr


@needs_helm
def test_guard_lets_the_operators_pass_that_there_are() -> None:
    """It names the account of the chart's own namespace and those of the values; without it there is no role to override."""
    named = helm("--namespace", "rollouts", "--set", "admission.guard.operators={system:serviceaccount:tidegate-a:tidegate}")
    (passing,) = (
        one["expression"]
        for one in named["ValidatingAdmissionPolicy", "tidegate-guard"]["spec"]["matchConditions"]
        if one["name"] == "not-by-the-operator"
    )
    off = helm("--set", "admission.guard.enabled=false")

    accounts = "'system:serviceaccount:rollouts:tidegate', 'system:serviceaccount:tidegate-a:tidegate'"
    assert f"!(request.userInfo.username in [{accounts}])" == passing
    assert ("ClusterRole", "tidegate-override") in named
    assert not {("ValidatingAdmissionPolicy", "tidegate-guard"), ("ClusterRole", "tidegate-override")} & set(off)


@needs_helm
def test_decisions_can_be_left_out_and_older_clusters_have_them_judged() -> None:
    """Without the policies none is installed; before Kubernetes 1.36 names are judged and not written."""
    off = helm("--set", "admission.decisions.enabled=false", "--set", "admission.records.enabled=false")
    older = helm("--kube-version", "1.33.0", "--set", "admission.hold.enabled=false")
    names = {"tidegate-decisions", "tidegate-records", "tidegate-changed-by", "tidegate-changed-by-release"}

    assert not [key for key in off if key[1] in names]
    assert names == {name for kind, name in older if kind == "ValidatingAdmissionPolicy"} & names
    assert not [key for key in older if key[0].startswith("Mutating")]


@needs_helm
def test_values_reach_the_pod() -> None:
    """Image, volumes for the connections' secrets, annotations and the choice of nodes are as the values say."""
    values = {
        "image": {"repository": "registry.example/tidegate", "digest": f"sha256:{'a' * 64}"},
        "extraVolumes": [{"name": "ca", "secret": {"secretName": "prometheus-ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/prometheus-ca", "readOnly": True}],
        "clusters": {"west": {"secretName": "tidegate-west", "allow": [{"from": ["shop"], "to": ["shop"]}]}},
        "podAnnotations": {"note": "yes"},
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
    }
    done = run(HELM, "template", "tidegate", str(CHART), "--values", "-", stdin=json.dumps(values))

    template = by_name(done.stdout)["Deployment", "tidegate"]["spec"]["template"]

    pod = template["spec"]
    assert pod["containers"][0]["image"] == f"registry.example/tidegate@sha256:{'a' * 64}"
    assert values["extraVolumes"][0] in pod["volumes"]
    assert values["extraVolumeMounts"][0] in pod["containers"][0]["volumeMounts"]
    assert {"name": "cluster-west", "secret": {"secretName": "tidegate-west", "optional": True}} in pod["volumes"]
    assert "/etc/tidegate-clusters/west" in [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert template["metadata"]["annotations"]["note"] == "yes"
    assert (values["nodeSelector"], values["tolerations"]) == (pod["nodeSelector"], pod["tolerations"])


@needs_helm
def test_lint_finds_nothing() -> None:
    """`helm lint --strict` is silent."""
    done = run(HELM, "lint", "--strict", str(CHART))

    assert done.returncode == 0, done.stdout


@needs_helm
def test_removing_the_chart_keeps_releases_and_policies() -> None:
    """The definitions carry the mark that makes Helm keep them, unless it is asked not to; they can be left out."""
    kept, dropped = helm(), helm("--set", "crds.keep=false")
    definition = ("CustomResourceDefinition", "releases.tidegate.dev")

    assert kept[definition]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "annotations" not in dropped[definition]["metadata"]
    assert definition not in helm("--set", "crds.install=false")


def test_base_image_of_both_stages_is_one() -> None:
    """Whoever gives the base by its digest gives it for what builds and for what runs."""
    text = (CHART.parents[1] / "Dockerfile").read_text()

    assert ["${BASE} AS build", "${BASE}"] == [line.removeprefix("FROM ") for line in text.splitlines() if line.startswith("FROM ")]
    assert 1 == text.count("ARG BASE=python:3.11-slim-bookworm\n")
