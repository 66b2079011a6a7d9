"""Who may write: of several processes the one that holds a lease, and only for as long as its own clock allows.

The rules are those of client-go's leader election (k8s.io/client-go/tools/leaderelection). A lease carries times of the wall clock
of whoever wrote it; they are for people and decide nothing. A process judges a lease by when it last saw it change, on its own
monotonic clock, so clocks that differ or are stepped fool nobody. A holder stops writing at `renew_deadline` after it began its
last successful renewal; nobody else may begin before `duration` after having seen it. Every write of the lease rests on the
version that was read, so of two that try at once one fails. Unlike client-go's, a holder that could not renew in time goes on if
the lease turns out to be in its hands still: then nobody has led since.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

PAUSED_RETRY = 0.5
"""Seconds between attempts of a leader that may not write: nothing goes on until it can renew the lease."""

VACANT = "nobody-yet"
"""Holder of a lease that was just made. Where there is none, it may have been removed by hand under a leader that goes on until it
notices; and that there is none has no version on which a write could rest. So who finds none makes one that is left to nobody for
its whole duration, and takes it then like any other."""


class Step(Enum):
    """What is to be done about the lease."""

    READ = "read"
    """Read it: what is stored is not known."""
    MAKE = "make"
    """Make it, in nobody's hands: see `VACANT`."""
    CLAIM = "claim"
    """Write it, to take or to keep it, naming oneself."""
    WAIT = "wait"
    """Nothing, until the time that is given or until the lease is seen to change."""
    STEP_DOWN = "step down"
    """Lead no more: the lease was lost."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take, in seconds; `duration` > `renew_deadline` > `retry`.

    Attributes:
        duration: how long after its last change a lease is left to its holder.
        renew_deadline: how long after the beginning of its last successful renewal the holder goes on writing.
        retry: between renewals, and between attempts.
    """

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease as it is stored.

    Attributes:
        holder: identity of who holds it; empty where nobody does.
        duration: how long it is left to its holder, in seconds: what the holder was promised counts, whatever others would choose.
        version: another one after each write.
    """

    holder: str
    duration: float
    version: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do now.

    Attributes:
        step: what.
        until: when to ask again at the latest, on the monotonic clock, if the step is to wait.
        words: why, if the step is to step down.
    """

    step: Step
    until: float = 0.0
    words: str = ""


@dataclass(frozen=True)
class Candidate:
    """One process and what it knows of the lease. Times are seconds of its monotonic clock.

    Attributes:
        identity: its name, which no other process has or has ever had.
        timing: how long things take.
        claim: the lease as seen last; None where there was none.
        known: whether that is what is stored, as far as this process knows.
        changed: when the lease was last seen to change.
        left: for how many seconds from then on it is left to whoever held it; 0.0 where anybody may take it.
        renewed: beginning of the last request that took or renewed the lease; None for who does not lead.
        taken: who was seen to hold the lease that this process believed to hold; empty where nobody was.
        next_try: not before then is another request worth while.
        hurried: whether a refusal has already been followed by a request without a pause.
    """

    identity: str
    timing: Timing = field(default_factory=Timing)
    claim: Claim | None = None
    known: bool = False
    changed: float = float("-inf")
    left: float = 0.0
    renewed: float | None = None
    taken: str = ""
    next_try: float = float("-inf")
    hurried: bool = False

    def remaining(self, now: float) -> float:
        """Return for how many seconds this process still leads; 0.0 where it does not."""
        if self.renewed is None or self.taken:
            return 0.0
        return max(0.0, self.renewed + self.timing.renew_deadline - now)

    def paused(self, now: float) -> bool:
        """Whether this process has led and may not write now, without knowing of anybody else who may.

        If the lease is still in its hands, nobody has led since, and it goes on: no two processes have one identity, and whoever
        has led would have left another holder.
        """
        return self.renewed is not None and not self.taken and not self.remaining(now)

    def overdue(self, now: float) -> float:
        """Return for how many seconds this process has not been able to write for want of a renewal; 0.0 for who does not lead."""
        return 0.0 if self.renewed is None else max(0.0, now - self.renewed - self.timing.renew_deadline)

    def saw(self, claim: Claim | None, now: float) -> Candidate:
        """Note the lease as read or watched.

        Args:
            claim: the lease; None where there is none.
            now: when the answer had come in.
        """
        if claim is None:
            taken = "no replica: it was removed" if self.paused(now) else self.taken
            return replace(self, claim=None, known=True, changed=now, left=0.0, taken=taken)
        changed = now if claim != self.claim else self.changed
        others = claim.holder not in {"", self.identity}
        # A leader takes back what was made while its own had been removed: nobody else may have it yet.
        taken = claim.holder if others and claim.holder != VACANT and self.renewed is not None else self.taken
        if self.paused(now) and claim.holder != self.identity:
            # Somebody else may have led meanwhile, and have given it up since.
            taken = claim.holder or "another replica, which has released it"
        return replace(self, claim=claim, known=True, changed=changed, left=claim.duration if others else 0.0, taken=taken)

    def won(self, claim: Claim, begun: float, now: float) -> Candidate:
        """Note that the lease was written.

        An answer that comes when the time it gives is over, as after the process was stopped, makes no leader.

        Args:
            claim: the lease as it is stored now.
            begun: when the request began.
            now: when the answer had come in.
        """
        late = self.renewed is None and begun + self.timing.renew_deadline <= now
        return replace(
            self,
            claim=claim,
            known=not late,
            changed=now,
            left=0.0,
            renewed=None if late else begun,
            next_try=begun + self.timing.retry,
            hurried=False,
        )

    def failed(self, begun: float, now: float, *, outdated: bool = False) -> Candidate:
        """Note that a request failed: whether it was done is not known.

        Args:
            begun: when the request began.
            now: when it had failed.
            outdated: the API refused it because the lease has changed, so that reading it again is worth while at once; once.
        """
        hurried = outdated and not self.hurried
        pause = min(self.timing.retry, PAUSED_RETRY) if self.paused(now) else self.timing.retry
        next_try = now if hurried else max(now, begun + pause)
        return replace(self, known=False, next_try=next_try, hurried=hurried)

    def forgot(self) -> Candidate:
        """Note that changes of the lease may have been missed."""
        return replace(self, known=False)

    def resigned(self) -> Candidate:
        """Note that this process leads no more, by its own will."""
        return replace(self, renewed=None)

    def advise(self, now: float) -> Advice:
        """Return what to do now."""
        if self.renewed is not None:
            if self.taken:
                return Advice(Step.STEP_DOWN, words=f"the lease was taken by {self.taken}")
            if now < self.next_try:
                remaining = self.remaining(now)
                return Advice(Step.WAIT, min(self.next_try, now + remaining) if remaining else self.next_try)
            return Advice(Step.CLAIM if self.known else Step.READ)
        if now < self.next_try:
            return Advice(Step.WAIT, self.next_try)
        if not self.known:
            return Advice(Step.READ)
        if self.claim is None:
            return Advice(Step.MAKE)
        free = self.changed + self.left
        return Advice(Step.CLAIM) if now >= free else Advice(Step.WAIT, free)
