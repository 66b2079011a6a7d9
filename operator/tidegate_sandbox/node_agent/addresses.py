"""Addresses of pods: which are free, and putting them on the loopback interface.

Envoy and probes reach a pod by its own address and its own ports, as in a cluster; several pods may listen on the same port.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import Protocol


class AddressError(Exception):
    """No address is free, or the kernel refused to add or remove one; the message says which and why."""


class Interface(Protocol):
    """What carries the addresses of pods."""

    def add(self, address: str) -> None:
        """Make ``address`` (IPv4) an address of this machine. No error where it is one already."""

    def remove(self, address: str) -> None:
        """Undo :meth:`add`. No error where it is gone already."""


_SHORTEST_PREFIX = 20
_LONGEST_PREFIX = 29


class AddressPool:
    """Hands out the addresses of a network in turn, so that one just released is not reused at once.

    A client with a stale endpoint must meet a refused connection, never another pod. The first usable address is
    the nodes' own and is never handed out.
    """

    def __init__(self, cidr: str) -> None:
        network = ipaddress.IPv4Network(cidr)
        if not _SHORTEST_PREFIX <= network.prefixlen <= _LONGEST_PREFIX:
            raise ValueError(f"pod network {cidr}: the prefix must be /{_SHORTEST_PREFIX} to /{_LONGEST_PREFIX}")
        self.node_address = str(network[1])
        self._first = int(network[2])
        self._size = network.num_addresses - 3
        self._next = 0
        self._used: set[int] = set()

    def pod_addresses(self) -> Iterator[str]:
        """Yield every address that a pod may have."""
        return (str(ipaddress.IPv4Address(self._first + offset)) for offset in range(self._size))

    def allocate(self, preferred: str | None = None) -> str:
        """Return a free address: ``preferred`` if possible. Raises AddressError if all are taken."""
        if preferred:
            offset = int(ipaddress.IPv4Address(preferred)) - self._first
            if 0 <= offset < self._size and offset not in self._used:
                return self._take(offset)
        for step in range(self._size):
            offset = (self._next + step) % self._size
            if offset not in self._used:
                self._next = (offset + 1) % self._size
                return self._take(offset)
        raise AddressError(f"all {self._size} pod addresses are in use")

    def release(self, address: str) -> None:
        """Give an address back. No error where it was free already."""
        self._used.discard(int(ipaddress.IPv4Address(address)) - self._first)

    def _take(self, offset: int) -> str:
        self._used.add(offset)
        return str(ipaddress.IPv4Address(self._first + offset))


_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_NLM_F_REQUEST = 0x001
_NLM_F_ACK = 0x004
_NLM_F_EXCL = 0x200
_NLM_F_CREATE = 0x400
_NLMSG_ERROR = 2
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_RT_SCOPE_UNIVERSE = 0
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")


class LoopbackInterface:
    """Adds /32 addresses to ``lo`` through rtnetlink (see rtnetlink(7)); needs CAP_NET_ADMIN in the namespace.

    Talking to the kernel directly costs 0.1 ms where a process of the ip command costs some 5 ms per pod.
    """

    def __init__(self) -> None:
        self._index = socket.if_nametoindex("lo")
        self._sequence = 0

    def add(self, address: str) -> None:
        """Add ``address``/32. Raises AddressError when the kernel refuses."""
        code = self._request(_RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_EXCL, address)
        if code not in (0, errno.EEXIST):
            raise AddressError(f"cannot add {address} to lo: {os.strerror(code)}")

    def remove(self, address: str) -> None:
        """Remove ``address``/32. Raises AddressError when the kernel refuses."""
        code = self._request(_RTM_DELADDR, 0, address)
        if code not in (0, errno.EADDRNOTAVAIL):
            raise AddressError(f"cannot remove {address} from lo: {os.strerror(code)}")

    def _request(self, kind: int, flags: int, address: str) -> int:
        """Send one request and return the errno of its acknowledgement, 0 for success."""
        packed = socket.inet_aton(address)
        attributes = b"".join(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), name) + packed for name in (_IFA_LOCAL, _IFA_ADDRESS))
        body = _IFADDRMSG.pack(socket.AF_INET, 32, 0, _RT_SCOPE_UNIVERSE, self._index) + attributes
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | _NLM_F_ACK | flags, self._sequence, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.settimeout(2.0)
            netlink.send(header + body)
            reply = netlink.recv(4096)
        _, reply_kind, _, _, _ = _HEADER.unpack_from(reply)
        if reply_kind != _NLMSG_ERROR:
            raise AddressError(f"unexpected netlink answer {reply_kind} for {address}")
        (code,) = _ERROR.unpack_from(reply, _HEADER.size)
        return -int(code)
