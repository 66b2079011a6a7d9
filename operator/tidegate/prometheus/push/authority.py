"""Who pushes: by a token or a client certificate, each of which the configuration binds to namespaces."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from tidegate.prometheus.push.config import PushSender
from tidegate.prometheus.session import CredentialError, secret

log = structlog.get_logger(__name__)

SHORTEST_TOKEN = 16
"""Characters of a token at least: a shorter one is guessed."""
_LONGEST_TOKEN = 1024
_SCHEME = "bearer "


class Authority:
    """Knows senders.

    Args:
        senders: those that there are.
    """

    def __init__(self, senders: Sequence[PushSender]) -> None:
        self._by_token = [one for one in senders if one.token_file is not None]
        self._by_certificate = {one.certificate: one for one in senders if one.certificate is not None}
        self._digests: dict[str, bytes] = {}
        self._failed: dict[str, str] = {}

    def reload(self) -> None:
        """Read the tokens again; a file that cannot be used lets nobody in, and is logged once."""
        found, failed = dict[str, bytes](), dict[str, str]()
        for one in self._by_token:
            try:
                token = _token(str(one.token_file))
            except CredentialError as error:
                failed[one.name] = str(error)
                continue
            found[one.name] = _digest(token)
        for name, cause in failed.items():
            if self._failed.get(name) != cause:
                log.warning("the token of a sender of pushed samples cannot be used", sender=name, cause=cause)
        self._digests, self._failed = found, failed

    def sender(self, authorization: str, certificate: Mapping[str, Any] | None) -> PushSender | None:
        """Return who sends; None where nobody knows.

        Args:
            authorization: the header of that name; empty without one.
            certificate: the client's certificate, as `ssl` gives one that was verified.
        """
        by_token = self._of_token(authorization)
        return by_token or next((self._by_certificate[one] for one in names_of(certificate) if one in self._by_certificate), None)

    def _of_token(self, authorization: str) -> PushSender | None:
        if authorization[: len(_SCHEME)].lower() != _SCHEME or len(authorization) > _LONGEST_TOKEN:
            return None
        given, found = _digest(authorization[len(_SCHEME) :].strip()), None
        # All are compared, and each whole: how long it takes tells nothing of any token.
        for one in self._by_token:
            if hmac.compare_digest(given, self._digests.get(one.name, b"")):
                found = one
        return found


def names_of(certificate: Mapping[str, Any] | None) -> Iterable[str]:
    """Return the DNS names and URIs of a certificate; its subject is no name that anybody has checked."""
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        if kind in ("DNS", "URI"):
            yield str(value)


def _token(path: str) -> str:
    token = secret(path)
    if len(token) < SHORTEST_TOKEN:
        raise CredentialError(f"{path} has fewer than {SHORTEST_TOKEN} characters")
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
