"""The body of a request that asks many questions: a hundred kilobytes, which the standard library encodes byte by byte."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
_SIGNS = tuple(
    (character, quote_plus(character))
    for character in ("%", *(character for character in map(chr, range(128)) if character not in "% "), " ")
    if quote_plus(character) != character
)
"""Characters and what stands for each: first the one that is in all of these, last the space, whose sign is itself one of them."""


def encoded(query: str, parameters: Mapping[str, str]) -> str:
    """Return a query and other parameters as the body of a form; equal to what `urllib.parse.urlencode` makes of them."""
    return f"query={_quoted(query)}&{urlencode(parameters)}"


def _quoted(text: str) -> str:
    if not text.isascii():
        return quote_plus(text)
    # Of questions that are joined three words in four are the same, so each is encoded once. A plus stands for a space alone.
    words = text.split(" ")
    once = dict.fromkeys(words)
    found = " ".join(once)
    for character, sign in _SIGNS:
        found = found.replace(character, sign)
    encoded_as = dict(zip(once, found.split("+"), strict=True))
    return "+".join([encoded_as[word] for word in words])
