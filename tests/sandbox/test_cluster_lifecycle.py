"""Sandboxes for real: they come up, they work, and nothing is left of them, whatever ends them."""

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate_sandbox import binaries

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(180)]

SANDBOX = [sys.executable, "-m", "tidegate_sandbox"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's directories of its own, so that tests do not meet each other or a sandbox that is up."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(temporary))
    return tmp_path


def sandbox(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run tidegate-sandbox and return what it said."""
    return subprocess.run([*SANDBOX, *arguments], capture_output=True, text=True, check=False, timeout=150, **options)


@contextlib.contextmanager
def cluster_up(home: Path, parts: str) -> Iterator[Path]:
    """A sandbox that is up; yields its directory."""
    answer = sandbox("up", "--parts", parts)
    try:
        assert answer.returncode == 0, answer.stderr
        yield home / "state" / "tidegate" / "sandbox" / "default"
    finally:
        sandbox("down")


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether a condition comes to hold within a time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_in(namespace: str, *, before: float = math.inf) -> list[str]:
    """The processes of a process table, by their command.

    Args:
        namespace: the table's name, which the kernel gives to another one as soon as it is gone.
        before: leave out what began later, in seconds since the host was started: it is another test's.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            began = int((process / "stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
            if began <= before and str((process / "ns" / "pid").readlink()) == namespace:
                found.append((process / "cmdline").read_bytes().decode().replace("\0", " "))
    return found


def uptime() -> float:
    """Seconds since the host was started, as the kernel dates processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_table_of(pid: int) -> str:
    """The process table that a process lives in."""
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def parent_of(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def child_of(pid: int) -> int:
    """The first child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_run_brings_a_cluster_up_and_leaves_nothing_behind(home: Path) -> None:
    """Given kwok's nodes, when a Deployment is made, then it becomes ready; the exit status is the command's own.

    What a crash left behind earlier goes too.
    """
    left_by_a_crash = home / "tmp" / "tidegate-sandbox-crashed"
    left_by_a_crash.mkdir()
    (left_by_a_crash / "lock").touch()
    os.utime(left_by_a_crash / "lock", (0, 0))
    script = """
        kubectl get --raw /readyz && kubectl create deployment web --image=any --replicas=3 &&
        kubectl rollout status deployment/web --timeout=30s && kubectl get nodes -o name &&
        kubectl create serviceaccount bob &&
        kubectl auth whoami --token="$(kubectl create token bob)" --kubeconfig=/dev/null \
            --server=https://127.0.0.1:6443 --certificate-authority="$(dirname "$TIDEGATE_SANDBOX")/tls/apiserver.crt"
        exit 7
    """
    answer = sandbox("run", "--parts", "api,controllers,kwok", "--kwok-nodes", "3", "--", "sh", "-c", script)

    assert answer.returncode == 7, answer.stderr
    assert answer.stdout.startswith("ok")
    assert "successfully rolled out" in answer.stdout
    assert [line for line in answer.stdout.splitlines() if line.startswith("node/")] == [
        "node/kwok-1",
        "node/kwok-2",
        "node/kwok-3",
    ]
    assert "system:serviceaccount:default:bob" in answer.stdout
    assert list((home / "tmp").iterdir()) == []


def test_a_person_uses_a_cluster_from_outside_and_takes_it_down(home: Path) -> None:
    """Given a sandbox that is up, then kubectl works through the relay, exec inside, and down ends everything."""
    with cluster_up(home, "api") as directory:
        namespace = process_table_of(int((directory / "pid").read_text()))
        kubeconfig = sandbox("kubeconfig").stdout.strip()
        bin_dir = json.loads(sandbox("status", "-o", "json").stdout)["cluster"]["bin_dir"]

        outside = subprocess.run(
            [f"{bin_dir}/kubectl", "get", "namespaces", "-o", "name"],
            env={**os.environ, "KUBECONFIG": kubeconfig},
            capture_output=True,
            text=True,
            check=True,
        )
        inside = sandbox("exec", "--", "sh", "-c", "kubectl get namespaces -o name; pwd; exit 9", cwd=home)
        again = sandbox("up", "--parts", "api")
        ended = uptime()
        down = sandbox("down")

    assert "namespace/kube-system" in outside.stdout
    assert inside.stdout.splitlines() == [*outside.stdout.splitlines(), str(home)]
    assert inside.returncode == 9
    assert "is up already" in again.stderr
    assert down.returncode == 0
    assert processes_in(namespace, before=ended) == []
    assert not directory.exists()
    assert sandbox("status").returncode == 1


@pytest.mark.parametrize("victim", ["launcher", "first process", "supervisor"])
def test_nothing_survives_a_killed_sandbox(home: Path, victim: str) -> None:
    """Given a sandbox that is up, when any one of its three keepers is killed, then every process of it is gone."""
    with cluster_up(home, "api") as directory:
        first = int((directory / "pid").read_text())
        namespace = process_table_of(first)
        pids = {"launcher": parent_of(first), "first process": first, "supervisor": child_of(first)}
        assert len(processes_in(namespace)) >= 4

        ended = uptime()
        os.kill(pids[victim], signal.SIGKILL)

        assert eventually(lambda: processes_in(namespace, before=ended) == [])
        assert sandbox("status").returncode == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nothing_survives_the_end_of_the_command_line(home: Path, number: signal.Signals, status: int) -> None:
    """Given `run` with a command at work, when it is killed, interrupted or told to end, then everything is gone."""
    started = home / "started"
    script = f"readlink /proc/self/ns/pid > {started}.new; mv {started}.new {started}; exec sleep 120"
    command = [*SANDBOX, "run", "--parts", "api", "--", "sh", "-c", script]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as line:
        assert eventually(started.exists, 60)
        namespace = started.read_text().strip()
        assert len(processes_in(namespace)) >= 5

        ended = uptime()
        if number is signal.SIGINT:
            # What a terminal does: the signal goes to everything in the foreground.
            os.killpg(line.pid, number)
        else:
            line.send_signal(number)

        assert line.wait(30) == status
    assert eventually(lambda: processes_in(namespace, before=ended) == [])


def test_a_part_that_fails_is_named_with_the_end_of_its_log(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an etcd that ends at once, then the exit status is 125 and the message shows what it wrote."""
    assets = home / "assets"
    shutil.copytree(binaries.ensure(["kube-apiserver", "kubectl"]), assets, symlinks=True)
    (assets / "etcd").write_text("#!/bin/sh\necho the disk is full\nexit 3\n")
    (assets / "etcd").chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))

    answer = sandbox("run", "--parts", "api", "--", "true")

    assert answer.returncode == 125
    assert "etcd ended with status 3" in answer.stderr
    assert "the disk is full" in answer.stderr


@pytest.mark.skipif(shutil.which("unshare") is None, reason="makes a refusal with the program unshare")
def test_refused_namespaces_end_in_a_clear_message(home: Path) -> None:
    """Given a user who may have no further network namespace, then `run` and `up` say which settings decide."""
    refuse = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
    surroundings = ["unshare", "--user", "--map-root-user", "sh", "-c", refuse, "sh", *SANDBOX]

    for arguments in (["run", "--parts", "api", "--", "true"], ["up", "--parts", "api"]):
        answer = subprocess.run([*surroundings, *arguments], capture_output=True, text=True, check=False, timeout=60)

        assert answer.returncode == 125
        assert "refuses the private network namespace" in answer.stderr
        assert "user.max_net_namespaces: 0" in answer.stderr


def test_a_command_that_does_not_exist_is_told_as_a_shell_would(home: Path) -> None:
    """Given a misspelt command, then the exit status is 127 and the message names it."""
    answer = sandbox("run", "--parts", "api", "--", "kubectll")

    assert answer.returncode == 127
    assert "kubectll: No such file or directory" in answer.stderr


WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{version}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web, version: {version}}}}}
  template:
    metadata:
      labels: {{app: web, version: {version}}}
      annotations: {{prometheus.io/scrape: "true"}}
    spec:
      containers:
      - name: app
        image: registry.example/web:{version}
        ports: [{{containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web-{version}}}
spec:
  selector: {{app: web, version: {version}}}
  ports: [{{port: 80, targetPort: 8080}}]
---
"""

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: contour, namespace: projectcontour}]
  rules:
  - backendRefs: [{name: web-v1, port: 80, weight: 80}, {name: web-v2, port: 80, weight: 20}]
"""


def test_traffic_flows_by_weight_and_prometheus_counts_it(home: Path) -> None:
    """Given every part and a route with weights 80 and 20, then 200 requests split like that and are counted so."""
    parts = "api,controllers,process-nodes,gateway,prometheus"
    with cluster_up(home, parts):
        urls = json.loads(sandbox("status", "-o", "json").stdout)["outside"]
        manifests = WEB.format(version="v1") + WEB.format(version="v2") + ROUTE
        applied = sandbox("exec", "--", "kubectl", "apply", "-f", "-", input=manifests)
        rolled_out = sandbox("exec", "--", "kubectl", "rollout", "status", "deployment/web-v1", "deployment/web-v2")
        assert applied.returncode == rolled_out.returncode == 0, applied.stderr + rolled_out.stderr
        assert eventually(lambda: status_of(urls["gateway"]) == 200)

        versions = [answer_of(urls["gateway"])["version"] for _ in range(200)]

        assert set(versions) == {"v1", "v2"}
        assert 130 <= versions.count("v1") <= 190
        at_envoy = 'sum(envoy_cluster_upstream_rq_total{envoy_cluster_name=~"default_web.*"})'
        at_the_pods = 'sum(http_requests_total{pod_template_hash!=""})'
        for query in (at_envoy, at_the_pods):
            assert eventually(lambda query=query: counted(urls["prometheus"], query) >= 200)  # type: ignore[misc]


def counted(prometheus: str, query: str) -> int:
    """What Prometheus answers to a query for one number; 0 while it has none."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    found = answer_of(url)["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


def status_of(url: str) -> int:
    """The HTTP status that a URL answers with; 0 without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except OSError:
        return 0


def answer_of(url: str) -> Any:
    """The JSON that a URL answers with."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def test_parts_can_be_stopped_frozen_and_started_while_the_cluster_runs(home: Path) -> None:
    """Given a running cluster, when a test takes the API server away, then it is away, and back when it says so."""
    script = """
import subprocess
from tidegate_sandbox.cluster import ClusterInfo, ControlError

def readyz():
    return subprocess.run(["kubectl", "get", "--raw=/readyz", "--request-timeout=2s"], capture_output=True).returncode

cluster = ClusterInfo.from_environment()
assert readyz() == 0
cluster.stop("kube-apiserver")
assert readyz() != 0
cluster.start("kube-apiserver")
assert readyz() == 0
cluster.freeze("kube-apiserver")
assert readyz() != 0
cluster.thaw("kube-apiserver")
assert readyz() == 0
try:
    cluster.stop("kubelet")
except ControlError as refusal:
    print(refusal)
assert any('"userAgent":"kubectl' in line for line in cluster.audit_log.open())
"""
    answer = sandbox("run", "--parts", "api", "--", sys.executable, "-c", script)

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "there is no program 'kubelet'; there are etcd, kube-apiserver\n"
