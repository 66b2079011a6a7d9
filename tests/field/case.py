"""What a case of the field is: what a team has, what it changes, and what must have become of that in the end."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from e2e.manifests import Json

Patch = Json
"""A JSON merge patch (RFC 7386)."""


class Outcome(StrEnum):
    """What has become of a new version."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    UNDONE = "undone"
    """Given up for want of time; nothing was said against the version."""
    REFUSED = "refused"
    """The Release says that it cannot, and the route was never touched."""
    UNDER_WAY = "under way"
    """Neither ended nor refused: it serves, is held, or waits."""


class Scraping(StrEnum):
    """How Prometheus comes to its series."""

    ONCE = "once"
    """The sandbox's own Prometheus: each pod by one job, and Envoy."""
    TWICE = "by two jobs"
    REPLICAS = "by two replicas whose series are kept apart by a label"
    KUBE_STATE = "once, and kube-state-metrics"


@dataclass(frozen=True)
class End:
    """One way for a case to end rightly.

    Attributes:
        outcome: what must become of the version.
        words: what must be said of it then, all of them in one text that a person reads: the status's sentence, a gate's, an Event.
    """

    outcome: Outcome
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.outcome}: {', '.join(self.words)}" if self.words else str(self.outcome)


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: of the case; unique.
        kind: the kind of fault that it stands for.
        story: what the team has and does, in a sentence.
        right: the ways in which it may end; any of them is right.
        before: merge patches on the shop's manifests, by kind.
        more: manifests that are there as well.
        then: merge patches on top, by kind, which are applied together: this is the change. A kind may be new.
        config: what the operator's configuration says besides its connections.
        kubectl: what a person types in place of a change, or after it.
        hands: what others do to the objects all the while; names of functions in `hands`.
        load: requests a second through Envoy; 0 for none.
        ill: versions that answer some requests with errors of their own accord.
        scraping: how Prometheus comes to its series.
        own_gap: seconds for which the change itself, by Kubernetes alone, may leave requests unanswered before the route is split.
        crash_gap: seconds after the loss of a pod for which it may be asked, until the data plane knows.
        services: what the operator's Services must have in their specs whenever they are there.
        checks: what else must hold in the end; names of functions in `checks`.
        lasting: whether the story goes on when the rollout has ended in another way first.
        stays: seconds for which the end must last.
        seconds: until it must have come to an end.
        sample: whether CI plays it: only what is right.
    """

    name: str
    kind: str
    story: str
    right: tuple[End, ...]
    before: dict[str, Patch] = field(default_factory=dict)
    more: tuple[Json, ...] = ()
    then: dict[str, Patch] = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    kubectl: tuple[str, ...] = ()
    hands: tuple[str, ...] = ()
    load: float = 30.0
    ill: frozenset[str] = frozenset()
    scraping: Scraping = Scraping.ONCE
    own_gap: float = 0.0
    crash_gap: float = 0.0
    services: Json = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    lasting: bool = False
    stays: float = 2.0
    seconds: float = 90.0
    sample: bool = False


def merged(target: Any, patch: Any) -> Any:
    """Return what a JSON merge patch makes of a value."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def filled(value: Any, words: dict[str, str]) -> Any:
    """Return a manifest with each word such as $HOST replaced by what it stands for, in values as well as in names of fields."""
    if isinstance(value, str):
        for word, meaning in words.items():
            value = value.replace(word, meaning)
        return value
    if isinstance(value, dict):
        return {filled(key, words): filled(one, words) for key, one in value.items()}
    return [filled(one, words) for one in value] if isinstance(value, list | tuple) else value
