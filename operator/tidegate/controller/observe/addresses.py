"""Addresses that a hook never leads to: what answers there trusts whoever is on the machine."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from tidegate.runtime.addresses import is_closed


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
        found = await self._resolver.resolve(host, port, family)
        if any(is_closed(ip_address(str(one["host"]).partition("%")[0])) for one in found):
            raise ClosedAddressError("it leads to a link-local address, or to a metadata service")
        return found

    async def close(self) -> None:
        """Let go of nothing."""
        await self._resolver.close()
