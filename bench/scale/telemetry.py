"""A stand-in for Prometheus whose counters the bench sets, so that the instant at which a breach becomes visible is known.

It speaks the part of the HTTP API that the operator uses for the preset HTTP: instant queries for raw counters, many in a request,
and for what stable has counted before its route was split and since. What it answers depends on the time that is asked for, as with
the real one: a query for an earlier instant gets what was counted by then. It counts at every instant, and so tells no times of
samples.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
from aiohttp import web

from tidegate.prometheus.batching import TAG

Service = tuple[str, str]
"""Namespace and name."""

_PART = "tidegate_part"
_JOINED, _PARTS = (
    re.compile(rf'label_replace\(\(\n(?P<query>.*?)\n\), "{tag}", "(?P<tag>[^"]*)", "", ""\)', re.DOTALL) for tag in (TAG, _PART)
)
_SERIES = re.compile(
    r'\((?P<metric>[a-z_]+)\{namespace="(?P<namespace>[^"]+)",pod=~"(?P<service>[^"]+)-(?P<revision>[a-z0-9]+)-\[a-z0-9\]\{5\}"'
    r'(?:,code(?P<bad>=~"5\.\."|[^}]*))?\}\)'
)
_BEFORE = re.compile(r"\[(?P<minutes>[0-9]+)m\] offset ")
_SINCE = re.compile(r" offset (?:(?P<minutes>[0-9]+)m(?!s))?(?:(?P<seconds>[0-9]+)s)?")
_BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
_SHARE_WITHIN = (0.05, 0.2, 0.55, 0.8, 0.93, 0.985, 0.996, 0.999, 0.9997, 0.9999, 1.0, 1.0)

STABLE_RATE, CANARY_RATE = 800.0, 200.0
"""Requests per second of one service; so the new version has a weight of 20%."""
ERRORS, ERRORS_WHEN_BAD = 0.001, 0.5
"""Shares of failed requests."""
HISTORY = 3600.0
"""Seconds for which everything has been counting before the bench began."""


class _Question(NamedTuple):
    """What one query asks."""

    service: Service
    revision: str
    kind: str


@dataclass
class Seen:
    """What was answered about the new version of one service.

    Attributes:
        times: evaluation times of looks so far, the last two; the first look of a process only finds where counters begin.
        looks: how many evaluation times there were.
        judged: when the second look was answered (time.time), with which judging begins.
        first_bad: when an answer first showed the breach.
    """

    times: list[float] = field(default_factory=list)
    looks: int = 0
    judged: float = 0.0
    first_bad: float | None = None


class Telemetry:
    """Counters of many services.

    Attributes:
        interval: seconds between two looks of the gates; a breach shows in what was counted since the last one.
        requests: HTTP requests that were answered.
        queries: questions in them.
        stable: the revision that serves, by service; every other one is the new version.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.requests = self.queries = 0
        self.stable: dict[Service, str] = {}
        self.bad_since: dict[Service, float] = {}
        self.seen: dict[Service, Seen] = {}
        self._began = time.time() - HISTORY
        self._known: dict[str, _Question | None] = {}
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/api/v1/query", self._query)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def turn_bad(self, service: Service) -> float:
        """Have half of a service's requests to the new version fail, and return the instant from which that is visible."""
        at = self.bad_since[service] = time.time()
        return at

    def heal(self) -> None:
        """Let all be well, as before a next rollout, and forget what was seen."""
        self.bad_since.clear()
        self.seen.clear()
        self._known.clear()

    def heal_one(self, service: Service) -> None:
        """Let one service be well, as before its next rollout, and forget what was seen of it."""
        self.bad_since.pop(service, None)
        self.seen.pop(service, None)

    async def _query(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = str(form.get("query") or request.query.get("query") or "")
        at = float(str(form.get("time") or request.query.get("time") or time.time()))
        self.requests += 1
        if query.startswith("time() #"):
            now = time.time()
            told = {"status": "success", "data": {"resultType": "scalar", "result": [now, str(now)]}}
            return web.Response(body=orjson.dumps(told), content_type="application/json")
        joined = [(found["query"], {TAG: found["tag"]}) for found in _JOINED.finditer(query)] or [(query, {})]
        result = [series for text, tag in joined for series in self._answer(text, at, tag)]
        body = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    def _answer(self, text: str, at: float, tag: dict[str, str]) -> Iterator[dict[str, object]]:
        self.queries += 1
        parts = [(found["query"], {**tag, _PART: found["tag"]}) for found in _PARTS.finditer(text)] or [(text, tag)]
        for query, tags in parts:
            if "timestamp(" in query:
                # Nobody tells when samples were taken.
                continue
            if " offset " in query:
                yield {"metric": tags, "value": [at, str(_around(query))]}
            else:
                yield from self._counted(query, at, tags)

    def _counted(self, text: str, at: float, tag: dict[str, str]) -> Iterator[dict[str, object]]:
        question = self._known[text] if text in self._known else self._learn(text)
        if question is None:
            return
        service, revision, kind = question
        stable = self.stable.get(service) == revision
        if not stable:
            self._note(service, at, kind)
        labels = {**tag, "namespace": service[0], "pod": f"{service[1]}-{revision}-x2x4z"}
        total = (at - self._began) * (STABLE_RATE if stable else CANARY_RATE)
        if kind == "buckets":
            for bound, share in zip(_BUCKETS, _SHARE_WITHIN, strict=True):
                yield {"metric": {**labels, "le": bound}, "value": [at, str(int(total * share))]}
        elif kind in {"total", "bad"}:
            value = total if kind == "total" else total * ERRORS + (0.0 if stable else self._extra(service, at))
            yield {"metric": labels, "value": [at, str(int(value))]}

    def _learn(self, text: str) -> _Question | None:
        found = _SERIES.search(text)
        question = None
        if found is not None:
            service = (found["namespace"], found["service"])
            kind = "bad" if found["bad"] else "buckets" if found["metric"].endswith("_bucket") else "total"
            if not found["metric"].endswith(("_total", "_bucket")):
                kind = "none"
            question = _Question(service, found["revision"], kind)
        self._known[text] = question
        return question

    def _extra(self, service: Service, at: float) -> float:
        """Return the failed requests of a breach: those of one interval at once, then the rate."""
        since = self.bad_since.get(service)
        if since is None or at < since:
            return 0.0
        return (at - since + self.interval) * CANARY_RATE * ERRORS_WHEN_BAD

    def _note(self, service: Service, at: float, kind: str) -> None:
        seen = self.seen.setdefault(service, Seen())
        if at not in seen.times:
            seen.times = [*seen.times[-1:], at]
            seen.looks += 1
            if seen.looks == 2:
                seen.judged = time.time()
        since = self.bad_since.get(service)
        if kind == "bad" and since is not None and at >= since and seen.first_bad is None:
            seen.first_bad = time.time()


def _around(query: str) -> float:
    """Return what stable, or the service before its route was split, has counted in the time that a query names: all is well."""
    if before := _BEFORE.search(query):
        total = 60 * int(before["minutes"]) * (STABLE_RATE + CANARY_RATE)
    else:
        since = _SINCE.search(query)
        assert since is not None
        total = (60 * int(since["minutes"] or 0) + int(since["seconds"] or 0)) * STABLE_RATE
    return total * (ERRORS if "code=~" in query else 1.0)
