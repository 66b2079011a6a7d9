"""Who may decide on a Release: the admission policies of decisions, before users, groups and ServiceAccounts of a real API server.

People are impersonated here and accounts come with tokens of their own; policies and roles are those of deploy/.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from api.cluster_access import eventually, kubectl, namespace, needs_api, run
from api.deciders import (
    ADMISSION,
    CREATE,
    GROUP,
    PATIENCE,
    QA,
    VERSION,
    decision,
    made,
    make,
    refused,
    under_policies,
    voter,
    without_stamps,
)
from api.operator_access import token_of
from api.people import Person, of_cluster_role, of_role, of_the_whole_cluster, rights
from api.test_admission import in_force

pytestmark = [*needs_api, pytest.mark.undeployed, pytest.mark.xdist_group("decisions")]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """A namespace in which the policies are in force, those that write and those that judge."""
    with under_policies("tidegate-decisions") as name:
        yield name


@pytest.fixture(scope="module")
def ann(place: str) -> Person:
    """Somebody who may approve `checkout` as qa, and reject it."""
    return voter(place)


# What is written down of who decides


def test_name_and_groups_are_filled_in(ann: Person) -> None:
    """Given a decision without them, the API server writes who makes it, with all of their groups."""
    found = made(ann, decision(), "--as-group=qa-team", "--as-group=berlin")

    assert "ann" == found["spec"]["by"]
    assert ["qa-team", "berlin", "system:authenticated"] == found["spec"]["groups"]


def test_ones_own_name_may_be_written(ann: Person) -> None:
    """Before Kubernetes 1.36 it has to be, and it does no harm after."""
    assert "ann" == made(ann, decision(by="ann"))["spec"]["by"]


def test_forged_name_is_refused_in_words(ann: Person) -> None:
    """Who writes somebody else's name is told whose is known."""
    assert refused(lambda: make(ann, decision(by="mallory")), "spec.by: it is mallory, and you are ann: leave it out")


def test_forged_groups_are_written_over(ann: Person) -> None:
    """Groups that the caller is not in do not get into a decision."""
    found = made(ann, decision(groups=["system:masters", "architects"]))

    assert ["system:authenticated"] == found["spec"]["groups"]


def test_impersonated_name_counts(place: str) -> None:
    """Given one who may impersonate, the decision is by whom they act as; who it was is in the API server's audit log alone."""
    boss = of_role("boss", place, CREATE, QA)

    assert "boss" == made(boss, decision())["spec"]["by"]


def test_status_cannot_be_given_along(ann: Person) -> None:
    """A decision that claims to have been carried out has been looked at by nobody."""
    found = made(ann, {**decision(), "status": {"outcome": "Counted", "message": "mine"}})

    assert "status" not in found


def test_without_stamps_the_callers_own_name_is_required() -> None:
    """Given a cluster that writes no names, a decision needs those of the caller, and no groups that the caller is not in."""
    groups = ["system:authenticated"]
    with without_stamps() as older:
        bob = of_role("bob", older, CREATE, QA)
        taken = made(bob, decision(by="bob", groups=groups))
        assert refused(lambda: make(bob, decision()), "spec.by: Invalid value: is required before Kubernetes 1.36")
        assert refused(
            lambda: make(bob, decision(by="bob", groups=[*groups, "architects"])), "spec.groups must be the groups of the account"
        )
        assert refused(lambda: make(bob, decision(by="bob")), "spec.groups must be the groups of the account")

    assert ("bob", groups) == (taken["spec"]["by"], taken["spec"]["groups"])


# Who may decide what


def test_who_may_not_is_told_what_is_missing(place: str) -> None:
    """Given no role, an approval is refused with the verb and the resource that it takes."""
    nobody = of_role("nobody", place, CREATE)

    assert refused(
        lambda: make(nobody, decision()),
        f"spec.action: nobody may not approve Release checkout as qa; get the verb approve on releases/qa.tidegate.dev in {place}",
    )
    assert refused(
        lambda: make(nobody, decision("Promote")), "nobody may not promote Release checkout; get the verb promote on releases."
    )


def test_role_is_that_role_alone(ann: Person) -> None:
    """Who is qa is no architect, and may neither promote nor reject without a role."""
    made(ann, decision())
    made(ann, decision("Reject", role="qa"))

    assert refused(lambda: make(ann, decision(role="architect")), "ann may not approve Release checkout as architect")
    assert refused(lambda: make(ann, decision("Reject")), "ann may not reject Release checkout;")
    assert refused(lambda: make(ann, decision("Promote")), "ann may not promote Release checkout")


def test_role_by_the_name_of_a_release(place: str) -> None:
    """Given the right on one Release, another one is none of theirs."""
    carl = of_role("carl", place, CREATE, rights(GROUP, "releases/qa", "approve", names=("checkout",)))

    made(carl, decision())
    assert refused(lambda: make(carl, decision(release="ledger")), "carl may not approve Release ledger as qa")


def test_role_of_another_namespace_is_none_here(place: str, ann: Person) -> None:
    """Given a role in one namespace, a decision in another is refused."""
    with namespace("tidegate-elsewhere") as other, in_force(ADMISSION / "decisions.yaml", other):
        of_role("ann", other, CREATE)
        there = Person("ann", other)
        named = decision(by="ann", groups=["system:authenticated"])
        assert refused(lambda: make(there, named), f"get the verb approve on releases/qa.tidegate.dev in {other}")
    made(ann, decision())


def test_role_by_a_group(place: str) -> None:
    """Given a role that is bound to a group, whoever is in it decides, and nobody else."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "team"}, "rules": [CREATE, QA]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "team"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "qa-team"}
    binding = {**role, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}
    del binding["rules"]
    for one in (role, binding):
        kubectl("create", "--namespace", place, "--filename=-", stdin=json.dumps(one))
    dora = of_role("dora", place, CREATE)

    assert "dora" == made(dora, decision(), "--as-group=qa-team")["spec"]["by"]
    assert refused(lambda: make(dora, decision()), "dora may not approve Release checkout as qa")


@pytest.mark.parametrize("verb", ["promote", "rollback", "pause", "resume", "retry"])
def test_each_command_takes_its_own_verb(place: str, verb: str) -> None:
    """Who may do one of them may do that one."""
    name = f"only-{verb}"
    person = of_role(name, place, CREATE, rights(GROUP, "releases", verb))
    other = "pause" if verb != "pause" else "promote"

    made(person, decision(verb.capitalize()))
    assert refused(lambda: make(person, decision(other.capitalize())), f"{name} may not {other} Release checkout")


def test_can_i_says_the_truth(place: str, ann: Person) -> None:
    """`kubectl auth can-i` answers for a role and a Release as the policy does."""
    made(ann, decision())

    def may(role: str) -> str:
        return ann.kubectl("auth", "can-i", "approve", "releases.tidegate.dev/checkout", f"--subresource={role}").stdout.strip()

    assert ("yes", "no") == (may("qa"), may("architect"))


def test_dry_run_answers_whether_one_may(ann: Person) -> None:
    """The policies judge a dry run as they judge the decision."""
    made(ann, decision(), "--dry-run=server")
    assert refused(lambda: make(ann, decision(role="architect"), "--dry-run=server"), "ann may not approve")


WILDCARDS = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["create", "approve"]},
]


@pytest.mark.parametrize("rule", WILDCARDS, ids=["everything", "the group", "its resources"])
def test_wildcard_is_no_vote(place: str, rule: Json) -> None:
    """Who holds each role by a wildcard, as the administrator of the cluster does, votes in none."""
    name = f"wild-{WILDCARDS.index(rule)}"
    wild = of_role(name, place, rule)

    assert refused(lambda: make(wild, decision()), "spec.role: you hold every role by a wildcard, which is a vote in none of them")


def test_wildcard_on_one_release_is_no_vote_either(place: str) -> None:
    """Also where the wildcard is limited to that Release by its name."""
    wild = of_role("wild-named", place, CREATE, rights(GROUP, "*", "approve", names=("checkout",)))

    assert refused(lambda: make(wild, decision()), "spec.role: you hold every role by a wildcard")


def test_administrator_of_the_cluster_may_command(place: str) -> None:
    """Nobody's vote is needed for what they could do by hand: a wildcard gives commands, and no roles."""
    with of_the_whole_cluster("root-of-all", place, WILDCARDS[0]) as admin:
        made(admin, decision("Rollback"))
        assert refused(lambda: make(admin, decision()), "spec.role: you hold every role by a wildcard")


def account(place: str, name: str, *rules: Json) -> tuple[Person, str]:
    """Make a ServiceAccount with rights and return it with a token of its own."""
    kubectl("create", "serviceaccount", name, "--namespace", place)
    person = of_role(f"system:serviceaccount:{place}:{name}", place, *rules)
    return person, token_of(name, place)


def by_token(token: str, place: str, obj: Json) -> CompletedProcess[str]:
    """Create an object with a token and nothing else."""
    server = json.loads(kubectl("config", "view", "--raw", "--minify", "--output=json"))["clusters"][0]["cluster"]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": server}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": place}}],
        "current-context": "it",
    }
    path = Path(f"/tmp/{uuid.uuid4()}")
    path.touch(mode=0o600)
    try:
        path.write_text(json.dumps(config))
        return run("kubectl", f"--kubeconfig={path}", "create", "--filename=-", "--output=json", stdin=json.dumps(obj))
    finally:
        path.unlink()


def test_service_accounts_do_not_vote(place: str) -> None:
    """Given an account with every verb by name, it attests and commands, by token and impersonated, and has no vote."""
    rule = rights(GROUP, "releases/qa", "approve", "reject", "attest")
    override = rights(GROUP, "releases", "override", "promote")
    robot, token = account(place, "robot", CREATE, rule, override)
    name = f"system:serviceaccount:{place}:robot"

    attested = decision("Attest", role="qa", check="scan", result="Passed", **VERSION)
    done = eventually(lambda: by_token(token, place, attested), wanted=lambda done: done.returncode == 0, timeout=PATIENCE)
    promoted = made(robot, decision("Promote"))
    for obj in (decision(), decision("Reject", role="qa"), decision("Override")):
        for attempt in (lambda obj=obj: make(robot, obj), lambda obj=obj: by_token(token, place, obj)):
            assert refused(attempt, "spec.by: a ServiceAccount does not approve, reject or override")

    assert name == json.loads(done.stdout)["spec"]["by"] == promoted["spec"]["by"]


def test_editor_does_not_approve_as_an_account(place: str) -> None:
    """Given built-in `edit`, which may take a token of each account of its namespace, no vote comes of that."""
    account(place, "qa-bot", CREATE, QA)
    editor = of_cluster_role("editor", place, "edit")
    eventually(lambda: editor.may("create", "serviceaccounts/token"), wanted=bool, timeout=90)

    token = editor.kubectl("create", "token", "qa-bot").stdout.strip()

    assert token
    assert refused(lambda: by_token(token, place, decision()), "spec.by: a ServiceAccount does not approve")


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_built_in_roles_approve_nothing(place: str, role: str) -> None:
    """No built-in role has a vote, nor may any give itself one: what it does not hold it cannot bind."""
    somebody = of_cluster_role(f"some-{role}", place, role)
    eventually(lambda: somebody.may("get", "releasedecisions.tidegate.dev"), wanted=bool, timeout=90)
    if role != "view":
        made(somebody, decision("Pause"))
        assert refused(lambda: make(somebody, decision()), f"some-{role} may not approve Release checkout as qa")
        assert refused(lambda: make(somebody, decision("Reject")), f"some-{role} may not reject Release checkout")

    for wanted in ("tidegate-approver", "tidegate-admin", "tidegate-override"):
        bound = somebody.kubectl("create", "rolebinding", f"mine-{wanted}", f"--clusterrole={wanted}", f"--user=some-{role}")
        assert bound.returncode != 0, wanted
    own = somebody.kubectl("create", "role", f"qa-{role}", "--verb=approve", "--resource=releases.tidegate.dev/qa")
    assert own.returncode != 0


def test_edit_on_releases_is_no_verb(place: str) -> None:
    """Given every right to write Releases, and no verb of a decision, nothing can be decided."""
    writer = of_role("writer", place, CREATE, rights(GROUP, "releases", "get", "create", "update", "patch", "delete"))

    assert refused(lambda: make(writer, decision("Promote")), "writer may not promote Release checkout")
    assert refused(lambda: make(writer, decision("Override")), "writer may not override Release checkout")


def test_roles_of_deploy(place: str) -> None:
    """The releaser commands and does not reject; the approver rejects, and approves as nobody; the admin has no vote."""
    people = {role: of_cluster_role(f"the-{role}", place, f"tidegate-{role}") for role in ("releaser", "approver", "admin")}

    for role in ("releaser", "admin"):
        for action in ("Promote", "Rollback", "Pause", "Resume", "Retry"):
            made(people[role], decision(action))
        assert refused(lambda role=role: make(people[role], decision("Reject")), f"the-{role} may not reject")
        assert refused(lambda role=role: make(people[role], decision()), f"the-{role} may not approve")
    made(people["approver"], decision("Reject"))
    assert refused(lambda: make(people["approver"], decision("Promote")), "the-approver may not promote")
    assert refused(lambda: make(people["approver"], decision()), "the-approver may not approve Release checkout as qa")
