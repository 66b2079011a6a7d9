"""Secrets of channels, read from their files for every message: one that is rotated needs no restart."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from tidegate.notifications.config import ChannelConfig, web_address

LARGEST = 16 * 1024
"""Bytes of a file that are read."""
MOST_KEYS = 3
"""Keys that a message is signed with: the new one, the old one, and one by mistake."""
KEY_PREFIX = "whsec_"
SHORTEST_KEY, LONGEST_KEY = 24, 64
"""Bytes of a key, by the standard."""


class SecretError(Exception):
    """A file with a secret cannot be used; the message names the field, never what stands in the file."""


def _lines(path: str, field: str) -> list[str]:
    try:
        with Path(path).open("rb") as file:
            found = file.read(LARGEST + 1)
    except OSError as error:
        msg = f"the file of {field} cannot be read ({error.strerror or type(error).__name__}): mount it"
        raise SecretError(msg) from None
    text = found.decode("ascii", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or len(found) > LARGEST or not all(line.isascii() and line.isprintable() for line in lines):
        cure = "write the secret into it, and nothing else"
        msg = f"the file of {field} is empty, or has other than printable ASCII characters: {cure}"
        raise SecretError(msg)
    return lines


def one_line(path: str, field: str) -> str:
    """Return the secret of a file that has one line.

    Args:
        path: the file.
        field: what names it in the configuration.

    Raises:
        SecretError: the file cannot be used.
    """
    first, *more = _lines(path, field)
    if more:
        msg = f"the file of {field} has more than one line: write the secret into it, and nothing else"
        raise SecretError(msg)
    return first


def address_of(channel: ChannelConfig, default: str = "") -> str:
    """Return where a channel's messages go.

    Raises:
        SecretError: the file cannot be used, or has no address in it.
    """
    if channel.url_file is None:
        return channel.url or default
    try:
        return web_address(one_line(channel.url_file, "urlFile"))
    except ValueError as error:
        msg = f"the file of urlFile has no address in it: it {error}"
        raise SecretError(msg) from None


def keys_of(channel: ChannelConfig) -> tuple[bytes, ...]:
    """Return the keys that a channel's messages are signed with, the first of the file first; none where it signs nothing.

    Raises:
        SecretError: the file cannot be used.
    """
    if channel.secret_file is None:
        return ()
    lines = _lines(channel.secret_file, "secretFile")
    keys: list[bytes] = []
    for line in lines[:MOST_KEYS]:
        try:
            key = base64.b64decode(line.removeprefix(KEY_PREFIX), validate=True) if line.startswith(KEY_PREFIX) else b""
        except (binascii.Error, ValueError):
            key = b""
        if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            msg = (
                f"the file of secretFile needs one key a line, each {KEY_PREFIX} and {SHORTEST_KEY} to {LONGEST_KEY} bytes in "
                f"base64: make one with echo {KEY_PREFIX}$(openssl rand -base64 32)"
            )
            raise SecretError(msg)
        keys.append(key)
    return tuple(keys)
