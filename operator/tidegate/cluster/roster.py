"""Who takes part where several replicas work: they hold one Lease together, and tell each other in it that they are there.

That is the Lease that a single leader would hold, in the name of them all, which says how many shards there are. So a replica with
another number of shards, or with none, stands by as long as one of these is there, by the same rules and the same fence as for any
leader: what it would write, it would write by another division.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from tidegate.cluster.election import Election
from tidegate.cluster.errors import ApiError
from tidegate.cluster.sending import Json
from tidegate.runtime.sharding import Member

log = structlog.get_logger(__name__)

MEMBER = "member.tidegate.dev/"
"""The annotations by which replicas say that they are there begin so."""
_SHARDS = " shards"
"""The name in which replicas hold the Lease is the number of shards with this."""
MOST_MEMBERS = 64
"""Annotations that are read; more replicas than that never take part."""
FORGOTTEN_AFTER = 10.0
"""How many times as long as a lease lasts a replica is silent before what it has said is removed."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a replica says of itself.

    Attributes:
        leaving: it is about to end.
        ready: the shards that it could take over at once.
    """

    leaving: bool = False
    ready: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Heard:
    text: str
    word: Word
    since: float


class Roster(Election):
    """One replica's part in it.

    Args:
        member: name of this replica, which no other has or has ever had.
        count: how many shards there are.
        says: gives what this replica says of itself; `reconsider` has it said at once.
        options: those of an election.
    """

    def __init__(self, *args: Any, member: str, count: int, says: Callable[[], Word], **options: Any) -> None:
        super().__init__(*args, identity=f"{count}{_SHARDS}", **options)
        self._member, self._says = member, says
        self._beats = 0
        self._others: dict[str, _Heard] = {}
        self._answered: float | None = None

    def members(self) -> dict[str, Member]:
        """Return all replicas that were heard of, this one among them."""
        word = self._says()
        # For as long as nothing was heard at all, nobody is silent.
        heard = self._answered if self._answered is not None else float("-inf")
        found = {
            name: Member(max(0.0, heard - other.since), other.word.leaving, other.word.ready)
            for name, other in self._others.items()
        }
        return {**found, self._member: Member(0.0, word.leaving, word.ready)}

    def reconsider(self) -> None:
        """Say at once what has changed."""
        if self.remaining():
            self._candidate = replace(self._candidate, next_try=float("-inf"))
        super().reconsider()

    async def leave(self) -> None:
        """Say that this replica is gone; the last one gives the Lease up."""
        if not self.remaining():
            return
        if all(one.silent >= self._timing.duration for name, one in self.members().items() if name != self._member):
            await self.resign()
            return
        self._candidate = self._candidate.resigned()
        try:
            await self._cluster.json_patch(self._path, [self._holds(), {"op": "remove", "path": _pointer(self._member)}])
        except ApiError as error:
            log.warning("could not say that this replica is gone; it is noticed", lease=str(self._place), cause=str(error))

    async def _write(self) -> Json:
        noted = ((self._stored or {}).get("metadata") or {}).get("annotations")
        if noted and self.holder == self._candidate.identity:
            # Not as a whole: others have written it since it was read.
            lease = await self._cluster.json_patch(self._path, self._beat())
        else:
            lease = await super()._write()
        self._hear_of(lease)
        return lease

    def _take_in(self, lease: Json | None) -> None:
        super()._take_in(lease)
        if lease is not None and self.holder == self._candidate.identity:
            self._hear_of(lease)

    def _body(self, spec: Json, *, note: Mapping[str, str] | None = None) -> Json:
        """Return the Lease as it is stored when these take it over, or give it up: others that have said something are gone."""
        body = super()._body(spec, note=note)
        kept = {name: value for name, value in body["metadata"]["annotations"].items() if not name.startswith(MEMBER)}
        own = {MEMBER + self._member: self._text()} if spec.get("holderIdentity") else {}
        return {**body, "metadata": {**body["metadata"], "annotations": kept | own}}

    def _beat(self) -> list[Json]:
        patch = [
            self._holds(),
            {"op": "add", "path": "/spec/renewTime", "value": self._time()},
            {"op": "add", "path": _pointer(self._member), "value": self._text()},
        ]
        return [*patch, *({"op": "remove", "path": _pointer(name)} for name in self._forgotten())]

    def _holds(self) -> Json:
        return {"op": "test", "path": "/spec/holderIdentity", "value": self._candidate.identity}

    def _text(self) -> str:
        self._beats += 1
        word = self._says()
        said = {"beat": self._beats, "ready": sorted(word.ready)} | ({"leaving": True} if word.leaving else {})
        return json.dumps(said, separators=(",", ":"))

    def _forgotten(self) -> list[str]:
        """Return who is gone for good; the first of those that are there removes what they have said."""
        members, most = self.members(), FORGOTTEN_AFTER * self._timing.duration
        first = min(name for name, one in members.items() if one.silent < self._timing.duration)
        return sorted(name for name, one in members.items() if one.silent >= most) if first == self._member else []

    def _hear_of(self, lease: Json) -> None:
        """Note who is there. Silence counts from one answer to the next: in a break nobody could have been heard."""
        now = self._clock.monotonic()
        gap = now - self._answered if self._answered is not None else 0.0
        unheard = gap if gap > 2 * self._timing.retry else 0.0
        self._answered = now
        annotations = (lease["metadata"].get("annotations") or {}).items()
        texts = {name.removeprefix(MEMBER): str(value) for name, value in annotations if name.startswith(MEMBER)}
        texts.pop(self._member, None)
        heard: dict[str, _Heard] = {}
        for name, text in sorted(texts.items())[:MOST_MEMBERS]:
            known = self._others.get(name)
            if known is not None and known.text == text:
                heard[name] = replace(known, since=min(now, known.since + unheard))
            else:
                heard[name] = _Heard(text, _word_of(text), now)
        self._others = heard


def shards_of(lease: Json) -> int:
    """Return how many shards there are by a Lease: one where a single leader holds it, or nobody."""
    number, kind, rest = str((lease.get("spec") or {}).get("holderIdentity") or "").partition(_SHARDS)
    return int(number) if kind and not rest and number.isdecimal() and int(number) > 0 else 1


def _pointer(member: str) -> str:
    return f"/metadata/annotations/{(MEMBER + member).replace('~', '~0').replace('/', '~1')}"


def _word_of(text: str) -> Word:
    """Read what a replica says of itself; what is not as it should be says nothing."""
    try:
        said = json.loads(text)
    except ValueError:
        return Word()
    if not isinstance(said, dict):
        return Word()
    ready = said.get("ready")
    shards = frozenset(one for one in ready if type(one) is int) if isinstance(ready, list) else frozenset[int]()
    return Word(said.get("leaving") is True, shards)
