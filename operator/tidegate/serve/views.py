"""What the HTTP API says of a Release: where its version is, and what it waits for, made of the stored object and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from tidegate.api.names import Cause, Phase
from tidegate.api.record import ReleaseRecordSpec
from tidegate.api.status import LastRollout, Outcome, ReleaseStatus
from tidegate.caller.decisions import Version, rolled_out, waiting
from tidegate.serve.bodies import A_RELEASE_ID, Latest, Migrates, Rollout, State, Waits
from tidegate.serve.stored import Key, Stored

_BY_PEOPLE = frozenset({Cause.REQUEST, Cause.REJECTED, Cause.REVERTED, Cause.DELETED})
"""Why a version was taken back that had not failed."""


def id_of(started: datetime) -> str:
    """Return the id of a rollout: the minute at which it started, in UTC."""
    return f"rel_{started.astimezone(UTC):%Y%m%d_%H%M}"


def is_id(text: str) -> bool:
    """Whether a text is the id of a rollout, and not the name of a Release."""
    return A_RELEASE_ID.fullmatch(text) is not None


def ids_of(release: Stored) -> set[str]:
    """Return the ids of the rollouts of a Release that its status knows: of the one that is on, and of the last one."""
    return {id_of(one.started_at) for one in _rollouts(release.status)}


def upstream_of(release: Stored, environments: Mapping[Key, str | None]) -> str | None:
    """Return the environment that has to prove versions for a Release; None where none has to, or it is not known.

    Args:
        release: the Release.
        environments: of Releases by namespace and name, as far as they are known.
    """
    return first_of(upstreams(release), environments)


def first_of(keys: Iterable[Key], environments: Mapping[Key, str | None]) -> str | None:
    """Return the environment of the first of some Releases of which one is known; None where none is."""
    return next((found for key in keys if (found := environments.get(key)) is not None), None)


def upstreams(release: Stored) -> list[Key]:
    """Return the Releases of this cluster that prove versions for a Release, the one that it follows first."""
    spec, (namespace, _) = release.spec, release.key
    followed = [spec.follow] if spec.follow is not None else []
    here = [(one.cluster, one.namespace, one.release) for one in followed] + [
        (one.cluster, one.namespace, one.release) for one in spec.after
    ]
    return list(dict.fromkeys((place or namespace, name) for cluster, place, name in here if cluster is None))


def environments_of(releases: Iterable[Stored]) -> dict[Key, str | None]:
    """Return the environments of Releases by their keys; None for those that name none."""
    return {one.key: one.spec.environment for one in releases}


def rollout_of(release: Stored, environments: Mapping[Key, str | None], wanted: str | None = None) -> Rollout:
    """Return what a Release is at.

    Args:
        release: the Release.
        environments: of Releases, as far as they are known.
        wanted: id of the rollout that is asked for; None for the one that is on, or else the last one.
    """
    status = release.status
    namespace, name = release.key
    common: dict[str, Any] = {
        "release": name,
        "namespace": namespace,
        "from_env": upstream_of(release, environments),
        "to_env": release.spec.environment,
    }
    last = status.last_rollout
    if (
        last is not None
        and wanted == id_of(last.started_at)
        and (status.rollout is None or wanted != id_of(status.rollout.started_at))
    ):
        return Rollout(**common, **_ended(last, status))
    if status.rollout is not None and status.candidate is not None:
        return Rollout(**common, **_running(status))
    if status.wanted is not None and status.phase is Phase.WAITING:
        return Rollout(**common, **_waiting(status))
    return Rollout(**common, **(_ended(last, status) if last is not None else _idle(status)))


def recorded(spec: ReleaseRecordSpec) -> Rollout:
    """Return a rollout of which nothing but its record is left."""
    return Rollout(
        release_id=spec.id,
        release=spec.release,
        namespace=spec.namespace,
        to_env=spec.environment or None,
        version=spec.to.version,
        revision=spec.to.revision,
        bundle_sha256=spec.digest or None,
        images=spec.to.images,
        migrations=tuple(
            Migrates(phase=one.phase, result=one.result, output=one.output, message=one.message) for one in spec.migrations
        ),
        created_at=spec.started_at,
        **_end(spec.outcome, spec.cause, spec.ended_at, spec.message),
    )


def _end(outcome: Outcome, cause: Cause, at: datetime, message: str) -> dict[str, Any]:
    """Return how a rollout has ended: one that people took back has not failed."""
    failed = outcome is Outcome.ROLLED_BACK and cause not in _BY_PEOPLE
    states = {Outcome.PROMOTED: State.PROMOTED, Outcome.SUPERSEDED: State.SUPERSEDED}
    return {
        "status": State.FAILED if failed else states.get(outcome, State.ROLLED_BACK),
        "message": message,
        "promoted_at": at if outcome is Outcome.PROMOTED else None,
        "failed_at": at if failed else None,
        "error_message": message if failed else None,
    }


def decidable(release: Stored) -> list[Version]:
    """Return the versions of a Release that can be decided on: the one that is rolled out first."""
    return [*rolled_out(release.status), *waiting(release.status)]


def latest_of(releases: Iterable[Stored]) -> Latest:
    """Return the section of /health: the last rollout among Releases, and whether one of them is in trouble."""
    found = list(releases)
    started = [(one.started_at, release) for release in found for one in _rollouts(release.status)]
    newest = max(started, key=lambda pair: pair[0], default=None)
    return Latest(
        configured=True,
        ok=not any(_in_trouble(release) for release in found),
        latest_release=id_of(newest[0]) if newest else None,
        environment=newest[1].spec.environment if newest else None,
    )


def _rollouts(status: ReleaseStatus) -> list[Any]:
    return [one for one in (status.rollout, status.last_rollout) if one is not None]


def _in_trouble(release: Stored) -> bool:
    stalled = any(one.type == "Stalled" and one.status == "True" for one in release.status.conditions)
    return stalled or release.status.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)


def _running(status: ReleaseStatus) -> dict[str, Any]:
    assert status.rollout is not None
    assert status.candidate is not None
    undone = status.rollout.undo
    failed = undone is not None and undone not in _BY_PEOPLE
    return {
        "release_id": id_of(status.rollout.started_at),
        "status": State.ROLLING_BACK if undone is not None else State.PROMOTING,
        "created_at": status.rollout.started_at,
        "version": status.candidate.version,
        "revision": status.candidate.revision,
        "bundle_sha256": status.candidate.digest,
        "weight": status.weight,
        "migrations": _migrations(status),
        "waiting_for": _waits(status),
        "message": status.message,
        "failed_at": status.rollout.undo_since if failed else None,
        "error_message": status.rollout.undo_message if failed else None,
    }


def _migrations(status: ReleaseStatus) -> tuple[Migrates, ...]:
    runs = status.migration.runs if status.migration is not None else ()
    return tuple(
        Migrates(phase=one.phase, result=one.result, progress=one.progress, output=one.output, message=one.message) for one in runs
    )


def _waiting(status: ReleaseStatus) -> dict[str, Any]:
    assert status.wanted is not None
    return {
        "status": State.PREPARED,
        "version": status.wanted.version,
        "revision": status.wanted.revision,
        "bundle_sha256": status.wanted.digest,
        "waiting_for": _waits(status),
        "message": status.message,
        "created_at": min((one.since for one in status.waiting_for), default=None),
    }


def _idle(status: ReleaseStatus) -> dict[str, Any]:
    stable = status.stable
    return {
        "status": State.IDLE,
        "version": stable.version if stable else None,
        "revision": stable.revision if stable else None,
        "bundle_sha256": stable.digest if stable else None,
        "images": (stable.images or {}) if stable else {},
        "message": status.message,
        "promoted_at": stable.promoted_at if stable else None,
    }


def _ended(last: LastRollout, status: ReleaseStatus) -> dict[str, Any]:
    stable = status.stable if status.stable is not None and status.stable.revision == last.revision else None
    return {
        "release_id": id_of(last.started_at),
        "created_at": last.started_at,
        "version": last.version,
        "revision": last.revision,
        "bundle_sha256": stable.digest if stable else None,
        "images": (stable.images or {}) if stable else {},
        **_end(last.outcome, last.cause, last.finished_at, last.message),
    }


def _waits(status: ReleaseStatus) -> tuple[Waits, ...]:
    fields = ("barrier", "what", "since", "until", "how")
    return tuple(Waits(**{name: getattr(one, name) for name in fields}) for one in status.waiting_for)
