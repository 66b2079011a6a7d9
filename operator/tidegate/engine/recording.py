"""What is recorded of a rollout: its trail while it is on, and the record in the decision that ends it, at its place in the chain.

The record is made of what the snapshot and the status have, so a decision that is made again makes the same one. It stands in the
status until it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tidegate.api.addresses import without_secrets
from tidegate.api.base import SENTENCE, plain
from tidegate.api.checked import CheckStatus
from tidegate.api.checks import REVIEW
from tidegate.api.decision import Action, DecisionOutcome
from tidegate.api.edits import edited
from tidegate.api.flagged import FlagSetting, FlagStatus
from tidegate.api.kept import as_text
from tidegate.api.migrated import LONGEST_OUTPUT, MigrationRun
from tidegate.api.record import (
    LARGEST_RECORD,
    LONGEST_ACCOUNT,
    LONGEST_REASON,
    LONGEST_REPORT,
    MOST_DECISIONS,
    MOST_UPSTREAMS,
    Omitted,
    RecordedCheck,
    RecordedDecision,
    RecordedFlag,
    RecordedGate,
    RecordedMigration,
    RecordedUpstream,
    RecordedVersion,
    ReleaseRecordSpec,
)
from tidegate.api.recorded import (
    GREATEST,
    LONGEST_PENDING,
    MOST_AUTHORS,
    MOST_PENDING,
    PendingRecord,
    RecordedAuthor,
    RecordsStatus,
    TrailStatus,
)
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import GateStatus, LastRollout, ReleaseStatus
from tidegate.engine.draft import Draft
from tidegate.engine.snapshot import TemplateView
from tidegate.governance import checks, records
from tidegate.governance.canonical import canonical
from tidegate.governance.commits import Commit, commit_of
from tidegate.governance.decisions import DecisionView
from tidegate.governance.flags import target_of
from tidegate.governance.votes import Author, Subject, ballot

_NAME = 128
_QUANTITY = 32
_CALLED = 280


def trail(draft: Draft, template: TemplateView) -> TrailStatus:
    """Return the trail of a rollout that starts."""
    wanted = draft.status.wanted
    seen = (wanted.since if wanted is not None and wanted.revision == template.revision else None) or draft.now
    commit = commit_of(template.committed, seen, draft.stable.committed_at)
    return TrailStatus(
        seen_at=seen,
        committed_at=commit.at if commit is not None else None,
        commit_ignored=commit.ignored if commit is not None else None,
        images=dict(template.images),
        authors=tuple(
            RecordedAuthor(name=plain(one.name, LONGEST_ACCOUNT), claimed=one.claimed) for one in template.authors[:MOST_AUTHORS]
        ),
    )


def commit_time(draft: Draft, revision: str) -> datetime | None:
    """Return when the commit of a version was made that comes to be in force, by its rollout or else by the wanted template.

    Args:
        draft: the decision in the making.
        revision: of the version.
    """
    if draft.active and draft.candidate.revision == revision:
        kept = draft.rollout.trail
        return Commit(kept.committed_at, kept.commit_ignored).known if kept is not None else None
    if draft.workload is None or not draft.wants(revision):
        return None
    commit = commit_of(draft.workload.template.committed, draft.now, None)
    return commit.known if commit is not None else None


def record(draft: Draft, last: LastRollout) -> None:
    """Put the record of the rollout that ends into the status, at the end of the Release's chain.

    Args:
        draft: the decision in the making; the rollout is still on in it.
        last: how it ended.
    """
    chain = draft.status.records or RecordsStatus()
    number = min(chain.number + 1, GREATEST)
    spec, kept = _fitting(
        _content(draft, last).to_wire()
        | {
            "id": records.next_id(f"{last.started_at.astimezone(UTC):%Y%m%d_%H%M}", chain.id),
            "number": number,
            "previous": chain.hash,
            "checkpoint": min(number, max(1, chain.checkpoint, number + 1 - draft.snap.governance.records_kept)),
        }
    )
    pending = PendingRecord(number=number, kept=kept)
    draft.set(
        records=RecordsStatus(
            number=number,
            hash=spec["hash"],
            id=spec["id"],
            checkpoint=spec["checkpoint"],
            pending=(*chain.pending, pending)[-MOST_PENDING:],
        )
    )


def without_written(status: ReleaseStatus, numbers: Iterable[int]) -> ReleaseStatus:
    """Return a status that does not keep what is known to be written."""
    if status.records is None or not status.records.pending:
        return status
    written = {*numbers}
    left = tuple(one for one in status.records.pending if one.number not in written)
    if len(left) == len(status.records.pending):
        return status
    return edited(status, records=edited(status.records, pending=left))


def _fitting(content: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the sealed spec of a record, and the text that waits in the status.

    What is too large for either is left out, part by part, and named: a rollout ends whatever people have called things.
    """
    omitted = list[str]()
    spec, text, fits = _packed(content)
    for part in Omitted:
        if fits:
            break
        less = _without(content, part)
        if less != content:
            content, omitted = less, [*omitted, part.value]
            spec, text, fits = _packed(content | {"omitted": omitted})
    return spec, text


def _packed(content: Mapping[str, Any]) -> tuple[dict[str, Any], str, bool]:
    """Return a record with its hash, as one text, and whether there is room for both."""
    spec = records.sealed(content)
    document = canonical(spec)
    text = as_text(document)
    return spec, text, len(document) <= LARGEST_RECORD and len(text) <= LONGEST_PENDING


def _without(content: dict[str, Any], omitted: Omitted) -> dict[str, Any]:
    """Return what a record has without one of its parts."""
    place, _, field = omitted.value.partition(".")
    found = content.get(place)
    if isinstance(found, Mapping):
        return content | {place: {name: value for name, value in found.items() if name != field}}
    if not found:
        return content
    return content | {place: [{name: value for name, value in one.items() if name != field} for one in found]}


def _content(draft: Draft, last: LastRollout) -> ReleaseRecordSpec:
    rollout, release, stable, candidate = draft.rollout, draft.snap.release, draft.status.stable, draft.status.candidate
    assert stable is not None
    assert candidate is not None
    kept = rollout.trail or TrailStatus(seen_at=rollout.started_at)
    decisions = _decisions(draft, kept)
    return ReleaseRecordSpec(
        id="rel_00000000_0000",
        number=1,
        checkpoint=1,
        release=release.name,
        release_uid=release.uid,
        namespace=release.namespace,
        workload=f"{release.spec.target_ref.kind.value}/{release.spec.target_ref.name}",
        service=release.spec.traffic.service if release.spec.traffic is not None else "",
        environment=release.spec.environment or "",
        after=tuple(_upstreams(release.spec, release.namespace))[:MOST_UPSTREAMS],
        moved_with=tuple(mate.release for mate in rollout.moves_with),
        type=rollout.type,
        policy=rollout.policy,
        before=RecordedVersion(version=plain(stable.version, _NAME), revision=stable.revision, images=_images(stable.images or {})),
        to=RecordedVersion(version=plain(candidate.version, _NAME), revision=candidate.revision, images=_images(kept.images)),
        digest=candidate.digest or "",
        authors=kept.authors,
        decisions=tuple(decisions[-MOST_DECISIONS:]),
        decisions_omitted=max(0, len(decisions) - MOST_DECISIONS) or None,
        checks=tuple(_check(one) for one in draft.status.checks if candidate.digest and one.digest == candidate.digest),
        migrations=tuple(_migration(one) for one in draft.status.migration.runs) if draft.status.migration is not None else (),
        flags=tuple(_flag(one) for one in draft.status.flags if one.given),
        hotfix=rollout.hotfix,
        seen_at=kept.seen_at,
        committed_at=kept.committed_at,
        commit_ignored=kept.commit_ignored,
        started_at=last.started_at,
        exposed_at=rollout.exposed_at,
        undo_at=rollout.undo_since,
        ended_at=last.finished_at,
        course=kept.course,
        course_omitted=kept.omitted or None,
        gates=tuple(_gate(state) for state in last.gates),
        outcome=last.outcome,
        cause=last.cause,
        message=plain(last.message, SENTENCE),
    )


def _upstreams(spec: ReleaseSpec, namespace: str) -> Iterator[RecordedUpstream]:
    """Yield the Releases that a version comes from, the one that is followed first."""
    for one in (*([spec.follow] if spec.follow is not None else ()), *spec.after):
        yield RecordedUpstream(release=one.release, namespace=one.namespace or namespace, cluster=one.cluster or "")


def _images(images: dict[str, str]) -> dict[str, str]:
    return {name: plain(image, len(image)) for name, image in images.items()}


def _check(one: CheckStatus) -> RecordedCheck:
    return RecordedCheck(
        name=one.name,
        at=one.at,
        result=one.result,
        by=plain(one.cron_job or one.hook or "", _CALLED),
        job=one.job or "",
        attempt=one.attempt,
        ended=one.ended,
        message=plain(one.message, LONGEST_REASON),
    )


def _migration(one: MigrationRun) -> RecordedMigration:
    return RecordedMigration(
        phase=one.phase,
        result=one.result,
        by=one.cron_job,
        job=one.job or "",
        output=plain(one.output, LONGEST_OUTPUT),
        ended=one.ended,
        message=plain(one.message, LONGEST_REASON),
    )


def _flag(one: FlagStatus) -> RecordedFlag:
    return RecordedFlag(
        name=one.name,
        flag=target_of(one.target).flag,
        before=_setting(one.before),
        set=_setting(one.given[-1]),
        restored=one.restore and one.done is not None,
        left=one.left,
        switched="" if one.released else one.forced or "",
    )


def _setting(one: FlagSetting | None) -> str:
    return "" if one is None else one.variant if one.percent is None else f"{one.percent}%"


def _gate(state: GateStatus) -> RecordedGate:
    evidence = state.evidence
    return RecordedGate(
        name=state.name,
        verdict=state.verdict,
        canary=_text(state.canary),
        stable=_text(state.stable),
        limit=plain(state.limit, LONGEST_REASON),
        requests=_text(evidence.canary_requests if evidence is not None else state.samples),
        bad=_text(evidence.canary_bad if evidence is not None else None),
        message=plain(state.message, LONGEST_REASON),
    )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"[:_QUANTITY]


def _decisions(draft: Draft, kept: TrailStatus) -> list[RecordedDecision]:
    """Return what people and pipelines have decided for the new version, and the commands that were carried out meanwhile."""
    began = draft.rollout.started_at.replace(microsecond=0)
    commands = [
        RecordedDecision(name=one.name, uid=one.uid, action=one.action, by=plain(one.by, LONGEST_ACCOUNT), at=one.made)
        for one in draft.status.carried_out
        if one.outcome is DecisionOutcome.CARRIED_OUT and one.made >= began
    ]
    found = [*(_decision(one) for one in _counted(draft, kept)), *commands]
    return sorted(found, key=lambda one: one.at)


def _counted(draft: Draft, kept: TrailStatus) -> list[DecisionView]:
    """Return the votes and attestations that count for the new version's content, or have counted; and the Override."""
    release, hotfix, content = draft.snap.release, draft.rollout.hotfix, draft.candidate.digest
    every = draft.snap.governance.decisions
    if not content:
        return []
    subject = Subject(
        digest=content,
        authors=tuple(Author(one.name, one.claimed) for one in kept.authors),
        release_uid=release.uid,
        release_created=release.created,
    )
    counts = {vote.uid for vote in ballot(every, subject, draft.now).votes}
    counts |= {one.uid for one in checks.attestations(every, subject).values()}
    counted = [one for one in every if one.digest == content and one.check != REVIEW and (one.uid in counts or _has_counted(one))]
    overridden = [one for one in every if hotfix is not None and one.action is Action.OVERRIDE and one.name == hotfix.decision]
    return [*counted, *overridden]


def _has_counted(one: DecisionView) -> bool:
    """Whether a vote or an attestation counted once, and was neither withdrawn nor made again since; its time may be over."""
    return one.action in (Action.APPROVE, Action.ATTEST) and one.outcome is DecisionOutcome.COUNTED


def _decision(one: DecisionView) -> RecordedDecision:
    return RecordedDecision(
        name=one.name,
        uid=one.uid,
        action=one.action,
        by=plain(one.by, LONGEST_ACCOUNT),
        role=one.role,
        at=one.created,
        check=one.check,
        result=one.result,
        url=without_secrets(one.url, LONGEST_REPORT),
        reason=plain(one.reason, LONGEST_REASON),
    )
