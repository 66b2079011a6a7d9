"""What somebody has asked the API server for, as the API server's own audit log has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tidegate_sandbox.cluster import ClusterInfo


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        verb: in RBAC's terms.
        resource: as in RBAC rules, with the subresource: `releases/status`.
        group: of the API.
        namespace: empty for the whole cluster.
        name: of the object; empty for a collection.
        status: what it was answered with.
    """

    verb: str
    resource: str
    group: str
    namespace: str
    name: str
    status: int


def asked_by(user: str) -> list[Asked]:
    """Return the requests for resources of a user, oldest first; watches that are still on among them."""
    return list(_lines(user))


def _lines(user: str) -> Iterator[Asked]:
    log = ClusterInfo.from_environment().audit_log
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            # Most lines are of others, and reading them as JSON takes long.
            if user not in line or not line.endswith("\n"):
                continue
            entry = json.loads(line)
            reference = entry.get("objectRef")
            if entry["user"]["username"] != user or reference is None or entry["stage"] == "RequestReceived":
                continue
            yield Asked(
                verb=entry["verb"],
                resource="/".join(part for part in (reference["resource"], reference.get("subresource")) if part),
                group=reference.get("apiGroup", ""),
                namespace=reference.get("namespace", ""),
                name=reference.get("name", ""),
                status=(entry.get("responseStatus") or {}).get("code", 0),
            )
