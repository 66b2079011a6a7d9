"""ReleaseDecisions by the Release that they are about, as far as they are still of concern, and which of them are believed.

They are read when the watch tells of them, and not in a pass: a version that fails is not kept by however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from tidegate.api.decision import Action, DecisionOutcome
from tidegate.cluster.resources import RELEASE_DECISIONS
from tidegate.engine.plan import Settled
from tidegate.governance.admission import Standing, doubt
from tidegate.governance.decisions import CAREFUL, DecisionView, view_of
from tidegate.runtime.sharding import WHOLE, Shard
from tidegate.runtime.store import Change, Object, Store

log = structlog.get_logger(__name__)

_OVER = frozenset({DecisionOutcome.CARRIED_OUT, DecisionOutcome.REFUSED, DecisionOutcome.EXPIRED, DecisionOutcome.SUPERSEDED})
"""What was told of a decision that never counts again."""
_AT_ONCE = CAREFUL | {Action.SWITCH}
MOST = 256
"""Decisions on one Release that count, the latest, beside commands that take traffic away: whoever may make some can make many."""


def is_open(decision: Mapping[str, Any]) -> bool:
    """Whether a decision can still be of concern to anybody: it counts, or nothing was told of it.

    A Reject withdraws votes whatever was told of it, until it is told that none is left.
    """
    spec, status = decision.get("spec"), decision.get("status")
    if not isinstance(spec, Mapping) or not isinstance(status, Mapping):
        return True
    outcome = status.get("outcome")
    return outcome not in ({DecisionOutcome.SUPERSEDED} if spec.get("action") == Action.REJECT else _OVER)


@dataclass(frozen=True)
class Decided:
    """What was decided on a Release.

    Attributes:
        views: the decisions that are believed, in the order in which they were made.
        refused: those that are not, and those that so many later ones have taken the place of, each with what is told of it.
    """

    views: tuple[DecisionView, ...] = ()
    refused: tuple[Settled, ...] = ()


NOTHING = Decided()


_MANY = f"{MOST} decisions on this Release were made after it: decide again"


class _Read(NamedTuple):
    """A decision as it was read, with what tells whether it is believed."""

    view: DecisionView
    generation: int


class Decisions:
    """Keeps what the watch tells of them.

    Args:
        store: the caches.
        standing: says how far decisions can be believed.
    """

    def __init__(self, store: Store, standing: Callable[[], Standing]) -> None:
        self._standing = standing
        self._read: dict[tuple[str, str], dict[str, _Read]] = {}
        self._decided: dict[tuple[str, str], tuple[Standing, Decided]] = {}
        store.on_change(RELEASE_DECISIONS.kind, self._changed)

    @property
    def unread(self) -> str:
        """Why no decision can be believed, in words; empty where some can."""
        return self._standing().trouble

    def of(self, namespace: str, release: str) -> Decided:
        """Return what was decided on a Release.

        Args:
            namespace: of the Release.
            release: its name.
        """
        key, standing = (namespace, release), self._standing()
        if standing.trouble or key not in self._read:
            return NOTHING
        known = self._decided.get(key)
        if known is None or known[0] != standing:
            known = self._decided[key] = standing, _decided(self._read[key].values(), standing)
        return known[1]

    def of_gone(self, there: Container[tuple[str, str]], before: datetime, shard: Shard = WHOLE) -> Iterator[tuple[str, Settled]]:
        """Yield namespace and end of each decision whose Release is gone: it counts for no later one of that name.

        Args:
            there: namespaces and names of all Releases.
            before: of those that were made later the Release may not be known yet.
            shard: the Releases that are of concern; by default all are.
        """
        for (namespace, release), found in self._read.items():
            if (namespace, release) not in there and shard.has(namespace, release):
                words = f"there is no Release {release}, and a later one needs decisions of its own"
                old = (read.view for read in found.values() if read.view.created < before)
                yield from ((namespace, _superseded(view, words)) for view in old)

    def _changed(self, change: Change) -> None:
        namespace, name = change.key.namespace, change.key.name
        if (before := _release_of(change.old)) is not None:
            key = namespace, before
            self._decided.pop(key, None)
            self._read.get(key, {}).pop(name, None)
            if not self._read.get(key):
                self._read.pop(key, None)
        if change.new is None or (after := _release_of(change.new)) is None or not is_open(change.new):
            return
        try:
            read = _Read(view_of(change.new), int(change.new["metadata"].get("generation", 1)))
        except (ValueError, KeyError, TypeError) as error:
            # Of a later version of Tidegate, as it may be: it is left alone.
            log.warning("a decision could not be read", decision=name, namespace=namespace, cause=type(error).__name__)
            return
        self._decided.pop((namespace, after), None)
        self._read.setdefault((namespace, after), {})[name] = read


def _decided(found: Iterable[_Read], standing: Standing) -> Decided:
    views: list[DecisionView] = []
    refused: list[Settled] = []
    for view, generation in sorted(found, key=lambda read: (read.view.created, read.view.uid)):
        if not (why := doubt(view.created, generation, standing)):
            views.append(view)
        elif view.outcome is None:
            refused.append(Settled(view.name, view.uid, DecisionOutcome.REFUSED, why))
    others = [view for view in views if view.action not in _AT_ONCE or view.outcome is not None]
    # A Reject withdraws votes that are no younger; in the second of the oldest that counts there may be one.
    over = [one for one in others[:-MOST] if one.action is not Action.REJECT or one.created < others[-MOST].created]
    passed_over, told = {one.uid for one in over}, [_superseded(one, _MANY) for one in over]
    return Decided(tuple(view for view in views if view.uid not in passed_over), (*refused[-MOST:], *told))


def _superseded(one: DecisionView, why: str) -> Settled:
    return Settled(one.name, one.uid, DecisionOutcome.SUPERSEDED, why, before=one.outcome)


def _release_of(obj: Object | None) -> str | None:
    spec = obj.get("spec") if obj is not None else None
    release = spec.get("release") if isinstance(spec, Mapping) else None
    return release if isinstance(release, str) else None
