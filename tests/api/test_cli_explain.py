"""`tidegate explain` and `tidegate lint --server` on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from api.cluster_access import ROOT, apply, install_crds, kubectl, namespace, needs_api, run
from api.shop import install_gateway_api
from tidegate.api.names import Phase
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import GateStatus, ReleaseStatus, RevisionStatus, RolloutStatus
from tidegate.cli.main import app
from tidegate.engine.gate_status import alpha_of, judged
from tidegate.judge.reading import Counts, Reading, Tally

pytestmark = [*needs_api, pytest.mark.xdist_group("cli-explain")]

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GATE = {
    "name": "error-rate",
    "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"percent": 20}},
}
POLICY: dict[str, Any] = {"steps": [{"weight": 10, "hold": "30m"}, {"weight": 100}], "gates": [GATE]}
INVALID = sorted((ROOT / "tests" / "corpus" / "invalid").glob("*.yaml"))


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    install_crds()
    with namespace("tidegate-cli") as name:
        yield name


def tidegate(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "120", "TERM": "dumb", "TIDEGATE_CONFIG": None})


def judged_for_real(spec: RolloutPolicySpec) -> GateStatus:
    """What the judge says of ten minutes with three times stable's errors."""
    gate, state = spec.gates[0], None
    for look in range(20):
        since = NOON + timedelta(seconds=30 * look)
        at = since + timedelta(seconds=30)
        counts = Counts(since, Tally(300.0, 9.0), Tally(2700.0, 27.0))
        state = judged(gate, Reading(gate.name, "bbb", at, counts=counts), state, alpha=alpha_of(spec))
    assert state is not None
    return state


def test_a_release_is_explained_from_what_the_server_has_stored(place: str) -> None:
    """Given a status that the API server took, then explain reads it back: verdict, counts, history, and the same for machines."""
    spec = RolloutPolicySpec.model_validate(POLICY)
    state = judged_for_real(spec)
    status = ReleaseStatus(
        phase=Phase.PROGRESSING,
        message="Rolling out v2 (stable: v1)",
        weight=10,
        candidate=RevisionStatus(revision="bbb", version="v2"),
        rollout=RolloutStatus(policy="RolloutPolicy/production", spec=spec, started_at=NOON, exposed_at=NOON),
        gates=(state,),
    )
    release = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": "checkout", "namespace": place},
        "spec": {"targetRef": {"name": "checkout"}, "policyRef": {"name": "production"}},
    }
    apply(yaml.safe_dump(release))
    patch = json.dumps({"status": status.to_wire()})
    kubectl("patch", "release", "checkout", "-n", place, "--subresource=status", "--type=merge", "-p", patch)

    text = tidegate("explain", f"{place}/checkout")
    document = json.loads(tidegate("explain", "checkout", "-n", place, "-o", "json").stdout)

    assert (0, "Fail") == (text.exit_code, document["gates"][0]["verdict"])
    assert "error-rate: Fail" in text.stdout
    assert "(180 of 6,000 requests)" in " ".join(text.stdout.split())
    assert "Evidence of harm over time" in text.stdout
    assert (6000, 180) == tuple(document["gates"][0]["evidence"][name] for name in ("canaryRequests", "canaryBad"))
    assert len(state.evidence.history if state.evidence else ()) == len(document["gates"][0]["evidence"]["history"])


def test_a_release_that_is_not_there_is_said_to_be_so(place: str) -> None:
    """The API server's own words."""
    done = tidegate("explain", f"{place}/missing")

    assert 2 == done.exit_code
    assert '"missing" not found' in done.stderr


@pytest.mark.parametrize("file", INVALID[::12], ids=lambda file: file.stem)
def test_what_lint_finds_is_what_the_server_refuses(place: str, file: Path, tmp_path: Path) -> None:
    """Given a manifest that is wrong, then lint without a server and the server itself name the same field."""
    offline = json.loads(tidegate("lint", str(file), "-o", "json").stdout)
    expected = file.read_text().splitlines()[0].removeprefix("# expect: ")
    refused = run_dry(place, file)

    assert expected in [one["field"] for one in offline if one["severity"] == "error"]
    assert f"{expected}: " in refused


def run_dry(place: str, file: Path) -> str:
    """What kubectl says to it."""
    return run("kubectl", "create", "-n", place, "--dry-run=server", "-f", str(file)).stderr


def test_the_server_is_asked_about_what_is_sound(place: str, tmp_path: Path) -> None:
    """Given a policy without a flaw, then the API server would take it, and nothing is left behind."""
    file = tmp_path / "policy.yaml"
    document = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "sound"}, "spec": POLICY}
    file.write_text(yaml.safe_dump(document))

    done = tidegate("lint", str(file), "--server", "-n", place)

    assert (0, "") == (done.exit_code, done.stderr.replace("tidegate: 1 object: 0 errors, 0 warnings\n", ""))
    assert "" == kubectl("get", "rolloutpolicies", "-n", place, "-o", "name")


def test_routes_past_the_steps_are_told_whatever_their_kind(place: str, tmp_path: Path) -> None:
    """Given routes of three kinds of naming that lead to the Service, then lint tells of each that the Release does not name."""
    install_gateway_api("httproutes", "grpcroutes")
    backend = {"name": "checkout", "port": 80}
    with namespace("tidegate-edge") as edge:
        for kind, name, where, more in (
            ("HTTPRoute", "web", place, {}),
            ("HTTPRoute", "partners", place, {}),
            ("GRPCRoute", "grpc", place, {}),
            ("HTTPRoute", "front", edge, {"namespace": place}),
        ):
            spec = {"parentRefs": [{"name": "public"}], "rules": [{"backendRefs": [backend | more]}]}
            metadata = {"name": name, "namespace": where}
            apply(yaml.safe_dump({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}))
        traffic = {"service": "checkout", "gatewayAPI": {"httpRoutes": [{"name": "web"}]}}
        spec = {"targetRef": {"name": "checkout"}, "policyRef": {"name": "production"}, "traffic": traffic}
        file = tmp_path / "release.yaml"
        document = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": {"name": "checkout"}, "spec": spec}
        file.write_text(yaml.safe_dump(document))
        told = json.loads(tidegate("lint", str(file), "--server", "-n", place, "-o", "json").stdout)
        file.write_text(yaml.safe_dump(document | {"spec": spec | {"traffic": traffic | {"pinService": True}}}))
        pinned = json.loads(tidegate("lint", str(file), "--server", "-n", place, "-o", "json").stdout)

    found = [
        one["message"].removeprefix("requests by ").split(" bypass the steps")[0]
        for one in told
        if one["field"] == "spec.traffic.service"
    ]
    assert {"GRPCRoute grpc", f"HTTPRoute {edge}/front", "HTTPRoute partners"} == set(found)
    assert ["warning"] * 3 == [one["severity"] for one in told]
    assert [] == pinned


def test_a_name_that_the_server_refuses_is_an_error(place: str, tmp_path: Path) -> None:
    """Given a name that no schema of Tidegate speaks of, then the API server's refusal is what lint says, at its field."""
    file = tmp_path / "policy.yaml"
    document = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "Bad_Name"}, "spec": POLICY}
    file.write_text(yaml.safe_dump(document))

    done = tidegate("lint", str(file), "--server", "-n", place)

    assert 1 == done.exit_code
    assert "error: RolloutPolicy/Bad_Name: metadata.name: refused by the API server: " in done.stdout
