"""How an API server is reached, and with which credentials: from the pod's service account, or from a kubeconfig.

In a pod no more than two files have to be read. The library that knows kubeconfigs, with its plugins and providers, takes six
megabytes, and so is imported only where there is one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
"""What the kubelet sets in the environment of each container."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ClientConfigError(Exception):
    """A configuration that cannot be used; the message says why without quoting it."""


@dataclass(frozen=True)
class ClientConfig:
    """How an API server is reached.

    Attributes:
        host: its URL.
        authorization: value of the header; None for none.
        ca_file: certificates by which the server is known; None, with no `ca_data` either, for the system's.
        ca_data: likewise, as text or DER.
        cert_file: certificate of the client; None for none.
        key_file: key of that certificate.
        verify: whether the server's certificate is verified.
        server_name: name that is expected in it; None for that in the URL.
        proxy: URL of an HTTP proxy; None for none.
    """

    host: str
    authorization: str | None = None
    ca_file: str | None = None
    ca_data: str | bytes | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True
    server_name: str | None = None
    proxy: str | None = None


def in_pod() -> bool:
    """Whether the environment is that of a container in a cluster."""
    return HOST in os.environ


def from_service_account() -> ClientConfig:
    """Read how a pod reaches the API server of its own cluster.

    Raises:
        ClientConfigError: what a pod has is not there.
        OSError: a file cannot be read.
    """
    host, port = os.environ.get(HOST), os.environ.get(PORT)
    if not host or not port:
        raise ClientConfigError(f"{HOST} or {PORT} is not set")
    token, ca = SERVICE_ACCOUNT / "token", SERVICE_ACCOUNT / "ca.crt"
    for file in (token, ca):
        if not file.is_file() or not file.stat().st_size:
            raise ClientConfigError(f"{file} is empty or was not found")
    bracketed = f"[{host}]" if ":" in host else host
    return ClientConfig(f"https://{bracketed}:{port}", f"Bearer {token.read_text(encoding='utf-8').strip()}", ca_file=str(ca))


async def from_kubeconfig(path: str, context: str | None) -> ClientConfig:
    """Read a kubeconfig, which may run a plugin for credentials.

    Args:
        path: of the file, or of several joined as in `$KUBECONFIG`.
        context: context within it; None for its current one.

    Raises:
        ClientConfigError: the library says what is wrong.
        Exception: one of many, where a file is missing, or is not what it should be.
    """
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config import ConfigException, load_kube_config

    found = Configuration()
    try:
        await load_kube_config(path, context, found, persist_config=False)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        # Where a part of the file stands in the place of a name, the library quotes all of it.
        told = str(error).partition("{")[0].partition("[")[0]
        raise ClientConfigError(told if told == str(error) else f"{told}(a part of the file in the place of a name)") from None
    token = found.api_key.get("BearerToken")
    return ClientConfig(
        found.host,
        token.strip() if token else None,
        ca_file=found.ssl_ca_cert,
        ca_data=found.ca_cert_data,
        cert_file=found.cert_file,
        key_file=found.key_file,
        verify=found.verify_ssl,
        server_name=found.tls_server_name,
        proxy=found.proxy,
    )
