"""Writes of the Release itself: its status, by the difference to what is stored, and its finalizer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from enum import IntEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from tidegate.api.base import parse_duration
from tidegate.api.kept import packed
from tidegate.api.names import FINALIZER, Verdict
from tidegate.api.status import ConditionStatus, GateStatus, ReleaseStatus
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import RELEASES
from tidegate.runtime.store import Object

NUMBERS = frozenset(
    {
        *("at", "stable", "canary", "samples", "message", "telemetry", "clear", "evidence"),
        *("newest", "newestStable", "weightRequests", "quietSince", "usualGap"),
    }
)
"""Fields of a gate's status that change at every look."""
COUNTS = frozenset({"replicas", "ready"})
"""Fields of a version's status that change with every pod."""
HOLD = frozenset({"since", "until"})
"""Fields of a step that say since when and until when it is held. A new process that does not find them has the hold begin anew: it
ends later and never sooner, so that they may come a moment later."""
CARRIED = "carried"
"""What routes give: it follows a write of the operator's own."""
AWAITED = frozenset({"routeAwaited"})
"""Since when a rollout waits for its route. A new process counts that from its own start at the earliest, so nothing is lost."""
LONG = timedelta(minutes=1)
"""A step that is held for so long may be seen to be held some seconds later."""
OFTEN = timedelta(seconds=10)
"""Of what is checked so often, since when a step is held is stored with what the first checks have found."""
_CALM = frozenset({Verdict.PASS.value, Verdict.UNDECIDED.value})
_TROUBLES = frozenset({"blind", "warned", "disagrees"})
"""Fields of a gate's status that are set where somebody should look. That a gate has too little data is told where it lasts."""

QUIET_SINKS = frozenset({"events", "audit"})
"""Sinks whose progress is stored like numbers: told twice, it is known by its id. How far others are is stored at once."""


class Weight(IntEnum):
    """How much a difference between two statuses matters."""

    NONE = 0
    NUMBERS = 1
    """What changes at every look of a gate: values, and the sentences that quote them; and that Events or records are written."""
    COUNTS = 2
    """How many pods there are."""
    HELD = 3
    """While a step is held for a minute or more, what is known of it that nobody acts on meanwhile: since when it is held, that the
    routes give its weight, and that gates pass or cannot say yet."""
    BEGUN = 4
    """That a first step has begun, whose pods come up behind a route that gives them nothing: those that are quick have the weight
    within seconds."""
    PASSING = 5
    """What is over within a second, as a rule, and then stored with what comes of it; and what follows a weight that is stored,
    which people and programs wait for: that the routes give it, and since when it is held."""
    DECISION = 6
    """All else: it is stored before anything is done."""


def difference(before: Any, after: Any) -> Any:
    """Return the JSON merge patch (RFC 7386) that turns one JSON value into another; an empty dict where nothing differs.

    Lists are replaced as a whole. What a merge patch cannot say, a null that stays, does not occur in a status.
    """
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            patch[key] = value
        elif before[key] != value:
            patch[key] = difference(before[key], value)
    return patch


def weigh(before: Mapping[str, Any], after: Mapping[str, Any]) -> Weight:
    """Weigh the difference between two statuses in their wire form.

    A transition that is new weighs as a decision, by its number. That Events of those before, or records, are written weighs as
    numbers do.
    """
    return _heaviest(_divided(before), _divided(after))


_numbers = attrgetter("message", "gates", "conditions")
_decided = attrgetter(*(ReleaseStatus.model_fields.keys() - {"message", "gates", "conditions"}))
_decided_of_gate = attrgetter(*(name for name, field in GateStatus.model_fields.items() if field.alias not in NUMBERS))
_decided_of_condition = attrgetter(*(ConditionStatus.model_fields.keys() - {"message"}))


def slight(one: ReleaseStatus, other: ReleaseStatus) -> Weight | None:
    """Weigh two statuses that differ in numbers at most, as `weigh` does and without their wire forms; None where more may differ.

    Most decisions are of that kind, and share all but the gates with the one before.
    """
    alike = (
        _decided(one) == _decided(other)
        and list(map(_decided_of_gate, one.gates)) == list(map(_decided_of_gate, other.gates))
        and list(map(_decided_of_condition, one.conditions)) == list(map(_decided_of_condition, other.conditions))
    )
    if not alike:
        return None
    return Weight.NONE if _numbers(one) == _numbers(other) else Weight.NUMBERS


class Gist(NamedTuple):
    """What is remembered of a status in its wire form to weigh others against it: a fingerprint of what has each weight."""

    decided: int
    passing: int
    begun: int
    held: int
    counts: int
    numbers: int

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Gist:
        """Return that of a status."""
        return cls(*map(fingerprint, _divided(status)))

    def weigh(self, other: Gist) -> Weight:
        """Weigh the difference to another one, as `weigh` does; both of our own types, for JSON knows 1 and 1.0 for one number."""
        return _heaviest(self, other)


def fingerprint(status: Mapping[str, Any]) -> int:
    """Return what tells a status in its wire form from others, in this process; 64 bits."""
    return hash(orjson.dumps(status, option=orjson.OPT_SORT_KEYS))


def _heaviest(one: Sequence[object], other: Sequence[object]) -> Weight:
    """Return the weight of the heaviest part in which two statuses differ."""
    weights = (Weight.DECISION, Weight.PASSING, Weight.BEGUN, Weight.HELD, Weight.COUNTS, Weight.NUMBERS)
    return next((weight for weight, a, b in zip(weights, one, other, strict=True) if a != b), Weight.NONE)


def _divided(status: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Divide a status by what a change of it weighs, the heaviest first; each value is in one part, and is looked at once."""
    decided = _without(status, {"outbox", "message", CARRIED})
    parts: tuple[dict[str, Any], ...] = ({}, {}, {}, {}, _only(status, {"message"}))
    passing, begun, held, counts, numbers = parts
    # A status is of one of three kinds: between them, what each has elsewhere weighs as the heavier has it.
    begins, long = _begins(status), _is_held_long(status)
    follows = begun if begins else held if long else passing
    follows.update(_only(status, {CARRIED}))
    for name, quiet in (("gates", NUMBERS), ("conditions", {"message"})):
        items = status.get(name) or []
        # What a hand has written may be no list, or one of anything.
        listed = items if isinstance(items, list) else [items]
        decided[name] = [_without(item, quiet) if isinstance(item, Mapping) else item for item in listed]
        numbers[name] = [_only(item, quiet) for item in listed if isinstance(item, Mapping)]
    if long:
        held["gates"] = [gate for gate in decided["gates"] if _is_calm(gate)]
        decided["gates"] = [gate for gate in decided["gates"] if not _is_calm(gate)]
    for name, part, apart in (
        ("stable", counts, COUNTS),
        ("candidate", counts, COUNTS),
        ("step", follows, HOLD),
        ("rollout", follows, AWAITED),
    ):
        if isinstance(item := status.get(name), Mapping):
            decided[name], part[name] = _without(item, apart), _only(item, apart)
    if begins:
        begun["begins"] = [decided.pop(name, None) for name in ("step", "progress")]
        begun["splitAt"] = decided["rollout"].pop("splitAt", None)
    if isinstance(records := status.get("records"), Mapping):
        # A record that is new has a number that is; one that is told twice is written once.
        decided["records"], numbers["records"] = _without(records, {"pending"}), _only(records, {"pending"})
    if isinstance(box := status.get("outbox"), Mapping):
        decided["outbox"] = box.get("last")
        sinks = box.get("sinks")
        listed = sinks if isinstance(sinks, list) else [sinks]
        passing["sinks"] = [sink for sink in listed if not _is_quiet(sink)]
        numbers["sinks"] = [sink for sink in listed if _is_quiet(sink)]
    return decided, *parts


def _begins(status: Mapping[str, Any]) -> bool:
    """Whether a rollout is before its first weight.

    That its first step has begun means no more than that its pods may come up behind a route that gives them nothing. A new process
    finds the route and the pods as they are, and begins the step again, or takes the pods away.
    """
    rollout, step = status.get("rollout"), status.get("step")
    first = step is None or (isinstance(step, Mapping) and not step.get("index") and not step.get("given"))
    return (
        isinstance(rollout, Mapping) and first and not status.get("weight") and "exposedAt" not in rollout and "undo" not in rollout
    )


def _is_held_long(status: Mapping[str, Any]) -> bool:
    """Whether a rollout has the weight of a step that is, or is to be, held for a minute or more.

    A new process that does not find what follows from there has the hold begin anew, and counts from the last check on that it
    finds, or from the first weight on: the step ends later and never sooner. Nothing is done because a gate passes, or cannot say
    yet, before a hold is over.
    """
    rollout, step, weight = status.get("rollout"), status.get("step"), status.get("weight")
    if not isinstance(rollout, Mapping) or not isinstance(step, Mapping) or not isinstance(weight, int) or not 0 < weight < 100:
        return False
    spec, index = rollout.get("spec"), step.get("index")
    if not isinstance(spec, Mapping) or not isinstance(index, int) or step.get("weight") != weight or step.get("given") != weight:
        return False
    if rollout.get("skipToEnd") or spec.get("advanceOnProof") or rollout.keys() & {"undo", "paused", "lost"}:
        return False
    holds, intervals = _spans(spec.get("steps"), "hold"), _spans(spec.get("gates"), "interval")
    return 0 <= index < len(holds) and holds[index] >= LONG and min(intervals, default=LONG) <= OFTEN


def _spans(items: Any, name: str) -> list[timedelta]:
    """Return a duration of each item: none at all of what a hand has written."""
    listed = items if isinstance(items, list) else ()
    return [_span(str(item.get(name))) if isinstance(item, Mapping) else timedelta() for item in listed]


@lru_cache(maxsize=256)
def _span(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError:
        return timedelta()


def _is_calm(gate: Any) -> bool:
    """Whether a gate passes, or cannot say yet, and nobody need look."""
    if not isinstance(gate, Mapping) or gate.get("verdict") not in _CALM or "F" in str(gate.get("looks")):
        return False
    return not any(gate.get(name) for name in _TROUBLES)


def _is_quiet(sink: Any) -> bool:
    return isinstance(sink, Mapping) and sink.get("name") in QUIET_SINKS


def _without(value: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}


def _only(value: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value[name] for name in names if name in value}


async def write_status(cluster: Cluster, release: Object, status: Mapping[str, Any]) -> Object:
    """Store a status by patching what differs, if anything does.

    Args:
        cluster: the API.
        release: the Release as it is stored.
        status: the status in its wire form.

    Returns:
        The Release as it is stored now.

    Raises:
        Conflict: the Release has changed since it was read, or there is another one of this name now.
        ApiError: the write failed.
    """
    patch = difference(release.get("status") or {}, packed(status))
    if not patch:
        return release
    metadata = release["metadata"]
    path = RELEASES.path(metadata["namespace"], metadata["name"], "status")
    # A patch that the network has kept back must not lay old fields over a newer status: what it rests on is said.
    basis = {name: metadata[name] for name in ("uid", "resourceVersion")}
    return await cluster.merge_patch(path, {"metadata": basis, "status": patch})


async def write_finalizer(cluster: Cluster, release: Object, *, present: bool) -> Object:
    """Add the finalizer or remove it; finalizers of others keep their place.

    Raises:
        Conflict: the Release has changed in the meantime.
        ApiError: the write failed.
    """
    metadata = release["metadata"]
    others = [name for name in metadata.get("finalizers") or () if name != FINALIZER]
    finalizers = [*others, FINALIZER] if present else others
    body = {"metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], "finalizers": finalizers}}
    return await cluster.merge_patch(RELEASES.path(metadata["namespace"], metadata["name"]), body)
