"""The documents of `tidegate evidence` as models: what release processes ask for by these names, and the JSON schemas of them.

The names are those that such processes use, in snake_case; what a record does not have is null or empty, and never made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tidegate.api.status import Outcome
from tidegate.cli import migrated
from tidegate.governance.records import hash_of

Text = Annotated[str, Field(max_length=4096)]
Spec = Mapping[str, Any]
_STATUS: dict[str, Literal["promoted", "failed", "rolled_back"]] = {
    Outcome.PROMOTED.value: "promoted",
    Outcome.ROLLED_BACK.value: "rolled_back",
    Outcome.SUPERSEDED.value: "failed",
    Outcome.REVERTED.value: "failed",
}


class Document(BaseModel):
    """A document; unknown fields are refused, so that a schema says all that there may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Of(Document):
    """Which record a document is of.

    Attributes:
        name: namespace and name of the Release.
        number: place in its chain.
        hash: of the record, as it says.
        verified: whether its content has that hash.
    """

    name: Text
    number: int
    hash: Text
    verified: bool


class Manifest(Document):
    """manifest.json: what was released, from where to where, and what became of it."""

    id: Annotated[str, Field(pattern=r"^rel_[0-9]{8}_[0-9]{4}(_[0-9]+)?$")]
    from_env: Text | None
    to_env: Text | None
    version: Text
    rollback_version: Text
    type: Text | None
    bundle_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    images: dict[str, Text]
    backup: migrated.Backup | None
    migrations: list[migrated.Migration]
    feature_flags: dict[str, Text]
    tools_transcript_ids: list[Text]
    status: Literal["promoted", "failed", "rolled_back"]
    created_by: Text | None
    created_at: Text
    committed_at: Text | None
    promoted_at: Text | None
    failed_at: Text | None
    error_message: Text | None
    omitted_parts: list[Text]
    record: Of


class Approved(Document):
    """Who has approved, attested or commanded."""

    action: Text
    approved_by: Text
    role: Text | None
    timestamp: Text
    check: Text | None
    result: Text | None
    url: Text | None
    reason: Text | None


class CheckRun(Document):
    """What a check by a Job or a request came to."""

    check: Text
    at: Text | None
    result: Text
    run_by: Text | None
    job: Text | None
    attempt: int
    timestamp: Text | None
    message: Text | None


class Approval(Document):
    """approval.json: who has let it through, and what was skipped by whose word."""

    version: Text
    release_id: Text
    created_by: list[Text]
    approvals: list[Approved]
    checks: list[Approved]
    check_runs: list[CheckRun]
    commands: list[Approved]
    omitted: int
    omitted_parts: list[Text]
    hotfix: dict[str, Any] | None
    record: Of


class GateMetrics(Document):
    """What a gate said last; values are text, as in the record."""

    name: Text
    verdict: Text
    canary: Text | None
    stable: Text | None
    limit: Text | None
    requests: Text | None
    bad: Text | None
    message: Text


class WeightMetrics(Document):
    """Which weight the version had from when on."""

    timestamp: Text
    step: int
    weight: int


class MetricsDocument(Document):
    """metrics.json: by which numbers it was judged, and its course."""

    version: Text
    release_id: Text
    outcome: Text
    cause: Text
    started_at: Text
    ended_at: Text
    gates: list[GateMetrics]
    course: list[WeightMetrics]
    omitted_parts: list[Text]
    record: Of


SCHEMAS: dict[str, type[Document]] = {"manifest": Manifest, "approval": Approval, "metrics": MetricsDocument}
"""By the name of the file."""


def of(spec: Spec) -> Of:
    """Return which record this is, and whether it is as it was written."""
    said = str(spec.get("hash", ""))
    name = f"{spec.get('namespace')}/{spec.get('release')}"
    return Of(name=name, number=int(spec.get("number", 0)), hash=said, verified=bool(said) and said == hash_of(spec))


def manifest(spec: Spec, from_env: str | None = None) -> Manifest:
    """Return the manifest of a rollout.

    Args:
        spec: of its record.
        from_env: environment of the Release that proved the version, or that it was taken from; None where none is known.
    """
    promoted = spec.get("outcome") == Outcome.PROMOTED.value
    ended = str(spec.get("endedAt"))
    authors = [str(author.get("name")) for author in spec.get("authors") or ()]
    return Manifest(
        id=str(spec.get("id")),
        from_env=from_env,
        to_env=spec.get("environment"),
        version=version(spec),
        rollback_version=version(spec, "from"),
        type=spec.get("type"),
        bundle_sha256=str(spec.get("digest", "")).removeprefix("sha256:"),
        images=dict((spec.get("to") or {}).get("images") or {}),
        backup=migrated.backup(spec),
        migrations=migrated.migrations(spec),
        feature_flags={str(one.get("flag")): _flag(one) for one in spec.get("flags") or ()},
        tools_transcript_ids=[],
        status=_STATUS[str(spec.get("outcome"))],
        created_by=authors[0] if authors else None,
        created_at=str(spec.get("seenAt")),
        committed_at=spec.get("committedAt"),
        promoted_at=ended if promoted else None,
        failed_at=None if promoted else ended,
        error_message=None if promoted else str(spec.get("message", "")),
        omitted_parts=omitted(spec),
        record=of(spec),
    )


def _flag(one: Mapping[str, Any]) -> str:
    """Return what a flag was when the rollout had ended: a variant or a percentage; on and off are true and false."""
    value = str(one.get("switched") or (one.get("before") if one.get("restored") else one.get("set")) or "")
    return {"on": "true", "off": "false"}.get(value, value)


def approval(spec: Spec) -> Approval:
    """Return who has let it through."""
    said = [_approved(one) for one in spec.get("decisions") or ()]
    return Approval(
        version=version(spec),
        release_id=str(spec.get("id")),
        created_by=[str(author.get("name")) for author in spec.get("authors") or ()],
        approvals=[one for one in said if one.action in ("Approve", "Override")],
        checks=[one for one in said if one.action == "Attest"],
        check_runs=[_run(one) for one in spec.get("checks") or ()],
        commands=[one for one in said if one.action not in ("Approve", "Override", "Attest")],
        omitted=int(spec.get("decisionsOmitted", 0)),
        omitted_parts=omitted(spec),
        hotfix=dict(spec["hotfix"]) if spec.get("hotfix") else None,
        record=of(spec),
    )


def metrics(spec: Spec) -> MetricsDocument:
    """Return by which numbers it was judged."""
    fields = ("canary", "stable", "limit", "requests", "bad")
    return MetricsDocument(
        version=version(spec),
        release_id=str(spec.get("id")),
        outcome=str(spec.get("outcome")),
        cause=str(spec.get("cause")),
        started_at=str(spec.get("startedAt")),
        ended_at=str(spec.get("endedAt")),
        gates=[
            GateMetrics(
                name=str(gate.get("name")),
                verdict=str(gate.get("verdict")),
                message=str(gate.get("message", "")),
                **{name: gate.get(name) for name in fields},
            )
            for gate in spec.get("gates") or ()
        ],
        course=[
            WeightMetrics(timestamp=str(one.get("at")), step=int(one.get("step", 0)), weight=int(one.get("weight", 0)))
            for one in spec.get("course") or ()
        ],
        omitted_parts=omitted(spec),
        record=of(spec),
    )


def omitted(spec: Spec) -> list[str]:
    """Return what had no room in a record, by its place there: what is empty of these was not so in the rollout."""
    return [str(one) for one in spec.get("omitted") or ()]


def version(spec: Spec, which: str = "to") -> str:
    """Return the name of a version of a record."""
    found = spec.get(which) or {}
    return str(found.get("version") or found.get("revision") or "")


def _run(one: Mapping[str, Any]) -> CheckRun:
    return CheckRun(
        check=str(one.get("name")),
        at=one.get("at"),
        result=str(one.get("result")),
        run_by=one.get("by"),
        job=one.get("job"),
        attempt=int(one.get("attempt", 1)),
        timestamp=one.get("ended"),
        message=one.get("message"),
    )


def _approved(one: Mapping[str, Any]) -> Approved:
    return Approved(
        action=str(one.get("action")),
        approved_by=str(one.get("by", "")),
        role=one.get("role"),
        timestamp=str(one.get("at")),
        check=one.get("check"),
        result=one.get("result"),
        url=one.get("url"),
        reason=one.get("reason"),
    )
