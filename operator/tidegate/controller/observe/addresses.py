"""Addresses that a hook never leads to: what answers there trusts whoever is on the machine."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from tidegate.runtime.addresses import is_closed

_CLOSED = "it leads to a link-local address, or to a metadata service"


class ClosedAddressError(OSError):
    """A name leads to an address that is never called."""


class OpenAddresses(AbstractResolver):
    """Resolves names, and refuses those of which any address is closed: what is connected to is what was looked at."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            ClosedAddressError: it leads to one that is closed.
            OSError: it has none.
        """
        # An address that is written out is looked at first: a machine without IPv6 has no answer for one of that family.
        if _closed(host):
            raise ClosedAddressError(_CLOSED)
        found = await self._resolver.resolve(host, port, family)
        if any(_closed(str(one["host"])) for one in found):
            raise ClosedAddressError(_CLOSED)
        return found

    async def close(self) -> None:
        """Let go of nothing."""
        await self._resolver.close()


def _closed(host: str) -> bool:
    """Return whether a host is an address that is never called; a name is none."""
    try:
        return is_closed(ip_address(host.partition("%")[0]))
    except ValueError:
        return False
