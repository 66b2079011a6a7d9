"""People who decide on Releases, and a namespace in which what they write is judged as in one with deploy/."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess
from typing import Any

from api.cluster_access import ROOT, eventually, install_crds, kubectl, namespace
from api.people import Person, of_role, rights
from api.test_admission import in_force

Json = dict[str, Any]
GROUP = "tidegate.dev"
DEPLOY = ROOT / "deploy"
ADMISSION, STAMPS = DEPLOY / "admission", DEPLOY / "components" / "hold-admission"
CREATE = rights(GROUP, "releasedecisions", "create")
READ = rights(GROUP, "releasedecisions", "get", "list", "watch")
MEDDLE = rights(GROUP, "releasedecisions", "get", "list", "update", "patch", "delete", "deletecollection")
QA = rights(GROUP, "releases/qa", "approve", "reject")
COMMANDS = rights(GROUP, "releases", "promote", "rollback", "pause", "resume", "retry", "reject")
VERSION = {"revision": "6f7d9c4b5c", "digest": "6f7d9c4b5c"}
PATIENCE = 60.0


def decision(action: str = "Approve", **spec: Any) -> Json:
    """A decision with a name of its own; an approval as qa, unless the test says otherwise. What is None is left out."""
    usual = {"role": "qa", **VERSION} if action == "Approve" else VERSION if action == "Override" else {}
    whole = {"release": "checkout", "action": action, **usual, **spec}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ReleaseDecision",
        "metadata": {"name": f"checkout-{uuid.uuid4()}"},
        "spec": {name: value for name, value in whole.items() if value is not None},
    }


def make(person: Person, obj: Json, *options: str) -> CompletedProcess[str]:
    """Have somebody create an object."""
    return person.kubectl("create", "--filename=-", "--output=json", *options, stdin=json.dumps(obj))


def made(person: Person, obj: Json, *options: str) -> Json:
    """The same, where it is accepted once the API server knows of rights that were given a moment ago; return the object."""
    done = eventually(lambda: make(person, obj, *options), wanted=lambda done: done.returncode == 0, timeout=PATIENCE)
    found: Json = json.loads(done.stdout)
    return found


def refused(attempt: Callable[[], CompletedProcess[str]], words: str) -> str:
    """It is refused with these words, once the API server knows likewise; return all that is said."""
    return eventually(attempt, wanted=lambda done: done.returncode != 0 and words in done.stderr, timeout=PATIENCE).stderr


def stored(place: str, name: str) -> Json:
    found: Json = json.loads(kubectl("get", "releasedecision", name, "--namespace", place, "--output=json"))
    return found


@contextmanager
def under_policies(prefix: str) -> Iterator[str]:
    """A namespace in which the policies are in force, those that write and those that judge."""
    install_crds()
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(DEPLOY / "operator" / "people.yaml"))
    judged, written = ADMISSION / "decisions.yaml", STAMPS / "decisions.yaml"
    with namespace(prefix) as name, in_force(judged, name), in_force(written, name):
        probe = of_role("probe", name, CREATE, COMMANDS)
        refused(lambda: make(probe, decision("Pause", by="mallory"), "--dry-run=server"), "spec.by: it is mallory")
        made(probe, decision("Pause"), "--dry-run=server")
        yield name


@contextmanager
def without_stamps() -> Iterator[str]:
    """Another namespace, in which names are judged and not written, as before Kubernetes 1.36."""
    with namespace("tidegate-unstamped") as name, in_force(ADMISSION / "decisions.yaml", name):
        probe = of_role("probe", name, CREATE, COMMANDS)
        refused(lambda: make(probe, decision("Pause", by="mallory"), "--dry-run=server"), "spec.by: it is mallory")
        yield name


def voter(place: str, *more: Json) -> Person:
    """Return somebody who may approve `checkout` as qa, and reject it, and has more rights if the test gives them some."""
    return of_role("ann", place, CREATE, READ, QA, *more)
