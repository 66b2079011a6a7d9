"""What the status of a Release says of a rule's backends, so that the rule can be put back.

More people read Releases than read routes, and filters hold what is nobody's business: a header's value may be a credential. All
of the user's entries stay in their rule for as long as it is shifted, with their filters. So it is enough to note of each its name,
its port and its weight, which is what a shift changes, and by what it is told from its like: a digest of its shape. That is made
of the names of fields, and of types and names of filters and headers. Values are not in it: none can be guessed by it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from tidegate.api.originals import OriginalRule
from tidegate.traffic.backends import MAX_WEIGHT, Backends, Json, Names, joined

_WHICH = ("group", "kind", "namespace", "name", "port")
_KEPT = frozenset({*_WHICH, "weight"})
_SHAPE = "shape"
"""The digest's field in a note."""
_TELLING = frozenset({"type", "name"})
"""Fields whose text is part of the shape."""
_DIGITS = 16


def note(backends: Sequence[Json]) -> str:
    """Return the note of a rule's backends, as JSON text.

    Args:
        backends: the backends as the user wrote them.
    """
    noted = [_kept(entry) | ({_SHAPE: shape} if (shape := _shape_of(entry)) else {}) for entry in backends]
    return json.dumps(noted, separators=(",", ":"), sort_keys=True)


def read(text: str) -> Backends | None:
    """Read a note, of this version or of one that noted filters in full; None where it is none, as after a hand has edited it."""
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list) and all(map(_is_backend, found)) else None


def port_of(rules: Iterable[OriginalRule], service: str) -> int:
    """Return the port of the user's Service by which routes lead to it; 0 where none names one.

    Args:
        rules: what was noted of the routes.
        service: name of the user's Service.
    """
    for rule in rules:
        for backend in read(rule.backend_refs) or ():
            port = backend.get("port")
            if backend["name"] == service and isinstance(port, int) and port:
                return port
    return 0


def _is_backend(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return False
    weight = entry.get("weight")
    return weight is None or (isinstance(weight, int) and 0 <= weight <= MAX_WEIGHT)


def recall(noted: Sequence[Json], backends: Sequence[Json], names: Names) -> tuple[Backends, bool]:
    """Return the backends that a note is of, with the filters that stand in the rule; and whether these have the noted shape.

    Where they have not, somebody has edited them since, or the note is of another rule.

    Args:
        noted: the note.
        backends: what is in the rule.
        names: the names of the Services.
    """
    there: dict[tuple[object, ...], list[Json]] = defaultdict(list)
    for entry in joined(backends, names)[0]:
        there[_which(entry)].append(entry)
    whole, alike = [], True
    for entry in noted:
        same, shape = there[_which(entry)], _shape_of(entry)
        likeliest = next((one for one in same if _shape_of(one) == shape), None)
        alike = alike and likeliest is not None
        found = likeliest if likeliest is not None else (same[0] if same else {})
        there[_which(entry)] = [one for one in same if one is not found]
        whole.append({**{key: value for key, value in found.items() if key not in _KEPT}, **_kept(entry)})
    return whole, alike


def _kept(entry: Mapping[str, Any]) -> Json:
    return {key: value for key, value in entry.items() if key in _KEPT}


def _which(entry: Mapping[str, Any]) -> tuple[object, ...]:
    # A hand may have written anything into a note.
    return tuple(json.dumps(entry.get(key), sort_keys=True) for key in _WHICH)


def _shape_of(entry: Mapping[str, Any]) -> str:
    """Return the digest of the shape of all that is not kept; empty where there is nothing."""
    if isinstance(entry.get(_SHAPE), str):
        return str(entry[_SHAPE])
    rest = {key: value for key, value in entry.items() if key not in _KEPT}
    if not rest:
        return ""
    return hashlib.sha256(json.dumps(_shape(rest), sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _shape(value: object, key: str = "") -> object:
    if isinstance(value, dict):
        return {name: _shape(child, name) for name, child in value.items()}
    if isinstance(value, list):
        return [_shape(child) for child in value]
    return value if key in _TELLING and isinstance(value, str) else None
