"""The OpenAPI 3.1 document of the HTTP API, made of its models, so that clients can be generated (https://spec.openapis.org/oas)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tidegate.serve.bodies import (
    EITHER,
    LABEL,
    LONGEST_NAME,
    WORDS,
    Decide,
    Health,
    ManyRollouts,
    OneDecision,
    OneRollout,
    Prepare,
    Promote,
    Refusal,
    Rollback,
)

Models = Mapping[type[BaseModel], Any]
_REF = "#/components/schemas/{model}"
_NAMESPACE = {"type": "string", "maxLength": LONGEST_NAME, "pattern": LABEL}
_PARAMETERS = [
    {"name": "namespace", "in": "query", "schema": _NAMESPACE, "description": "Namespace of the Releases; or the header."},
    {"name": "X-Tenant-Slug", "in": "header", "schema": _NAMESPACE, "description": "Namespace of the Releases; or the query."},
]
_RELEASE_ID = {
    "name": "release_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "maxLength": LONGEST_NAME, "pattern": EITHER, "not": {"enum": list(WORDS)}},
    "description": "Id of a rollout, or name of a Release.",
}
_REFUSALS = {
    400: "no namespace, or none that is one",
    401: "no token, or an unknown one",
    403: "the API server does not let this account do that",
    404: "no such Release, rollout or path",
    405: "this method is not for this path",
    408: "the body did not come in time",
    409: "it does not fit what the Release is at",
    413: "the body is too large",
    415: "the body is not JSON",
    422: "the body is not as it should be; the message names field and cause",
    429: "too many requests; come back after Retry-After",
    500: "a fault of the HTTP API itself",
    502: "the API server has answered otherwise than it should",
    503: "the API server is away, or other requests have taken all turns to ask it; come back after Retry-After",
    504: "the API server did not answer in time",
}
_READS = (400, 401, 403, 404, 405, 409, 429, 500, 502, 503, 504)
_WRITES = tuple(_REFUSALS)


@dataclass(frozen=True)
class Operation:
    """What can be asked for.

    Attributes:
        verb: HTTP method in lower case.
        path: with its parameters in braces.
        name: its operationId.
        words: what it does.
        answers: models of its answers by status.
        body: model of its body; None where it has none.
    """

    verb: str
    path: str
    name: str
    words: str
    answers: Mapping[int, tuple[type[BaseModel], ...]]
    body: type[BaseModel] | None = None


OPERATIONS = (
    Operation("get", "/api/releases", "list", "What each Release of a namespace is at.", {200: (ManyRollouts,)}),
    Operation("get", "/api/releases/{release_id}", "show", "One rollout.", {200: (OneRollout,)}),
    Operation(
        "post",
        "/api/releases/prepare",
        "prepare",
        "Bring the version that is in force in one environment to the next: its images go into the Deployment there.",
        {200: (OneRollout,), 202: (OneRollout,)},
        Prepare,
    ),
    Operation(
        "post",
        "/api/releases/promote",
        "promote",
        "Let a rollout go on: approve what waits for your role, or skip what is left.",
        {200: (OneRollout,), 201: (OneDecision,), 202: (OneRollout,)},
        Promote,
    ),
    Operation(
        "post",
        "/api/releases/rollback",
        "rollback",
        "Give all requests back to the version in force.",
        {201: (OneDecision,)},
        Rollback,
    ),
    Operation("post", "/api/releases/decide", "decide", "Make any decision, as a ReleaseDecision.", {201: (OneDecision,)}, Decide),
)
_DONE = {200: "as it is now", 201: "a decision was made", 202: "it is under way"}


def document(version: str) -> dict[str, Any]:
    """Return the document.

    Args:
        version: of Tidegate.
    """
    models: set[type[BaseModel]] = {Health, Refusal}
    for one in OPERATIONS:
        models |= {*([one.body] if one.body is not None else []), *(model for several in one.answers.values() for model in several)}
    named = sorted(models, key=lambda model: model.__name__)
    refs, schemas = models_json_schema([(model, "validation") for model in named], ref_template=_REF)
    of: Models = {model: refs[model, "validation"] for model in named}
    paths: dict[str, dict[str, Any]] = {"/health": {"get": _health(of)}}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.verb] = _operation(of, one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": version,
            "description": "Releases over HTTP. Every request is made with the caller's own token and has the caller's own rights.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(of: Models, one: Operation) -> dict[str, Any]:
    responses = {str(status): _response(of, _DONE[status], *models) for status, models in one.answers.items()}
    for status in _WRITES if one.body else _READS:
        responses[str(status)] = _response(of, _REFUSALS[status], Refusal)
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.words,
        "parameters": [*([_RELEASE_ID] if "{" in one.path else []), *_PARAMETERS],
        "responses": responses,
    }
    if one.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": of[one.body]}}}
    return found


def _health(of: Models) -> dict[str, Any]:
    responses = {"200": _response(of, "it answers", Health)}
    for status in _READS:
        responses[str(status)] = _response(of, _REFUSALS[status], Refusal)
    return {
        "operationId": "health",
        "summary": "Whether this process answers; with a token and a namespace also how its Releases are.",
        "security": [{}, {"bearer": []}],
        "parameters": _PARAMETERS,
        "responses": responses,
    }


def _response(of: Models, words: str, *models: type[BaseModel]) -> dict[str, Any]:
    schema = of[models[0]] if len(models) == 1 else {"anyOf": [of[model] for model in models]}
    return {"description": words, "content": {"application/json": {"schema": schema}}}
