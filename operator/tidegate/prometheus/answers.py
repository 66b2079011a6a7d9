"""What Prometheus can answer to an instant query, and what that is worth to a gate."""

from __future__ import annotations

import math
import string
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MOST_SERIES = 100
"""Series that the server is asked for at most where one number is wanted (Prometheus 3 and later keep to it)."""

_LATEST = 1e10
"""Seconds since 1970 as which any later time counts: JSON has numbers that no clock can show."""


@dataclass(frozen=True)
class Value:
    """One number; infinite where Prometheus says so, never NaN."""

    value: float


@dataclass(frozen=True)
class NoData:
    """Prometheus answered, and there is no number.

    Attributes:
        why: in words.
    """

    why: str


class Cause(StrEnum):
    """What a trouble has to do with."""

    QUERY = "the query or its answer: others have nothing to do with it"
    SIZE = "an answer that is too large"
    TIME = "an answer that did not come in time"
    METHOD = "the way of asking: another may be allowed"
    OTHER = "the server, the network or the connection"


@dataclass(frozen=True)
class Trouble:
    """There is no answer, or one that no gate can use.

    Attributes:
        message: in the words of Prometheus or of the connection, for people.
        cause: what it has to do with.
        seconds: what it has cost the server, as far as that is known of this query alone.
    """

    message: str
    cause: Cause = field(default=Cause.OTHER, compare=False)
    seconds: float = field(default=0.0, compare=False)


Answer = Value | NoData | Trouble


@dataclass(frozen=True)
class Result:
    """What a query gave.

    Attributes:
        data: `data.result` as it came: series of a vector, or `[time, "value"]` of a scalar. Where somebody was to read it in the
            thread that asked: what they made of it, or their error.
        warnings: what the server warned of; as a rule that something is missing.
        vector: it was a vector, and no scalar.
        seconds: what it has cost the server, as far as that is known of this query alone.
    """

    data: Any
    warnings: tuple[str, ...] = ()
    vector: bool = field(default=True, compare=False)
    seconds: float = field(default=0.0, compare=False)


Read = Callable[[object], object]
"""Reads an answer's data in the thread that has asked. An error of what was given is a ValueError."""
Ask = Callable[[str], Awaitable[Result | Trouble]]
"""Evaluates a query at an instant."""
AskCounters = Callable[[str, Read], Awaitable[Result | Trouble]]
"""Likewise, and has the answer read before it is handed out."""


@dataclass(frozen=True)
class Asker:
    """For whom a query is asked.

    Attributes:
        namespace: of the Release; empty where it is for several.
        rollback: the gate may roll back, so that others must not keep it waiting.
    """

    namespace: str = ""
    rollback: bool = False


EVERYBODY = Asker()
"""Who asks for several namespaces, or for none."""


_QUOTES = "\"'`"
_BEHIND = " \t\n,.;:)"
_ESCAPE = "\x1b"
_JOINED = "label_replace(("
"""So begins a query that is made of several, which may be several people's (`batching.join`)."""
_NAME = f"{string.ascii_letters}{string.digits}_:"


def before_series(words: str) -> str:
    """Return what an error of Prometheus says before it names series or quotes a joined query: these may be anybody's.

    Label sets and lists of them begin with a brace or a bracket, the former perhaps with a name before it. One that stands alone
    between quotes is a piece of the query's own text, as errors of its grammar quote it, and one behind an escape moves a cursor.
    """
    said, joined, _ = words.partition(_JOINED)
    for at, one in enumerate(said):
        if one not in "{[":
            continue
        before, behind = words[max(0, at - 1) : at], words[at + 1 : at + 2]
        alone = before != "" and before == behind and before in _QUOTES and words[at + 2 : at + 3] in _BEHIND
        if alone or before == _ESCAPE:
            continue
        said = words[:at].rstrip(_NAME) if one == "{" else words[:at]
        break
    else:
        if not joined:
            return words
    return f"{said.rstrip()}... (it names series: the operator's log has the rest at debug)"


def time_told(result: object) -> float | None:
    """Return the time that a `data.result` bears, in seconds since 1970; None where it bears none.

    All series of an instant query have the same one: the instant that the query was evaluated for.
    """
    first = result[0] if isinstance(result, list) and result else None
    pair = first.get("value", first.get("histogram")) if isinstance(first, dict) else result
    told = pair[0] if isinstance(pair, list) and len(pair) == 2 else None
    return float(min(told, _LATEST)) if isinstance(told, int | float) and told > 0 else None


def answer_to(result: object) -> Answer:
    """Read the `data.result` of an instant query: a vector of one series, or a scalar (`[time, "value"]`).

    https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats
    """
    if not isinstance(result, list):
        return Trouble("the answer has no result that Tidegate knows")
    if not result:
        return NoData("the query found no series")
    if not isinstance(result[0], dict):
        return _number(result)
    if len(result) > 1:
        number = f"{len(result)} or more" if len(result) >= MOST_SERIES else str(len(result))
        return Trouble(f"the query gave {number} series, expected 1: aggregate them, for example with sum()")
    series: dict[str, Any] = result[0]
    if "value" in series:
        return _number(series["value"])
    kind = "a range of values" if "values" in series else "a histogram" if "histogram" in series else "no value"
    return Trouble(f"the query gave {kind}, expected one number")


def _number(pair: object) -> Answer:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[1], str):
        return Trouble("the answer has no value that Tidegate knows")
    try:
        number = float(pair[1])
    except ValueError:
        return Trouble("the query gave a text, expected one number")
    if math.isnan(number):
        return NoData("the value is NaN, usually from a division by zero requests")
    return Value(number)
