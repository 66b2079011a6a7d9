"""Direct readings reach pods from within the chart's network policies, and nothing else does."""

from __future__ import annotations

from api.manifests import helm, needs_helm


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
