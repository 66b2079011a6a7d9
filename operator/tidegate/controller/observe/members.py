"""What a Release may know of the others in its group: how their statuses stand, and how soon a change of them has to be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tidegate.api.base import SENTENCE, parse_time, plain
from tidegate.api.grouped import MOST_MEMBERS
from tidegate.api.names import Cause, Phase
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import Outcome
from tidegate.cluster.resources import RELEASES
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.relations import Raw, group_of, mapping
from tidegate.governance.groups import ABORTS, Failure, GroupView, MemberView, Standing
from tidegate.runtime.queue import Lane
from tidegate.runtime.store import Change, Object, Store

LONGEST_NAME = 253
"""Characters of a name or a version that are told."""
OWN = "Group"
"""The barrier of the group itself."""


class Members:
    """Reads the other members of groups from the caches.

    Args:
        store: the caches.
        members: returns the Releases that are in a group, by namespace and name of it.
    """

    def __init__(self, store: Store, members: Callable[[str, str], Iterable[ReleaseKey]] = lambda *_: ()) -> None:
        self._store, self._members = store, members

    def view(self, key: ReleaseKey, spec: ReleaseSpec) -> GroupView | None:
        """Return how the others stand; None for a Release that moves alone.

        Args:
            key: of the Release that asks.
            spec: what it asks for.
        """
        if spec.group is None:
            return None
        name, found = spec.group.name, list[MemberView]()
        for other in sorted(set(self._members(key.namespace, name)) - {key}):
            release = self._store.get(RELEASES.kind, *other)
            if release is None or group_of(release) != name or release["metadata"].get("deletionTimestamp"):
                continue
            found.append(member_of(release))
        return GroupView(name, tuple(found[: MOST_MEMBERS - 1]), whole=len(found) < MOST_MEMBERS)


def member_of(release: Object) -> MemberView:
    """Return how a Release stands, for the others of its group."""
    name = str(release["metadata"]["name"])
    try:
        return _member(name, mapping(release.get("status")))
    except (ValueError, TypeError, AttributeError) as error:
        return MemberView(release=name, unread=f"its status is none that Tidegate has written ({type(error).__name__})")


def _member(name: str, status: Raw) -> MemberView:
    rollout, candidate, wanted = (mapping(status.get(part)) for part in ("rollout", "candidate", "wanted"))
    on, undo = bool(rollout and candidate), rollout.get("undo")
    new, standing = candidate if on else wanted, _standing(status, on=on, undone=bool(undo))
    step, last = _place(status)
    entries = [mapping(entry) for entry in status.get("waitingFor") or ()]
    others = [entry for entry in entries if entry.get("barrier") != OWN]
    idle = mapping(status.get("stable")).get("replicas") == 0
    return MemberView(
        release=name,
        standing=standing,
        version=_text(new.get("version") or new.get("revision")),
        revision=_text(new.get("revision")),
        step=step,
        last=last,
        ready=bool(entries) and not others,
        waits=tuple(_text(entry.get("barrier")) for entry in others),
        how=next((str(entry["how"]) for entry in others if entry.get("how")), ""),
        away=idle and (standing is Standing.WAITS or (standing is Standing.CLIMBS and step < 0)),
        undone=_undone(status, rollout, candidate) if standing is Standing.UNDONE else None,
        failed=_kept_out(status, wanted) if standing is Standing.KEPT_OUT else _failed(status),
    )


def _standing(status: Raw, *, on: bool, undone: bool) -> Standing:
    phase = status.get("phase")
    if on:
        return Standing.UNDONE if undone else Standing.PROMOTES if phase == Phase.PROMOTING else Standing.CLIMBS
    if not status.get("wanted"):
        return Standing.REST
    return Standing.KEPT_OUT if phase == Phase.ROLLED_BACK else Standing.WAITS


def _place(status: Raw) -> tuple[int, int]:
    """Return the index of the step that a rollout is at, and of its last; -1 where there is none."""
    step = status.get("step")
    if not isinstance(step, Mapping):
        return -1, -1
    _, _, steps = str(status.get("progress") or "").partition(" of ")
    return int(step["index"]), int(steps) - 1 if steps.isdecimal() else -1


def _undone(status: Raw, rollout: Raw, candidate: Raw) -> Failure | None:
    cause = Cause(rollout["undo"])
    if cause not in ABORTS:
        return None
    entry = _rejected(status, candidate.get("revision"))
    return _failure(candidate, cause, rollout.get("undoMessage"), entry)


def _failed(status: Raw) -> Failure | None:
    """Return how the last rollout ended, if that is of concern to all."""
    last = mapping(status.get("lastRollout"))
    if last.get("outcome") != Outcome.ROLLED_BACK or (cause := Cause(last["cause"])) not in ABORTS:
        return None
    return _failure(last, cause, last.get("message"), _rejected(status, last.get("revision")))


def _kept_out(status: Raw, wanted: Raw) -> Failure | None:
    """Return why the wanted version was rejected: by its revision, or, where it was rejected under another, as the last one was."""
    entries = [mapping(entry) for entry in status.get("rejected") or ()]
    entry = _rejected(status, wanted.get("revision")) or (entries[-1] if entries else {})
    if not entry or (cause := Cause(entry["cause"])) not in ABORTS:
        return None
    return _failure({"revision": entry.get("revision"), "version": entry.get("version")}, cause, entry.get("message"), entry)


def _rejected(status: Raw, revision: object) -> Raw:
    found = (mapping(entry) for entry in status.get("rejected") or ())
    return next((entry for entry in found if entry.get("revision") == revision), {})


def _failure(version: Raw, cause: Cause, message: object, entry: Raw) -> Failure:
    return Failure(
        revision=_text(version.get("revision")),
        version=_text(version.get("version") or version.get("revision")),
        cause=cause,
        message=plain(str(message or "its rollout was rolled back"), SENTENCE),
        origin=_text(entry.get("member")) if cause is Cause.GROUP else "",
        at=parse_time(entry["at"]) if entry.get("at") else None,
    )


def _text(value: object) -> str:
    return plain(str(value or ""), LONGEST_NAME)


_PARTS = ("phase", "rollout", "candidate", "wanted", "step", "progress", "waitingFor", "rejected", "lastRollout", "stable")


def told_to_mates(change: Change) -> bool:
    """Whether a change of a Release changes what the others of its group may know of it."""
    old, new = change.old, change.new
    if old is None or new is None or group_of(old) != group_of(new):
        return True
    if old["metadata"].get("deletionTimestamp") != new["metadata"].get("deletionTimestamp"):
        return True
    before, after = (mapping(one.get("status")) for one in (old, new))
    if all(before.get(part) == after.get(part) for part in _PARTS):
        return False
    return member_of(old) != member_of(new)


def lane_of_mates(change: Change, otherwise: Lane) -> Lane:
    """Return the lane for the others of the group: what takes traffic away there is as urgent for them as a breach of their own."""
    undone = [_aborts(one) for one in (change.old, change.new)]
    return Lane.URGENT if undone[1] and not undone[0] else otherwise


def _aborts(release: Mapping[str, Any] | None) -> bool:
    undo = mapping(mapping(mapping(release or {}).get("status")).get("rollout")).get("undo")
    return str(undo) in ABORTS
