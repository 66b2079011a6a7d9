"""Direct readings reach pods from within the chart's network policies, pushed samples come in, and nothing else does."""

from __future__ import annotations

import json

import pytest

from api.manifests import helm, helm_documents, kustomize, needs_helm, needs_kubectl


@needs_helm
def test_network_policy_lets_direct_readings_out() -> None:
    """Only where a connection has `direct` the operator may reach pods: those alone, at the ports that the values name."""
    direct = ("--set-json", 'config.connections=[{"name":"default","address":"http://prometheus:9090","direct":{}}]')
    enabled = ("--set", "networkPolicy.enabled=true")
    assert ("NetworkPolicy", "tidegate-direct") not in helm(*enabled)
    assert ("NetworkPolicy", "tidegate-direct") not in helm(*direct)

    narrow = helm(*enabled, *direct, "--set", "networkPolicy.directPorts={8080,9102}")["NetworkPolicy", "tidegate-direct"]

    assert narrow["spec"]["policyTypes"] == ["Egress"]
    ports = [{"protocol": "TCP", "port": port} for port in (8080, 9102)]
    assert narrow["spec"]["egress"] == [{"to": [{"namespaceSelector": {}}], "ports": ports}]


PUSH = {"plainHttp": True, "senders": [{"name": "agent", "namespaces": ["shop"], "tokenFile": "/etc/push/token"}]}


@needs_helm
@pytest.mark.parametrize("port", [None, 9000])
def test_pushed_samples_come_in_where_the_configuration_opens_the_port(port: int | None) -> None:
    """With `push` there are a port of the container, a Service, and a way in for those whom the values name; else none."""
    enabled = ("--set", "networkPolicy.enabled=true")
    config = PUSH | ({} if port is None else {"port": port})
    peers = '[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]'
    push = ("--set-json", f"config.push={json.dumps(config)}", "--set-json", f"networkPolicy.pushFrom={peers}")
    without, opened = helm(*enabled), helm(*enabled, *push)

    assert set(opened) - set(without) == {("Service", "tidegate-push")}
    assert opened["Service", "tidegate-push"]["spec"]["ports"] == [{"name": "push", "port": 8082, "targetPort": "push"}]
    ports = [one["Deployment", "tidegate"]["spec"]["template"]["spec"]["containers"][0]["ports"][2:] for one in (without, opened)]
    assert ports == [[], [{"name": "push", "containerPort": port or 8082}]]
    ways = [one["NetworkPolicy", "tidegate"]["spec"]["ingress"][2:] for one in (without, opened)]
    assert ways == [[], [{"ports": [{"protocol": "TCP", "port": "push"}], "from": json.loads(peers)}]]


@needs_kubectl
def test_component_lets_pushed_samples_in() -> None:
    """The component has a Service, and lets its port in beside those of scrapes and probes."""
    component = kustomize("components/push")
    assert component["Service", "tidegate-push"]["spec"]["ports"] == [{"name": "push", "port": 8082, "targetPort": 8082}]
    allowed = component["NetworkPolicy", "tidegate-push"]["spec"]["ingress"]
    assert [port["port"] for way in allowed for port in way["ports"]] == [8082, "http", "probes"]


GATEWAY = {"name": "public", "source": "Envoy", "namespace": "edge", "selector": {"app": "envoy"}, "port": 19001}


def with_gateways(*gateways: dict[str, object]) -> tuple[str, str]:
    connection = {"name": "default", "address": "http://prometheus:9090", "direct": {"gateways": gateways}}
    return "--set-json", f"config.connections={json.dumps([connection])}"


@needs_helm
def test_network_policy_lets_the_operator_out_to_gateways() -> None:
    """Where the way out to pods is narrowed, pods of gateways are let through at their port, by their labels."""
    narrow = ("--set", "networkPolicy.enabled=true", "--set", "networkPolicy.directPorts={8080}")
    egress = helm(*narrow, *with_gateways(GATEWAY))["NetworkPolicy", "tidegate-direct"]["spec"]["egress"]
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}},
        "podSelector": {"matchLabels": {"app": "envoy"}},
    }
    assert egress[1:] == [{"to": [peer], "ports": [{"protocol": "TCP", "port": 19001}]}]


@needs_helm
@pytest.mark.parametrize("scope", ["cluster", "namespaced"])
def test_gateways_pods_may_be_listed_where_the_configuration_names_them(scope: str) -> None:
    """In installations for some namespaces the operator may list pods of a gateway's namespace, and do nothing else there."""
    others = [GATEWAY | {"name": "other", "namespace": "shop"}, GATEWAY | {"name": "again"}]
    options = ("--set", f"scope={scope}", "--set", "watchNamespaces={shop}", *with_gateways(GATEWAY, *others))
    found = [one for one in helm_documents(*options) if one["metadata"]["name"] == "tidegate-gateways"]
    assert [(one["kind"], one["metadata"]["namespace"]) for one in found] == [("Role", "edge"), ("RoleBinding", "edge")]
    assert found[0]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    assert found[1]["subjects"] == [{"kind": "ServiceAccount", "name": "tidegate", "namespace": "tidegate-system"}]
    # Where all namespaces are served it may list pods already.
    assert not any(one["metadata"]["name"] == "tidegate-gateways" for one in helm_documents(*with_gateways(GATEWAY)))


@needs_kubectl
def test_component_lets_gateways_pods_be_listed() -> None:
    """The component is what the chart makes for a gateway's namespace."""
    component = kustomize("components/gateways")
    assert component["Role", "tidegate-gateways"]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    binding = component["RoleBinding", "tidegate-gateways"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "tidegate", "namespace": "tidegate-system"}]
    assert binding["roleRef"]["name"] == "tidegate-gateways"
