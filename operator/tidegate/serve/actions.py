"""What the HTTP API does, each time with the token of whoever asks: look, decide, and bring a version to an environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from tidegate.api.base import format_time
from tidegate.api.decision import Action
from tidegate.api.names import ANNOTATION_COMMITTED_AT
from tidegate.api.record import ReleaseRecordSpec
from tidegate.api.release import ReleaseSpec
from tidegate.caller.decisions import Version, is_for_what_failed, make
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Forbidden, NotFound
from tidegate.cluster.resources import DEPLOYMENTS, RELEASE_RECORDS, RELEASES
from tidegate.serve.bodies import Decide, Decided, Latest, Prepare, Promote, Rollback, Rollout, State
from tidegate.serve.refusals import Refused
from tidegate.serve.stored import Key, Stored, containers_of, decision_of, record_of, release_of
from tidegate.serve.views import (
    decidable,
    environments_of,
    first_of,
    id_of,
    ids_of,
    is_id,
    latest_of,
    recorded,
    rollout_of,
    upstreams,
)

MANAGER = "tidegate-serve"
PAGE = 32
"""Objects of a page of a list: as many lists as there are turns may be read at once, and an object may have a megabyte."""
_T = TypeVar("_T")
Json = dict[str, Any]
_NAMES_A_VERSION = frozenset({Action.APPROVE, Action.REJECT, Action.ATTEST, Action.OVERRIDE})
"""Decisions that are about one version, which has to be there."""


@dataclass(frozen=True)
class Done:
    """What became of a request.

    Attributes:
        status: HTTP status.
        rollout: what the Release is at.
    """

    status: int
    rollout: Rollout


async def listed(cluster: Cluster, namespace: str) -> list[Rollout]:
    """Return what each Release of a namespace is at.

    Raises:
        ApiError: the caller may not list them, or the API server does not answer.
    """

    def read(release: Stored) -> tuple[Rollout, list[Key], str | None]:
        return rollout_of(release, {}), upstreams(release), release.spec.environment

    found = await _each(cluster, namespace, read)
    environments = {(namespace, one.release): environment for one, _, environment in found}
    return [one.model_copy(update={"from_env": first_of(after, environments)}) for one, after, _ in found]


async def shown(cluster: Cluster, namespace: str, wanted: str) -> Rollout:
    """Return one rollout.

    Args:
        cluster: the API, with the caller's token.
        namespace: where.
        wanted: id of a rollout, or name of a Release.

    Raises:
        ApiError: the caller may not read it, or the API server does not answer.
        Refused: there is no such rollout, or more than one.
    """
    try:
        release = await _release(cluster, namespace, wanted)
    except Refused as error:
        if error.status != 404 or (found := await _recorded(cluster, namespace, wanted)) is None:
            raise
        return found
    environments = await _environments(cluster, release)
    return rollout_of(release, environments, wanted if is_id(wanted) else None)


async def health_of(cluster: Cluster, namespace: str) -> Latest:
    """Return the section on Releases.

    Raises:
        ApiError: the caller may not list them, or the API server does not answer.
    """
    try:
        return latest_of(await _each(cluster, namespace, lambda release: release))
    except NotFound:
        return Latest(configured=False, ok=False)


async def promoted(cluster: Cluster, namespace: str, asked: Promote) -> tuple[int, Decided | Rollout]:
    """Let a rollout go on: approve what waits for the caller's role, or skip what is left where that is asked for.

    Raises:
        ApiError: the API server refuses it, or does not answer.
        Refused: there is nothing that promoting could do, or it takes a role.
    """
    release = await _running_release(cluster, namespace, asked.release_id, version=asked.version)
    environments = await _environments(cluster, release)
    now = rollout_of(release, environments, asked.release_id if is_id(asked.release_id) else None)
    if now.status in (State.PROMOTED, State.IDLE):
        return 200, now
    if now.status not in (State.PREPARED, State.PROMOTING):
        raise Refused(409, "conflict", f"{now.version} of Release {now.release} is {now.status.value}: {now.message}")
    if asked.skip:
        return 201, await _decided(
            cluster, release, Action.PROMOTE, {"reason": asked.reason}, wanted=asked.version, environments=environments
        )
    approval = next((one for one in now.waiting_for if one.barrier == "Approval"), None)
    if asked.role is None:
        if approval is None:
            return 202, now
        words = f"Release {now.release} waits for approval ({approval.what}): give your role (role)"
        raise Refused(409, "role_needed", words)
    said = {"role": asked.role, "reason": asked.reason}
    return 201, await _decided(cluster, release, Action.APPROVE, said, wanted=asked.version, environments=environments)


async def rolled_back(cluster: Cluster, namespace: str, asked: Rollback) -> Decided:
    """Give all requests back to the version in force.

    Raises:
        ApiError: the API server refuses it, or does not answer.
        Refused: no rollout is on that this could be about.
    """
    release = await _running_release(cluster, namespace, asked.release_id)
    status = release.status
    if status.rollout is None:
        stable = status.stable.version if status.stable else "nothing"
        words = (
            f"no rollout of Release {release.name} is on ({stable} is in force): "
            "bring the version that you want back to its Deployment"
        )
        raise Refused(409, "conflict", words)
    said = {"toVersion": asked.to_version, "hold": asked.hold or None, "reason": asked.reason}
    return await _decided(cluster, release, Action.ROLLBACK, said, wanted=None, environments=await _environments(cluster, release))


async def decided(cluster: Cluster, namespace: str, asked: Decide) -> Decided:
    """Make any decision.

    Raises:
        ApiError: the API server refuses it, or does not answer.
        Refused: there is no version that it could be about.
    """
    one = asked.root
    release = await _running_release(cluster, namespace, one.release_id, version=one.version)
    environments = await _environments(cluster, release)
    return await _decided(cluster, release, one.action, one.said(), wanted=one.version, environments=environments)


async def prepared(cluster: Cluster, namespace: str, asked: Prepare) -> Done:
    """Bring the version that is in force in one environment to the Release of another: its images, by the names of containers.

    Where the Release lays images over its Deployment (spec.images), they are written there, and else into the Deployment.

    Raises:
        ApiError: the caller may not do that, or the API server does not answer.
        Refused: it is not clear what is meant, or there is nothing to bring.
    """
    there = await _each(cluster, namespace, lambda one: one if one.spec.environment == asked.to_env else None)
    target = _target([one for one in there if one is not None], asked, namespace)
    source = await _source(cluster, target, asked)
    images = _images(source)
    environments = environments_of([source, target])
    spec = target.spec
    if spec.follow is not None:
        words = f"Release {target.name} follows {spec.follow.release} by itself (spec.follow): nothing is left to prepare"
        raise Refused(409, "conflict", words)
    if not asked.dry_run:
        await _bring(cluster, target.key, spec, images, source.status.stable.committed_at if source.status.stable else None)
        target = release_of(await cluster.get(RELEASES.path(*target.key)))
    return Done(200 if asked.dry_run else 202, rollout_of(target, environments).model_copy(update={"images": images}))


async def _bring(cluster: Cluster, target: Key, spec: ReleaseSpec, images: Mapping[str, str], committed: datetime | None) -> None:
    """Write images, and when their commit was made as far as that is known: its lead time goes on."""
    namespace, name = target
    said = format_time(committed) if committed is not None else None
    if spec.images:
        body = {"spec": {"images": dict(images), "committedAt": said}}
        await cluster.merge_patch(RELEASES.path(namespace, name), body, manager=MANAGER)
        return
    path = DEPLOYMENTS.path(namespace, spec.target_ref.name)
    deployment = await cluster.get(path)
    changes = _replacements(deployment, images)
    if not changes:
        return
    await cluster.json_patch(path, [*changes, *_annotated(deployment, said)], manager=MANAGER)


def _annotated(deployment: Json, committed: str | None) -> list[Json]:
    """Return the part of a JSON patch that notes when the commit of a version was made; the time of another one goes."""
    key = ANNOTATION_COMMITTED_AT.replace("/", "~1")
    if committed is None:
        there = ANNOTATION_COMMITTED_AT in (deployment["metadata"].get("annotations") or {})
        return [{"op": "remove", "path": f"/metadata/annotations/{key}"}] if there else []
    if not deployment["metadata"].get("annotations"):
        # Whoever annotates it meanwhile is not written over.
        seen = {"op": "test", "path": "/metadata/resourceVersion", "value": deployment["metadata"]["resourceVersion"]}
        return [seen, {"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION_COMMITTED_AT: committed}}]
    return [{"op": "add", "path": f"/metadata/annotations/{key}", "value": committed}]


def _replacements(deployment: Json, images: Mapping[str, str]) -> list[Json]:
    """Return a JSON patch that gives containers other images, as long as each is where it was."""
    changes: list[Json] = []
    for field, containers in containers_of(deployment).items():
        for place, container in enumerate(containers):
            image = images.get(container.name)
            if image is None or image == container.image:
                continue
            path = f"/spec/template/spec/{field}/{place}"
            changes += [
                {"op": "test", "path": f"{path}/name", "value": container.name},
                {"op": "replace", "path": f"{path}/image", "value": image},
            ]
    return changes


def _target(there: Iterable[Stored], asked: Prepare, namespace: str) -> Stored:
    named = [one for one in there if asked.release in (None, one.name)]
    if len(named) == 1:
        return named[0]
    if not named:
        which = f"Release {asked.release}" if asked.release else "Release"
        words = f"to_env: namespace {namespace} has no {which} with spec.environment {asked.to_env}"
        raise Refused(404, "not_found", words)
    names = ", ".join(sorted(one.name for one in named)[:8])
    raise Refused(
        409, "ambiguous", f"to_env: {len(named)} Releases are in environment {asked.to_env} ({names}): name one (release)"
    )


async def _source(cluster: Cluster, target: Stored, asked: Prepare) -> Stored:
    """Return the Release that has to prove versions for another one, in the environment that is asked for."""
    there = upstreams(target)
    for key in there:
        found = release_of(await cluster.get(RELEASES.path(*key)))
        if found.spec.environment == asked.from_env:
            return found
    told = ", ".join("/".join(key) for key in there) or "none"
    words = f"from_env: Release {target.name} names no Release of environment {asked.from_env} in spec.after (it names {told})"
    raise Refused(409, "conflict", words)


def _images(source: Stored) -> dict[str, str]:
    stable = source.status.stable
    if stable is None or not stable.images or stable.promoted_at is None:
        raise Refused(409, "not_proved", f"from_env: no version of Release {'/'.join(source.key)} has been promoted yet")
    return dict(stable.images)


async def _each(cluster: Cluster, namespace: str, read: Callable[[Stored], _T]) -> list[_T]:
    """Return what is read of each Release of a namespace, page by page: nothing else of them is kept."""
    return (await cluster.list(RELEASES.path(namespace), limit=PAGE, slim=lambda one: read(release_of(one)))).items


async def _release(cluster: Cluster, namespace: str, wanted: str) -> Stored:
    if not is_id(wanted):
        return release_of(await cluster.get(RELEASES.path(namespace, wanted)))
    all_of_them = await _each(cluster, namespace, lambda one: one if wanted in ids_of(one) else None)
    found = [one for one in all_of_them if one is not None]
    if len(found) == 1:
        return found[0]
    if not found:
        words = f"release_id: no rollout {wanted} of namespace {namespace} is on or was the last of its Release"
        raise Refused(404, "not_found", words)
    names = ", ".join(sorted(one.name for one in found)[:8])
    words = f"release_id: {len(found)} rollouts started in that minute ({names}): give the name of the Release in its place"
    raise Refused(409, "ambiguous", words)


async def _records(cluster: Cluster, namespace: str, wanted: str) -> list[ReleaseRecordSpec | None]:
    def read(obj: Json) -> ReleaseRecordSpec | None:
        return one if (one := record_of(obj)).id == wanted else None

    return (await cluster.list(RELEASE_RECORDS.path(namespace), limit=PAGE, slim=read)).items


async def _recorded(cluster: Cluster, namespace: str, wanted: str) -> Rollout | None:
    """Return an earlier rollout by its record; None where there is none, or the caller may not list records."""
    try:
        found: list[ReleaseRecordSpec] = [one for one in await _records(cluster, namespace, wanted) if one is not None]
    except (Forbidden, NotFound):
        return None
    if len(found) > 1:
        names = ", ".join(sorted({one.release for one in found})[:8])
        words = f"release_id: {len(found)} rollouts started in that minute ({names}), and all are over: read their ReleaseRecords"
        raise Refused(409, "ambiguous", words)
    return recorded(found[0]) if found else None


async def _running_release(cluster: Cluster, namespace: str, wanted: str, *, version: str | None = None) -> Stored:
    """Return a Release whose rollout that is on, or that waits, is meant; an id of one that has ended is refused.

    Args:
        cluster: the API, with the caller's token.
        namespace: where.
        wanted: id of a rollout, or name of a Release.
        version: that is meant; None where the id has to tell.
    """
    release = await _release(cluster, namespace, wanted)
    now, last = rollout_of(release, {}), release.status.last_rollout
    on = release.status.rollout
    if version is None and on is not None and last is not None and wanted == id_of(on.started_at) == id_of(last.started_at):
        words = f"two rollouts of Release {now.release} started in that minute ({last.version} and {now.version})"
        raise Refused(409, "ambiguous", f"release_id: {words}: give the name of the Release in its place")
    if is_id(wanted) and now.release_id != wanted:
        how = f"{last.outcome.value}: {last.message}" if last else "it is over"
        raise Refused(409, "conflict", f"release_id: rollout {wanted} of Release {now.release} has ended ({how})")
    return release


async def _environments(cluster: Cluster, release: Stored) -> dict[Key, str | None]:
    """Return the environments of a Release and of those that it names, as far as the caller may read them."""
    found = [release]
    for key in upstreams(release):
        try:
            found.append(release_of(await cluster.get(RELEASES.path(*key))))
        except ApiError:
            continue  # What the caller may not read is left out of the answer, and is no reason not to decide.
    return environments_of(found)


async def _decided(
    cluster: Cluster,
    release: Stored,
    action: Action,
    said: Mapping[str, Any],
    *,
    wanted: str | None,
    environments: Mapping[Key, str | None],
) -> Decided:
    version = _version(release, action, wanted)
    if version is not None and not version.digest and action in _NAMES_A_VERSION - {Action.REJECT}:
        raise Refused(409, "conflict", f"the status has no digest of {version.name} yet: try again in a few seconds")
    made = await make(cluster, release.key, release.obj, {"action": action.value, **said}, version, manager=MANAGER)
    name, by = decision_of(made.obj)
    return Decided(decision=name, action=action, by=by, rollout=rollout_of(release, environments))


def _version(release: Stored, action: Action, wanted: str | None) -> Version | None:
    there = decidable(release) if action is not Action.ROLLBACK and action is not Action.PAUSE else []
    if wanted is None:
        if not there and action in _NAMES_A_VERSION:
            raise Refused(409, "conflict", f"no version of Release {release.name} is waiting or rolled out")
        if action is Action.RETRY and is_for_what_failed(release.status):
            return None
        return there[0] if there else None
    found = next((one for one in there if wanted in (one.name, one.revision)), None)
    if found is None:
        names = " and ".join(f"{one.name} (revision {one.revision})" for one in there) or "nothing"
        raise Refused(409, "conflict", f"version: {wanted} is neither waiting nor rolled out; there is {names}")
    return found
