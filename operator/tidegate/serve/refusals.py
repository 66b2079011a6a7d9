"""Why a request is not carried out, as an answer: the verdict, its cause, and what to do, never more than the caller may know."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidegate.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)


# Not frozen, although nobody changes one: whatever raises an exception again sets its traceback.
@dataclass(eq=False)
class Refused(Exception):  # noqa: N818 - it is an answer
    """A request that is not carried out.

    Attributes:
        status: HTTP status.
        code: for machines.
        message: in words.
        headers: of the answer.
    """

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)


_CODES: tuple[tuple[type[ApiError], int, str], ...] = (
    (Unauthorized, 401, "unauthorized"),
    (Forbidden, 403, "forbidden"),
    (NotFound, 404, "not_found"),
    (AlreadyExists, 409, "conflict"),
    (Conflict, 409, "conflict"),
    (Invalid, 422, "invalid"),
    (TooManyRequests, 429, "too_many_requests"),
    (Unavailable, 503, "unavailable"),
)
UNAUTHORIZED = {"WWW-Authenticate": 'Bearer realm="tidegate"'}


def refused(error: ApiError) -> Refused:
    """Return what is answered where the API server has refused what the caller's token asked for."""
    status, code = next(((status, code) for kind, status, code in _CODES if isinstance(error, kind)), (502, "bad_gateway"))
    if status == 401:
        return Refused(
            401, code, "the API server does not know this token: it is wrong, has expired, or is for another audience", UNAUTHORIZED
        )
    again = {"Retry-After": str(max(1, round(error.after or 1)))} if status in (429, 503) else {}
    return Refused(status, code, str(error), again)
