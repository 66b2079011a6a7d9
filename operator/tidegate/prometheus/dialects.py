"""Servers that speak most of PromQL: what is left out for those that lack a function, and what they say of a query.

VictoriaMetrics has no native histograms and none of their functions; one of them anywhere in a query is an error of all of it.
"""

from __future__ import annotations

import re

from tidegate.prometheus.promql import LEXEMES

NATIVE = "histogram_count"
"""The function of native histograms that presets use beside a counter, always as `... or histogram_count(...)`."""
PROBE = f"{NATIVE}(vector(0))"
"""A query that says nothing but whether there is that function: Prometheus answers it with no series."""
SHOWN_LATE = 1.0
"""Seconds by which VictoriaMetrics is asked to show an older state than it has: the least that it may be asked for."""
LATENCY_OFFSET = {"latency_offset": f"{SHOWN_LATE:.0f}s"}
"""Parameter that has VictoriaMetrics show what it has: by default it shows the state of 30 s ago, which is what dashboards want
(https://docs.victoriametrics.com/#query-latency). Others need not know it, and a strict proxy may refuse what it does not know."""

_STATS = re.compile(r'\},\s*+"stats":\s*+\{\s*+"seriesFetched"')
"""What VictoriaMetrics writes after the data of each answer. No label can: quotes in one are escaped."""
_TAIL = 256
"""Bytes from the end of an answer within which that begins."""
_ARM = f" or {NATIVE}"
_ECHO = "error when executing query="
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_TOO_LONG = re.compile(r"too long query; got [0-9]{1,9} bytes; mustn't exceed `-search\.maxQueryLen=([0-9]{1,9})` bytes")


def of_victoria(body: bytes) -> bool:
    """Whether an answer to a query is one of VictoriaMetrics, by how it ends."""
    return _STATS.search(body[-_TAIL:].decode(errors="replace")) is not None


def without_native(query: str) -> str:
    """Return a query without what it asks of native histograms beside a counter."""
    if _ARM not in query:
        return query
    pieces: list[str] = []
    depth = 0
    for found in LEXEMES.finditer(query):
        text, bracket = found[0], found.lastgroup == "bracket"
        if depth:
            depth += (text in "([{") - (text in ")]}") if bracket else 0
        elif bracket and text == "(" and pieces and pieces[-1].endswith(_ARM):
            pieces[-1] = pieces[-1].removesuffix(_ARM)
            depth = 1
        else:
            pieces.append(text)
    return "".join(pieces)


def without_echo(words: str) -> str:
    """Return what a server says is wrong with a query, without the query, which VictoriaMetrics puts before its reason."""
    begin = words.find(_ECHO)
    found = None if begin < 0 else _QUOTED.match(words, begin + len(_ECHO))
    if found is None:
        return words
    _, _, reason = words[found.end() :].partition(": ")
    return f"{words[:begin]}{reason}" if reason else words


def longest_query(words: str) -> int | None:
    """Return how many bytes a query may have at most, where a server says that one has more."""
    found = _TOO_LONG.search(words)
    return None if found is None else int(found[1])
