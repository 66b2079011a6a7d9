"""All journeys, and how each is looked at: those of one Release by the oracle, the burst of many by an oracle of its own."""

from __future__ import annotations

import math

from e2e.manifests import Json
from faults import asking, burst, burst_oracle, flagging, grouping, hostile, oracle, resting, telling
from faults.burst import BURST
from faults.journeys import HOLD, JOURNEYS, Journey
from faults.oracle import Oracle, Violation
from faults.place import Place
from faults.recorder import instants
from faults.standing import endpoints, weighted

SCENES: dict[str, Journey] = {**JOURNEYS, BURST.name: BURST}


async def begin(place: Place, journey: Journey) -> None:
    """Have a journey begin: with ready endpoints behind each Service that has weight, as who makes these lags behind an outage."""
    await journey.begin(place)
    await place.until("each Service with weight has ready endpoints", lambda: _served(place))


def _served(place: Place) -> bool:
    *_, now = instants(place.recorder.changes)
    return all(endpoints(now, service) for service in weighted(now))


def at_rest(place: Place, journey: Journey) -> Json:
    """Return what stands in a place after a journey, without what differs from run to run."""
    return burst.at_rest(place) if journey.large else resting.at_rest(place)


def untold(place: Place, journey: Journey) -> list[str]:
    """Return in words what no Event tells of a journey, and no channel where there are any."""
    return burst_oracle.untold(place) if journey.large else [*oracle.untold(place.recorder), *telling.untold(place)]


def check(place: Place, journey: Journey, *, since: int, shut_within: float = math.inf) -> list[Violation]:
    """Look at every instant of a journey, and return what must not be.

    Args:
        place: where it happened.
        journey: what it was.
        since: order of the last change before it began.
        shut_within: seconds from the first bad answer of Prometheus to routes that give the new version nothing.
    """
    if journey.large:
        return burst_oracle.check(place, since=since, shut_within=shut_within)
    found = Oracle(place, journey, since=since, holds={50: HOLD}, shut_within=shut_within).check()
    told = [*telling.check(place)]
    if journey.grouped:
        told += grouping.check(place, since=since, weights=journey.grouped, within=shut_within).items()
    if journey.flagged:
        told += flagging.check(place, since=since).items()
    if journey.asks:
        told += asking.check(place, journey.asks, since=since).items()
    return [*found, *(Violation(invariant, words) for invariant, words in told)]


def shown(place: Place, journey: Journey) -> list[Violation]:
    """Return what a clean run was to show, and has not."""
    if journey.large:
        return burst_oracle.shown(place)
    missing = hostile.unseen(place) if place.neighbour else set()
    return [Violation("attacked", f"nobody asked {', '.join(sorted(missing))} around the breach")] if missing else []
