"""What a sandbox is made of, where its things lie, and how a program finds its way around in one.

A program that runs inside (``tidegate-sandbox run -- CMD`` and ``tidegate-sandbox exec -- CMD``) reads::

    from tidegate_sandbox.cluster import ClusterInfo

    cluster = ClusterInfo.from_environment()
    cluster.api_url  # https://127.0.0.1:6443
    cluster.kubeconfig  # admin; also in $KUBECONFIG
    cluster.token, cluster.ca_file  # the same for HTTP clients that take no kubeconfig
    cluster.gateway_url  # where Envoy serves the routes of the Gateway projectcontour/contour; None without that part
    cluster.envoy_admin_url  # Envoy's own numbers: /stats/prometheus, /clusters, /config_dump
    cluster.prometheus_url  # None without that part
    cluster.audit_log  # JSON lines; one per request of anybody, with user and userAgent
    cluster.log("contour")  # what a program wrote
    cluster.node_names  # fake nodes, then process nodes
    cluster.bin_dir  # kubectl and the other programs; also first in $PATH
    cluster.stop("prometheus"), cluster.start("prometheus")  # for tests of what happens without it
    cluster.freeze("prometheus"), cluster.thaw("prometheus")  # ... and of what happens when it hangs

Everything listens on loopback addresses of the sandbox's own network, always on the same ports.
"""

import json
import os
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

FAILED = 125
"""Exit status of a sandbox that did not come up; a command's own status is passed on."""
PARTS = ("api", "controllers", "kwok", "process-nodes", "gateway", "prometheus")
"""What a caller may choose from. ``api`` is part of every sandbox."""

ENVIRONMENT_VARIABLE = "TIDEGATE_SANDBOX"
"""Names the state file, for programs that run inside."""

API_PORT = 6443
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
GATEWAY_PORT = 8080
ENVOY_ADMIN_PORT = 6995
PROMETHEUS_PORT = 9090
CONTROL_PORT = 6990

GATEWAY_NAMESPACE = "projectcontour"
GATEWAY_NAME = "contour"
GATEWAY_CLASS = "contour"

_PROXY_VARIABLES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


class NoSandboxError(Exception):
    """There is no running sandbox where one was expected."""


class ControlError(Exception):
    """The sandbox could not do what was asked of it; the message says why."""


@dataclass(frozen=True)
class ClusterSpec:
    """What to bring up.

    Attributes:
        parts: names out of :data:`PARTS`.
        kwok_nodes: number of fake nodes, where the part ``kwok`` is chosen.
        process_nodes: number of nodes whose pods are local processes, where that part is chosen.
        scrape_seconds: how often Prometheus scrapes, in seconds.
        images: file that maps images to local programs, for the process nodes; by default the node agent's own.
    """

    parts: tuple[str, ...] = PARTS
    kwok_nodes: int = 2
    process_nodes: int = 1
    scrape_seconds: float = 1.0
    images: str | None = None

    def __post_init__(self) -> None:
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown:
            raise ValueError(f"unknown part {unknown[0]!r}; the parts are {', '.join(PARTS)}")

    def programs(self) -> set[str]:
        """Return the names of the programs that the parts need."""
        of_part = {
            "api": {"etcd", "kube-apiserver", "kubectl"},
            "controllers": {"kube-controller-manager", "kube-scheduler"},
            "kwok": {"kwok"},
            "process-nodes": set[str](),
            "gateway": {"contour", "envoy"},
            "prometheus": {"prometheus"},
        }
        return of_part["api"].union(*(of_part[part] for part in self.parts))


@dataclass(frozen=True)
class Layout:
    """The files of one sandbox, below one directory."""

    directory: Path

    @property
    def state(self) -> Path:
        """State of the sandbox, as JSON."""
        return self.directory / "state.json"

    @property
    def plan(self) -> Path:
        """What the launcher was asked to bring up, as JSON."""
        return self.directory / "plan.json"

    @property
    def lock(self) -> Path:
        """Locked for as long as the sandbox lives."""
        return self.directory / "lock"

    @property
    def pid(self) -> Path:
        """Process id of the sandbox's first process, as seen from outside."""
        return self.directory / "pid"

    @property
    def kubeconfig(self) -> Path:
        """For programs inside the sandbox's network."""
        return self.directory / "kubeconfig"

    @property
    def outer_kubeconfig(self) -> Path:
        """For programs outside of it, through the relay."""
        return self.directory / "kubeconfig.outside"

    @property
    def tls(self) -> Path:
        """Certificates and keys of the API server."""
        return self.directory / "tls"

    @property
    def ca_file(self) -> Path:
        """The authority that signed the API server's certificate."""
        return self.tls / "apiserver.crt"

    @property
    def audit_log(self) -> Path:
        """Audit log of the API server."""
        return self.directory / "audit.log"

    @property
    def logs(self) -> Path:
        """One file per program."""
        return self.directory / "logs"

    @property
    def log_of_supervisor(self) -> Path:
        """What the sandbox itself has to say, where nobody sees its standard error."""
        return self.directory / "supervisor.log"

    @property
    def temporary(self) -> Path:
        """For the temporary files of the sandbox's own programs."""
        return self.directory / "tmp"

    @property
    def kept(self) -> Path:
        """Marks a directory that is left behind for a person to read."""
        return self.directory / "kept"

    def log(self, program: str) -> Path:
        """Return the log file of a program."""
        return self.logs / f"{program}.log"

    def environment(self, bin_dir: Path) -> dict[str, str]:
        """Return the environment of a process inside: the caller's, with the way to this cluster."""
        # There is no way out of the sandbox's network, so a proxy could only be in the way.
        inherited = {name: value for name, value in os.environ.items() if name.lower() not in _PROXY_VARIABLES}
        path = [str(bin_dir), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        return inherited | {
            "KUBECONFIG": str(self.kubeconfig),
            # kubectl remembers a server's kinds by its address, and all sandboxes have the same.
            "KUBECACHEDIR": str(self.directory / "kubectl-cache"),
            ENVIRONMENT_VARIABLE: str(self.state),
            "PATH": os.pathsep.join(path),
        }


@dataclass(frozen=True)
class ClusterInfo:
    """A running sandbox, for the programs inside it.

    Attributes:
        directory: where its files lie.
        parts: what it was brought up with.
        api_url: the API server.
        token: bearer token of a user in the group system:masters.
        kubeconfig: the same as a file for kubectl and client libraries.
        ca_file: authority that signed the API server's certificate.
        audit_log: JSON lines of the API server's audit log, level Metadata, one per completed request.
        bin_dir: holds kubectl and the other programs.
        node_names: fake nodes, then process nodes.
        gateway_url: where Envoy serves the Gateway's routes; None without the part ``gateway``.
        envoy_admin_url: Envoy's administration endpoint; None without the part ``gateway``.
        prometheus_url: None without the part ``prometheus``.
    """

    directory: Path
    parts: tuple[str, ...]
    api_url: str
    token: str
    kubeconfig: Path
    ca_file: Path
    audit_log: Path
    bin_dir: Path
    node_names: tuple[str, ...] = ()
    gateway_url: str | None = None
    envoy_admin_url: str | None = None
    prometheus_url: str | None = None

    @classmethod
    def from_environment(cls) -> Self:
        """Return the sandbox that this process runs in.

        Raises:
            NoSandboxError: ``TIDEGATE_SANDBOX`` is not set, or names no sandbox.
        """
        path = os.environ.get(ENVIRONMENT_VARIABLE)
        if not path:
            raise NoSandboxError(f"{ENVIRONMENT_VARIABLE} is not set: run this with `tidegate-sandbox run -- ...`")
        return cls.load(Path(path))

    @classmethod
    def load(cls, state: Path) -> Self:
        """Return the sandbox that a state file describes.

        Raises:
            NoSandboxError: there is no such file, or its sandbox has not come up.
        """
        try:
            fields: dict[str, Any] = json.loads(state.read_text())["cluster"]
        except (FileNotFoundError, KeyError):
            raise NoSandboxError(f"no sandbox is up at {state.parent}") from None
        paths = {name: Path(fields[name]) for name in ("directory", "kubeconfig", "ca_file", "audit_log", "bin_dir")}
        lists = {name: tuple(fields[name]) for name in ("parts", "node_names")}
        return cls(**{**fields, **paths, **lists})

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    def log(self, program: str) -> Path:
        """Return the log file of a program: etcd, kube-apiserver, contour, ..."""
        return Layout(self.directory).log(program)

    def stop(self, program: str) -> None:
        """Kill a program of the sandbox at once and leave it down; returns when it is gone.

        Raises:
            ControlError: there is no such program, or the sandbox is not there any more.
        """
        self._control("stop", program)

    def start(self, program: str) -> None:
        """Start a program that was stopped or has ended; returns when it is ready.

        Raises:
            ControlError: there is no such program, or it did not become ready.
        """
        self._control("start", program)

    def freeze(self, program: str) -> None:
        """Have a program hang: its connections stay open and it answers nothing, until :meth:`thaw`.

        Raises:
            ControlError: there is no such program, or the sandbox is not there any more.
        """
        self._control("freeze", program)

    def thaw(self, program: str) -> None:
        """Have a frozen program go on.

        Raises:
            ControlError: there is no such program, or the sandbox is not there any more.
        """
        self._control("thaw", program)

    def _control(self, action: str, program: str) -> None:
        try:
            with socket.create_connection(("127.0.0.1", CONTROL_PORT)) as connection:
                connection.sendall(json.dumps({"action": action, "program": program}).encode() + b"\n")
                answer = connection.makefile().readline()
        except OSError as error:
            raise ControlError(f"the sandbox does not answer: {error}") from error
        complaint = json.loads(answer)["error"] if answer else "the sandbox ended"
        if complaint:
            raise ControlError(complaint)
