"""Hooks that checks may call, as the operator's configuration file gives them: secrets by reference to files only."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from tidegate.api.gate import Name
from tidegate.prometheus.config import TLS, FilePath, FromFile, WebAddress
from tidegate.runtime.addresses import is_closed

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]++")

_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*+|[0-9]++")


class HookConfig(BaseModel):
    """Something that checks may call.

    Attributes:
        address: its URL, to which a check adds a path.
        headers: of each request, by name; each value is the one line of a mounted file.
        tls: how its server is verified, and the client's certificate.
        namespaces: whose Releases may call it. All others are closed.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )

    address: WebAddress
    headers: Annotated[dict[str, FromFile], Field(max_length=16, repr=False)] = {}
    tls: TLS = TLS()
    namespaces: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64, strict=False)]

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
