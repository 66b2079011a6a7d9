"""What is told of a run can be told again from its numbers, and what is kept of it is small."""

from __future__ import annotations

from faults import report
from faults.oracle import Violation
from faults.plan import Injection
from faults.runner import Result
from faults.writes import Asked, Kind

ROUTE = Kind("patch", "httproutes.gateway.networking.k8s.io")
HALF, AGAIN, SHUT = Asked(ROUTE, "-canary=50"), Asked(ROUTE, "-canary=50", 1), Asked(ROUTE, "-canary=0")


def injection(name: str, target: Asked | Kind | None) -> Injection:
    """A fault that is never armed."""
    return Injection(name, lambda armed: None, target=target)


INJECTIONS = (
    injection("promotion/write-1/lost", HALF),
    injection("promotion/write-2/lost", AGAIN),
    injection("breach/write-1/lost", SHUT),
    injection("breach/write-1/late", SHUT),
    injection("breach/patch-httproutes/lost", ROUTE),
)
RESULTS = (
    Result("promotion/write-1/lost", hits=1),
    Result("promotion/write-2/lost", hits=1),
    Result("breach/patch-httproutes/lost", hits=1),
    Result("breach/write-1/late", hits=0),
    Result("burst/shut-1/kill-after", hits=1, violations=[Violation("stays-shut", "it came back")]),
)


def told() -> dict:
    """The report of a short run."""
    names = [result.name for result in RESULTS]
    return report.summary(RESULTS, seconds=12.3, planned=names, writes=report.distinct_writes(INJECTIONS))


def test_writes_count_once_whichever_time_they_say_so():
    """Faults at a whole kind of request, and those that did not strike, have met no write."""
    assert {"all": 2, "met": {"lost": 1}} == told()["writes"]


def test_what_is_kept_is_small():
    """How much was tried, by kind and by journey, and what did not hold."""
    found = report.in_short(told())

    assert {"total", "seconds", "injected", "journeys", "violations"} == set(found)
    assert (4, 12) == (found["total"], found["seconds"])
    assert {"kill-after": 1, "lost": 3} == found["injected"]
    assert {"breach": 1, "burst": 1, "promotion": 2} == found["journeys"]
    assert ["stays-shut"] == [one["invariant"] for one in found["violations"]]


def test_table_has_a_row_for_each_kind():
    """With its mean time and the writes that it has met."""
    lines = report.table(RESULTS, told()["writes"]).splitlines()

    assert lines[0].split()[-4:] == ["s", "of", "2", "writes"]
    assert [line.split()[0] for line in lines[1:]] == ["kill-after", "late", "lost", "all"]


def test_words_name_what_was_violated():
    """In one line each, so that it can be found."""
    assert "VIOLATED burst/shut-1/kill-after (): stays-shut: it came back" in report.words(RESULTS, told())
