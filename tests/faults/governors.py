"""What must hold at every instant of what people decide: no weight before its votes, outcomes and commands once, none forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from e2e.manifests import NAME, Json
from e2e.world import canary_share
from faults.recorder import Instant
from faults.standing import status_of
from tidegate.cluster.resources import RELEASE_DECISIONS

FINAL = {"CarriedOut", "Refused", "Expired", "Superseded"}
"""Outcomes after which there is no other."""
COMMANDS = {"pause": "Pause", "resume": "Resume"}
Told = Iterator[tuple[str, str]]
"""What must not be: which invariant, and what was seen."""


@dataclass
class Governors:
    """Looks at each change with an account of its own.

    Attributes:
        votes: the role whose vote is needed, by the weight before which it is; 0 for the start.
        overridden: whether somebody's override is needed before the start.
        carried: what the Release has said became of a command, by its UID.
        paused: how often the rollout was paused.
        resumed: how often it went on.
    """

    votes: Mapping[int, str] = field(default_factory=dict)
    overridden: bool = False
    carried: dict[str, Json] = field(default_factory=dict)
    paused: int = 0
    resumed: int = 0

    @property
    def checks(self) -> Mapping[str, tuple[Callable[[Instant], Told], ...]]:
        """What to ask of a change of each kind."""
        return {
            "HTTPRoute": (self._voted_before_weight,),
            "Release": (self._voted_before_start, self._commands_are_kept, self._commanded_once),
            "Event": (self._overrides_are_told_once,),
            RELEASE_DECISIONS.kind: (self._outcome_is_written_once, self._effect_before_outcome),
        }

    def _voted_before_weight(self, now: Instant) -> Told:
        if now.seen.type == "DELETED" or now.seen.name != NAME:
            return
        share, before = canary_share(now.seen.object), canary_share(now.before) if now.before else 0.0
        candidate = status_of(now).get("candidate") or {}
        for weight, role in self.votes.items():
            if before < share and (before < weight <= share or not weight) and not _voted(now, role, candidate.get("digest")):
                yield "approved", f"weight rose from {before:g}% to {share:g}% without the vote of {role}"

    def _voted_before_start(self, now: Instant) -> Told:
        status, before = now.seen.object.get("status") or {}, (now.before or {}).get("status") or {}
        starts = bool(status.get("rollout")) and not before.get("rollout")
        digest = (status.get("candidate") or {}).get("digest")
        if starts and 0 in self.votes and not _voted(now, self.votes[0], digest):
            yield "approved", f"a rollout starts without the vote of {self.votes[0]}"
        if starts and self.overridden and not _said(now, ("Override", None, digest)):
            yield "approved", "a rollout starts past its window, and nobody has overridden"

    def _commands_are_kept(self, now: Instant) -> Told:
        if now.seen.type == "DELETED":
            return
        entries = (now.seen.object.get("status") or {}).get("carriedOut") or []
        told = {entry["uid"]: entry for entry in entries}
        if len(told) < len(entries):
            yield "commanded-once", f"a command stands in the status twice: {entries}"
        for uid, entry in self.carried.items():
            if told.get(uid) != entry:
                yield "commanded-once", f"what became of a command was {entry}, and is {told.get(uid)}"
        self.carried |= told

    def _commanded_once(self, now: Instant) -> Told:
        rollout = (now.seen.object.get("status") or {}).get("rollout") or {}
        before = ((now.before or {}).get("status") or {}).get("rollout") or {}
        if rollout.get("undo") or not rollout:
            return
        self.paused += bool(rollout.get("paused")) and not before.get("paused")
        self.resumed += bool(before.get("paused")) and not rollout.get("paused")
        for verb, often in (("pause", self.paused), ("resume", self.resumed)):
            asked = sum(one["spec"]["action"] == COMMANDS[verb] for one in now.all(RELEASE_DECISIONS.kind))
            if asked and often > asked:
                yield "commanded-once", f"{often} times it came to {verb}, and {asked} times people have asked for it"

    def _overrides_are_told_once(self, now: Instant) -> Told:
        told = [one for one in now.all("Event") if one.get("reason") == "Overridden"]
        if sum(one.get("count") or 1 for one in told) > 1:
            yield "told-once", f"of one override it was told {sum(one.get('count') or 1 for one in told)} times"

    def _outcome_is_written_once(self, now: Instant) -> Told:
        status, before = now.seen.object.get("status") or {}, (now.before or {}).get("status") or {}
        if now.seen.type == "DELETED" or not before.get("outcome") or status == before:
            return
        if before["outcome"] in FINAL or before["outcome"] == status.get("outcome"):
            yield "outcome-once", f"what became of {now.seen.object['spec']['action']} was {before}, and is {status}"

    def _effect_before_outcome(self, now: Instant) -> Told:
        uid, status = now.seen.object["metadata"]["uid"], now.seen.object.get("status") or {}
        if status.get("outcome") == "CarriedOut" and uid not in self.carried:
            yield "effect-first", f"{now.seen.object['spec']['action']} is said to be carried out, and the Release does not say so"


def _voted(now: Instant, role: str, digest: str | None) -> bool:
    """Whether somebody has approved what has this digest in a role."""
    return _said(now, ("Approve", role, digest))


def _said(now: Instant, what: tuple[str, str | None, str | None]) -> bool:
    """Whether somebody has made a decision with this action, role and digest."""
    made = [one["spec"] for one in now.all(RELEASE_DECISIONS.kind)]
    return any((spec["action"], spec.get("role"), spec.get("digest")) == what for spec in made)
