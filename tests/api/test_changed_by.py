"""Who has changed a version: written down by the API server, and by nobody else, where approvals go by it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from api.cluster_access import eventually, install_crds, kubectl, namespace, needs_api, run
from api.deciders import ADMISSION, GROUP, PATIENCE, STAMPS, made
from api.people import Person, of_role, rights
from api.test_admission import deployment, image, in_force

pytestmark = [*needs_api, pytest.mark.undeployed, pytest.mark.xdist_group("changed-by")]

RESTARTED = "kubectl.kubernetes.io/restartedAt"


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """A namespace in which the policies are in force, those that write and those that judge."""
    install_crds()
    with namespace("tidegate-changed-by") as name, ExitStack() as stack:
        for file in ("changed-by.yaml", "changed-by-release.yaml"):
            for folder in (ADMISSION, STAMPS):
                stack.enter_context(in_force(folder / file, name))
        written_down(name)
        yield name


def written_down(place: str) -> None:
    """Wait until the names of authors are written, and nobody else's can be."""
    kubectl("create", "--namespace", place, "--filename=-", stdin=json.dumps(deployment("ready")))
    eventually(lambda: touched(place), wanted=bool, timeout=PATIENCE)
    forged = json.dumps({"metadata": {"annotations": {"tidegate.dev/changed-by": "nobody"}}})
    patch = (
        "kubectl",
        "patch",
        "deployment",
        "ready",
        "--namespace",
        place,
        "--type=merge",
        "--dry-run=server",
        f"--patch={forged}",
    )
    eventually(lambda: run(*patch).returncode, wanted=lambda code: code != 0, timeout=PATIENCE)
    spec = {"targetRef": {"name": "pay"}, "policyRef": {"name": "production"}}
    probe = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Release", "metadata": {"name": "probe"}, "spec": spec}
    create = ("kubectl", "create", "--dry-run=server", "--namespace", place, "--filename=-", "--output=json")
    eventually(
        lambda: run(*create, stdin=json.dumps(probe)).stdout,
        wanted=lambda text: "tidegate.dev/changed-by" in text,
        timeout=PATIENCE,
    )


def author(place: str, kind: str, name: str) -> str:
    """Return who is written down as the one who changed an object last."""
    found = json.loads(kubectl("get", kind, name, "--namespace", place, "--output=json"))
    return str((found["metadata"].get("annotations") or {}).get("tidegate.dev/changed-by", ""))


def touched(place: str) -> str:
    """Change a template and return who is written down."""
    change = json.dumps({"metadata": {"annotations": {"x": uuid.uuid4().hex}}})
    patch = f'{{"spec": {{"template": {change}}}}}'
    kubectl("patch", "deployment", "ready", "--namespace", place, "--type=merge", f"--patch={patch}")
    return author(place, "deployment", "ready")


def deployer(name: str, place: str) -> Person:
    return of_role(
        name,
        place,
        rights("apps", "deployments", "get", "create", "update", "patch"),
        rights("apps", "deployments/scale", "get", "patch"),
    )


@pytest.fixture
def shop(place: str) -> tuple[Person, Person, str]:
    """Two people and a Deployment that the first has made."""
    eve, fay, name = deployer("eve", place), deployer("fay", place), f"shop-{uuid.uuid4().hex[:6]}"
    made(eve, deployment(name))
    eventually(lambda: fay.may("patch", "deployments.apps"), wanted=bool, timeout=PATIENCE)
    return eve, fay, name


def test_who_changes_a_template_is_written_down(shop: tuple[Person, Person, str], place: str) -> None:
    """Who makes a Deployment for a Release, and who changes its template after that; scaling it and restarting it are neither."""
    _, fay, name = shop
    first = author(place, "deployment", name)
    assert 0 == fay.kubectl("scale", f"deployment/{name}", "--replicas=3").returncode
    assert 0 == fay.patch(f"deployment/{name}", {"metadata": {"annotations": {"note": "mine"}}}).returncode
    scaled = author(place, "deployment", name)
    assert 0 == fay.kubectl("rollout", "restart", f"deployment/{name}").returncode
    restarted = author(place, "deployment", name)
    changed = fay.patch(f"deployment/{name}", image("app:2"))
    assert changed.returncode == 0, changed.stderr

    assert ("eve", "eve", "eve", "fay") == (first, scaled, restarted, author(place, "deployment", name))


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"containers": [{"name": "app", "image": "app:9"}]}},
        {"metadata": {"labels": {"more": "x"}}},
        {"metadata": {"annotations": {"prometheus.io/scrape": "true"}}},
        {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now", "config": "2"}}},
        {"metadata": {"annotations": {"kept": None}}},
    ],
    ids=["image", "label", "annotation", "with a restart", "annotation taken away"],
)
def test_any_change_of_a_template_counts(shop: tuple[Person, Person, str], place: str, template: dict[str, Any]) -> None:
    """Whatever makes another version of it: its spec, its labels, its annotations."""
    eve, fay, name = shop
    eve.patch(f"deployment/{name}", {"spec": {"template": {"metadata": {"annotations": {"kept": "1"}}}}})
    assert "eve" == author(place, "deployment", name)

    assert 0 == fay.patch(f"deployment/{name}", {"spec": {"template": template}}).returncode

    assert "fay" == author(place, "deployment", name)


def test_name_of_the_author_cannot_be_forged(shop: tuple[Person, Person, str], place: str) -> None:
    """It can be neither changed nor taken away, with a change or without, nor taken over by a restart."""
    eve, fay, name = shop
    key = "tidegate.dev/changed-by"
    words = f"metadata.annotations[{key}] is written by the API server"

    for value in ("fay", "", None):
        done = eve.patch(f"deployment/{name}", {"metadata": {"annotations": {key: value}}})
        assert words in done.stderr, (value, done.stderr)
    claimed = {"metadata": {"annotations": {key: "fay"}}, "spec": {"template": {"metadata": {"annotations": {RESTARTED: "now"}}}}}
    assert words in fay.patch(f"deployment/{name}", claimed).stderr
    blamed = {"metadata": {"annotations": {key: "fay"}}, **image("app:3")}
    assert 0 == eve.patch(f"deployment/{name}", blamed).returncode

    assert "eve" == author(place, "deployment", name)


def test_deployment_that_is_made_with_another_name_is_its_makers(place: str) -> None:
    """Deleted and made again, or brought under a Release with a name that was written before, it is whose hands it went through."""
    eve, fay = deployer("eve", place), deployer("fay", place)
    forged = deployment("forged")
    forged["metadata"]["annotations"] = {"tidegate.dev/changed-by": "fay"}
    unmanaged = deployment("unmanaged", managed=False)
    unmanaged["metadata"]["annotations"] = {"tidegate.dev/changed-by": "fay"}
    made(eve, forged)
    made(eve, unmanaged)

    assert 0 == eve.kubectl("label", "deployment/unmanaged", "tidegate.dev/release=checkout").returncode

    assert ("eve", "eve") == (author(place, "deployment", "forged"), author(place, "deployment", "unmanaged"))
    assert "fay" == fay.name


def test_tools_that_apply_are_let_through(place: str) -> None:
    """Given a manifest without the annotation, applied again by the server and by the client, the name follows changes."""
    eve, fay = deployer("eve", place), deployer("fay", place)
    manifest = deployment("applied")
    manifest["metadata"]["namespace"] = place
    eventually(lambda: eve.apply(manifest), wanted=lambda done: done.returncode == 0, timeout=PATIENCE)
    again = fay.apply(manifest, "--force-conflicts")
    first = author(place, "deployment", "applied")
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    changed = fay.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))

    assert (0, 0) == (again.returncode, changed.returncode), again.stderr + changed.stderr
    assert ("eve", "fay") == (first, author(place, "deployment", "applied"))


def test_who_changes_a_releases_images_is_written_down(place: str) -> None:
    """Given spec.images, the version is what stands in the Release, so its author is whoever changed these, or its target."""
    rule = rights(GROUP, "releases", "get", "create", "patch")
    gil, hal = of_role("gil", place, rule), of_role("hal", place, rule)
    spec = {"targetRef": {"name": "pay"}, "policyRef": {"name": "production"}, "images": {"app": "pay:1"}}
    body = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Release", "metadata": {"name": "pay"}, "spec": spec}
    body["metadata"]["annotations"] = {"tidegate.dev/changed-by": "hal"}
    made(gil, body)
    first = author(place, "release", "pay")
    eventually(lambda: hal.patch("release/pay", {"spec": {"version": "v2"}}).returncode, wanted=lambda code: code == 0)
    named = author(place, "release", "pay")
    forged = hal.patch("release/pay", {"metadata": {"annotations": {"tidegate.dev/changed-by": "hal"}}})
    assert 0 == hal.patch("release/pay", {"spec": {"images": {"app": "pay:2"}}}).returncode

    assert ("gil", "gil", "hal") == (first, named, author(place, "release", "pay"))
    assert "metadata.annotations[tidegate.dev/changed-by] is written by the API server" in forged.stderr


def test_who_has_a_release_follow_another_is_written_down(place: str) -> None:
    """Whose images are taken over is for whoever says so, as much as if they had written these images themselves."""
    rule = rights(GROUP, "releases", "get", "create", "patch")
    ivy, jon = of_role("ivy", place, rule), of_role("jon", place, rule)
    spec = {"targetRef": {"name": "bill"}, "policyRef": {"name": "production"}}
    made(ivy, {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Release", "metadata": {"name": "bill"}, "spec": spec})
    first = author(place, "release", "bill")

    follow = {"spec": {"follow": {"release": "pay"}}}
    eventually(lambda: jon.patch("release/bill", follow).returncode, wanted=lambda code: code == 0)

    assert ("ivy", "jon") == (first, author(place, "release", "bill"))
