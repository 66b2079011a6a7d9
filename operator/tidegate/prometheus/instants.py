"""Asks for the counters of both versions at one instant.

What is compared must be of the same time, whichever queries had to be asked alone or could be joined into one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tidegate.prometheus.answers import AskCounters, Cause, Result, Trouble
from tidegate.prometheus.batching import join, part
from tidegate.prometheus.budgets import EDGE, SERIES, Size
from tidegate.prometheus.counters import RawCounters, Shape, VersionCounters
from tidegate.prometheus.presets import Version
from tidegate.prometheus.samples import PARTS, Compact, CountError, Form, Part, Seen, compact, seen
from tidegate.prometheus.telling import Told

COUNTER = 160
"""Bytes of a counter that is followed to see what cannot be told."""
_PART = "tidegate_part"
"""Label that tells which of a version's queries a series answers."""

T = TypeVar("T")


@dataclass(frozen=True)
class Samples:
    """What the counters said at one instant.

    Attributes:
        canary: of the new version.
        stable: of the stable version; None where it is not followed.
        witnesses: processes that there are, as far as they were asked for.
    """

    canary: Seen
    stable: Seen | None
    witnesses: tuple[bytes, ...]

    @property
    def versions(self) -> tuple[Seen, ...]:
        """Of the versions that are followed, the new one first."""
        return (self.canary,) if self.stable is None else (self.canary, self.stable)

    @property
    def told(self) -> Mapping[Version, Told]:
        """Events by version, and those that cannot be told."""
        return dict(zip((Version.CANARY, Version.STABLE), (one.told for one in self.versions), strict=False))

    @property
    def size(self) -> Size:
        """What it takes to remember it."""
        series = sum(len(one.sightings) for one in self.versions)
        counters = sum(len(one.told.events) + len(one.told.untold) for one in self.versions)
        edges = sum(one.edges for one in self.versions)
        return Size(series, series * SERIES + 2 * edges * EDGE + counters * COUNTER)


async def ask_all(
    ask: AskCounters,
    asked: RawCounters,
    form: Form,
    shapes: frozenset[Shape],
    *,
    witnesses: bool = False,
    together: bool = True,
) -> tuple[Samples | Trouble, bool]:
    """Ask for the counters of both versions at one instant; one trouble is enough to have none of them.

    What is asked of one version goes out as one query, so that values and the times of their samples are of one replica of
    Prometheus. Queries that do not bear that are asked one by one, and without the times.

    Returns:
        What was found, and whether queries could be joined.

    Raises:
        CountError: an answer cannot be counted.
    """
    versions = [asked.canary] if asked.stable is None else [asked.canary, asked.stable]
    found = await _ask_versions(ask, versions, form, shapes, together=together)
    if isinstance(found, Trouble) and found.cause in (Cause.QUERY, Cause.SIZE) and together:
        found = await _ask_versions(ask, versions, form, shapes, together=False)
        # What fails one by one, too, tells nothing against asking it together.
        together = isinstance(found, Trouble)
    if isinstance(found, Trouble):
        return found, together
    witness = await ask(asked.witnesses, Single(form, Part.WITNESSES)) if witnesses and asked.witnesses else None
    if isinstance(witness, Trouble):
        return witness, together
    processes = () if witness is None else tuple(_told(witness, Compact).counters)
    return Samples(found[0], found[1] if len(found) > 1 else None, processes[: form.most]), together


async def _ask_versions(
    ask: AskCounters, versions: Sequence[VersionCounters], form: Form, shapes: frozenset[Shape], *, together: bool
) -> list[Seen] | Trouble:
    begun = [_begin(ask, version, form, shapes, together=together) for version in versions]
    # All are under way: to await them one by one needs no tasks, which would cost each look more than its numbers do.
    answers = [[await answer for answer in one.answers] for one in begun]
    found = [_finish(form, one, some) for one, some in zip(begun, answers, strict=True)]
    trouble = next((one for one in found if isinstance(one, Trouble)), None)
    return trouble or [one for one in found if isinstance(one, Seen)]


@dataclass(frozen=True)
class _Begun:
    """What is asked of one version.

    Attributes:
        parts: which of its queries.
        answers: to them, in this order; one where they were joined.
        joined: whether they were.
    """

    parts: tuple[Part, ...]
    answers: tuple[asyncio.Future[Result | Trouble], ...]
    joined: bool


def _begin(ask: AskCounters, version: VersionCounters, form: Form, shapes: frozenset[Shape], *, together: bool) -> _Begun:
    buckets = [(PARTS[shape], text) for shape, text in version.buckets if shape in shapes]
    texts = [(Part.TOTAL, version.total), (Part.BAD, version.bad), *buckets]
    together = together and version.joinable
    if together:
        texts += [(Part.TIMES, version.times), (Part.BIRTHS, version.births)]
    given = [(which, text) for which, text in texts if text]
    parts = tuple(which for which, _ in given)
    if together and len(given) > 1:
        asked = [ask(join([text for _, text in given], _PART, _PART), Together(form, parts))]
    else:
        asked = [ask(text, Single(form, which)) for which, text in given]
    return _Begun(parts, tuple(map(asyncio.ensure_future, asked)), joined=together and len(given) > 1)


def _finish(form: Form, begun: _Begun, answers: Sequence[Result | Trouble]) -> Seen | Trouble:
    trouble = next((one for one in answers if isinstance(one, Trouble)), None)
    if trouble is not None:
        return trouble
    results = [one for one in answers if isinstance(one, Result)]
    if begun.joined:
        data = results[0].data
        return Trouble(str(data), Cause.QUERY) if isinstance(data, ApartError) else _told(results[0], Seen)
    return seen(form, dict(zip(begun.parts, (_told(one, Compact) for one in results), strict=True)))


class ApartError(CountError):
    """The answers to queries that were joined cannot be told apart."""


@dataclass(frozen=True)
class Single:
    """Reads the answer to one of a version's queries, in the thread that has asked."""

    form: Form
    which: Part

    def __call__(self, data: object) -> Compact:
        """Read it.

        Raises:
            CountError: what was given cannot be counted.
        """
        return compact(self.form, self.which, data)


@dataclass(frozen=True)
class Together:
    """Reads the answer to the queries of one version that were joined, in the thread that has asked."""

    form: Form
    parts: tuple[Part, ...]

    def __call__(self, data: object) -> Seen:
        """Read it.

        Raises:
            ApartError: it cannot be told which series answers which query.
            CountError: what was given cannot be counted.
        """
        parts = part(data, _PART, len(self.parts), _PART)
        if parts is None:
            raise ApartError("the answers could not be told apart")
        read = {which: compact(self.form, which, one) for which, one in zip(self.parts, parts, strict=True)}
        return seen(self.form, read)


def _told(answer: Result, kind: type[T]) -> T:
    """Return what was read.

    Raises:
        CountError: it could not be.
    """
    if isinstance(answer.data, CountError):
        raise answer.data
    if not isinstance(answer.data, kind):
        raise CountError("the answer has no result that Tidegate knows")
    return answer.data


def texts_of(asked: RawCounters) -> list[str]:
    """Return the queries of a gate."""
    versions = [one for one in (asked.canary, asked.stable) if one is not None]
    parts = [(one.total, one.bad, one.times, one.births, *(text for _, text in one.buckets)) for one in versions]
    return [text for some in parts for text in some]
