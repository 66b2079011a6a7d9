"""`tidegate backtest`: what it asks of whom, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.cli.history import moment
from unit.cli.conftest import Json, Server, Tidegate

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OWN: Json = {
    "name": "orders",
    "metric": {"promql": {"canary": 'orders{pod=~"{{canaryPods}}"}', "unit": "Ratio"}},
    "threshold": {"max": 0.05},
    "interval": "1m",
    "minSamples": 0,
}
COUNTED: Json = {
    "name": "errors",
    "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"percent": 20}},
    "interval": "1m",
}
AT_NOON = ("--from", "2026-11-21T12:00:00Z", "--to", "2026-11-21T12:10:00Z")
PODS = ("--canary-pods", "checkout-bbb-.*", "--stable-pods", "checkout-aaa-.*")


def policy(tmp_path: Path, *gates: Json, name: str = "p", **spec: Any) -> Path:
    file = tmp_path / f"{name}.yaml"
    document = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "RolloutPolicy",
        "metadata": {"name": name},
        "spec": {"steps": [{"weight": 10, "hold": "5m"}, {"weight": 100}], "bake": "2m", "gates": list(gates), **spec},
    }
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def remembering(value: Callable[[float], float | None]) -> Callable[[str, str, dict[str, str], str], tuple[int, Json]]:
    """A Prometheus that answers every query with a value of its time; None is no series. It joins nothing."""

    def answer(method: str, path: str, parameters: dict[str, str], body: str) -> tuple[int, Json]:
        query, at = parameters["query"], float(parameters["time"])
        if "tidegate_question" in query:
            return 400, {"status": "error", "errorType": "bad_data", "error": "no joins here"}
        found = 1.0 if query == "vector(1)" else value(at - NOON.timestamp())
        if "timestamp(" in query and found is not None:
            found = at
        result = [] if found is None else [{"metric": {}, "value": [at, str(found)]}]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}

    return answer


def test_policies_are_seen_side_by_side(tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Given a past in which 20% of orders fail from minute 3 on, then the strict policy rolls back and the lenient one does not."""
    server = serve(remembering(lambda passed: 0.2 if passed >= 180 else 0.01))
    strict = policy(tmp_path, OWN, name="strict")
    lenient = policy(tmp_path, {**OWN, "threshold": {"max": 0.3}}, name="lenient")

    done = tidegate("backtest", "-p", strict, "-p", lenient, "--prometheus", server.address, *AT_NOON, *PODS, "-n", "shop")

    lines = done.stdout.splitlines()
    assert 0 == done.exit_code
    assert lines[0] == "shop/backtest: the new version, 2026-11-21 12:00:00 to 2026-11-21 12:10:00 UTC"
    assert ["RolloutPolicy/strict", "RolledBack", "12:03:00", "3m", "orders", "0"] == lines[3].split()
    assert ["RolloutPolicy/lenient", "Promoted", "12:07:00", "7m", "-", "0"] == lines[4].split()
    assert "12:03:00   0%  GateBreached: Rolling back the new version: gate orders: orders 20%" in done.stdout
    assert "" == done.stderr


def test_machines_get_the_whole_story(tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]) -> None:
    """`-o json` has outcome, time, gate, timeline and the gates' last states."""
    server = serve(remembering(lambda passed: 0.2))

    done = tidegate("backtest", "-p", policy(tmp_path, OWN), "--prometheus", server.address, *AT_NOON, *PODS, "-o", "json")

    (document,) = json.loads(done.stdout)
    known = {
        name: document[name] for name in ("release", "policy", "outcome", "at", "afterSeconds", "gate", "looks", "undecidedLooks")
    }
    assert known == {
        "release": "default/backtest",
        "policy": "RolloutPolicy/p",
        "outcome": "RolledBack",
        "at": "2026-11-21T12:01:00.000Z",
        "afterSeconds": 60.0,
        "gate": "orders",
        "looks": {"orders": 1},
        "undecidedLooks": {},
    }
    assert ["WeightChanged", "Verdict", "GateBreached"] == [one["reason"] for one in document["timeline"]]
    assert ["Fail"] == [gate["verdict"] for gate in document["gates"]]


def test_names_and_times_come_from_the_release(
    tidegate: Tidegate,
    tmp_path: Path,
    serve: Callable[..., Server],
    cluster: Callable[[Json], tuple[Server, Path]],
) -> None:
    """Given a Release whose last rollout is over, then its ReplicaSets name the pods and its status the times."""
    server = serve(remembering(lambda passed: 0.01))
    _, kubeconfig = cluster(objects_of())

    arguments = ("--release", "checkout", "--kubeconfig", kubeconfig, "-o", "json")
    done = tidegate("backtest", "-p", policy(tmp_path, OWN), "--prometheus", server.address, *arguments)

    (document,) = json.loads(done.stdout)
    assert ("shop/checkout", "2026-11-21T12:00:00.000Z", "2026-11-21T12:30:00.000Z") == (
        document["release"],
        document["from"],
        document["to"],
    )
    assert 'orders{pod=~"checkout-bbb-[a-z0-9]{5}"}' in {parameters["query"] for *_, parameters in server.asked}


def test_a_gateway_is_asked_by_the_services_and_the_port_of_the_route(
    tidegate: Tidegate,
    tmp_path: Path,
    serve: Callable[..., Server],
    cluster: Callable[[Json], tuple[Server, Path]],
) -> None:
    """Given a preset of Envoy, then the Service of the Release and the port in its route make the names of the clusters."""
    server = serve(remembering(lambda passed: None))
    _, kubeconfig = cluster(objects_of())
    envoy = {**COUNTED, "metric": {"preset": {"source": "Envoy", "measure": "ErrorRate"}}}

    arguments = ("--release", "shop/checkout", "--kubeconfig", kubeconfig)
    tidegate("backtest", "-p", policy(tmp_path, envoy), "--prometheus", server.address, *arguments)

    asked = " ".join(parameters["query"] for *_, parameters in server.asked)
    assert 'envoy_cluster_name=~"shop_checkout-canary_8080|service/shop/checkout-canary/8080/.*"' in asked
    assert 'envoy_cluster_name=~"shop_checkout-stable_8080|service/shop/checkout-stable/8080/.*"' in asked


def objects_of() -> Json:
    """A Release that was rolled back, its ReplicaSets and its route."""
    status = {
        "phase": "RolledBack",
        "stable": {"revision": "aaa", "version": "v1"},
        "lastRollout": {
            "version": "v2",
            "revision": "bbb",
            "outcome": "RolledBack",
            "cause": "GateBreached",
            "startedAt": "2026-11-21T12:00:00Z",
            "finishedAt": "2026-11-21T12:30:00Z",
        },
    }
    spec = {
        "targetRef": {"name": "checkout"},
        "policyRef": {"name": "p"},
        "traffic": {"service": "checkout", "gatewayAPI": {"httpRoutes": [{"name": "web"}]}},
    }
    owner = [{"kind": "Deployment", "name": "checkout"}]
    sets = [
        {"metadata": {"name": f"checkout-{one}", "labels": {"pod-template-hash": one}, "ownerReferences": owner}}
        for one in ("aaa", "bbb", "ccc")
    ]
    release = {"kind": "Release", "metadata": {"name": "checkout", "namespace": "shop"}, "spec": spec, "status": status}
    rule = {"backendRefs": [{"name": "other", "port": 1}, {"name": "checkout", "port": 8080}]}
    route = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"rules": [rule]}}
    listed = {"apiVersion": "apps/v1", "kind": "ReplicaSetList", "metadata": {"resourceVersion": "1"}, "items": sets}
    return {
        "/apis/tidegate.dev/v1alpha1/namespaces/shop/releases/checkout": release,
        "/apis/apps/v1/namespaces/shop/replicasets": listed,
        "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/web": route,
    }


def test_what_was_otherwise_in_fact_is_told(
    tidegate: Tidegate,
    tmp_path: Path,
    serve: Callable[..., Server],
    cluster: Callable[[Json], tuple[Server, Path]],
) -> None:
    """Given a rollback that just happened and a replay that promotes, then both are told, with the counts on which each rests."""
    server, objects = serve(remembering(lambda passed: 0.01)), objects_of()
    evidence = {"since": "2026-11-21T12:05:00Z", "canaryRequests": 250, "canaryBad": 13}
    gate = {"name": "orders", "verdict": "Fail", "at": "2026-11-21T12:30:00Z", "evidence": evidence}
    last = objects["/apis/tidegate.dev/v1alpha1/namespaces/shop/releases/checkout"]["status"]["lastRollout"]
    last |= {"message": "gate orders: too many", "gates": [gate]}
    _, kubeconfig = cluster(objects)

    arguments = ("--prometheus", server.address, "--release", "checkout", "--kubeconfig", kubeconfig)
    document = json.loads(tidegate("backtest", "-p", policy(tmp_path, OWN), *arguments, "-o", "json").stdout)[0]
    said = " ".join(tidegate("backtest", "-p", policy(tmp_path, OWN), *arguments).stdout.split())

    assert ("Promoted", "RolledBack") == (document["outcome"], document["fact"]["outcome"])
    assert document["from"] == "2026-11-21T12:05:00.000Z"
    assert "In fact it was RolledBack at 12:30:00 UTC: gate orders: too many" in said
    assert "A replay checks at other instants" in said


def test_a_rollback_that_no_gate_has_caused_is_not_replayed(
    tidegate: Tidegate,
    tmp_path: Path,
    serve: Callable[..., Server],
    cluster: Callable[[Json], tuple[Server, Path]],
) -> None:
    """Given a rollback that a person has asked for, then the replay says that nothing but gates is replayed."""
    server, objects = serve(remembering(lambda passed: 0.01)), objects_of()
    objects["/apis/tidegate.dev/v1alpha1/namespaces/shop/releases/checkout"]["status"]["lastRollout"]["cause"] = "Requested"
    _, kubeconfig = cluster(objects)

    arguments = ("--prometheus", server.address, "--release", "checkout", "--kubeconfig", kubeconfig)
    said = " ".join(tidegate("backtest", "-p", policy(tmp_path, OWN), *arguments).stdout.split())

    assert "The gates did not cause that (Requested), and only gates are replayed." in said


def test_a_release_that_never_rolled_out_has_no_past(
    tidegate: Tidegate, tmp_path: Path, cluster: Callable[[Json], tuple[Server, Path]]
) -> None:
    """Given a Release without any rollout, then the message says what to give instead."""
    objects = objects_of()
    objects["/apis/tidegate.dev/v1alpha1/namespaces/shop/releases/checkout"]["status"] = {"phase": "Idle"}
    _, kubeconfig = cluster(objects)

    done = tidegate(
        "backtest", "-p", policy(tmp_path, OWN), "--prometheus", "http://x", "--release", "checkout", "--kubeconfig", kubeconfig
    )

    assert 2 == done.exit_code
    assert "no rollout of shop/checkout is known: choose one with --from, --to and --service or --canary-pods" in done.stderr


def test_no_data_at_all_is_no_result(tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Given names that match nothing, then it ends with 2, and says for each gate that and why."""
    server = serve(remembering(lambda passed: None))

    done = tidegate("backtest", "-p", policy(tmp_path, COUNTED), "--prometheus", server.address, *AT_NOON, *PODS)

    told = " ".join(done.stdout.split())
    assert 2 == done.exit_code
    assert "gate errors: none of its 10 checks had enough data: no request of the new version has been counted since 12:" in told
    assert "error rate of the new version is not known: Prometheus has no metric http_requests_total" in told


def test_a_prometheus_that_is_away_ends_it(tidegate: Tidegate, tmp_path: Path) -> None:
    """Nothing is replayed if nobody answers."""
    done = tidegate("backtest", "-p", policy(tmp_path, OWN), "--prometheus", "http://127.0.0.1:1", *AT_NOON, *PODS)

    assert 2 == done.exit_code
    assert "Prometheus connection default: " in done.stderr
    assert "" == done.stdout


def test_a_query_that_prometheus_refuses_ends_it_in_its_words(
    tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    """Given a query that is wrong, then the gate is named and Prometheus quoted."""

    def answer(method: str, path: str, parameters: dict[str, str], body: str) -> tuple[int, Json]:
        if parameters["query"] == "vector(1)":
            return remembering(lambda passed: 1.0)(method, path, parameters, body)
        return 400, {"status": "error", "errorType": "bad_data", "error": "parse error: no"}

    done = tidegate("backtest", "-p", policy(tmp_path, OWN), "--prometheus", serve(answer).address, *AT_NOON, *PODS)

    assert 2 == done.exit_code
    assert "tidegate: gate orders: Prometheus connection default: Prometheus reports: parse error: no (HTTP 400)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*AT_NOON, *PODS], "there is no Prometheus connection default: give --prometheus or --config"),
        (["--prometheus", "http://x"], "choose a rollout: --release, or --from with --service or --canary-pods"),
        (["--prometheus", "http://x", *PODS], "give --from: the time of a rollout is only known from a Release in the cluster"),
        (["--prometheus", "http://x", "--from", "yesterday", *PODS], "'yesterday' is not a time: write 2026-11-21T12:00:00Z"),
        (["--prometheus", "http://x", "--from", "1h", "--to", "2h", *PODS], "is not before --to"),
        (
            ["--prometheus", "http://x", *AT_NOON, *PODS, "--release", "a", "--release", "b"],
            "--service and --canary-pods describe one Release",
        ),
        (["--simulate", "--fault", "0.5"], "--fault: give a number above 1, such as 5, or `all`"),
        (["--simulate", "--fault", "much"], "--fault: give a number above 1, such as 5, or `all`"),
        (["--simulate", "--onset", "soon"], "--onset: 'soon' is not a duration"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_line(tidegate: Tidegate, tmp_path: Path, arguments: list[str], words: str) -> None:
    """Arguments that do not make a question end it with 2 and a sentence."""
    done = tidegate("backtest", "-p", policy(tmp_path, OWN), *arguments)

    assert 2 == done.exit_code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_policy_that_is_wrong_is_refused_with_the_field(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a policy with a mistake, then file, line, field and cause are named, and nothing is asked."""
    done = tidegate("backtest", "-p", policy(tmp_path, {**OWN, "intervall": "1m"}), "--prometheus", "http://x", *AT_NOON, *PODS)

    assert 2 == done.exit_code
    assert "spec.gates[0].intervall: there is no such field: did you mean interval?" in done.stderr


def test_a_file_without_a_policy_is_refused(tidegate: Tidegate, tmp_path: Path) -> None:
    """A Release is no policy."""
    file = tmp_path / "empty.yaml"
    file.write_text("kind: Service\n")

    done = tidegate("backtest", "-p", file, "--prometheus", "http://x", *AT_NOON, *PODS)

    assert 2 == done.exit_code
    assert "there is no RolloutPolicy or ClusterRolloutPolicy in it" in done.stderr


def test_times_are_read_as_people_write_them() -> None:
    """RFC 3339, how long ago, or now."""
    assert NOON - timedelta(hours=2) == moment("2h", NOON)
    assert NOON == moment("now", NOON)
    assert NOON + timedelta(minutes=5) == moment("2026-11-21T13:05:00+01:00", NOON)
    assert None is moment(None, NOON)


def test_generated_traffic_says_how_often_and_how_soon(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a fault of ten times the errors, then healthy rollouts go through, faulty ones are stopped, and the delay is told."""
    gate = {**COUNTED, "interval": "10s"}
    arguments = ("--simulate", "--runs", "6", "--duration", "20m", "--fault", "10", "--onset", "5m", "--share", "10")

    done = tidegate("backtest", "-p", policy(tmp_path, gate, OWN), *arguments, "-o", "json")

    (document,) = json.loads(done.stdout)
    assert 0 == done.exit_code
    assert (["orders"], {"runs": 6, "stopped": 0, "stoppedRate": 0.0}) == (document["leftOut"], document["healthy"])
    assert (6, {"errors": 6}) == (document["faulty"]["detected"], document["faulty"]["gates"])
    assert 0 < document["faulty"]["delayMedianSeconds"] <= document["faulty"]["delay90Seconds"] < 600
    assert {"times": 10.0, "slower": 1.0, "onsetSeconds": 300.0} == document["setting"]["fault"]


def test_generated_traffic_is_told_in_a_table(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given no fault, then only false alarms are counted, and the setting is said in words."""
    done = tidegate("backtest", "-p", policy(tmp_path, COUNTED), "--simulate", "--runs", "3", "--duration", "5m", "--bursts", "5")

    assert done.stdout.startswith(
        "3,000 requests per minute, 1% of them bad in bursts of 5, for 5m; 3 rollouts of a healthy version."
    )
    assert "RolloutPolicy/p  10%    0 of 3 (0%)" in done.stdout


def test_a_table_in_a_file_is_not_folded(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a policy with a name as long as it may be and no terminal, then each policy has its one line, as scripts read it."""
    name = "p" * 120
    arguments = ("--simulate", "--runs", "2", "--duration", "5m", "--fault", "10", "--onset", "1m")

    done = tidegate("backtest", "-p", policy(tmp_path, COUNTED, name=name), *arguments)

    assert ["POLICY", "SHARE"] == done.stdout.splitlines()[2].split()[:2]
    assert [f"RolloutPolicy/{name}", "10%"] == done.stdout.splitlines()[3].split()[:2]


def test_a_version_that_fails_all_is_told_as_such(tidegate: Tidegate, tmp_path: Path) -> None:
    """`--fault all` is a version that answers nothing but errors."""
    arguments = ("--simulate", "--runs", "2", "--duration", "5m", "--fault", "all", "--share", "10")

    done = tidegate("backtest", "-p", policy(tmp_path, COUNTED), *arguments)

    assert "and 2 of a version that fails every request from the start." in done.stdout
    assert "2 of 2 (100%)" in done.stdout


def test_a_policy_that_says_nothing_about_generated_traffic_is_refused(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given queries alone, then there is nothing to simulate."""
    done = tidegate("backtest", "-p", policy(tmp_path, OWN), "--simulate")

    assert 2 == done.exit_code
    assert "RolloutPolicy/p: none of its gates measures what is generated" in done.stderr
