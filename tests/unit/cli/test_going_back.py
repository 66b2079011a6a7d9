"""`tidegate rollback --to` a version of the past: exactly what was released is put back, or nothing is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulation.archive import object_of
from tidegate.cli import going_back
from tidegate.governance.records import sealed
from tidegate.workloads.templates import content_digest
from unit.cli.conftest import Server, Tidegate

Json = dict[str, Any]
GROUP = "/apis/tidegate.dev/v1alpha1/namespaces/shop"
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/checkout"


REJECTED = {
    "revision": "hash-v1.2.2",
    "version": "v1.2.2",
    "cause": "GateBreached",
    "message": "gate errors: 9%",
    "at": "2026-01-02T03:04:00Z",
}
CONTRACTED = {"version": "v1.2.3", "at": "2026-01-02T03:04:00Z"}
FAILED: Json = {
    "version": "v1.2.3",
    "revision": "hash-v1.2.3",
    "since": "2026-01-02T03:00:00Z",
    "over": "2026-01-02T03:04:00Z",
    "promoted": True,
    "runs": [{"phase": "Contract", "cronJob": "contract", "seconds": 60, "job": "contract-1", "result": "Failed"}],
}
REVERSE = FAILED["runs"][0] | {"phase": "Rollback", "job": "reverse-1", "message": "exit code 1"}
UNREVERSED = {
    "migration": FAILED | {"version": "v1.3.0", "revision": "hash-v1.3.0", "promoted": False, "runs": [REVERSE]},
    "conditions": [
        {
            "type": "MigrationFailed",
            "status": "True",
            "reason": "MigrationFailed",
            "message": "rollback failed",
            "lastTransitionTime": "2026-01-02T03:04:00Z",
        }
    ],
}
"""What v1.3.0 had done to the database could not be undone, and the operator waits for a person."""
ENDS_FIRST = "rollback of v1.3.0's migrations has to end first"


def template(tag: str, **env: str) -> Json:
    container: Json = {"name": "app", "image": f"checkout:{tag}"}
    if env:
        container["env"] = [{"name": name, "value": value} for name, value in env.items()]
    return {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": [container]}}


def replica_set(tag: str, **env: str) -> Json:
    made = template(tag, **env)
    made["metadata"]["labels"]["pod-template-hash"] = f"hash-{tag}"
    owner = [{"kind": "Deployment", "name": "checkout", "uid": "uid-d"}]
    return {"metadata": {"name": f"checkout-{tag}", "namespace": "shop", "ownerReferences": owner}, "spec": {"template": made}}


def record(number: int, tag: str, outcome: str = "Promoted", **env: str) -> Json:
    spec = {"id": f"rel_20260101_000{number}", "number": number, "release": "checkout", "releaseUID": "uid-r", "namespace": "shop"}
    told = {"outcome": outcome, "endedAt": f"2026-01-01T00:0{number}:00Z", "digest": content_digest(template(tag, **env))}
    to = {"version": tag, "revision": f"hash-{tag}", "images": {"app": f"checkout:{tag}"}}
    return object_of(sealed({**spec, **told, "to": to}))


class Cluster:
    """An API server with a Release whose Deployment serves v1.2.3, and had v1.2.2 and v1.2.1 before."""

    def __init__(self, **release: Any) -> None:
        base = {"targetRef": {"name": "checkout"}, "policyRef": {"name": "p"}}
        status = {"phase": "Idle", "stable": {"revision": "hash-v1.2.3", "version": "v1.2.3"}}
        self.release = {
            "metadata": {"name": "checkout", "namespace": "shop", "uid": "uid-r"},
            "spec": base | release,
            "status": status,
        }
        self.deployment = {"metadata": {"name": "checkout", "uid": "uid-d"}, "spec": {"template": template("v1.2.3")}}
        self.sets = [replica_set(tag) for tag in ("v1.2.2", "v1.2.3")]
        self.records = [record(1, "v1.2.1"), record(2, "v1.2.2"), record(3, "v1.3.0", "RolledBack"), record(4, "v1.2.3")]
        self.patches: list[tuple[str, list[Json]]] = []
        self.decisions: list[Json] = []

    def answer(self, method: str, path: str, _: Any, body: str) -> tuple[int, Json]:
        if method == "PATCH":
            self.patches.append((path, json.loads(body)))
            self._show()
            return 200, {}
        if method == "POST" and path == f"{GROUP}/releasedecisions":
            self.decisions.append(json.loads(body))
            return 201, self.decisions[-1]
        listed = {"metadata": {"resourceVersion": "1"}, "apiVersion": "v1", "kind": "List"}
        found = {
            f"{GROUP}/releases/checkout": self.release,
            f"{GROUP}/releaserecords": {**listed, "items": self.records},
            DEPLOYMENT: self.deployment,
            "/apis/apps/v1/namespaces/shop/replicasets": {**listed, "items": self.sets},
        }.get(path)
        return (200, found) if found is not None else (404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": path})

    def _show(self) -> None:
        """The operator rolls out what was put back."""
        (_, operations) = self.patches[-1]
        after = operations[-1]["value"]
        whole = after if "spec" in after else template(after["app"].partition(":")[2])
        self.release["status"] |= {
            "rollout": {"policy": "p", "startedAt": "2026-01-01T00:09:00Z", "spec": {"steps": [{"weight": 100}]}},
            "candidate": {"revision": "hash-back", "version": "v1.2.2", "digest": content_digest(whole)},
        }


@pytest.fixture
def rollback(
    serve: Callable[..., Server], tidegate: Tidegate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Type `tidegate rollback checkout` in a cluster."""
    monkeypatch.setattr(going_back, "AGAIN_SECONDS", 0.0)

    def run(cluster: Cluster, *arguments: str) -> Any:
        file = tmp_path / "kubeconfig"
        context = {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "shop"}}
        clusters = [{"name": "here", "cluster": {"server": serve(cluster.answer).address}}]
        whole = {"apiVersion": "v1", "kind": "Config", "current-context": "here", "contexts": [context], "clusters": clusters}
        file.write_text(yaml.safe_dump({**whole, "users": [{"name": "me", "user": {}}]}))
        return tidegate("rollback", "checkout", *arguments, "--kubeconfig", file)

    return run


def test_template_of_a_recorded_version_is_put_back(rollback: Callable[..., Any]) -> None:
    """Given a version that a ReplicaSet still has, its whole template is written, if the Deployment is as it was seen."""
    cluster = Cluster()
    before = copy.deepcopy(cluster.deployment["spec"]["template"])

    done = rollback(cluster, "--to", "v1.2.2")

    assert 0 == done.exit_code, done.output
    ((path, operations),) = cluster.patches
    assert DEPLOYMENT == path
    assert ["test", "test", "replace"] == [one["op"] for one in operations]
    assert before == operations[1]["value"]
    assert template("v1.2.2") == operations[2]["value"]
    assert "template of Deployment checkout restored to v1.2.2 (record rel_20260101_0002)" in done.stdout
    assert [] == cluster.decisions


def test_template_that_is_nowhere_is_made_of_the_recorded_images(rollback: Callable[..., Any]) -> None:
    """Given a version without a ReplicaSet, when only images have changed since, then exactly its content is restored."""
    cluster = Cluster()

    done = rollback(cluster, "--to", "v1.2.1")

    assert 0 == done.exit_code, done.output
    ((path, operations),) = cluster.patches
    assert (DEPLOYMENT, template("v1.2.1")) == (path, operations[2]["value"])
    assert "images of Deployment checkout restored to v1.2.1 (record rel_20260101_0001); it is rolled out" in done.stdout


def test_images_alone_are_restored_only_by_who_says_so(rollback: Callable[..., Any]) -> None:
    """Given more than images that has changed since, then nothing is written, or with --images-only these, told as such."""
    cluster = Cluster()
    cluster.deployment["spec"]["template"] = template("v1.2.3", MODE="new")
    refused = rollback(cluster, "--to", "v1.2.1")
    assert (2, []) == (refused.exit_code, cluster.patches)
    assert "more than images has changed since: apply that version's manifest again; --images-only restores" in refused.stderr

    done = rollback(cluster, "--to", "v1.2.1", "--images-only", "-o", "json")

    assert 0 == done.exit_code, done.output
    written = cluster.patches[0][1][2]["value"]
    assert template("v1.2.1", MODE="new") == written
    told = json.loads(done.stdout)
    assert (content_digest(written), content_digest(template("v1.2.1"))) == (told["digest"], told["recordedDigest"])
    assert "all else of the template is as it is now" in done.stderr


@pytest.mark.parametrize(
    ("part", "mark", "tool"),
    [("annotations", "argocd.argoproj.io/tracking-id", "Argo CD"), ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux")],
)
def test_who_applies_the_deployment_is_told(rollback: Callable[..., Any], part: str, mark: str, tool: str) -> None:
    """A tool that syncs would write its own version again: the command says which, and what to do."""
    cluster = Cluster()
    cluster.deployment["metadata"][part] = {mark: "shop"}

    done = rollback(cluster, "--to", "v1.2.2")

    assert f"{tool} applies it and will write its own version again: go back in its repository as well" in done.stdout


def test_images_of_a_release_are_put_back(rollback: Callable[..., Any]) -> None:
    """Given a Release with images of its own, these are set back, as the Deployment's template is the same."""
    cluster = Cluster(images={"app": "checkout:v1.2.3"})

    done = rollback(cluster, "--to", "v1.2.2", "-o", "json")

    ((path, operations),) = cluster.patches
    assert (f"{GROUP}/releases/checkout", "/spec/images", {"app": "checkout:v1.2.2"}) == (
        path,
        operations[2]["path"],
        operations[2]["value"],
    )
    assert ("v1.2.2", "rel_20260101_0002") == ((told := json.loads(done.stdout))["toVersion"], told["record"])


def test_at_once_it_is_promoted_as_soon_as_it_starts(rollback: Callable[..., Any]) -> None:
    """With --now a decision asks for full promotion of exactly that content."""
    cluster = Cluster()

    done = rollback(cluster, "--to", "v1.2.2", "--now")

    assert 0 == done.exit_code, done.output
    (made,) = cluster.decisions
    assert ("Promote", "hash-back", content_digest(template("v1.2.2")), "back to v1.2.2") == tuple(
        made["spec"][name] for name in ("action", "revision", "digest", "reason")
    )


@pytest.mark.parametrize(
    ("keeps", "words"),
    [
        (
            {"rejected": [REJECTED]},
            (
                "it was rejected on Fri 2026-01-02 03:04 UTC and does not start until it is tried again: "
                "kubectl tidegate retry checkout -n shop; why: gate errors: 9%"
            ),
        ),
        (
            {"held": {"message": "a hold was requested", "since": "2026-01-02T03:04:00Z"}},
            "it does not start until the hold is released: kubectl tidegate resume checkout -n shop",
        ),
        (
            {"contracted": CONTRACTED},
            (
                "it does not start by itself: contract of v1.2.3 has run since Fri 2026-01-02 03:04 UTC and has removed what "
                "v1.2.2 may need; restore it first; then, to roll it out all the same: kubectl tidegate retry checkout -n shop"
            ),
        ),
        (
            {"contracted": {**CONTRACTED, "version": "green", "revisions": ["hash-v1.2.2"]}},
            "contract of green has run since Fri 2026-01-02 03:04 UTC and has removed what v1.2.2 may need; restore it first",
        ),
        (
            {"contracted": CONTRACTED, "migration": FAILED},
            "to roll it out all the same: kubectl tidegate retry checkout -n shop --version hash-v1.2.2",
        ),
        (
            {"held": {"message": "a hold was requested", "since": "2026-01-02T03:04:00Z"}, "rejected": [REJECTED]},
            (
                "it does not start until the hold is released: kubectl tidegate resume checkout -n shop; also, "
                "it was rejected on Fri 2026-01-02 03:04 UTC and does not start until it is tried again: "
                "kubectl tidegate retry checkout -n shop; why: gate errors: 9%"
            ),
        ),
        (
            {"contracted": CONTRACTED, "rejected": [REJECTED]},
            (
                "kubectl tidegate retry checkout -n shop; why: gate errors: 9%; also, it does not start by itself: contract of "
                "v1.2.3 has run since Fri 2026-01-02 03:04 UTC and has removed what v1.2.2 may need; restore it first; then, "
                "to roll it out all the same, once that is done: kubectl tidegate retry checkout -n shop"
            ),
        ),
        (
            UNREVERSED,
            (
                "it does not start: rollback of v1.3.0's migrations failed: exit code 1; to run it again: "
                "kubectl tidegate retry checkout -n shop; or take migrations.rollback out of the policy"
            ),
        ),
        (
            {**UNREVERSED, "rejected": [REJECTED], "contracted": CONTRACTED},
            (
                "all the same, once that is done: kubectl tidegate retry checkout -n shop --version hash-v1.2.2; also, it does not "
                "start: rollback of v1.3.0's migrations failed: exit code 1; to run it again, once that is done: "
                "kubectl tidegate retry checkout -n shop; or take"
            ),
        ),
        (
            {**UNREVERSED, "migration": {**UNREVERSED["migration"], "revision": "hash-v1.2.2"}, "rejected": [REJECTED]},
            (
                "or take migrations.rollback out of the policy; also, it was rejected on Fri 2026-01-02 03:04 UTC and does not "
                "start until it is tried again, once that is done: kubectl tidegate retry checkout -n shop; why: gate errors: 9%"
            ),
        ),
    ],
)
def test_what_keeps_a_restored_version_from_starting_is_told(rollback: Callable[..., Any], keeps: Json, words: str) -> None:
    """A version that was rejected since its promotion, or a hold, is named with the cure: nobody waits for a rollout in vain."""
    cluster = Cluster()
    cluster.release["status"] |= keeps
    done = rollback(cluster, "--to", "v1.2.2")
    assert 0 == done.exit_code, done.output
    assert words in done.stdout
    assert "by its policy's steps" not in done.stdout

    cluster = Cluster()
    cluster.release["status"] |= keeps
    at_once = rollback(cluster, "--to", "v1.2.2", "--now")
    assert (2, []) == (at_once.exit_code, cluster.decisions)
    assert "--now: v1.2.2 was restored and is not promoted: it " in at_once.stderr
    assert words in at_once.stderr.partition("is not promoted: ")[2]


@pytest.mark.parametrize(
    ("contracted", "waits"),
    [
        ({**CONTRACTED, "version": "v1.2.0"}, False),
        ({**CONTRACTED, "revisions": ["hash-v1.2.2"], "allowed": "hash-v1.2.2"}, False),
        (CONTRACTED, True),
    ],
)
def test_a_contract_that_keeps_nothing_out_is_not_told(rollback: Callable[..., Any], contracted: Json, waits: bool) -> None:
    """Where it was of an earlier version, or a person has let this one back, the version starts by itself, and that is said."""
    cluster = Cluster()
    cluster.release["status"] |= {"contracted": contracted}

    done = rollback(cluster, "--to", "v1.2.2")

    assert ("by its policy's steps" not in done.stdout) == waits, done.output


def test_a_reverse_that_the_policy_has_no_more_keeps_nothing_out(rollback: Callable[..., Any]) -> None:
    """Whoever has undone it by hand takes it out of the policy: the operator has no such condition then, and the version starts."""
    cluster = Cluster()
    cluster.release["status"] |= {"migration": UNREVERSED["migration"]}

    done = rollback(cluster, "--to", "v1.2.2")

    assert "by its policy's steps" in done.stdout, done.output


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"result": "Running"}, f"{ENDS_FIRST} (its output: kubectl logs job/reverse-1 -n shop)"),
        ({"result": "Pending", "job": None}, ENDS_FIRST),
        ({"result": "Running", "phase": "Expand"}, "expand of v1.3.0 has to end first (its output: kubectl logs job/reverse-1"),
    ],
)
def test_a_job_that_is_not_over_comes_first(rollback: Callable[..., Any], run: Json, words: str) -> None:
    """What the last rollout has done to the database is still being undone: that is said, and --now waits for it."""
    cluster = Cluster()
    cluster.release["status"] |= {"migration": {**UNREVERSED["migration"], "runs": [REVERSE | {"message": ""} | run]}}

    done = rollback(cluster, "--to", "v1.2.2")

    assert 0 == done.exit_code, done.output
    assert f"it is rolled out by its policy's steps; {words}" in done.stdout

    cluster = Cluster()
    cluster.release["status"] |= {"migration": {**UNREVERSED["migration"], "runs": [REVERSE | {"message": ""} | run]}}
    at_once = rollback(cluster, "--to", "v1.2.2", "--now")
    assert (0, 1) == (at_once.exit_code, len(cluster.decisions)), at_once.output


def test_images_of_a_version_that_a_contract_keeps_out_wait_too(rollback: Callable[..., Any]) -> None:
    """Its images alone, which have its name, are an earlier version as well."""
    cluster = Cluster()
    cluster.deployment["spec"]["template"] = template("v1.2.3", MODE="new")
    cluster.release["status"] |= {"contracted": CONTRACTED}

    done = rollback(cluster, "--to", "v1.2.1", "--images-only")

    assert 0 == done.exit_code, done.output
    assert "has removed what v1.2.1 may need; restore it first" in done.stdout


def test_version_in_force_is_a_decision_as_ever(rollback: Callable[..., Any]) -> None:
    """Nothing is put back: all requests go to it at once."""
    cluster = Cluster()

    done = rollback(cluster, "--to", "v1.2.3")

    assert 0 == done.exit_code, done.output
    assert ([], "Rollback", "v1.2.3") == (
        cluster.patches,
        cluster.decisions[0]["spec"]["action"],
        cluster.decisions[0]["spec"]["toVersion"],
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("never promoted", "no promotion of v1.3.0 is recorded; there are v1.2.3, v1.2.2, v1.2.1"),
        ("forged", "is not as it was written: kubectl tidegate audit verify"),
        ("no ReplicaSet", "no ReplicaSet of Deployment checkout has the content sha256:"),
        ("other template", "has changed in more than images since"),
        ("no room", "its images had no room in its record: apply that version's manifest again"),
        ("no room for the Release's", "its images had no room in its record: set spec.images of Release checkout by hand"),
        ("there already", "--to: the template is that of v1.2.2 already: kubectl tidegate status checkout -n shop"),
        ("the Release's are there already", "--to: spec.images are those of v1.2.2 already: kubectl tidegate status"),
        ("images are there already", "--to: the images are those of v1.2.2 already: kubectl tidegate status"),
        ("follows", "Release checkout follows staging: go back there"),
        ("hold", "--hold: v1.2.2 is not in force"),
        ("now", "--now: give --to a recorded version"),
    ],
)
def test_what_cannot_be_put_back_as_it_was_is_not_put_back(rollback: Callable[..., Any], case: str, words: str) -> None:
    """One line says why, and nothing is written."""
    cluster, arguments = Cluster(), ["--to", "v1.2.2"]
    match case:
        case "never promoted":
            arguments = ["--to", "v1.3.0"]
        case "forged":
            cluster.records[1]["spec"]["digest"] = cluster.records[3]["spec"]["digest"]
        case "no ReplicaSet":
            cluster.deployment["spec"]["template"] = template("v1.2.3", MODE="new")
            arguments = ["--to", "v1.2.1"]
        case "other template":
            cluster = Cluster(images={"app": "checkout:v1.2.3"})
            cluster.deployment["spec"]["template"] = template("v1.2.3", MODE="new")
        case "no room" | "no room for the Release's":
            cluster = Cluster(**({"images": {"app": "checkout:v1.2.3"}} if "Release" in case else {}))
            spec = cluster.records[1]["spec"]
            told = {"to": {"version": "v1.2.2"}, "omitted": ["from.images", "to.images"]}
            cluster.records[1] = object_of(sealed({**spec, **told}))
            cluster.sets = []
        case "there already" | "the Release's are there already":
            cluster = Cluster(**({"images": {"app": "checkout:v1.2.2"}} if "Release" in case else {}))
            cluster.deployment["spec"]["template"] = template("v1.2.2")
        case "images are there already":
            cluster.deployment["spec"]["template"] = template("v1.2.2", MODE="new")
            cluster.sets = []
            arguments.append("--images-only")
        case "follows":
            cluster = Cluster(follow={"release": "staging"})
        case "hold":
            arguments.append("--hold")
        case _:
            arguments = ["--now"]

    done = rollback(cluster, *arguments)

    assert (2, True) == (done.exit_code, words in done.stderr), done.output
    assert ([], []) == (cluster.patches, cluster.decisions)
