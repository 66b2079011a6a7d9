"""Addresses that nothing of other people's may lead to: what answers there trusts whoever is on the machine."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

_METADATA = tuple(map(ip_network, ("fd00:ec2::/32", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32")))
"""Of metadata services and platforms of clouds whose address is not link-local."""
_LAST = (IPv6Network("::/96"), IPv6Network("64:ff9b::/96"))
"""IPv6 addresses whose last four bytes are an IPv4 address: compatible ones (RFC 4291) and those of NAT64 (RFC 6052)."""


def is_closed(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is link-local, as of most metadata services, unspecified, multicast, or a metadata service's."""
    return any(
        one.is_link_local or one.is_unspecified or one.is_multicast or any(one in network for network in _METADATA)
        for one in _all_of(address)
    )


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address leads to the machine itself."""
    return any(one.is_loopback for one in _all_of(address))


def _all_of(address: IPv4Address | IPv6Address) -> tuple[IPv4Address | IPv6Address, ...]:
    """Return an address, and the IPv4 address to which packets for it are sent on, if it has one in it."""
    if isinstance(address, IPv4Address):
        return (address,)
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and any(address in one for one in _LAST) and int(address) > 1:
        inner = IPv4Address(address.packed[-4:])
    return (address,) if inner is None else (address, inner)
