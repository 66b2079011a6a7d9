"""A way to the API server for tests: kubectl for what people type, plain HTTP through `kubectl proxy` for many small requests."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tidegate.api.crds import KINDS
from tidegate_sandbox.cluster import ClusterInfo

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
IN_SANDBOX = bool(os.environ.get("KUBECONFIG")) and bool(os.environ.get("TIDEGATE_SANDBOX")) and bool(shutil.which("kubectl"))

needs_api = [
    pytest.mark.api,
    pytest.mark.skipif(
        not IN_SANDBOX,
        reason="no API server: KUBECONFIG and TIDEGATE_SANDBOX are not set; see `tidegate-sandbox run --parts api -- pytest`",
    ),
]


def run(*command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it said, whatever its exit status."""
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Return what kubectl says; fail the test with its complaint if it does not succeed."""
    done = run("kubectl", *arguments, stdin=stdin)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def apply(text: str) -> None:
    """Apply manifests so that it may be done again, and by several test runs at once."""
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=tidegate-tests", "-f", "-", stdin=text)


def once(what: str, do: Callable[[], None]) -> None:
    """Do to the cluster what all tests need and none undoes: once for all workers of a test run, while the others wait for it.

    Args:
        what: name of it.
        do: does it; what fails is tried again by whoever needs it next.
    """
    folder = ClusterInfo.from_environment().directory
    mark = folder / f"{what}-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    with (folder / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            do()
            mark.touch()


def install_crds() -> None:
    """Install the kinds and wait until the API server serves them."""
    once("crds", _apply_crds)


def _apply_crds() -> None:
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=tidegate-tests", "-k", str(ROOT / "crds"))
    established(*(f"crd/{kind.crd_name}" for kind in KINDS))


def established(*names: str) -> None:
    """Wait until the API server serves kinds; `kubectl wait` itself gives up on one that is so new that it has no status yet."""
    wait = ("kubectl", "wait", "--for=condition=Established", "--timeout=60s", *names)
    done = eventually(lambda: run(*wait), wanted=lambda done: "accessor error" not in done.stderr)
    assert done.returncode == 0, done.stderr


@contextmanager
def namespace(prefix: str, **labels: str) -> Iterator[str]:
    """Create a namespace of a name that nobody else has, and delete it afterwards without waiting."""
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    if labels:
        kubectl("label", "namespace", name, *(f"{key}={value}" for key, value in labels.items()))
    try:
        yield name
    finally:
        run("kubectl", "delete", "namespace", name, "--wait=false")


def eventually(look: Callable[[], T], *, wanted: Callable[[T], bool], timeout: float = 30.0) -> T:
    """Look until what is seen is what is wanted, and return it; fail with what was seen last."""
    deadline = time.monotonic() + timeout
    while not wanted(seen := look()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s; seen last: {seen}"
        time.sleep(0.2)
    return seen


@dataclass(frozen=True)
class Answer:
    """What the API server answered."""

    status: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        """Whether the request was granted."""
        return self.status < 300

    @property
    def message(self) -> str:
        """Why it was refused."""
        return str(self.body.get("message", ""))


@dataclass(frozen=True)
class Api:
    """Requests to the API server with the rights of the current kubeconfig."""

    address: str

    def request(
        self,
        method: str,
        path: str,
        body: str | dict[str, Any],
        content_type: str = "application/yaml",
        accept: str = "application/json",
    ) -> Answer:
        """Send one request; a refusal is an answer too."""
        text = body if isinstance(body, str) else json.dumps(body)
        request = urllib.request.Request(
            self.address + path,
            data=text.encode(),
            method=method,
            headers={"Content-Type": content_type, "Accept": accept},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, json.load(refusal))


@contextmanager
def api_proxy() -> Iterator[Api]:
    """Start `kubectl proxy` on a free port and stop it afterwards."""
    with subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        try:
            said = proxy.stdout.readline()
            assert "Starting to serve on" in said, said
            yield Api(f"http://{said.split()[-1]}")
        finally:
            proxy.terminate()
