"""A kubeconfig of another cluster: what counts of it, and what it may not make the operator do."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.cluster.kubeconfig import LARGEST, KubeconfigError, connect_by, place_of, read
from unit.cluster.test_connection import SOME_CA

SERVER = "https://west.example:6443"
SECRET = "do-not-tell"
"""What must not stand in any message."""
PEM = base64.b64encode(SOME_CA.encode()).decode()


def written(path: Path, *, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any) -> Path:
    """Write a kubeconfig that is as it should be but for what is given."""
    content = {
        "current-context": "west",
        "contexts": [{"name": "west", "context": {"cluster": "c", "user": "u"}}, {"name": "other", "context": {}}],
        "clusters": [{"name": "c", "cluster": {"server": SERVER, "certificate-authority-data": PEM} | (cluster or {})}],
        "users": [{"name": "u", "user": {"token": SECRET} if user is None else user}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content | more))
    return path


def refused(path: Path) -> str:
    """Return why a kubeconfig cannot be used."""
    with pytest.raises(KubeconfigError) as caught:
        read(path)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_the_context_in_force_counts_and_nothing_else(tmp_path: Path) -> None:
    """One cluster and one user, whatever else the file has."""
    found = read(written(tmp_path / "west"))

    assert place_of(found) == (SERVER, "")
    assert [one["user"] for one in found["users"]] == [{"token": SECRET}]


def test_files_beside_it_count_as_what_they_hold(tmp_path: Path) -> None:
    """A Secret is mounted as links to a folder that is exchanged as a whole; its keys may be files of each other."""
    real = tmp_path / "..2026_11_30"
    user = {"tokenFile": "token", "client-certificate": "tls.crt", "client-key": str(tmp_path / "tls.key")}
    written(real / "kubeconfig", cluster={"certificate-authority": "ca.crt"}, user=user)
    for name in ("token", "ca.crt", "tls.crt", "tls.key"):
        (real / name).write_text(f"{name}\n")
    (tmp_path / "..data").symlink_to(real.name)
    for name in ("kubeconfig", "token", "ca.crt", "tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")

    found = read(tmp_path / "kubeconfig")

    (user_of,) = (one["user"] for one in found["users"])
    assert user_of == {
        "token": "token",
        "client-certificate-data": base64.b64encode(b"tls.crt\n").decode(),
        "client-key-data": base64.b64encode(b"tls.key\n").decode(),
    }
    assert "certificate-authority" not in found["clusters"][0]["cluster"]
    assert found["clusters"][0]["cluster"]["certificate-authority-data"] == PEM


@pytest.mark.parametrize("field", ["tokenFile", "client-certificate", "client-key"])
@pytest.mark.parametrize("way", ["absolute", "above", "link"])
def test_a_file_elsewhere_is_not_read(tmp_path: Path, field: str, way: str) -> None:
    """Or the operator's own token would be shown to whatever server the kubeconfig names."""
    own = tmp_path / "serviceaccount" / "token"
    own.parent.mkdir()
    own.write_text(SECRET)
    folder = tmp_path / "west"
    folder.mkdir()
    (folder / "link").symlink_to(own)
    name = {"absolute": str(own), "above": "../serviceaccount/token", "link": "link"}[way]

    found = refused(written(folder / "kubeconfig", user={field: name}))

    assert found == f"user.{field}: must name a file in the folder of the kubeconfig"


RUN = "no program is run, and no other server asked, for a token: give token, tokenFile or a client certificate"
HTTPS = "must be an address that begins with https://"


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({}, {"exec": {"command": SECRET}}, f"user.exec: {RUN}"),
        ({}, {"auth-provider": {"name": SECRET}}, f"user.auth-provider: {RUN}"),
        (
            {"insecure-skip-tls-verify": True},
            None,
            "cluster.insecure-skip-tls-verify: must not be true: the server must be verified",
        ),
        ({"server": "http://west.example"}, None, f"cluster.server: {HTTPS}"),
        ({"server": ""}, None, "cluster.server: must be text"),
        ({"server": f"https://admin:{SECRET}@west.example"}, None, "cluster.server: must not contain user or password"),
        ({"server": "https://west.example:port"}, None, f"cluster.server: {HTTPS}"),
        ({"server": ["https://west.example"]}, None, "cluster.server: must be text"),
        ({"proxy-url": f"socks5://{SECRET}"}, None, "cluster.proxy-url: must be an address that begins with http:// or https://"),
        ({"certificate-authority-data": f"{SECRET}!"}, None, "cluster.certificate-authority-data: is not base64"),
        ({SECRET: "x"}, None, "cluster: may have no fields but server, certificate-authority, "),
        ({}, {"username": "admin", "password": SECRET}, "user: may have no fields but token, tokenFile, "),
        ({}, {"token": SECRET, "as": "system:admin"}, "user: may have no fields but token, tokenFile, "),
        ({}, {"tokenFile": "none"}, "user.tokenFile: no such file"),
        ({}, {"tokenFile": "."}, "user.tokenFile: is not a file"),
        ({}, {"tokenFile": "a\0b"}, "user.tokenFile: is no name of a file"),
    ],
)
def test_what_is_refused_is_said_by_its_field(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any] | None, words: str
) -> None:
    """Programs, servers that are not verified, and whatever has an effect that is not known here."""
    assert refused(written(tmp_path / "west" / "kubeconfig", cluster=cluster, user=user)).startswith(words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("", "must be a map"),
        (f"a: [{SECRET}", "is not YAML (line 1, column 16"),
        (b"\xff\xfe", "is not UTF-8 text"),
        ("[" * 5000, "is nested too deeply"),
        ("kind: Config", "current-context: names nothing in contexts"),
        ("current-context: other\ncontexts: [{name: other, context: {}}]", "context.cluster: names nothing in clusters"),
        ("x" * (LARGEST + 1), f"has more than {LARGEST} bytes"),
    ],
)
def test_a_file_that_is_none_is_said_without_its_text(tmp_path: Path, content: str | bytes | None, words: str) -> None:
    """Whatever stands in it may be a credential."""
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    assert refused(path).startswith(words)


def test_merge_keys_are_not_merged(tmp_path: Path) -> None:
    """Thirteen of them would take all the memory that there is, out of 700 bytes."""
    lines = ["a0: &a0 {k: v}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 13))]
    path = tmp_path / "kubeconfig"
    path.write_text("\n".join(lines))

    assert refused(path) == "is not YAML (line 2, column 10: could not determine a constructor for the tag)"


async def test_nobody_waits_for_a_kubeconfig_to_be_read(tmp_path: Path) -> None:
    """What may be said in as many bytes as there may be takes a second to read: the operator goes on meanwhile."""
    path, turns = tmp_path / "kubeconfig", 0
    path.write_text("a: [" + "[]," * (LARGEST // 3 - 2) + "]")

    async def go_on() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(go_on())
    with pytest.raises(KubeconfigError, match="current-context"):
        await connect_by(path)
    task.cancel()

    assert turns > 10


async def test_new_credentials_count_and_another_server_does_not(tmp_path: Path) -> None:
    """A token that was renewed is used; it is shown to no server but the one that the connection was made to."""
    connection = await connect_by(written(tmp_path / "west"))
    assert (connection.server, connection._authorization) == (SERVER, f"Bearer {SECRET}")

    written(tmp_path / "west", user={"token": "second"})
    await connection._renew(older_than=-1)
    assert connection._authorization == "Bearer second"

    written(tmp_path / "west", cluster={"server": "https://elsewhere.example"}, user={"token": "third"})
    await connection._renew(older_than=-1)
    assert connection._authorization == "Bearer second"


async def test_certificates_that_are_none_are_said(tmp_path: Path) -> None:
    """Base64 of something else."""
    path = written(tmp_path / "west", cluster={"certificate-authority-data": base64.b64encode(b"none").decode()})

    with pytest.raises(KubeconfigError, match=r"^the certificates or the key: "):
        await connect_by(path)
