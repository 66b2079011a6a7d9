"""Sends requests at a constant rate and remembers every answer by the version that gave it.

"No request failed" and "version v3 answered last at 12:04:31.250" are then measurements. The rate is kept whatever
the answers do (open loop), so that a slow version is seen by as many requests as a fast one. In a test::

    async with Load("http://127.0.0.1:8080/", "shop.example", rate=100) as load:
        before = load.mark()
        ...
        assert load.since(before).failures() == []

It sends to loopback and to the sandbox's pod addresses only, and ends by itself after a bounded time.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import ipaddress
import json
import math
import pathlib
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import aiohttp
import yarl

MAX_RATE = 2000.0
"""Requests per second that may be asked for."""

MAX_SECONDS = 3600.0
"""Longest duration that may be asked for."""

NO_VERSION = "none"
"""The version of an answer without an x-version header, such as the gateway's own 503, and of no answer at all."""

_MAX_IN_FLIGHT = 1000
_EXCERPT_CHARACTERS = 120
_POD_NETWORK = ipaddress.IPv4Network("10.244.0.0/16")


class RefusedError(ValueError):
    """The load may not be sent: wrong target, rate or duration; the message says which."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    ``finished`` is a time of ``time.monotonic``, ``at`` of ``time.time``, both when the answer was there; ``seconds``
    is the time from sending. ``status`` is 0 where no answer came, and ``error`` says why.
    """

    at: float
    finished: float
    seconds: float
    version: str
    pod: str
    status: int
    error: str = ""
    excerpt: str = ""

    @property
    def failed(self) -> bool:
        """Whether a user would call it a failure: a 5xx or no answer."""
        return self.status == 0 or self.status >= 500

    @property
    def status_class(self) -> str:
        """``2xx`` ... ``5xx``, or ``error`` where no answer came."""
        return "error" if self.status == 0 else f"{self.status // 100}xx"


@dataclass(frozen=True)
class VersionCounts:
    """What one version answered. Latencies in seconds."""

    requests: int
    failed: int
    by_class: Mapping[str, int]
    p50: float
    p99: float
    first_at: float
    last_at: float


class Answers(Sequence[Answer]):
    """A stretch of answers in the order in which they came."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers

    def __len__(self) -> int:
        """Return the number of answers."""
        return len(self._answers)

    def __getitem__(self, index: Any) -> Any:
        """Return one answer, or a slice of them."""
        return self._answers[index]

    def failures(self, version: str | None = None) -> list[Answer]:
        """Return the failed requests, all or those of one version."""
        return [answer for answer in self._answers if answer.failed and version in (None, answer.version)]

    def between(self, start: float, end: float) -> Answers:
        """Return the answers that came between two times of ``time.time``."""
        return Answers([answer for answer in self._answers if start <= answer.at <= end])

    def last_at(self, version: str) -> float | None:
        """Return the time (``time.time``) of the last answer of a version; None without one."""
        return next((answer.at for answer in reversed(self._answers) if answer.version == version), None)

    def counts(self) -> dict[str, VersionCounts]:
        """Return what each version answered, by version."""
        grouped: dict[str, list[Answer]] = {}
        for answer in self._answers:
            grouped.setdefault(answer.version, []).append(answer)
        return {version: _count(answers) for version, answers in sorted(grouped.items())}


def _count(answers: Sequence[Answer]) -> VersionCounts:
    seconds = sorted(answer.seconds for answer in answers)
    return VersionCounts(
        requests=len(answers),
        failed=sum(answer.failed for answer in answers),
        by_class=dict(sorted(collections.Counter(answer.status_class for answer in answers).items())),
        p50=percentile(seconds, 0.5),
        p99=percentile(seconds, 0.99),
        first_at=answers[0].at,
        last_at=answers[-1].at,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the ordered values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def check_target(url: str) -> yarl.URL:
    """Return the parsed URL. Raises RefusedError unless it is loopback or a pod address of this network namespace."""
    target = yarl.URL(url)
    if target.scheme not in ("http", "https") or not target.host:
        raise RefusedError(f"{url!r} is no http URL")
    if target.host == "localhost":
        return target
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        raise RefusedError(f"{target.host!r}: load goes to an address, not to a name that could lead anywhere") from None
    if address.is_loopback or (address in _POD_NETWORK and _is_own(str(address))):
        return target
    raise RefusedError(f"{address} is neither loopback nor a pod address of this sandbox")


def _is_own(address: str) -> bool:
    """Whether the address belongs to this network namespace: only then can it be bound to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


class Load:
    """A constant stream of GET requests while the context is open, for ``duration`` seconds at most."""

    def __init__(self, url: str, host: str, rate: float, *, duration: float = 900.0, timeout: float = 10.0) -> None:
        """Prepare the load: ``rate`` in requests per second, ``host`` for the Host header, ``timeout`` per request.

        Raises RefusedError for a target that is not of the sandbox, or a rate or duration out of bounds.
        """
        if not 0 < rate <= MAX_RATE:
            raise RefusedError(f"rate {rate:g}: at most {MAX_RATE:g} requests per second, more than 0")
        if not 0 < duration <= MAX_SECONDS:
            raise RefusedError(f"duration {duration:g}: at most {MAX_SECONDS:g} seconds, more than 0")
        self._url = check_target(url)
        self._headers = {"Host": host} if host else {}
        self._rate = rate
        self._duration = duration
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._answers: list[Answer] = []
        self._in_flight: set[asyncio.Task[None]] = set()
        self._sender: asyncio.Task[None] | None = None
        self.sent = 0
        """Requests sent so far."""
        self.latest_delay = 0.0
        """The longest time in seconds by which a request was sent later than its turn."""

    async def __aenter__(self) -> Self:
        """Start sending."""
        self._sender = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop sending and wait for the answers that are under way."""
        await self.stop()

    async def stop(self) -> None:
        """Stop sending and wait for the answers that are under way. May be called again."""
        if self._sender is not None:
            self._sender.cancel()
            await self.finished()

    async def finished(self) -> None:
        """Wait until the duration is over and all answers are there."""
        if self._sender is not None:
            # Not awaited itself: whoever stops waiting must not end the load with it.
            await asyncio.wait({self._sender})
            if not self._sender.cancelled():
                self._sender.result()

    def mark(self) -> int:
        """Return a mark for :meth:`since`: the number of answers so far."""
        return len(self._answers)

    def since(self, mark: int) -> Answers:
        """Return the answers that came after a mark."""
        return Answers(self._answers[mark:])

    def answers(self) -> Answers:
        """Return all answers so far."""
        return Answers(self._answers[:])

    def counts(self) -> dict[str, VersionCounts]:
        """Return what each version answered so far."""
        return self.answers().counts()

    async def _send_all(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=False)
        async with aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        ) as session:
            try:
                await self._pace(session)
            finally:
                if self._in_flight:
                    await asyncio.wait(self._in_flight)

    async def _pace(self, session: aiohttp.ClientSession) -> None:
        begun = time.monotonic()
        total = max(1, int(self._rate * self._duration))
        for number in range(total):
            turn = begun + number / self._rate
            delay = turn - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            elif number % 16 == 0:
                # Catching up after a stall must not keep the answers from being read.
                await asyncio.sleep(0)
            self.latest_delay = max(self.latest_delay, time.monotonic() - turn)
            self.sent += 1
            if len(self._in_flight) >= _MAX_IN_FLIGHT:
                self._record(time.monotonic(), error=f"not sent: {_MAX_IN_FLIGHT} requests wait for an answer")
                continue
            task = asyncio.create_task(self._send(session))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def _send(self, session: aiohttp.ClientSession) -> None:
        begun = time.monotonic()
        try:
            async with session.get(self._url, allow_redirects=False) as response:
                body = await response.read()
                headers = response.headers
                version = headers.get("x-version", NO_VERSION)
                excerpt = ""
                if version == NO_VERSION or response.status >= 500:
                    excerpt = body[: _EXCERPT_CHARACTERS * 4].decode("utf-8", "replace")[:_EXCERPT_CHARACTERS]
                self._record(begun, version, headers.get("x-pod", ""), response.status, excerpt=excerpt)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._record(begun, error=str(error) or type(error).__name__)

    def _record(
        self,
        begun: float,
        version: str = NO_VERSION,
        pod: str = "",
        status: int = 0,
        *,
        error: str = "",
        excerpt: str = "",
    ) -> None:
        now = time.monotonic()
        self._answers.append(Answer(time.time(), now, now - begun, version, pod, status, error, excerpt))


def summary(load: Load) -> dict[str, Any]:
    """Return what happened as plain data: totals, failures, and what each version answered."""
    answers = load.answers()
    failures = answers.failures()
    return {
        "sent": load.sent,
        "answered": len(answers),
        "failed": len(failures),
        "latest_delay_seconds": round(load.latest_delay, 4),
        "versions": {version: asdict(counts) for version, counts in answers.counts().items()},
        "first_failures": [asdict(answer) for answer in failures[:10]],
    }


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exits with status 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="loadgen", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--url", required=True, help="where to send: loopback or a pod address of the sandbox")
    parser.add_argument("--host", default="", help="Host header (default: that of the URL)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second (default: %(default)g)")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds (default: %(default)g)")
    parser.add_argument("--out", type=pathlib.Path, help="file for every answer, one JSON object per line")
    parser.add_argument("--summary", type=pathlib.Path, help="file for the summary (default: standard output)")
    return parser.parse_args(arguments)


async def _run(options: argparse.Namespace) -> Load:
    load = Load(options.url, options.host, options.rate, duration=options.duration)
    async with load:
        finished = asyncio.create_task(load.finished())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, finished.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await finished
    return load


def main(arguments: Sequence[str] | None = None) -> int:
    """Send the load and write what happened. Returns 0, also when requests failed; 2 for a load that is refused."""
    options = parse_arguments(arguments)
    try:
        load = asyncio.run(_run(options))
    except RefusedError as error:
        print(f"loadgen: {error}", file=sys.stderr)
        return 2
    if options.out:
        with options.out.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(answer)) + "\n" for answer in load.answers())
    text = json.dumps(summary(load), indent=2)
    if options.summary:
        options.summary.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
