"""Pieces of PromQL: what a Release's objects are called, text as literals, label matchers, and variables filled into queries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tidegate.api.base import plain

_RANDOM_SUFFIX = 5
"""Length of the random end of a pod's name (k8s.io/apiserver/pkg/storage/names)."""
_LONGEST_BASE = 58
"""To this many characters the API server cuts a name before it appends the random end (as above)."""

_STRINGS = r"""(?P<double>"(?:[^"\\\n]|\\.)*+")|(?P<single>'(?:[^'\\\n]|\\.)*+')|(?P<raw>`[^`]*+`)|(?P<comment>\#[^\n]*+)"""
_OPEN = r"""(?P<open>["'`][\s\S]*+)"""
"""A string that does not end, up to the end of the text: whoever goes on behind its quote looks for the end again and again."""
_PIECES = re.compile(rf"""{_STRINGS}|{_OPEN}|(?P<bare>[^"'`\#]++)""")
_LONGEST_NAME = 40
"""Characters of a variable that nobody knows, as it is told."""
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_NO_NAME = re.compile(r"[^a-zA-Z0-9-]")
_HARMLESS = re.compile(r"[a-zA-Z0-9_:.-]*+")
"""What may stand outside of quotes without changing what a query means."""
_CLOSING = {"(": ")", "[": "]", "{": "}"}
LEXEMES = re.compile(rf"""{_STRINGS}|{_OPEN}|(?P<bracket>[()\[\]{{}}])|[^"'`\#()\[\]{{}}]++""")


@dataclass(frozen=True)
class Names:
    """What a Release's objects are called, for queries.

    Attributes:
        namespace: the Release's namespace.
        release: the Release's name.
        service: the user's Service; empty without a route.
        stable_service: the operator's Service in front of the stable pods; empty without a route.
        canary_service: the operator's Service in front of the new pods; empty without a route.
        stable_pods: RE2 expression that matches the whole names of the stable pods, see `pods_of`.
        canary_pods: likewise for the pods of the new version.
        service_port: the Service's port that the route names; 0 without a route.
        cluster_policy: whether its gates are those of a ClusterRolloutPolicy, whose author nobody in the namespace need be.
        copies: labels that tell copies of a gate's series apart, beside those that every preset leaves out (`copies.Copies`).
    """

    namespace: str
    release: str
    service: str
    stable_service: str
    canary_service: str
    stable_pods: str
    canary_pods: str
    service_port: int
    cluster_policy: bool = False
    copies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Matcher:
    """One condition on a label.

    Attributes:
        label: name of the label.
        operator: `=`, `=~` or `!~`.
        value: the value, or an RE2 expression that matches all of it.
    """

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        """Write it as PromQL."""
        return f"{self.label}{self.operator}{quoted(self.value)}"


Where = tuple[Matcher, ...]
"""Conditions that all must hold."""


def equal(label: str, value: str) -> Matcher:
    """Return the condition that a label has this value."""
    return Matcher(label, "=", value)


def like(label: str, expression: str) -> Matcher:
    """Return the condition that a label's whole value matches an RE2 expression."""
    return Matcher(label, "=~", expression)


def unlike(label: str, expression: str) -> Matcher:
    """Return the condition that a label's whole value does not match an RE2 expression; a label that is not there is empty."""
    return Matcher(label, "!~", expression)


def literally(text: str) -> str:
    """Return the RE2 expression that matches this text alone (as QuoteMeta of Go's regexp)."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)


def selector(metric: str, where: Where) -> str:
    """Return the instant vector selector of a metric."""
    return f"{metric}{{{','.join(map(str, where))}}}"


def pods_of(replica_sets: Iterable[str]) -> str:
    """Return the RE2 expression that matches the names of all pods of these ReplicaSets, and of no others.

    The API server cuts long names before it appends the random end: where a Deployment's name has 57 characters or more, the
    pods of two of its revisions can not be told apart by name.
    """
    bases = [_NO_NAME.sub(lambda found: f"[{found[0]}]", f"{name}-"[:_LONGEST_BASE]) for name in replica_sets]
    return "|".join(f"{base}[a-z0-9]{{{_RANDOM_SUFFIX}}}" for base in bases)


def is_pod_of(expression: str, name: str) -> bool:
    """Whether an expression of `pods_of` matches a name."""
    end = f"[a-z0-9]{{{_RANDOM_SUFFIX}}}"
    for one in expression.split("|"):
        base = one.removesuffix(end).replace("[", "").replace("]", "")
        rest = name.removeprefix(base)
        if base and one.endswith(end) and len(name) == len(base) + len(rest) and len(rest) == _RANDOM_SUFFIX and rest.isalnum():
            return True
    return False


def quoted(text: str) -> str:
    """Return a text as a PromQL string literal in double quotes."""
    return f'"{_escape(text, quote=chr(34))}"'


def variables(names: Names, window: str) -> dict[str, str]:
    """Return what the variables of queries stand for.

    Args:
        names: what the Release's objects are called.
        window: time over which rates are computed, as PromQL writes it.
    """
    return {
        "namespace": names.namespace,
        "release": names.release,
        "service": names.service,
        "stableService": names.stable_service,
        "canaryService": names.canary_service,
        "stablePods": names.stable_pods,
        "canaryPods": names.canary_pods,
        "window": window,
    }


def fill(query: str, values: Mapping[str, str]) -> str:
    """Put the values into a query: within quotes escaped for that kind of quotes, outside only what cannot change its meaning.

    Raises:
        ValueError: the query names an unknown variable, uses one where it does not fit, or has a string that does not end.
    """
    pieces = []
    for found in _PIECES.finditer(query):
        kind, text = found.lastgroup, found[0]
        if kind == "open":
            msg = f"the string that begins with {plain(text, _LONGEST_NAME)} does not end"
            raise ValueError(msg)
        pieces.append(text if kind == "comment" else _filled(text, kind or "", values))
    return "".join(pieces)


def self_contained(query: str) -> bool:
    """Whether a query ends every string and bracket that it begins, and no other, so that text around it keeps its meaning."""
    expected: list[str] = []
    for found in LEXEMES.finditer(query):
        if found.lastgroup == "open":
            return False
        if found.lastgroup != "bracket":
            continue
        bracket = found[0]
        if bracket in _CLOSING:
            expected.append(_CLOSING[bracket])
        elif not expected or expected.pop() != bracket:
            return False
    return not expected and bool(query.strip())


def _filled(text: str, kind: str, values: Mapping[str, str]) -> str:
    """Fill a string, or what is between two, from the left to the right: nothing is looked at twice."""
    parts, at = [], 0
    while (begin := text.find("{{", at)) >= 0 and (end := text.find("}}", begin)) >= 0:
        parts += [text[at:begin], _value_within(text[begin + 2 : end].strip(), kind, values)]
        at = end + 2
    return "".join((*parts, text[at:]))


def _value_within(name: str, kind: str, values: Mapping[str, str]) -> str:
    if name not in values:
        msg = f"unknown variable {{{{{plain(name, _LONGEST_NAME)}}}}}: there are {', '.join(values)}"
        raise ValueError(msg)
    value = values[name]
    if kind in ("double", "single"):
        return _escape(value, quote='"' if kind == "double" else "'")
    if kind == "raw" and "`" not in value:
        return value
    if _HARMLESS.fullmatch(value):
        return value
    msg = f"the variable {{{{{name}}}}} must stand within double quotes"
    raise ValueError(msg)


def _escape(text: str, *, quote: str) -> str:
    return text.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\n", "\\n")
