"""Direct readings reach pods from within the chart's network policies, pushed samples come in, and nothing else does."""

from __future__ import annotations

import json

import pytest

from api.manifests import helm, kustomize, needs_helm, needs_kubectl


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
