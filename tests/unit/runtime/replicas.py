"""Replicas that share Releases out, on a model of the API server's Leases: the rules are the real ones, requests take no time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tidegate.runtime.lease import VACANT, Candidate, Claim, Step, Timing
from tidegate.runtime.sharding import Member, Patience, Tenure, duties

TIMING = Timing(duration=15.0, renew_deadline=10.0, retry=2.0)
PATIENCE = Patience(doubt=7.5, death=15.0)
TICK, FILLING = 0.5, 3.0
"""Seconds between two looks at everything, and until the caches of an operator are filled, where nothing else is said."""
ROSTER = -1
"""The number of the replicas' common Lease."""


@dataclass
class Leases:
    """What the API server has: Leases, and what replicas say in the common one."""

    claims: dict[int, Claim] = field(default_factory=dict)
    words: dict[str, tuple[int, frozenset[int], bool]] = field(default_factory=dict)
    away: bool = False
    versions: int = 0

    def put(self, lease: int, holder: str) -> Claim:
        """Write a Lease."""
        self.versions += 1
        self.claims[lease] = Claim(holder, TIMING.duration, str(self.versions))
        return self.claims[lease]


@dataclass
class Heard:
    """What a replica has heard of another one."""

    word: tuple[int, frozenset[int], bool]
    since: float


class Replica:
    """One replica: what `Roster`, `Slot` and `Shards` do, in steps."""

    def __init__(self, name: str, count: int, leases: Leases, ahead: float, filling: float) -> None:
        self.name, self.count, self.leases, self.ahead, self.filling = name, count, leases, ahead, filling
        self.hung = self.cut_off = self.leaving = False
        self.lives = dict.fromkeys(range(count), 0)
        self.roster = Candidate(f"{count} shards", TIMING)
        self.candidates = {shard: self._candidate(shard) for shard in range(count)}
        self.filled_at: dict[int, float] = {}
        """When the operator of a shard is ready, of those that there are."""
        self.beats, self.answered = 0, float("-inf")
        self.others: dict[str, Heard] = {}

    def _candidate(self, shard: int) -> Candidate:
        self.lives[shard] += 1
        return Candidate(f"{self.name}.{self.lives[shard]}", TIMING)

    def writes(self, shard: int, time: float) -> bool:
        """Whether it may begin a write for a shard."""
        now = time + self.ahead
        return shard in self.filled_at and min(self.roster.remaining(now), self.candidates[shard].remaining(now)) > 0

    def leads(self, shard: int) -> bool:
        """Whether it has got a shard's Lease, and has an operator for it."""
        return shard in self.filled_at and self.candidates[shard].renewed is not None

    def ready(self, now: float) -> frozenset[int]:
        """Return the shards that it could take at once."""
        return frozenset(shard for shard, at in self.filled_at.items() if at <= now and not self.leads(shard))

    def step(self, time: float) -> None:
        """Do what there is to do, once."""
        if self.hung:
            return
        now = time + self.ahead
        self._share(now)
        for shard in range(self.count):
            self._elect(shard, now)
        if self.roster.renewed is not None and all(one.known or one.claim for one in self.candidates.values()):
            self._do(now)

    @property
    def _unheard(self) -> bool:
        return self.leases.away or self.cut_off

    def _share(self, now: float) -> None:
        for _ in range(3):
            match self.roster.advise(now).step:
                case Step.READ if self._unheard:
                    self.roster = self.roster.failed(now, now)
                case Step.READ:
                    self.roster = self.roster.saw(self.leases.claims.get(ROSTER), now)
                case Step.MAKE:
                    self.roster = self.roster.saw(self.leases.put(ROSTER, VACANT), now)
                case Step.CLAIM if self._unheard:
                    self.roster = self.roster.failed(now, now)
                case Step.CLAIM:
                    self._beat(now)
                case _:
                    return

    def _beat(self, now: float) -> None:
        self.beats += 1
        self.leases.words[self.name] = (self.beats, self.ready(now), self.leaving)
        self.roster = self.roster.won(self.leases.put(ROSTER, self.roster.identity), now, now)
        gap = now - self.answered if self.answered > float("-inf") else 0.0
        unheard, self.answered = gap if gap > 2 * TIMING.retry else 0.0, now
        heard = {}
        for name, word in self.leases.words.items():
            known = self.others.get(name)
            same = known is not None and known.word == word
            heard[name] = Heard(word, min(now, known.since + unheard)) if same and known is not None else Heard(word, now)
        self.others = {name: one for name, one in heard.items() if name != self.name}

    def _elect(self, shard: int, now: float) -> None:
        wants = shard in self.ready(now) and self.roster.remaining(now) > 0
        for _ in range(4):
            one = self.candidates[shard]
            if not self._unheard and one.renewed is None and one.known:
                # The watch of a standby.
                one = self.candidates[shard] = one.saw(self.leases.claims.get(shard), now)
            match one.advise(now).step:
                case Step.STEP_DOWN:
                    self.filled_at.pop(shard, None)
                    self.candidates[shard] = self._candidate(shard)
                case Step.READ if self._unheard:
                    self.candidates[shard] = one.failed(now, now)
                case Step.READ:
                    self.candidates[shard] = one.saw(self.leases.claims.get(shard), now)
                case Step.MAKE if not self._unheard:
                    self.candidates[shard] = one.saw(self.leases.put(shard, VACANT), now)
                case Step.CLAIM if one.renewed is not None or wants:
                    self._claim(shard, now)
                case _:
                    break
        if self._unheard and self.candidates[shard].renewed is None:
            self.candidates[shard] = self.candidates[shard].forgot()

    def _claim(self, shard: int, now: float) -> None:
        one, stored = self.candidates[shard], self.leases.claims.get(shard)
        if self._unheard:
            self.candidates[shard] = one.failed(now, now)
        elif stored is None or one.claim is None or stored.version != one.claim.version:
            self.candidates[shard] = one.failed(now, now, outdated=True)
        else:
            self.candidates[shard] = one.won(self.leases.put(shard, one.identity), now, now)

    def _do(self, now: float) -> None:
        members = {name: Member(max(0.0, self.answered - one.since), one.word[2], one.word[1]) for name, one in self.others.items()}
        members[self.name] = Member(0.0, self.leaving, self.ready(now))
        found = duties(self.name, members, [self._tenure(shard, now) for shard in range(self.count)], PATIENCE)
        for shard in range(self.count):
            if shard in found.hand_over and self.leads(shard):
                self._hand_over(shard, now)
            elif shard in found.prepare:
                self.filled_at.setdefault(shard, now + self.filling)
            elif not self.leads(shard):
                self.filled_at.pop(shard, None)

    def _tenure(self, shard: int, now: float) -> Tenure:
        one = self.candidates[shard]
        holder = one.claim.holder.partition(".")[0] if one.claim is not None and one.claim.holder != VACANT else ""
        free = one.claim is None or one.renewed is not None
        return Tenure(holder, 0.0 if free else max(0.0, now - one.changed - one.left))

    def _hand_over(self, shard: int, now: float) -> None:
        """End all work on it, and only then release the Lease; without an answer it runs out."""
        one = self.candidates[shard]
        if self._unheard or not one.remaining(now):
            return
        self.filled_at.pop(shard)
        if (stored := self.leases.claims.get(shard)) is not None and stored.holder == one.identity:
            self.leases.put(shard, "")
        self.candidates[shard] = self._candidate(shard)


class Installation:
    """All replicas of one installation, and the time."""

    def __init__(self, count: int, filling: float = FILLING) -> None:
        self.count, self.leases, self.time, self.filling = count, Leases(), 0.0, filling
        self.replicas: dict[str, Replica] = {}
        self.names: Iterator[str] = (f"r{number:02}" for number in range(100))
        self.moves: list[tuple[float, int, str, str]] = []
        self._last: dict[int, str] = {}

    def join(self, ahead: float = 0.0) -> Replica:
        """Start a replica, with a clock of its own."""
        replica = Replica(next(self.names), self.count, self.leases, ahead, self.filling)
        self.replicas[replica.name] = replica
        return replica

    def writers(self, shard: int) -> list[str]:
        """Return who may write for a shard now."""
        return [name for name, one in self.replicas.items() if one.writes(shard, self.time)]

    def held(self) -> dict[int, str]:
        """Return who writes for each shard that somebody can write for."""
        found = {shard: [name for name in self.writers(shard) if not self.replicas[name].hung] for shard in range(self.count)}
        return {shard: names[0] for shard, names in found.items() if names}

    def run(self, seconds: float) -> None:
        """Let time pass; at no instant there are two writers of one shard."""
        end = self.time + seconds
        while self.time < end:
            self.time += TICK
            for replica in list(self.replicas.values()):
                replica.step(self.time)
                for shard in range(self.count):
                    assert len(writers := self.writers(shard)) <= 1, f"{self.time}: shard {shard} has {writers}"
            for shard, name in self.held().items():
                if name != self._last.get(shard, name):
                    self.moves.append((self.time, shard, self._last[shard], name))
                self._last[shard] = name
