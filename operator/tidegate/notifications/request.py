"""What is sent: an address, headers and a body. What stands in it may be secret, so it shows none of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """One POST.

    Attributes:
        url: where to.
        body: the bytes that are sent, and signed.
        headers: besides those of every request.
    """

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
