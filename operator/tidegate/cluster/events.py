"""Events: what `kubectl describe` and `kubectl get events` show of what the operator did, and why.

They are core/v1 Events with `count` and `lastTimestamp`, which every kubectl shows and sorts by. Recording never waits
for the API: what is recorded goes into a bounded buffer that one task writes out.
"""

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

import structlog

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Fenced,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from tidegate.cluster.resources import EVENTS
from tidegate.cluster.sending import Json
from tidegate.runtime.clock import Clock

log = structlog.get_logger(__name__)

WINDOW = 600.0
"""Seconds within which a repetition raises the count of the Event that is there."""
MESSAGE_BYTES = 1024
"""What the API accepts as an Event's message."""
BURST = 30
"""Events that one object may have at once; a whole rollout with all its steps stays below."""
REFILL = 10.0
"""Seconds for one more."""
CAPACITY = 1000
"""Events that may wait to be written."""
SERIES = 4096
"""Events that are remembered for their repetitions."""
RETRY_CAP = 10.0
"""Seconds between attempts at most while the API is away. Each Event is tried for as long as its window lasts."""
REFUSALS = 30.0
"""Seconds for which an Event is tried again although permission is refused: an API server that has just started refuses all."""
TERMINATING = "NamespaceTerminating"
"""Cause of the refusal of whatever is created in a namespace that is being deleted."""
COMPONENT = "tidegate"


class EventType(Enum):
    """The two types the API knows."""

    NORMAL = "Normal"
    WARNING = "Warning"


class Dropped(Enum):
    """Why an Event was not written."""

    RATE = "rate"
    """Its object had too many."""
    CAPACITY = "capacity"
    """Too many waited; the oldest went."""
    REFUSED = "refused"
    """The API refused it, or stayed away for too long."""


@dataclass(frozen=True, slots=True)
class _Key:
    uid: str
    type: EventType
    reason: str
    message: str


@dataclass(slots=True)
class _Series:
    """One Event and its repetitions."""

    name: str
    namespace: str
    involved: Json
    first: datetime
    last: datetime
    expires: float
    count: int = 1
    written: bool = False
    again: bool = False
    """Its first occurrence may have been written by an earlier life of the operator."""
    former: tuple[str, str, str] | None = None
    """Name, message and time of the Event that becomes this one, if an earlier life has written it."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class Recorder:
    """Records Events about objects.

    The same type, reason and message about the same object within ten minutes is one Event whose count goes up; what
    repeats while it waits to be written costs no request of its own. Names follow from content and time, so two
    replicas or a restart continue an Event rather than double it, and one that may be written is recorded `again` for nothing.

    Args:
        cluster: the API.
        clock: stamps Events and measures rates.
        instance: name of this replica, such as the pod's.
        on_drop: told of each Event that is not written.
    """

    def __init__(self, cluster: Cluster, *, clock: Clock, instance: str, on_drop: Callable[[Dropped], None] | None = None) -> None:
        self._cluster = cluster
        self._clock = clock
        self._instance = instance
        self._on_drop = on_drop
        self._series: OrderedDict[_Key, _Series] = OrderedDict()
        self._waiting: OrderedDict[_Key, None] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._under_way: _Key | None = None

    def normal(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        """Records that something happened as it should."""
        self.record(obj, EventType.NORMAL, reason, message)

    def warning(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        """Records that something needs a person's eye."""
        self.record(obj, EventType.WARNING, reason, message)

    def record(
        self,
        obj: Mapping[str, Any],
        type_: EventType,
        reason: str,
        message: str,
        *,
        at: datetime | None = None,
        again: bool = False,
        former: tuple[str, datetime] | None = None,
    ) -> None:
        """Records an Event; returns at once.

        Args:
            obj: what it is about: apiVersion, kind and metadata with name, namespace and uid.
            type_: Normal or Warning.
            reason: CamelCase, one word that machines can match.
            message: for people; cut at 1024 bytes.
            at: when it happened, with zone; None for now.
            again: an earlier life of the operator may have written it: if it has, nothing is.
            former: message and time of an Event that an earlier life may have written in place of it: that becomes this one.
        """
        key = _Key(obj["metadata"]["uid"], type_, reason, _cut(message))
        moment = at or self._clock.now()
        now = self._clock.monotonic()
        series = self._series.get(key)
        if series is None or series.expires <= now:
            series = self._begin(key, obj, moment, again=again)
            if former is not None:
                message, first = _cut(former[0]), former[1]
                series.former = _name(obj, replace(key, message=message), first), message, _rfc3339(first)
        elif again:
            return
        else:
            series.count += 1
            series.last = moment
        if key not in self._waiting:
            self._enqueue(key, series, now)

    def written(self, obj: Mapping[str, Any], type_: EventType, reason: str, message: str) -> bool:
        """Whether an Event that was recorded is known to be written, with all its repetitions."""
        key = _Key(obj["metadata"]["uid"], type_, reason, _cut(message))
        series = self._series.get(key)
        return series is not None and series.written and key not in self._waiting and key != self._under_way

    def start(self) -> None:
        """Starts writing, on the running loop."""
        self._task = asyncio.create_task(self._run(), name="events")

    async def stop(self, *, within: float) -> None:
        """Writes out what waits and stops; what is not written after `within` seconds is lost."""
        if self._task is None:
            return
        if not self._idle.is_set():
            await self._clock.sleep(within, wake=self._idle)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def waiting(self) -> int:
        """How many Events wait to be written."""
        return len(self._waiting)

    def _begin(self, key: _Key, obj: Mapping[str, Any], moment: datetime, *, again: bool) -> _Series:
        metadata = obj["metadata"]
        involved = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": metadata["name"], "uid": key.uid}
        if metadata.get("namespace"):
            involved["namespace"] = metadata["namespace"]
        series = _Series(
            name=_name(obj, key, moment),
            # Events about cluster-scoped objects live where kubectl looks for them.
            namespace=metadata.get("namespace") or "default",
            involved=involved,
            first=moment,
            last=moment,
            expires=self._clock.monotonic() + WINDOW,
            again=again,
        )
        self._series[key] = series
        self._series.move_to_end(key)
        while len(self._series) > SERIES:
            forgotten, _ = self._series.popitem(last=False)
            self._waiting.pop(forgotten, None)
        return series

    def _enqueue(self, key: _Key, series: _Series, now: float) -> None:
        if not self._spend(key.uid, now):
            self._drop(Dropped.RATE)
            if not series.written and key != self._under_way:
                # So that the next one, if there are tokens then, starts with an honest count.
                self._series.pop(key, None)
            return
        self._waiting[key] = None
        if len(self._waiting) > CAPACITY:
            oldest, _ = self._waiting.popitem(last=False)
            if not self._series[oldest].written:
                del self._series[oldest]
            self._drop(Dropped.CAPACITY)
        self._idle.clear()
        self._wake.set()

    def _spend(self, uid: str, now: float) -> bool:
        buckets = self._buckets
        bucket = buckets.setdefault(uid, _Bucket(BURST, now))
        buckets.move_to_end(uid)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled) / REFILL)
        bucket.filled = now
        while len(buckets) > SERIES:
            buckets.popitem(last=False)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    async def _run(self) -> None:
        failures = 0
        while True:
            while not self._waiting:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            key, _ = self._waiting.popitem(last=False)
            self._under_way = key
            delay = await self._deliver(key, self._series[key])
            self._under_way = None
            if delay is None:
                failures = 0
            else:
                await self._clock.sleep(max(delay, min(RETRY_CAP, 0.5 * 2.0 ** min(failures, 16))))
                failures += 1

    async def _deliver(self, key: _Key, series: _Series) -> float | None:
        """Writes one Event; returns how many seconds the API asks to wait if it is to be tried again."""
        try:
            await self._write(key, series)
        except ApiError as error:
            if self._clock.monotonic() < series.expires - WINDOW + _patience(error):
                # Behind the others: one that fails for reasons of its own must not hold them up. They may have had it forgotten.
                self._series.setdefault(key, series)
                self._waiting[key] = None
                return error.after or 0.0
            # In a namespace that is being deleted, for one. An Event is never worth more than a log line.
            self._refused(series, error)
        except Exception:
            log.exception("event could not be written", name=series.name)
            self._drop(Dropped.REFUSED)
        return None

    def _refused(self, series: _Series, error: ApiError) -> None:
        log.warning("event was not written", name=series.name, namespace=series.namespace, error=str(error))
        self._drop(Dropped.REFUSED)

    async def _write(self, key: _Key, series: _Series) -> None:
        if series.written:
            try:
                await self._raise_count(series, series.count)
            except NotFound:
                # The API forgets Events after an hour, or people delete them.
                series.written = False
            else:
                return
        if series.former is not None and await self._take_over(key, series, *series.former):
            return
        try:
            await self._cluster.create(EVENTS.path(series.namespace), self._event(key, series))
        except AlreadyExists:
            await self._continue(series)
        series.written = True

    async def _take_over(self, key: _Key, series: _Series, name: str, message: str, first: str) -> bool:
        """Make an Event of an earlier life this one, and return whether it was there; that has none in place of it no more."""
        path = EVENTS.path(series.namespace, name)
        try:
            there = await self._cluster.get(path)
            found = there.get("firstTimestamp") == first and there.get("message") in (message, key.message)
            if found and there["message"] != key.message:
                changed = {"message": key.message, "count": series.count, "lastTimestamp": _rfc3339(series.last)}
                await self._cluster.merge_patch(path, changed)
        except NotFound:
            found = False
        series.former = None
        if found:
            series.name, series.written = name, True
        return found

    async def _continue(self, series: _Series) -> None:
        """Takes up an Event of this name that is there already."""
        there = await self._cluster.get(EVENTS.path(series.namespace, series.name))
        if series.again:
            # Of what was recorded the first is told again; it is new only if the Event knows nothing of so late a time.
            known = str(there.get("lastTimestamp") or "") >= _rfc3339(series.first)
            series.again, series.written = False, True
            series.count += int(there.get("count") or 1) - known
            if series.count > int(there.get("count") or 1):
                await self._raise_count(series, series.count)
            return
        ours = (there.get("reportingInstance"), there.get("firstTimestamp")) == (self._instance, _rfc3339(series.first))
        if not ours:
            # The other replica or an earlier life of this one began it. Else it is our own, whose answer got lost.
            series.count += int(there.get("count") or 1)
        series.written = True
        await self._raise_count(series, series.count)

    async def _raise_count(self, series: _Series, count: int) -> None:
        path = EVENTS.path(series.namespace, series.name)
        await self._cluster.merge_patch(path, {"count": count, "lastTimestamp": _rfc3339(series.last)})

    def _event(self, key: _Key, series: _Series) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": series.name, "namespace": series.namespace},
            "involvedObject": series.involved,
            "type": key.type.value,
            "reason": key.reason,
            "message": key.message,
            "count": series.count,
            "firstTimestamp": _rfc3339(series.first),
            "lastTimestamp": _rfc3339(series.last),
            "source": {"component": COMPONENT, "host": self._instance},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }

    def _drop(self, why: Dropped) -> None:
        if self._on_drop is not None:
            self._on_drop(why)


def _name(obj: Mapping[str, Any], key: _Key, moment: datetime) -> str:
    content = "\0".join((key.uid, key.type.value, key.reason, key.message, str(int(moment.timestamp() // WINDOW))))
    # 253 is the limit of a name; the digest alone makes it unique.
    return f"{obj['metadata']['name'][:230]}.{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _patience(error: ApiError) -> float:
    """For how many seconds after it was recorded an Event that met this error is tried again."""
    if isinstance(error, Unavailable | TooManyRequests | Conflict | Fenced):
        # A leader whose lease could not be renewed in time writes again where nobody else has taken it; else its process ends.
        return WINDOW
    if isinstance(error, Forbidden | Unauthorized) and not any(cause.reason == TERMINATING for cause in error.causes):
        return REFUSALS
    return 0.0


def _cut(message: str) -> str:
    """The message within the API's limit, which counts bytes; a character is never cut in two."""
    encoded = message.encode()
    if len(encoded) <= MESSAGE_BYTES:
        return message
    ellipsis = "…"
    return encoded[: MESSAGE_BYTES - len(ellipsis.encode())].decode(errors="ignore") + ellipsis


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
