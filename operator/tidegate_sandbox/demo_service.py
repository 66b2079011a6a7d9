"""An HTTP service to release: its version, error rate and latency are set by environment variables.

It starts in the time that importing asyncio takes, because a rollout on the local cluster waits for it; that is why
it speaks HTTP/1.1 by itself and imports little.

==================  ===============================================================================================
VERSION             What it says it is (default: TIDEGATE_IMAGE_TAG, else ``dev``)
POD_IP, PORT        Where it listens (default 127.0.0.1, 8080; port 0 takes a free one)
TIDEGATE_POD_NAME   What it says its pod is (default: HOSTNAME)
ERROR_RATE          Share of requests answered with 500, 0 to 1 (default 0)
LATENCY_MS          Median time to answer, milliseconds (default 5)
LATENCY_P99_MS      99th percentile of the time to answer, milliseconds (default: twice the median); the slowest 4 of
                    100 requests take that long, as those that miss a cache would
LATENCY_FACTOR      Multiplies every time to answer (default 1); 1.5 is slower by half at every percentile
SEED                Seed of errors and times (default: derived from version and pod)
START_DELAY         Seconds before it listens (default 0)
READY_AFTER         Seconds after it listens before /readyz says yes (default 0)
READY_FILE          /readyz says yes only while this file exists (default: none)
FAIL_AFTER          Seconds after the start at which it crashes with exit code 1 (default: never)
SHUTDOWN_GRACE      Seconds it serves on after SIGTERM while /readyz says no (default 3)
==================  ===============================================================================================

``/healthz`` says that it runs, ``/readyz`` that it wants traffic, ``/metrics`` speaks Prometheus, any other path is
work. Every answer carries ``x-version`` and ``x-pod``.

Errors and times are drawn evenly instead of at random: any stretch of some hundred requests has the set share of errors
and the set quantiles, give or take one request. A P99 over two hundred requests of a service that draws at random would
differ by 20% and more from one look to the next, and a comparison of two versions would mostly show that. The even draws
are Kronecker sequences: the fractional parts of the multiples of a number, from a start that the seed decides. Those of
the golden ratio, which decide on errors, and of the square root of 2, which decide on times, have no large gaps (Knuth,
The Art of Computer Programming, volume 3, section 6.4), and do not depend on each other.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import math
import os
import random
import signal
import statistics
import sys

from tidegate_sandbox.demo_settings import Settings, SettingsError, read_settings

BUCKETS = (
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.0075, 0.009, 0.011, 0.0135, 0.0165, 0.02, 0.024, 0.029, 0.035),
    *(0.042, 0.05, 0.06, 0.075, 0.09, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19, 0.2, 0.21, 0.22, 0.23, 0.24),
    *(0.25, 0.26, 0.27, 0.28, 0.29, 0.305, 0.32, 0.335, 0.35, 0.37, 0.39, 0.41, 0.43, 0.455, 0.48, 0.505, 0.53, 0.56),
    *(0.58, 0.6, 0.62, 0.64, 0.66, 0.68, 0.7, 0.725, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1, 1.2, 1.5, 2.5, 5.0),
)
"""Upper bounds in seconds. Below 0.1 s each is about 1.2 times the one before: a P99 that rises by half moves two buckets
or more. From there to 1.2 s each is at most 1.1 times the one before: a P99 that rises by a tenth moves one."""

_NORMAL = statistics.NormalDist()
_NORMAL_P99 = 2.3263478740408408
_LEAST_RANK = 0.0002
_SLOWEST = 0.04
_GOLDEN = (math.sqrt(5) - 1) / 2
_SILVER = math.sqrt(2) - 1
_MAX_HEAD_BYTES = 32_768
_REASONS = {200: "OK", 400: "Bad Request", 500: "Internal Server Error", 501: "Not Implemented", 503: "Unavailable"}


class Behaviour:
    """Draws the outcome and the duration of each request, evenly, from a start that the seed decides."""

    def __init__(self, settings: Settings) -> None:
        start = random.Random(settings.seed)  # noqa: S311 - draws latencies, guards nothing
        self._rank, self._luck = start.random(), start.random()
        self._error_rate = settings.error_rate
        self._median = settings.latency_ms * settings.latency_factor / 1000
        self._p99 = settings.latency_p99_ms * settings.latency_factor / 1000
        spread = settings.latency_p99_ms / settings.latency_ms if settings.latency_ms > 0 else 1.0
        self._sigma = math.log(spread) / _NORMAL_P99

    def latency(self) -> float:
        """Return seconds: the set P99 for the slowest 4%, else from a lognormal distribution of the set median and P99."""
        self._rank = (self._rank + _SILVER) % 1.0
        if self._rank >= 1 - _SLOWEST:
            return self._p99
        return self._median * math.exp(self._sigma * _NORMAL.inv_cdf(max(_LEAST_RANK, self._rank)))

    def fails(self) -> bool:
        """Whether the next request ends in an error."""
        self._luck = (self._luck + _GOLDEN) % 1.0
        return self._luck < self._error_rate


class Metrics:
    """Counters of the work done, in the text format of Prometheus."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._requests: dict[tuple[str, int], int] = {}
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, method: str, code: int, seconds: float) -> None:
        """Count one answered request."""
        key = (method, code)
        self._requests[key] = self._requests.get(key, 0) + 1
        self._buckets[bisect.bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def text(self) -> str:
        """Return the exposition."""
        lines = ["# HELP http_requests_total Requests answered.", "# TYPE http_requests_total counter"]
        for (method, code), count in sorted(self._requests.items()):
            lines.append(f'http_requests_total{{method="{method}",code="{code}"}} {count}')
        name = "http_request_duration_seconds"
        lines += [f"# HELP {name} Time to answer a request.", f"# TYPE {name} histogram"]
        total = 0
        for bound, count in zip((*BUCKETS, math.inf), self._buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{"+Inf" if math.isinf(bound) else bound}"}} {total}')
        lines += [f"{name}_sum {self._sum!r}", f"{name}_count {total}"]
        lines += ["# HELP version_info The version that answers.", "# TYPE version_info gauge"]
        lines.append(f'version_info{{version="{_escaped(self._version)}"}} 1')
        return "\n".join(lines) + "\n"


class Service:
    """The state that all connections share, and the server's life."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.behaviour = Behaviour(settings)
        self.metrics = Metrics(settings.version)
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.draining = False
        self.body = f'{{"version":"{_escaped(settings.version)}","pod":"{_escaped(settings.pod)}"}}\n'.encode()
        self._identity = f"x-version: {_header(settings.version)}\r\nx-pod: {_header(settings.pod)}\r\n"
        self._left = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._ready_at = math.inf

    async def start(self) -> int:
        """Listen; return the port."""
        self._server = await self.loop.create_server(lambda: Connection(self), self.settings.host, self.settings.port, backlog=1024)
        self._ready_at = self.loop.time() + self.settings.ready_after
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def ready(self) -> bool:
        """Whether the service wants traffic."""
        if self.draining or self.loop.time() < self._ready_at:
            return False
        return not self.settings.ready_file or os.path.exists(self.settings.ready_file)  # noqa: PTH110 - import time

    async def drain(self) -> None:
        """Serve on for the shutdown grace, closing each connection after its answer, then finish what is in flight."""
        self.draining = True
        await asyncio.sleep(self.settings.shutdown_grace)
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        if self.connections:
            await self._left.wait()

    def joined(self, connection: Connection) -> None:
        """Take note of a new client."""
        self.connections.add(connection)
        self._left.clear()

    def left(self, connection: Connection) -> None:
        """Take note of a client that is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._left.set()

    def answer(self, code: int, body: bytes, *, close: bool, kind: str = "application/json") -> bytes:
        """Return a whole HTTP answer."""
        head = (
            f"HTTP/1.1 {code} {_REASONS[code]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
            f"{self._identity}connection: {'close' if close else 'keep-alive'}\r\n\r\n"
        )
        return head.encode("latin-1") + body


class Connection(asyncio.Protocol):
    """One client: requests are answered in turn."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._skip = 0
        self._busy: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of a new client."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Drop what is left of a client that went away."""
        self._service.left(self)
        self._transport = None
        if self._busy is not None:
            self._busy.cancel()

    def close_when_idle(self) -> None:
        """Close now, or after the answer that is under way."""
        if self._busy is None and self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take in bytes of requests."""
        self._buffer += data
        self._next()

    def _next(self) -> None:
        """Start on the next whole request, unless one is under way."""
        while self._busy is None and self._transport is not None and not self._transport.is_closing():
            if self._skip:
                skipped = min(self._skip, len(self._buffer))
                self._buffer = self._buffer[skipped:]
                self._skip -= skipped
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if self._skip or not separator:
                if len(self._buffer) > _MAX_HEAD_BYTES:
                    self._refuse(400)
                return
            self._buffer = rest
            self._request(head)

    def _request(self, head: bytes) -> None:
        request_line, *header_lines = head.decode("latin-1").split("\r\n")
        words = request_line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            self._refuse(400)
            return
        headers = {}
        for line in header_lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit():
            self._refuse(501 if "transfer-encoding" in headers else 400)
            return
        self._skip = int(length)
        asked = headers.get("connection", "").lower()
        close = asked == "close" or (words[2] == "HTTP/1.0" and asked != "keep-alive")
        self._route(words[0], words[1].partition("?")[0], close=close)

    def _route(self, method: str, path: str, *, close: bool) -> None:
        service = self._service
        if path == "/healthz":
            self._write(method, 200, b"ok\n", close=close, kind="text/plain")
        elif path == "/readyz":
            ready = service.ready
            self._write(method, 200 if ready else 503, b"ok\n" if ready else b"no\n", close=close, kind="text/plain")
        elif path == "/metrics":
            text = service.metrics.text().encode()
            self._write(method, 200, text, close=close, kind="text/plain; version=0.0.4")
        else:
            begun = service.loop.time()
            delay = service.behaviour.latency()
            self._busy = service.loop.call_later(delay, self._work_done, method, close, begun)

    def _work_done(self, method: str, close: bool, begun: float) -> None:  # noqa: FBT001 - a callback
        self._busy = None
        service = self._service
        code = 500 if service.behaviour.fails() else 200
        service.metrics.observe(method, code, service.loop.time() - begun)
        self._write(method, code, service.body, close=close)
        self._next()

    def _write(self, method: str, code: int, body: bytes, *, close: bool, kind: str = "application/json") -> None:
        if self._transport is None:
            return
        close = close or self._service.draining
        content = self._service.answer(code, body, close=close, kind=kind)
        self._transport.write(content[: -len(body)] if method == "HEAD" else content)
        if close:
            self._transport.close()

    def _refuse(self, code: int) -> None:
        self._write("", code, b"refused\n", close=True, kind="text/plain")
        if self._transport is not None:
            self._transport.close()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _header(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")


async def _crash(after: float) -> None:
    await asyncio.sleep(after)
    print(f"demo service: crashing after {after:g} s as told by FAIL_AFTER", file=sys.stderr, flush=True)
    os._exit(1)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises OSError where the address cannot be listened on."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    crash = asyncio.create_task(_crash(settings.fail_after)) if settings.fail_after is not None else None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.start_delay):
            await stop.wait()
            return
    service = Service(settings)
    port = await service.start()
    print(f"demo service {settings.version} listens on {settings.host}:{port}", flush=True)
    await stop.wait()
    await service.drain()
    if crash is not None:
        crash.cancel()


def main() -> int:
    """Run the service. Returns 0 after a graceful stop, 2 for settings that make no sense, 1 if it cannot listen."""
    if sys.argv[1:]:
        # All settings come from the environment: whoever asks for help is told so, and whoever gives an option, too.
        print(__doc__, file=sys.stdout if sys.argv[1:] == ["--help"] else sys.stderr)
        return 0 if sys.argv[1:] == ["--help"] else 2
    try:
        asyncio.run(serve(read_settings(os.environ)))
    except SettingsError as error:
        print(f"demo service: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"demo service: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
