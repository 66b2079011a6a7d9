"""Whether the API server vouches for who has made a ReleaseDecision or a record: the policy is in force, and it is the one we ship.

Without it anybody with the right to create decisions writes any name into one. So none counts then, and none that is older than the
policy, or was made in the seconds before the API server had it in force. Records count for nothing: they are written all the same,
and it is said that others could write them, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tidegate.api.base import format_time, parse_time

POLICY = "tidegate-decisions"
"""Name of the ValidatingAdmissionPolicy of decisions and of its binding."""
RECORDS_POLICY = "tidegate-records"
"""The same of records."""
SHIPPED = {
    POLICY: {
        "ValidatingAdmissionPolicy": "c3e20bc581ea4b9e3cd4c91be094c36d01d721eac78f0d00d3af1052d7cf66f2",
        "ValidatingAdmissionPolicyBinding": "308ddcec7a1e27af09401f32c83a30289097a751d06c597d7b630edaf4445ad1",
    },
    RECORDS_POLICY: {
        "ValidatingAdmissionPolicy": "7b3c6bc22c2ab5822ee666af91cdfb91eaa9570fb509b4f188da3a86361989b7",
        "ValidatingAdmissionPolicyBinding": "2560194d9856f53f4bb6d90f82fdd18200330c1f5ffc7b102eb64dc19077e793",
    },
}
"""Digests of their specs as they stand in `deploy/admission`, by policy and kind; a test compares them."""
IN_FORCE = timedelta(seconds=5)
"""How long an API server may take to have a policy in force after it was made: what was written meanwhile was judged by nobody."""
_DEFAULTS = {"matchPolicy": "Equivalent", "scope": "*", "failurePolicy": "Fail"}
"""What the API server fills in."""


@dataclass(frozen=True)
class Standing:
    """How far decisions, or records, can be believed.

    Attributes:
        trouble: why none can, in words; empty where they can.
        since: those that were made later than this can.
    """

    trouble: str = ""
    since: datetime | None = None


def standing(policy: Mapping[str, Any] | None, binding: Mapping[str, Any] | None, name: str = POLICY) -> Standing:
    """Return how far decisions or records can be believed by what is installed.

    Args:
        policy: the ValidatingAdmissionPolicy; None where there is none.
        binding: its binding; None where there is none.
        name: of the policy, which says what it is about.
    """
    since = None
    for (kind, shipped), obj in zip(SHIPPED[name].items(), (policy, binding), strict=True):
        if obj is None:
            return Standing(f"{kind} {name} was not found: install deploy/admission, which takes Kubernetes 1.30 or later")
        if digest_of(obj.get("spec")) != shipped:
            return Standing(f"{kind} {name} is not the one of this version of Tidegate: install deploy/admission again")
        if obj["metadata"].get("deletionTimestamp"):
            return Standing(f"{kind} {name} is being deleted: install deploy/admission again")
        made = parse_time(obj["metadata"]["creationTimestamp"])
        since = made if since is None else max(since, made)
    assert since is not None
    return Standing(since=since + IN_FORCE)


def doubt(created: datetime, generation: int, now: Standing) -> str:
    """Return why a decision cannot be believed although others can, in words; empty where it can.

    Args:
        created: when it was made.
        generation: its metadata.generation, which is 1 as long as nobody has changed it, or changed it back.
        now: how far decisions can be believed.
    """
    if now.since is not None and created <= now.since:
        return f"it is older than the admission policy {POLICY}, in force since {format_time(now.since)}: decide again"
    if generation != 1:
        return f"it was changed after it was made, so the admission policy {POLICY} was not in force then: decide again"
    return ""


def digest_of(spec: object) -> str:
    """Return the digest of a policy's spec, whether the API server has filled in its defaults or not."""
    text = json.dumps(_without_defaults(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_defaults(value: object) -> object:
    match value:
        case Mapping():
            kept = {key: _without_defaults(child) for key, child in value.items() if _DEFAULTS.get(key) != child}
            return {key: child for key, child in kept.items() if child not in ({}, [], None)}
        case list() | tuple():
            return [_without_defaults(child) for child in value]
    return value
