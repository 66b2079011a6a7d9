"""Files that people write: whatever stands in them, the operator starts, or says what is wrong and quotes nothing secret."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import example, given

from tidegate.cluster.connection import connect
from tidegate.controller.process.config import load
from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.session import CredentialError, Credentials
from tidegate.runtime.errors import Terminal
from unit.fuzz.effort import fuzz
from unit.fuzz.shapes import damaged, texts

SECRET = "s3cr3t-v4lu3"
CONFIG = {
    "watchNamespaces": ["shop"],
    "httpPort": 8080,
    "probePort": 8081,
    "warmUp": "2s",
    "leaderElection": {"enabled": True, "leaseDuration": "15s"},
    "connections": [
        {
            "name": "default",
            "address": "https://prometheus.example/prefix",
            "headers": {"X-Scope-OrgID": "shop", "Authorization": {"fromFile": "/etc/secret"}},
            "tls": {"caFile": "/etc/ca", "serverName": "prometheus"},
            "timeout": "5s",
        },
        {"name": "other", "address": "http://a", "basicAuth": {"username": "u", "passwordFile": "/etc/secret"}},
    ],
}
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "here",
    "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority-data": "bm8gY2VydGlmaWNhdGU="}}],
    "users": [{"name": "u", "user": {"token": SECRET, "client-certificate-data": "bm9uZQ==", "client-key-data": "bm9uZQ=="}}],
}
PLAIN = {
    **KUBECONFIG,
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": SECRET}}],
}
files = (
    st.binary(max_size=200)
    | damaged([CONFIG]).map(yaml.safe_dump).map(str.encode)
    | texts.map(lambda text: text.encode(errors="replace"))
)
kubeconfigs = damaged([KUBECONFIG, PLAIN]).map(yaml.safe_dump).map(str.encode) | st.binary(max_size=100)
authorities = st.binary(max_size=300) | texts.map(
    lambda text: f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n".encode(errors="replace")
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(autouse=True, scope="module")
def _no_other_way(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(folder))
        yield


def _refusal(take: Callable[[], object]) -> str | None:
    """Return how a file is refused; None where it is taken. Any other error is a mistake."""
    try:
        take()
    except (Terminal, CredentialError) as refusal:
        return str(refusal)
    return None


@fuzz(150)
@given(content=files)
def test_configuration_is_read_or_what_is_wrong_is_said(folder: Path, content: bytes) -> None:
    """Given a configuration file of any bytes, or one with other values in a few places, it is taken or refused in words."""
    file = folder / "config.yaml"
    file.write_bytes(content)

    said = _refusal(lambda: load(file))

    assert said is None or said.startswith(str(file))


async def _connected(file: Path) -> None:
    connection = await connect(str(file))
    async with connection.open_session():
        pass


def _with_context(context: object) -> bytes:
    return yaml.safe_dump({**PLAIN, "contexts": [{"name": "here", "context": context}]}).encode()


@fuzz(100)
@given(content=kubeconfigs)
@example(content=yaml.safe_dump(KUBECONFIG).encode())
@example(content=f"users:\n- name: u\n  user: {{token: {SECRET}: }}]".encode())
@example(content=f"users:\n- user: '{SECRET}\n".encode())
@example(content=_with_context({"cluster": "c", "user": PLAIN["users"]}))
@example(content=_with_context({"cluster": PLAIN["users"], "user": "u"}))
def test_kubeconfig_is_used_or_what_is_wrong_is_said(runner: asyncio.Runner, folder: Path, content: bytes) -> None:
    """Given a kubeconfig of any bytes, or with other values in a few places, it is used or refused, and its token never quoted."""
    file = folder / "kubeconfig"
    file.write_bytes(content)

    said = _refusal(lambda: runner.run(_connected(file)))

    assert said is None or SECRET not in said


@fuzz(60)
@given(content=authorities)
def test_authority_is_used_or_what_is_wrong_is_said(runner: asyncio.Runner, folder: Path, content: bytes) -> None:
    """Given a CA bundle of any bytes, the API server is connected to, or the bundle is refused in words."""
    bundle, file = folder / "ca.crt", folder / "kubeconfig"
    bundle.write_bytes(content)
    cluster: dict[str, Any] = {"server": "https://127.0.0.1:1", "certificate-authority": str(bundle)}
    file.write_text(yaml.safe_dump({**PLAIN, "clusters": [{"name": "c", "cluster": cluster}]}))

    said = _refusal(lambda: runner.run(_connected(file)))

    assert said is None or str(file) in said


@fuzz(60)
@given(content=st.binary(max_size=60) | texts.map(lambda text: text.encode(errors="replace")))
def test_credential_is_used_or_what_is_wrong_is_said(folder: Path, content: bytes) -> None:
    """Given a file with a token of any bytes, it makes a header of one line, or is refused without being quoted."""
    file = folder / "token"
    file.write_bytes(content)
    config = ConnectionConfig.model_validate({"name": "default", "address": "http://a", "bearerTokenFile": str(file)})
    credentials = Credentials(config)

    said = _refusal(credentials._headers)

    text = content.decode(errors="replace").strip()
    if said is None:
        header = credentials._headers()["Authorization"]
        assert header.isprintable()
        assert header == f"Bearer {text}"
        assert len(text) < 4 or text not in credentials.redact(f"echo: {header}")
    else:
        assert len(text) < 4 or text not in said
