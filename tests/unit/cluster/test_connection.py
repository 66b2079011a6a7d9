"""The API server is found where people expect it to be, and credentials stay fresh."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, incluster_config

from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import Connection, connect
from tidegate.cluster.errors import Unauthorized
from tidegate.cluster.resources import PODS
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.errors import Terminal
from unit.cluster.loopback import Loopback, pod, reply

POD = PODS.path("shop", "a")

# Made for this test; its key was thrown away.
SOME_CA = """\
-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUZLZkBRtddZaH79wVyXN0qtoXYbIwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHdGVzdC1jYTAgFw0yNjExMjEwOTEwMTRaGA8yMTI2MTAyODA5
MTAxNFowEjEQMA4GA1UEAwwHdGVzdC1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABJ8RvR842nV46lqNvxDJ5J/1RQdtI3M2KgnCM3fJxZ6gHnwOBCKgNQBw4IGO
dnelw9KWpdRGLOqpKJMdcvT+mpyjUzBRMB0GA1UdDgQWBBRckWgC5ZBjhTtMUWhK
PXchzV7jXDAfBgNVHSMEGDAWgBRckWgC5ZBjhTtMUWhKPXchzV7jXDAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIB6sIzsC8w/XFqBGyS7XkdXjxZHM
jPkxDCVssafzEWm2AiEAj1AdIXSONeYmH4YtOhkJDe+6vGv/OXu+G49bRc8uroM=
-----END CERTIFICATE-----
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def kubeconfig(path: Path, server: str, **user: Any) -> Path:
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
    }
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(yaml.safe_dump(content))
    return path


def expects(authorization: str, then: dict[str, Any]):
    """Answers 401 to anyone else."""

    async def answer(request: web.Request) -> web.StreamResponse:
        known = request.headers.get("Authorization") == authorization
        return await reply(then if known else {"kind": "Status", "code": 401}, status=200 if known else 401)(request)

    return answer


async def test_kubeconfig_that_is_named(tmp_path: Path, loopback: Loopback):
    """A path given wins over the environment."""
    connection = await connect(str(kubeconfig(tmp_path / "given", loopback.url, token="secret")))
    loopback.others.append(expects("Bearer secret", pod("a", 1)))

    async with Cluster(connection) as cluster:
        assert pod("a", 1) == await cluster.get(POD)


async def test_kubeconfig_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """$KUBECONFIG wins over the pod's own account and the home directory."""
    kubeconfig(tmp_path / ".kube" / "config", "http://home.test")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "env", "http://env.test/k8s/")))

    assert "http://env.test/k8s" == (await connect()).server


async def test_kubeconfig_of_the_home_directory(tmp_path: Path):
    """The last resort."""
    kubeconfig(tmp_path / ".kube" / "config", "http://home.test")

    assert "http://home.test" == (await connect()).server


async def test_service_account_of_the_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a pod, where nothing else is said."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("projected\n")
    ca.write_text(SOME_CA)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))

    connection = await connect()

    assert "https://10.0.0.1:443" == connection.server
    assert "bearer projected" == connection._authorization


@pytest.mark.parametrize("content", [None, "", "a: [", "clusters: []\n"])
async def test_nothing_usable(tmp_path: Path, content: str | None):
    """The message says where it was looked for."""
    path = tmp_path / "broken"
    if content is not None:
        path.write_text(content)

    with pytest.raises(Terminal, match="broken"):
        await connect(str(path))


async def test_rotated_token_is_read_again(loopback: Loopback):
    """The kubelet renews projected tokens; the file is read again every so often."""
    clock, tokens = ManualClock(), iter(["second"])
    connection = Connection(loading(loopback, tokens), configuration(loopback, "first"), refresh=60.0, clock=clock)
    loopback.others.append(expects("Bearer first", pod("a", 1)))
    loopback.others.append(expects("Bearer second", pod("a", 2)))

    async with Cluster(connection) as cluster:
        await cluster.get(POD)
        clock.advance(61)

        assert pod("a", 2) == await cluster.get(POD)


async def test_401_has_the_token_read_at_once(loopback: Loopback):
    """A token that was revoked early costs one repetition, also for a write."""
    clock, tokens = ManualClock(), iter(["second"])
    connection = Connection(loading(loopback, tokens), configuration(loopback, "first"), refresh=1e9, clock=clock)
    clock.advance(10)
    loopback.others.append(expects("Bearer second", {}))
    loopback.others.append(expects("Bearer second", pod("a", 2)))

    async with Cluster(connection) as cluster:
        assert pod("a", 2) == await cluster.merge_patch(POD, {"x": 1})

    assert [{"x": 1}, {"x": 1}] == loopback.bodies


async def test_401_with_nothing_new_to_offer(loopback: Loopback):
    """Credentials that cannot be renewed are not tried over and over."""
    clock, tokens = ManualClock(), iter([])
    connection = Connection(loading(loopback, tokens), configuration(loopback, "first"), refresh=1e9, clock=clock)
    clock.advance(10)
    loopback.others.append(expects("Bearer other", {}))

    async with Cluster(connection) as cluster:
        with pytest.raises(Unauthorized):
            await cluster.get(POD)

    assert 1 == len(loopback.requests)


async def test_proxy_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A kubeconfig's server is reached through the proxy that the environment names, unless it is exempt."""
    path = str(kubeconfig(tmp_path / "given", "http://api.test"))
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    assert "http://proxy.test:3128" == (await connect(path))._proxy

    monkeypatch.setenv("no_proxy", "api.test")
    assert (await connect(path))._proxy is None


def configuration(loopback: Loopback, token: str) -> Configuration:
    return Configuration(host=loopback.url, api_key={"BearerToken": f"Bearer {token}"})


def loading(loopback: Loopback, tokens: Any):
    async def load() -> Configuration:
        token = next(tokens, None)
        if token is None:
            raise ConfigException("the file is gone")
        return configuration(loopback, token)

    return load
