"""Reads gates: the queries of one look, asked together at one instant.

Here the two ways to read part, counters for Evidence and numbers for Limit; and what both may not be told is asked beside them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tidegate.api.gate import Gate
from tidegate.judge import choice
from tidegate.judge.reading import Around, AtWeight, Reading, Shown, Tally
from tidegate.prometheus.access import Access
from tidegate.prometheus.answers import MOST_SERIES, Answer, Ask, AskCounters, Read, Result, Trouble, Value
from tidegate.prometheus.around import BEFORE, Before, around_queries
from tidegate.prometheus.asked import Made
from tidegate.prometheus.asking import asker_of
from tidegate.prometheus.batching import COLLECTING, Batcher, Observer, RequestObserver
from tidegate.prometheus.budgets import Holder, Holdings
from tidegate.prometheus.config import Budgets
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.copies import Copies
from tidegate.prometheus.diagnosis import Hints
from tidegate.prometheus.evidence import Accounts, Resumed, Tallied
from tidegate.prometheus.presets import Version
from tidegate.prometheus.queries import Names, Queries, queries
from tidegate.prometheus.rests import Rests
from tidegate.prometheus.samples import MOST_ANSWERED
from tidegate.prometheus.tellers import Tellers
from tidegate.prometheus.telling import known_by

_SHORTEST_WINDOW = timedelta(seconds=1)
_GRAIN = timedelta(milliseconds=100)
"""Windows of different Releases that differ by less are one, as are the instants at which looks are evaluated."""


class Reader:
    """Turns gates into readings.

    Args:
        connections: the connections by name.
        observe: told of every query.
        requested: told of every HTTP request and of the number of queries that it carries.
        budgets: how much may be remembered of counters.
        collecting: seconds for which queries for the same instant are collected into one request.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        connections: Mapping[str, Connection],
        observe: Observer | None = None,
        *,
        requested: RequestObserver | None = None,
        budgets: Budgets | None = None,
        collecting: float = COLLECTING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batchers = {name: Batcher(one, observe, requested, collecting=collecting) for name, one in connections.items()}
        self._access = Access({name: one.config for name, one in connections.items()})
        self.holdings = Holdings(budgets or Budgets())
        self._accounts = Accounts(self.holdings, clock)
        self._rests = Rests(clock)
        self._before = Before()
        self._hints = Hints()
        self._copies = Copies()
        self._tellers = Tellers()
        self._queries = Made(queries)

    async def prime(self, gate: Gate, names: Names, revision: str, at: datetime) -> str:
        """Begin to count at an instant, for a gate that is judged by Evidence, and hand nothing in.

        What was counted before is thrown away: so ends a warm-up, too. Best before the new version gets traffic.

        Args:
            gate: whose counters. For a gate that is judged by Limit there is nothing to do.
            names: what the Release's objects are called.
            revision: the new version.
            at: evaluation time, with a time zone.

        Returns:
            What went wrong, in words; empty where the baseline is taken.
        """
        if not choice.by_evidence(gate):
            return ""
        if refusal := self._access.refusal(gate, names):
            return refusal
        batcher = self._batchers[gate.connection]
        names = await self._once(batcher, gate, names, at)
        return await self._accounts.prime(self._counting(batcher, gate, names, at), gate, names, revision, at)

    async def resume(self, gate: Gate, names: Names, revision: str, at: datetime, *, counted: bool = True) -> str:
        """Go on counting where another process has stopped, so that nothing is lost by its end; the next reading begins there.

        Args:
            gate: whose counters. For a gate that is judged by Limit there is nothing to do.
            names: what the Release's objects are called.
            revision: the new version.
            at: evaluation time of the last reading that was judged.
            counted: whether what was counted by then was judged. Where nothing was, that process began to count then: so counting
                begins here as it did there.

        Returns:
            What went wrong, in words. If `primed` says so, counting goes on; else the next reading begins to count anew.
        """
        if self._access.refusal(gate, names) or not choice.by_evidence(gate):
            return ""
        batcher, before = self._batchers[gate.connection], self._copies.within(gate, names)
        counting, ask = self._counting(batcher, gate, names, at), self._asking(batcher, gate, names, at)
        taken = Resumed.COUNTED if counted else Resumed.BEGUN
        # After a restart all Releases ask at once: here what is known of copies shares a request with the counters.
        said, _ = await asyncio.gather(
            self._accounts.prime(counting, gate, before, revision, at, resumed=taken), self._copies.begin(ask, gate, names)
        )
        found = self._copies.within(gate, names)
        if found == before:
            return said
        return await self._accounts.prime(counting, gate, found, revision, at, resumed=taken)

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        """Whether a gate's baseline is taken; there is none to take where it is judged by Limit."""
        return not choice.by_evidence(gate) or self._accounts.primed(gate, self._copies.within(gate, names), revision)

    async def read(
        self,
        gate: Gate,
        names: Names,
        revision: str,
        at: datetime,
        since: datetime | None = None,
        *,
        weight_since: datetime | None = None,
    ) -> Reading:
        """Look once.

        All queries of a look are evaluated at the same instant. Those of several gates and Releases for the same instant share
        requests, and a query that several have is asked once.

        Args:
            gate: what to read. One that is judged by Evidence reads what was counted since its last look, or since `prime`; where
                its counting has not begun, it begins now.
            names: what the Release's objects are called.
            revision: the new version, as it is noted in the reading.
            at: evaluation time, with a time zone; for counters after that of the last look, or there is nothing to read.
            since: when this revision first got traffic. The window of rates never reaches back beyond it: a Service's counters also
                hold what the candidate before this one did. Default: no such bound.

            weight_since: when it got its present weight, for the judge Limit: its requests since then are asked for, too.

        Returns:
            The reading; where something went wrong, with `trouble` and with the values that there are.
        """
        if refusal := self._access.refusal(gate, names):
            return _troubled(gate, revision, at, refusal)
        batcher = self._batchers[gate.connection]
        names = await self._once(batcher, gate, names, at)
        if choice.by_evidence(gate):
            return await self._count(batcher, gate, names, revision, at)
        return await self._measure(batcher, gate, names, revision, at, since=since, weight_since=weight_since)

    async def around(self, gate: Gate, names: Names, revision: str, at: datetime, split_at: datetime) -> Reading:
        """Look at what stable has counted before a route was split, and since.

        Args:
            gate: a gate on the error rate or availability of a preset.
            names: what the Release's objects are called.
            revision: the new version, as it is noted in the reading.
            at: evaluation time, with a time zone.
            split_at: when the route was split.

        Returns:
            The reading, with `around`; where something went wrong with `trouble` and without.
        """
        if refusal := self._access.refusal(gate, names):
            return _troubled(gate, revision, at, refusal)
        # Not a request after the split counts as one before it.
        ago, preset = -((split_at - at) // _GRAIN) * _GRAIN, gate.metric.preset
        if ago <= timedelta(0) or preset is None:
            return Reading(gate=gate.name, revision=revision, at=at)
        try:
            asked = around_queries(preset, self._copies.within(gate, names), ago)
        except ValueError as error:
            return _troubled(gate, revision, at, str(error))
        batcher, holder = self._batchers[gate.connection], Holder(names.namespace, names.release, gate.name)
        known = self._before.of(holder, split_at)
        texts = asked.after if known else (*asked.before, *asked.lately, *asked.after)
        found = await asyncio.gather(*(self._number(batcher, gate, names, text, at) for text in texts))
        trouble = next((answer.message for answer in found if isinstance(answer, Trouble)), "")
        numbers = [number for answer in found if (number := _value(answer)) is not None]
        if trouble or len(numbers) < len(texts):
            return _troubled(gate, revision, at, trouble)
        numbers = [*(known or ()), *numbers]
        self._before.note(holder, split_at, tuple(numbers[:4]), ago)
        before, lately, after = (Tally(total, bad) for total, bad in zip(numbers[::2], numbers[1::2], strict=True))
        seconds = {"seconds": ago.total_seconds(), "seconds_before": BEFORE.total_seconds()}
        return Reading(gate.name, revision, at, around=Around(before, lately, after, since=split_at, **seconds))

    def refusal(self, gate: Gate, names: Names) -> str:
        """Return why a gate may not ask its connection; empty where it may."""
        return self._access.refusal(gate, names)

    def rest(self, namespace: str, release: str, gate: str) -> float:
        """Return for how many seconds a gate is not looked at, as its queries have cost the server much; 0 where it may be."""
        return self._rests.left(Holder(namespace, release, gate))

    def forget(self, namespace: str, release: str) -> None:
        """Drop what is remembered of a Release; for when it is gone, or no rollout of it is on."""
        self._accounts.forget(namespace, release)
        self._hints.forget(namespace, release)
        self._copies.forget(namespace, release)
        self._tellers.forget(namespace, release)
        self._queries.forget(namespace, release)
        self._rests.forget(namespace, release)
        self._before.forget(namespace, release)

    def close(self) -> None:
        """Close the connections."""
        self._hints.close()
        self._copies.close()
        for batcher in self._batchers.values():
            batcher.connection.close()

    async def _count(self, batcher: Batcher, gate: Gate, names: Names, revision: str, at: datetime) -> Reading:
        ask = self._asking(batcher, gate, names, at)
        told = await self._accounts.read(lambda instant: self._counting(batcher, gate, names, instant), gate, names, revision, at)
        canary_series, stable_series = told.series or (None, None)
        blind = "" if told.trouble else await self._tellers.own(ask, gate, names, revision)
        if told.untold:
            blind = await self._tellers.untold(ask, gate, names, told.untold)
        if blind:
            told = Tallied(trouble=blind, newest=told.newest, series=told.series)
        hint = ""
        if not told.trouble:
            hint = self._hints.hint(ask, gate, names, told.silent)
        newest, newest_stable = told.newest
        known = _telling(gate, canary_series, blind=blind)
        shown = None if told.series is None else Shown(canary_series, stable_series, known)
        return Reading(
            gate=gate.name,
            revision=revision,
            at=at,
            trouble=told.trouble,
            counts=told.counts,
            hint=hint,
            newest=newest,
            newest_stable=newest_stable,
            earlier=told.earlier,
            shown=self._with_copies(shown, ask, gate, names),
        )

    async def _measure(
        self,
        batcher: Batcher,
        gate: Gate,
        names: Names,
        revision: str,
        at: datetime,
        *,
        since: datetime | None,
        weight_since: datetime | None,
    ) -> Reading:
        window, span = _windows(gate, at, since, weight_since)
        try:
            asked = self._queries.of(gate, names, window, span)
        except ValueError as error:
            return _troubled(gate, revision, at, str(error))
        texts = (asked.canary, asked.stable, asked.canary_samples, asked.stable_samples)
        beside = (asked.newest, asked.newest_stable, asked.at_weight, asked.series, asked.series_stable)
        found = await asyncio.gather(*(self._number(batcher, gate, names, text, at) for text in (*texts, *beside)))
        canary, stable, canary_samples, stable_samples, newest, newest_stable, of_weight, *series = found
        counted = _value(of_weight)
        answers = (canary, stable, canary_samples, stable_samples)
        ask = self._asking(batcher, gate, names, at)
        trouble = next((answer.message for answer in answers if isinstance(answer, Trouble)), "")
        answered = not trouble
        blind = await self._tellers.own(ask, gate, names, revision) if answered else ""
        if blind:
            canary = stable = None
        elif answered:
            numbers = ((Version.CANARY, canary, canary_samples), (Version.STABLE, stable, stable_samples))
            untold = [(version, None) for version, value, samples in numbers if _nothing(value) and (_value(samples) or 0) > 0]
            blind = await self._tellers.untold(ask, gate, names, untold)
        trouble = trouble or blind
        silent = tuple(version for version, answer in ((Version.CANARY, canary), (Version.STABLE, stable)) if _nothing(answer))
        hint = self._hints.hint(ask, gate, names, silent) if not trouble and gate.metric.preset is not None else ""
        return Reading(
            gate=gate.name,
            revision=revision,
            at=at,
            canary=_value(canary),
            stable=_value(stable),
            canary_samples=_value(canary_samples),
            stable_samples=_value(stable_samples),
            trouble=trouble,
            hint=hint,
            newest=_moment(newest, at),
            newest_stable=_moment(newest_stable, at),
            at_weight=AtWeight(weight_since, counted) if weight_since is not None and counted is not None else None,
            shown=self._with_copies(_shown(gate, asked, series, blind=blind) if answered else None, ask, gate, names),
        )

    async def _once(self, batcher: Batcher, gate: Gate, names: Names, at: datetime) -> Names:
        """Return the names, with what is known of copies of the gate's series; before the first look that is found out."""
        await self._copies.begin(self._asking(batcher, gate, names, at), gate, names)
        return self._copies.within(gate, names)

    def _with_copies(self, shown: Shown | None, ask: Ask, gate: Gate, names: Names) -> Shown | None:
        """Return what is shown, with what is known of requests that are kept more than once."""
        words = self._copies.told(ask, gate, names) if shown is not None and shown.canary else ""
        return replace(shown, copies=words) if shown is not None and words else shown

    async def _number(self, batcher: Batcher, gate: Gate, names: Names, promql: str | None, at: datetime) -> Answer | None:
        if promql is None:
            return None
        result = await batcher.ask(promql, at, MOST_SERIES, asker=asker_of(gate, names))
        self._rests.cost(Holder(names.namespace, names.release, gate.name), result.seconds)
        return result if isinstance(result, Trouble) else batcher.connection.number(result)

    @staticmethod
    def _asking(batcher: Batcher, gate: Gate, names: Names, at: datetime) -> Ask:
        """Return how what lies beside a gate's own queries is asked."""
        return lambda promql: batcher.ask(promql, at, MOST_ANSWERED, asker=asker_of(gate, names))

    def _counting(self, batcher: Batcher, gate: Gate, names: Names, at: datetime) -> AskCounters:
        asker, holder = asker_of(gate, names), Holder(names.namespace, names.release, gate.name)

        def cost(answer: asyncio.Future[Result | Trouble]) -> None:
            if not answer.cancelled():
                self._rests.cost(holder, answer.result().seconds)

        def ask(promql: str, read: Read) -> asyncio.Future[Result | Trouble]:
            answer = batcher.ask(promql, at, MOST_ANSWERED, asker=asker, read=read)
            answer.add_done_callback(cost)
            return answer

        return ask


def _shown(gate: Gate, asked: Queries, found: Sequence[Answer | None], *, blind: str) -> Shown | None:
    """Return what there is of the metric, of numbers for the new version and for stable; no series are 0 of them."""
    if asked.series is None:
        return None
    numbers = [
        None if query is None else round(_value(answer) or 0)
        for query, answer in zip((asked.series, asked.series_stable), found, strict=True)
    ]
    return Shown(numbers[0], numbers[1], _telling(gate, numbers[0], blind=blind))


def _telling(gate: Gate, series: int | None, *, blind: str) -> str:
    if blind:
        return "bad events cannot be told from good ones"
    return known_by(gate) if series else ""


def _windows(gate: Gate, at: datetime, since: datetime | None, weight_since: datetime | None) -> tuple[timedelta, timedelta | None]:
    """Return the window of a look, and for how much of it the present weight has been given; None where that is too short."""
    window = gate.window if since is None else _bounded(gate.window, at - since)
    if weight_since is None:
        return window, None
    # Rounded down: not a request of the weight before counts.
    at_weight = (at - weight_since) // _GRAIN * _GRAIN
    # Once it has had its weight for the whole window, nothing in the queries changes any more.
    return window, None if at_weight < _SHORTEST_WINDOW else min(at_weight, window)


def _bounded(window: timedelta, age: timedelta) -> timedelta:
    return max(_SHORTEST_WINDOW, min(window, age // _GRAIN * _GRAIN))


def _value(answer: Answer | None) -> float | None:
    return answer.value if isinstance(answer, Value) else None


def _moment(answer: Answer | None, at: datetime) -> datetime | None:
    """Return the time of a sample; None where there is none. None is newer than what was asked for."""
    value = _value(answer)
    return datetime.fromtimestamp(min(value, at.timestamp()), UTC) if value is not None and value > 0 else None


def _nothing(answer: Answer | None) -> bool:
    return answer is not None and not isinstance(answer, Value | Trouble)


def _troubled(gate: Gate, revision: str, at: datetime, trouble: str) -> Reading:
    return Reading(gate=gate.name, revision=revision, at=at, trouble=trouble)
