"""Who may let go of what a Release holds: the admission policy tidegate-guard, before real identities and the operator itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from api.audit import asked_by
from api.cluster_access import ROOT, eventually, kubectl, namespace, needs_api
from api.operator_access import NAME, SYSTEM, Scene, install, router_of, scene_in
from api.people import Person, editor, of_cluster_role, of_role, rights
from api.test_admission import deployment, image, in_force
from tidegate.cluster.errors import NotFound
from tidegate.cluster.resources import DEPLOYMENTS, RELEASES

pytestmark = [*needs_api, pytest.mark.xdist_group("guard")]

Json = dict[str, Any]
DEPLOY = ROOT / "deploy"
GUARD = DEPLOY / "admission" / "guard.yaml"
DEPUTY = DEPLOY / "admission" / "deputy.yaml"
HOLD = DEPLOY / "components" / "hold-admission" / "hold.yaml"
AUTHORS = [
    DEPLOY / folder / f"{name}.yaml"
    for name in ("changed-by", "changed-by-release")
    for folder in ("admission", "components/hold-admission")
]
OPERATOR = f"system:serviceaccount:{SYSTEM}:tidegate"
LET_GO = {"spec": {"paused": False}}
UNLABEL = {"metadata": {"labels": {"tidegate.dev/release": None}}}


def held(name: str) -> Json:
    """A Deployment as the operator keeps it while a version waits."""
    found = deployment(name)
    found["spec"]["paused"] = True
    return found


def spec_of(name: str, place: str) -> Json:
    """Return what is wanted of a Deployment."""
    spec: Json = json.loads(kubectl("get", "deployment", name, "-n", place, "-o", "json"))["spec"]
    return spec


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """A namespace in which the policy is in force, with a person who may edit it."""
    install()
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(DEPLOY / "operator" / "people.yaml"))
    with namespace("tidegate-guard") as name, in_force(GUARD, name):
        person = editor(name)
        create(person, held("probe"))
        wait_for_force(person)
        yield name


def create(person: Person, obj: Json) -> None:
    """Have a person create an object."""
    done = person.kubectl("create", "--filename=-", stdin=json.dumps(obj))
    assert done.returncode == 0, done.stderr


def wait_for_force(person: Person) -> None:
    """Wait until a held Deployment `probe` cannot be resumed, which takes the API server a few seconds."""
    eventually(
        lambda: person.patch("deployment/probe", LET_GO, "--dry-run=server").returncode, wanted=lambda code: code != 0, timeout=60
    )


@pytest.fixture(scope="module")
def person(place: str) -> Person:
    """Somebody with the built-in role `edit`."""
    return Person("editor", place)


def test_editor_may_not_resume_what_is_held_and_is_told_what_to_do(person: Person) -> None:
    """`kubectl rollout resume` is refused; the message has the command that lets the version through."""
    create(person, held("resumed"))

    done = person.kubectl("rollout", "resume", "deployment/resumed")

    assert done.returncode != 0
    assert "spec.paused: Deployment resumed is held by Release resumed, and editor may not resume it" in done.stderr
    request = f"kubectl annotate release resumed -n {person.namespace} --overwrite tidegate.dev/request=promote/$(date +%s)"
    assert request in done.stderr
    assert "or get the verb override on releases.tidegate.dev" in done.stderr
    assert spec_of("resumed", person.namespace)["paused"] is True


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (LET_GO, "spec.paused"),
        ({"spec": {"paused": None}}, "spec.paused"),
        ({"spec": {"paused": False, "replicas": 5}}, "spec.paused"),
        (UNLABEL, "metadata.labels[tidegate.dev/release]"),
        ({"metadata": {"labels": None}}, "metadata.labels[tidegate.dev/release]"),
        ({"metadata": {"labels": {"tidegate.dev/release": "another"}}}, "metadata.labels[tidegate.dev/release]"),
        (UNLABEL | LET_GO, "metadata.labels[tidegate.dev/release]"),
        (UNLABEL | image("app:2"), "metadata.labels[tidegate.dev/release]"),
        (LET_GO | {"metadata": {"labels": {"tidegate.dev/release": "another"}}}, "metadata.labels[tidegate.dev/release]"),
    ],
)
def test_no_way_around(person: Person, change: Json, field: str) -> None:
    """Neither `paused` nor the label is taken away, alone or together with something else."""
    done = person.patch("deployment/probe", change, "--dry-run=server")

    assert done.returncode != 0
    assert f"{field}: Deployment probe is " in done.stderr


def test_tools_that_replace_are_refused(person: Person) -> None:
    """Given a manifest from Git that knows neither of the label nor of the hold, a replacement would lose both, and is refused."""
    create(person, held("replaced"))
    manifest = deployment("replaced", managed=False)

    done = person.kubectl("replace", "--filename=-", stdin=json.dumps(manifest))

    assert "metadata.labels[tidegate.dev/release]: Deployment replaced is managed by Release replaced" in done.stderr


def test_tools_that_apply_are_let_through(person: Person) -> None:
    """Given the same manifest, an apply leaves label and hold as they are."""
    manifest = deployment("applied", managed=False)
    assert 0 == person.apply(manifest).returncode
    kubectl("label", "deployment", "applied", "tidegate.dev/release=applied", "-n", person.namespace)
    kubectl("rollout", "pause", "deployment/applied", "-n", person.namespace)
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"

    done = person.apply(manifest)

    assert 0 == done.returncode, done.stderr
    assert spec_of("applied", person.namespace)["paused"] is True


def test_everything_else_passes(person: Person) -> None:
    """Templates, sizes, annotations, a restart, a pause and the deletion are the editor's as ever."""
    create(person, held("free"))
    create(person, deployment("running"))

    for change in (
        image("app:2"),
        {"spec": {"replicas": 5}},
        {"metadata": {"annotations": {"note": "mine"}, "labels": {"a": "b"}}},
    ):
        done = person.patch("deployment/free", change)
        assert 0 == done.returncode, done.stderr
    commands = [
        ("scale", "deployment/free", "--replicas=1"),
        ("rollout", "restart", "deployment/running"),
        ("rollout", "pause", "deployment/running"),
        ("delete", "deployment/free", "--wait=false"),
    ]
    for command in commands:
        done = person.kubectl(*command)
        assert 0 == done.returncode, done.stderr


def test_deployment_that_no_release_has_is_its_peoples_own(person: Person) -> None:
    """Without the label, paused or not is nobody's concern; and the label may be put on."""
    stranger = deployment("stranger", managed=False)
    stranger["spec"]["paused"] = True
    create(person, stranger)

    resumed = person.kubectl("rollout", "resume", "deployment/stranger")
    labelled = person.kubectl("label", "deployment/stranger", "tidegate.dev/release=soon")

    assert [0, 0] == [resumed.returncode, labelled.returncode], resumed.stderr + labelled.stderr


def test_who_may_override_may_let_go(person: Person) -> None:
    """With the verb `override` on the Release by its name, the Deployment can be taken from it, also where the Release is gone."""
    create(person, held("stuck"))
    of_role("editor", person.namespace, rights("tidegate.dev", "releases", "override", names=("stuck",)))

    eventually(
        lambda: person.kubectl("rollout", "resume", "deployment/stuck"), wanted=lambda done: done.returncode == 0, timeout=60
    )
    freed = person.kubectl("label", "deployment/stuck", "tidegate.dev/release-")

    assert 0 == freed.returncode, freed.stderr
    assert not person.may("override", "releases.tidegate.dev/probe")
    other = person.patch("deployment/probe", LET_GO, "--dry-run=server")
    assert "Deployment probe is held by Release probe" in other.stderr


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_built_in_roles_do_not_have_the_verb(place: str, role: str) -> None:
    """`override` is bound to nobody."""
    somebody = of_cluster_role(f"somebody-{role}", place, role)
    eventually(lambda: somebody.may("get", "releases.tidegate.dev"), wanted=bool, timeout=90)

    assert not somebody.may("override", "releases.tidegate.dev")


def test_without_the_policy_the_deployment_is_free() -> None:
    """Given that Tidegate is removed with its policies while a Deployment is held, its people resume it and take the label off."""
    install()
    with namespace("tidegate-removed") as place:
        somebody = editor(place)
        create(somebody, held("probe"))
        with in_force(GUARD, place):
            wait_for_force(somebody)

        eventually(
            lambda: somebody.kubectl("rollout", "resume", "deployment/probe"), wanted=lambda done: done.returncode == 0, timeout=60
        )
        freed = somebody.kubectl("label", "deployment/probe", "tidegate.dev/release-")

    assert 0 == freed.returncode, freed.stderr


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def test_operator_passes_its_own_policies_all_life_long(scene: Scene) -> None:
    """Given all policies in force and an editor as author, a rollout with route and pin is promoted, resisted, and handed back."""
    place = scene.namespace
    with ExitStack() as policies:
        for file in (GUARD, DEPUTY, HOLD, *AUTHORS):
            policies.enter_context(in_force(file, place))
        author = await asyncio.to_thread(editor, place)
        await asyncio.to_thread(of_role, "editor", place, rights("gateway.networking.k8s.io", "httproutes", "get", "patch"))
        await asyncio.to_thread(create, author, held("probe"))
        await asyncio.to_thread(wait_for_force, author)
        await scene.policy(steps=[{"weight": 50, "hold": "4s"}, {"weight": 100}])
        await scene.deployment()
        await scene.service()
        await scene.route()
        traffic = {"service": NAME, "pinService": True, "gatewayAPI": {"httpRoutes": [{"name": NAME}]}}
        spec = {"targetRef": {"name": NAME}, "policyRef": {"name": "production"}, "images": {}, "traffic": traffic}
        release = {"apiVersion": RELEASES.api_version, "kind": "Release", "metadata": {"name": NAME}, "spec": spec}
        await asyncio.to_thread(create, author, release)
        await scene.start()
        async with router_of(scene):
            await scene.idle()
            await scene.set_image("checkout:v2")
            await scene.until(lambda status: status.get("weight") == 50)
            resumed = await asyncio.to_thread(author.kubectl, "rollout", "resume", f"deployment/{NAME}")
            unlabelled = await asyncio.to_thread(author.patch, f"deployment/{NAME}", UNLABEL)
            promoted = await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")
            await scene.idle()
            await handed_back(scene, author)
    asked = [one for one in asked_by(OPERATOR) if one.namespace == place]

    assert f"Deployment {NAME} is held by Release {NAME}" in resumed.stderr
    assert f"Deployment {NAME} is managed by Release {NAME}" in unlabelled.stderr
    assert "Promoted" == promoted["lastRollout"]["outcome"]
    assert "all steps passed" == promoted["lastRollout"]["message"]
    assert asked
    assert [] == [one for one in asked if one.status == 403]
    after = await scene.admin.get(DEPLOYMENTS.path(place, NAME))
    assert "tidegate.dev/release" not in after["metadata"].get("labels", {})
    assert "paused" not in after["spec"]
    assert "tidegate.dev/changed-by" not in after["metadata"].get("annotations", {})


async def handed_back(scene: Scene, author: Person) -> None:
    """Have the author delete the Release, and wait until it has gone."""
    done = await asyncio.to_thread(author.kubectl, "delete", "release", NAME, "--wait=false")
    assert done.returncode == 0, done.stderr
    async with asyncio.timeout(90):
        while True:
            try:
                await scene.admin.get(RELEASES.path(scene.namespace, NAME))
            except NotFound:
                return
            await asyncio.sleep(0.1)
