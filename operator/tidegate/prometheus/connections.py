"""A connection to Prometheus: queries in threads of its own, each with a deadline, and never an exception."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson
import urllib3
from prometheus_api_client import PrometheusConnect
from requests import exceptions as http
from urllib3.exceptions import HTTPError, InsecureRequestWarning, ReadTimeoutError
from urllib3.util.retry import Retry

from tidegate.api.base import format_duration, plain
from tidegate.prometheus import forms
from tidegate.prometheus.answers import (
    EVERYBODY,
    MOST_SERIES,
    Answer,
    Asker,
    Cause,
    NoData,
    Read,
    Result,
    Trouble,
    Value,
    answer_to,
    before_series,
    time_told,
)
from tidegate.prometheus.budgets import Unread
from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.dialects import LATENCY_OFFSET, PROBE, SHOWN_LATE, longest_query, without_echo, without_native
from tidegate.prometheus.difference import TimeTold, dated
from tidegate.prometheus.session import (
    LARGEST_ANSWER,
    BoundedSession,
    CredentialError,
    Credentials,
    NamedServerAdapter,
    RefusedError,
    files_of,
)
from tidegate.prometheus.turns import Turns, Waited

__all__ = [
    "Answer",
    "Connection",
    "ConnectionConfig",
    "NoData",
    "Trouble",
    "Value",
]

_LOG = logging.getLogger(__name__)

_QUEUE_PER_SLOT = 16
"""Queries of one namespace that may wait for each one that can be under way; more are turned away at once."""
_JOINT_ROOM = 4
"""Factor on that for requests that carry many queries."""
_LONGEST_IN_ADDRESS = 3000
"""Characters of a query that goes into the address; a longer one goes into a body, for proxies cut addresses at 8 KB."""
FURTHEST = timedelta(minutes=5)
"""How far the time of an answer may be from the one that was asked for. Prometheus gives back the same; a server that gives that of
the last sample instead looks no further back than this, as a rule. What is further off comes out of somebody's cache."""
LONGEST_WORDS = 500
"""Characters of what others say that are passed on."""
_PROBED_EVERY = 600.0
"""Seconds for which it is known whether a server lacks native histograms."""
LONGEST_QUERY = 128 * 1024
"""Bytes of one query at most, until a server has said that it takes less."""
_SHORTEST_BOUND = 8 * 1024
"""What is taken for such a bound at least: a query could have its error say anything."""
_GRACE = 1.0
"""Seconds that a thread gets beyond the deadline of its sockets before it is given up."""


class Connection:
    """Asks one Prometheus-compatible server.

    Every connection has threads of its own: a server that hangs keeps those busy and no others. A query waits for a free thread no
    longer than the timeout and runs no longer than the timeout and a second, whatever the server does. Namespaces take turns.

    Args:
        config: how the server is reached.
        unread: bounds what is read and parsed at the same time, on all connections; by default on this one alone.
        waited: told of every wait for a turn.
        clock: monotonic seconds, by which it is measured what a query costs.
    """

    def __init__(
        self,
        config: ConnectionConfig,
        unread: Unread | None = None,
        waited: Waited | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._clock = clock
        self._unread = unread or Unread(LARGEST_ANSWER)
        self._credentials = Credentials(config)
        self._threads = ThreadPoolExecutor(config.concurrency, thread_name_prefix=f"prometheus-{config.name}")
        self._turns = Turns(config.concurrency, config.concurrency * _QUEUE_PER_SLOT, waited)
        self._answered = float("-inf")
        self.longest_query = LONGEST_QUERY
        self._native, self._probed = True, float("-inf")
        self._lock = threading.Lock()
        self._client: PrometheusConnect | None = None
        self._session: BoundedSession | None = None
        self._files: tuple[object, ...] = ()
        if config.tls.insecure_skip_verify:
            _LOG.warning("Prometheus connection %s does not verify its server", config.name)
            urllib3.disable_warnings(InsecureRequestWarning)

    async def query(self, promql: str, at: datetime) -> Answer:
        """Evaluate a query at an instant.

        Args:
            promql: the query; one number is expected.
            at: evaluation time, with a time zone.

        Returns:
            The number, that there is none, or what went wrong; the latter two in words. Never raises for what the server or
            the network does. Nothing is tried again: the next look is the next try.
        """
        result = await self.alone(promql, at, MOST_SERIES)
        return result if isinstance(result, Trouble) else self.number(result)

    def number(self, result: Result) -> Answer:
        """Return the one number that a query was to give."""
        answer = answer_to(result.data)
        return self.trouble(answer.message, Cause.QUERY) if isinstance(answer, Trouble) else answer

    async def alone(
        self, promql: str, at: datetime, most: int, *, asker: Asker = EVERYBODY, read: Read | None = None
    ) -> Result | Trouble:
        """Evaluate a query at an instant in a request of its own; see `query`.

        Args:
            promql: the query.
            at: evaluation time, with a time zone.
            most: series that are wanted at most.
            asker: for whom.
            read: reads the answer in the thread that asks.
        """
        send = partial(self._ask, at=at, most=most)
        return await self._run(lambda: self._read(self._understood(promql, send, at), at, read), asker, 1)

    async def joint(self, promql: str, at: datetime, *, asker: Asker = EVERYBODY, read: Read | None = None) -> Result | Trouble:
        """Evaluate a query that is made of many; see `alone`. It is sent in a body and its warnings are told."""
        send = partial(self._post, at=at)
        return await self._run(lambda: self._read(self._understood(promql, send, at), at, read), asker, _JOINT_ROOM)

    async def time(self, monotonic: Callable[[], float]) -> TimeTold | Trouble:
        """Ask what the time is there.

        Args:
            monotonic: seconds of the clock by which it is noted when it was asked.
        """
        result = await self._run(lambda: self._ask_time(monotonic), Asker(rollback=True), 1)
        told: TimeTold | Trouble = result if isinstance(result, Trouble) else result.data
        return told

    def _read(self, result: Result, at: datetime, read: Read | None) -> Result | Trouble:
        """Return an answer as it was read; a trouble where it is about another time than was asked for."""
        told = time_told(result.data)
        off = 0.0 if told is None else told - at.timestamp()
        if abs(off) > FURTHEST.total_seconds():
            words = f"{format_duration(timedelta(seconds=round(abs(off))))} {'before' if off < 0 else 'after'}"
            return self.trouble(f"the response is for a time {words} the one requested")
        data = result.data
        vector = isinstance(data, list) and all(isinstance(series, dict) for series in data)
        return Result(data if read is None else as_read(read, data), result.warnings, vector)

    async def _run(self, ask: Callable[[], Result | Trouble], asker: Asker, room: int) -> Result | Trouble:
        seconds = self.config.timeout.total_seconds()
        if not await self._turns.take(asker, seconds, room):
            return self.trouble(self._no_turn(asker))
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, self._try, ask)
        except RuntimeError:
            self._turns.give_back(asker)
            return self.trouble("it is closed")
        # The thread keeps its slot until it ends, even when nobody waits for it any more.
        running.add_done_callback(lambda _: self._turns.give_back(asker))
        done, _ = await asyncio.wait({running}, timeout=seconds + _GRACE)
        return running.result() if done else self.trouble(self._no_answer(), Cause.TIME)

    def close(self) -> None:
        """Stop: nothing new is asked; what is under way ends by its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _try(self, ask: Callable[[], Result | Trouble]) -> Result | Trouble:
        """Ask in a thread, and measure how long it takes."""
        began = self._clock()
        with self._unread.given_back():
            answer = self._tried(ask)
        now = self._clock()
        if isinstance(answer, Result):
            self._answered = now
        # Where nothing else was answered meanwhile, the server is slow, or away, and it is not for this query.
        elif answer.cause is not Cause.TIME or self._answered < began:
            return answer
        return replace(answer, seconds=now - began)

    def _tried(self, ask: Callable[[], Result | Trouble]) -> Result | Trouble:
        """Ask, and return what goes wrong.

        The client's errors are as raw as its answers: RequestException and OSError from the network, HTTPError from urllib3,
        ValueError from JSON, and LookupError, TypeError and AttributeError where the JSON is not what it expects.
        """
        try:
            return ask()
        except RefusedError as error:
            # Cut only afterwards: half of a secret would not be found.
            said = without_echo(self._credentials.redact(str(error)))
            if (told := before_series(said)) != said:
                _LOG.debug("Prometheus connection %s: %s", self.config.name, plain(said, LONGEST_WORDS))
            words = plain(told, LONGEST_WORDS)
            return self.trouble(words if error.status is None else f"{words} (HTTP {error.status})", error.cause)
        except CredentialError as error:
            return self.trouble(self._credentials.redact(str(error)))
        except (http.Timeout, ReadTimeoutError, TimeoutError) as error:
            if isinstance(error, http.ConnectTimeout):
                return self.trouble(self._no_connection())
            return self.trouble(self._no_answer(), Cause.TIME)
        except (http.InvalidJSONError, orjson.JSONDecodeError, RecursionError):
            return self.trouble("the response is not JSON; is this a Prometheus API?")
        except (OSError, HTTPError) as error:
            words = plain(self._credentials.redact(_root(error)), LONGEST_WORDS)
            return self.trouble(f"{words} ({self.config.address})")
        except (ValueError, LookupError, TypeError, AttributeError):
            return self.trouble("unexpected response format; is this a Prometheus API?")

    def _understood(self, promql: str, send: Callable[[str], Result], at: datetime) -> Result:
        """Send a query, without what the server lacks; it is found out where a query that has it is refused.

        What the error says is not looked at for that, which anybody's query may have made it say.
        """
        known = self._clock() - self._probed < _PROBED_EVERY
        text = without_native(promql) if known and not self._native else promql
        try:
            return send(text)
        except RefusedError as error:
            longest = longest_query(str(error))
            if longest is not None and longest < len(text.encode(errors="replace")):
                self.longest_query = max(longest, _SHORTEST_BOUND)
            less = without_native(text)
            if error.cause is not Cause.QUERY or less == text or self._has_native(at):
                raise
        return send(less)

    def _has_native(self, at: datetime) -> bool:
        now = self._clock()
        if now - self._probed >= _PROBED_EVERY:
            try:
                self._ask(PROBE, at, 1)
                self._native = True
            except RefusedError as error:
                self._native = error.cause is not Cause.QUERY
            self._probed = now
        return self._native

    def _ask(self, promql: str, at: datetime, most: int) -> Result:
        if len(promql) > _LONGEST_IN_ADDRESS:
            return self._post(promql, at)
        client, session = self._connected()

        def send(parameters: dict[str, str]) -> Result:
            return Result(client.custom_query(promql, params={**parameters, "limit": str(most)}))

        return self._newest(send, session, at)

    def _post(self, promql: str, at: datetime) -> Result:
        """Send a query in the body of a POST.

        The client's own POST puts the query into the address all the same, where proxies cut it off, and it keeps the server's
        warnings to itself, without which an answer that was cut short looks whole. So this goes by the session beneath it.
        """
        client, session = self._connected()

        def send(parameters: dict[str, str]) -> Result:
            response = session.request(
                "POST",
                f"{self.config.address}/api/v1/query",
                data=forms.encoded(promql, parameters),
                headers={**client.headers, **forms.HEADERS},
                auth=self._credentials,
                timeout=self.config.timeout.total_seconds(),
            )
            answer: dict[str, Any] = orjson.loads(response.content)
            return Result(answer["data"]["result"], tuple(str(one) for one in answer.get("warnings") or ()))

        return self._newest(send, session, at)

    def _ask_time(self, monotonic: Callable[[], float]) -> Result:
        """Ask for the present in a request that names no time, with a query that no cache has met: each has its own comment."""
        client, session = self._connected()

        def send(parameters: dict[str, str]) -> Result:
            sent = monotonic()
            response = session.request(
                "GET",
                f"{self.config.address}/api/v1/query",
                params={"query": f"time() # {secrets.token_hex(8)}", **parameters},
                headers=client.headers,
                auth=self._credentials,
                timeout=self.config.timeout.total_seconds(),
            )
            received = monotonic()
            told = time_told(orjson.loads(response.content)["data"]["result"])
            if told is None:
                msg = "the response holds no time"
                raise ValueError(msg)
            late = SHOWN_LATE if session.victoria else 0.0
            return Result(TimeTold(told, dated(response.headers.get("Date")), sent, received, late))

        return self._newest(send, session, None)

    def _newest(self, send: Callable[[dict[str, str]], Result], session: BoundedSession, at: datetime | None) -> Result:
        """Ask for what is newest: of VictoriaMetrics in its own way, once more where it was not known to be one."""
        milliseconds = round(self.config.timeout.total_seconds() * 900)
        parameters = {"timeout": f"{milliseconds}ms"} | ({} if at is None else {"time": f"{at.timestamp():.3f}"})
        known = session.victoria
        result = send(parameters | LATENCY_OFFSET if known else parameters)
        return send(parameters | LATENCY_OFFSET) if session.victoria and not known else result

    def _connected(self) -> tuple[PrometheusConnect, BoundedSession]:
        """Return the client and the session beneath it, new ones where the TLS files have changed."""
        config = self.config
        with self._lock:
            files = files_of(config)
            if self._client is None or self._session is None or files != self._files:
                session = BoundedSession(config, self._unread)
                plain = {name: value for name, value in config.headers.items() if isinstance(value, str)}
                client = PrometheusConnect(
                    config.address,
                    headers=plain,
                    retry=Retry(0),
                    auth=self._credentials,
                    session=session,
                    timeout=config.timeout.total_seconds(),
                )
                # The client mounts an adapter of its own at its address: this one has the pool and the name that are wanted.
                session.mount(config.address, NamedServerAdapter(config))
                self._client, self._session, self._files = client, session, files
            return self._client, self._session

    def _no_answer(self) -> str:
        return f"no answer from {self.config.address} within {format_duration(self.config.timeout)}"

    def _no_turn(self, asker: Asker) -> str:
        own = self._turns.busy(asker.namespace) if asker.namespace else 0
        whose = f", {own} of them for namespace {asker.namespace}" if own else ""
        return f"all {self.config.concurrency} concurrent queries are waiting for an answer{whose}"

    def _no_connection(self) -> str:
        return f"no connection to {self.config.address} within {format_duration(self.config.timeout)}"

    def trouble(self, message: str, cause: Cause = Cause.OTHER) -> Trouble:
        """Return a trouble of this connection."""
        return Trouble(f"Prometheus connection {self.config.name}: {message}", cause)


def as_read(read: Read, data: object) -> object:
    """Return what somebody makes of an answer, or their error: it is theirs, and not the connection's."""
    try:
        return read(data)
    except ValueError as error:
        return error


def _root(error: BaseException) -> str:
    """Return the innermost cause in words: the outer ones repeat the URL with the whole query."""
    seen = {id(error)}
    while True:
        inner = getattr(error, "reason", None)
        candidates = [inner, *error.args, error.__cause__, error.__context__]
        deeper = next((each for each in candidates if isinstance(each, BaseException) and id(each) not in seen), None)
        if deeper is None:
            break
        error = deeper
        seen.add(id(error))
    words = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words)
