"""The kinds on a real API server: what it takes, what it refuses and how, what it fills in, and what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel

from api.cluster_access import ROOT, Answer, Api, api_proxy, eventually, install_crds, kubectl, namespace, needs_api, run
from api.policy_oracle import policies, refusals
from tidegate.api import crds
from tidegate.api.decided import RejectedStatus
from tidegate.api.kept import packed
from tidegate.api.names import Cause, Condition, Phase, Verdict
from tidegate.api.originals import OriginalRule
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.status import (
    ConditionStatus,
    EvidenceStatus,
    GateStatus,
    LastRollout,
    Outcome,
    PauseStatus,
    ReleaseStatus,
    RevisionStatus,
    RolloutStatus,
    StepStatus,
)

pytestmark = [*needs_api, pytest.mark.undeployed, pytest.mark.xdist_group("crds")]

GROUP_PATH = "/apis/tidegate.dev/v1alpha1"
CORPUS = ROOT / "tests" / "corpus"
VALID = sorted([*(CORPUS / "valid").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")])
INVALID = sorted((CORPUS / "invalid").glob("*.yaml"))
CLUSTER_SCOPED = {kind.name for kind in crds.KINDS if kind.scope == "Cluster"}
PLURALS = {kind.name: kind.plural for kind in crds.KINDS}
SPECS: dict[str, type[BaseModel]] = {kind.name: kind.spec for kind in crds.KINDS}
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TWO_SCREENS = 150
"""Lines of two screens of a usual size, each of them a field or an entry."""


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    install_crds()
    with api_proxy() as api:
        yield api


@pytest.fixture(scope="module")
def place(api: Api) -> Iterator[str]:
    with namespace("tidegate-crds") as name:
        yield name


def collection(kind: str, place: str) -> str:
    middle = "" if kind in CLUSTER_SCOPED else f"/namespaces/{place}"
    return f"{GROUP_PATH}{middle}/{PLURALS[kind]}"


def try_create(api: Api, place: str, manifest: str) -> Answer:
    """Ask whether the API server would take an object, without leaving one behind."""
    kind = yaml.safe_load(manifest)["kind"]
    return api.request("POST", f"{collection(kind, place)}?dryRun=All&fieldValidation=Strict", manifest)


def without_empty(value: Any) -> Any:
    """Leave out empty lists and maps: they say the same as absent ones."""
    match value:
        case dict():
            kept = {key: without_empty(child) for key, child in value.items()}
            return {key: child for key, child in kept.items() if child not in ({}, [])}
        case list():
            return [without_empty(child) for child in value]
    return value


def overlay(filled: Any, written: Any) -> Any:
    """Put what was written over what the model fills in, leaf by leaf: 90s stays 90s."""
    match filled, written:
        case dict(), dict():
            return filled | {key: overlay(filled.get(key), value) for key, value in written.items()}
        case list(), list():
            return [overlay(mine, theirs) for mine, theirs in zip(filled, written, strict=True)]
    return written


def filled_in(model: type[BaseModel], spec: dict[str, Any]) -> Any:
    """Return a spec as it is after the model's defaults."""
    return without_empty(overlay(model.model_validate(spec).to_wire(), spec))  # type: ignore[attr-defined]


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_valid_manifest_is_accepted_with_the_defaults_of_the_model(api: Api, place: str, file: Path) -> None:
    """The API server takes each valid manifest, and fills in what the model fills in; into a record it fills nothing."""
    read = kubectl("create", "--dry-run=client", "-o", "yaml", "--validate=false", "-f", str(file))

    for manifest, written in zip(yaml.safe_load_all(file.read_text()), yaml.safe_load_all(read), strict=True):
        answer = try_create(api, place, yaml.safe_dump(manifest))

        assert answer.accepted, answer.message
        as_written = written["kind"] in {kind.name for kind in crds.KINDS if kind.as_written}
        filled = written["spec"] if as_written else filled_in(SPECS[written["kind"]], written["spec"])
        assert filled == without_empty(answer.body["spec"])


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_invalid_manifest_is_refused_with_the_name_of_the_field(api: Api, place: str, file: Path) -> None:
    """The API server refuses each invalid manifest, and its message names the field that is wrong."""
    manifest = file.read_text()
    expected = manifest.splitlines()[0].removeprefix("# expect: ")

    answer = try_create(api, place, manifest)

    assert answer.status == 422, answer.body
    assert f"{expected}: " in answer.message


def test_a_field_that_does_not_exist_is_named(api: Api, place: str) -> None:
    """A misspelt field is refused under strict validation, which is what kubectl asks for."""
    manifest = (CORPUS / "valid" / "policy-least.yaml").read_text() + "  bakeTime: 5m\n"

    answer = try_create(api, place, manifest)

    assert not answer.accepted
    assert 'unknown field "spec.bakeTime"' in answer.message


@given(spec=policies())
@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_server_and_models_agree_on_policies(api: Api, place: str, spec: dict[str, Any]) -> None:
    """The API server takes a policy exactly when it keeps the rules; what it takes, the models read with equal defaults."""
    manifest = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "any"}, "spec": spec}

    answer = api.request(
        "POST", f"{collection('RolloutPolicy', place)}?dryRun=All&fieldValidation=Strict", manifest, "application/json"
    )

    wrong = refusals(spec)
    assert answer.accepted == (not wrong), (wrong, answer.message)
    if answer.accepted:
        assert filled_in(RolloutPolicySpec, spec) == without_empty(answer.body["spec"])
    else:
        assert any(f"{field}: " in answer.message for field in wrong), (wrong, answer.message)


@given(spec=policies())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_what_the_models_refuse_breaks_a_rule(spec: dict[str, Any]) -> None:
    """The models never refuse a policy that the API server would take."""
    assert refusals(spec) or filled_in(RolloutPolicySpec, spec)


def full_status() -> ReleaseStatus:
    """A status with every field set."""
    revision = RevisionStatus(revision="5d9f8c7b6d", version="v1.2.3", replicas=4, ready=3)
    policy = RolloutPolicySpec.model_validate(yaml.safe_load((ROOT / "examples" / "policy-seed.yaml").read_text())["spec"])
    return ReleaseStatus(
        observed_generation=7,
        phase=Phase.PAUSED,
        message="Paused at 10%: gate p99-latency is beyond its limit.",
        weight=10,
        carried=10,
        progress="1 of 2",
        stable=revision,
        candidate=revision.model_copy(update={"version": "v1.3.0"}),
        step=StepStatus(index=0, weight=10, entered=NOON, since=NOON, until=NOON + timedelta(minutes=30)),
        gates=(
            GateStatus(
                name="p99-latency",
                verdict=Verdict.FAIL,
                stable=0.2,
                canary=0.251,
                limit="less than 10% above stable",
                samples=1234.5,
                message="251 ms against 200 ms",
                at=NOON,
                looks="PPF",
                undecided_since=NOON,
            ),
        ),
        rollout=RolloutStatus(
            policy="RolloutPolicy/production",
            spec=policy,
            started_at=NOON,
            exposed_at=NOON,
            skip_to_end=True,
            paused=PauseStatus(cause=Cause.GATE, gate="p99-latency", message="251 ms against 200 ms", since=NOON),
            undo=Cause.REQUEST,
            undo_message="asked for",
            undo_since=NOON,
        ),
        original_rules=(OriginalRule(route="checkout", rule=0, backend_refs='[{"name":"checkout","port":80}]'),),
        rejected=(RejectedStatus(revision="6c8d7f", version="v1.2.9", cause=Cause.GATE, message="5xx", at=NOON),),
        last_rollout=LastRollout(
            version="v1.2.9",
            revision="6c8d7f",
            outcome=Outcome.ROLLED_BACK,
            cause=Cause.GATE,
            message="5xx",
            started_at=NOON,
            finished_at=NOON,
        ),
        handled_request="pause/2026-11-21T12:00:00Z",
        conditions=tuple(
            ConditionStatus(
                type=condition, status="False", reason="Paused", message="paused", last_transition_time=NOON, observed_generation=7
            )
            for condition in Condition
        ),
    )


def create_release(api: Api, place: str, name: str) -> None:
    manifest = (CORPUS / "valid" / "release-least.yaml").read_text().replace("name: least", f"name: {name}")
    answer = api.request("POST", collection("Release", place), manifest)
    assert answer.accepted, answer.message


def apply_status(api: Api, place: str, name: str, status: dict[str, Any]) -> Answer:
    body = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": {"name": name}, "status": status}
    path = f"{collection('Release', place)}/{name}/status?fieldManager=tidegate&force=true"
    return api.request("PATCH", path, body, "application/apply-patch+yaml")


def test_status_is_stored_as_the_operator_wrote_it(api: Api, place: str) -> None:
    """A status with every field set survives the API server without a change, and comes back as the same model."""
    create_release(api, place, "full-status")
    status = full_status()

    answer = apply_status(api, place, "full-status", status.to_wire())

    assert answer.accepted, answer.message
    assert status.to_wire() == answer.body["status"]
    assert status == ReleaseStatus.model_validate(answer.body["status"])


def test_describe_fits_two_screens(api: Api, place: str) -> None:
    """Three gates with all that their tests go on from, in the midst of a rollout: what the operator keeps for itself is packed."""
    create_release(api, place, "described")
    status = full_status()
    evidence = EvidenceStatus(since=NOON, history=tuple(index / 7 for index in range(64)), state="0.123456789," * 300)
    gates = tuple(status.gates[0].model_copy(update={"name": f"gate-{index}", "evidence": evidence}) for index in range(3))
    last = status.last_rollout.model_copy(update={"gates": gates}) if status.last_rollout is not None else None
    status = status.model_copy(update={"gates": gates, "last_rollout": last})

    answer = apply_status(api, place, "described", packed(status.to_wire()))

    assert answer.accepted, answer.message
    assert status == ReleaseStatus.model_validate(answer.body["status"])
    said = kubectl("describe", "release", "described", "--namespace", place).splitlines()
    assert len(said) <= TWO_SCREENS, len(said)
    assert max(map(len, said)) < 2000


def test_status_of_a_rollout_that_began_under_looser_rules_is_stored(api: Api, place: str) -> None:
    """The policy that a rollout started with is not judged again when its status is written."""
    create_release(api, place, "old-rules")
    status = full_status().to_wire()
    status["rollout"]["spec"]["steps"] = [{"weight": 50, "hold": "0s"}, {"weight": 10, "hold": "0s"}]

    answer = apply_status(api, place, "old-rules", status)

    assert answer.accepted, answer.message


def test_get_shows_what_a_person_at_night_needs(api: Api, place: str) -> None:
    """`kubectl get releases` shows version, candidate, phase, step, weight, readiness and the reason; -o wide says more."""
    create_release(api, place, "shown")
    body = {"status": full_status().to_wire()}
    path = f"{collection('Release', place)}/shown/status"

    # The answer as the table that kubectl prints: an operator in the same cluster may have another opinion a moment later.
    answer = api.request("PATCH", path, body, "application/merge-patch+json", accept="application/json;as=Table;v=v1;g=meta.k8s.io")

    columns = [(column["name"], column["priority"]) for column in answer.body["columnDefinitions"]]
    row = dict(zip((name for name, _ in columns), answer.body["rows"][0]["cells"], strict=True))
    message = row.pop("Message")
    del row["Age"]
    narrow = "Name Version Candidate Phase Step Weight Ready Message Age"
    assert [name for name, wide in columns if not wide] == narrow.split()
    assert message == "Paused at 10%: gate p99-latency is beyond its limit."
    assert row == {
        "Name": "shown",
        "Version": "v1.2.3",
        "Candidate": "v1.3.0",
        "Phase": "Paused",
        "Step": "1 of 2",
        "Weight": 10,
        "Ready": "False",
        "Target": "checkout",
        "Policy": "production",
        "Failing": "p99-latency",
        "Last": "RolledBack",
    }


@pytest.mark.parametrize("selector", ["spec.targetRef.name=checkout", "spec.environment=production", "status.phase=Paused"])
def test_fields_select(api: Api, place: str, selector: str) -> None:
    """Releases can be selected by target, environment and phase; the API server refuses fields that cannot select."""
    create_release(api, place, f"selected-{selector.split('=')[1].lower()}")

    selected = kubectl("get", "rel", "-n", place, f"--field-selector={selector}", "-o", "name").split()

    assert ("release.tidegate.dev/selected-checkout" in selected) == selector.startswith("spec.targetRef")


def test_get_of_policies_shows_the_first_step(api: Api, place: str) -> None:
    """`kubectl get rp` shows with what share of the traffic a rollout begins, and for how long."""
    kubectl("apply", "-n", place, "-f", str(ROOT / "examples" / "policy-seed.yaml"))

    header, row = kubectl("get", "rp", "production", "-n", place).splitlines()

    assert "FIRST WEIGHT" in header
    assert row.split()[:4] == ["production", "10", "30m", "10m"]


def test_category_lists_all_kinds(api: Api, place: str) -> None:
    """`kubectl get tidegate` knows the kinds."""
    known = kubectl("api-resources", "--categories=tidegate", "-o", "name").split()

    assert {f"{kind.plural}.tidegate.dev" for kind in crds.KINDS} <= set(known)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("releases", "There is one per service"),
        ("releases.spec.traffic.pinService", "Default: false."),
        ("releases.status.step.since", "the hold counts from here"),
        ("rolloutpolicies.spec.steps.hold", "Default: 0s."),
        ("rolloutpolicies.spec.gates.metric.promql", "{{canaryPods}}"),
        ("clusterrolloutpolicies.spec.gates.onNoData.after", "Default: 5m."),
        ("releasedecisions.spec.role", "the subresource releases/<role> of that Release"),
    ],
)
def test_explain_speaks(api: Api, path: str, said: str) -> None:
    """`kubectl explain` describes fields, with their defaults."""
    eventually(lambda: " ".join(run("kubectl", "explain", path).stdout.split()), wanted=lambda text: said in text)
