"""The HTTP API as an application: who asks, how often, with what, and in which words they are answered."""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import Any, Final, TypeVar

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from tidegate import __version__
from tidegate.api.base import plain
from tidegate.api.decision import Action
from tidegate.api.wrong import problems_of
from tidegate.cluster.callers import as_caller
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, TooManyRequests, Unauthorized, Unavailable
from tidegate.runtime.clock import Clock
from tidegate.serve import actions
from tidegate.serve.bodies import (
    A_LABEL,
    A_NAME,
    LONGEST_NAME,
    WORDS,
    Decide,
    Decided,
    Health,
    ManyRollouts,
    OneDecision,
    OneRollout,
    Prepare,
    Problem,
    Promote,
    Refusal,
    Rollback,
    Rollout,
)
from tidegate.serve.limits import Buckets, Rate
from tidegate.serve.openapi import document
from tidegate.serve.refusals import UNAUTHORIZED, Refused, refused
from tidegate.serve.stored import UnreadableError
from tidegate.serve.turns import Turns
from tidegate.serve.views import is_id

audit = structlog.get_logger("tidegate.audit")
log = structlog.get_logger(__name__)

LARGEST_BODY = 16 * 1024
LONGEST_TOKEN = 16 * 1024
MOST_PROBLEMS = 8
"""Fields of a body of which it is said what is wrong with them."""
SECONDS = 12.0
"""That a request may take."""
TURN_SECONDS = 6.0
"""That it may wait for its turn to ask the API server; whoever has none by then is told so, and the rest is for those who have."""
CALLER = Rate(per_second=10.0, burst=40.0)
"""Of one token."""
STRANGER = Rate(per_second=1.0, burst=20.0)
"""Of one address, for tokens that the API server has not vouched for: nobody tries tokens here faster than that."""
TENANT = "X-Tenant-Slug"
REQUEST_ID = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_B = TypeVar("_B", bound=BaseModel)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_IDENTITY: Final = web.RequestKey("identity", str)
_ID: Final = web.RequestKey("id", str)
_TOLD: Final = web.RequestKey("told", dict[str, str])


class Stage(Enum):
    """How far a request has come: what was done of it if no time is left."""

    COMES = auto()
    """Its body is read."""
    WAITS = auto()
    """For its turn."""
    ASKS = auto()
    """The API server."""


_STAGE: Final = web.RequestKey("stage", Stage)
VOUCHED_SECONDS = 300.0
"""For so long a token that the API server has known is asked for by its own bucket."""
MOST_VOUCHED = 1024


@dataclass
class Service:
    """The HTTP API.

    Attributes:
        cluster: the API server, asked as whoever asks us.
        clock: the time.
    """

    cluster: Cluster
    clock: Clock

    def __post_init__(self) -> None:
        self._callers, self._strangers = Buckets(CALLER), Buckets(STRANGER)
        self._turns = Turns()
        self._vouched: dict[str, float] = {}
        self._document = orjson.dumps(document(__version__))

    def application(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._answer], client_max_size=LARGEST_BODY)
        app.router.add_get("/health", self._health)
        app.router.add_get("/openapi.json", self._openapi)
        for path in ("/api/releases", "/api/releases/"):
            app.router.add_get(path, self._list)
        app.router.add_post("/api/releases/prepare", self._prepare)
        app.router.add_post("/api/releases/promote", self._promote)
        app.router.add_post("/api/releases/rollback", self._rollback)
        app.router.add_post("/api/releases/decide", self._decide)
        # What is a word of its own is no Release there, or the path would have a method that its document lacks.
        app.router.add_get(f"/api/releases/{{release_id:(?!(?:{'|'.join(WORDS)})$)[^/]+}}", self._show)
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer each request in one form, and write down each that was to change something."""
        given = request.headers.get(REQUEST_ID, "")
        request[_ID] = given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        try:
            async with asyncio.timeout(SECONDS):
                response = await handler(request)
        except Refused as error:
            response = self._refusal(request, error)
        except ApiError as error:
            response = self._refusal(request, refused(error))
        except TimeoutError:
            response = self._refusal(request, _late(request))
        except web.HTTPException as error:
            response = self._refusal(request, _of_http(error, request))
        except UnreadableError as error:
            log.error("what the API server has answered cannot be read", request_id=request[_ID], what=str(error))  # noqa: TRY400
            words = f"what the API server has answered is not as it should be ({error})"
            response = self._refusal(request, Refused(502, "unreadable", words))
        except Exception:
            log.exception("a request has failed", request_id=request[_ID])
            response = self._refusal(
                request, Refused(500, "internal", "a fault of the HTTP API itself; its log has the request id")
            )
        response.headers[REQUEST_ID] = request[_ID]
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if request.method == "POST":
            self._audit(request, response)
        return response

    def _audit(self, request: web.Request, response: web.StreamResponse) -> None:
        said = {
            "request_id": request[_ID],
            "path": plain(request.path, 64),
            "namespace": plain(request.headers.get(TENANT) or request.query.get("namespace", ""), LONGEST_NAME),
            "status": response.status,
            "remote": request.remote,
            # Not the token, nor enough of its digest to try tokens against: which requests have the same one.
            "token": request.get(_IDENTITY, "")[:8],
        }
        audit.info("request", **said, **request.get(_TOLD, {}))

    def _refusal(self, request: web.Request, error: Refused) -> web.Response:
        problem = Problem(code=error.code, message=plain(error.message, 1024), request_id=request[_ID])
        return _json(Refusal(error=problem), error.status, error.headers)

    async def _as_caller(self, request: web.Request, do: Callable[[], Awaitable[Any]], *, lists: bool) -> Any:
        """Do something with the token of whoever asks, in their turn.

        Args:
            request: who asks, and what.
            do: asks the API server.
            lists: it reads all Releases of a namespace.
        """
        token = _token(request)
        identity = hashlib.sha256(token.encode()).hexdigest()
        request[_IDENTITY] = identity
        now, peer = self.clock.monotonic(), request.remote or ""
        vouched = now - self._vouched.get(identity, float("-inf")) < VOUCHED_SECONDS
        wait = self._callers.take(identity, now) if vouched else self._strangers.take(peer, now)
        if wait:
            again = {"Retry-After": str(max(1, round(wait)))}
            raise Refused(429, "too_many_requests", f"too many requests: ask again in {max(1, round(wait))} s", again)
        request[_STAGE] = Stage.WAITS
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    await held.enter_async_context(self._turns.of(identity, lists=lists, changes=request.method == "POST"))
            except TimeoutError:
                raise _late(request) from None
            request[_STAGE] = Stage.ASKS
            with as_caller(token):
                try:
                    found = await do()
                except ApiError as error:
                    if isinstance(error, Unauthorized):
                        self._vouched.pop(identity, None)
                    elif not isinstance(error, Unavailable | TooManyRequests):
                        # Whoever is refused is known; where nothing was answered, nobody has been looked at.
                        self._vouch(identity, now)
                    raise
        self._vouch(identity, now)
        return found

    def _vouch(self, identity: str, now: float) -> None:
        self._vouched.pop(identity, None)
        self._vouched[identity] = now
        while len(self._vouched) > MOST_VOUCHED:
            del self._vouched[next(iter(self._vouched))]

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")

    async def _health(self, request: web.Request) -> web.Response:
        releases = None
        named = TENANT in request.headers or "namespace" in request.query
        namespace = _namespace(request) if named or "Authorization" in request.headers else ""
        if "Authorization" in request.headers:
            releases = await self._as_caller(request, lambda: actions.health_of(self.cluster, namespace), lists=True)
        return _json(Health(status="ok", version=__version__, releases=releases))

    async def _list(self, request: web.Request) -> web.Response:
        namespace = _namespace(request)
        found = await self._as_caller(request, lambda: actions.listed(self.cluster, namespace), lists=True)
        return _json(ManyRollouts(data=tuple(found)))

    async def _show(self, request: web.Request) -> web.Response:
        namespace, wanted = _namespace(request), request.match_info["release_id"]
        if len(wanted) > LONGEST_NAME or not (is_id(wanted) or A_NAME.fullmatch(wanted)):
            raise Refused(404, "not_found", "release_id: neither the id of a rollout nor the name of a Release")
        found = await self._as_caller(request, lambda: actions.shown(self.cluster, namespace, wanted), lists=is_id(wanted))
        return _json(OneRollout(data=found))

    async def _prepare(self, request: web.Request) -> web.Response:
        namespace, asked = _namespace(request), await _body(request, Prepare)
        done = await self._as_caller(request, lambda: actions.prepared(self.cluster, namespace, asked), lists=True)
        return _json(OneRollout(data=done.rollout), done.status)

    async def _promote(self, request: web.Request) -> web.Response:
        namespace, asked = _namespace(request), await _body(request, Promote)
        status, found = await self._as_caller(
            request, lambda: actions.promoted(self.cluster, namespace, asked), lists=is_id(asked.release_id)
        )
        return _json(OneRollout(data=found), status) if isinstance(found, Rollout) else self._made(request, found)

    async def _rollback(self, request: web.Request) -> web.Response:
        namespace, asked = _namespace(request), await _body(request, Rollback)
        found = await self._as_caller(
            request, lambda: actions.rolled_back(self.cluster, namespace, asked), lists=is_id(asked.release_id)
        )
        return self._made(request, found)

    async def _decide(self, request: web.Request) -> web.Response:
        namespace, asked = _namespace(request), await _body(request, Decide)
        found = await self._as_caller(
            request, lambda: actions.decided(self.cluster, namespace, asked), lists=is_id(asked.root.release_id)
        )
        return self._made(request, found)

    @staticmethod
    def _made(request: web.Request, found: Decided) -> web.Response:
        request[_TOLD] = {"decision": found.decision, "action": found.action.value, "by": found.by or ""}
        return _json(OneDecision(data=found), 201)


def _json(answer: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    body = orjson.dumps(answer.model_dump(mode="json", exclude_none=True))
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "unauthorized", "give the token of your account: Authorization: Bearer TOKEN", UNAUTHORIZED)
    if len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        raise Refused(401, "unauthorized", "what stands in Authorization is no token (RFC 6750)", UNAUTHORIZED)
    return token


def _namespace(request: web.Request) -> str:
    """Return the namespace that is meant, by the header or in the query."""
    given: set[str] = {*request.headers.getall(TENANT, ()), *request.query.getall("namespace", ())}
    if len(given) != 1:
        lacking = f"give the namespace, in the query (namespace=shop) or in the header {TENANT}"
        raise Refused(400, "bad_request", f"namespace: {len(given)} are given, in the query and {TENANT}" if given else lacking)
    namespace = given.pop()
    if len(namespace) > LONGEST_NAME or not A_LABEL.fullmatch(namespace):
        raise Refused(400, "bad_request", "namespace: it is not the name of one")
    return namespace


async def _body(request: web.Request, kind: type[_B]) -> _B:
    if request.content_type != "application/json":
        raise Refused(415, "unsupported_media_type", "the body must be JSON (Content-Type: application/json)")
    raw = await request.read()
    try:
        # Strictly, as the document says: a text is no number, and "yes" is not true.
        return kind.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise Refused(422, "invalid", "; ".join(islice(problems_of(error, leave_out=tuple(Action)), MOST_PROBLEMS))) from None


def _late(request: web.Request) -> Refused:
    """Return what is answered where the time is up: what may be done, and what is not."""
    stage = request.get(_STAGE, Stage.COMES)
    if stage is Stage.COMES:
        return Refused(408, "timeout", f"the request did not come within {SECONDS:.0f} s; nothing was done")
    if stage is Stage.WAITS:
        wait = max(1, round(TURN_SECONDS))
        words = f"other requests have taken all turns, or all of this token's; nothing was done: ask again in {wait} s"
        return Refused(503, "busy", words, {"Retry-After": str(wait)})
    words = f"no answer from the API server within {SECONDS:.0f} s; what was asked may be done: look before you repeat it"
    return Refused(504, "timeout", words)


def _of_http(error: web.HTTPException, request: web.Request) -> Refused:
    words = {
        404: f"there is no {request.method} {plain(request.path, 128)} here; /openapi.json has what there is",
        405: f"{request.method} is not for this path",
        413: f"the body has more than {LARGEST_BODY} bytes",
    }.get(error.status, error.reason)
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Refused(error.status, {404: "not_found", 413: "too_large"}.get(error.status, "bad_request"), words, allow)
