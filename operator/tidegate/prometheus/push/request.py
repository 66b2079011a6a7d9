"""Reads requests of Prometheus' remote write, 2.0 and 1.0: series of wanted names alone; all others are counted and passed over.

https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/, prompb/io/prometheus/write/v2/types.proto and prompb/remote.proto of
prometheus/prometheus. Who pushes is trusted with the samples of some namespaces, and with nothing else: every message is bounded by
its bytes, and the request by its fields, series, symbols and labels.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from tidegate.judge.histogram import EMPTY, Histogram
from tidegate.prometheus.counters import Kind
from tidegate.prometheus.direct.page import PageError, Sums
from tidegate.prometheus.direct.protobuf import native
from tidegate.prometheus.direct.wanted import Wanted
from tidegate.prometheus.direct.wire import BYTES, FIXED64, VARINT, Field, Fields, double, fields, numbers

MOST_SERIES = 20_000
MOST_SYMBOLS = 50_000
MOST_FIELDS = 250_000
"""Series, symbols and fields of one request at most: an agent sends some thousand series."""
MOST_LABELS = 64
"""Labels of one wanted series at most."""
LONGEST_LABELS = 16 * 1024
"""Bytes of these, with their names: 2.0 has each text once, however many series and labels refer to it."""
_A_TURN = 250
"""Series, or a few times as many symbols, that are looked at in one turn."""
_WORK = 2_000
"""Fields after which a turn ends, however few series they are of."""
MOST_SAMPLES = 500
"""Samples of one series in a request at most: an agent sends one of each scrape."""
_NAME = b"__name__"
_STALE = struct.pack("<Q", 0x7FF0000000000002)
"""The number that is no number by which a series is said to have ended (model/value of prometheus/prometheus)."""
_SIGN, _ALL = 1 << 63, 1 << 64
_NATIVE = Wanted(Kind.LATENCY, "", "native", native=True)


class Message(StrEnum):
    """What a request is, as its Content-Type names it."""

    V2 = "io.prometheus.write.v2.Request"
    V1 = "prometheus.WriteRequest"


class RequestError(ValueError):
    """A request is not as it should be; the message says why, without any of its text."""


class _SeriesError(ValueError):
    """One series is not as it should be."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a series.

    Attributes:
        at: its time, in milliseconds since 1970.
        value: a counter, or a native histogram in its own unit; None where the series has ended.
        start: since when it counts, likewise; 0 where nobody tells.
        count: all that a native histogram has counted.
    """

    at: int
    value: float | Histogram | None
    start: int = 0
    count: float = 0.0


@dataclass(frozen=True, slots=True)
class Pushed:
    """A series of one of the wanted names.

    Attributes:
        name: of its metric.
        labels: its labels, without the name.
        samples: its samples in the order in which they came.
    """

    name: str
    labels: dict[str, str]
    samples: tuple[Sample, ...]


@dataclass
class Tally:
    """What a request has, wanted or not.

    Attributes:
        samples: numbers.
        histograms: native histograms.
        exemplars: exemplars.
        unreadable: numbers and histograms among them of wanted series whose labels cannot be read.
    """

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0
    unreadable: int = 0


@dataclass
class Found:
    """What was read of a request so far.

    Attributes:
        series: series of the wanted names.
        tally: what it has in all.
    """

    series: list[Pushed] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class _Labels(Protocol):
    """Knows labels of series in one version of the protocol.

    Attributes:
        layout: numbers of a series' fields: samples, native histograms, exemplars.
    """

    layout: tuple[int, int, int]

    def wanted(self, data: bytes, whole: Field, count: Fields) -> bool: ...

    def of(self, data: bytes, whole: Field, count: Fields) -> dict[str, str]: ...


def read(message: Message, data: bytes, names: AbstractSet[bytes], found: Found) -> Iterator[None]:
    """Read a request turn by turn.

    Args:
        message: what it is.
        data: its bytes.
        names: names of the metrics that are wanted.
        found: what was read; it is added to.

    Raises:
        RequestError: it cannot be read, or has too much.
    """
    try:
        yield from _read(message, data, names, found)
    except PageError as error:
        raise RequestError(str(error).replace("the page", "the request")) from None


def _read(message: Message, data: bytes, names: AbstractSet[bytes], found: Found) -> Iterator[None]:
    count, symbols, series = Fields(MOST_FIELDS), list[bytes](), list[Field]()
    of_symbols, of_series = (4, 5) if message is Message.V2 else (0, 1)
    for place, one in enumerate(fields(data, 0, len(data), count)):
        if one[0] == of_series and one[1] == BYTES:
            series.append(one)
        elif one[0] == of_symbols and one[1] == BYTES:
            symbols.append(data[one[2] : one[3]])
        if len(symbols) > MOST_SYMBOLS or len(series) > MOST_SERIES:
            raise RequestError(f"the request has more than {MOST_SERIES:,} series or {MOST_SYMBOLS:,} symbols: send fewer at once")
        if place % (4 * _A_TURN) == 0:
            yield
    labels: _Labels = _Symbols(symbols, names) if message is Message.V2 else _Spelt(names)
    turn = count.seen
    for place, one in enumerate(series):
        _series(data, one, labels, found, count)
        if place % _A_TURN == 0 or count.seen - turn > _WORK:
            yield
            turn = count.seen


def _series(data: bytes, whole: Field, labels: _Labels, found: Found, count: Fields) -> None:
    samples, histograms = list[Field](), list[Field]()
    tally = found.tally
    of_samples, of_histograms, of_exemplars = labels.layout
    for one in fields(data, whole[2], whole[3], count):
        number = one[0]
        if one[1] != BYTES:
            continue
        if number == of_samples:
            samples.append(one)
        elif number == of_histograms:
            histograms.append(one)
        elif number == of_exemplars:
            tally.exemplars += 1
    tally.samples += len(samples)
    tally.histograms += len(histograms)
    if not (samples or histograms) or not labels.wanted(data, whole, count):
        return
    if len(samples) + len(histograms) > MOST_SAMPLES:
        raise RequestError(f"the request has a series of more than {MOST_SAMPLES} samples: send fewer at once")
    try:
        known = labels.of(data, whole, count)
    except _SeriesError:
        # A pod says what its labels are, and others' series stand in the same request.
        tally.unreadable += len(samples) + len(histograms)
        return
    name = known.pop("__name__")
    read_ = [_sample(data, one, count) for one in samples]
    found.series.append(Pushed(name, known, (*read_, *(_native(data, one, count) for one in histograms))))


class _Symbols:
    """Labels as places in a table of symbols: series of unwanted names are known by numbers alone."""

    layout = (2, 3, 4)

    def __init__(self, symbols: Sequence[bytes], names: AbstractSet[bytes]) -> None:
        self._symbols = symbols
        self._of_name = {place for place, one in enumerate(symbols) if one == _NAME}
        self._wanted = {place for place, one in enumerate(symbols) if one in names}

    def wanted(self, data: bytes, whole: Field, count: Fields) -> bool:
        if not self._wanted:
            return False
        refs = self._refs(data, whole, count)
        return any(ref in self._of_name and value in self._wanted for ref, value in zip(refs, refs, strict=False))

    def of(self, data: bytes, whole: Field, count: Fields) -> dict[str, str]:
        refs = list(self._refs(data, whole, count))
        if len(refs) % 2 or len(refs) > 2 * MOST_LABELS or any(ref >= len(self._symbols) for ref in refs):
            raise _SeriesError
        if sum(len(self._symbols[ref]) for ref in refs) > LONGEST_LABELS:
            raise _SeriesError
        texts = [self._symbols[ref].decode(errors="replace") for ref in refs]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    @staticmethod
    def _refs(data: bytes, whole: Field, count: Fields) -> Iterator[int]:
        for one in fields(data, whole[2], whole[3], count):
            if one[0] == 1:
                yield from numbers(data, one, count)


class _Spelt:
    """Labels that are spelt out in each series, as 1.0 has them."""

    layout = (2, 4, 3)

    def __init__(self, names: AbstractSet[bytes]) -> None:
        self._names = names

    def wanted(self, data: bytes, whole: Field, count: Fields) -> bool:
        return bool(self._names) and any(name == _NAME and value in self._names for name, value in self._pairs(data, whole, count))

    def of(self, data: bytes, whole: Field, count: Fields) -> dict[str, str]:
        found: dict[str, str] = {}
        if whole[3] - whole[2] > LONGEST_LABELS and sum(map(_length, self._pairs(data, whole, count))) > LONGEST_LABELS:
            raise _SeriesError
        for name, value in self._pairs(data, whole, count):
            found[name.decode(errors="replace")] = value.decode(errors="replace")
            if len(found) > MOST_LABELS:
                raise _SeriesError
        return found

    @staticmethod
    def _pairs(data: bytes, whole: Field, count: Fields) -> Iterator[tuple[bytes, bytes]]:
        for one in fields(data, whole[2], whole[3], count):
            if one[0] == 1 and one[1] == BYTES:
                texts = {1: b"", 2: b""}
                for number, kind, begin, end in fields(data, one[2], one[3], count):
                    if kind == BYTES and number in texts:
                        texts[number] = data[begin:end]
                yield texts[1], texts[2]


def _length(pair: tuple[bytes, bytes]) -> int:
    return len(pair[0]) + len(pair[1])


def _sample(data: bytes, whole: Field, count: Fields) -> Sample:
    """Return a sample; what is 0 is left out of a message."""
    value, times = 0.0, [0, 0]
    stale = False
    for one in fields(data, whole[2], whole[3], count):
        if one[0] == 1 and one[1] == FIXED64:
            stale = data[one[2] : one[3]] == _STALE
            value = double(data, one)
        elif one[0] in (2, 3) and one[1] == VARINT:
            times[one[0] - 2] = _signed(one[2])
    return Sample(times[0], None if stale else value, max(0, times[1]))


def _native(data: bytes, whole: Field, count: Fields) -> Sample:
    """Return a native histogram. Its fields are those on a page of protobuf, each number one less from the schema on."""
    by_number: dict[int, list[Field]] = {}
    for one in fields(data, whole[2], whole[3], count):
        by_number.setdefault(one[0], []).append(one)
    at, start = _last(by_number, 15), max(0, _last(by_number, 17))
    sums = by_number.get(3)
    if sums and sums[-1][1] == FIXED64 and data[sums[-1][2] : sums[-1][3]] == _STALE:
        return Sample(at, None, start)
    exact = by_number.get(2)
    total = double(data, exact[-1]) if exact else float(max(0, _last(by_number, 1)))
    if not 0 <= total < math.inf:
        return Sample(at, math.nan, start)
    read_ = Sums(_NATIVE)
    try:
        native(data, {number + 1: found for number, found in by_number.items() if number > 3}, read_, total, count)
    except PageError:
        # Too many buckets, or edges beyond all numbers: the pod's own loss. What is too much of a request fails at its next field.
        return Sample(at, math.nan, start)
    histogram = read_.counted().histogram
    if histogram is None:
        # Buckets of its own edges are not read; one that has counted nothing has none.
        return Sample(at, math.nan if total else EMPTY, start, total)
    return Sample(at, histogram, start, total)


def _last(by_number: dict[int, list[Field]], number: int) -> int:
    found = by_number.get(number)
    return _signed(found[-1][2]) if found and found[-1][1] == VARINT else 0


def _signed(value: int) -> int:
    return value - _ALL if value >= _SIGN else value
