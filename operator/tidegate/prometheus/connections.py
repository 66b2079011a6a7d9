"""A connection to Prometheus: queries in threads of its own, each with a deadline, and never an exception."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import urllib3
from prometheus_api_client import PrometheusConnect
from requests import exceptions as http
from urllib3.exceptions import HTTPError, InsecureRequestWarning, ReadTimeoutError
from urllib3.util.retry import Retry

from tidegate.api.base import format_duration
from tidegate.prometheus.answers import MOST_SERIES, Answer, NoData, Trouble, Value, answer_to
from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.session import (
    BoundedSession,
    CredentialError,
    Credentials,
    NamedServerAdapter,
    RefusedError,
    files_of,
)

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
"""Queries that may wait for each one that can be under way; more are turned away at once."""
_GRACE = 1.0
"""Seconds that a thread gets beyond the deadline of its sockets before it is given up."""


class Connection:
    """Asks one Prometheus-compatible server.

    Every connection has threads of its own: a server that hangs keeps those busy and no others. A query waits for a free thread no
    longer than the timeout and runs no longer than the timeout and a second, whatever the server does.
    """

    def __init__(self, config: ConnectionConfig) -> None:
        self.config = config
        self._credentials = Credentials(config)
        self._threads = ThreadPoolExecutor(config.concurrency, thread_name_prefix=f"prometheus-{config.name}")
        self._slots = asyncio.Semaphore(config.concurrency)
        self._waiting = 0
        self._lock = threading.Lock()
        self._client: PrometheusConnect | None = None
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
        seconds = self.config.timeout.total_seconds()
        if not await self._slot(seconds):
            busy = self.config.concurrency
            return self._trouble(f"all {busy} queries that may be under way at once are waiting for an answer")
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, promql, at)
        except RuntimeError:
            self._slots.release()
            return self._trouble("it is closed")
        # The thread keeps its slot until it ends, even when nobody waits for it any more.
        running.add_done_callback(lambda _: self._slots.release())
        done, _ = await asyncio.wait({running}, timeout=seconds + _GRACE)
        return running.result() if done else self._trouble(self._no_answer())

    def close(self) -> None:
        """Stop: nothing new is asked; what is under way ends by its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.close()

    async def _slot(self, seconds: float) -> bool:
        """Take a slot, if one becomes free in time and not too many wait for one."""
        if self._slots.locked() and self._waiting >= self.config.concurrency * _QUEUE_PER_SLOT:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting -= 1

    def _ask(self, promql: str, at: datetime) -> Answer:
        """Ask in a thread.

        The client's errors are as raw as its answers: RequestException and OSError from the network, HTTPError from urllib3,
        ValueError from JSON, and LookupError, TypeError and AttributeError where the JSON is not what it expects.
        """
        milliseconds = round(self.config.timeout.total_seconds() * 900)
        parameters = {"time": f"{at.timestamp():.3f}", "timeout": f"{milliseconds}ms", "limit": str(MOST_SERIES)}
        try:
            answer = answer_to(self._connected().custom_query(promql, params=parameters))
            return self._trouble(answer.message) if isinstance(answer, Trouble) else answer
        except (RefusedError, CredentialError) as error:
            return self._trouble(self._credentials.redact(str(error)))
        except (http.Timeout, ReadTimeoutError, TimeoutError) as error:
            connecting = isinstance(error, http.ConnectTimeout)
            return self._trouble(self._no_connection() if connecting else self._no_answer())
        except (http.InvalidJSONError, RecursionError):
            return self._trouble("the answer is not JSON, so it is not of Prometheus")
        except (OSError, HTTPError) as error:
            return self._trouble(f"{self._credentials.redact(_root(error))} ({self.config.address})")
        except (ValueError, LookupError, TypeError, AttributeError):
            return self._trouble("the answer is not in the way of Prometheus")

    def _connected(self) -> PrometheusConnect:
        """Return the client, a new one where the TLS files have changed."""
        config = self.config
        with self._lock:
            files = files_of(config)
            if self._client is None or files != self._files:
                session = BoundedSession(config)
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
                self._client, self._files = client, files
            return self._client

    def _no_answer(self) -> str:
        return f"no answer from {self.config.address} within {format_duration(self.config.timeout)}"

    def _no_connection(self) -> str:
        return f"no connection to {self.config.address} within {format_duration(self.config.timeout)}"

    def _trouble(self, message: str) -> Trouble:
        return Trouble(f"Prometheus connection {self.config.name}: {message}")


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
    return " ".join(str(words).split())[:500]
