"""A decision stays as it was made: it is neither changed nor deleted, and what became of it is the operator's to write."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from api.cluster_access import apply, eventually, kubectl, needs_api, run
from api.deciders import (
    CREATE,
    GROUP,
    MEDDLE,
    PATIENCE,
    QA,
    READ,
    decision,
    made,
    make,
    refused,
    stored,
    under_policies,
    voter,
    without_stamps,
)
from api.people import Person, of_cluster_role, of_role, rights

pytestmark = [*needs_api, pytest.mark.undeployed, pytest.mark.xdist_group("kept-decisions")]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """A namespace in which the policies are in force, those that write and those that judge."""
    with under_policies("tidegate-kept") as name:
        yield name


@pytest.fixture(scope="module")
def ann(place: str) -> Person:
    """Somebody who may approve `checkout` as qa, and reject it, and may otherwise do to decisions what RBAC can give."""
    return voter(place, MEDDLE)


def test_spec_never_changes(ann: Person, place: str) -> None:
    """Neither by another field nor by taking one away; the author's own name comes back by itself."""
    name = made(ann, decision(reason="looks good"))["metadata"]["name"]
    eventually(lambda: ann.may("patch", "releasedecisions.tidegate.dev"), wanted=bool, timeout=PATIENCE)

    for change in ({"role": "architect"}, {"release": "ledger"}, {"action": "Reject"}, {"reason": None}, {"expires": "720h"}):
        done = ann.patch(f"releasedecision/{name}", {"spec": change})
        assert "a decision is never changed: make another one, which withdraws it" in done.stderr, (change, done.stderr)
    before = stored(place, name)
    ann.patch(f"releasedecision/{name}", {"spec": {"by": None}})
    assert before["spec"] == stored(place, name)["spec"]
    assert 1 == stored(place, name)["metadata"]["generation"]


def test_who_applies_anothers_file_learns_of_it(ann: Person, place: str) -> None:
    """Given a file that one person has applied, another one's apply is refused: "unchanged" would be taken for a vote."""
    other = of_role("second", place, CREATE, READ, QA, MEDDLE)
    file = decision()
    eventually(lambda: ann.apply(file), wanted=lambda done: done.returncode == 0, timeout=PATIENCE)
    again = ann.apply(file)

    assert refused(lambda: other.apply(file), "a decision is never changed")
    assert again.returncode == 0, again.stderr
    assert "ann" == stored(place, file["metadata"]["name"])["spec"]["by"]


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"team": "x"}},
        {"annotations": {"note": "x"}},
        {"finalizers": ["example.dev/keep"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}]},
    ],
    ids=["labels", "annotations", "finalizers", "owners"],
)
def test_metadata_never_changes(ann: Person, place: str, change: Json) -> None:
    """Who may patch decisions does so with nobody's, not their own either; nor does an account, into which no name is written."""
    others = [of_role(name, place, MEDDLE) for name in ("meddler", f"system:serviceaccount:{place}:meddler")]
    name = made(ann, decision())["metadata"]["name"]

    for person, words in zip((ann, *others), ("metadata: ", "", "metadata: "), strict=True):
        assert refused(
            lambda person=person: person.patch(f"releasedecision/{name}", {"metadata": change}),
            f"{words}a decision is never changed: make another one",
        )


@pytest.mark.parametrize(
    "extra",
    [
        {"finalizers": ["example.dev/keep"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}]},
    ],
    ids=["finalizers", "owners"],
)
def test_decision_has_neither_owners_nor_finalizers(ann: Person, extra: Json) -> None:
    """With an owner that is gone it would be collected in seconds, and with it the evidence."""
    obj = decision()
    obj["metadata"] |= extra

    assert refused(lambda: make(ann, obj), "metadata: a decision has neither owners nor finalizers")


def test_decision_is_deleted_with_the_verb_keep_alone(ann: Person, place: str) -> None:
    """Its author may not, nor who has the plain right to delete; who has `keep` besides may."""
    meddler, keeper = of_role("meddler", place, MEDDLE), of_cluster_role("keeper", place, "tidegate-admin")
    name = made(ann, decision())["metadata"]["name"]
    delete = ("delete", f"releasedecision/{name}", "--wait=false")

    for person in (ann, meddler):
        assert refused(lambda person=person: person.kubectl(*delete), "a decision is evidence and stays")
    assert refused(
        lambda: meddler.kubectl("delete", "releasedecisions", "--all", "--wait=false"), "a decision is evidence and stays"
    )
    assert "ann" == stored(place, name)["spec"]["by"]
    eventually(lambda: keeper.kubectl(*delete), wanted=lambda done: done.returncode == 0, timeout=PATIENCE)


def test_keeper_may_delete_in_the_foreground(ann: Person, place: str) -> None:
    """The garbage collector, which has no such verb, takes its finalizer off what is being deleted."""
    keeper = of_cluster_role("keeper", place, "tidegate-admin")
    name = made(ann, decision())["metadata"]["name"]
    delete = ("delete", f"releasedecision/{name}", "--wait=false", "--cascade=foreground")
    eventually(lambda: keeper.kubectl(*delete), wanted=lambda done: done.returncode == 0, timeout=PATIENCE)
    collector = of_role("collector", place, MEDDLE)
    get = ("get", "releasedecision", name, "--namespace", place)
    if run("kubectl", *get).returncode == 0:
        collector.patch(f"releasedecision/{name}", {"metadata": {"finalizers": None}})

    eventually(lambda: run("kubectl", *get).returncode, wanted=lambda code: code != 0)


NAMESPACE_CONTROLLER = "system:serviceaccount:kube-system:namespace-controller"
"""By its own name; the sandbox's controllers are all one account that may do anything."""


@contextmanager
def deleted_by(user: str, place: str) -> Iterator[None]:
    """Let decisions of a namespace be deleted by nobody but one account, for who else may is faster than a test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}}
    rule = {"apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["releasedecisions"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": place}}
    only = {"expression": f"request.userInfo.username == '{user}'", "message": "not you"}
    policy["spec"] = {"matchConstraints": {"namespaceSelector": selector, "resourceRules": [rule]}, "validations": [only]}
    binding = {**policy, "kind": "ValidatingAdmissionPolicyBinding", "spec": {"policyName": name, "validationActions": ["Deny"]}}
    apply(yaml.safe_dump_all([policy, binding]))
    try:
        yield
    finally:
        kubectl("delete", f"validatingadmissionpolicybinding/{name}", f"validatingadmissionpolicy/{name}")


def test_namespace_with_decisions_can_go() -> None:
    """The namespace controller has no `keep`: its deletions are refused while the namespace lives and let through when it goes."""
    with without_stamps() as place, deleted_by(NAMESPACE_CONTROLLER, place):
        bob = of_role("bob", place, CREATE, QA)
        name = made(bob, decision(by="bob", groups=["system:authenticated"]))["metadata"]["name"]
        delete = ("delete", f"releasedecision/{name}", "--wait=false")
        eventually(
            lambda: run("kubectl", "--namespace", place, *delete, "--dry-run=server").stderr, wanted=lambda text: "not you" in text
        )
        controller = of_role(NAMESPACE_CONTROLLER, place, rights(GROUP, "releasedecisions", "list", "delete", "deletecollection"))
        assert refused(lambda: controller.kubectl(*delete), "a decision is evidence and stays")
        kubectl("delete", "namespace", place, "--wait=false")
        done = eventually(lambda: controller.kubectl(*delete), wanted=lambda done: done.returncode == 0, timeout=PATIENCE)

    assert f'"{name}" deleted' in done.stdout


def test_status_is_the_operators(ann: Person, place: str) -> None:
    """Whoever may write decisions does not write what became of them; who writes that changes nothing else."""
    name = made(ann, decision())["metadata"]["name"]
    operator = of_role("operator", place, READ, rights(GROUP, "releasedecisions/status", "get", "patch"))
    change = {"status": {"outcome": "Counted"}, "spec": {"role": "architect"}, "metadata": {"labels": {"a": "b"}}}

    mine = ann.patch(f"releasedecision/{name}", change, "--subresource=status")
    done = eventually(
        lambda: operator.patch(f"releasedecision/{name}", change, "--subresource=status"),
        wanted=lambda done: done.returncode == 0,
        timeout=PATIENCE,
    )
    after = stored(place, name)

    assert "cannot get resource" in mine.stderr, done.stdout
    assert ("Counted", "qa", None) == (after["status"]["outcome"], after["spec"]["role"], after["metadata"].get("labels"))


def test_decisions_are_selected_by_their_release(ann: Person, place: str) -> None:
    """`kubectl get rd --field-selector` finds those of one Release, and the table says who decided what and what became of it."""
    name = made(ann, decision())["metadata"]["name"]

    def found(release: str) -> list[str]:
        selected = ("--field-selector", f"spec.release={release}")
        return ann.kubectl("get", "rd", *selected, "--output=name").stdout.split()

    header, *_ = ann.kubectl("get", "rd").stdout.splitlines()
    assert f"releasedecision.tidegate.dev/{name}" in found("checkout")
    assert [] == found("other")
    assert ["NAME", "RELEASE", "ACTION", "ROLE", "BY", "OUTCOME", "MESSAGE", "AGE"] == header.split()
