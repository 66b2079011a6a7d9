"""The one form of a JSON value that has one hash, by RFC 8785, for values that come back from the API server as they went there.

The API server writes numbers in its own way: 1.0 becomes 1, and what is beyond 2^53 is rounded by many readers. So numbers are
whole and below that, or they are text.
"""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

LARGEST = 2**53
"""Whole numbers stay below this."""


def canonical(value: Any) -> bytes:
    """Return the canonical form of a value: objects, lists, text, booleans and whole numbers.

    Raises:
        ValueError: there is anything else in it.
    """
    _guard(value)
    return rfc8785.dumps(value)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical form, as `sha256:` and its hexadecimal digits.

    Raises:
        ValueError: as `canonical`.
    """
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"


def _guard(value: Any) -> None:
    match value:
        case bool():
            pass
        case int() if abs(value) < LARGEST:
            pass
        case str():
            value.encode()  # half a character has no form; UnicodeEncodeError is a ValueError
        case list() | tuple():
            for item in value:
                _guard(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"the name {key!r} is no text")  # noqa: TRY004 - the value as a whole has no form
                key.encode()
                _guard(item)
        case _:
            words = f"a value of type {type(value).__name__} has no canonical form here: numbers are whole and below 2^53"
            raise ValueError(words)
