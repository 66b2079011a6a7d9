"""Files with Releases and policies: read, and checked against the schema that the API server enforces."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tidegate.api import crds
from tidegate.api.names import API_VERSION, GROUP
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import PolicyKind
from tidegate.api.schema import Schema
from tidegate.api.wrong import cause_of, field_of, not_yaml
from tidegate.cli import cel
from tidegate.cli.output import fail

Place = tuple[str | int, ...]
"""Where a value is in a document: names and numbers from the root on."""

_KINDS = {kind.name: kind for kind in crds.KINDS}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_NAMES = {
    dict: "a map",
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "empty",
}
_BOUNDS = {"minLength": "characters", "maxLength": "characters", "minItems": "items", "maxItems": "items"}


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something about a manifest.

    Attributes:
        severity: an error is refused or cannot work; a warning works, perhaps not as meant; a note is no reproach.
        place: the field.
        message: what is wrong with it.
    """

    severity: Severity
    place: Place
    message: str

    @property
    def field(self) -> str:
        """The field as the API server writes it: `spec.gates[0].metric`."""
        return field_of(self.place)


@dataclass(frozen=True)
class Manifest:
    """One Release or policy of a file.

    Attributes:
        source: name of the file, or `stdin`.
        kind: its kind.
        name: its name; empty where it has none.
        document: as it was written.
        node: the same with its positions in the file.
        findings: what is wrong with it by its schema.
    """

    source: str
    kind: str
    name: str
    document: dict[str, Any]
    node: yaml.Node
    findings: tuple[Finding, ...] = field(default=())

    @property
    def label(self) -> str:
        """Kind and name."""
        return f"{self.kind}/{self.name}"

    @property
    def is_policy(self) -> bool:
        """Whether Releases may name it by policyRef."""
        return self.kind in {*PolicyKind}

    def line(self, place: Place) -> int:
        """Return the line of a field, from 1 on; of one that is not there, that of its nearest parent."""
        return _line(self.node, place)


class _Loader(yaml.SafeLoader):
    """Reads scalars as kubectl does: 1e6 is a number, and a date is text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_EXPONENT = re.compile(r"^[-+]?(\.[0-9]++|[0-9]++(\.[0-9]*+)?)([eE][-+]?[0-9]++)$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


class ManifestError(Exception):
    """A file that cannot be read; the message names file and cause."""


def load(path: Path) -> list[Manifest]:
    """Read the Releases and policies of a file, and check each; other objects in it are left alone.

    Raises:
        ManifestError: the file cannot be read, or is not YAML.
    """
    source = "stdin" if str(path) == "-" else str(path)
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ManifestError(f"{source}: cannot be read: {reason}") from error
    try:
        pairs = list(zip(yaml.compose_all(text, _Loader), yaml.load_all(text, _Loader), strict=True))
    except yaml.YAMLError as error:
        raise ManifestError(f"{source}: {not_yaml(error)}") from error
    found = []
    for node, document in pairs:
        found += list(_manifests(source, node, document))
    return found


def policies(path: Path) -> list[tuple[str, RolloutPolicySpec]]:
    """Return the policies of a file with their kinds and names; the command ends where one is not as it should be."""
    try:
        found = [manifest for manifest in load(path) if manifest.is_policy]
    except ManifestError as error:
        fail(str(error))
    if not found:
        fail(f"{path}: there is no RolloutPolicy or ClusterRolloutPolicy in it")
    wrong = [f"{each.source}:{each.line(one.place)}: {one.field}: {one.message}" for each in found for one in each.findings]
    if wrong:
        fail("\ntidegate: ".join(wrong))
    return [(each.label, RolloutPolicySpec.model_validate(each.document["spec"])) for each in found]


def check(document: Mapping[str, Any], kind: crds.Kind) -> tuple[Finding, ...]:
    """Say what the API server would say of an object: unknown fields, wrong types and values, broken rules."""
    schema = _schema(kind.name)
    checked = _Check()
    filled = checked.value(document, schema, ())
    if not checked.findings:
        checked.rules(filled, schema, ())
    if not checked.findings:
        checked.model(document, kind.spec)
    return tuple(checked.findings)


@cache
def _schema(kind: str) -> Schema:
    return crds.build_schema(_KINDS[kind])


def _manifests(source: str, node: yaml.Node, document: Any) -> Iterator[Manifest]:
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        items = _child(node, "items")
        for index, item in enumerate(document["items"]):
            yield from _manifests(source, _child(items, index), item)
        return
    if not isinstance(document, dict) or not str(document.get("apiVersion", "")).startswith(f"{GROUP}/"):
        return
    kind, metadata = str(document.get("kind")), document.get("metadata")
    name = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
    known = _KINDS.get(kind)
    findings: tuple[Finding, ...]
    if known is None:
        findings = (Finding(Severity.ERROR, ("kind",), f"there is no kind {kind}{_suggestion(kind, _KINDS)}"),)
    elif document["apiVersion"] != API_VERSION:
        findings = (Finding(Severity.ERROR, ("apiVersion",), f"must be {API_VERSION}"),)
    else:
        nameless = () if name else (Finding(Severity.ERROR, ("metadata", "name"), "is required"),)
        findings = (*nameless, *check(document, known))
    yield Manifest(source, kind, name, document, node, findings)


class _Check:
    """Collects what is wrong with a document."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def value(self, value: Any, schema: Schema, place: Place) -> Any:
        """Check a value by its schema, and return it with the defaults filled in."""
        if not self._typed(value, schema, place):
            return value
        if isinstance(value, dict):
            return self._map(value, schema, place)
        self._bounded(value, schema, place)
        if isinstance(value, list):
            self._doubled(value, schema, place)
            return [self.value(item, schema["items"], (*place, index)) for index, item in enumerate(value)]
        return float(value) if schema.get("type") == "number" else value

    def rules(self, value: Any, schema: Schema, place: Place) -> None:
        """Check the CEL rules of a value and of all that is in it."""
        for one in schema.get("x-kubernetes-validations", ()):
            if "oldSelf" in one["rule"]:  # about a change, and there is but one manifest
                continue
            try:
                kept = cel.holds(one["rule"], value)
            except cel.CelError as error:
                self._say(place, f"{one['message']} (the rule {one['rule']} {error})")
                continue
            if not kept:
                inner = tuple(part for part in one.get("fieldPath", "").split(".") if part)
                self._say((*place, *inner), one["message"])
        if isinstance(value, dict):
            for name, child in value.items():
                inside = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
                if inside is not None:
                    self.rules(child, inside, (*place, name))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.rules(item, schema["items"], (*place, index))

    def model(self, document: Mapping[str, Any], model: type[BaseModel]) -> None:
        """Check with the model that the operator reads the spec with: what the schema cannot say."""
        try:
            model.model_validate(document.get("spec"))
        except ValidationError as error:
            for one in error.errors(include_url=False):
                self._say(("spec", *one["loc"]), cause_of(one))

    def _say(self, place: Place, message: str) -> None:
        self.findings.append(Finding(Severity.ERROR, place, message))

    def _typed(self, value: Any, schema: Schema, place: Place) -> bool:
        wanted = ("integer", "string") if schema.get("x-kubernetes-int-or-string") else (schema.get("type", "object"),)
        fits = any(isinstance(value, _TYPES[one]) and (one == "boolean" or not isinstance(value, bool)) for one in wanted)
        if not fits:
            example = " such as 30s" if str(schema.get("pattern", "")).startswith("^([0-9]{1,5}(h") else ""
            names = " or ".join(
                {"object": "a map", "array": "a list", "string": "text"}.get(one, f"of type {one}") for one in wanted
            )
            self._say(place, f"must be {names}{example}, and is {_NAMES.get(type(value), 'something else')}")
        return fits

    def _map(self, value: dict[str, Any], schema: Schema, place: Place) -> dict[str, Any]:
        if "additionalProperties" in schema:
            self._bounded(value, schema, place)
            return {name: self.value(child, schema["additionalProperties"], (*place, name)) for name, child in value.items()}
        properties: Schema = schema.get("properties", {})
        filled = {name: one["default"] for name, one in properties.items() if "default" in one}
        for name, child in value.items():
            if name in properties:
                filled[name] = self.value(child, properties[name], (*place, name))
            elif place != ("metadata",):
                self._say((*place, name), f"there is no such field{_elsewhere(str(name), properties)}")
        for name in schema.get("required", ()):
            if name not in filled:
                self._say((*place, name), "is required")
        return filled

    def _bounded(self, value: Any, schema: Schema, place: Place) -> None:
        if "enum" in schema and value not in schema["enum"]:
            choices = ", ".join(map(str, schema["enum"]))
            self._say(place, f"must be one of {choices}, and is {value}{_suggestion(str(value), schema['enum'])}")
            return
        if isinstance(value, str) and "pattern" in schema and re.search(schema["pattern"], value) is None:
            duration = schema["pattern"].startswith("^([0-9]{1,5}(h")
            wanted = "is not a duration: write for example 30s, 5m or 1h30m" if duration else f"must match {schema['pattern']}"
            self._say(place, f"{value!r} {wanted}")
        if isinstance(value, int | float):
            self._in_range(value, schema, place)
        elif isinstance(value, str | list):
            for bound, what in _BOUNDS.items():
                if bound.endswith("Length") is isinstance(value, str) and bound in schema:
                    few, many = (
                        bound.startswith("min") and len(value) < schema[bound],
                        bound.startswith("max") and len(value) > schema[bound],
                    )
                    if few or many:
                        many_of = f"{schema[bound]} {what if schema[bound] != 1 else what.removesuffix('s')}"
                        self._say(place, f"must have at {'least' if few else 'most'} {many_of}, and has {len(value)}")
        elif len(value) > schema.get("maxProperties", len(value)):
            self._say(place, f"must have at most {schema['maxProperties']} entries, and has {len(value)}")

    def _in_range(self, value: float, schema: Schema, place: Place) -> None:
        least, most = schema.get("minimum"), schema.get("maximum")
        over, under = schema.get("exclusiveMinimum", False), schema.get("exclusiveMaximum", False)
        if least is not None and (value < least or (over and value == least)):
            self._say(place, f"must be {'more than' if over else 'at least'} {least:g}, and is {value:g}")
        if most is not None and (value > most or (under and value == most)):
            self._say(place, f"must be {'less than' if under else 'at most'} {most:g}, and is {value:g}")

    def _doubled(self, value: Sequence[Any], schema: Schema, place: Place) -> None:
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys is None and schema.get("x-kubernetes-list-type") != "set":
            return
        seen: list[Any] = []
        for index, item in enumerate(value):
            mark = [item.get(key) for key in keys] if keys and isinstance(item, dict) else item
            if mark in seen:
                what = ", ".join(map(str, mark)) if isinstance(mark, list) else mark
                self._say((*place, index), f"{what} is listed more than once")
            seen.append(mark)


def _elsewhere(name: str, properties: Schema) -> str:
    """Say where a field that is not here may belong."""
    homes = [parent for parent, one in properties.items() if name in one.get("properties", {})]
    return f": {name} is a field of {' and of '.join(homes)}" if homes else _suggestion(name, properties)


def _suggestion(word: str, known: Any) -> str:
    by_lower = {str(one).lower(): str(one) for one in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f": did you mean {by_lower[close[0]]}?" if close else ""


def _line(node: yaml.Node, place: Place) -> int:
    if not place:
        return int(node.start_mark.line) + 1
    head, rest = place[0], place[1:]
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            if key.value == str(head):
                return _line(child, rest) if rest else int(key.start_mark.line) + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(head, int) and head < len(node.value):
        return _line(node.value[head], rest)
    return int(node.start_mark.line) + 1


def _child(node: yaml.Node, part: str | int) -> yaml.Node:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        child: yaml.Node = node.value[part]
        return child
    return next((child for key, child in node.value if key.value == part), node)
