"""Which pods are read directly: at their own addresses alone, at the port that they or the gate name; the others are named."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.api.direct import Direct
from tidegate.prometheus.direct.targets import Missed, Target, chosen, named, slim, target

ANNOTATED = {"prometheus.io/scrape": "true", "prometheus.io/port": "9102", "prometheus.io/path": "/stats?a=b"}


def pod(name: str = "checkout-b-aaaaa", annotations: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    """Return what is kept of a pod with a container that has two ports."""
    ports = [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}]
    return slim(
        {
            "metadata": {"name": name, "uid": f"uid-{name}", "annotations": annotations or {}},
            "spec": {"containers": [{"name": "app", "ports": ports}], "hostNetwork": status.pop("hostNetwork", None)},
            "status": {"phase": "Running", "podIP": "10.1.2.3", "hostIP": "192.168.0.9", **status},
        }
    )


@pytest.mark.parametrize(
    ("annotations", "direct", "url"),
    [
        (ANNOTATED, {}, "http://10.1.2.3:9102/stats?a=b"),
        ({"prometheus.io/port": "9102", "prometheus.io/scheme": "https"}, {}, "https://10.1.2.3:9102/metrics"),
        (ANNOTATED, {"port": "metrics", "path": "/m", "scheme": "HTTPS"}, "https://10.1.2.3:9090/m"),
        ({"prometheus.io/scrape": "false"}, {"port": "8080"}, "http://10.1.2.3:8080/metrics"),
    ],
)
def test_where_a_page_is(annotations: dict[str, str], direct: dict[str, str], url: str) -> None:
    """The gate's own words go before the pod's annotations, and those before what is usual."""
    found = target(pod(annotations=annotations), Direct.model_validate(direct), host_network=False)
    assert isinstance(found, Target)
    assert found.url == url


def test_address_of_six_kinds() -> None:
    """An IPv6 address stands in brackets."""
    found = target(pod(annotations=ANNOTATED, podIP="fd00::12"), Direct(), host_network=False)
    assert isinstance(found, Target)
    assert found.url == "http://[fd00::12]:9102/stats?a=b"


@pytest.mark.parametrize(
    ("annotations", "status", "direct", "words"),
    [
        ({}, {}, {}, "no annotation prometheus.io/port"),
        ({"prometheus.io/scrape": "false", "prometheus.io/port": "1"}, {}, {}, "prometheus.io/scrape is false"),
        ({}, {}, {"port": "web"}, "no container port named web"),
        ({"prometheus.io/port": "0"}, {}, {}, "the port 0 is none"),
        ({"prometheus.io/port": "1" * 400}, {}, {}, "is none"),
        ({"prometheus.io/port": "9102", "prometheus.io/path": "metrics"}, {}, {}, "is no path"),
        ({"prometheus.io/port": "9102", "prometheus.io/path": "/a b"}, {}, {}, "is no path"),
        ({"prometheus.io/port": "9102", "prometheus.io/scheme": "ftp"}, {}, {}, "neither http nor https"),
        (ANNOTATED, {"podIP": "127.0.0.1"}, {}, "never read"),
        (ANNOTATED, {"podIP": "::ffff:127.0.0.1"}, {}, "never read"),
        (ANNOTATED, {"podIP": "169.254.169.254"}, {}, "never read"),
        (ANNOTATED, {"podIP": "168.63.129.16"}, {}, "never read"),
        (ANNOTATED, {"podIP": "64:ff9b::a9fe:a9fe"}, {}, "never read"),
        (ANNOTATED, {"podIP": "::127.0.0.1"}, {}, "never read"),
        (ANNOTATED, {"podIP": "fd00:ec2::254"}, {}, "never read"),
        (ANNOTATED, {"podIP": "0.0.0.0"}, {}, "never read"),
        (ANNOTATED, {"podIP": "prometheus.monitoring.svc"}, {}, "its address is none"),
        (ANNOTATED, {"podIP": "192.168.0.9"}, {}, "its node's address"),
        (ANNOTATED, {"hostNetwork": True}, {}, "only if the connection allows it (direct.hostNetwork)"),
    ],
)
def test_what_is_not_read(annotations: dict[str, str], status: dict[str, Any], direct: dict[str, str], words: str) -> None:
    """Each pod that is not read has its reason; an address that is not the pod's own is never one that is read."""
    found = target(pod(annotations=annotations, **status), Direct.model_validate(direct), host_network=False)
    assert isinstance(found, Missed)
    assert words in found.words
    assert len(found.words) < 160


def test_host_network_where_it_is_allowed() -> None:
    """Pods on their node's network are read where the operator's configuration says so."""
    assert isinstance(target(pod(annotations=ANNOTATED, hostNetwork=True), Direct(), host_network=True), Target)


def test_more_pods_than_are_read() -> None:
    """Of many pods always the same ones are read, whichever order they are listed in; those that are over are none."""
    pods = [pod(f"checkout-b-{number:05}", ANNOTATED) for number in range(40)]
    over = pod("checkout-b-ended", ANNOTATED, phase="Succeeded")

    found = chosen([*pods, over], Direct(), 5)

    assert (len(found.targets), found.pods, found.missed) == (5, 40, ())
    assert found == chosen([over, *reversed(pods)], Direct(), 5)
    fewer = [one for one in pods if one["metadata"]["name"] != found.targets[0].pod]
    assert set(found.targets[1:]) < set(chosen(fewer, Direct(), 5).targets)


def test_pod_without_an_address_has_only_not_begun() -> None:
    """A pod that has no address yet is neither read nor told of."""
    found = chosen([pod(annotations=ANNOTATED, podIP=None)], Direct(), 5)
    assert (found.targets, found.missed, found.pods) == ((), (), 1)


def test_few_are_named() -> None:
    """Two pods are named with their reasons, and how many more there are."""
    missed = [Missed(f"p{number}", "no connection") for number in range(5)]
    assert named(missed) == "pod p0: no connection; pod p1: no connection; and 3 more"


def test_pod_is_as_old_as_its_oldest_container() -> None:
    """Where a container began again beside one that counts since weeks, nothing says that the pod has counted nothing before."""
    began = [{"state": {"running": {"startedAt": at}}} for at in ("2026-01-05T12:00:00Z", "2026-01-01T12:00:00Z")]
    beside = [{"state": {"running": {"startedAt": "2026-01-07T12:00:00Z"}}}, {"state": {"terminated": {}}}, {}]
    assert pod(containerStatuses=began, initContainerStatuses=beside)["started"] == "2026-01-01T12:00:00Z"
    assert pod(containerStatuses=[{"state": {"waiting": {}}}])["started"] is None


def test_little_is_kept_of_a_pod_however_large_it_is() -> None:
    """Labels, annotations and ports are as many and as long as its author likes; what is kept tells the same."""
    large = {f"app-{number}": "x" * 60 for number in range(500)} | {"pod-template-hash": "b"}
    ports = [{"name": f"p-{number}", "containerPort": 1000 + number} for number in range(5000)]
    kept = slim(
        {
            "metadata": {
                "name": "a",
                "uid": "1",
                "labels": large,
                "annotations": ANNOTATED | {"prometheus.io/path": "/" * 200_000},
            },
            "spec": {"containers": [{"name": "app", "ports": ports}]},
            "status": {"phase": "Running", "podIP": "10.1.2.3", "hostIP": "192.168.0.9"},
        }
    )
    assert len(str(kept)) < 5000
    assert kept["metadata"]["labels"] == {"pod-template-hash": "b"}
    found = target(kept, Direct(), host_network=False)
    assert isinstance(found, Missed)
    assert "is no path" in found.words
