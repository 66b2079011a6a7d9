"""Every refusal of the API has a kind, which also says what the worker does about it."""

from typing import Any

import pytest

from tidegate.cluster import errors
from tidegate.cluster.errors import ApiError, Cause, Conflict, Forbidden, Invalid, TooManyRequests, error_of
from tidegate.runtime.errors import Outcome, outcome_of, retry_after

PATH = "/apis/apps/v1/namespaces/shop/deployments/a"


def refused(code: int, reason: str = "", **fields: Any) -> ApiError:
    return error_of({"kind": "Status", "code": code, "reason": reason, **fields}, verb="patch", path=PATH)


@pytest.mark.parametrize(
    ("code", "reason", "kind", "outcome"),
    [
        (400, "BadRequest", ApiError, Outcome.BUG),
        (401, "Unauthorized", errors.Unauthorized, Outcome.RETRY),
        (403, "Forbidden", errors.Forbidden, Outcome.RETRY),
        (404, "NotFound", errors.NotFound, Outcome.RETRY),
        (409, "Conflict", errors.Conflict, Outcome.RETRY),
        (409, "AlreadyExists", errors.AlreadyExists, Outcome.RETRY),
        (410, "Expired", errors.Expired, Outcome.RETRY),
        (415, "UnsupportedMediaType", ApiError, Outcome.BUG),
        (422, "Invalid", errors.Invalid, Outcome.TERMINAL),
        (429, "TooManyRequests", errors.TooManyRequests, Outcome.RETRY),
        (500, "InternalError", errors.Unavailable, Outcome.RETRY),
        (500, "ServerTimeout", errors.ServerTimeout, Outcome.RETRY),
        (503, "", errors.Unavailable, Outcome.RETRY),
        (504, "Timeout", errors.ServerTimeout, Outcome.RETRY),
    ],
)
def test_kinds(code: int, reason: str, kind: type[ApiError], outcome: Outcome):
    """Status and reason decide the kind; the kind decides whether the pass is tried again."""
    error = refused(code, reason, message="words")

    assert kind is type(error)
    assert outcome is outcome_of(error)


def test_error_says_what_was_asked():
    """Verb, object and the API's words; the parts are there for machines."""
    error = refused(409, "Conflict", message="words")

    assert "patch deployments.apps a in shop: words" == str(error)
    assert (409, "Conflict", "words", "patch") == (error.status, error.reason, error.message, error.verb)


def test_forbidden_names_the_permission():
    """A status can tell which rule is missing."""
    error = refused(403, "Forbidden")

    assert isinstance(error, Forbidden)
    assert "patch deployments.apps in shop" == error.permission
    assert retry_after(error) is None


def test_invalid_names_the_fields():
    """The causes say which fields are wrong."""
    causes = [{"reason": "FieldValueInvalid", "field": "spec.replicas", "message": "must not be negative"}]
    error = refused(422, "Invalid", details={"causes": causes})

    assert isinstance(error, Invalid)
    assert Outcome.TERMINAL is outcome_of(error)
    assert (Cause("FieldValueInvalid", "spec.replicas", "must not be negative"),) == error.causes


def test_json_patch_that_does_not_fit_is_a_lost_race():
    """Nothing is wrong with the object: someone else was faster. The API gives no causes for it."""
    words = "the server rejected our request due to an error in our request"
    error = refused(422, "Invalid", message=words, details={})

    assert isinstance(error, Conflict)
    assert "does not fit the object any more" in error.message


def test_long_words_are_cut():
    """Some refusals quote the whole object."""
    assert 1000 == len(refused(400, "BadRequest", message="x" * 5000).message)


def test_patience_that_the_api_asks_for():
    """`Retry-After` reaches the worker; without it a second is assumed."""
    asked = refused(429, "TooManyRequests", details={"retryAfterSeconds": 7})

    assert isinstance(asked, TooManyRequests)
    assert 7.0 == asked.retry_after == retry_after(asked)
    assert 1.0 == retry_after(refused(429))
    assert 3.0 == retry_after(refused(503, details={"retryAfterSeconds": 3}))
    assert retry_after(refused(409, "Conflict")) is None


def test_status_without_words():
    """There is always something to show."""
    assert "patch deployments.apps a in shop: HTTP 502" == str(refused(502))
