"""The admission policies of deploy/ in a real API server: which templates are held, and which requests are refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cluster_access import ROOT, Answer, Api, api_proxy, apply, eventually, install_crds, kubectl, namespace, needs_api, run

pytestmark = [*needs_api, pytest.mark.xdist_group("admission")]

DEPLOY = ROOT / "deploy"
MERGE = "application/merge-patch+json"


@contextmanager
def in_force(file: Path, place: str) -> Iterator[None]:
    """Install a policy and its binding under a name of their own and for one namespace, so that no other test is touched."""
    policy, binding = yaml.safe_load_all(file.read_text())
    name = f"{policy['metadata']['name']}-{uuid.uuid4().hex[:8]}"
    policy["metadata"]["name"] = binding["metadata"]["name"] = binding["spec"]["policyName"] = name
    policy["spec"]["matchConstraints"]["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": place}}
    apply(yaml.safe_dump_all([policy, binding]))
    try:
        yield
    finally:
        for document in (binding, policy):
            run("kubectl", "delete", "--wait=false", document["kind"], name)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    install_crds()
    with api_proxy() as api:
        yield api


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    with namespace("tidegate-admission") as name:
        yield name


def deployment(name: str, *, managed: bool = True) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"tidegate.dev/release": name} if managed else {}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}},
        },
    }


def image(name: str) -> dict[str, Any]:
    """A change of the template as Argo CD or kubectl would patch it."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": name}]}}}}


class Deployments:
    """The Deployments of a namespace."""

    def __init__(self, api: Api, place: str) -> None:
        self._api = api
        self._place = place
        self._path = f"/apis/apps/v1/namespaces/{place}/deployments"

    def create(self, name: str, *, managed: bool = True) -> Answer:
        return self._api.request("POST", self._path, deployment(name, managed=managed), "application/json")

    def patch(self, name: str, change: dict[str, Any], *, dry: bool = False, resource: str = "") -> Answer:
        return self._api.request("PATCH", f"{self._path}/{name}{resource}{'?dryRun=All' if dry else ''}", change, MERGE)

    def paused(self, name: str) -> bool:
        spec = json.loads(kubectl("get", "deployment", name, "-n", self._place, "-o", "json"))["spec"]
        return bool(spec.get("paused", False))


@pytest.fixture(scope="module")
def deployments(api: Api, place: str) -> Iterator[Deployments]:
    """Deployments under the policy, which takes a few seconds to be in force after it was created."""
    made = Deployments(api, place)
    with in_force(DEPLOY / "components" / "hold-admission" / "hold.yaml", place):
        made.create("probe")
        eventually(
            lambda: made.patch("probe", image("app:2"), dry=True).body["spec"].get("paused", False),
            wanted=lambda paused: paused is True,
        )
        yield made


def test_a_changed_template_is_held_in_the_request_that_changes_it(deployments: Deployments) -> None:
    """The answer to a change of the image is already paused: no controller can see the new template unpaused."""
    assert deployments.create("changed").body["spec"].get("paused", False) is False

    answer = deployments.patch("changed", image("app:2"))

    assert answer.accepted, answer.message
    assert answer.body["spec"]["paused"] is True
    assert answer.body["spec"]["template"]["spec"]["containers"][0]["image"] == "app:2"


def test_server_side_apply_is_held_too(deployments: Deployments, place: str) -> None:
    """Flux-style apply of a changed template is held, and a second apply of the same leaves it held."""
    manifest = deployment("applied")
    apply_as_flux(place, manifest)
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"

    apply_as_flux(place, manifest)
    apply_as_flux(place, manifest)

    assert deployments.paused("applied")


def apply_as_flux(place: str, manifest: dict[str, Any]) -> None:
    kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=flux", "-n", place, "-f", "-", stdin=json.dumps(manifest)
    )


def test_a_restart_is_held_for_the_operator_to_let_through(deployments: Deployments, place: str) -> None:
    """`kubectl rollout restart` changes an annotation of the template, and is held as any other change."""
    deployments.create("restarted")

    kubectl("rollout", "restart", "deployment/restarted", "-n", place)

    assert deployments.paused("restarted")


def test_scaling_is_not_held(deployments: Deployments, place: str) -> None:
    """More or fewer replicas, by the scale subresource or by the Deployment itself, are no new version."""
    deployments.create("scaled")

    kubectl("scale", "deployment/scaled", "--replicas=5", "-n", place)
    answer = deployments.patch("scaled", {"spec": {"replicas": 7}, "metadata": {"annotations": {"note": "by hand"}}})

    assert answer.body["spec"]["replicas"] == 7
    assert not deployments.paused("scaled")


def test_unpausing_an_unchanged_template_lets_it_out(deployments: Deployments) -> None:
    """What the operator does at the end of a rollout passes."""
    deployments.create("promoted")
    deployments.patch("promoted", image("app:2"))

    answer = deployments.patch("promoted", {"spec": {"paused": False}})

    assert answer.accepted, answer.message
    assert not deployments.paused("promoted")


def test_a_change_that_unpauses_is_held(deployments: Deployments) -> None:
    """A manifest that says `paused: false` does not let a changed template out."""
    deployments.create("sly")

    answer = deployments.patch("sly", {"spec": {"paused": False, **image("app:2")["spec"]}})

    assert answer.body["spec"]["paused"] is True


def test_taking_the_label_away_with_the_change_is_held(deployments: Deployments) -> None:
    """A Deployment that was managed a moment ago is still held."""
    deployments.create("unlabelled")

    answer = deployments.patch("unlabelled", image("app:2") | {"metadata": {"labels": {"tidegate.dev/release": None}}})

    assert answer.body["spec"]["paused"] is True


def test_other_deployments_are_left_alone(deployments: Deployments) -> None:
    """A Deployment that no Release manages rolls out as ever, and a new one is never held."""
    deployments.create("stranger", managed=False)

    answer = deployments.patch("stranger", image("app:2"))

    assert answer.accepted, answer.message
    assert not deployments.paused("stranger")


RELEASES = "/apis/tidegate.dev/v1alpha1/namespaces/{place}/releases"


def release(name: str, request: str | None) -> dict[str, Any]:
    annotations = {} if request is None else {"tidegate.dev/request": request}
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"targetRef": {"name": "checkout"}, "policyRef": {"name": "production"}},
    }


@pytest.fixture(scope="module")
def releases(api: Api, place: str) -> Iterator[str]:
    """The path of Releases whose requests are checked; among them `old`, which had a wrong one before, and `fresh`."""
    path = RELEASES.format(place=place)
    api.request("POST", path, release("old", "go!"), "application/json")
    assert api.request("POST", path, release("fresh", None), "application/json").accepted
    with in_force(DEPLOY / "admission" / "requests.yaml", place):
        eventually(
            lambda: api.request("POST", f"{path}?dryRun=All", release("probe", "wrong"), "application/json").accepted,
            wanted=lambda accepted: not accepted,
        )
        yield path


@pytest.mark.parametrize(
    "request_text",
    ["promote/1", "rollback/2026-11-21T08:00:00Z", "rollback-and-hold/1", "pause/a", "resume/x.y_z-9", "retry/" + "9" * 128, None],
)
def test_a_request_that_names_a_verb_and_an_id_passes(api: Api, releases: str, request_text: str | None) -> None:
    """Each verb is taken with an id of letters, digits and a few more characters; no request is fine too."""
    answer = api.request("POST", f"{releases}?dryRun=All", release("asked", request_text), "application/json")

    assert answer.accepted, answer.message


@pytest.mark.parametrize(
    "request_text",
    ["", "promote", "promote/", "abort/1", "Promote/1", "promote/-1", "retry/a b", "retry/" + "9" * 129, "retry/1/2"],
)
def test_another_request_is_refused_with_the_form_it_should_have(api: Api, releases: str, request_text: str) -> None:
    """A request that the operator could not carry out is refused at once, and the message says what would be right."""
    answer = api.request("POST", f"{releases}?dryRun=All", release("asked", request_text), "application/json")

    assert not answer.accepted
    assert "metadata.annotations[tidegate.dev/request] must be <verb>/<id>" in answer.message


def test_a_wrong_request_from_before_does_not_stand_in_the_way(api: Api, releases: str) -> None:
    """A Release with a wrong request that was there before the policy can still be changed: only new requests are checked."""
    answer = api.request("PATCH", f"{releases}/old", {"spec": {"version": "v2"}}, MERGE)

    if answer.status == 404:
        pytest.skip("the cluster already had the policy before this test: there is no Release with a wrong request")
    assert answer.accepted, answer.message


def test_a_changed_request_is_checked(api: Api, releases: str) -> None:
    """`kubectl annotate` with a mistyped verb is refused."""
    answer = api.request("PATCH", f"{releases}/fresh", {"metadata": {"annotations": {"tidegate.dev/request": "rolback/1"}}}, MERGE)

    assert not answer.accepted
    assert "the verb is promote, rollback, rollback-and-hold, pause, resume or retry" in answer.message
