"""The port for pushed samples, as the operator's configuration opens it: who may push for which namespaces, and how much."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from tidegate.api.base import Duration
from tidegate.api.gate import Name
from tidegate.prometheus.config import Bytes, FilePath, Text, _Part, _some


class PushSender(_Part):
    """Somebody who may push.

    Attributes:
        name: what it is called in metrics and logs.
        namespaces: for whose pods it may push; every other series is dropped.
        token_file: file with its token, for `Authorization: Bearer`.
        certificate: a name in its client certificate, a DNS name or a URI.
    """

    name: Name
    namespaces: Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=1000), AfterValidator(_some)]
    token_file: FilePath | None = None
    certificate: Text | None = None

    @model_validator(mode="after")
    def _by_one(self) -> PushSender:
        if (self.token_file is None) == (self.certificate is None):
            msg = "give exactly one of tokenFile and certificate"
            raise ValueError(msg)
        return self


class PushTLS(_Part):
    """The certificate of the port, and who signs those of senders.

    Attributes:
        cert_file: file with the certificate.
        key_file: file with its key.
        client_ca_file: file with the authorities of client certificates; None where nobody has one.
    """

    cert_file: FilePath
    key_file: FilePath
    client_ca_file: FilePath | None = None


class PushConfig(_Part):
    """The port.

    Attributes:
        host: address to listen on.
        port: the port; 0 takes a free one.
        tls: certificate and key; None for plain HTTP, which `plain_http` has to allow.
        plain_http: whether tokens and samples may come in clear, as where a mesh encrypts them.
        senders: who may push.
        bytes_per_request: longest body as it comes, compressed.
        unpacked_bytes_per_request: the same unpacked.
        concurrency: requests that are read at once; one sender has at most half of them, rounded up, and as many are
            kept for the first requests of others.
        timeout: longest time for a request.
    """

    host: str = "0.0.0.0"  # noqa: S104 - samples come from outside the pod
    port: Annotated[int, Field(ge=0, le=65535)] = 8082
    tls: PushTLS | None = None
    plain_http: bool = False
    senders: Annotated[tuple[PushSender, ...], Field(strict=False, min_length=1, max_length=64)]
    bytes_per_request: Annotated[Bytes, Field(le=16 * 2**20)] = 2**19
    unpacked_bytes_per_request: Annotated[Bytes, Field(le=64 * 2**20)] = 2**21
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    timeout: Annotated[Duration, Field(ge=timedelta(milliseconds=100), le=timedelta(seconds=30))] = timedelta(seconds=5)

    @model_validator(mode="after")
    def _safe(self) -> PushConfig:
        names = [one.name for one in self.senders]
        if len(set(names)) < len(names):
            msg = "senders: more than one has the same name"
            raise ValueError(msg)
        if self.tls is None and not self.plain_http:
            msg = "give tls, or plainHttp: true where a mesh encrypts what is pushed"
            raise ValueError(msg)
        if any(one.certificate for one in self.senders) and (self.tls is None or self.tls.client_ca_file is None):
            msg = "senders with a certificate need tls.clientCaFile"
            raise ValueError(msg)
        certificates = [one.certificate for one in self.senders if one.certificate]
        if len(set(certificates)) < len(certificates):
            msg = "senders: more than one has the same certificate"
            raise ValueError(msg)
        return self
