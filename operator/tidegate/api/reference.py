"""Writes the reference of the kinds from their schemas: `python -m tidegate.api.reference [--check] FILE`.

A page that is written by hand would say something else than the API server enforces, sooner or later.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tidegate.api import names
from tidegate.api.base import DURATION_PATTERN
from tidegate.api.crds import KINDS, Kind, build_schema
from tidegate.api.schema import Schema
from tidegate.api.status import Outcome

HEAD = """\
<!-- Generated from the models in operator/tidegate/api. Do not edit: run `python -m tidegate.api.reference docs/reference.md`. -->

# Reference

All kinds are of the group `tidegate.dev`, version `v1alpha1`. `kubectl explain releases.spec` (and so on) says the same.

- **duration**: up to four numbers with the units h, m, s or ms, such as `30m` or `1h30m`; at most 720h.
- **time**: RFC 3339 in UTC.
- `[]` stands for each item of a list, `{}` for each value of a map.
"""
_RULES = "x-kubernetes-validations"
_DEFAULT = re.compile(r"Default: ((?:[^.\n]|\.(?!\s|$)){1,200}+)\.(?:\s++|$)")
"""The sentence of a description that names the default: `kubectl explain` has no other place for it, a table has a column."""
_COPIED = ".rollout.spec"
"""Where a Release's status holds a copy of a policy: the policy's own table describes it."""


@dataclass(frozen=True)
class Row:
    """A row of a table of fields."""

    field: str
    type: str
    default: str
    description: str

    def to_markdown(self) -> str:
        """Return the row with what Markdown would read as a column's end escaped."""
        cells = (f"`{self.field}`", self.type, self.default, self.description)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


REQUESTS = "promote, rollback, rollback-and-hold, pause, resume or retry"
"""The verbs of requests, as people read them."""


def rows(schema: Schema, path: str = "") -> Iterator[Row]:
    """Go through the fields of an object's schema, depth first."""
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        place = f"{path}.{name}"
        default = "**required**" if name in required else _default_of(child)
        yield Row(place.lstrip("."), _type_of(child), default, _describe(child))
        if place != _COPIED:
            yield from _rows_inside(child, place)


def render() -> str:
    """Return the whole reference as Markdown."""
    parts = [HEAD]
    described: dict[type, str] = {}
    for kind in KINDS:
        parts.append(_section(kind, described.get(kind.spec)))
        described.setdefault(kind.spec, kind.name)
    parts.append(_names_section())
    return "\n".join(parts)


def _rows_inside(schema: Schema, path: str) -> Iterator[Row]:
    match schema:
        case {"properties": _}:
            yield from rows(schema, path)
        case {"items": {"properties": _} as items}:
            yield from rows(items, f"{path}[]")
        case {"additionalProperties": {"properties": _} as values}:
            yield from rows(values, f"{path}{{}}")


def _section(kind: Kind, same_as: str | None) -> str:
    schema = build_schema(kind)
    scope = "namespaced" if kind.scope == "Namespaced" else "for the whole cluster"
    lines = [
        f"## {kind.name}",
        "",
        f"{schema['description']}",
        "",
        f"Plural `{kind.plural}`, short name `{kind.short}`, {scope}. `kubectl get {kind.plural}` shows: "
        + ", ".join(column.name for column in kind.columns if not column.wide)
        + "; with `-o wide` also "
        + ", ".join(column.name for column in kind.columns if column.wide)
        + ".",
        "",
    ]
    if kind.selectable:
        selectors = ", ".join(f"`{path.lstrip('.')}`" for path in kind.selectable)
        lines += [f"`--field-selector` takes {selectors} (Kubernetes 1.32 and later).", ""]
    lines += [f"- `{rule.field_path or ''}` {rule.message}.".replace("`.", "`") for rule in kind.rules]
    lines += [""] if kind.rules else []
    for part in ("spec", "status"):
        if part not in schema["properties"]:
            continue
        if part == "spec" and same_as is not None:
            lines += [f"The spec is that of [{same_as}](#{same_as.lower()}).", ""]
            continue
        lines += [f"### {kind.name} {part}", "", *_table(schema["properties"][part]), ""]
    return "\n".join(lines)


def _table(schema: Schema) -> list[str]:
    return ["| field | type | default | description |", "|---|---|---|---|", *(row.to_markdown() for row in rows(schema))]


def _describe(schema: Schema) -> str:
    """Return the description with the rules that the API server enforces on the field and on its items."""
    text = _DEFAULT.sub("", schema.get("description", "")).strip()
    rules = [*schema.get(_RULES, ()), *schema.get("items", {}).get(_RULES, ())]
    said = [rule["message"] for rule in rules if schema.get("pattern") != DURATION_PATTERN]
    return f"{text} *{'; '.join(said)[0].upper()}{'; '.join(said)[1:]}.*" if said else text


def _default_of(schema: Schema) -> str:
    if isinstance(schema.get("default"), str | int | float):
        return f"`{json.dumps(schema['default']).strip(chr(34))}`"
    said = _DEFAULT.search(schema.get("description", ""))
    return said[1] if said else ""


def _type_of(schema: Schema) -> str:
    match schema:
        case {"x-kubernetes-int-or-string": True}:
            return "integer or percentage"
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"pattern": pattern} if pattern == DURATION_PATTERN:
            return "duration"
        case {"format": "date-time"}:
            return "time"
        case {"items": items}:
            return f"list of {_plural(_type_of(items))}, {_span(schema, 'minItems', 'maxItems')}"
        case {"additionalProperties": values}:
            return f"map of {_plural(_type_of(values))}, {_span(schema, 'minProperties', 'maxProperties')}"
        case {"type": "integer" | "number" as kind} if "minimum" in schema or "maximum" in schema:
            return f"{kind}, {_span(schema, 'minimum', 'maximum')}"
        case {"type": "string", "maxLength": longest}:
            return f"string, at most {longest} characters"
    return str(schema["type"])


def _plural(text: str) -> str:
    first, comma, rest = text.partition(",")
    return f"{first}s{comma}{rest}"


def _span(schema: Schema, least: str, most: str) -> str:
    low = f"{'above ' if schema.get('exclusiveMinimum') else ''}{schema.get(least, 0)}"
    high = f"{'below ' if schema.get('exclusiveMaximum') else ''}{schema[most]}" if most in schema else "any"
    return f"{low} to {high}"


def _names_section() -> str:
    """Return the names that scripts and alerts rely on."""
    sets: tuple[tuple[str, type[StrEnum]], ...] = (
        ("Phases", names.Phase),
        ("Conditions", names.Condition),
        ("Reasons of conditions", names.Reason),
        ("Causes", names.Cause),
        ("Outcomes", Outcome),
        ("Reasons of Events", names.EventReason),
    )
    lines = ["## Names", "", "| what | names |", "|---|---|"]
    lines += [f"| {title} | {', '.join(f'`{member.value}`' for member in members)} |" for title, members in sets]
    lines += [
        f"| Label on a managed Deployment | `{names.LABEL_RELEASE}`: the name of its Release |",
        f"| Label on the operator's Services and ReplicaSets | `{names.LABEL_ROLE}`: `stable` or `canary` |",
        f"| Labels on the operator's Jobs | `{names.LABEL_RELEASE}`, and `{names.LABEL_CHECK}`: name of the check |",
        f"| Labels on Jobs of migrations | `{names.LABEL_RELEASE}`, and `{names.LABEL_MIGRATION}`: what they do, such as Expand |",
        f"| Annotation on a migration's Job | `{names.ANNOTATION_PROGRESS}`: how far it is, by whoever knows |",
        f"| Annotation on a CronJob | `{names.ANNOTATION_RUN_FOR}`: Releases that may run it, with commas between; `*` for all |",
        f"| Annotation on a Release | `{names.ANNOTATION_REQUEST}`: `<verb>/<id>` with {REQUESTS} |",
        f"| Annotation on a Deployment | `{names.ANNOTATION_COMMITTED_AT}`: when the commit of its version was made (RFC 3339) |",
        f"| Annotation on a Deployment | `{names.ANNOTATION_HANDED_BACK}`: why a Release that is gone has left it paused |",
        f"| Finalizer on a Release | `{names.FINALIZER}` |",
        f"| Admission policy that holds changed templates | `{names.HOLD_POLICY}` |",
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or with `--check` only compare it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.api.reference", description=__doc__)
    parser.add_argument("file", type=Path, help="the Markdown file")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is not up to date")
    options = parser.parse_args(arguments)
    text = render()
    if options.check:
        fresh = options.file.is_file() and options.file.read_text(encoding="utf-8") == text
        if not fresh:
            sys.stderr.write(f"not up to date: {options.file}\n")
        return 0 if fresh else 1
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
