"""What programs say of themselves, without the secrets that they may say with it."""

from __future__ import annotations

import re

HIDDEN = "***"
_USERINFO = re.compile(r"://[^\s/@]++@")
"""Who logs in at an address, and by which password."""
_NAMED = re.compile(
    r"(?i)(pass|passwd|password|pwd|secret|token|key|credentials?|authorization|cookie|session)(\"?+[=:] ?+\"?+)([^\s,;&]++)"
)
"""What is called a secret, up to the next space or mark."""
_SCHEME = re.compile(r"(?i)\b(bearer|basic) ([^\s,;]++)")
_LONG = re.compile(r"(?<![A-Za-z0-9+/_.=-])[A-Za-z0-9+/_.=-]{24,}+")
"""What is as long as a key, and may be one where it has letters and digits and no more dots and strokes than a path would."""


def masked(text: str) -> str:
    """Return a text with what may be a secret in it made unreadable: passwords in addresses, named values, tokens, long keys.

    A container's last message is its program's own, and may have the address of a data base in it with the password.
    """
    text = _USERINFO.sub(f"://{HIDDEN}@", text)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
    text = _NAMED.sub(rf"\1\2{HIDDEN}", text)
    return _LONG.sub(_hide_key, text)


def _hide_key(found: re.Match[str]) -> str:
    word = found.group()
    is_path = word.count("/") + word.count(".") + word.count("-") + word.count("_") >= len(word) // 8
    mixed = any(one.isdigit() for one in word) and any(one.isalpha() for one in word)
    return word if is_path or not mixed else HIDDEN
