"""What Helm tells whoever installs the chart."""

from __future__ import annotations

import json

import pytest

from api.cluster_access import run
from api.manifests import CHART, HELM, needs_helm
from tidegate.controller.process import config as configuration


def notes(*options: str) -> str:
    """Return what Helm tells whoever installs the chart, as one line."""
    done = run(HELM, "install", "tidegate", str(CHART), "--dry-run=client", *options)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.rpartition("\nNOTES:\n")[2].split())


@needs_helm
def test_notes_ask_for_a_closed_network() -> None:
    """Without a NetworkPolicy they say how to have one, with one that lets out anywhere they ask for peers, else nothing."""
    peers = ("--set-json", 'networkPolicy.egressTo=[{"ipBlock":{"cidr":"10.1.0.0/16"}}]')
    enabled = ("--set", "networkPolicy.enabled=true")
    open_, wide, narrow = notes(), notes(*enabled), notes(*enabled, *peers)

    assert "may reach any address. Close it: networkPolicy.enabled=true networkPolicy.egressTo: peers" in open_
    assert "reach any address at the ports 443, 6443, 9090. Name your API server and Prometheus: networkPolicy.egressTo" in wide
    assert "any address" not in narrow


@needs_helm
@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("http://prometheus.monitoring.svc:9090", True),
        ("http://localhost.example", True),
        ("https://prometheus.example", False),
        ("http://127.0.0.1:9090", False),
        ("http://[::1]:9090", False),
        ("http://localhost", False),
    ],
)
def test_notes_name_plain_connections(address: str, plain: bool) -> None:
    """They name those connections that the operator warns of at its start."""
    connections = json.dumps([{"name": "far", "address": address}])
    (loaded,) = configuration.Config.model_validate({"connections": json.loads(connections)}).connections

    assert plain == loaded.in_clear
    assert plain == ("Plain http: far." in notes("--set-json", f"config.connections={connections}"))
