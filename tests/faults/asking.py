"""Checks by requests: whoever dies at whichever write, each answer counts once, and no weight comes before its own.

The endpoint lives in the tests' process, so it outlives every operator that is killed. What it was asked, and what it has answered,
is held against what the API server has stored: a request is made at least once, and what was stored of it counts.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from e2e.manifests import NAME, Json
from e2e.world import canary_share
from faults.recorder import Instant, instants
from faults.standing import status_of

if TYPE_CHECKING:
    from faults.place import Place

HOOK, VERSION = "broker", "v2"
"""Name of the hook in the operators' configuration, and the version that is checked."""
ANSWER, PATIENT = 2.0, 30.0
"""Seconds that an answer may take which never comes, and one that comes, on a machine that is busy. A request that was given up
before half of them were over was not: its operator has died."""
WELL, FAILS, RECOVERS, HANGS, ELSEWHERE = "/well", "/fails", "/recovers", "/hangs", "/elsewhere"
"""What there is to ask: one answers 503, one does so the first time only, one never, and one sends everybody to `TRAP`."""
TRAP = "/trap"
"""Where nobody who is sent there may go."""
AFTER = ("Promoted", "RolledBack")
KNOWN = 2.0
"""Seconds in which one that has just started need not know what its predecessor wrote last: that may have come in after it."""
Told = Iterator[tuple[str, str]]
"""What must not be: which invariant, and what was seen."""


def asks(name: str, at: str, path: str, *, method: str = "POST", expect: Json | None = None, **more: Any) -> Json:
    """Return a check by a request, as a policy has it."""
    called = {"hook": HOOK, "path": path, "method": method} | ({"expect": expect} if expect else {})
    return {"name": name, "at": at, "http": called, "timeout": f"{_longest(path):g}s", **more}


def _longest(path: str) -> float:
    return ANSWER if path == HANGS else PATIENT


ASKED = (
    asks("contract", "Start", WELL),
    asks("load", "50%", RECOVERS, retries=1, onFailure="Reject"),
    asks("trial", "100%", WELL, method="GET", expect={"status": [200], "json": {"path": "summary.passed", "equals": "true"}}),
    asks("notes", "Promoted", FAILS),
)
"""The version takes over, and what comes to nothing after that is told."""
IN_VAIN = (
    asks("mirror", "Start", ELSEWHERE, onFailure="Warn"),
    asks("load", "100%", HANGS, retries=1, onFailure="Reject"),
    asks("notes", "RolledBack", WELL),
)
"""The first only warns; for the second the version is taken back from half of the traffic."""
REFUSED = (asks("contract", "50%", FAILS, retries=1, onFailure="Reject"),)
"""The version never gets any traffic."""


@dataclass
class Request:
    """One request that has come.

    Attributes:
        key: its `Idempotency-Key`.
        path: what was asked.
        check: as it says itself.
        version: likewise.
        began: when it came (time.time).
        ended: when it was answered, or given up.
        status: of its answer; 0 where it has none.
    """

    key: str
    path: str
    check: str
    version: str
    began: float
    ended: float = math.inf
    status: int = 0

    @property
    def is_well(self) -> bool:
        """Whether its answer was as it is to be."""
        return self.status == 200

    def has_failed(self, by: float) -> bool:
        """Whether it had come to nothing by a moment: by its answer, or because there was none for as long as one may take."""
        if self.status:
            return not self.is_well and self.began <= by
        return min(self.ended, by) - self.began >= _longest(self.path) / 2


@dataclass
class Endpoint:
    """What checks ask, in the tests' own process."""

    requests: list[Request] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, namespace: str) -> Json:
        """Listen; return what an operator's configuration has as `hooks`."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        # One that is given up is to end then, and not when it would have been answered.
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return {HOOK: {"address": address, "namespaces": [namespace]}}

    async def stop(self) -> None:
        """Listen no more."""
        self._ended.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        began, told = time.time(), await request.json() if request.method == "POST" else dict(request.query)
        key = request.headers.get("Idempotency-Key", "")
        made = Request(key, request.path, told.get("check", ""), told.get("version", ""), began)
        first = all(one.path != made.path for one in self.requests)
        self.requests.append(made)
        try:
            if made.path == HANGS:
                await self._ended.wait()
            made.status = {FAILS: 503, HANGS: 503, ELSEWHERE: 307, RECOVERS: 503 if first else 200}.get(made.path, 200)
        finally:
            made.ended = time.time()
        headers = {"Location": TRAP} if made.path == ELSEWHERE else {}
        return web.json_response({"summary": {"passed": made.is_well}}, status=made.status, headers=headers)


def left(place: Place) -> list[tuple[str, str, str]]:
    """Return what the status has in the end of checks by requests: name, point and result."""
    return sorted((one["name"], one["at"], one["result"]) for one in place.status.get("checks", ()) if one.get("hook"))


async def has_come_to(place: Place, name: str, result: str) -> None:
    """Wait until a check by a request has come to something."""
    await place.until(f"check {name} has {result.lower()}", lambda: (name, result) in {(one[0], one[2]) for one in left(place)})


class Counted:
    """Looks at each change with an account of its own.

    Args:
        checks: of the policy.
        requests: all that have come.

    Attributes:
        attempts: which check each key is of, and its number.
        passed: since when it is stored that a key has passed.
    """

    def __init__(self, checks: Sequence[Json], requests: Sequence[Request]) -> None:
        self._checks = {one["name"]: one for one in checks}
        self._requests = requests
        self._results: dict[str, str] = {}
        self.attempts: dict[str, tuple[str, int]] = {}
        self.passed: dict[str, float] = {}

    def look(self, now: Instant) -> Told:
        """Yield what must not be of what has just happened."""
        if now.seen.type == "DELETED":
            return
        match now.seen.kind, now.seen.name:
            case "Release", name if name == NAME:
                for one in status_of(now).get("checks") or ():
                    if one.get("hook"):
                        yield from self._stored(now, one)
            case "HTTPRoute", name if name == NAME:
                share = canary_share(now.seen.object)
                if share > (canary_share(now.before) if now.before else 0.0):
                    yield from self._rises(share)
            case "Pod", _ if now.seen.type == "ADDED":
                containers = (now.seen.object.get("spec") or {}).get("containers") or ()
                if any(one["image"].endswith(f":{VERSION}") for one in containers):
                    yield from self._rises(0)

    def _stored(self, now: Instant, one: Json) -> Told:
        name, key, by, result, attempt = one["name"], one["job"], now.seen.at, one["result"], one.get("attempt", 1)
        if key not in self.attempts:
            self.attempts[key] = name, attempt
            earlier = [other for other, about in self.attempts.items() if about == (name, attempt - 1)]
            if attempt > 1 and not any(self._came(other, by, well=False) for other in earlier):
                yield "answers-count", f"{name} goes on to attempt {attempt}, and of {earlier} none has failed"
        if self.attempts[key] != (name, attempt) or attempt > 1 + self._checks[name].get("retries", 0):
            yield "attempts", f"{key} is attempt {attempt} of {name}, and was {self.attempts[key]}"
        if result != "Running" and not self._came(key, by, well=result == "Passed"):
            yield "answers-count", f"{name} has {result.lower()} by {key}, and no answer said so"
        if self._results.get(name, result) not in {"Running", result}:
            yield "answers-count", f"{name} had {self._results[name].lower()}, and is {result.lower()}"
        if result == "Passed":
            self.passed.setdefault(key, by)
        self._results[name] = result

    def _came(self, key: str, by: float, *, well: bool) -> bool:
        asked = [one for one in self._requests if one.key == key]
        return any((one.is_well and one.began <= by) if well else one.has_failed(by) for one in asked)

    def _rises(self, share: float) -> Told:
        for name, wanted in self._checks.items():
            if wanted["at"] in AFTER or (wanted["at"] != "Start" and int(wanted["at"].removesuffix("%")) > share):
                continue
            if self._results.get(name) not in {"Passed", *(["Failed"] if wanted.get("onFailure") == "Warn" else [])}:
                yield "checked", f"{VERSION} comes to {share:g}% with {name} {self._results.get(name, 'never asked')}"


def check(place: Place, checks: Sequence[Json], *, since: int) -> Mapping[str, str]:
    """Look at every instant of a journey with requests, and return what must not be, the first of each kind."""
    assert place.endpoint is not None
    requests, found = place.endpoint.requests, dict[str, str]()
    account = Counted(checks, requests)
    for now in instants(place.recorder.changes):
        for invariant, words in account.look(now):
            if now.seen.order > since:
                found.setdefault(invariant, f"{words} (version {now.seen.order}: {now.seen.kind} {now.seen.name})")
    lives = sum(operator.starts for operator in place.operators)
    for invariant, words in wrong(requests, account, lives):
        found.setdefault(invariant, words)
    return found


def wrong(requests: Sequence[Request], account: Counted, lives: int) -> Told:
    """Yield what must not be of what was asked.

    Args:
        requests: all that have come.
        account: of what was stored.
        lives: how many operators there were, one after another or side by side.
    """
    asked: Counter[tuple[str, int]] = Counter()
    for one in requests:
        name, attempt = account.attempts.get(one.key, ("", 0))
        asked[name, attempt] += 1
        if one.path == TRAP:
            yield "not-followed", "somebody went where the answer sent them"
        elif name != one.check or one.version != VERSION:
            yield "asked-as-stored", f"asked was {one}, and stored {account.attempts}"
        since = one.began - account.passed.get(one.key, math.inf)
        if since > KNOWN:
            yield "asked-no-more", f"{one.check} was asked {since:.2f} s after it had passed"
    for (name, attempt), often in asked.items():
        if often > lives:
            yield "asked-once", f"attempt {attempt} of {name} was asked {often} times by {lives} operators"
    for key in account.passed.keys() - {one.key for one in requests}:
        yield "asked", f"{key} has passed, and was never asked"
