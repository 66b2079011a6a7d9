"""Definitions of flags as ConfigMaps and FeatureFlags keep them: raw objects in, definitions out, and the patch that writes them.

What its owner wrote stays as it was: the order of keys, the indent, everything that is not changed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.api.names import LABEL_FLAGS
from tidegate.cluster.resources import CONFIG_MAPS, FEATURE_FLAGS, Resource
from tidegate.governance.flags import FlagKind, UnfitError

Json = dict[str, Any]

LARGEST = 256 * 1024
"""Characters of definitions that are read: they are parsed in the operator's own time."""
RESOURCES: Mapping[FlagKind, Resource] = {FlagKind.CONFIG_MAP: CONFIG_MAPS, FlagKind.FEATURE_FLAG: FEATURE_FLAGS}
_INDENT = re.compile(r"\{\r?\n([ \t]{1,8})\S")
_UID, _LABEL = "/metadata/uid", "/metadata/labels/" + LABEL_FLAGS.replace("/", "~1")


@dataclass(frozen=True)
class Definitions:
    """All definitions of one object.

    Attributes:
        obj: the object as it was read.
        key: of a ConfigMap's data; empty for a FeatureFlag.
        document: the whole of what is there, with `flags` in it.
    """

    obj: Mapping[str, Any]
    key: str
    document: Json

    def of(self, flag: str) -> object:
        """Return the definition of a flag.

        Raises:
            UnfitError: there is none.
        """
        flags = self.document["flags"]
        if flag not in flags:
            raise UnfitError("is not defined there")
        return flags[flag]


def definitions(obj: Mapping[str, Any], kind: FlagKind, key: str) -> Definitions:
    """Return what an object defines.

    Args:
        obj: as the API server has it.
        kind: of it.
        key: of a ConfigMap's data.

    Raises:
        UnfitError: that cannot be read, or may not be written.
    """
    if (obj["metadata"].get("labels") or {}).get(LABEL_FLAGS) != "true":
        raise UnfitError(f"may not be set by Tidegate: label its {kind} with {LABEL_FLAGS}=true if it may")
    if kind is FlagKind.FEATURE_FLAG:
        document = (obj.get("spec") or {}).get("flagSpec")
    else:
        text = (obj.get("data") or {}).get(key)
        if not isinstance(text, str):
            raise UnfitError(f"is not defined there: the ConfigMap has no key {key}")
        document = _parsed(text)
    if not isinstance(document, dict) or not isinstance(document.get("flags"), dict):
        raise UnfitError("is not defined there: no object flags is in the definitions")
    return Definitions(obj, key, document)


def _parsed(text: str) -> object:
    if len(text) > LARGEST:
        raise UnfitError(f"cannot be read: the definitions have more than {LARGEST // 1024} KiB")
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite)
        # Half a character, such as "\ud800", can be read, and not be written again.
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise UnfitError("cannot be read: the definitions are nested too deep") from None
    except UnicodeEncodeError:
        raise UnfitError(
            "cannot be read: the definitions have half a surrogate pair, such as \\ud800: write the whole pair"
        ) from None
    except ValueError as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UnfitError(f"cannot be read: the definitions are no JSON{where}") from None
    return found


def _once(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Of two only one would be written again.
        raise UnfitError("cannot be read: the definitions have a key twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def patch(found: Definitions, changed: Mapping[str, Json]) -> list[Json]:
    """Return the JSON patch that writes definitions, if the object is as it was read.

    Args:
        found: what was read.
        changed: the new definitions, by flag.
    """
    tests = [
        {"op": "test", "path": _UID, "value": found.obj["metadata"]["uid"]},
        {"op": "test", "path": _LABEL, "value": "true"},
    ]
    flags = found.document["flags"]
    if not found.key:
        paths = {flag: "/spec/flagSpec/flags/" + _escaped(flag) for flag in changed}
        tests += [{"op": "test", "path": path, "value": flags[flag]} for flag, path in paths.items()]
        return [*tests, *({"op": "replace", "path": path, "value": changed[flag]} for flag, path in paths.items())]
    text, path = found.obj["data"][found.key], "/data/" + _escaped(found.key)
    document = found.document | {"flags": {name: changed.get(name, one) for name, one in flags.items()}}
    return [*tests, {"op": "test", "path": path, "value": text}, {"op": "replace", "path": path, "value": _text(document, text)}]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _text(document: Json, before: str) -> str:
    indent = _INDENT.search(before)
    separators = None if indent or ": " in before else (",", ":")
    text = json.dumps(document, ensure_ascii=False, indent=indent[1] if indent else None, separators=separators)
    return text + "\n" if before.endswith("\n") else text
