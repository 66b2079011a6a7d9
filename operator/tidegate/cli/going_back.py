"""`tidegate rollback --to` a version that was in force before: its template is put back, and is rolled out like any version.

What is put back is what was released: the pod template whose digest the record has. It is found in the ReplicaSets that the
Deployment keeps, or made of the template that is there and the images of the record, which has nothing else of a template: there
may be secrets in it. It is written with the rights of whoever types the command.
"""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tidegate.api.migrated import MigrationResult, MigrationRun
from tidegate.api.migrations import MigrationPhase
from tidegate.api.names import LABEL_POD_TEMPLATE_HASH, Condition
from tidegate.api.record import Omitted
from tidegate.api.status import Outcome, ReleaseStatus
from tidegate.caller.decisions import AGAIN_SECONDS, Version, rolled_out
from tidegate.cli import access, archive, output
from tidegate.cluster.resources import DEPLOYMENTS, RELEASE_RECORDS, RELEASES
from tidegate.engine.migrated import RESTORE, called, keeps_out, removed
from tidegate.governance import commands
from tidegate.governance.records import hash_of
from tidegate.governance.times import moment
from tidegate.workloads.templates import content_digest, overlay, unknown_containers

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

Json = dict[str, Any]
MANAGER = "tidegate-cli"


@dataclass(frozen=True)
class Back:
    """What a way back comes to.

    Attributes:
        place: namespace and name of the Release.
        version: that is to be in force again.
        record: id of the record of its promotion.
        digest: of its content.
        wrote: what was written, for people.
        recorded: digest of the content that was promoted, where this is another one: only its images were restored.
        applier: what applies the object that was written again and again; empty where nothing is known to.
        waits: why it is not rolled out by that alone, with the cure; empty where it is.
        first: which Job of the last rollout's migrations has to end before it starts; empty where none has to.
    """

    place: tuple[str, str]
    version: str
    record: str
    digest: str
    wrote: str
    recorded: str = ""
    applier: str = ""
    waits: str = ""
    first: str = ""

    def to_wire(self) -> Json:
        """Return it for machines."""
        namespace, release = self.place
        told = {"namespace": namespace, "release": release, "toVersion": self.version, "record": self.record}
        more = {"recordedDigest": self.recorded, "appliedBy": self.applier, "waits": self.waits, "first": self.first}
        return told | {"digest": self.digest, "wrote": self.wrote} | {name: value for name, value in more.items() if value}

    def sentence(self) -> str:
        """Return it for people."""
        words = f"{'/'.join(self.place)}: {self.wrote} to {self.version} (record {self.record})"
        if self.recorded:
            words += "; only its images: all else of the template is as it is now, "
            words += f"so its content is {self.digest} and not {self.recorded}"
        words += f"; {self.waits}" if self.waits else "; it is rolled out by its policy's steps"
        words += f"; {self.first}" if self.first else ""
        if self.applier:
            words += (
                f"; {self.applier} applies it and will write its own version again: go back in its repository as well, "
                "or suspend it until then"
            )
        return words


def is_in_force(release: Mapping[str, Any], version: str) -> bool:
    """Whether a version is the one in force, or none is known to be: then a rollback is a decision, and nothing is put back."""
    stable = access.status_of(release).stable
    return stable is None or version in (stable.version, stable.revision)


async def go_back(cluster: Cluster, place: tuple[str, str], release: Json, version: str, *, images_only: bool = False) -> Back:
    """Put the template of a recorded version back.

    Args:
        cluster: the API.
        place: namespace and name of the Release.
        release: the Release.
        version: name or revision of the version.
        images_only: where its whole template is nowhere any more, its images will do.

    Raises:
        ApiError: the API server refuses it, or does not answer.
    """
    spec = access.spec_of(release)
    if spec.follow is not None:
        output.fail(f"--to: Release {place[1]} follows {spec.follow.release}: go back there")
    items = (await cluster.list(RELEASE_RECORDS.path(place[0]))).items
    record = _promotion(archive.Archive(items).of(access.Chosen(place[0]), place[1]), version)
    deployment = await cluster.get(DEPLOYMENTS.path(place[0], spec.target_ref.name))
    digest, wrote, written = await _put_back(cluster, release, deployment, record, images_only=images_only)
    recorded = str(record["digest"])
    return Back(
        place,
        version,
        str(record.get("id")),
        digest,
        wrote,
        recorded=recorded if digest != recorded else "",
        applier=applier_of(written) or "",
        waits=_kept_out(release, record, exactly=digest == recorded),
        first=_first(access.status_of(release), place[0]),
    )


def _kept_out(release: Json, record: Json, *, exactly: bool) -> str:
    """Return all that keeps a version that was restored from starting by itself, with the cures; empty where nothing is known to.

    Args:
        release: the Release.
        record: of its promotion.
        exactly: its very content was restored; another one has no revision yet, and nobody has rejected it.
    """
    status, metadata, to = access.status_of(release), release["metadata"], record.get("to") or {}
    place = str(metadata["name"]), str(metadata["namespace"])
    revisions = {str(to.get("revision"))} if exactly else set[str]()
    version = access.spec_of(release).version or str(to.get("version"))
    held = f"it does not start until the hold is released: {commands.on_release('resume', *place)}"
    # Each retry is for one thing, in this order: for a rejection, for what a contract has removed, and for what failed.
    rejected, contracted, failed = _rejected(status, revisions), _contracted(status, revisions, version), _unreversed(status)
    its_own = failed is not None and status.migration is not None and status.migration.revision in revisions
    # A version that waits for its own reverse is tried again only after that.
    asked = (contracted, failed, rejected) if its_own else (rejected, contracted, failed)
    causes = [held] if status.held is not None else []
    done = ""
    for one in asked:
        if one is not None:
            causes.append(f"{one.words}{done}: {commands.on_release('retry', *place, *one.which)}{one.more}")
            done = ", once that is done"
    return "; also, ".join(causes)


@dataclass(frozen=True)
class _Asked:
    """Something that keeps a version out until a retry is asked for.

    Attributes:
        words: what it is, up to the command.
        which: what the command needs besides.
        more: what is said after it.
    """

    words: str
    which: tuple[str, ...] = ()
    more: str = ""


def _rejected(status: ReleaseStatus, revisions: Collection[str]) -> _Asked | None:
    found = next((one for one in status.rejected if one.revision in revisions), None)
    if found is None:
        return None
    words = f"it was rejected on {moment(found.at)} and does not start until it is tried again"
    return _Asked(words, more=f"; why: {found.message}")


def _contracted(status: ReleaseStatus, revisions: Collection[str], version: str) -> _Asked | None:
    if status.contracted is None or not keeps_out(status.contracted, revisions, version):
        return None
    # A retry that names no version may be for what failed.
    which = ("--version", next(iter(revisions), shlex.quote(version))) if _has_failed(status) else ()
    return _Asked(f"it does not start by itself: {removed(status.contracted, version)}; {RESTORE}", which)


def _unreversed(status: ReleaseStatus) -> _Asked | None:
    """Return that what the last rollout did to a database could not be undone; None where the operator waits for no person."""
    migration = status.migration
    waits = any(one.type == Condition.MIGRATION_FAILED and one.status == "True" for one in status.conditions)
    failed = _of_last(status, MigrationResult.FAILED, MigrationPhase.ROLLBACK)
    if migration is None or failed is None or not waits:
        return None
    what = f"it does not start: {called(failed.phase, migration.version)} failed: {failed.message}; to run it again"
    return _Asked(what, more="; or take migrations.rollback out of the policy")


def _first(status: ReleaseStatus, namespace: str) -> str:
    """Return which Job of the last rollout's migrations has to end first, in words; empty where none has to."""
    migration = status.migration
    one = _of_last(status, MigrationResult.RUNNING) or _of_last(status, MigrationResult.PENDING, MigrationPhase.ROLLBACK)
    if migration is None or one is None:
        return ""
    output_of = f" (its output: {commands.logs(one.job, namespace)})" if one.job is not None else ""
    return f"{called(one.phase, migration.version)} has to end first{output_of}"


def _of_last(status: ReleaseStatus, result: MigrationResult, phase: MigrationPhase | None = None) -> MigrationRun | None:
    """Return a Job of a rollout that is over, with this result, of this phase or of any; None where there is none."""
    if status.migration is None or status.migration.over is None:
        return None
    return next((one for one in status.migration.runs if one.result is result and phase in (None, one.phase)), None)


def _has_failed(status: ReleaseStatus) -> bool:
    """Whether something of the last rollout's migrations has failed, which a retry could be for."""
    return status.migration is not None and any(one.result is MigrationResult.FAILED for one in status.migration.runs)


_APPLIERS = {
    "annotations": {"argocd.argoproj.io/tracking-id": "Argo CD"},
    "labels": {
        "argocd.argoproj.io/instance": "Argo CD",
        "kustomize.toolkit.fluxcd.io/name": "Flux",
        "helm.toolkit.fluxcd.io/name": "Flux",
    },
}
"""By which mark on an object it is known what applies it again and again."""


def applier_of(obj: Json) -> str | None:
    """Return the tool that applies an object again whenever it differs from its repository; None where none has left its mark."""
    metadata = obj["metadata"]
    for part, marks in _APPLIERS.items():
        found = metadata.get(part) or {}
        for mark, tool in marks.items():
            if mark in found:
                return tool
    return None


async def wanted(cluster: Cluster, back: Back, patience: timedelta) -> Version:
    """Wait until the operator rolls out what was put back; the command ends where it does not come to that.

    Raises:
        ApiError: the API server does not answer any more.
    """
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        status = access.status_of(await access.release(cluster, *back.place))
        for one in rolled_out(status):
            if one.digest == back.digest:
                return one
        if time.monotonic() > deadline:
            output.fail(
                f"{back.version} was restored and is not rolled out after {round(patience.total_seconds())} s: {status.message}"
            )
        await asyncio.sleep(AGAIN_SECONDS)


def _promotion(records: Iterable[Json], version: str) -> Json:
    """Return the record of a version's last promotion; the command ends where there is none that can be believed."""
    promoted = [spec for spec in records if spec.get("outcome") == Outcome.PROMOTED.value]
    found = [spec for spec in promoted if version in ((to := spec.get("to") or {}).get("version"), to.get("revision"))]
    if not found:
        known = ", ".join(dict.fromkeys(str((spec.get("to") or {}).get("version")) for spec in reversed(promoted)))
        output.fail(f"--to: no promotion of {version} is recorded" + (f"; there are {known}" if known else ""))
    if found[-1].get("hash") != hash_of(found[-1]) or not found[-1].get("digest"):
        output.fail(f"--to: record {found[-1].get('id')} is not as it was written: kubectl tidegate audit verify")
    return found[-1]


async def _put_back(cluster: Cluster, release: Json, deployment: Json, record: Json, *, images_only: bool) -> tuple[str, str, Json]:
    """Put back what the record is of.

    Returns:
        Digest of the content that was written, what was written, for people, and the object that was.
    """
    namespace, name = (str(release["metadata"][part]) for part in ("namespace", "name"))
    template, called = deployment["spec"]["template"], str(deployment["metadata"]["name"])
    unrecorded = Omitted.IMAGES.value in (record.get("omitted") or ())
    already = f"of {(record.get('to') or {}).get('version')} already: kubectl tidegate status {name} -n {namespace}"
    if laid := (release.get("spec") or {}).get("images") or {}:
        if unrecorded:
            output.fail(f"--to: {_NO_ROOM}: set spec.images of Release {name} by hand")
        fresh = {container: image for container, image in _images(record).items() if container in laid}
        digest = _digest_with(template, fresh)
        if fresh.keys() != laid.keys() or (digest != record["digest"] and not images_only):
            output.fail(f"--to: the template has changed in more than images since: {_ONLY_IMAGES}, or set all of it back by hand")
        if fresh == laid:
            output.fail(f"--to: spec.images are those {already}")
        await cluster.json_patch(RELEASES.path(namespace, name), _replace(release, "/spec/images", laid, fresh), manager=MANAGER)
        return digest, f"spec.images of Release {name} restored", release
    if content_digest(template) == record["digest"]:
        output.fail(f"--to: the template is that {already}")
    theirs = [one for one in await access.replica_sets(cluster, namespace) if _is_of(one, deployment, name)]
    kept = [one["spec"]["template"] for one in theirs if (one.get("spec") or {}).get("template")]
    old = next((one for one in kept if content_digest(one) == record["digest"]), None)
    wrote = f"template of Deployment {called} restored"
    if old is None:
        if unrecorded:
            output.fail(
                f"--to: no ReplicaSet of Deployment {called} has the content {record['digest']} any more (revisionHistoryLimit), "
                f"and {_NO_ROOM}: apply that version's manifest again"
            )
        old, wrote = _by_images(deployment, record, images_only=images_only), f"images of Deployment {called} restored"
        if content_digest(old) == content_digest(template):
            output.fail(f"--to: the images are those {already}")
    operations = _replace(deployment, "/spec/template", template, _plain(old))
    await cluster.json_patch(DEPLOYMENTS.path(namespace, called), operations, manager=MANAGER)
    return content_digest(old), wrote, deployment


_NO_ROOM = "its images had no room in its record"
_ONLY_IMAGES = "--images-only restores its images and leaves the rest as it is"


def _by_images(deployment: Json, record: Json, *, images_only: bool) -> Json:
    """Return the template that is there with the recorded images; the command ends where that is another content than was promoted.

    A record has no template: variables and arguments in it may be secrets. It has the digest, by which it is known whether the
    images are all that has changed since.
    """
    template, images = deployment["spec"]["template"], _images(record)
    unknown = unknown_containers(template, images)
    if not images or (unknown and images_only):
        there = f"there is no container {', '.join(unknown)} any more" if unknown else "its record has no images"
        output.fail(f"--to: {there}: apply that version's manifest again")
    fresh = template if unknown else overlay(template, images)
    if content_digest(fresh) != record["digest"] and not images_only:
        output.fail(
            f"--to: no ReplicaSet of Deployment {deployment['metadata']['name']} has the content {record['digest']} any more "
            f"(revisionHistoryLimit), and more than images has changed since: apply that version's manifest again; {_ONLY_IMAGES}"
        )
    return fresh


def _images(record: Json) -> dict[str, str]:
    found = (record.get("to") or {}).get("images")
    return {str(container): str(image) for container, image in found.items()} if isinstance(found, Mapping) else {}


def _digest_with(template: Json, images: Mapping[str, str]) -> str:
    """Return the digest of a template with other images; empty where it lacks one of their containers."""
    return "" if unknown_containers(template, images) else content_digest(overlay(template, images))


def _replace(seen: Json, field: str, before: Any, after: Any) -> list[Json]:
    """Return the patch that replaces a field as it was seen."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": seen["metadata"]["uid"]},
        {"op": "test", "path": field, "value": before},
        {"op": "replace", "path": field, "value": after},
    ]


def _is_of(replica_set: Json, deployment: Json, release: str) -> bool:
    metadata = replica_set["metadata"]
    owners = [owner.get("uid") for owner in metadata.get("ownerReferences") or ()]
    return deployment["metadata"]["uid"] in owners or (metadata.get("labels") or {}).get("tidegate.dev/release") == release


def _plain(template: Json) -> Json:
    """Return a ReplicaSet's template as the Deployment had it."""
    metadata = dict(template.get("metadata") or {})
    labels = {name: value for name, value in (metadata.pop("labels", None) or {}).items() if name != LABEL_POD_TEMPLATE_HASH}
    return {**template, "metadata": metadata | ({"labels": labels} if labels else {})}
