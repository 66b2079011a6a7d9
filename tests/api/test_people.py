"""The roles for people on a real API server: Releases and policies can be given apart, and what was taken does not come back."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cluster_access import apply, eventually, install_crds, kubectl, namespace, needs_api, run
from api.manifests import DEPLOY, Key, by_name, kustomize

pytestmark = [*needs_api, pytest.mark.undeployed, pytest.mark.xdist_group("people")]

RBAC = "rbac.authorization.k8s.io"
PATIENCE = 60.0
ROLES = (
    "tidegate-view",
    "tidegate-release-edit",
    "tidegate-policy-edit",
    "tidegate-edit",
    "tidegate-cluster-policies",
    "tidegate-freezes",
)
POLICY = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "RolloutPolicy",
    "metadata": {"name": "production"},
    "spec": {"steps": [{"weight": 100}]},
}
RELEASE = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "Release",
    "metadata": {"name": "checkout"},
    "spec": {"targetRef": {"name": "checkout"}, "policyRef": {"name": "production"}},
}


@pytest.fixture(scope="module", autouse=True)
def kinds() -> None:
    install_crds()


@pytest.fixture
def place() -> Iterator[str]:
    with namespace("tidegate-people") as name:
        yield name


def rendered(tmp_path: Path, *components: str) -> dict[Key, dict[str, Any]]:
    """Return what a kustomization of one's own with components makes of deploy/."""
    here = os.path.relpath(DEPLOY, tmp_path)
    whole = {"resources": [here], "components": [f"{here}/components/{name}" for name in components]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    return by_name(kubectl("kustomize", str(tmp_path)))


@contextmanager
def roles_of(objects: dict[Key, dict[str, Any]], place: str) -> Iterator[None]:
    """Install the roles for people under names of their own, with an `edit` and an `admin` of their own that aggregate them."""
    text = yaml.safe_dump_all([objects["ClusterRole", name] for name in ROLES])
    text = re.sub(r"name: (tidegate-[-a-z]+)$", rf"name: \1-{place}", text, flags=re.MULTILINE)
    text = re.sub(rf"{RBAC}/aggregate-to-([a-z]+)", rf"test.tidegate.dev/aggregate-to-\1-{place}", text)
    built_in = [
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"{name}-{place}"},
            "aggregationRule": {
                "clusterRoleSelectors": [{"matchLabels": {f"test.tidegate.dev/aggregate-to-{name}-{place}": "true"}}]
            },
            "rules": [],
        }
        for name in ("view", "edit", "admin")
    ]
    text += "---\n" + yaml.safe_dump_all(built_in)
    apply(text)
    try:
        yield
    finally:
        run("kubectl", "delete", "--wait=false", "-f", "-", stdin=text)


def bound(user: str, role: str, place: str) -> None:
    """Give a person a role in the namespace."""
    name = f"{user}-{role}"
    kubectl("create", "rolebinding", name, f"--clusterrole={role}-{place}", f"--user={user}", "--namespace", place)


def attempt(user: str, place: str, body: dict[str, Any]) -> tuple[bool, str]:
    """Create an object as a person; return whether it was granted, and what was said."""
    named = {**body, "metadata": {"name": f"{body['metadata']['name']}-{uuid.uuid4().hex[:6]}"}}
    done = run("kubectl", "create", f"--as={user}", "--namespace", place, "-f", "-", stdin=json.dumps(named))
    return done.returncode == 0, done.stderr


def test_releases_and_policies_are_given_apart(place: str) -> None:
    """One role writes Releases and no policies, one policies and no Releases, and tidegate-edit writes both."""
    with roles_of(kustomize("."), place):
        for user, role in (("releases-only", "release-edit"), ("policies-only", "policy-edit"), ("both", "edit")):
            bound(user, f"tidegate-{role}", place)
        granted = {
            user: eventually(
                lambda user=user: (attempt(user, place, RELEASE)[0], attempt(user, place, POLICY)[0]),
                wanted=any,
                timeout=PATIENCE,
            )
            for user in ("releases-only", "policies-only", "both")
        }
        _, refusal = attempt("releases-only", place, POLICY)

    assert {"releases-only": (True, False), "policies-only": (False, True), "both": (True, True)} == granted
    assert 'User "releases-only" cannot create resource "rolloutpolicies"' in refusal


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        ((), (True, True)),
        (("without-policy-aggregation",), (True, False)),
        (("without-release-aggregation",), (False, True)),
    ],
)
@pytest.mark.parametrize("role", ["edit", "admin"])
def test_editor_and_admin_have_what_is_aggregated(
    tmp_path: Path, place: str, role: str, components: tuple[str, ...], expected: tuple[bool, bool]
) -> None:
    """Whoever may edit or administer a namespace writes its Releases and policies; with a component, only the one or the other."""
    with roles_of(rendered(tmp_path, *components), place):
        bound("editor", role, place)
        granted = eventually(
            lambda: (attempt("editor", place, RELEASE)[0], attempt("editor", place, POLICY)[0]), wanted=any, timeout=PATIENCE
        )

    assert expected == granted


def test_admin_cannot_give_what_was_taken_from_admin(tmp_path: Path, place: str) -> None:
    """Given policies in other hands, the namespace's admin can bind neither role that writes them, to itself or to anybody."""
    with roles_of(rendered(tmp_path, "without-policy-aggregation"), place):
        bound("ns-admin", "admin", place)
        # Of the built-in role that with which rights are given: itself it may have more, from what other tests have installed.
        kubectl("create", "role", "binder", "--verb=create", "--resource=rolebindings,roles", "--namespace", place)
        kubectl("create", "rolebinding", "binder", "--role=binder", "--user=ns-admin", "--namespace", place)
        eventually(lambda: attempt("ns-admin", place, RELEASE)[0], wanted=bool, timeout=PATIENCE)
        bind = ("kubectl", "create", "rolebinding", "--as=ns-admin", "--namespace", place, "--user=ns-admin")
        refused = [run(*bind, f"mine-{name}", f"--clusterrole=tidegate-{name}-{place}") for name in ("policy-edit", "edit")]
        taken = run(*bind, "mine", f"--clusterrole=tidegate-release-edit-{place}")

    assert [1, 1] == [done.returncode for done in refused]
    assert all("attempting to grant RBAC permissions not currently held" in done.stderr for done in refused)
    assert 0 == taken.returncode, taken.stderr
