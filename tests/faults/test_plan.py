"""The plan names each fault once, in words that are the same in every run."""

from __future__ import annotations

import json

from faults.injections import Armed
from faults.plan import Learned, all_of, matching
from faults.scenes import SCENES
from faults.writes import Asked, Kind, kind_of, words_of

ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/checkout"
STATUS = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releases/checkout/status"


def learned() -> Learned:
    """What a short journey has shown."""
    route, status = Kind("patch", "httproutes.gateway.networking.k8s.io"), Kind("patch", "releases.tidegate.dev/status")
    writes = (Asked(status, "phase=Progressing"), Asked(route, "-stable=50,-canary=50"), Asked(route, "-stable=50,-canary=50", 1))
    return Learned(writes, (route, status, Kind("get", "namespaces")), (Kind("list", "deployments.apps"),), {})


def test_names_are_unique():
    """No two injections have the same name, so that each can be asked for alone."""
    names = [one.name for journey in SCENES for one in all_of(journey, learned())]

    assert len(set(names)) == len(names)


def test_journey_by_the_clock_keeps_its_clock():
    """What is about a time of the day meets no clock that is wrong, which would make another journey of it; all others do."""
    kinds = {journey: {one.kind for one in all_of(journey, learned())} for journey in ("windows", "approval")}
    clocks = {kind for kind in kinds["approval"] if "clock" in kind}

    assert "standby-clock-ahead" in clocks
    assert clocks == kinds["approval"] - kinds["windows"]


def test_injection_is_found_by_its_name():
    """The name of an injection brings back that one and no other."""
    found = matching(list(all_of("promotion", learned())), ["promotion/write-2/kill-after"])

    assert ["promotion/write-2/kill-after"] == [one.name for one in found]
    assert "patch-httproutes -stable=50,-canary=50" == found[0].says


def test_write_is_named_by_what_it_says():
    """Ids and times do not stand in the words of a write; weights and phases do."""
    status = {"phase": "Progressing", "weight": 50, "message": "12:30", "rollout": {"exposedAt": "now"}, "stable": {"ready": 2}}
    backends = [{"name": "checkout-stable", "weight": 50}, {"name": "checkout-canary", "weight": 50}]
    route = [{"op": "test", "path": "/metadata/uid", "value": "1"}, {"op": "replace", "path": "/spec/x", "value": backends}]

    kind = kind_of("PATCH", STATUS)

    assert Kind("patch", "releases.tidegate.dev/status") == kind
    assert "phase=Progressing weight=50 rollout(exposedAt)" == words_of(kind, STATUS, json.dumps({"status": status}).encode())
    assert "-stable=50,-canary=50" == words_of(kind_of("PATCH", ROUTE), ROUTE, json.dumps(route).encode())


def test_reads_are_told_apart():
    """A watch, a list and a get are three kinds of request."""
    path = "/apis/apps/v1/namespaces/shop/deployments"

    kinds = [kind_of("GET", one).verb for one in (f"{path}?watch=true", f"{path}?limit=500", f"{path}/checkout")]

    assert ["watch", "list", "get"] == kinds


def test_unarmed_fault_has_not_struck():
    """What is not met has no hits, so that it is told as missed and not as borne."""
    assert 0 == Armed(None).hits  # type: ignore[arg-type]
