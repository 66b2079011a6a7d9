"""Brings up etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

They are the real programs, since what Tidegate rests on (adoption, admission, field ownership) is theirs and a stand-in would agree
with us.
"""

import asyncio
import base64
import secrets
import textwrap
from pathlib import Path

import yaml

from tidegate_sandbox.apiclient import answering
from tidegate_sandbox.cluster import API_PORT, ETCD_PEER_PORT, ETCD_PORT, Layout
from tidegate_sandbox.sandbox import API_URL, Sandbox

SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc.cluster.local"

CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "namespace-controller",
    # Takes the taint not-ready off a new node: without it nothing is ever scheduled.
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
)
"""Those that a release can meet. Every controller that is left out saves its watches and a share of the start."""

AUTOSCALER_SECONDS = 3.0
"""How often a HorizontalPodAutoscaler looks at its metrics."""

_SCHEDULER_PORT = 10259

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# SEC 1, appendix C.4: ECPrivateKey { version 1, privateKey, [0] OID prime256v1 }. The public key is optional.
_EC_KEY_HEAD = bytes.fromhex("30310201010420")
_EC_KEY_TAIL = bytes.fromhex("a00a06082a8648ce3d030107")

PEOPLE = ("developer", "qa", "release-manager")
"""Users without any right, for what people with rights of their own are to try."""


async def start_api(sandbox: Sandbox) -> None:
    """Bring up etcd and the API server, and write the kubeconfig.

    Raises:
        PartError: one of them did not come up.
    """
    prepare(sandbox.layout, sandbox.token)
    await asyncio.gather(_start_etcd(sandbox), _start_apiserver(sandbox))


async def start_controllers(sandbox: Sandbox) -> None:
    """Bring up the controllers and the scheduler.

    Raises:
        PartError: one of them did not come up.
    """
    await asyncio.gather(_start_controller_manager(sandbox), _start_scheduler(sandbox))


def prepare(layout: Layout, token: str) -> None:
    """Write the keys, tokens and policies that the API server starts with."""
    layout.tls.mkdir(exist_ok=True)
    _write_secret(_service_account_key(layout), new_signing_key())
    masters = {
        "admin": token,
        "system:kube-controller-manager": f"{token}-controller-manager",
        "system:kube-scheduler": f"{token}-scheduler",
    }
    lines = [f'{user_token},{user},{user},"system:masters"' for user, user_token in masters.items()]
    lines += [f"{person_token(token, who)},{who},{who}" for who in PEOPLE]
    _write_secret(_tokens(layout), "\n".join(lines) + "\n")
    (layout.directory / "audit-policy.yaml").write_text(_AUDIT_POLICY)


def person_token(token: str, who: str) -> str:
    """Return the token of one of `PEOPLE`, who may do nothing until somebody binds them a role."""
    return f"{token}-person-{who}"


def new_signing_key() -> str:
    """Return a new P-256 private key as PEM: what the API server signs ServiceAccount tokens with."""
    number = 1 + secrets.randbelow(_P256_ORDER - 1)
    encoded = base64.b64encode(_EC_KEY_HEAD + number.to_bytes(32, "big") + _EC_KEY_TAIL).decode()
    body = "\n".join(textwrap.wrap(encoded, 64))
    return f"-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n"


def kubeconfig(server: str, token: str, ca_file: Path) -> str:
    """Return a kubeconfig, as YAML, with the authority's certificate in it."""
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "admin"}}],
        "current-context": "sandbox",
    }
    return yaml.safe_dump(content, sort_keys=False)


async def _start_etcd(sandbox: Sandbox) -> None:
    url, peer_url = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PEER_PORT}"
    arguments = [
        f"--data-dir={sandbox.layout.directory / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",
        # The only member waits for one election timeout before it leads: a tenth of the default.
        "--heartbeat-interval=10",
        "--election-timeout=100",
    ]

    await sandbox.run("etcd", arguments, answering(f"{url}/health"))


async def _start_apiserver(sandbox: Sandbox) -> None:
    layout = sandbox.layout
    key = _service_account_key(layout)
    arguments = [
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        "--bind-address=127.0.0.1",
        f"--secure-port={API_PORT}",
        "--advertise-address=127.0.0.1",
        f"--cert-dir={layout.tls}",
        f"--token-auth-file={_tokens(layout)}",
        "--authorization-mode=RBAC",
        # Would refuse every pod whose namespace has no ServiceAccount yet, and all pods where no controllers run.
        "--disable-admission-plugins=ServiceAccount",
        # As hardened clusters have it: an owner may be set only by who may delete the object, and may block deletion only by leave.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        f"--service-account-issuer={SERVICE_ACCOUNT_ISSUER}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        # Would write the loopback address into the endpoints of the Service kubernetes, which validation refuses.
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        f"--audit-log-path={layout.audit_log}",
        f"--audit-policy-file={layout.directory / 'audit-policy.yaml'}",
    ]

    async def ready() -> str | None:
        if not layout.ca_file.exists():
            return "it has not written its certificate yet"
        return await sandbox.api.answering("/readyz")()

    await sandbox.run("kube-apiserver", arguments, ready)
    layout.kubeconfig.touch(mode=0o600)
    layout.kubeconfig.write_text(kubeconfig(API_URL, sandbox.token, layout.ca_file))


async def _start_controller_manager(sandbox: Sandbox) -> None:
    layout = sandbox.layout
    arguments = [
        f"--kubeconfig={_component_kubeconfig(sandbox, 'controller-manager')}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--service-account-private-key-file={_service_account_key(layout)}",
        f"--root-ca-file={layout.ca_file}",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        # Autoscalers that look five times as often, and scale down within a test's patience.
        f"--horizontal-pod-autoscaler-sync-period={AUTOSCALER_SECONDS:g}s",
        "--horizontal-pod-autoscaler-downscale-stabilization=10s",
    ]
    # Made by one of its controllers: the proof that they are at work.
    account = sandbox.api.answering("/api/v1/namespaces/default/serviceaccounts/default")
    await sandbox.run("kube-controller-manager", arguments, account)


async def _start_scheduler(sandbox: Sandbox) -> None:
    configuration = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {
            "kubeconfig": str(_component_kubeconfig(sandbox, "scheduler")),
            "qps": 300,
            "burst": 600,
        },
        "leaderElection": {"leaderElect": False},
    }
    path = sandbox.layout.directory / "scheduler.yaml"
    path.write_text(yaml.safe_dump(configuration))
    arguments = [f"--config={path}", "--bind-address=127.0.0.1", f"--secure-port={_SCHEDULER_PORT}"]
    await sandbox.run("kube-scheduler", arguments, answering(f"https://127.0.0.1:{_SCHEDULER_PORT}/readyz"))


def _component_kubeconfig(sandbox: Sandbox, component: str) -> Path:
    path = sandbox.layout.directory / f"kubeconfig.{component}"
    _write_secret(path, kubeconfig(API_URL, f"{sandbox.token}-{component}", sandbox.layout.ca_file))
    return path


def _service_account_key(layout: Layout) -> Path:
    return layout.tls / "service-account.key"


def _tokens(layout: Layout) -> Path:
    return layout.tls / "tokens.csv"


def _write_secret(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)
