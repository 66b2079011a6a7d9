"""Reads pages in protobuf, which alone have native histograms: each family of metrics is passed over by its length, but the wanted.

https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto; families come one after the other, each
with its length before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tidegate.prometheus.direct.page import MOST_SERIES, Page, PageError, Sums, born_of
from tidegate.prometheus.direct.wanted import BIRTH, Wanted
from tidegate.prometheus.direct.wire import BYTES, LONGEST, VARINT, Field, Fields, double, doubles, fields, numbers, signed, varint

LARGEST_FAMILY = 256 * 1024
"""Bytes of one wanted family at most: it is read in one go, and nothing else is done meanwhile."""
_NAME_WITHIN = 4096
"""Bytes of a family within which its name stands, at the latest: it is its first field."""
_FINEST, _COARSEST = 8, -4
"""Resolutions of native histograms."""
_FARTHEST = 1000.0
"""Powers of two beyond which no edge of a bucket is believed to lie: numbers end soon after."""
_MOST_BUCKETS = 4096
"""Buckets of one native histogram at most."""


class ProtobufPage:
    """A page of protobuf as it comes in.

    Args:
        wishes: what is wanted.
        most: series of the wanted names that it may have.
    """

    def __init__(self, wishes: Sequence[Wanted], most: int = MOST_SERIES) -> None:
        self._most = most
        self._sums = tuple(Sums(one) for one in wishes)
        self._by_name: dict[bytes, list[Sums]] = {}
        for one in self._sums:
            self._by_name.setdefault(one.wanted.family.encode(), []).append(one)
        self._births = any(one.births for one in wishes)
        self._open, self._fields = bytearray(), Fields()
        self._skip = self._need = self._met = self._bytes = 0
        self._starts: list[float] = []

    def feed(self, piece: bytes) -> None:
        """Take in what has come.

        Raises:
            PageError: the page cannot be read, or is too much.
        """
        self._bytes += len(piece)
        if self._skip >= len(piece):
            self._skip -= len(piece)
            return
        self._open += memoryview(piece)[self._skip :]
        self._skip = 0
        if len(self._open) < self._need:
            return
        self._need = 0
        # Families are taken off at the front all at once: one by one each would move all that are behind it.
        data, at = bytes(self._open), 0
        while (after := self._next(data, at)) is not None:
            at = after
        self._skip = max(0, at - len(data))
        del self._open[:at]

    @property
    def fields(self) -> int:
        """How much of the page was looked at: families, and fields of the wanted ones."""
        return self._fields.seen

    def end(self) -> Page:
        """Return what the page says.

        Raises:
            PageError: it is torn.
        """
        if self._open or self._skip:
            raise PageError("the page is cut off")
        return Page({one.wanted: one.counted() for one in self._sums}, born_of(self._starts), self._bytes)

    def _next(self, data: bytes, at: int) -> int | None:
        """Take a family at a place, and return where the next one begins; None where this one has not come whole."""
        if at >= len(data):
            return None
        try:
            size, begin = varint(data, at, len(data))
        except PageError:
            if len(data) - at >= LONGEST:
                raise
            return None
        end = begin + size
        self._fields.take()
        name = _name(data, begin, min(end, len(data)))
        if name is None:
            if min(end, len(data)) - begin >= min(size, _NAME_WITHIN):
                # Whoever puts a name elsewhere is not read.
                return end
            self._need = begin - at + min(size, _NAME_WITHIN)
            return None
        of_birth = self._births and name == _BIRTH
        sums = self._by_name.get(name)
        if sums is None and not of_birth:
            return end
        if size > LARGEST_FAMILY:
            raise PageError(f"one of the wanted metrics has more than {LARGEST_FAMILY // 1024} KiB")
        if end > len(data):
            # It is not looked at again with every piece of it that comes.
            self._need = end - at
            return None
        for field in fields(data, begin, end, self._fields):
            if field[0] == 4 and field[1] == BYTES:
                self._metric(data, field, sums or (), of_birth=of_birth)
        return end

    def _metric(self, data: bytes, whole: Field, wanted: Sequence[Sums], *, of_birth: bool) -> None:
        self._met += 1
        if self._met > self._most:
            raise PageError(f"the page has more than {self._most:,} series of the wanted metrics (direct.seriesPerPod)")
        labels: dict[str, str] = {}
        value: float | None = None
        histogram: dict[int, list[Field]] | None = None
        for field in fields(data, whole[2], whole[3], self._fields):
            number, kind = field[0], field[1]
            if kind != BYTES:
                continue
            if number == 1:
                name, text = _pair(data, field, self._fields)
                labels[name] = text
            elif number in (2, 3, 5):
                inner = fields(data, field[2], field[3], self._fields)
                value = next((double(data, one) for one in inner if one[0] == 1), 0.0)
            elif number == 7:
                histogram = _by_number(data, field, self._fields)
        if of_birth and value is not None:
            self._starts.append(value)
            return
        for sums in wanted:
            if histogram is not None:
                _histogram(data, histogram, sums, labels, self._fields)
            elif value is not None and not sums.wanted.histogram:
                if value < 0:
                    raise PageError("the page has a counter below 0")
                sums.event(sums.wanted.role(labels), value)


_BIRTH = BIRTH.encode()
_NAME = 1 << 3 | BYTES


def _name(data: bytes, at: int, end: int) -> bytes | None:
    """Return the name of a family, which is its first field; None where that is not there (yet)."""
    try:
        key, at = varint(data, at, end)
        size, at = varint(data, at, end)
    except PageError:
        return None
    return data[at : at + size] if key == _NAME and size <= end - at else None


def _pair(data: bytes, whole: Field, seen: Fields) -> tuple[str, str]:
    found = {1: b"", 2: b""}
    for number, kind, begin, end in fields(data, whole[2], whole[3], seen):
        if kind == BYTES and number in found:
            found[number] = data[begin:end]
    return found[1].decode(errors="replace"), found[2].decode(errors="replace")


def _by_number(data: bytes, whole: Field, seen: Fields) -> dict[int, list[Field]]:
    found: dict[int, list[Field]] = {}
    for field in fields(data, whole[2], whole[3], seen):
        found.setdefault(field[0], []).append(field)
    return found


def _histogram(data: bytes, by_number: Mapping[int, Sequence[Field]], sums: Sums, labels: Mapping[str, str], seen: Fields) -> None:
    """Add a histogram: its count as events, its buckets where they are wanted."""
    count = _count(data, by_number)
    sums.event(sums.wanted.role(labels), count)
    if not sums.wanted.histogram or not sums.wanted.counts(labels):
        return
    if 5 in by_number and sums.wanted.native:
        native(data, by_number, sums, count, seen)
    for field in by_number.get(3, ()):
        _bucket(data, field, sums, seen)
    if 3 in by_number:
        # All of them are not among the buckets here.
        sums.bucket(math.inf, count)


def _count(data: bytes, by_number: Mapping[int, Sequence[Field]]) -> float:
    if 4 in by_number and (exact := double(data, by_number[4][-1])) > 0:
        return exact
    return float(_whole(by_number, 1))


def _whole(by_number: Mapping[int, Sequence[Field]], number: int) -> int:
    found = by_number.get(number)
    return found[-1][2] if found and found[-1][1] == VARINT else 0


def _bucket(data: bytes, whole: Field, sums: Sums, seen: Fields) -> None:
    edge, count = math.nan, 0.0
    for field in fields(data, whole[2], whole[3], seen):
        if field[0] == 1 and field[1] == VARINT:
            count = float(field[2])
        elif field[0] == 2:
            edge = double(data, field)
        elif field[0] == 4:
            count = double(data, field) or count
    if not math.isinf(edge) and count >= 0:
        sums.bucket(edge, count)


def native(data: bytes, by_number: Mapping[int, Sequence[Field]], sums: Sums, count: float, seen: Fields) -> None:
    """Add a native histogram of latencies: buckets below 0 have nothing in them.

    https://prometheus.io/docs/specs/native_histograms/
    """
    schema = signed(_whole(by_number, 5))
    if not _COARSEST <= schema <= _FINEST:
        return
    threshold = double(data, by_number[6][-1]) if 6 in by_number else 0.0
    low = float(_whole(by_number, 7)) or (double(data, by_number[8][-1]) if 8 in by_number else 0.0)
    if low > 0 and math.isfinite(low) and 0 <= threshold < math.inf:
        sums.zero[threshold] = sums.zero.get(threshold, 0.0) + low
    places = sums.native.setdefault(schema, {})
    deltas = [signed(one) for field in by_number.get(13, ()) for one in numbers(data, field, seen)]
    exact = [one for field in by_number.get(14, ()) for one in doubles(data, field, seen)]
    if max(len(deltas), len(exact)) > _MOST_BUCKETS or len(places) > 16 * _MOST_BUCKETS:
        raise PageError(f"a native histogram has more than {_MOST_BUCKETS:,} buckets")
    at, so_far, values = 0, 0, iter(exact or deltas)
    for field in by_number.get(12, ()):
        if field[1] != BYTES:
            continue
        offset, length = _span(data, field, seen)
        at += offset
        for _ in range(length):
            value = next(values, None)
            if value is None:
                break
            so_far += 0 if exact else int(value)
            counted = float(value) if exact else float(so_far)
            if abs(at) * 2.0**-schema > _FARTHEST or not 0 <= counted < math.inf:
                raise PageError("the page has a native histogram that cannot be read")
            if counted:
                places[at] = places.get(at, 0.0) + counted
            at += 1
    sums.counts += count


def _span(data: bytes, whole: Field, seen: Fields) -> tuple[int, int]:
    offset = length = 0
    for number, kind, value, _ in fields(data, whole[2], whole[3], seen):
        if kind == VARINT and number == 1:
            offset = signed(value)
        elif kind == VARINT and number == 2:
            length = value
    return offset, length
