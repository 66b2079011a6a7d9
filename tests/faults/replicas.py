"""Two operators and one Lease, or one for each shard: what happens to the one that leads, and that never both of them write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from e2e.manifests import NAME
from faults.injections import HOUR, Arm, Armed
from faults.oracle import Violation
from faults.place import Operator, Place
from faults.wire import Trap, Written
from faults.writes import LAST_FINALIZER, Asked
from tidegate.runtime.sharding import shard_of

Target = Asked | Callable[[Asked], bool]
"""The write that comes, or what tells whether it is the one."""
AWAY = 7.0
"""Seconds for which an operator hangs or is cut off: longer than a lease lasts."""
BRIEFLY = 1.0
"""Likewise, but shorter than a leader may go on without its lease."""


def lease_of(place: Place) -> str:
    """Return the name of the Lease by which it is decided who writes for the Release."""
    return "tidegate" if place.shards == 1 else f"tidegate-shard-{shard_of(place.namespace, NAME, place.shards)}"


def leader_of(place: Place) -> Operator | None:
    """Return the operator that holds the Lease; None where nobody does."""
    holder = holder_of(place.history.get("Lease", lease_of(place)) or {})
    return next((one for one in place.operators if holder.startswith(f"tidegate-{one.wire.name}-")), None)


def holder_of(lease: dict) -> str:
    """Return who holds a Lease."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def one_writer(place: Place, *, forgiven: Callable[[Asked], bool] = lambda _: False) -> list[Violation]:
    """Return the writes of operators that did not hold the Lease when the API server took them.

    Args:
        place: where.
        forgiven: writes that the network has kept back for longer than the lease of whoever had sent them.
    """
    holders = [(seen.order, holder_of(seen.object)) for seen in place.recorder.versions("Lease", lease_of(place))]
    found = []
    for operator in place.operators:
        for write in operator.wire.written:
            version = _version_of(write, place)
            if not version or _renews(write) or forgiven(write.asked):
                continue
            holder = next((holder for order, holder in reversed(holders) if order < version), "")
            if not holder and _tells(write):
                continue
            if not holder.startswith(f"tidegate-{write.wire}-"):
                words = f"{write.wire} wrote {write.asked} (version {version}) while the Lease was with {holder or 'nobody'}"
                found.append(Violation("one-writer", words))
    return found[:1]


def told_of_leases(place: Place) -> bool:
    """Whether it is known of all that operators have written into the Lease: watches of several kinds lag by different times."""
    written = [write.version for operator in place.operators for write in operator.wire.written if _renews(write)]
    names = ["tidegate", *(f"tidegate-shard-{shard}" for shard in range(place.shards) if place.shards > 1)]
    return max(written, default=0) <= max(
        (seen.order for name in names for seen in place.recorder.versions("Lease", name)), default=0
    )


def _tells(write: Written) -> bool:
    """Whether it is an Event: the last of a leader that was told to end may come in just after it has given the lease up."""
    return write.asked.kind.resource == "events"


def _renews(write: Written) -> bool:
    return write.asked.kind.resource.startswith("leases")


def _version_of(write: Written, place: Place) -> int:
    """Return when a write was taken, in the order of the API server; 0 where that is not known.

    Whoever takes the last finalizer from an object that is being deleted is answered with the version that it had before.
    """
    if write.asked.says != LAST_FINALIZER:
        return write.version
    return next((seen.order for seen in place.recorder.versions("Release") if seen.type == "DELETED"), 0)


def at_leader(strike: Callable[[Place, Operator], Awaitable[None]]) -> Callable[[Target], Arm]:
    """Something happens to whoever leads when a write comes; the write goes its way if it still can."""

    def at(target: Target) -> Arm:
        def arm(armed: Armed) -> None:
            async def act() -> None:
                leader = leader_of(armed.place)
                assert leader is not None, "somebody writes, and nobody leads"
                await strike(armed.place, leader)

            armed.trap(target, before=act)
            armed.checks.append(lambda: one_writer(armed.place))

        return arm

    return at


async def killed(_: Place, leader: Operator) -> None:
    """It crashes, and is started again."""
    await leader.crash()


async def both_killed(place: Place, _: Operator) -> None:
    """Both crash."""
    await asyncio.gather(*(operator.crash() for operator in place.operators))


async def standby_killed(place: Place, leader: Operator) -> None:
    """The other one crashes."""
    await other(place, leader).crash()


def stopped(seconds: float) -> Callable[[Place, Operator], Awaitable[None]]:
    """It hangs for some time and goes on as if nothing had been."""

    async def strike(_: Place, leader: Operator) -> None:
        leader.stop_breathing()
        _later(seconds, leader.breathe)

    return strike


def cut_off(seconds: float) -> Callable[[Place, Operator], Awaitable[None]]:
    """Nothing passes between it and the API server for some time, and nothing says so."""

    async def strike(_: Place, leader: Operator) -> None:
        leader.wire.cut_off = True
        _later(seconds, lambda: setattr(leader.wire, "cut_off", False))

    return strike


async def dismissed(_: Place, leader: Operator) -> None:
    """It is told to end, as in an update of the operator, and hands over."""
    asyncio.get_running_loop().call_soon(leader.dismiss)


def clock_of_leader(seconds: float) -> Callable[[Place, Operator], Awaitable[None]]:
    """Its clock is stepped."""

    async def strike(_: Place, leader: Operator) -> None:
        leader.step_clock(seconds)

    return strike


def clock_of_standby(seconds: float) -> Callable[[Place, Operator], Awaitable[None]]:
    """The other one's clock is stepped, and then it has to take over."""

    async def strike(place: Place, leader: Operator) -> None:
        other(place, leader).step_clock(seconds)
        await leader.crash()

    return strike


def late_write(target: Target) -> Arm:
    """A write of the leader is kept back by the network until the other one leads: the leader is cut off meanwhile."""

    def arm(armed: Armed) -> None:
        async def keep_back() -> None:
            leader = leader_of(armed.place)
            assert leader is not None
            leader.wire.cut_off = True
            await asyncio.sleep(AWAY)
            leader.wire.cut_off = False

        trap: Trap = armed.trap(target, before=keep_back, answers=False)
        armed.checks.append(lambda: one_writer(armed.place, forgiven=trap.is_for))

    return arm


def other(place: Place, leader: Operator) -> Operator:
    """Return the operator that does not lead."""
    return next(one for one in place.operators if one is not leader)


def _later(seconds: float, what: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, what)


STRIKES: dict[str, Callable[[Target], Arm]] = {
    "leader-killed": at_leader(killed),
    "leader-hangs": at_leader(stopped(AWAY)),
    "leader-hangs-briefly": at_leader(stopped(BRIEFLY)),
    "leader-cut-off": at_leader(cut_off(AWAY)),
    "leader-cut-off-briefly": at_leader(cut_off(BRIEFLY)),
    "leader-dismissed": at_leader(dismissed),
    "leader-write-late": late_write,
    "leader-clock-ahead": at_leader(clock_of_leader(HOUR)),
    "leader-clock-behind": at_leader(clock_of_leader(-HOUR)),
    "standby-clock-ahead": at_leader(clock_of_standby(HOUR)),
    "standby-clock-behind": at_leader(clock_of_standby(-HOUR)),
    "standby-killed": at_leader(standby_killed),
    "both-killed": at_leader(both_killed),
}
SHARED_OUT = (
    "leader-killed",
    "leader-hangs",
    "leader-cut-off",
    "leader-dismissed",
    "leader-write-late",
    "standby-killed",
    "both-killed",
)
"""Those that two operators meet as well which share Releases out."""
LONG_HANG = 60.0
"""Seconds for which a leader hangs in the longest of them."""
LONG_STRIKES: dict[str, Callable[[Target], Arm]] = {"leader-hangs-for-a-minute": at_leader(stopped(LONG_HANG))}
