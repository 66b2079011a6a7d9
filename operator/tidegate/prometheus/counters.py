"""The PromQL of gates that are judged by Evidence: raw counters of both versions, without rate() or increase().

The ledger takes the increases itself. So the server may add up only what falls together: everything that one process counts
starts from 0 when that process starts anew, and a sum over several processes would hide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from tidegate.api.base import format_duration
from tidegate.api.gate import Gate
from tidegate.api.metric import CounterPair, Counters, Measure, Preset
from tidegate.prometheus import presets, telling
from tidegate.prometheus.presets import PROCESS, TELEMETRY, Telemetry, Version, places
from tidegate.prometheus.promql import Names, Where, fill, selector, self_contained, unlike, variables
from tidegate.prometheus.selectors import of_scraped_series

_BY_PROCESS = ", ".join(PROCESS)
_BIRTH = "process_start_time_seconds"
"""https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics"""


class Kind(StrEnum):
    """What is counted."""

    SHARE = "bad events among all"
    LATENCY = "response times"
    RESTARTS = "restarts of containers"


class Shape(StrEnum):
    """In what a histogram is stored."""

    CLASSIC = "classic"
    NATIVE = "native"


@dataclass(frozen=True)
class VersionCounters:
    """The queries for the counters of one version.

    Attributes:
        total: all events, and of presets apart from them (`telling.parted`) those of which it cannot be told whether they are bad;
            of a histogram of either shape: nothing.
        bad: the bad ones among them; nothing where latencies are counted.
        buckets: queries for histograms by their shape; where there are several, one with an answer is enough.
        times: when the sample of each process was taken, in seconds since 1970; nothing where that cannot be asked.
        births: when each process started, likewise.
    """

    total: str = ""
    bad: str = ""
    buckets: tuple[tuple[Shape, str], ...] = ()
    times: str = ""
    births: str = ""

    @cached_property
    def joinable(self) -> bool:
        """Whether its queries can be put into one, which those of people need not bear."""
        return all(self_contained(text) for text in (self.total, self.bad, *(text for _, text in self.buckets)) if text)


@dataclass(frozen=True)
class RawCounters:
    """What a gate that is judged by Evidence asks.

    Attributes:
        kind: what is counted.
        canary: counters of the new version.
        stable: counters of the stable version; None where the gate does not compare with it.
        witnesses: series whose labels tell which processes there are, asked when counting begins; nothing where the series of the
            new version are its own pods'.
        by_service: the series are a gateway's view of a Service, which may have served another version before.
        forgets: their process forgets series while it runs, as a gateway those of a route that is removed: the sum of others falls.
        grouped: series are one per process; else they are as people's own queries give them.
        seconds: seconds in one unit of the histogram.
    """

    kind: Kind
    canary: VersionCounters
    stable: VersionCounters | None = None
    witnesses: str = ""
    by_service: bool = False
    forgets: bool = False
    grouped: bool = True
    seconds: float = 1.0


def raw_counters(gate: Gate, names: Names) -> RawCounters:
    """Return the queries of a gate that is judged by Evidence.

    Raises:
        ValueError: a query names an unknown variable or uses one where it does not fit, the preset needs a route and there is
            none, or the metric has no counters; the message is for the author of the policy.
    """
    versus_stable = gate.versus_stable is not None
    if gate.metric.counters is not None:
        return _of_own(gate.metric.counters, names, format_duration(gate.window), versus_stable=versus_stable)
    preset = gate.metric.preset
    if preset is None or preset.measure in (Measure.CPU, Measure.MEMORY):
        msg = "this metric has no counters: it can only be judged by Limit"
        raise ValueError(msg)
    if preset.measure is Measure.RESTARTS:
        (where,) = places(preset.source, names, Version.CANARY)
        return RawCounters(Kind.RESTARTS, VersionCounters(bad=presets.restarts(where)))
    return _of_requests(preset, names, versus_stable=versus_stable)


def _of_requests(preset: Preset, names: Names, *, versus_stable: bool) -> RawCounters:
    known = TELEMETRY[preset.source]
    latency = preset.measure in (Measure.LATENCY, Measure.TAIL)
    ask = _histograms if latency else _shares

    def version(which: Version) -> VersionCounters:
        where = places(preset.source, names, which)
        births = "" if known.by_service or known.always else _births(where)
        return replace(ask(known, where, preset.measure, names.copies), times=_times(known, where, latency=latency), births=births)

    witnesses = ""
    if known.by_service:
        witnesses = f"count by ({_BY_PROCESS}) ({_events(known, places(preset.source, names, Version.ALL))})"
    return RawCounters(
        kind=Kind.LATENCY if latency else Kind.SHARE,
        canary=version(Version.CANARY),
        stable=version(Version.STABLE) if versus_stable else None,
        witnesses=witnesses,
        by_service=known.by_service,
        forgets=known.by_service,
        seconds=known.seconds,
    )


def _shares(known: Telemetry, where: tuple[Where, ...], measure: Measure, copies: Sequence[str]) -> VersionCounters:
    told = known.telling(measure)
    bad = " or ".join(_events(known, where, (one,)) for one in told.bad)
    untold = " or ".join(
        (
            _events(known, where, (unlike(told.label, told.known),)),
            *(_any(metric or known.counter, where, which) for metric, which in told.unseen),
        )
    )
    return VersionCounters(
        total=telling.beside(_by_process(_events(known, where), copies), _by_process(untold, copies)),
        bad=_by_process(bad, copies),
    )


def _by_process(series: str, copies: Sequence[str]) -> str:
    return f"sum by ({_BY_PROCESS}) ({presets.once(series, copies)})"


def _histograms(known: Telemetry, where: tuple[Where, ...], _: Measure, copies: Sequence[str]) -> VersionCounters:
    classic = f"sum by ({_BY_PROCESS}, le) ({presets.once(_any(f'{known.histogram}_bucket', where), copies)})"
    native = f"sum by ({_BY_PROCESS}) ({presets.once(_any(known.histogram, where), copies, native=True)})"
    shapes = ((Shape.CLASSIC, classic), (Shape.NATIVE, native))
    return VersionCounters(buckets=shapes if known.native else shapes[:1])


def _times(known: Telemetry, where: tuple[Where, ...], *, latency: bool) -> str:
    """Return when the sample of each process was taken. All series of a process come with one scrape."""
    if latency or not known.counter:
        classic = [selector(f"{known.histogram}_count", one) for one in where]
        series = [*classic, *(selector(known.histogram, one) for one in where if known.native)]
    else:
        series = [selector(known.counter, one) for one in where]
    return f"max by ({_BY_PROCESS}) ({' or '.join(f'timestamp({one})' for one in series)})"


def _births(where: tuple[Where, ...]) -> str:
    """Return when each process started; only where programs count themselves, for a proxy beside them starts at another time.

    Where several programs share a target's labels, as workers of one server do, the start of one is not that of all.
    """
    births = _any(_BIRTH, where)
    return f"max by ({_BY_PROCESS}) ({births}) == min by ({_BY_PROCESS}) ({births})"


def _events(known: Telemetry, where: tuple[Where, ...], which: Where = ()) -> str:
    """Return the counters of requests, in every way that they may be labelled and stored."""
    if known.counter:
        return _any(known.counter, where, which)
    native = (f"histogram_count({selector(known.histogram, (*one, *which))})" for one in where)
    return " or ".join((_any(f"{known.histogram}_count", where, which), *native))


def _any(metric: str, where: tuple[Where, ...], which: Where = ()) -> str:
    return " or ".join(selector(metric, (*one, *which)) for one in where)


def _without(copies: Sequence[str], series: str) -> str:
    """Return the query for people's own series of which copies are one."""
    return f"max without ({', '.join(copies)}) (\n{series}\n)" if copies else series


def _of_own(counters: Counters, names: Names, window: str, *, versus_stable: bool) -> RawCounters:
    values = variables(names, window)

    def version(pair: CounterPair) -> VersionCounters:
        total, bad = fill(pair.total, values), fill(pair.bad, values)
        # The time of anything else is that of the look, and that of what a rule records is the time of its evaluation, however old
        # the samples are that went into it: taken for times of scrapes, they make a restart of each answer of an older replica.
        dated = all(of_scraped_series(text) for text in (total, bad))
        if not dated:
            return VersionCounters(total=total, bad=bad)
        total_once, bad_once, times = (_without(names.copies, text) for text in (total, bad, f"timestamp(\n{total}\n)"))
        return VersionCounters(total=total_once, bad=bad_once, times=times)

    stable = counters.stable if versus_stable else None
    return RawCounters(Kind.SHARE, version(counters.canary), stable=None if stable is None else version(stable), grouped=False)
