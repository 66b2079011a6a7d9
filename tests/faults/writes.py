"""What a request says, in one line that is the same in every run: by it, one run's write is found again in another run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from e2e.manifests import NAME
from tidegate.cluster.resources import Target

Json = Any
READS = {"get", "list", "watch"}
TOLD = ("phase", "weight", "handledRequest")
"""Fields of a status whose values are part of what a write says."""
LAST_FINALIZER = "no-finalizer"
"""What a write says that lets a deleted Release go."""
NUMBERS = "numbers"
"""What a write says that stores what was counted, and nothing else: it comes now and then, whoever it is about."""
DECISIVE = (
    *("candidate", "carriedOut", "checks", "contracted", "lastRollout", "migration", "originalRules", "rejected", "reviews"),
    *("rollout", "stable", "step"),
)
"""Fields of a status that are named where a write touches them."""


@dataclass(frozen=True)
class Kind:
    """What sort of request it is.

    Attributes:
        verb: in RBAC's terms.
        resource: qualified, with its subresource.
    """

    verb: str
    resource: str

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.verb not in READS

    def __str__(self) -> str:
        plural, _, sub = self.resource.strip("/").partition("/")
        return "-".join(part for part in (self.verb, plural.split(".")[0], sub.replace("/", "-")) if part)


@dataclass(frozen=True)
class Asked:
    """One request of the operator.

    Attributes:
        kind: what sort.
        says: what it says, in words that are the same in each run.
        nth: how many said the same before it.
    """

    kind: Kind
    says: str
    nth: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.says}" + (f" ({self.nth + 1})" if self.nth else "")


def kind_of(method: str, path: str) -> Kind:
    """Return what sort of request it is."""
    parts = urlsplit(path)
    target = Target.of(parts.path)
    verb = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}.get(method)
    if verb is None:
        verb = "watch" if "watch=true" in parts.query or "watch=1" in parts.query else "get" if target.name else "list"
    return Kind(verb, target.resource)


def words_of(kind: Kind, path: str, payload: bytes) -> str:
    """Return what a write says."""
    name = Target.of(urlsplit(path).path).name
    try:
        body = json.loads(payload) if payload else {}
    except ValueError:
        return "no JSON"
    match kind.resource.split(".")[0]:
        case "releases":
            said = _status(body["status"]) if kind.resource.endswith("/status") else _release(body)
            return said if said == NUMBERS or not name or name.startswith(NAME) else f"{name} {said}"
        case "httproutes":
            return _route(body)
        case "services":
            name = name or body["metadata"]["name"]
            role = name.removeprefix(f"{NAME}-") if name != NAME else "user"
            return f"{role} {_patch(body)}" if isinstance(body, list) else role
        case "events":
            return str(body.get("reason", "again"))
        case "releasedecisions":
            return ",".join(one["value"]["outcome"] for one in body if isinstance(one.get("value"), Mapping))
        case _:
            return _patch(body) if isinstance(body, list) else ""


def _status(status: Mapping[str, Json]) -> str:
    told = [f"{field}={_short(status[field])}" for field in TOLD if field in status]
    touched = [_touched(field, status[field]) for field in DECISIVE if field in status]
    return " ".join([*told, *(words for words in touched if words)]) or NUMBERS


def _touched(field: str, value: Json) -> str:
    if value is None:
        return f"no-{field}"
    if isinstance(value, Mapping):
        inner = sorted(name for name in value if name not in {"ready", "replicas"})
        if field == "rollout" and "spec" not in value:
            return f"{field}({','.join(inner)})"
        return f"{field}({','.join(inner)})" if field == "step" else field if inner else ""
    return field if value else f"no-{field}"


def _short(value: Json) -> str:
    return str(value).partition("/")[0]


def _release(body: Mapping[str, Json]) -> str:
    finalizers = body.get("metadata", {}).get("finalizers")
    return "finalizer" if finalizers else LAST_FINALIZER


def _route(operations: Json) -> str:
    if not isinstance(operations, list):
        return "traces"
    for one in operations:
        if one["op"] != "test" and isinstance(one.get("value"), list):
            backends = [entry for entry in one["value"] if isinstance(entry, Mapping) and "name" in entry]
            if backends:
                return ",".join(_backend(entry) for entry in backends if entry.get("weight") or entry["name"] != NAME)
    return _patch(operations)


def _backend(entry: Mapping[str, Json]) -> str:
    """Name a backend; the user's own at weight 0 is left out by the caller: whether it has left yet is a matter of timing."""
    return f"{entry['name'].removeprefix(NAME) or 'user'}={entry.get('weight', '')}"


def _patch(operations: list[Json]) -> str:
    said = []
    for one in operations:
        if one["op"] == "test":
            continue
        value = one.get("value")
        plain = f"={value}" if isinstance(value, bool | int) else ""
        said.append(f"{one['op']} {one['path'].rpartition('/')[2].rpartition('~1')[2]}{plain}")
    return ", ".join(said)
