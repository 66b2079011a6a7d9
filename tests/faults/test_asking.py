"""The account of requests: a way up with all of them is told, and then again with one thing wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from faults.asking import ANSWER, ASKED, FAILS, HANGS, RECOVERS, TRAP, WELL, Counted, Endpoint, Request, asks, check, wrong
from faults.place import Place
from faults.test_oracle import Tale, serving

HANGING = (asks("load", "100%", HANGS, retries=1, onFailure="Reject"),)


class Way(Tale):
    """A namespace with an endpoint."""

    def __init__(self) -> None:
        super().__init__()
        vars(self).update(vars(serving()))
        self.endpoint, self._checks = Endpoint(), dict[str, dict[str, Any]]()

    def asked(
        self, key: str, status: int, path: str = WELL, *, lasted: float = 0.0, later: float = 0.0, version: str = "v2"
    ) -> None:
        """A request has come just now, and was answered."""
        began = time.time() - lasted + later
        self.endpoint.requests.append(Request(key, path, key.partition("-")[0], version, began, began + lasted, status))

    def stored(self, key: str, result: str = "Running", attempt: int = 1) -> None:
        """The status has a check by a request, beside those that it had."""
        name = key.partition("-")[0]
        self._checks[name] = {"name": name, "hook": "POST broker/", "job": key, "attempt": attempt, "result": result}
        self.status(0, checks=list(self._checks.values()))

    def passes(self, key: str, path: str = WELL, attempt: int = 1) -> None:
        """A check is asked, and passes."""
        self.stored(key, attempt=attempt)
        self.asked(key, 200, path)
        self.stored(key, "Passed", attempt)

    def starts(self) -> None:
        """The first pod of the new version comes."""
        self.tell("Pod", "hash2-0", spec={"containers": [{"image": "checkout:v2"}]})


def found(way: Way, checks: tuple[Any, ...] = ASKED, lives: int = 1) -> set[str]:
    """Return the names of the invariants that do not hold."""
    place = Place(None, None, "shop", way.recorder, None, way.prometheus, endpoint=way.endpoint)  # type: ignore[arg-type]
    place.operators = [SimpleNamespace(starts=lives)]  # type: ignore[list-item]
    return {*check(place, checks, since=0)}


def up() -> Way:
    """v2 has passed all that it needs, one of them at the second attempt, and has half of the traffic."""
    way = Way()
    way.passes("contract-1")
    way.starts()
    way.stored("load-1")
    way.asked("load-1", 503, RECOVERS)
    way.passes("load-2", RECOVERS, attempt=2)
    way.route(stable=50, canary=50)
    return way


def test_orderly_way_is_fine() -> None:
    """Also what fails after the rollout, and what an operator asks once more that has died before the answer was stored."""
    way = up()
    way.passes("trial-1")
    way.route(stable=0, canary=100)
    way.stored("notes-1")
    way.asked("notes-1", 503, FAILS)
    way.asked("notes-1", 503, FAILS)
    way.stored("notes-1", "Failed")

    assert set() == found(way, lives=2)
    assert {"asked-once"} == found(way, lives=1)


@pytest.mark.parametrize(
    ("wrong_thing", "seen"),
    [
        (lambda way: way.route(stable=0, canary=100), "checked"),
        (lambda way: (way.stored("trial-1"), way.route(stable=0, canary=100)), "checked"),
        (lambda way: (way.stored("trial-1"), way.asked("trial-1", 503), way.stored("trial-1", "Passed")), "answers-count"),
        (lambda way: (way.stored("trial-1"), way.stored("trial-1", "Failed")), "answers-count"),
        (lambda way: (way.passes("trial-1"), way.stored("trial-1", "Failed")), "answers-count"),
        (lambda way: (way.stored("trial-1"), way.asked("trial-1", 503), way.stored("trial-2", attempt=2)), "attempts"),
        (lambda way: way.asked("load-2", 200, RECOVERS, later=3), "asked-no-more"),
        (lambda way: way.asked("load-9", 200, RECOVERS), "asked-as-stored"),
        (lambda way: (way.stored("trial-1"), way.asked("trial-1", 200, version="v1")), "asked-as-stored"),
        (lambda way: way.asked("contract-1", 200, TRAP), "not-followed"),
    ],
)
def test_what_must_not_be_is_seen(wrong_thing: Callable[[Way], Any], seen: str) -> None:
    """Each by its name."""
    way = up()
    wrong_thing(way)

    assert seen in found(way, lives=9)


def test_an_attempt_that_has_not_failed_is_no_reason_for_the_next() -> None:
    """One that was given up because its operator died may not count: nobody knows what would have come of it."""
    for lasted, counts in ((0.1, {"answers-count"}), (ANSWER, set())):
        way = Way()
        way.stored("load-1")
        way.asked("load-1", 0, HANGS, lasted=lasted)
        way.stored("load-2", attempt=2)

        assert counts == found(way, HANGING)


def test_two_that_begin_the_same_attempt_ask_as_often_as_there_are_operators() -> None:
    """What one that died had begun may come in after the next one has begun it anew, with another key."""
    way = Way()
    way.stored("contract-1")
    way.stored("contract-9")
    way.asked("contract-9", 200)
    way.stored("contract-9", "Passed")

    assert set() == found(way, lives=2)


def test_pods_come_after_what_is_asked_at_the_start() -> None:
    way = Way()
    way.starts()

    assert {"checked"} == found(way)


def test_what_was_never_asked_has_not_passed() -> None:
    way = Way()
    way.stored("contract-1", "Passed")
    account = Counted(ASKED, [])
    account.passed = {"contract-1": 0.0}

    assert "answers-count" in found(way)
    assert ["asked"] == [invariant for invariant, _ in wrong([], account, 1)]
