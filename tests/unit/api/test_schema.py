"""From a model to a structural schema."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule
from tidegate.api.schema import SchemaError, structural_schema, unbounded, without_defaults, without_rules


class Colour(StrEnum):
    RED = "Red"
    GREEN = "Green"


class Inner(Model):
    """What is inside."""

    name: Annotated[str, Field(max_length=9)]


class Sample(Model):
    """All that the converter knows."""

    optional: Annotated[Inner | None, Field(description="Said at the field.")] = None
    colour: Colour = Colour.RED
    only: Literal["a"] = "a"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    either: Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern="^x$", max_length=1)] | None = None
    span: Duration = timedelta(seconds=90)
    small: Annotated[int, Field(ge=0, le=5)] = 1
    large: int = 0
    listed: Annotated[
        tuple[Annotated[Inner, K8s(rules=(Rule("size(self.name) > 1", "too short", ".name"),))], ...],
        Field(max_length=3),
        K8s(list_map_keys=("name",)),
    ] = ()
    scalars: Annotated[tuple[Annotated[str, Field(max_length=3)], ...], Field(max_length=3), K8s(list_set=True)] = ()
    mapped: Annotated[dict[str, Annotated[str, Field(max_length=2)]], Field(max_length=4)] = {}  # noqa: RUF012 - as the models have it


@pytest.fixture(scope="module")
def properties() -> dict[str, Any]:
    found: dict[str, Any] = structural_schema(Sample)["properties"]
    return found


def test_reference_is_inlined_and_the_field_speaks_first(properties: dict[str, Any]) -> None:
    """An optional part is neither a union nor a reference; the description of the field wins over that of its type."""
    expected = {
        "type": "object",
        "description": "Said at the field.",
        "properties": {"name": {"type": "string", "maxLength": 9}},
        "required": ["name"],
    }

    assert properties["optional"] == expected


def test_choices_are_enums(properties: dict[str, Any]) -> None:
    """Enums keep their default; a single choice is an enum of one."""
    assert properties["colour"]["enum"] == ["Red", "Green"]
    assert properties["colour"]["default"] == "Red"
    assert properties["only"]["enum"] == ["a"]


def test_exclusive_bounds_are_flags(properties: dict[str, Any]) -> None:
    """Kubernetes takes exclusive bounds as booleans beside the bound."""
    expected = {"type": "number", "default": 0.5, "minimum": 0, "exclusiveMinimum": True, "maximum": 1, "exclusiveMaximum": True}

    assert properties["share"] == expected


def test_integer_or_string_is_marked(properties: dict[str, Any]) -> None:
    """The union has the one form that Kubernetes allows, and the bounds of both stand beside it."""
    expected = {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "minimum": 0,
        "pattern": "^x$",
        "maxLength": 1,
    }

    assert properties["either"] == expected


def test_duration_is_text_with_its_default_as_people_write_it(properties: dict[str, Any]) -> None:
    """A duration is a bounded string; its default is no ISO 8601."""
    assert properties["span"]["type"] == "string"
    assert properties["span"]["default"] == "1m30s"
    assert properties["span"]["x-kubernetes-validations"][0]["rule"] == "duration(self) <= duration('720h')"


def test_integers_have_the_width_that_they_need(properties: dict[str, Any]) -> None:
    """A bounded integer is int32, any other int64."""
    assert properties["small"]["format"] == "int32"
    assert properties["large"]["format"] == "int64"


def test_lists_carry_their_marks_and_rules_of_items(properties: dict[str, Any]) -> None:
    """A list is a map by its keys or a set, and rules on the type of its items stand at the items."""
    rule = {"rule": "size(self.name) > 1", "message": "too short", "reason": "FieldValueInvalid", "fieldPath": ".name"}

    assert properties["listed"]["x-kubernetes-list-type"] == "map"
    assert properties["listed"]["x-kubernetes-list-map-keys"] == ["name"]
    assert properties["listed"]["items"]["x-kubernetes-validations"] == [rule]
    assert properties["scalars"]["x-kubernetes-list-type"] == "set"


def test_empty_defaults_are_left_out(properties: dict[str, Any]) -> None:
    """An empty list or map is not filled in: absent says the same."""
    assert "default" not in properties["listed"]
    assert properties["mapped"] == {
        "type": "object",
        "maxProperties": 4,
        "additionalProperties": {"type": "string", "maxLength": 2},
    }


def test_defaults_and_rules_can_be_left_out_at_any_depth() -> None:
    """The schema of a status has no defaults, that of a copied spec no rules; a property of such a name stays."""
    schema = {
        "type": "object",
        "properties": {"default": {"type": "string", "default": "x", "x-kubernetes-validations": [{"rule": "true"}]}},
    }

    assert without_defaults(schema)["properties"]["default"] == {"type": "string", "x-kubernetes-validations": [{"rule": "true"}]}
    assert without_rules(schema)["properties"]["default"] == {"type": "string", "default": "x"}


class Node(Model):
    child: Node | None = None


class Anything(Model):
    what: Any


class Mixed(Model):
    what: int | list[int]


class OpenMap(Model):
    what: dict[str, Any]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Node, "refers to itself"),
        (Anything, "no structural form"),
        (Mixed, "union has no structural form"),
        (OpenMap, "a map needs a type for its values"),
    ],
)
def test_what_has_no_structural_form_is_named(model: type[Model], message: str) -> None:
    """The generator stops instead of writing what the API server would refuse or silently prune."""
    with pytest.raises(SchemaError, match=message):
        structural_schema(model)


class Loose(Model):
    text: str
    many: tuple[Annotated[str, Field(max_length=1)], ...]
    mapped: Annotated[dict[str, str], Field(max_length=1)]


def test_what_may_grow_without_limit_is_found() -> None:
    """Strings, lists and maps without a bound are named, for the cost of CEL rules and the size of objects depend on them."""
    assert unbounded(structural_schema(Loose)) == [".text", ".many", ".mapped{}"]
