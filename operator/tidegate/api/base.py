"""What every model of the API shares: naming, durations, times and the marks that Kubernetes adds to a schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
"""The durations of Gateway API (GEP-2257): up to four parts, so that no sum overflows."""
_DURATION = re.compile(DURATION_PATTERN)
_PART = re.compile(r"([0-9]{1,5}+)(ms|s|m|h)")
_UNITS = {
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


SENTENCE = 1024
"""Characters that a sentence in a status may have."""
MOST_TOLD = 3
"""Objects or labels that a message names: a status is read in one glance."""
Sentence = Annotated[str, Field(max_length=SENTENCE)]


class Model(BaseModel):
    """A part of the API: camelCase on the wire, immutable in memory.

    Unknown fields are ignored when read, so that an older operator survives objects written under a newer schema.

    Pydantic keeps a set of the fields that were given with each model, which takes more memory than their values do: 2 kB for each
    gate's status, as much for its evidence. Thousands of models have the same fields, so equal sets are one.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def model_post_init(self, _context: Any, /) -> None:
        """Share the set of the fields that were given."""
        object.__setattr__(self, "__pydantic_fields_set__", _one_of(self.__pydantic_fields_set__))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some values replaced, which are not checked; the sets of fields stay as they are."""
        if deep:
            return super().model_copy(update=update, deep=True)
        copied, given, new = object.__new__(type(self)), self.__pydantic_fields_set__, update or {}
        fields = {**self.__dict__, **new}
        known = given if new.keys() <= given else _one_of({*given, *new})
        values = (("__dict__", fields), ("__pydantic_fields_set__", known), ("__pydantic_extra__", None))
        for name, value in (*values, ("__pydantic_private__", None)):
            object.__setattr__(copied, name, value)
        return copied

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form with camelCase names and without absent values."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


_MOST_GIVEN = 4096
_given: dict[frozenset[str], set[str]] = {}


def _one_of(given: set[str]) -> set[str]:
    """Return the first of equal sets, which nobody may change."""
    if len(_given) >= _MOST_GIVEN:
        _given.clear()
    return _given.setdefault(frozenset(given), given)


@dataclass(frozen=True)
class Rule:
    """A CEL rule that the API server enforces on the object at which it stands (`x-kubernetes-validations`)."""

    rule: str
    message: str
    field_path: str | None = None
    reason: str = "FieldValueInvalid"

    def to_wire(self) -> dict[str, str]:
        """Return the rule as an item of `x-kubernetes-validations`."""
        wire = {"rule": self.rule, "message": self.message, "reason": self.reason}
        if self.field_path is not None:
            wire["fieldPath"] = self.field_path
        return wire


@dataclass(frozen=True)
class K8s:
    """Marks that Kubernetes adds to a schema, to be put into `Annotated` on a field, an item or a type.

    Attributes:
        list_map_keys: the list is a map under server-side apply with these keys.
        list_set: the list is a set of scalars.
        rules: CEL rules for the value.
    """

    list_map_keys: tuple[str, ...] = ()
    list_set: bool = False
    rules: tuple[Rule, ...] = ()

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Lay the marks over the JSON schema of what is annotated; validation in memory is not touched."""
        schema = dict(handler(core_schema))
        if self.list_map_keys:
            schema["x-kubernetes-list-type"] = "map"
            schema["x-kubernetes-list-map-keys"] = list(self.list_map_keys)
        elif self.list_set:
            schema["x-kubernetes-list-type"] = "set"
        if self.rules:
            known = schema.get("x-kubernetes-validations", [])
            schema["x-kubernetes-validations"] = [*known, *(rule.to_wire() for rule in self.rules)]
        return schema


def parse_duration(value: object) -> timedelta:
    """Read a duration such as `30m`, `1h30m` or `500ms`.

    Raises:
        ValueError: the text is not a sequence of numbers with the units h, m, s or ms.
    """
    if isinstance(value, timedelta):
        return value
    text = str(value)
    if not _DURATION.fullmatch(text):
        msg = f"{text!r} is not a duration: write for example 30s, 5m or 1h30m"
        raise ValueError(msg)
    return sum((int(number) * _UNITS[unit] for number, unit in _PART.findall(text)), timedelta())


def format_duration(value: timedelta) -> str:
    """Write a duration in the form that `parse_duration` reads, in the largest units that fit."""
    rest = round(value / timedelta(milliseconds=1))
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def plain(text: str, most: int) -> str:
    """Return a text from outside as one line that can be shown anywhere: no control characters, no more than so many characters."""
    line = " ".join(text.split())
    shown = line if line.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in line)
    return clip(shown, most)


def clip(text: str, most: int = SENTENCE) -> str:
    """Return a text with no more than so many characters; one that had more ends with the sign for it."""
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def and_more(count: int, told: int = MOST_TOLD) -> str:
    """Return how many of so many are not among those that a message names, as the end of its list; empty where all are."""
    return f" and {count - told} more" if count > told else ""


def parse_time(value: object) -> datetime:
    """Read an RFC 3339 time as an aware datetime in UTC.

    Raises:
        ValueError: the text is no such time.
    """
    try:
        # The API server takes lower-case letters, too.
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).upper())
    except ValueError as error:
        raise ValueError("must be a time as in RFC 3339, e.g. 2026-12-24T09:00:00Z") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time is out of range in UTC") from error


def format_time(value: datetime) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds: holds of a second are judged to the millisecond."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 28}),
    K8s(rules=(Rule("duration(self) <= duration('720h')", "must not be longer than 720h (30 days)"),)),
]
"""A span of time, at most 30 days."""
Time = Annotated[
    datetime,
    BeforeValidator(parse_time),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
