"""Who may ask which connection: namespaces, and whose queries.

A connection has the operator's credentials, and a tenant's policy decides what is asked with them.
"""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.api.gate import Gate
from tidegate.prometheus.config import ConnectionConfig, QueriesOf
from tidegate.prometheus.promql import Names


class Access:
    """Says which gates may ask which connections.

    A connection that a namespace may not use is to it as one that there is not: names of others' servers are theirs.

    Args:
        connections: the connections by name.
    """

    def __init__(self, connections: Mapping[str, ConnectionConfig]) -> None:
        self._connections = connections

    def refusal(self, gate: Gate, names: Names) -> str:
        """Return why a gate may not ask its connection, in words for its author; empty where it may.

        Args:
            gate: the gate.
            names: of the Release whose gate it is.
        """
        config = self._connections.get(gate.connection)
        if config is None or not _serves(config, names):
            known = ", ".join(sorted(self._usable(names))) or "none"
            return f"there is no Prometheus connection {gate.connection} for namespace {names.namespace}, there are: {known}"
        if _takes(config, gate, names):
            return ""
        others = sorted(name for name, one in self._usable(names).items() if _takes(one, gate, names))
        there = f"a connection that takes it ({', '.join(others)})" if others else "ask for a connection that takes it"
        if config.queries is QueriesOf.PRESETS:
            return f"{_called(config)} takes presets only, and this gate has a query of its own: use a preset, or {there}"
        return (
            f"{_called(config)} takes queries of ClusterRolloutPolicies only, and this gate has one and is of a RolloutPolicy: "
            f"use a preset, a ClusterRolloutPolicy, or {there}"
        )

    def _usable(self, names: Names) -> dict[str, ConnectionConfig]:
        return {name: config for name, config in self._connections.items() if _serves(config, names)}


def _called(config: ConnectionConfig) -> str:
    return f"Prometheus connection {config.name}"


def _serves(config: ConnectionConfig, names: Names) -> bool:
    return config.namespaces is None or names.namespace in config.namespaces


def _takes(config: ConnectionConfig, gate: Gate, names: Names) -> bool:
    """Whether a gate's queries may be asked: what Tidegate writes itself always names the Release's own namespace."""
    own = gate.metric.promql is not None or gate.metric.counters is not None
    return not own or config.queries is QueriesOf.ANY or (config.queries is QueriesOf.CLUSTER_POLICIES and names.cluster_policy)
