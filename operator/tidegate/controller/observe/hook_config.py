"""Hooks that checks may call, and by which flags may be set, as the operator's configuration has them: secrets by file only."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from tidegate.api.gate import Name
from tidegate.prometheus.config import TLS, FilePath, FromFile, WebAddress
from tidegate.runtime.addresses import is_closed

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]++")

FlagPattern = Annotated[str, Field(max_length=129, pattern=r"^([A-Za-z0-9][A-Za-z0-9._/-]*\*?|\*)$")]
"""Key of a flag, or how keys begin with `*` behind it."""

_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*+|[0-9]++")


class HookConfig(BaseModel):
    """Something that checks may call, or by which flags may be set.

    Attributes:
        address: its URL, to which a check adds a path.
        headers: of each request, by name; each value is the one line of a mounted file.
        tls: how its server is verified, and the client's certificate.
        namespaces: whose Releases may call it for checks. All others are closed.
        flags: whose Releases may set which flags by it, by namespace. All others are closed: what a check asks with the operator's
            credentials changes nothing, and a flag does.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )

    address: WebAddress
    headers: Annotated[dict[str, FromFile], Field(max_length=16, repr=False)] = {}
    tls: TLS = TLS()
    namespaces: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64, strict=False)] = ()
    flags: Annotated[
        dict[Name, Annotated[tuple[FlagPattern, ...], Field(min_length=1, max_length=64, strict=False)]], Field(max_length=64)
    ] = {}

    @model_validator(mode="after")
    def _open_to_somebody(self) -> Self:
        if not self.namespaces and not self.flags:
            raise ValueError("must have namespaces (for checks) or flags")
        return self

    def sets(self, namespace: str, flag: str) -> bool:
        """Whether Releases of a namespace may set a flag by it."""
        allowed = self.flags.get(namespace, ())
        return any(flag == one or (one.endswith("*") and flag.startswith(one[:-1])) for one in allowed)

    @field_validator("address")
    @classmethod
    def _open_address(cls, address: str) -> str:
        host = urlsplit(address).hostname or ""
        try:
            closed = is_closed(ip_address(host))
        except ValueError:
            # Such as 2852039166: https://url.spec.whatwg.org/#ends-in-a-number-checker
            closed = _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None
        if closed:
            raise ValueError("must not be a link-local address, one of a cloud's metadata service, or an address as one number")
        return address

    @field_validator("headers")
    @classmethod
    def _sound_names(cls, headers: dict[str, FromFile]) -> dict[str, FromFile]:
        for name in headers:
            if not _HEADER_NAME.fullmatch(name) or name.lower() in {"host", "content-length", "transfer-encoding", "connection"}:
                raise ValueError("each key must be the name of a header that may be set")
        return headers


def files_of(config: HookConfig) -> dict[str, FilePath]:
    """Return the files that hold the values of headers, by the headers' names."""
    return {name: value.from_file for name, value in config.headers.items()}
