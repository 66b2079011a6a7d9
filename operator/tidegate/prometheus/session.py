"""The HTTP session under prometheus-api-client: bounded in time and size, without redirects, with credentials from files."""

from __future__ import annotations

import base64
import io
import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from tidegate.prometheus.answers import Cause
from tidegate.prometheus.budgets import Unread
from tidegate.prometheus.config import ConnectionConfig, FromFile
from tidegate.prometheus.dialects import of_victoria

LARGEST_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer's body that are read at most; one number needs some 200, a histogram of 20 buckets in 50 pods some 300 KB.
Where many queries were asked together and their answers are more than this, they are asked in halves."""
SMALL_ANSWER = 64 * 1024
"""Bytes of an answer that are read without waiting for others; some 250 series."""

_CAUSES: dict[int, Cause] = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Cause.QUERY,
    HTTPStatus.REQUEST_URI_TOO_LONG: Cause.QUERY,
    HTTPStatus.GATEWAY_TIMEOUT: Cause.TIME,
    HTTPStatus.FORBIDDEN: Cause.METHOD,
    HTTPStatus.NOT_FOUND: Cause.METHOD,
    HTTPStatus.METHOD_NOT_ALLOWED: Cause.METHOD,
    HTTPStatus.NOT_IMPLEMENTED: Cause.METHOD,
}
"""A proxy that lets only GET through has many ways to say so."""
_CHUNK = 64 * 1024
_SHORTEST_SECRET = 4
_LONGEST_SAID = 64 * 1024
"""Characters of the server's words that are looked through for secrets; far more than are told."""


class RefusedError(Exception):
    """The server did not answer with status 200; the message says what it did, in its own words where it has any.

    Attributes:
        cause: what it has to do with.
        status: HTTP status, where the words are the server's: they may hold what it was sent, and may be long.
    """

    def __init__(self, message: str, cause: Cause, status: int | None = None) -> None:
        super().__init__(message)
        self.cause, self.status = cause, status


class CredentialError(Exception):
    """A file with a credential cannot be used; the message names the file, never its content."""


class Credentials(AuthBase):
    """Puts credentials on a request, read from their files at that moment: a rotated secret needs no restart."""

    def __init__(self, config: ConnectionConfig) -> None:
        self._config = config

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the headers; requests calls this for every request.

        Raises:
            CredentialError: a file cannot be used.
        """
        for name, value in self._headers().items():
            request.headers[name] = value
        return request

    def redact(self, text: str) -> str:
        """Return the text without what stands in the files, and without their paths: the fields that name them stand there instead.

        Proxies are known to echo what they were sent, and whoever may read a Release need not know what is mounted where.
        """
        for path, field in sorted(_named_files(self._config).items(), key=lambda item: len(item[0]), reverse=True):
            text = text.replace(path, field)
        try:
            secrets = [*self._headers().values(), *self._secrets()]
        except CredentialError:
            return text
        # A header such as `Bearer <token>` may be echoed without its first word; very short values are tenants, not secrets.
        words = {word for secret in secrets for word in (secret, secret.split()[-1]) if len(word) >= _SHORTEST_SECRET}
        for word in sorted(words, key=len, reverse=True):
            text = text.replace(word, "***")
        return text

    def _headers(self) -> dict[str, str]:
        config = self._config
        headers = {name: secret(value.from_file) for name, value in config.headers.items() if isinstance(value, FromFile)}
        if config.bearer_token_file is not None:
            headers["Authorization"] = f"Bearer {secret(config.bearer_token_file)}"
        if config.basic_auth is not None:
            user, password = self._user(), secret(config.basic_auth.password_file)
            headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
        return headers

    def _secrets(self) -> list[str]:
        config = self._config
        paths = [config.bearer_token_file, config.basic_auth.password_file if config.basic_auth is not None else None]
        return [secret(path) for path in paths if path is not None]

    def _user(self) -> str:
        basic = self._config.basic_auth
        if basic is None:
            return ""
        return secret(basic.username_file) if basic.username_file is not None else basic.username or ""


class BoundedSession(Session):
    """A session whose requests end in time: no redirects, and a deadline and a largest size for the whole body.

    Attributes:
        victoria: whether the server that answered last is VictoriaMetrics.
    """

    def __init__(self, config: ConnectionConfig, unread: Unread) -> None:
        super().__init__()
        self.victoria = False
        self._unread = unread
        self._seconds = config.timeout.total_seconds()
        self.headers["User-Agent"] = "tidegate"
        tls = config.tls
        self.verify = False if tls.insecure_skip_verify else tls.ca_file or True
        if tls.cert_file is not None and tls.key_file is not None:
            self.cert = (tls.cert_file, tls.key_file)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send the request and read its answer.

        Raises:
            RefusedError: the status is not 200, the answer is too large, or others are being read for too long.
            TimeoutError: the body did not end in time.
            requests.RequestException, urllib3.exceptions.HTTPError: as the libraries have it.
        """
        deadline = time.monotonic() + self._seconds
        # A redirect would carry headers to a host that nobody configured.
        response = super().send(request, **{**kwargs, "stream": True, "allow_redirects": False})
        try:
            body = _read(response, deadline, self._unread)
        finally:
            response.close()
        if response.status_code != HTTPStatus.OK:
            raise _refusal(response, body)
        self.victoria = of_victoria(body)
        response.raw = io.BytesIO(body)
        return response


class NamedServerAdapter(HTTPAdapter):
    """Connections of one pool, never tried again, to a server that may be verified by another name than its address's."""

    def __init__(self, config: ConnectionConfig) -> None:
        self._server_name = config.tls.server_name
        super().__init__(pool_connections=1, pool_maxsize=config.concurrency, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002
        """Make the pools, as the base class does, with the server's name."""
        if self._server_name is not None:
            kwargs["server_hostname"] = self._server_name
        super().init_poolmanager(connections, maxsize, block=block, **kwargs)


def files_of(config: ConnectionConfig) -> tuple[object, ...]:
    """Return what changes when the TLS files change: their times, sizes and places on disk."""
    tls = config.tls
    marks: list[object] = []
    for path in (tls.ca_file, tls.cert_file, tls.key_file):
        try:
            found = Path(path).stat() if path is not None else None
        except OSError:
            found = None
        marks.append((found.st_mtime_ns, found.st_size, found.st_ino) if found is not None else None)
    return tuple(marks)


def _named_files(config: ConnectionConfig) -> dict[str, str]:
    """Return the fields that name files, by path."""
    tls, basic = config.tls, config.basic_auth
    files = {
        "bearerTokenFile": config.bearer_token_file,
        "basicAuth.passwordFile": basic.password_file if basic is not None else None,
        "basicAuth.usernameFile": basic.username_file if basic is not None else None,
        "tls.caFile": tls.ca_file,
        "tls.certFile": tls.cert_file,
        "tls.keyFile": tls.key_file,
        **{f"headers.{name}": value.from_file for name, value in config.headers.items() if isinstance(value, FromFile)},
    }
    return {path: field for field, path in files.items() if path is not None}


def secret(path: str) -> str:
    """Return what a mounted file holds, read at this moment.

    Raises:
        CredentialError: it cannot be used; the message names the file, never its content.
    """
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or type(error).__name__}"
        raise CredentialError(msg) from error
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isascii() or not text.isprintable():
        msg = f"{path} is empty or holds more than one line of printable ASCII"
        raise CredentialError(msg)
    return text


def _read(response: Response, deadline: float, unread: Unread) -> bytes:
    body = bytearray()
    # read1 returns with what has come, so a server that sends byte by byte cannot stretch the deadline.
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        if len(body) <= SMALL_ANSWER < len(body) + len(chunk):
            _wait_for(unread, deadline)
        body += chunk
        if len(body) > LARGEST_ANSWER:
            most = f"{LARGEST_ANSWER // 1024 // 1024} MiB"
            msg = f"the answer is larger than {most}: aggregate it to one number, or counters with sum by (pod) (...)"
            raise RefusedError(msg, Cause.SIZE)
        if time.monotonic() > deadline:
            raise TimeoutError
    if len(body) > SMALL_ANSWER:
        unread.take(len(body), deadline)
    return bytes(body)


def _wait_for(unread: Unread, deadline: float) -> None:
    try:
        unread.take(LARGEST_ANSWER, deadline)
    except TimeoutError:
        msg = f"{unread.most // 1024 // 1024} MiB of other answers are being read (budgets.answerBytes): ask for fewer series"
        raise RefusedError(msg, Cause.OTHER) from None


def _refusal(response: Response, body: bytes) -> RefusedError:
    """Return what the server said; its status and the kind of the error tell what it has to do with.

    https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview
    """
    status = response.status_code
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("error"):
        of_query = status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
        slow = document.get("errorType") == "timeout"
        cause = Cause.QUERY if of_query else Cause.TIME if slow else _CAUSES.get(status, Cause.OTHER)
        return RefusedError(f"Prometheus reports: {str(document['error'])[:_LONGEST_SAID]}", cause, status)
    cause = _CAUSES.get(status, Cause.OTHER)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return RefusedError(f"the server refuses the credentials (HTTP {status})", cause)
    if 300 <= status < 400:
        return RefusedError(f"the server redirects to another address (HTTP {status}): give the final address", cause)
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "unknown status"
    return RefusedError(f"the server answers {status} {phrase}, which is no answer of the Prometheus API", cause)
