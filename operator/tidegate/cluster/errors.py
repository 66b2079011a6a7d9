"""What the API answers when it does not do what it was asked, as a small family of errors.

Each also belongs to one of the worker's families (`tidegate.runtime.errors`): what may pass by itself is a `Retry`,
what no repetition can mend is a `Terminal`, and the rest (a malformed request) is a bug.
"""

# ruff: noqa: N818 - they are named as the API names its reasons

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.api.base import plain
from tidegate.cluster.resources import Target
from tidegate.runtime.errors import Retry, Terminal

UNFIT_PATCH = "the server rejected our request due to an error in our request"
"""All that the API says of a JSON patch whose `test` failed or whose path is gone (422, no causes; verified on 1.36). An
object that is really invalid comes with causes, and the refusal of an admission webhook with its words."""
MESSAGE_LENGTH = 1000
"""Characters of the API's words that are kept; some answers quote the whole object."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause that the API gives.

    Attributes:
        reason: such as `FieldValueInvalid` or `FieldManagerConflict`.
        field: path of the field it is about; may be empty.
        message: in words.
    """

    reason: str
    field: str
    message: str


class ApiError(Exception):
    """A request that failed.

    Attributes:
        status: HTTP status; 0 if there was no answer.
        reason: the API's machine-readable reason, such as `NotFound`; may be empty.
        message: the API's words.
        details: the `details` of the API's Status object.
        verb: what was asked, in RBAC's terms: get, list, watch, create, update, patch, delete.
        path: path of the request.
    """

    def __init__(
        self, status: int, reason: str, message: str, *, verb: str, path: str, details: Mapping[str, Any] | None = None
    ) -> None:
        # Not super().__init__: the worker's families have constructors of their own, whose attributes are set here too.
        Exception.__init__(self, f"{verb} {Target.of(path)}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.verb = verb
        self.path = path
        self.after: float | None = self._after()

    @property
    def target(self) -> Target:
        """What the request was about."""
        return Target.of(self.path)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The causes that the API gives, such as the fields that are invalid or that another manager owns."""
        return tuple(
            Cause(cause.get("reason", ""), cause.get("field", ""), cause.get("message", ""))
            for cause in self.details.get("causes") or ()
        )

    def _after(self) -> float | None:
        seconds = self.details.get("retryAfterSeconds")
        return float(seconds) if seconds else None


class NotFound(ApiError, Retry):
    """No such object, or no such resource (404): what the pass saw is outdated."""


class AlreadyExists(ApiError, Retry):
    """An object of that name exists (409): what the pass saw is outdated."""


class Conflict(ApiError, Retry):
    """A precondition did not hold or a JSON patch does not fit, or another field manager owns a field (409, 422)."""


class Unauthorized(ApiError, Retry):
    """The API does not know who we are (401), even after the credentials were read again."""


class Forbidden(ApiError, Retry):
    """A permission is missing, or admission refused (403).

    An API server that has just started says so for a second, until it has read its roles: the first tries come quickly.
    """

    @property
    def permission(self) -> str:
        """What is (most likely) missing, in words for a status: `patch deployments.apps in shop`."""
        return f"{self.verb} {Target(self.target.resource, self.target.namespace)}"


class Invalid(ApiError, Terminal):
    """The API refused the object (422): `causes` name the fields."""


class Expired(ApiError, Retry):
    """The resourceVersion or the continue token is too old (410): only a new list helps."""


class TooManyRequests(ApiError, Retry):
    """The API asks for patience (429)."""

    @property
    def retry_after(self) -> float:
        """Seconds that the API asks to wait; 1.0 where it does not say."""
        return self.after or 1.0

    def _after(self) -> float | None:
        return super()._after() or 1.0


class Unavailable(ApiError, Retry):
    """No answer, or none that says anything about the request (connection, 5xx). A write may have been done or not."""


class Fenced(ApiError, Retry):
    """A write that was not sent, because another process leads or may lead by now."""


class ServerTimeout(Unavailable):
    """The API gave up on the request in time (504, or 500 with reason ServerTimeout or Timeout)."""


class Silent(Unavailable):
    """A watch on which nothing was heard for longer than the API would stay silent."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
    504: ServerTimeout,
}


def error_of(status: Mapping[str, Any], *, verb: str, path: str) -> ApiError:
    """The error that a Status object stands for, as the body of an answer or as the object of a watch's ERROR event.

    Args:
        status: the Status; `code` must be there.
        verb: what was asked.
        path: path of the request.
    """
    code, reason = int(status["code"]), str(status.get("reason") or "")
    details = status.get("details") or {}
    family = _BY_STATUS.get(code) or (Unavailable if code >= 500 else ApiError)
    if reason == "AlreadyExists":
        family = AlreadyExists
    elif reason in {"ServerTimeout", "Timeout"}:
        family = ServerTimeout
    message = str(status.get("message") or reason or f"HTTP {code}")
    if family is Invalid and message == UNFIT_PATCH:
        family, message = Conflict, "the patch does not fit the object any more: a test failed or a path is gone"
    return family(code, reason, plain(message, MESSAGE_LENGTH), verb=verb, path=path, details=details)
