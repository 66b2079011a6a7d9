"""Recorded expositions, served over HTTP on loopback with counters that rise as a test says, for a real Prometheus to scrape."""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from expositions.wire import of_bytes, varint, zigzag

FOLDER = Path(__file__).parent
_TEXT = "text/plain; version=0.0.4"
_PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


class Page:
    """What one target says: a recorded exposition whose counters rise from what was recorded."""

    def __init__(self, text: str) -> None:
        self.scrapes = 0
        self._lines: list[str | tuple[str, tuple[tuple[str, str], ...]]] = []
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._lock = threading.Lock()
        for line in text.splitlines():
            if line.startswith("#") or not line.strip():
                self._lines.append(line)
                continue
            (family,) = text_string_to_metric_families(f"{line}\n")
            (sample,) = family.samples
            key = (line.split("{")[0].split(" ")[0], tuple(sample.labels.items()))
            self._lines.append(key)
            self._values[key] = sample.value

    @classmethod
    def recorded(cls, name: str) -> Page:
        """Return a recorded exposition of tests/expositions."""
        return cls((FOLDER / f"{name}.prom").read_text())

    def total(self, metric: str, **labels: str) -> float:
        """Return the sum of the series that have these labels."""
        return sum(self._values[key] for key in self._matching(metric, labels))

    def grow(self, metric: str, by: float, **labels: str) -> None:
        """Let one series rise; it is the only one with these labels."""
        (key,) = self._matching(metric, labels)
        with self._lock:
            self._values[key] += by

    def observe(self, histogram: str, value: float, count: int, **labels: str) -> None:
        """Let a histogram count observations of one value, in its own unit."""
        for key in self._matching(f"{histogram}_bucket", labels):
            if value <= float(dict(key[1])["le"].replace("+Inf", "inf")):
                with self._lock:
                    self._values[key] += count
        self.grow(f"{histogram}_count", count, **labels)
        self.grow(f"{histogram}_sum", count * value, **labels)

    def start_anew(self) -> None:
        """Let all counters begin at 0, as those of a process that has been replaced."""
        with self._lock:
            self._values = dict.fromkeys(self._values, 0.0)

    def content(self) -> tuple[str, bytes]:
        """Return the content type and the exposition, as it is now."""
        with self._lock:
            lines = [line if isinstance(line, str) else _written(line, self._values[line]) for line in self._lines]
        return _TEXT, ("\n".join(lines) + "\n").encode()

    def _matching(self, metric: str, labels: Mapping[str, str]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        found = [key for key in self._values if key[0] == metric and labels.items() <= dict(key[1]).items()]
        assert found, f"no series {metric} has {dict(labels)}"
        return found


class NativePage(Page):
    """A target with one native histogram, in the protobuf format: the text format has none.

    https://prometheus.io/docs/specs/native_histograms/ and prompb/io/prometheus/client/metrics.proto of prometheus/prometheus.
    """

    def __init__(self, histogram: str, schema: int = 3) -> None:
        super().__init__("")
        self._name, self._schema = histogram, schema
        self._buckets: dict[int, int] = {}
        self._sum = 0.0

    def observe(self, histogram: str, value: float, count: int, **labels: str) -> None:
        """Count observations of one value above 0."""
        assert histogram == self._name
        # Bucket i holds what is above 2**((i-1) * 2**-schema) and up to 2**(i * 2**-schema).
        index = math.ceil(math.log2(value) * 2**self._schema)
        with self._lock:
            self._buckets[index] = self._buckets.get(index, 0) + count
            self._sum += value * count

    def content(self) -> tuple[str, bytes]:
        """Return the content type and the exposition, as it is now."""
        with self._lock:
            buckets, total = dict(sorted(self._buckets.items())), self._sum
        spans, deltas, last, before = [], [], None, 0
        for index, count in buckets.items():
            offset = index if last is None else index - last - 1
            spans.append(_signed(1, offset) + _number(2, 1))
            deltas.append(zigzag(count - before))
            last, before = index, count
        histogram = b"".join(
            (
                _number(1, sum(buckets.values())),
                _double(2, total),
                _signed(5, self._schema),
                _double(6, 2.0**-128),
                _number(7, 0),
                *(of_bytes(12, span) for span in spans),
                of_bytes(13, b"".join(varint(delta) for delta in deltas)),
            )
        )
        family = of_bytes(1, self._name.encode()) + _number(3, 4) + of_bytes(4, of_bytes(7, histogram))
        return _PROTOBUF, varint(len(family)) + family


class Targets:
    """An HTTP server with one page for each path."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages = pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages[self.path.strip("/")]
                kind, body = page.content()
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                page.scrapes += 1

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def _written(series: tuple[str, Iterable[tuple[str, str]]], value: float) -> str:
    name, labels = series
    escaped = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{escaped}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def _signed(field: int, value: int) -> bytes:
    return _number(field, zigzag(value))


def _double(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + struct.pack("<d", value)
