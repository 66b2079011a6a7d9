"""`tidegate explain`: from a Release in a cluster or in a file to words, a drawing, and a document."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import (
    EvidenceStatus,
    GateStatus,
    LastRollout,
    Outcome,
    ReleaseStatus,
    RevisionStatus,
    RolloutStatus,
    StepStatus,
)
from unit.cli.conftest import Json, Server, Tidegate

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GATES = [
    {
        "name": "error-rate",
        "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
        "versusStable": {"maxIncrease": {"percent": 20}},
    },
    {
        "name": "p99",
        "metric": {"preset": {"source": "HTTP", "measure": "Latency"}},
        "threshold": {"max": 0.5},
        "judge": "Limit",
    },
    {"name": "later", "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}}, "threshold": {"max": 1}},
]
POLICY = {"steps": [{"weight": 10, "hold": "30m"}, {"weight": 100}], "gates": GATES}


def states(verdict: Verdict = Verdict.UNDECIDED, harm: float = 1.2, points: int = 20) -> tuple[GateStatus, ...]:
    evidence = EvidenceStatus(
        since=NOON - timedelta(minutes=10),
        canary_requests=3010,
        canary_bad=45,
        stable_requests=27040,
        stable_bad=270,
        ratio=1.5,
        ratio_low=0.8,
        ratio_high=2.4,
        harm=harm,
        needed=2.477,
        requests_needed=4000,
        minutes_needed=13,
        history_step=30,
        history=tuple(index / points * harm for index in range(points)),
        state="AAAA",
    )
    first = GateStatus(
        name="error-rate",
        verdict=verdict,
        canary=45 / 3010,
        stable=0.01,
        limit="less than 20% above stable",
        at=NOON,
        evidence=evidence,
    )
    second = GateStatus(name="p99", verdict=Verdict.PASS, canary=0.2, at=NOON, looks="P", message="P99 latency is 200 ms")
    return first, second


def in_rollout(**fields: Any) -> ReleaseStatus:
    spec = RolloutPolicySpec.model_validate(POLICY)
    known: dict[str, Any] = {
        "phase": Phase.PROGRESSING,
        "message": "Rolling out v2 (stable: v1): step 1 of 2, weight 10%",
        "weight": 10,
        "candidate": RevisionStatus(revision="bbb", version="v2"),
        "step": StepStatus(index=0, weight=10, entered=NOON, since=NOON, until=NOON + timedelta(minutes=30)),
        "rollout": RolloutStatus(policy="RolloutPolicy/production", spec=spec, started_at=NOON - timedelta(minutes=11)),
        "gates": states(),
    }
    return ReleaseStatus(**{**known, **fields})


def rolled_back() -> ReleaseStatus:
    last = LastRollout(
        version="v2",
        revision="bbb",
        outcome=Outcome.ROLLED_BACK,
        cause=Cause.GATE,
        message="gate error-rate: too many errors",
        started_at=NOON - timedelta(minutes=11),
        finished_at=NOON,
        gates=states(Verdict.FAIL, harm=4.1),
    )
    return ReleaseStatus(phase=Phase.ROLLED_BACK, message="v2 was rolled back, v1 serves", last_rollout=last)


def release(status: ReleaseStatus) -> Json:
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {"targetRef": {"name": "checkout"}, "policyRef": {"name": "production"}},
        "status": status.to_wire(),
    }


def file_of(tmp_path: Path, status: ReleaseStatus) -> Path:
    file = tmp_path / "release.yaml"
    file.write_text(yaml.safe_dump(release(status)))
    return file


def test_a_rollout_that_is_on_is_explained_gate_by_gate(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a rollout at its first step, then the text says where it is, and for each gate verdict, reasons and course."""
    done = tidegate("explain", "--file", file_of(tmp_path, in_rollout()))

    told = " ".join(done.stdout.split())
    assert 0 == done.exit_code
    assert "shop/checkout: Progressing. Rolling out v2 (stable: v1): step 1 of 2, weight 10%" in told
    assert "Rollout of v2 under RolloutPolicy/production, started 2026-11-21 11:49:00 UTC, at 10% (step 1 of 2, hold until" in told
    assert "error-rate: Undecided Error rate of the new version is 1.5% (45 of 3,010 requests), stable's is 1% (270 of" in told
    assert "It moves towards Fail, which needs about 4,000 more requests of the new version, 13 min at the present rate." in told
    assert "p99: Pass P99 latency is 200 ms. Checks, oldest first: P; 0 beyond the limit, 1 of 1 are a breach." in told
    assert "Not checked yet: later." in told
    assert 1 == done.stdout.count("Evidence of harm over time")
    assert "1 in 300 |-----" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_drawing_can_be_left_out(tidegate: Tidegate, tmp_path: Path) -> None:
    """Who wants words alone gets words alone."""
    done = tidegate("explain", "--file", file_of(tmp_path, in_rollout()), "--no-plot")

    assert "Evidence of harm over time" not in done.stdout
    assert "error-rate: Undecided" in done.stdout


def test_no_line_is_wider_than_the_terminal(tidegate: Tidegate, tmp_path: Path) -> None:
    """The terminal of the tests has 120 columns."""
    done = tidegate("explain", "--file", file_of(tmp_path, in_rollout()))

    assert max(map(len, done.stdout.splitlines())) <= 120


def test_a_release_of_the_cluster_is_read_with_the_namespace_of_the_context(
    tidegate: Tidegate, cluster: Callable[[Json], tuple[Server, Path]]
) -> None:
    """Given a kubeconfig whose context has a namespace, then the Release is looked for there, as kubectl does."""
    path = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releases/checkout"
    server, kubeconfig = cluster({path: release(in_rollout())})

    done = tidegate("explain", "checkout", "--kubeconfig", kubeconfig)

    assert 0 == done.exit_code
    assert [("GET", path)] == [(method, where) for method, where, _ in server.asked]
    assert "error-rate: Undecided" in done.stdout


@pytest.mark.parametrize("arguments", [["checkout", "-n", "other"], ["other/checkout"]])
def test_another_namespace_can_be_named(
    tidegate: Tidegate, cluster: Callable[[Json], tuple[Server, Path]], arguments: list[str]
) -> None:
    """`-n NAMESPACE` and NAMESPACE/NAME mean the same."""
    _, kubeconfig = cluster({"/apis/tidegate.dev/v1alpha1/namespaces/other/releases/checkout": release(in_rollout())})

    done = tidegate("explain", *arguments, "--kubeconfig", kubeconfig)

    assert done.stdout.startswith("other/checkout: Progressing.")


def test_a_rollout_that_is_over_is_explained_from_what_was_kept(
    tidegate: Tidegate, cluster: Callable[[Json], tuple[Server, Path]]
) -> None:
    """Given a rollout that was rolled back, then its gates are told as they were then; units come from the policy as it is now."""
    base = "/apis/tidegate.dev/v1alpha1/namespaces/shop"
    objects = {f"{base}/releases/checkout": release(rolled_back()), f"{base}/rolloutpolicies/production": {"spec": POLICY}}
    _, kubeconfig = cluster(objects)

    done = tidegate("explain", "checkout", "--kubeconfig", kubeconfig)

    told = " ".join(done.stdout.split())
    assert "Last rollout: v2 RolledBack (GateBreached), 2026-11-21 11:49:00 to 2026-11-21 12:00:00 UTC." in told
    assert "error-rate: Fail Error rate of the new version is 1.5%" in told
    assert "The chance that a version within the limit ever looks this bad is at most 1 in 13,000; it fails at 1 in 300." in told


def test_without_its_policy_a_rollout_that_is_over_is_still_explained(
    tidegate: Tidegate, cluster: Callable[[Json], tuple[Server, Path]]
) -> None:
    """Given a policy that is gone, then the counts are told all the same."""
    path = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releases/checkout"
    _, kubeconfig = cluster({path: release(rolled_back())})

    done = tidegate("explain", "checkout", "--kubeconfig", kubeconfig)

    assert "error-rate of the new version is 1.5% (45 of 3,010 requests)" in " ".join(done.stdout.split())


def test_machines_get_a_document(tidegate: Tidegate, tmp_path: Path) -> None:
    """`-o json` has the Release, its rollout and each gate, under names that stay."""
    done = tidegate("explain", "-f", file_of(tmp_path, in_rollout()), "-o", "json")

    document = json.loads(done.stdout)
    assert ("shop/checkout", "Progressing", 10, True) == tuple(document[name] for name in ("release", "phase", "weight", "current"))
    assert {"version": "v2", "revision": "bbb", "startedAt": "2026-11-21T11:49:00.000Z"} == document["rollout"]
    assert ["error-rate", "p99"] == [gate["name"] for gate in document["gates"]]
    assert "Fail" == document["gates"][0]["drift"]
    assert 20 == len(document["gates"][0]["evidence"]["history"])


def test_machines_learn_how_the_last_rollout_ended(tidegate: Tidegate, tmp_path: Path) -> None:
    """Of a rollout that is over, outcome and cause are there, and the gates stand once."""
    document = json.loads(tidegate("explain", "-f", file_of(tmp_path, rolled_back()), "-o", "json").stdout)

    assert (False, "RolledBack", "GateBreached") == (
        document["current"],
        document["rollout"]["outcome"],
        document["rollout"]["cause"],
    )
    assert "gates" not in document["rollout"]


def test_a_picture_is_written(tidegate: Tidegate, tmp_path: Path) -> None:
    """`--plot` writes an SVG with a panel for each gate that has evidence."""
    picture = tmp_path / "evidence.svg"

    done = tidegate("explain", "-f", file_of(tmp_path, in_rollout()), "--plot", picture)

    assert 0 == done.exit_code
    assert f"{picture} shows the evidence of 1 gate" in done.stderr
    assert picture.read_text().startswith("<svg")


def test_a_release_without_a_rollout_has_nothing_to_tell(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a Release that never rolled out, then that is what is said."""
    done = tidegate("explain", "-f", file_of(tmp_path, ReleaseStatus(phase=Phase.IDLE, message="v1 serves")))

    assert 0 == done.exit_code
    assert "No rollout of it is known." in done.stdout
    assert "No gate has checked it." in done.stdout


def test_stdin_is_read(tidegate: Tidegate) -> None:
    """`kubectl get release checkout -o yaml | tidegate explain -f -` works."""
    done = tidegate("explain", "-f", "-", stdin=json.dumps(release(in_rollout())))

    assert 0 == done.exit_code
    assert "error-rate: Undecided" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give the name of a Release or --file"),
        (["checkout", "-f", "x"], "give the name of a Release or --file"),
        (["-f", "missing.yaml"], "missing.yaml: cannot be read: No such file or directory"),
        (["checkout", "--plot", "x.png"], "--plot writes SVG: name the file x.svg"),
        (["checkout", "--kubeconfig", "missing"], "cannot read how to reach the Kubernetes API from missing"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tidegate: Tidegate, arguments: list[str], words: str) -> None:
    """Whatever is missing ends it with 2 and a sentence, never with a traceback."""
    done = tidegate("explain", *arguments)

    assert 2 == done.exit_code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Service\n", "is not a Release"),
        ("- a\n", "is not a Release"),
        ("a: [\n", "is not YAML (line 2, column 1: "),
        ("kind: Release\nstatus: {gates: [{name: a}]}\n", "the status of the Release cannot be read: gates[0].verdict"),
    ],
)
def test_a_file_that_is_no_release_is_refused(tidegate: Tidegate, tmp_path: Path, text: str, words: str) -> None:
    """What is not a Release, or not one that this version can read, is said to be so."""
    file = tmp_path / "file"
    file.write_text(text)

    done = tidegate("explain", "-f", file)

    assert 2 == done.exit_code
    assert words in done.stderr


def test_a_release_that_is_not_there_is_named(tidegate: Tidegate, cluster: Callable[[Json], tuple[Server, Path]]) -> None:
    """The API server's own words, and which Release it was."""
    _, kubeconfig = cluster({})

    done = tidegate("explain", "missing", "--kubeconfig", kubeconfig)

    assert 2 == done.exit_code
    assert "get releases.tidegate.dev missing in shop: missing was not found" in done.stderr


def test_a_picture_of_nothing_is_refused(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given no evidence over time, then no empty picture is written."""
    done = tidegate("explain", "-f", file_of(tmp_path, ReleaseStatus()), "--plot", tmp_path / "x.svg")

    assert 2 == done.exit_code
    assert not (tmp_path / "x.svg").exists()
