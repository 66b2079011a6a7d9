"""Another cluster beside the sandbox's: an API server of its own, in the same etcd below another prefix, and nothing else."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from api.cluster_access import ROOT, eventually, run
from tidegate_sandbox.cluster import ETCD_PORT, ClusterInfo
from tidegate_sandbox.controlplane import kubeconfig, new_signing_key

Json = dict[str, Any]
TOKEN = "administrator-of-west"
SYSTEM = "tidegate-system"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:tidegate-reader"


class SecondCluster:
    """An API server that can be stopped and started again.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"https://127.0.0.1:{free.getsockname()[1]}"
        (folder / "service-account.key").write_text(new_signing_key())
        (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        (folder / "audit.yaml").write_text(
            yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]})
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        key = self.folder / "service-account.key"
        arguments = [
            f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
            f"--etcd-prefix=/{self.folder.name}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.url.rpartition(':')[2]}",
            f"--cert-dir={self.folder / 'tls'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://west.example",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            f"--audit-log-path={self.folder / 'audit.log'}",
            f"--audit-policy-file={self.folder / 'audit.yaml'}",
        ]
        with (self.folder / "apiserver.log").open("ab") as log:
            program = ClusterInfo.from_environment().bin_dir / "kube-apiserver"
            self._process = subprocess.Popen([str(program), *arguments], stdout=log, stderr=log)
        eventually((self.folder / "tls" / "apiserver.crt").exists, wanted=bool, timeout=60)
        self.write_kubeconfig(TOKEN, self.folder / "admin")
        ready = ("kubectl", "--kubeconfig", str(self.folder / "admin"), "get", "--raw", "/readyz")
        eventually(lambda: run(*ready), wanted=lambda done: done.returncode == 0, timeout=60)

    def stop(self) -> None:
        """Kill it: it closes no connection in good order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def write_kubeconfig(self, token: str, path: Path) -> Path:
        """Write a kubeconfig for whoever has a token."""
        path.write_text(kubeconfig(self.url, token, self.folder / "tls" / "apiserver.crt"))
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl says; fail the test with its complaint if it does not succeed."""
        done = run("kubectl", "--kubeconfig", str(self.folder / "admin"), *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self) -> None:
        """Install Tidegate's kinds and the account that reads, as an administrator there does."""
        self.kubectl("create", "namespace", SYSTEM)
        self.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
        self.kubectl("apply", "--server-side", "-k", str(ROOT / "deploy" / "reader"))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/releases.tidegate.dev")

    def reader(self, path: Path) -> Path:
        """Write a kubeconfig of that account."""
        return self.write_kubeconfig(
            self.kubectl("-n", SYSTEM, "create", "token", "tidegate-reader", "--duration=2h").strip(), path
        )

    def asked(self) -> set[tuple[str, str]]:
        """Return by verb and resource what that account has asked for."""
        events = map(json.loads, (self.folder / "audit.log").read_text().splitlines())
        own = (event for event in events if event["user"]["username"] == ACCOUNT)
        return {(event["verb"], event.get("objectRef", {}).get("resource", event["requestURI"])) for event in own}


@contextmanager
def second_cluster(folder: Path) -> Iterator[SecondCluster]:
    """Run another cluster, in which Tidegate's kinds and its reader are installed, until the tests are over."""
    (place := folder / f"west-{uuid.uuid4().hex[:8]}").mkdir()
    cluster = SecondCluster(place)
    try:
        cluster.start()
        cluster.install()
        yield cluster
    finally:
        cluster.stop()
