"""Addresses that people and pipelines give, as they may be written down: what may be a secret in them is left out."""

from __future__ import annotations

from urllib.parse import urlsplit

from tidegate.api.base import plain


def without_secrets(url: object, longest: int) -> str:
    """Return an address without user, password, query and fragment; empty where it is none.

    Args:
        url: the address.
        longest: characters of it at most.
    """
    if not isinstance(url, str):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return plain(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", longest) if parts.netloc else ""
