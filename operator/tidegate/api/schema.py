"""From pydantic's JSON schema to the structural schema that Kubernetes takes for a custom resource (OpenAPI v3).

The API server refuses references, unions with null, numbers as exclusive bounds and a dozen more things that pydantic
writes as a matter of course; and it reads marks of its own (`x-kubernetes-*`). The rules are those of
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from tidegate.api.base import format_duration

Schema = dict[str, Any]

_KEPT = (
    "type",
    "description",
    "default",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)
_INT32 = range(-(2**31), 2**31)
_RULES = "x-kubernetes-validations"


class SchemaError(ValueError):
    """A model says something that a structural schema cannot; the message names the place."""


class _Generator(GenerateJsonSchema):
    """Writes defaults as they stand in a manifest: pydantic would write durations as ISO 8601 has them."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model, with its defaults and CEL rules.

    Raises:
        SchemaError: the model refers to itself, or uses a type that has no structural form.
    """
    document = model.model_json_schema(mode="validation", by_alias=True, schema_generator=_Generator)
    return _convert(document, document.get("$defs", {}), model.__name__, ())


def without_defaults(schema: Schema) -> Schema:
    """Return the schema without any default, for a status: only its writer knows what an absent field means."""
    return _strip(schema, "default")


def without_rules(schema: Schema) -> Schema:
    """Return the schema without CEL rules, for a copy of what had to obey them when it was written.

    A rule that a later version adds must not stop the operator from storing the status of a rollout that began before.
    """
    return _strip(schema, _RULES)


def unbounded(schema: Schema, path: str = "") -> list[str]:
    """Name every string, list and map of a structural schema that may grow without limit."""
    found = []
    match schema:
        case {"type": "string"} if not {"maxLength", "enum"} & schema.keys():
            found.append(path)
        case {"type": "array"} if "maxItems" not in schema:
            found.append(path)
        case {"additionalProperties": _} if "maxProperties" not in schema:
            found.append(path)
    for name, child in schema.get("properties", {}).items():
        found += unbounded(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            found += unbounded(schema[key], path + mark)
    return found


def _convert(raw: Schema, definitions: Schema, path: str, seen: tuple[str, ...]) -> Schema:
    schema = dict(raw)
    if "$ref" in schema:
        name = schema.pop("$ref").rpartition("/")[2]
        if name in seen:
            msg = f"{path}: {name} refers to itself, which a structural schema cannot"
            raise SchemaError(msg)
        return _convert({**definitions[name], **schema}, definitions, path, (*seen, name))
    if "anyOf" in schema:
        return _convert_union(schema, definitions, path, seen)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    converted = {key: schema[key] for key in _KEPT if key in schema}
    _make_bounds_boolean(converted)
    if "description" in converted:
        converted["description"] = " ".join(converted["description"].split())
    match schema.get("type"):
        case "object":
            converted |= _convert_object(schema, definitions, path, seen)
        case "array" if isinstance(schema.get("items"), dict):
            converted["items"] = _convert(schema["items"], definitions, f"{path}[]", seen)
        case "integer":
            bounds = (schema.get("minimum"), schema.get("maximum"))
            small = all(isinstance(bound, int) and bound in _INT32 for bound in bounds)
            converted.setdefault("format", "int32" if small else "int64")
        case "string" | "number" | "boolean":
            pass
        case other:
            msg = f"{path}: type {other!r} has no structural form"
            raise SchemaError(msg)
    if converted.get("default") in ([], {}):
        del converted["default"]  # absent says the same, and objects stay as short as their authors wrote them
    return converted


def _convert_object(schema: Schema, definitions: Schema, path: str, seen: tuple[str, ...]) -> Schema:
    if "properties" in schema:
        members: Schema = {
            "properties": {
                name: _convert(child, definitions, f"{path}.{name}", seen) for name, child in schema["properties"].items()
            }
        }
        if schema.get("required"):
            members["required"] = list(schema["required"])
        return members
    values = schema.get("additionalProperties")
    if not isinstance(values, dict):
        msg = f"{path}: a map needs a type for its values"
        raise SchemaError(msg)
    return {"additionalProperties": _convert(values, definitions, f"{path}{{}}", seen)}


def _convert_union(schema: Schema, definitions: Schema, path: str, seen: tuple[str, ...]) -> Schema:
    """Collapse what is optional, and write an integer or string as Kubernetes has it."""
    branches = [branch for branch in schema.pop("anyOf") if branch.get("type") != "null"]
    if schema.get("default", ...) is None:
        del schema["default"]
    if len(branches) == 1:
        rules = [*branches[0].get(_RULES, []), *schema.get(_RULES, [])]
        return _convert({**branches[0], **schema, **({_RULES: rules} if rules else {})}, definitions, path, seen)
    if len(branches) == 1 + 1 and {branch.get("type") for branch in branches} == {"integer", "string"}:
        # Outside of the union, bounds apply to numbers only, and length and pattern to strings only.
        bounds = {key: value for branch in branches for key, value in branch.items() if key not in ("type", "title")}
        kept = {key: value for key, value in {**bounds, **schema}.items() if key in _KEPT}
        return {**kept, "x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    msg = f"{path}: this union has no structural form"
    raise SchemaError(msg)


def _make_bounds_boolean(schema: Schema) -> None:
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in schema:
            schema[bound] = schema[exclusive]
            schema[exclusive] = True


def _strip(schema: Schema, mark: str) -> Schema:
    """Return the schema without the mark, at any depth; names of properties are no marks."""
    stripped = {key: value for key, value in schema.items() if key != mark}
    if "properties" in schema:
        stripped["properties"] = {name: _strip(child, mark) for name, child in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            stripped[key] = _strip(schema[key], mark)
    return stripped
