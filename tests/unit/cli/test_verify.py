"""`tidegate verify` and `rollback --verify`: healthy is what is there, and the command ends with 1 if a Release is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.cli import deciding, verify
from unit.cli.conftest import Server, Tidegate

Json = dict[str, Any]
GROUP = "/apis/tidegate.dev/v1alpha1/namespaces/shop"
APPS = "/apis/apps/v1/namespaces/shop"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/web"
LISTED = {"metadata": {"resourceVersion": "1"}, "apiVersion": "v1", "kind": "List"}
FORBIDDEN = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "you may not"}


class Cluster:
    """An API server with Releases of which each serves v1 with two pods, after v2 was rolled back."""

    def __init__(self, *names: str) -> None:
        self.releases = {name: self._release(name) for name in names}
        self.ready = dict.fromkeys(names, 2)
        self.wanted = dict.fromkeys(names, 2)
        self.route = {"canary": 0}
        self.decisions: list[Json] = []
        self.forbidden: tuple[str, ...] = ()
        self.looks = 0
        self.then: Callable[[int], None] = lambda _: None

    @staticmethod
    def _release(name: str) -> Json:
        last = {
            "version": "v2",
            "revision": "hash2",
            "outcome": "RolledBack",
            "cause": "GateBreached",
            "message": "error rate 5.2%",
            "startedAt": "2026-01-01T00:00:00Z",
            "finishedAt": "2026-01-01T00:01:00Z",
            "gates": [{"name": "errors", "verdict": "Fail", "at": "2026-01-01T00:01:00Z", "message": "error rate 5.2%"}],
        }
        return {
            "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "generation": 1},
            "spec": {
                "targetRef": {"name": name},
                "policyRef": {"name": "p"},
                "traffic": {"service": name, "gatewayAPI": {"httpRoutes": [{"name": "web"}]}},
            },
            "status": {
                "observedGeneration": 1,
                "phase": "RolledBack",
                "message": "v2 was rolled back, v1 serves: error rate 5.2%",
                "stable": {"version": "v1", "revision": "hash1", "replicas": 2, "ready": 2},
                "lastRollout": last,
            },
        }

    def rolls_out(self, name: str, *, undo: bool = False) -> None:
        rollout: Json = {"policy": "p", "startedAt": "2026-01-01T00:09:00Z", "spec": {"steps": [{"weight": 100}]}}
        if undo:
            rollout["undo"] = "GateBreached"
        status = {"rollout": rollout, "candidate": {"revision": "hash2", "version": "v2"}, "carried": 10, "message": "it goes on"}
        self.releases[name]["status"] |= status

    def is_back(self, name: str) -> None:
        self.releases[name]["status"] = self._release(name)["status"]

    def answer(self, method: str, path: str, _: Any, body: str) -> tuple[int, Json]:
        if any(path.startswith(one) for one in self.forbidden):
            return 403, FORBIDDEN
        name = path.rpartition("/")[2]
        if method == "POST" and name != "releasedecisions":
            return 201, {}
        if method == "POST":
            self.decisions.append(json.loads(body))
            for one in self.releases:
                self.is_back(one)
            return 201, self.decisions[-1]
        if path.startswith(f"{GROUP}/releasedecisions/"):
            return 200, {**self.decisions[-1], "status": {"outcome": "CarriedOut"}}
        if path == f"{GROUP}/releases":
            self._look()
            return 200, {**LISTED, "items": [copy.deepcopy(one) for one in self.releases.values()]}
        if path.startswith(f"{GROUP}/releases/") and name in self.releases:
            self._look()
            return 200, self.releases[name]
        if path == f"{APPS}/replicasets":
            return 200, {**LISTED, "items": [self._replica_set(one) for one in self.releases]}
        if path.startswith(f"{APPS}/deployments/") and name in self.releases:
            return 200, {"metadata": {"name": name, "uid": f"uid-d-{name}"}, "spec": {"replicas": self.wanted[name]}}
        if path == ROUTE and self.route:
            return 200, self._route()
        return 404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": f"{name} was not found"}

    def _look(self) -> None:
        self.looks += 1
        self.then(self.looks)

    def _replica_set(self, name: str) -> Json:
        owners = [{"kind": "Deployment", "name": name, "uid": f"uid-d-{name}"}]
        metadata = {"name": f"{name}-hash1", "labels": {"pod-template-hash": "hash1"}, "ownerReferences": owners}
        return {"metadata": metadata, "spec": {}, "status": {"readyReplicas": self.ready[name]}}

    def _route(self) -> Json:
        canary = self.route["canary"]
        backends: list[Json] = [{"name": "checkout", "port": 80}]
        if canary:
            backends = [
                {"name": "checkout", "port": 80, "weight": 0},
                {"name": "checkout-stable", "port": 80, "weight": 100 - canary},
                {"name": "checkout-canary", "port": 80, "weight": canary},
            ]
        return {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"rules": [{"backendRefs": backends}]}}


@pytest.fixture
def typed(serve: Callable[..., Server], tidegate: Tidegate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Type a command in a cluster."""
    for module in (verify, deciding):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)

    def run(cluster: Cluster, *arguments: str) -> Any:
        file = tmp_path / "kubeconfig"
        context = {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "shop"}}
        clusters = [{"name": "here", "cluster": {"server": serve(cluster.answer).address}}]
        whole = {"apiVersion": "v1", "kind": "Config", "current-context": "here", "contexts": [context], "clusters": clusters}
        file.write_text(yaml.safe_dump({**whole, "users": [{"name": "me", "user": {}}]}))
        return tidegate(*arguments, "--kubeconfig", file)

    return run


def test_each_release_has_a_line_with_the_verdict_first(typed: Callable[..., Any]) -> None:
    """Version, pods, traffic and the gates of what was rolled back stand behind it, and the command ends with 0."""
    done = typed(Cluster("checkout", "orders"), "verify")

    assert 0 == done.exit_code, done.output
    head, *lines = done.stdout.splitlines()
    assert ["VERDICT", "RELEASE", "VERSION", "PODS", "TRAFFIC", "GATES", "MESSAGE"] == head.split()
    assert ["✓ healthy shop/checkout", "✓ healthy shop/orders"] == [" ".join(line.split()[:3]) for line in lines]
    assert "v1 2/2 100% Fail: errors (v2) v2 was rolled back: error rate 5.2%" == " ".join(lines[0].split()[3:])


CASES: dict[str, tuple[Callable[[Cluster], object], str, str]] = {
    "pods": (lambda it: it.ready.update(checkout=1), "unhealthy", "1 of 2 pods of v1 are ready"),
    "route": (lambda it: it.route.update(canary=10), "unhealthy", "the routes give 10% to another version than v1"),
    "no route": (lambda it: it.route.clear(), "unhealthy", "HTTPRoute web was not found"),
    "undone": (lambda it: it.rolls_out("checkout", undo=True), "rolling back", "it goes on"),
    "next": (lambda it: it.rolls_out("checkout"), "rolling out", "it goes on"),
    "unseen": (
        lambda it: it.releases["checkout"]["metadata"].update(generation=2),
        "unknown",
        "the operator has not seen the last change (the status is of generation 1, the spec of 2): is it running?",
    ),
    "new": (lambda it: it.releases["checkout"].update(status={}), "unknown", "has not seen this Release: is it running?"),
    "going": (
        lambda it: it.releases["checkout"]["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"),
        "unknown",
        "the Release is being deleted",
    ),
    "workload": (lambda it: it.wanted.clear(), "unhealthy", "Deployment checkout was not found"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_back_is_said_with_its_reason(typed: Callable[..., Any], case: str) -> None:
    """What is there counts, whatever the status says of pods and routes; the command ends with 1 and names what is not healthy."""
    cluster = Cluster("checkout", "orders")
    change, verdict, words = CASES[case]
    if case == "workload":
        cluster.releases["checkout"]["spec"]["targetRef"]["name"] = "gone"
        words = "Deployment gone was not found"
    else:
        change(cluster)

    done = typed(cluster, "verify", "checkout", "--timeout", "0s", "-o", "json")

    (found,) = json.loads(done.stdout)
    assert (1, verdict, False) == (done.exit_code, found["verdict"], found["healthy"]), done.output
    assert words in found["message"]
    assert f"1 of 1 not healthy: shop/checkout ({verdict})" in done.stderr


def test_version_that_is_meant_has_to_be_in_force(typed: Callable[..., Any]) -> None:
    """A service that serves well, but another version, is not what was asked for."""
    assert 0 == typed(Cluster("checkout"), "verify", "--version", "v1").exit_code
    done = typed(Cluster("checkout"), "verify", "--version", "v0", "--timeout", "0s")

    assert (1, True) == (done.exit_code, "v1 is in force, not v0" in done.stdout)


def test_it_waits_and_tells_what_changes(typed: Callable[..., Any]) -> None:
    """Each new reason stands once on stderr, and the table is written when all is back."""
    cluster = Cluster("checkout")
    cluster.rolls_out("checkout", undo=True)

    def then(look: int) -> None:
        if look == 3:
            cluster.releases["checkout"]["status"]["message"] = "nearly"
        if look == 5:
            cluster.is_back("checkout")

    cluster.then = then
    done = typed(cluster, "verify", "checkout")

    assert 0 == done.exit_code, done.output
    assert ["shop/checkout: rolling back: it goes on", "shop/checkout: rolling back: nearly"] == done.stderr.splitlines()


def test_who_may_not_see_pods_and_routes_gets_what_the_status_says(typed: Callable[..., Any]) -> None:
    """The right to read Releases is enough; without that the command ends with 2."""
    cluster = Cluster("checkout")
    cluster.forbidden = (APPS, ROUTE)
    cluster.releases["checkout"]["status"]["stable"]["ready"] = 1

    done = typed(cluster, "verify", "--timeout", "0s", "-o", "json")
    assert (1, 1, 2) == (done.exit_code, *(json.loads(done.stdout)[0][name] for name in ("podsReady", "podsWanted")))
    cluster.forbidden = (GROUP,)
    assert 2 == typed(cluster, "verify").exit_code


def test_scaled_to_zero_and_nothing_at_all(typed: Callable[..., Any]) -> None:
    """Who scales to 0 means it, and the line says so; where there is no Release, nothing was verified."""
    cluster = Cluster("checkout")
    cluster.ready["checkout"] = cluster.wanted["checkout"] = 0

    done = typed(cluster, "verify")

    assert (0, True) == (done.exit_code, "it is scaled to 0" in done.stdout), done.output
    none = typed(Cluster(), "verify")
    assert (2, True) == (none.exit_code, "there is no Release to verify" in none.stderr)


def test_rollback_is_verified_by_the_version_that_was_in_force(typed: Callable[..., Any]) -> None:
    """With --verify the decision is made and waited for, and one document has it and what was found."""
    cluster = Cluster("checkout")
    cluster.rolls_out("checkout")

    done = typed(cluster, "rollback", "checkout", "--verify", "-o", "json")

    assert 0 == done.exit_code, done.output
    told = json.loads(done.stdout)
    assert ["Rollback"] == [one["action"] for one in told["decisions"]]
    assert [("v1", True)] == [(one["version"], one["healthy"]) for one in told["verified"]]
    assert told["restored"] is None


def test_rollback_that_is_repeated_decides_nothing(typed: Callable[..., Any]) -> None:
    """Where nothing is rolled out, or is rolled back already, --verify only looks."""
    cluster = Cluster("checkout")

    done = typed(cluster, "rollback", "checkout", "--verify")

    assert (0, []) == (done.exit_code, cluster.decisions), done.output
    assert "nothing is rolled out, so nothing was decided" in done.stderr
    assert "✓ healthy" in done.stdout


def test_group_is_rolled_back_and_verified_as_one(typed: Callable[..., Any]) -> None:
    """A decision for each member in which a version is rolled out, and one table of all; other Releases are let be."""
    cluster = Cluster("api", "orders", "workers", "other")
    for name in ("api", "orders", "workers"):
        cluster.releases[name]["spec"]["group"] = {"name": "shop"}
    for name in ("api", "orders", "other"):
        cluster.rolls_out(name)

    done = typed(cluster, "rollback", "--group", "shop", "--wait", "-o", "json")

    assert 0 == done.exit_code, done.output
    told = json.loads(done.stdout)
    assert ["api", "orders"] == sorted(one["spec"]["release"] for one in cluster.decisions)
    assert [("api", True), ("orders", True), ("workers", True)] == [(one["release"], one["healthy"]) for one in told["verified"]]
    again = typed(cluster, "verify", "--group", "shop")
    assert (0, 4) == (again.exit_code, len(again.stdout.splitlines()))
    nothing = typed(cluster, "rollback", "--group", "shop")
    assert (2, True) == (nothing.exit_code, "no version is rolled out in group shop" in nothing.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rollback",), "give the name of a Release, or --group"),
        (("rollback", "api", "--group", "shop"), "give the name of a Release, or --group"),
        (("rollback", "--group", "shop", "--to", "v0"), "--to: of a group each Release has versions of its own"),
        (("rollback", "--group", "none"), "no Release in shop is in group none"),
        (("verify", "api", "--group", "shop"), "--group: give it alone"),
    ],
)
def test_what_cannot_be_meant_is_refused(typed: Callable[..., Any], arguments: tuple[str, ...], words: str) -> None:
    """One line says what is to be given, and nothing is decided."""
    cluster = Cluster("api")

    done = typed(cluster, *arguments)

    assert (2, True, []) == (done.exit_code, words in done.stderr, cluster.decisions), done.output
