"""Tells which queries give a scalar, by their text: numbers, functions that give scalars, and arithmetic of such."""

from __future__ import annotations

import re

_LONGEST = 4096
_LEXEMES = re.compile(
    r"""(?P<closed>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|`[^`]*+`)|(?P<comment>\#[^\n]*+)|(?P<space>\s)"""
    r"""|(?P<operator>[-+*/%^])|(?P<open>\()|(?P<close>\))|(?P<word>[\w.:]++)|(?P<other>["'`].*+|.)""",
    re.ASCII | re.DOTALL,
)
"""No two of its repeats can match the same text, and a string that never ends takes all the rest: so it takes linear time."""
_NUMBER = re.compile(r"(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][0-9]{1,4})?|0[xX][0-9a-fA-F]{1,20}|(?i:inf|nan)")
_GIVE_SCALARS = frozenset({"scalar", "time", "pi"})


def is_scalar(promql: str) -> bool:
    """Whether a query certainly gives a scalar. False where it may give anything else, or where that cannot be told."""
    if len(promql) > _LONGEST:
        return False
    # Brackets that are open within a function's arguments.
    inside, before, found = 0, "", False
    for lexeme in _LEXEMES.finditer(promql):
        kind, text = lexeme.lastgroup or "", lexeme[0]
        if kind in ("space", "comment"):
            continue
        if inside:
            inside += (kind == "open") - (kind == "close")
        elif before in _GIVE_SCALARS and kind != "open":
            return False
        elif kind == "open" and before in _GIVE_SCALARS:
            inside, found = 1, True
        elif kind == "word" and text in _GIVE_SCALARS:
            pass
        elif kind == "word" and _NUMBER.fullmatch(text):
            found = True
        elif kind not in ("operator", "open", "close"):
            return False
        before = text if not inside else ""
    return found and not inside and before not in _GIVE_SCALARS
