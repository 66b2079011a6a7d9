"""What befalls the operator amid a burst: it dies or is told to end when so many routes are shut, or its verdicts are not taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from faults import burst, replicas
from faults.burst import is_verdict, shuts
from faults.injections import Arm, Armed
from faults.oracle import Violation
from faults.wire import Trap, Written
from faults.writes import Asked


@dataclass(frozen=True)
class Strike:
    """One fault in a burst.

    Attributes:
        where: what it strikes, as it stands in the injection's name.
        kind: of the fault.
        arm: puts it in place.
        says: what it strikes, in words.
        operators: how many there are.
    """

    where: str
    kind: str
    arm: Arm
    says: str
    operators: int = 1


@dataclass
class NthShut:
    """Meets the write that shuts the so-manieth route, while the verdicts of most routes before it are not stored.

    Where they are, nothing was put off, and there is nothing to strike.

    Attributes:
        number: which, from 1 on.
        shut: what the writes have said that shut a route.
        stored: how many verdicts were sent to be stored.
    """

    number: int
    shut: set[str] = field(default_factory=set)
    stored: int = 0

    def __call__(self, asked: Asked) -> bool:
        self.stored += is_verdict(asked)
        if not shuts(asked) or asked.says in self.shut:
            return False
        self.shut.add(asked.says)
        return len(self.shut) == self.number and self.stored <= self.number // 2


def strikes() -> Iterator[Strike]:
    """Yield what befalls the operator, and two of them."""
    quarter, half, late = burst.SERVICES // 4, burst.SERVICES // 2, burst.SERVICES * 3 // 4
    for number in (1, quarter, half, late, burst.SERVICES):
        yield Strike(f"shut-{number}", "kill-after", killed(number), _which(number))
    for number in (quarter, late):
        yield Strike(f"shut-{number}", "dismissed", dismissed(number), _which(number))
    for number, kind in ((quarter, "leader-killed"), (half, "leader-hangs"), (late, "leader-dismissed")):
        yield Strike(f"two-at-shut-{number}", kind, at_leader(kind, number), _which(number), operators=2)
    yield Strike("verdict-1", "kill-before", killed_before_a_verdict, "the first verdict")
    says = f"the first {burst.SERVICES} tries"
    for where, meant in (("verdicts", is_verdict), ("routes", shuts)):
        yield Strike(where, "429", each(meant, passes=False, status=429, headers={"Retry-After": "1"}), says)
    yield Strike("verdicts", "lost", each(is_verdict, answers=False), says)


def _which(number: int) -> str:
    return f"route {number} of {burst.SERVICES} that is shut"


def killed(number: int) -> Arm:
    """The operator dies when a route has been shut, and before it knows."""
    return lambda armed: _set(armed.trap(NthShut(number), after=armed.place.first.crash, answers=False))


def killed_before_a_verdict(armed: Armed) -> None:
    """The operator dies before the first verdict has left it."""
    armed.trap(is_verdict, before=armed.place.first.crash, passes=False, answers=False)


def each(meant: Callable[[Asked], bool], **what: Any) -> Arm:
    """Something becomes of the first writes of a kind, of as many as there are services."""
    return lambda armed: _set(armed.trap(meant, times=burst.SERVICES, **what))


def at_leader(kind: str, number: int) -> Arm:
    """Something happens to whoever leads when a route is to be shut; the write goes its way if it still can."""

    def arm(armed: Armed) -> None:
        # It counts, so each try needs one of its own.
        replicas.STRIKES[kind](NthShut(number))(armed)

    return arm


def dismissed(number: int) -> Arm:
    """The operator is told to end when a route has been shut, and is started again once it has: it leaves nothing unstored."""

    def arm(armed: Armed) -> None:
        operator, ended = armed.place.first, list[float]()
        operator.keep_alive()

        async def dismiss() -> None:
            operator.dismiss()
            armed.soon(note())

        async def note() -> None:
            await operator.gone()
            ended.append(time.monotonic())

        armed.trap(NthShut(number), after=dismiss)
        armed.checks.append(lambda: unstored(operator.wire.written, by=ended[0]) if ended else [])

    return arm


def unstored(written: Iterable[Written], *, by: float) -> list[Violation]:
    """Return the verdicts that were acted on and not stored by a moment, on the monotonic clock."""
    done = [one for one in written if one.status < 300 and one.answered <= by]
    shut, stored = {one.name for one in done if shuts(one.asked)}, {one.name for one in done if is_verdict(one.asked)}
    left = sorted(shut - stored)
    words = f"it has ended, and {len(left)} of the {len(shut)} routes that it has shut have no verdict: {left}"
    return [Violation("stored-on-leaving", words)] if left else []


def _set(_: Trap) -> None:
    return None
