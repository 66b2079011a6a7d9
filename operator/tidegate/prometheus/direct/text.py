"""Reads pages as text, Prometheus' or OpenMetrics: the wanted lines alone, found by their bytes before anything is parsed.

A page has thousands of lines, of which a few are wanted, and it comes every few seconds. So it is searched as it comes in, piece by
piece, for a line's beginning; what is not wanted is never looked at nor kept.

https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterable, Mapping, Sequence

from tidegate.prometheus.direct.page import MOST_SERIES, Page, PageError, Sums, born_of, number
from tidegate.prometheus.direct.wanted import BIRTH, NOTHING, Wanted

LONGEST_LINE = 16 * 1024
"""Bytes of one line at most."""
_SERIES = re.compile(rb"""[a-zA-Z_:][a-zA-Z0-9_:]*+(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*+")*+\})?+""", re.DOTALL)
_LABEL = re.compile(rb"""[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]|\\.)*+)"[ \t]*+(?:,|(?=\}))""", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPES = {b"n": b"\n"}
_REMEMBERED, _REMEMBERED_BYTES = 4096, 1024 * 1024
"""Series whose labels are remembered from page to page, and bytes of them: they are as long as whoever runs in a pod likes."""
_ANEW = 4
"""Times as many series as are remembered that have had no room, after which it begins anew: the others may be gone."""
_AT_GATEWAYS = 4
"""So many times as much of a gateway's page, which is read for all Releases at once."""

OTHERS = 4
"""Lines that begin like those of wanted metrics and are of others, for each series that a page may have: each is parsed to know."""
MOST_LABELS = 128
"""Labels of one wanted series at most."""
_SHORTEST = 8
"""Bytes of a beginning at least that several names share: what is shorter is that of too many others."""
_OF_PROCESS = -1
_BIRTH = BIRTH.encode()

_Known = tuple[int, int | float | None]
"""The number of a wish, and what the series is to it: what it counts, or an edge. That of a process' start is no wish's."""


class Series:
    """Knows what series are to the wishes, by the bytes that name them: the same ones come every time.

    Args:
        wishes: what is wanted.
    """

    def __init__(self, wishes: Sequence[Wanted]) -> None:
        self.wishes = tuple(wishes)
        self.names = frozenset(name.encode() for one in wishes for name in one.names)
        self.needles = tuple(b"\n" + prefix for prefix in _prefixes(self.names))
        marked = _marks(self.wishes)
        self.marks = tuple(marked)
        """By what wanted lines of a gateway's page are found, for it has those of all Services; empty on a pod's own page."""
        self.marked = tuple(map(frozenset, marked.values()))
        """The numbers of the wishes that each mark is of."""
        self.begins = tuple(name + b"{" for name in sorted(self.names))
        self.asked = tuple(sorted({*(name for one in wishes for name in one.names), *(one.family for one in wishes)}))
        """Names of metrics and of samples by which a server that filters its page is asked for what is wanted."""
        self.known: dict[bytes, tuple[_Known, ...]] = {}
        self._bytes = self._without = 0

    def learn(self, series: bytes, crowded: Container[int] = ()) -> tuple[_Known, ...]:
        """Return what a series is to each wish that wants it, and remember it if there is room, unless these have too many.

        The same series come in each page, so what makes room for those without would come again at once: then none would be known.
        Nothing is counted otherwise for a series that is not remembered; it is parsed each time.

        Raises:
            PageError: its labels cannot be read.
        """
        known = tuple(self._read(series))
        if known and all(wish in crowded for wish, _ in known):
            return known
        most = _AT_GATEWAYS if self.marks else 1
        if len(self.known) >= most * _REMEMBERED or self._bytes + len(series) > most * _REMEMBERED_BYTES:
            self._without += 1
            if self._without <= _ANEW * len(self.known):
                return known
            self.known.clear()
            self._bytes = self._without = 0
        self._bytes += len(series)
        self.known[series] = known
        return known

    def _read(self, series: bytes) -> list[_Known]:
        brace = series.find(b"{")
        of_series = series if brace < 0 else series[:brace]
        if of_series == _BIRTH and _BIRTH in self.names:
            return [(_OF_PROCESS, None)]
        if of_series not in self.names:
            return []
        name = of_series.decode()
        labels = labels_of(series, brace + 1) if brace >= 0 else {}
        found: list[_Known] = []
        for number_, wish in enumerate(self.wishes):
            if (role := wish.role(labels) if name == wish.events else wish.role_aside(name, labels)) != NOTHING:
                found.append((number_, role))
            elif wish.histogram and name == f"{wish.histogram}_bucket" and wish.counts(labels):
                try:
                    found.append((number_, float(labels.get("le", ""))))
                except ValueError:
                    continue
        return found


def _marks(wishes: Iterable[Wanted]) -> dict[tuple[bytes, ...], list[int]]:
    """Return the marks of the wishes for a gateway's page, each once, and the numbers of those that have it."""
    found: dict[tuple[bytes, ...], list[int]] = {}
    for number_, one in enumerate(wishes):
        for mark in one.marks:
            found.setdefault(tuple(text.encode() for text in mark), []).append(number_)
    return found


def _prefixes(names: Iterable[bytes]) -> list[bytes]:
    """Return beginnings of which each name has one, the fewer the better: each is looked for in all of a page."""
    found: list[bytes] = []
    for name in sorted(names):
        shared = _shared(found[-1], name) if found else b""
        if len(shared) >= _SHORTEST:
            found[-1] = shared
        else:
            found.append(name)
    return found


def _shared(one: bytes, other: bytes) -> bytes:
    """Return the beginning that two names have in common."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in alike)]


def labels_of(series: bytes, at: int) -> Mapping[str, str]:
    """Return the labels of a series, which begin at a place behind the brace.

    Raises:
        PageError: they are not as the format has them, or too many.
    """
    labels: dict[str, str] = {}
    many, end = 0, len(series) - 1
    while at < end:
        found = _LABEL.match(series, at)
        if found is None:
            if not series[at:end].strip(b" \t,"):
                break
            raise PageError("the page has labels that cannot be read")
        value = found[2]
        if b"\\" in value:
            value = _ESCAPED.sub(lambda one: _ESCAPES.get(one[1], one[1]), value)
        labels[found[1].decode()] = value.decode(errors="replace")
        many += 1
        if many > MOST_LABELS:
            raise PageError(f"the page has a series of more than {MOST_LABELS} labels")
        at = found.end()
    return labels


class TextPage:
    """A page of text as it comes in.

    Args:
        series: what is wanted.
        most: series of the wanted names that it may have.
        ended: whether it must say where it ends, as OpenMetrics does.
    """

    def __init__(self, series: Series, most: int = MOST_SERIES, *, ended: bool = False) -> None:
        self._series, self._most, self._ended = series, most, ended
        self._sums = tuple(Sums(one) for one in series.wishes)
        self._open: list[bytes] = [b"\n"]
        self._open_size = 1
        self._met = self._others = self._bytes = 0
        self._each, self._crowded = [0] * len(self._sums), set[int]()
        self._idle = [0] * len(series.marks)
        self._starts: list[float] = []
        self._last = b""

    def feed(self, piece: bytes) -> None:
        """Take in what has come.

        Raises:
            PageError: the page cannot be read, or is too much.
        """
        self._bytes += len(piece)
        cut = piece.rfind(b"\n")
        if cut < 0:
            self._keep(piece)
            return
        whole = b"".join((*self._open, piece))
        self._lines(whole, len(whole) - len(piece) + cut)
        self._open, self._open_size = [b"\n"], 1
        self._keep(piece[cut + 1 :])

    def end(self) -> Page:
        """Return what the page says.

        Raises:
            PageError: it is torn.
        """
        last = b"".join(self._open)
        if self._open_size > 1:
            self._lines(last + b"\n", len(last))
        if self._ended and (last if self._open_size > 1 else self._last).strip() != b"# EOF":
            raise PageError("the page is cut off: it does not end with # EOF")
        crowded = frozenset(self._sums[wish].wanted for wish in self._crowded)
        counted = {one.wanted: one.counted() for one in self._sums if one.wanted not in crowded}
        return Page(counted, born_of(self._starts), self._bytes, crowded)

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._open.append(piece)
            self._open_size += len(piece)
            if self._open_size > LONGEST_LINE:
                raise PageError(f"the page has a line of more than {LONGEST_LINE // 1024} KiB")

    def _lines(self, lines: bytes, last: int) -> None:
        """Find the wanted ones among whole lines, each of which has a newline before it; that of the last is behind it."""
        self._last = lines[lines.rfind(b"\n", 0, last) + 1 : last]
        if self._series.marks:
            self._marked(lines, last)
            return
        known, sums, find = self._series.known, self._sums, lines.find
        for needle in self._series.needles:
            at, size = find(needle, 0, last), len(needle)
            while at >= 0:
                end = find(b"\n", at + size)
                series, _, text = lines[at + 1 : end].rpartition(b" ")
                found = known.get(series)
                if found is None:
                    # New, or there is more behind its value.
                    found, text = self._parsed(lines[at + 1 : end])
                at = find(needle, end, last)
                if not found:
                    self._others += 1
                    if self._others > OTHERS * self._most:
                        many = f"the page has more than {OTHERS * self._most:,} lines that begin like those of the wanted metrics"
                        raise PageError(f"{many} (direct.seriesPerPod)")
                    continue
                self._met += 1
                if self._met > self._most:
                    raise PageError(f"the page has more than {self._most:,} series of the wanted metrics (direct.seriesPerPod)")
                value = number(text)
                for wish, what in found:
                    if what.__class__ is float:
                        sums[wish].bucket(what, value)
                    elif what is not None:
                        sums[wish].event(int(what), value)
                    else:
                        self._starts.append(value)

    def _marked(self, lines: bytes, last: int) -> None:
        """Find the wanted ones among the lines of a gateway's page, by the names of Services that stand in them.

        What one Release has too much of is that Release's own loss: the page is that of others, too. So lines that count for
        nothing are looked at up to a bound alone, and after it none that has the same mark.
        """
        known, met, crowded = self._series.known, set[int](), self._crowded
        for number_, (first, *others) in enumerate(self._series.marks):
            wishes = self._series.marked[number_]
            at = lines.find(first, 0, last)
            while at >= 0 and not wishes <= crowded:
                begin, end = lines.rfind(b"\n", 0, at) + 1, lines.find(b"\n", at)
                at = lines.find(first, end, last)
                if begin in met or not lines.startswith(self._series.begins, begin):
                    continue
                if not all(lines.find(other, begin, end) >= 0 for other in others):
                    continue
                met.add(begin)
                series, _, text = lines[begin:end].rpartition(b" ")
                found = known.get(series)
                if found is None:
                    found, text = self._parsed(lines[begin:end])
                if not found or (crowded and all(wish in crowded for wish, _ in found)):
                    self._idle[number_] += 1
                    if self._idle[number_] > OTHERS * self._most:
                        crowded |= wishes
                    continue
                self._count(found, text)

    def _count(self, found: Sequence[_Known], text: bytes) -> None:
        value = number(text)
        for wish, what in found:
            self._each[wish] += 1
            if self._each[wish] > self._most:
                self._crowded.add(wish)
                continue
            if what.__class__ is float:
                self._sums[wish].bucket(what, value)
            else:
                self._sums[wish].event(int(what or 0), value)

    def _parsed(self, line: bytes) -> tuple[tuple[_Known, ...], bytes]:
        """Return what a line's series is to the wishes, and its value; nothing where it is not wanted."""
        if len(line) > LONGEST_LINE:
            raise PageError(f"the page has a line of more than {LONGEST_LINE // 1024} KiB")
        found = _SERIES.match(line)
        rest = line[found.end() :].split(None, 1) if found is not None else []
        if found is None or not rest:
            raise PageError("the page has a line that cannot be read")
        series = found[0]
        known = self._series.known.get(series)
        return self._series.learn(series, self._crowded) if known is None else known, rest[0]
