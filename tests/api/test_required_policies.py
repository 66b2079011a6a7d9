"""The admission policy of docs/security.md that makes Releases use given policies, in a real API server."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from api.cluster_access import ROOT, apply, eventually, install_crds, kubectl, namespace, needs_api, run

pytestmark = [*needs_api, pytest.mark.undeployed]
PATIENCE = 60.0
NAME = "tidegate-required-policies"


def shown() -> list[dict[str, Any]]:
    """Return the policy and its binding as the page shows them."""
    text = (ROOT / "docs" / "security.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (block,) = (one for one in blocks if NAME in one)
    return list(yaml.safe_load_all(block))


def release(name: str, kind: str, policy: str) -> dict[str, Any]:
    spec = {"targetRef": {"name": "checkout"}, "policyRef": {"kind": kind, "name": policy}}
    return {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": {"name": name}, "spec": spec}


def create(place: str, body: dict[str, Any]) -> tuple[bool, str]:
    """Create a Release as somebody who may create Releases there and nothing else."""
    done = run("kubectl", "create", "--as=releases-only", "--namespace", place, "-f", "-", stdin=json.dumps(body))
    return done.returncode == 0, done.stderr


def change(place: str, name: str, patch: dict[str, Any]) -> tuple[bool, str]:
    done = run(
        "kubectl", "patch", "release", name, "--as=releases-only", "--namespace", place, "--type=merge", "-p", json.dumps(patch)
    )
    return done.returncode == 0, done.stderr


@pytest.fixture
def place() -> Iterator[str]:
    install_crds()
    with namespace("tidegate-required") as name:
        verbs = "--verb=get,list,create,update,patch,delete"
        kubectl("create", "role", "releases-only", verbs, "--resource=releases.tidegate.dev", "--namespace", name)
        kubectl("create", "rolebinding", "releases-only", "--role=releases-only", "--user=releases-only", "--namespace", name)
        yield name


@pytest.fixture
def enforced(place: str) -> Iterator[str]:
    """The policy of the page in force in one namespace, which has a Release from before."""
    eventually(lambda: create(place, release("before", "RolloutPolicy", "mine"))[0], wanted=bool, timeout=PATIENCE)
    policy, binding = shown()
    name = f"{NAME}-{uuid.uuid4().hex[:8]}"
    policy["metadata"]["name"] = binding["metadata"]["name"] = binding["spec"]["policyName"] = name
    (selector,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    selector["values"] = [place]
    apply(yaml.safe_dump_all([policy, binding]))
    try:
        # The API server takes a moment to enforce a new policy.
        attempts = (release(f"probe-{number}", "RolloutPolicy", "mine") for number in range(1_000))
        eventually(lambda: create(place, next(attempts))[0], wanted=lambda granted: not granted, timeout=PATIENCE)
        yield place
    finally:
        for document in (binding, policy):
            run("kubectl", "delete", "--wait=false", document["kind"], name)


def test_only_the_required_policies_can_be_named(enforced: str) -> None:
    """A policy of one's own and one that is not on the list are refused with the list; those on it are taken, and kept to."""
    own = create(enforced, release("own", "RolloutPolicy", "production"))
    other = create(enforced, release("other", "ClusterRolloutPolicy", "lenient"))
    taken = create(enforced, release("good", "ClusterRolloutPolicy", "production"))
    away = change(enforced, "good", {"spec": {"policyRef": {"kind": "RolloutPolicy", "name": "mine"}}})
    along = change(enforced, "good", {"spec": {"policyRef": {"name": "payments"}}})

    assert [False, False, False] == [own[0], other[0], away[0]]
    assert (True, True) == (taken[0], along[0]), (taken, along)
    assert (
        "spec.policyRef: RolloutPolicy production may not be used here: use one of the ClusterRolloutPolicies production, payments"
    ) in own[1]
    assert "ClusterRolloutPolicy lenient may not be used here" in other[1]


def test_release_from_before_keeps_its_policy_until_it_changes(enforced: str) -> None:
    """What was there before can be annotated, given a finalizer and changed otherwise; its policy only for a required one."""
    annotated = change(enforced, "before", {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}})
    elsewhere = change(enforced, "before", {"spec": {"version": "v2"}})
    finalized = change(enforced, "before", {"metadata": {"finalizers": ["tidegate.dev/handback"]}})
    unfinalized = change(enforced, "before", {"metadata": {"finalizers": None}})
    worse = change(enforced, "before", {"spec": {"policyRef": {"name": "another"}}})
    better = change(enforced, "before", {"spec": {"policyRef": {"kind": "ClusterRolloutPolicy", "name": "payments"}}})

    assert all(granted for granted, _ in (annotated, elsewhere, finalized, unfinalized, better))
    assert not worse[0]
