"""What happens in a soak, and when: planned before it begins, and the same for each seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

APART = 240.0
"""Seconds between two journeys of one service: more than the longest of them takes."""


class Journey(StrEnum):
    """What one service goes through, from one end to the next."""

    PROMOTE = "promoted"
    BREACH = "breached and rolled back"
    SUPERSEDE = "superseded, then promoted"
    REQUEST = "rolled back by request"
    RECREATE = "Release deleted and created anew"

    @property
    def rollouts(self) -> int:
        """How many rollouts it has."""
        return {Journey.SUPERSEDE: 2, Journey.RECREATE: 0}.get(self, 1)

    @property
    def rejects(self) -> bool:
        """Whether a version stays rejected at its end."""
        return self in {Journey.BREACH, Journey.REQUEST}


SHARES: Mapping[Journey, int] = {
    Journey.PROMOTE: 7,
    Journey.BREACH: 7,
    Journey.SUPERSEDE: 2,
    Journey.REQUEST: 2,
    Journey.RECREATE: 2,
}
"""How many of twenty journeys in a row are of each kind."""


@dataclass(frozen=True)
class Start:
    """One journey.

    Attributes:
        at: seconds after the beginning.
        service: which, from 0.
        journey: what it goes through.
        chance: 0 to 1; where it is open when something happens, such as where between two looks a version turns bad.
    """

    at: float
    service: int
    journey: Journey
    chance: float


def plan(services: int, seconds: float, every: float, *, seed: int = 0) -> list[Start]:
    """Return a steady flow of journeys, in the order of their start.

    Services take turns, in an order of chance. Kinds come in fixed shares, so that every part of the time has the same mix. A
    Release is only deleted where its last journey has left no rejected version: its Deployment would roll that out by itself.

    Args:
        services: how many there are.
        seconds: for how long journeys begin.
        every: seconds between two starts; more where the same service would come again within `APART`.
        seed: of what is left to chance.
    """
    chance = random.Random(seed)
    every = max(every, APART / services)
    turns = list(range(services))
    chance.shuffle(turns)
    deck: list[Journey] = []
    rejected: set[int] = set()
    starts = []
    for number in range(int(seconds / every)):
        service = turns[number % services]
        journey = _draw(deck, chance, deletable=service not in rejected)
        (rejected.add if journey.rejects else rejected.discard)(service)
        starts.append(Start(number * every, service, journey, chance.random()))
    return starts


def _draw(deck: list[Journey], chance: random.Random, *, deletable: bool) -> Journey:
    """Take the first journey of the deck that fits; a new deck goes below the old one."""
    while True:
        for place, journey in enumerate(deck):
            if deletable or journey is not Journey.RECREATE:
                return deck.pop(place)
        fresh = [journey for journey, number in SHARES.items() for _ in range(number)]
        chance.shuffle(fresh)
        deck += fresh
