"""A kubeconfig by which another cluster is read. What it may say is bounded, for it is made by the people of that cluster.

So it must not make the operator run a program, send files of its own (the token of its ServiceAccount stands in one), or believe a
server that nobody has verified. What is wrong is said by field and cause, without a value: among them are credentials.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config_from_dict

from tidegate.api.wrong import not_yaml
from tidegate.cluster.connection import KUBECONFIG_REFRESH, UNREADABLE, Connection, proxy_from_environment, words_of

LARGEST = 64 * 1024
"""Bytes of a kubeconfig. To read one takes a second for each 50 kB at worst, and one cluster with its certificates takes ten."""
LARGEST_FILE = 1024 * 1024
"""Bytes of each file that it names: as much as a Secret may have."""

_RUNS = ("exec", "auth-provider")
"""Fields by which a program would be run, or another server be asked for a token."""
_CLUSTER = ("server", "certificate-authority", "certificate-authority-data", "tls-server-name", "proxy-url")
_USER = ("token", "tokenFile", "client-certificate", "client-certificate-data", "client-key", "client-key-data")
_WITHOUT_EFFECT = ("extensions", "disable-compression")
_FILES = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}
"""Fields that name a file, and those that have its content instead."""


class _Loader(yaml.SafeLoader):
    """Reads YAML without merge keys: nine of them in a row make a billion entries out of 400 bytes."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave a merge key where it stands, where it is a key of no known tag."""


class KubeconfigError(ConfigException):
    """A kubeconfig cannot be used; the message names the field and the cause, and no values."""


def read(path: Path) -> dict[str, Any]:
    """Return what a kubeconfig says of the context in force, with the content of each file that it names in the place of the name.

    Args:
        path: of the kubeconfig. Files that it names count only where they lie in the same folder, as keys of one Secret do.

    Raises:
        KubeconfigError: it cannot be read, or says something that is refused.
    """
    document = _parsed(path)
    context = _named(document, "context", str(document.get("current-context") or ""))
    cluster = _named(document, "cluster", str(context.get("cluster") or ""))
    user = _named(document, "user", str(context.get("user") or ""))
    _refuse(cluster, user)
    entries = {"cluster": _whole("cluster", cluster, path.parent), "user": _whole("user", user, path.parent)}
    return {
        "current-context": "there",
        "contexts": [{"name": "there", "context": {"cluster": "there", "user": "there"}}],
        **{f"{kind}s": [{"name": "there", kind: entry}] for kind, entry in entries.items()},
    }


def place_of(found: Mapping[str, Any]) -> tuple[str, str]:
    """Return the server that a kubeconfig leads to, and by which name its certificate is verified."""
    cluster = found["clusters"][0]["cluster"]
    return str(cluster["server"]), str(cluster.get("tls-server-name") or "")


async def place_by(path: Path) -> tuple[str, str]:
    """Return where a kubeconfig leads. It is read in a thread: however long that takes, nobody waits for it.

    Args:
        path: of the kubeconfig.

    Raises:
        KubeconfigError: it cannot be used.
    """
    return place_of(await asyncio.to_thread(read, path))


async def connect_by(path: Path) -> Connection:
    """Return the connection to the cluster of a kubeconfig. New credentials in the file count; another server in it does not.

    Args:
        path: of the kubeconfig.

    Raises:
        KubeconfigError: it cannot be used.
    """
    place = await place_by(path)

    async def load() -> Configuration:
        found = await asyncio.to_thread(read, path)
        if place_of(found) != place:
            # Or what the one server is to be shown would be shown to the other.
            raise KubeconfigError("cluster.server: is another one now")
        configuration = Configuration()
        await load_kube_config_from_dict(found, None, configuration)  # type: ignore[no-untyped-call]
        return configuration

    try:
        configuration = await load()
        proxy = configuration.proxy or proxy_from_environment(configuration.host)
        return Connection(load, configuration, refresh=KUBECONFIG_REFRESH, proxy=proxy)
    except KubeconfigError:
        raise
    except UNREADABLE as error:
        # What is left to be wrong are certificates that are none, and keys that do not fit.
        raise KubeconfigError(f"the certificates or the key: {words_of(error)}") from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(_content(path, LARGEST).decode(), _Loader)  # noqa: S506 - a safe one
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    except RecursionError:
        problem = "is nested too deeply"
    except (yaml.YAMLError, ValueError, LookupError) as error:
        problem = not_yaml(error)
    else:
        if isinstance(found, dict):
            return found
        problem = "must be a map"
    # Not chained: the parser's own error quotes the text.
    raise KubeconfigError(problem) from None


def _content(path: Path, largest: int) -> bytes:
    """Read a file, as far as one of this kind may be long; what is no plain file is not waited for."""
    try:
        if not path.is_file():
            raise KubeconfigError("no such file" if not path.exists() else "is not a file")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise KubeconfigError(f"cannot be read: {error.strerror or type(error).__name__}") from None
    if len(content) > largest:
        raise KubeconfigError(f"has more than {largest} bytes")
    return content


def _named(document: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    """Return the context, cluster or user of a name."""
    entries = document.get(f"{kind}s")
    for entry in entries if isinstance(entries, list) else ():
        if name and isinstance(entry, Mapping) and entry.get("name") == name and isinstance(entry.get(kind), Mapping):
            found: Mapping[str, Any] = entry[kind]
            return found
    asked = "current-context" if kind == "context" else f"context.{kind}"
    raise KubeconfigError(f"{asked}: names nothing in {kind}s")


def _refuse(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    """Refuse what would run a program, verify nothing, or have an effect that is not known here."""
    for field in _RUNS:
        if field in user:
            words = "no program is run, and no other server asked, for a token: give token, tokenFile or a client certificate"
            raise KubeconfigError(f"user.{field}: {words}")
    if cluster.get("insecure-skip-tls-verify"):
        raise KubeconfigError("cluster.insecure-skip-tls-verify: must not be true: the server must be verified")
    for kind, entry, known in (("cluster", cluster, _CLUSTER), ("user", user, _USER)):
        if any(field not in (*known, *_WITHOUT_EFFECT, "insecure-skip-tls-verify") for field in entry):
            raise KubeconfigError(f"{kind}: may have no fields but {', '.join(known)}")
        for field in known:
            if field in entry and not (isinstance(entry[field], str) and entry[field].strip()):
                raise KubeconfigError(f"{kind}.{field}: must be text")
            if field.endswith("-data") and field in entry and not _is_base64(entry[field]):
                raise KubeconfigError(f"{kind}.{field}: is not base64")
    if (wrong := _wrong_address(str(cluster.get("server") or ""), ("https",))) is not None:
        raise KubeconfigError(f"cluster.server: {wrong}")
    if "proxy-url" in cluster and (wrong := _wrong_address(cluster["proxy-url"], ("http", "https"))) is not None:
        raise KubeconfigError(f"cluster.proxy-url: {wrong}")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return False
    return True


def _wrong_address(address: str, schemes: tuple[str, ...]) -> str | None:
    """Say what is wrong with an address, without quoting it: it may hold a password."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in schemes or not host or not address.isprintable() or " " in address:
        return f"must be an address that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    return "must not contain user or password" if "@" in parts.netloc else None


def _whole(kind: str, entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return an entry in which no field names a file."""
    found = {field: value for field, value in entry.items() if field not in (*_WITHOUT_EFFECT, "tokenFile", *_FILES)}
    for field, instead in _FILES.items():
        if field in entry and instead not in entry:
            found[instead] = base64.standard_b64encode(_beside(kind, field, entry[field], folder)).decode()
    if "tokenFile" in entry and "token" not in entry:
        token = _beside(kind, "tokenFile", entry["tokenFile"], folder)
        if not token.isascii() or not token.strip():
            raise KubeconfigError(f"{kind}.tokenFile: the file has no token")
        found["token"] = token.decode().strip()
    return found


def _beside(kind: str, field: str, name: str, folder: Path) -> bytes:
    """Return the content of a file that a kubeconfig names: none but those that lie beside it, whatever links lead where."""
    try:
        path, beside = (folder / name).resolve(), folder.resolve()
    except (ValueError, RuntimeError, OSError):
        raise KubeconfigError(f"{kind}.{field}: is no name of a file") from None
    if not path.is_relative_to(beside):
        raise KubeconfigError(f"{kind}.{field}: must name a file in the folder of the kubeconfig")
    try:
        return _content(path, LARGEST_FILE)
    except KubeconfigError as error:
        raise KubeconfigError(f"{kind}.{field}: {error}") from None
