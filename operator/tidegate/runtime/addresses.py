"""Addresses that nothing of other people's may lead to: what answers there trusts whoever is on the machine."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

_METADATA = tuple(map(ip_network, ("fd00:ec2::/32", "100.100.100.200/32", "192.0.0.192/32")))
"""Of metadata services of clouds whose address is not link-local."""


def is_closed(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is link-local, as of most metadata services, unspecified, multicast, or a metadata service's."""
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    found = inner or address
    return found.is_link_local or found.is_unspecified or found.is_multicast or any(found in one for one in _METADATA)


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address leads to the machine itself."""
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_loopback
