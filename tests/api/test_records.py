"""ReleaseRecords on a real API server: the operator writes one for each rollout, and nobody else writes, changes or deletes any."""

from __future__ import annotations

import asyncio
import copy
import json
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from api.audit import asked_by
from api.cluster_access import ROOT, eventually, install_crds, kubectl, namespace, needs_api, once
from api.operator_access import NAME, SYSTEM, Scene, install, scene_in
from api.people import Person, of_cluster_role, of_role, rights
from api.test_admission import in_force
from tidegate.api.base import format_time
from tidegate.cluster.resources import RELEASE_RECORDS
from tidegate.governance.records import name_of, sealed, verify

pytestmark = [*needs_api, pytest.mark.xdist_group("records")]

Json = dict[str, Any]
OPERATOR = f"system:serviceaccount:{SYSTEM}:tidegate"
POLICY = ROOT / "deploy" / "admission" / "records.yaml"
GROUP = "tidegate.dev"
PLAIN = rights(GROUP, "releaserecords", "get", "list", "create", "update", "patch", "delete", "deletecollection")
QUICK = {"steps": [{"weight": 50, "hold": "1s"}, {"weight": 100}], "bake": "0s", "drain": "0s"}
PATIENCE = 60.0


def record(place: str, number: int = 1, **more: Any) -> Json:
    """Return a record as the operator makes it."""
    at = "2026-01-02T03:04:05.000Z"
    spec = (
        {"id": f"rel_20260102_030{number}", "number": number, "checkpoint": 1, "release": "checkout", "releaseUID": "uid-1"}
        | {"namespace": place, "from": {"version": "v1"}, "to": {"version": "v2"}, "seenAt": at, "startedAt": at, "endedAt": at}
        | {"outcome": "Promoted", "cause": "Promoted"}
        | more
    )
    metadata = {"name": name_of("checkout", "uid-1", number)}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "ReleaseRecord", "metadata": metadata, "spec": sealed(spec)}


def make(person: Person, obj: Json) -> CompletedProcess[str]:
    return person.kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(obj))


def refused(person: Person, *arguments: str, words: str, stdin: str | None = None) -> str:
    """It is refused with these words, once the API server knows of the rights and the policy."""
    done = eventually(
        lambda: person.kubectl(*arguments, stdin=stdin),
        wanted=lambda done: done.returncode != 0 and words in done.stderr,
        timeout=PATIENCE,
    )
    return done.stderr


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    """A namespace in which the policy is in force."""
    install_crds()
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "deploy" / "operator" / "people.yaml"))
    with namespace("tidegate-records") as name, in_force(POLICY, name):
        yield name


@pytest.fixture(scope="module")
def keeper(place: str) -> Person:
    """Somebody who may do what the operator may."""
    return of_role("keeper", place, rights(GROUP, "releaserecords", "get", "list", "create", "update", "patch", "delete", "keep"))


def kept(keeper: Person, obj: Json) -> Json:
    """Have a record written; return it as it is stored."""
    done = eventually(lambda: make(keeper, obj), wanted=lambda done: done.returncode == 0, timeout=PATIENCE)
    found: Json = json.loads(done.stdout)
    return found


@pytest.mark.undeployed
def test_nobody_without_the_verb_keep_writes_changes_or_deletes(place: str, keeper: Person) -> None:
    """Neither who has every plain verb, nor who administers the namespace; who has `keep` besides does, but never changes one."""
    found = kept(keeper, record(place))
    name, meddler = found["metadata"]["name"], of_role("meddler", place, PLAIN)
    admin = of_cluster_role("boss", place, "tidegate-admin")

    words = "a record is written by the operator alone, and stays"
    refused(meddler, "create", "--filename=-", words=words, stdin=json.dumps(record(place, 2)))
    refused(meddler, "label", "releaserecord", name, "x=y", words=words)
    refused(meddler, "delete", "releaserecord", name, "--wait=false", words=words)
    refused(meddler, "delete", "releaserecords", "--all", "--wait=false", words=words)
    refused(admin, "delete", "releaserecord", name, "--wait=false", words="cannot delete resource")
    change = '{"spec": {"outcome": "RolledBack"}}'
    refused(keeper, "patch", "releaserecord", name, "--type=merge", f"--patch={change}", words="a record is never changed")
    owned = record(place, 3)
    owned["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}]
    refused(keeper, "create", "--filename=-", words="neither owners nor finalizers", stdin=json.dumps(owned))
    done = eventually(
        lambda: keeper.kubectl("delete", "releaserecord", name), wanted=lambda done: done.returncode == 0, timeout=PATIENCE
    )
    assert 0 == done.returncode


@pytest.mark.undeployed
def test_a_record_is_stored_as_it_was_written(place: str, keeper: Person) -> None:
    """Given every field, with letters of all kinds, the API server adds nothing and takes nothing, so the hash still holds."""
    at = "2026-01-02T03:04:05.678Z"
    whole = record(
        place,
        7,
        previous=f"sha256:{'0' * 64}",
        checkpoint=2147483647,
        course=[{"step": 1, "weight": 50, "at": at}, {"step": 0, "weight": 0, "at": at}],
        gates=[{"name": "errors", "verdict": "Fail", "canary": "0.052", "message": "5.2% \u2014 e\u0301\u00e9 \U0001f600 <&>"}],
        authors=[{"name": "cleo", "claimed": False}],
        decisions=[{"action": "Approve", "by": "ann", "at": at, "role": "qa"}],
        decisionsOmitted=3,
        movedWith=["orders"],
        omitted=["from.images", "gates.limit"],
        hotfix={"by": "ann", "decision": "d1", "skipped": ["Window"]},
        to={"version": "v2", "images": {"app": "checkout:v2"}},
        exposedAt=at,
        undoAt=at,
        digest=f"sha256:{'a' * 64}",
        environment="production",
        type="hotfix",
    )

    found = kept(keeper, whole)

    assert whole["spec"] == found["spec"]
    assert 1 == found["metadata"]["generation"]
    table = kubectl("get", "rr", whole["metadata"]["name"], "--namespace", place)
    assert ["checkout", "7", "v1", "v2", "hotfix", "Promoted"] == table.splitlines()[1].split()[1:7]


@pytest.mark.undeployed
def test_a_namespace_that_goes_takes_its_records_along() -> None:
    """The namespace controller has no verb `keep`, and gets its namespaces empty all the same."""
    with namespace("tidegate-records-gone") as name, in_force(POLICY, name):
        keeper = of_role("keeper", name, rights(GROUP, "releaserecords", "get", "create", "keep"))
        made = kept(keeper, record(name))["metadata"]["name"]
        cleaner = of_role("cleaner", name, rights(GROUP, "releaserecords", "delete"))
        words = "a record is written by the operator alone"
        refused(cleaner, "delete", "releaserecord", made, "--wait=false", "--dry-run=server", words=words)
        kubectl("delete", "namespace", name, "--wait=false")
        eventually(
            lambda: cleaner.kubectl("delete", "releaserecord", made, "--wait=false", "--ignore-not-found").returncode,
            wanted=lambda code: code == 0,
            timeout=PATIENCE,
        )
        eventually(
            lambda: kubectl("get", "namespaces", "--output=name", "--field-selector", f"metadata.name={name}").strip(),
            wanted=lambda left: left == "",
            timeout=PATIENCE,
        )


def policies() -> None:
    """Install the policy for the whole cluster under its own name."""
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(POLICY))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    await asyncio.to_thread(once, "record-policies", policies)
    async with scene_in(tmp_path) as scene:
        yield scene


async def found_in(scene: Scene, number: int) -> list[Json]:
    """Return all records once there are so many."""
    path = RELEASE_RECORDS.path(scene.namespace)
    for _ in range(300):
        items: list[Json] = (await scene.admin.list(path)).items
        if len(items) >= number:
            break
        await asyncio.sleep(0.1)
    return sorted(items, key=lambda one: one["spec"]["number"])


async def test_operator_writes_one_record_for_each_rollout(scene: Scene) -> None:
    """Two promotions under its own account: one create each, a chain whose head the status has, and retention that verifies.

    The commit that the Deployment names is the first one's, and not that of the second, which was left there.
    """
    committed = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    await scene.policy(**QUICK)
    await scene.deployment()
    await scene.start(recordsKept=1)
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2", committed=committed.astimezone(timezone(timedelta(hours=2))).isoformat())
    await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")
    (first,) = await found_in(scene, 1)
    await scene.set_image("checkout:v3")
    await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v3")
    await scene.until(lambda status: status["records"]["number"] == 2 and not status["records"].get("pending"))
    records = await found_in(scene, 1)
    status = await scene.status()

    assert ("v1", "v2", "Promoted") == (first["spec"]["from"]["version"], first["spec"]["to"]["version"], first["spec"]["outcome"])
    assert [2] == [one["spec"]["number"] for one in records]
    told = [(one["spec"]["committedAt"], one["spec"].get("commitIgnored")) for one in (first, *records)]
    assert [(format_time(committed), None), (format_time(committed), "NotNewer")] == told
    assert format_time(committed) == status["stable"]["committedAt"]
    assert first["spec"]["hash"] == records[0]["spec"]["previous"]
    assert status["records"]["hash"] == records[0]["spec"]["hash"]
    assert [] == verify(records)
    changed = copy.deepcopy(records)
    changed[0]["spec"]["outcome"] = "RolledBack"
    assert ["changed"] == [one.fault.value for one in verify(changed)]
    asked = [one for one in asked_by(OPERATOR) if one.resource == "releaserecords" and one.namespace == scene.namespace]
    assert ["create", "create", "delete", "list"] == sorted(one.verb for one in asked)


async def test_operator_that_is_killed_writes_no_second_record(scene: Scene) -> None:
    """Given an operator that is killed as soon as the end of a rollout is stored, there is one record after its restart."""
    await scene.policy(**QUICK)
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: (status.get("records") or {}).get("number") == 1)
    await scene.operator.end(signal.SIGKILL)
    await scene.start()
    await scene.until(lambda status: not status["records"].get("pending"))

    records = await found_in(scene, 1)

    assert [(1, NAME)] == [(one["spec"]["number"], one["spec"]["release"]) for one in records]
    assert [] == verify(records)
