"""The document of the HTTP API says what the program does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from tidegate.cluster.client import Cluster
from tidegate.runtime.clock import SystemClock
from tidegate.serve.app import Service
from tidegate.serve.openapi import document

DOCUMENT = document("0.1.0")


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def routes() -> set[tuple[str, str]]:
    """Return verb and path of all that the application answers, but for its own document and the other spelling of the list."""
    service = Service(Cluster.__new__(Cluster), SystemClock())
    found = {
        (route.method.lower(), route.resource.canonical)
        for route in service.application().router.routes()
        if route.method != "HEAD" and isinstance(route.resource, web.PlainResource | web.DynamicResource)
    }
    return found - {("get", "/openapi.json"), ("get", "/api/releases/")}


def test_every_route_is_in_it_and_nothing_else() -> None:
    assert routes() == {(verb, path) for path, operations in DOCUMENT["paths"].items() for verb in operations}


def test_references_lead_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {found.removeprefix("#/components/schemas/") for found in references(DOCUMENT)} == set(schemas)


def test_whatever_people_type_is_bounded() -> None:
    """Each text of a request has a length, in the document as in the program."""
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    }
    assert {"Prepare", "Promote", "Rollback", "Decide"} == bodies
    schemas = DOCUMENT["components"]["schemas"]
    bodies |= {one["$ref"].rsplit("/", 1)[-1] for one in schemas["Decide"]["oneOf"]}
    for name in bodies - {"Decide"}:
        for field, schema in schemas[name]["properties"].items():
            for one in schema.get("anyOf", [schema]):
                assert one.get("type") != "string" or {"maxLength", "const", "enum"} & one.keys(), f"{name}.{field}"


def test_it_is_json_and_names_one_security_scheme() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    assert [{"bearer": []}] == DOCUMENT["security"]
    assert re.fullmatch(r"3\.1\.\d", DOCUMENT["openapi"])
