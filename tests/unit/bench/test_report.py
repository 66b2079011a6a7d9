"""The bench's results are a list of figures and a page."""

import json
import math
from pathlib import Path

from bench.measure import Figure, bench, median
from bench.report import Section, keep, kept, minutes, table, write_json, write_page
from bench.rollouts import Rollouts, with_fault

from tidegate.backtest.traffic import Traffic

GOOD = Figure("false alarms in %", 0.4, 1.0)
BAD = Figure("median seconds", 70.0, 60.0, "a reason")
PRINTED = Figure("median seconds, another tool", math.inf)
SECTION = Section("A title", "How to read it.", table(["a", "b"], [["1", "2"]]), [GOOD, BAD, PRINTED])


def test_each_figure_says_whether_it_holds(tmp_path: Path) -> None:
    """What is only printed has no limit, and what never happened is said in words, since JSON has no infinite numbers."""
    path = tmp_path / "results" / "judge.json"

    write_json([SECTION], path)

    assert [
        {"cell": "false alarms in %", "measured": 0.4, "limit": 1.0, "holds": True},
        {"cell": "median seconds", "measured": 70.0, "limit": 60.0, "holds": False, "note": "a reason"},
        {"cell": "median seconds, another tool", "measured": "never", "limit": None, "holds": None},
    ] == json.loads(path.read_text())


def test_the_page_begins_with_what_does_not_hold(tmp_path: Path) -> None:
    """With the reason; then come the tables."""
    path = tmp_path / "page.md"

    write_page([SECTION], path, setting="On a machine.")

    page = path.read_text()
    assert "1 of 2 figures that have a limit are within it. These are not:" in page
    assert page.index("| median seconds | 70 | 60 | a reason |") < page.index("## A title") < page.index("| 1 | 2 |")


def test_a_page_on_which_all_holds_says_so(tmp_path: Path) -> None:
    """There is no empty table then."""
    path = tmp_path / "page.md"

    write_page([Section("A title", "", [], [GOOD, PRINTED])], path, setting="")

    assert "All 1 figures that have a limit are within it." in path.read_text()


def test_parts_are_kept_for_the_next_run(tmp_path: Path) -> None:
    """A part that a run leaves out is written again as it was; one that was never run is left out."""
    path = tmp_path / "parts" / "speed.json"

    keep(SECTION, path)

    assert SECTION == kept(path)
    assert kept(tmp_path / "none.json") is None


def test_times_are_written_as_people_say_them() -> None:
    """Seconds below two minutes; what never happened has no number."""
    assert ["65 s", "8.5 min", "never"] == [minutes(65), minutes(510), minutes(math.inf)]


def test_the_median_counts_what_never_happened() -> None:
    """Infinite values are the greatest."""
    assert (2.0, 2.5, math.inf) == (median([math.inf, 1, 2]), median([4, 1, 2, 3]), median([math.inf, 1, math.inf]))


def test_rollouts_are_judged_in_worker_processes() -> None:
    """Every rollout gives where each judge stopped it; comparators see as many as they are to."""
    job = Rollouts(with_fault(Traffic(rate=3000, duration=300), math.inf), side=5)

    with bench(workers=1, scale=0.1) as runner:
        stops = runner.each("everything fails", job, runner.runs(200))

    assert 20 == len(stops)
    assert all(one["Tidegate"].look in {1, 2} for one in stops)
    assert [6] * 5 + [1] * 15 == [len(one) for one in stops]
