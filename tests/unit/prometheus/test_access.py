"""Who may ask which connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tidegate.api.gate import Gate
from tidegate.prometheus.access import Access
from tidegate.prometheus.config import ConnectionConfig, QueriesOf
from tidegate.prometheus.promql import Names

SHOP = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "s", "c", 80)
BANK = replace(SHOP, namespace="bank")
CENTRALLY = replace(SHOP, cluster_policy=True)
PRESET = {"preset": {"source": "HTTP", "measure": "ErrorRate"}}
BUDGET = {"errorBudget": {"source": "HTTP", "objective": 0.999}}
PROMQL = {"promql": {"canary": "up"}}
COUNTERS = {"counters": {"canary": {"bad": "a", "total": "b"}}}


def gate(metric: dict[str, Any], connection: str = "central") -> Gate:
    """Return a gate that asks a connection."""
    return Gate.model_validate({"name": "g", "metric": metric, "threshold": {"max": 1}, "connection": connection})


def access(**connections: dict[str, Any]) -> Access:
    """Return who may ask connections of these options."""
    return Access({name: ConnectionConfig(name=name, address="http://a", **options) for name, options in connections.items()})


@pytest.mark.parametrize("metric", [PRESET, BUDGET, PROMQL, COUNTERS])
@pytest.mark.parametrize("names", [SHOP, BANK, CENTRALLY])
def test_connection_is_open_by_default(metric: dict[str, Any], names: Names) -> None:
    """Without a word about it, any namespace asks with any query, as ever."""
    assert "" == access(central={}).refusal(gate(metric), names)


@pytest.mark.parametrize(
    ("queries", "names", "taken"),
    [
        (QueriesOf.ANY, SHOP, "preset budget promql counters"),
        (QueriesOf.CLUSTER_POLICIES, SHOP, "preset budget"),
        (QueriesOf.CLUSTER_POLICIES, CENTRALLY, "preset budget promql counters"),
        (QueriesOf.PRESETS, SHOP, "preset budget"),
        (QueriesOf.PRESETS, CENTRALLY, "preset budget"),
    ],
)
def test_whose_queries_are_taken(queries: QueriesOf, names: Names, taken: str) -> None:
    """What Tidegate writes is always taken; a policy's own query by `any`, or by `clusterPolicies` where the policy is one."""
    metrics = {"preset": PRESET, "budget": BUDGET, "promql": PROMQL, "counters": COUNTERS}
    asked = access(central={"queries": queries})

    assert taken.split() == [name for name, metric in metrics.items() if not asked.refusal(gate(metric), names)]


def test_connection_of_others_is_not_there() -> None:
    """A connection of other namespaces gets the same words as one that does not exist, and is not named among those there are."""
    asked = access(central={}, bank={"namespaces": ["bank"]}, own={"namespaces": ["shop", "staging"]})

    refused, unknown = (asked.refusal(gate(PRESET, name), SHOP) for name in ("bank", "nowhere"))

    assert "there is no Prometheus connection bank for namespace shop, there are: central, own" == refused
    assert refused.replace("bank", "nowhere") == unknown
    assert "" == asked.refusal(gate(PRESET, "bank"), BANK)
    assert "there is no Prometheus connection own for namespace bank, there are: bank, central" == asked.refusal(
        gate(PRESET, "own"), BANK
    )


def test_refusal_names_what_takes_it_and_may_be_used() -> None:
    """Where a query is not taken, the message says what is, and names only connections that this namespace may use for it."""
    asked = access(
        central={"queries": "presets"},
        shared={"queries": "clusterPolicies"},
        own={"namespaces": ["shop"]},
        bank={"namespaces": ["bank"]},
    )

    assert (
        "Prometheus connection central takes presets only, and this gate has a query of its own: "
        "use a preset, or a connection that takes it (own)"
    ) == asked.refusal(gate(PROMQL), SHOP)
    assert asked.refusal(gate(PROMQL), CENTRALLY).endswith("use a preset, or a connection that takes it (own, shared)")
    assert (
        "Prometheus connection shared takes queries of ClusterRolloutPolicies only, and this gate has one and is of a "
        "RolloutPolicy: use a preset, a ClusterRolloutPolicy, or a connection that takes it (bank)"
    ) == asked.refusal(gate(COUNTERS, "shared"), BANK)


def test_refusal_where_nothing_takes_it() -> None:
    """Where no connection takes it, it says whom to ask."""
    refusal = access(central={"queries": "presets"}).refusal(gate(PROMQL), SHOP)

    assert refusal.endswith("use a preset, or ask for a connection that takes it")


def test_without_connections() -> None:
    """The operator may be run without Prometheus."""
    assert "there is no Prometheus connection central for namespace shop, there are: none" == Access({}).refusal(gate(PRESET), SHOP)
