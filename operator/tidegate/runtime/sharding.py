"""Which replica works on which Releases, where several share them: pure, from what each replica knows of the others.

A Release's shard follows from its name alone, so it never changes and stands nowhere. Each shard has a Lease, whose holder works on
it; that Lease alone decides who may write. What is decided here is who prepares to take a shard over and who hands one over, so
that each replica has its share. Every replica decides for itself, from nearly the same facts. Where they differ for a moment, two
may prepare one shard, and the Lease goes to one of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

HEIR_SECONDS = 60.0
"""For so long whoever is to take a shard has time for it; then it is another one's turn, too, and both prepare."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of the shards of an installation.

    Attributes:
        index: its number, from 0.
        count: how many there are; with one, all Releases are in it.
    """

    index: int = 0
    count: int = 1

    def has(self, namespace: str, name: str) -> bool:
        """Whether a Release is in it."""
        return self.count == 1 or shard_of(namespace, name, self.count) == self.index


WHOLE = Shard()
"""The only one of an installation that is not shared out."""


def shard_of(namespace: str, name: str, count: int) -> int:
    """Return the number of the shard that a Release is in; every replica of every version must say the same.

    Args:
        namespace: of the Release.
        name: its name.
        count: how many shards there are.
    """
    return int.from_bytes(hashlib.sha256(f"{namespace}/{name}".encode()).digest()[:8], "big") % count


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a silent replica is waited for, in seconds.

    Attributes:
        doubt: from then on somebody prepares to take its shards over.
        death: from then on it does not count any more.
    """

    doubt: float
    death: float


@dataclass(frozen=True, slots=True)
class Member:
    """A replica, as another one knows it.

    Attributes:
        silent: seconds since it was last heard, as far as it could have been heard.
        leaving: it is about to end, and hands over what it holds.
        ready: the shards that it could take over at once.
    """

    silent: float = 0.0
    leaving: bool = False
    ready: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Tenure:
    """Who holds a shard.

    Attributes:
        holder: name of the replica that its Lease names; empty where it names none.
        vacant: seconds for which anybody may have taken it; 0.0 while it is held.
    """

    holder: str = ""
    vacant: float = 0.0


@dataclass(frozen=True, slots=True)
class Duties:
    """What a replica has to do about shards.

    Attributes:
        prepare: those that it is to be able to take over, and takes as soon as their Leases let it.
        hand_over: those that it holds and is to give up now: whoever gets them is ready, or nobody is there to wait for.
    """

    prepare: frozenset[int] = field(default_factory=frozenset)
    hand_over: frozenset[int] = field(default_factory=frozenset)


def duties(me: str, members: Mapping[str, Member], tenures: Sequence[Tenure], patience: Patience) -> Duties:
    """Return what a replica has to do.

    Args:
        me: its name; it is among the members.
        members: all replicas that were heard of, by name.
        tenures: of each shard who holds it, by number.
        patience: how long silent ones are waited for.
    """
    staying = {name for name, one in members.items() if not one.leaving and one.silent < patience.death}
    turns = _turns(staying, tenures)
    owners = _last(turns)
    held = frozenset(shard for shard, tenure in enumerate(tenures) if tenure.holder == me)
    if me not in staying:
        return Duties(hand_over=frozenset(shard for shard in held if _may_go(shard, owners[shard], members)))
    # Whoever has begun goes on in the turns of others: caches may take longer than a turn to fill.
    mine = {shard for shard, names in enumerate(turns) if me in names}
    doubted = {name for name in staying - {me} if members[name].silent >= patience.doubt}
    if doubted:
        # What they hold, and nothing else: a replica that is late for a moment moves no other shard.
        heirs = assigned(staying - doubted, tenures)
        mine |= {shard for shard, owner in enumerate(heirs) if owner == me and tenures[shard].holder in doubted}
    surplus = frozenset(shard for shard in held if owners[shard] != me and _may_go(shard, owners[shard], members))
    return Duties(prepare=frozenset(mine - held), hand_over=surplus)


def assigned(names: Collection[str], tenures: Sequence[Tenure]) -> list[str]:
    """Return who is to have each shard, by number; empty where nobody is there.

    Whoever holds shards keeps them up to a fair share. What is left goes to those who have the fewest, so no more shards move than
    must, and the same facts give the same answer, also while what it says is being done.

    Args:
        names: the replicas that count.
        tenures: of each shard who holds it.
    """
    return _last(_turns(names, tenures))


def _last(turns: Sequence[Sequence[str]]) -> list[str]:
    return [names[-1] if names else "" for names in turns]


def _turns(names: Collection[str], tenures: Sequence[Tenure]) -> list[tuple[str, ...]]:
    """Return who was to have each shard, by number, in the order of their turns; the last one is to have it now."""
    held: dict[str, list[int]] = {name: [] for name in names}
    for shard, tenure in enumerate(tenures):
        if tenure.holder in held:
            held[tenure.holder].append(shard)
    turns: list[tuple[str, ...]] = [()] * len(tenures)
    if not held:
        return turns
    least, more = divmod(len(tenures), len(held))
    ranked = sorted(held, key=lambda name: (-len(held[name]), name))
    share = {name: least + (place < more) for place, name in enumerate(ranked)}
    given = {name: shards[: share[name]] for name, shards in held.items()}
    for name, shards in given.items():
        for shard in shards:
            turns[shard] = (name,)
    for shard, known in enumerate(turns):
        if known:
            continue
        # There is always one: the shares are as many as the shards.
        below = sorted((name for name in given if len(given[name]) < share[name]), key=lambda name: (len(given[name]), name))
        turns[shard] = _in_turn(below[0], sorted(given), tenures[shard].vacant)
        given[below[0]].append(shard)
    return turns


def _in_turn(first: str, names: Sequence[str], vacant: float) -> tuple[str, ...]:
    """Return whose turn to take a shard it has been: the first one's, and after each `HEIR_SECONDS` one more's, up to all."""
    begin, turns = names.index(first), min(int(vacant // HEIR_SECONDS) + 1, len(names))
    return tuple(names[(begin + turn) % len(names)] for turn in range(turns))


def _may_go(shard: int, heir: str, members: Mapping[str, Member]) -> bool:
    """Whether a shard can be given up now."""
    return not heir or shard in members[heir].ready
