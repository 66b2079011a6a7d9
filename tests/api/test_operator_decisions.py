"""What the operator makes of decisions, with the policies and its account of deploy/, and of people who decide by commands."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from api.audit import asked_by
from api.cluster_access import ROOT, eventually, kubectl, needs_api, once, run
from api.deciders import CREATE, QA, decision, made
from api.operator_access import NAME, SYSTEM, Scene, install, scene_in, token_of
from api.people import Person, of_cluster_role, of_role, rights
from tidegate.api.base import parse_time
from tidegate.cluster.resources import RELEASE_DECISIONS, RELEASES, VALIDATING_ADMISSION_POLICY_BINDINGS
from tidegate.governance.admission import IN_FORCE, POLICY

pytestmark = [*needs_api, pytest.mark.xdist_group("operator-decisions")]

Json = dict[str, Any]
OPERATOR = f"system:serviceaccount:{SYSTEM}:tidegate"
LONG = {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}], "bake": "0s", "drain": "0s"}


def policies() -> None:
    """Install the policies of decisions for the whole cluster, under their own names: by these the operator knows them."""
    for folder in ("admission", "components/hold-admission"):
        kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "deploy" / folder / "decisions.yaml"))
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "deploy" / "operator" / "people.yaml"))


def in_force() -> None:
    """Wait until decisions that are made count: they are younger than the policies by more than some seconds."""
    path = VALIDATING_ADMISSION_POLICY_BINDINGS.plural
    made_at = kubectl("get", path, POLICY, "--output=jsonpath={.metadata.creationTimestamp}")
    since = parse_time(made_at) + IN_FORCE
    eventually(lambda: datetime.now(UTC) - since, wanted=lambda age: age > timedelta(seconds=2))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    await asyncio.to_thread(once, "decision-policies", policies)
    await asyncio.to_thread(in_force)
    async with scene_in(tmp_path) as scene:
        yield scene


async def rolled_out(scene: Scene, **config: Any) -> None:
    """Have v2 at 50%, where it stays for an hour."""
    await scene.policy(**LONG)
    await scene.deployment()
    await scene.start(**config)
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)


def releaser(scene: Scene, folder: Path) -> Path:
    """Make an account that may do what tidegate-releaser may, and view; return its kubeconfig."""
    kubectl("create", "serviceaccount", "ci", "--namespace", scene.namespace)
    for role in ("tidegate-releaser", "tidegate-view"):
        person = of_cluster_role(f"system:serviceaccount:{scene.namespace}:ci", scene.namespace, role)
    eventually(lambda: person.may("promote", f"releases.tidegate.dev/{NAME}"), wanted=bool, timeout=60)
    file = folder / "ci.kubeconfig"
    scene.proxy.kubeconfig(token_of("ci", scene.namespace), file)
    return file


async def tidegate(file: Path, scene: Scene, *arguments: str) -> CompletedProcess[str]:
    """Type a command."""
    program = ("-c", "from tidegate.cli.main import app; app()")
    return await asyncio.to_thread(
        run, sys.executable, *program, *arguments, "--kubeconfig", str(file), "--namespace", scene.namespace
    )


async def test_commands_direct_a_rollout_and_say_what_became_of_them(scene: Scene, tmp_path: Path) -> None:
    """Given a version at 50%, pause, resume and promote do so, each once, and `--wait` ends as each has taken effect."""
    await rolled_out(scene)
    file = await asyncio.to_thread(releaser, scene, tmp_path)

    paused = await tidegate(file, scene, "pause", NAME, "--reason", "lunch", "--wait", "--output", "json")
    status = await scene.status()
    resumed = await tidegate(file, scene, "resume", NAME, "--wait")
    twice = await tidegate(file, scene, "resume", NAME, "--wait")
    promoted = await tidegate(file, scene, "promote", NAME, "--wait", "--timeout", "2m")
    after = await scene.status()
    found = (await scene.admin.list(RELEASE_DECISIONS.path(scene.namespace))).items

    assert 0 == paused.returncode, paused.stderr
    told = json.loads(paused.stdout)
    assert ("Pause", "CarriedOut", f"system:serviceaccount:{scene.namespace}:ci") == (told["action"], told["outcome"], told["by"])
    assert "Paused" == status["phase"]
    assert 0 == resumed.returncode, resumed.stderr
    assert (1, True) == (twice.returncode, "does not count (Refused): the rollout is not paused" in twice.stderr)
    assert 0 == promoted.returncode, promoted.stderr
    assert ("v2", "Promoted") == (after["lastRollout"]["version"], after["lastRollout"]["outcome"])
    assert ["CarriedOut", "CarriedOut", "CarriedOut", "Refused"] == sorted(one["status"]["outcome"] for one in found)
    asked = {(one.verb, one.resource) for one in asked_by(OPERATOR) if one.namespace == scene.namespace}
    assert {("patch", "releasedecisions/status"), ("create", "localsubjectaccessreviews")} <= asked
    writes = [one for one in asked_by(OPERATOR) if one.resource == "releasedecisions/status" and one.namespace == scene.namespace]
    assert [200] * 4 == [one.status for one in writes]


async def test_rollback_is_carried_out_and_waited_for(scene: Scene, tmp_path: Path) -> None:
    """Given a version at 50%, `rollback --hold --verify` ends when it is gone and all is back, and the next one is held."""
    await rolled_out(scene)
    file = await asyncio.to_thread(releaser, scene, tmp_path)
    admin = ("--kubeconfig", os.environ["KUBECONFIG"])

    before = await tidegate(file, scene, "verify", NAME, "--timeout", "0s")
    done = await tidegate(file, scene, "rollback", NAME, "--to", "v1", "--hold", "--verify", "--timeout", "2m", "-o", "json")
    status = await scene.until(lambda status: not status.get("rollout"))
    after = [await tidegate(file, scene, "verify", "--version", "v1", *rights, "-o", "json") for rights in ((), admin)]

    assert (1, True) == (before.returncode, f"not healthy: {scene.namespace}/{NAME} (rolling out)" in before.stderr)
    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout)
    assert [("Rollback", "CarriedOut")] == [(one["action"], one["outcome"]) for one in told["decisions"]]
    found = [one for whole in (told["verified"], *(json.loads(one.stdout) for one in after)) for one in whole]
    assert [(NAME, "healthy", "v1", 2, 2, 100)] * 3 == [
        tuple(one[field] for field in ("release", "verdict", "version", "podsReady", "podsWanted", "weight")) for one in found
    ]
    assert "RolledBack" == status["lastRollout"]["outcome"]
    assert status["held"]


async def test_right_that_was_taken_away_does_not_count(scene: Scene) -> None:
    """Given a promotion that was decided while no operator ran, and whose author has lost the right since, it is refused."""
    await rolled_out(scene)
    person = await asyncio.to_thread(
        of_role,
        "leaver",
        scene.namespace,
        rights("tidegate.dev", "releasedecisions", "create"),
        rights("tidegate.dev", "releases", "promote"),
    )
    await scene.operator.end()
    uid = (await scene.admin.get(RELEASES.path(scene.namespace, NAME)))["metadata"]["uid"]
    name = (await asyncio.to_thread(made, person, decision("Promote", releaseUID=uid)))["metadata"]["name"]
    await asyncio.to_thread(kubectl, "delete", "rolebinding", "leaver-leaver", "--namespace", scene.namespace)
    await asyncio.to_thread(eventually, lambda: person.may("promote", f"releases.tidegate.dev/{NAME}"), wanted=lambda may: not may)

    await scene.start()
    told = await outcome(scene, name)
    status = await scene.status()

    assert "Refused" == told["outcome"]
    assert "leaver" in told["message"]
    assert 50 == status["weight"]


async def outcome(scene: Scene, name: str, after: str | None = None) -> Json:
    """Wait until it is told what became of a decision, or something else than it said before."""
    async with asyncio.timeout(60):
        while True:
            found = (await scene.admin.get(RELEASE_DECISIONS.path(scene.namespace, name))).get("status") or {}
            if found.get("outcome") not in (None, after):
                return dict(found)
            await asyncio.sleep(0.1)


async def test_replayed_decision_does_not_count(scene: Scene) -> None:
    """Given a decision on a Release that was deleted and made again under its name, it is refused, with its uid and without."""
    await scene.policy(**LONG)
    await scene.deployment()
    first = await scene.release()
    person = await asyncio.to_thread(of_cluster_role, "boss", scene.namespace, "tidegate-releaser")
    named = await asyncio.to_thread(made, person, decision("Pause", releaseUID=first["metadata"]["uid"]))
    nameless = await asyncio.to_thread(made, person, decision("Pause"))
    await scene.admin.delete(RELEASES.path(scene.namespace, NAME))
    await scene.release()
    await scene.start()

    told = [await outcome(scene, one["metadata"]["name"]) for one in (named, nameless)]

    assert ["Refused", "Refused"] == [one["outcome"] for one in told]
    assert "it is for a Release of this name that was deleted since" in told[0]["message"]
    assert "is not younger than the Release" in told[1]["message"]


async def test_annotation_can_be_switched_off(scene: Scene) -> None:
    """With `requests: Decisions`, an annotation promotes nothing, and says which command does; it still takes traffic away."""
    await rolled_out(scene, requests="Decisions")
    path = RELEASES.path(scene.namespace, NAME)

    def annotated(request: str) -> Json:
        return {"metadata": {"annotations": {"tidegate.dev/request": request}}}

    await scene.admin.merge_patch(path, annotated("promote/1"), manager="person")
    refused = await scene.until(lambda status: status.get("handledRequest") == "promote/1")
    events = (await scene.events("RequestRefused"))["RequestRefused"]
    await scene.admin.merge_patch(path, annotated("rollback/2"), manager="person")
    after = await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")

    assert (50, 1) == (refused["weight"], events)
    assert "RolledBack" == after["lastRollout"]["outcome"]


def test_person_without_rights_is_told(tmp_path: Path) -> None:
    """The commands have no right beyond those of whoever types them."""
    person = Person("stranger", "default")

    done = person.kubectl("create", "--filename=-", stdin=json.dumps(decision("Promote")))

    assert 'User "stranger" cannot create resource "releasedecisions"' in done.stderr


ASKS = {
    "steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}],
    "bake": "0s",
    "drain": "0s",
    "approvals": [{"at": "Start", "roles": {"qa": 1}}],
}


async def approve(scene: Scene, person: Person, **more: Any) -> str:
    """Have somebody approve what the Release shows as wanted; return the name of the decision."""
    release = await scene.admin.get(RELEASES.path(scene.namespace, NAME))
    wanted = release["status"]["wanted"]
    about = {"releaseUID": release["metadata"]["uid"], "revision": wanted["revision"], "digest": wanted["digest"]} | more
    return str((await asyncio.to_thread(made, person, decision(**about)))["metadata"]["name"])


async def said_of(scene: Scene, name: str) -> str | None:
    """Return what is told of a decision by now."""
    found = await scene.admin.get(RELEASE_DECISIONS.path(scene.namespace, name))
    return (found.get("status") or {}).get("outcome")


async def test_vote_that_counted_says_when_its_time_is_over(scene: Scene) -> None:
    """Given a vote that counts for some seconds while another one is missing, it says that it counts, and then that it is over."""
    await scene.policy(**ASKS | {"approvals": [{"at": "Start", "roles": {"qa": 2}}]})
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: status.get("phase") == "Waiting")
    ann = await asyncio.to_thread(of_role, "ann", scene.namespace, CREATE, QA)

    short = await approve(scene, ann, expires="15s")
    first = await outcome(scene, short)
    last = await outcome(scene, short, after="Counted")

    assert ("Counted", "Expired") == (first["outcome"], last["outcome"])
    assert "its time (spec.expires) is over" == last["message"]
    assert first["at"] < last["at"]


async def test_vote_lets_exactly_its_version_through(scene: Scene) -> None:
    """Given v2 that waits for qa, a vote for other content opens nothing, one for v2 starts it, and v3 waits for its own."""
    await scene.policy(**ASKS)
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")
    waits = await scene.until(lambda status: status.get("phase") == "Waiting")
    ann = await asyncio.to_thread(of_role, "ann", scene.namespace, CREATE, QA)

    other = await approve(scene, ann, digest=f"sha256:{'0' * 64}")
    own = await approve(scene, ann)
    started = await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)
    await scene.set_image("checkout:v3")
    again = await scene.until(lambda status: status.get("phase") == "Waiting")

    command = f"kubectl tidegate approve checkout -n {scene.namespace} --role qa"
    assert f"v2 waits for 1 more approval by role qa (0 of 1 given): {command}" in waits["message"]
    assert ("Approval", "v2") == (waits["waitingFor"][0]["barrier"], waits["wanted"]["version"])
    assert (waits["wanted"]["digest"], "v2") == (started["candidate"]["digest"], started["candidate"]["version"])
    assert ("Counted", None) == (await said_of(scene, own), await said_of(scene, other))
    assert "v3 waits for 1 more approval by role qa (0 of 1 given)" in again["message"]


async def test_pipeline_attests_what_its_check_came_to(scene: Scene, tmp_path: Path) -> None:
    """Given a policy with a check, the version waits while CI's own account attests Failed, and goes on when it attests Passed.

    The account has the right to attest in one role, and no vote: what it attests in another role is refused by the API server.
    """
    scan = {"name": "scan", "at": "50%", "attested": {"role": "ci"}}
    steps = [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "1h"}, {"weight": 100}]
    await scene.policy(steps=steps, bake="0s", drain="0s", checks=[scan])
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()
    file = await asyncio.to_thread(pipeline, scene, tmp_path)
    attest = ("attest", NAME, "--check", "scan", "--role", "ci")

    await scene.set_image("checkout:v2")
    waits = await scene.until(lambda status: [one["barrier"] for one in status.get("waitingFor") or ()] == ["Check"])
    other = await tidegate(file, scene, "attest", NAME, "--check", "scan", "--role", "security", "--result", "passed")
    failed = await tidegate(file, scene, *attest, "--result", "failed", "--url", "https://ci.example/7", "--wait")
    still = await scene.until(lambda status: "attested Failed" in status.get("message", ""))
    passed = await tidegate(file, scene, *attest, "--result", "passed", "--wait", "--output", "json")
    await scene.until(lambda status: status.get("weight") == 50)
    found = (await scene.admin.list(RELEASE_DECISIONS.path(scene.namespace))).items

    command = f"kubectl tidegate attest {NAME} -n {scene.namespace} --check scan --role ci --result Passed"
    assert command == waits["waitingFor"][0]["how"]
    assert (2, 20) == (other.returncode, still["weight"])
    assert (0, 0) == (failed.returncode, passed.returncode), failed.stderr + passed.stderr
    assert ("Attest", "Counted") == (json.loads(passed.stdout)["action"], json.loads(passed.stdout)["outcome"])
    assert ", https://ci.example/7" in still["message"]
    outcomes = {one["spec"]["result"]: one["status"]["outcome"] for one in found}
    assert {"Failed": "Superseded", "Passed": "Counted"} == outcomes


def pipeline(scene: Scene, folder: Path) -> Path:
    """Make the account of a pipeline, which may see Releases and attest as ci; return its kubeconfig."""
    kubectl("create", "serviceaccount", "pipeline", "--namespace", scene.namespace)
    account = f"system:serviceaccount:{scene.namespace}:pipeline"
    of_cluster_role(account, scene.namespace, "tidegate-view")
    person = of_role(account, scene.namespace, CREATE, rights("tidegate.dev", "releases/ci", "attest"))
    asked = ("auth", "can-i", "attest", f"releases.tidegate.dev/{NAME}", "--subresource=ci")
    eventually(lambda: person.kubectl(*asked), wanted=lambda done: done.stdout.strip() == "yes", timeout=60)
    file = folder / "pipeline.kubeconfig"
    scene.proxy.kubeconfig(token_of("pipeline", scene.namespace), file)
    return file
