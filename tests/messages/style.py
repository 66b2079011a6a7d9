"""Patterns that sentences for users must not have, each with what to write instead: STYLE.md says why."""

from __future__ import annotations

import re

LONGEST = 160
"""Characters of a first clause: a terminal shows hardly more of a message."""
PATTERNS = {
    "put right, put back": (r"\bput\w* (right|back)\b", "restore"),
    "let go": (r"\blet(s|ting)? (it |them |the \w+ )?go\b", "release"),
    "mend": (r"\bmend(s|ed|ing)?\b", "fix"),
    "amid": (r"\bamid\b", "during"),
    "past": (r"\b(asks?|calls?|rolled out|requests?|goes?|went) (it )?past\b", "without, around"),
    "of which": (r"\b(of|for|to|by|in|from|with) (which|whom)\b", "two sentences"),
    "one that": (r"\bones? (that|who|which)\b", "name the thing"),
    "who may": (r"\b(whoever|whosoever|who may|who calls|who has|who mends|who reads)\b", "name the person or program"),
    "nobody": (r"\bnobody\b", "no ..., nothing"),
    "told, says, asks of programs": (r"\b(is|are|was|were) told\b|\b(says|asks|speaks?)\b", "shows, reports, requires"),
    "where for if": (r"(^|[,;:] )where (?!the telemetry|it is)\w+", "if, when"),
    "a look": (r"\b(a|first|next|last|fresh|each|every|one|no|new|of its|their) looks?\b|\blooked (once|at)\b|^Looks\b", "check"),
    "anew": (r"\banew\b", "again, from the start"),
    "double negation": (r"\b(no|not|never|nothing|none)\b[^.,;:()]*\b(no|nothing|nobody|none|unless)\b", "say it positively"),
    "for ever": (r"\bfor ever\b", "indefinitely"),
    "nothing speaks": (r"\bspeaks? (for|against)\b", "no evidence against"),
}


def found(sentence: str) -> list[str]:
    """Return the names of the patterns that a sentence has."""
    words = re.sub(r"\{[^}]*\}", "{}", sentence)
    return [name for name, (pattern, _) in PATTERNS.items() if re.search(pattern, words)]


def first_clause(sentence: str) -> str:
    """Return what stands before the first semicolon or full stop."""
    return re.split(r"; |\. ", sentence, maxsplit=1)[0]
