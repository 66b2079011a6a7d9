"""A soak's figures tell growth, slowness and wrong ends, and its picture shows them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from bench.scale.__main__ import Options, chosen
from bench.scale.endurance import Ends, Sample, figures
from bench.scale.figures import ROWS
from bench.scale.flow import Journey
from bench.scale.names import APART, GROUPS, SOAK_MINUTES
from bench.scale.picture import ceiling, svg

HALF_HOUR = 1800.0


def sampled(**grown: float) -> list[Sample]:
    """Samples of half an hour, of an operator of which something grows by so much in a minute."""
    plain = {"memory": 200.0, "handles": 20, "threads": 5, "cores": 0.3, "statuses": 6.0, "requests": 20.0}
    plain |= {"queue": 1.0, "oldest": 0.01, "journeys": 60, "replica_sets": 1000}
    times = [10.0 * number for number in range(1, 181)]
    return [Sample(at, **{name: value + grown.get(name, 0) * at / 60 for name, value in plain.items()}) for at in times]


def ended(*, first: float = 0.05, last: float = 0.05, wrong: int = 0) -> Ends:
    """As many breaches in each third, answered in so many seconds."""
    latencies = [(10.0 * number, first if number < 60 else last) for number in range(180)]
    return Ends(latencies, dict.fromkeys(Journey, 0) | {Journey.SUPERSEDE: 3, Journey.BREACH: 180}, ["why"] * wrong)


def held(found: dict[str, float]) -> dict[str, bool]:
    """Whether each figure with a limit is within it."""
    limits = {row.key.partition("/")[2]: row.limit for row in ROWS if row.key.startswith("soak/") and row.limit is not None}
    return {name: found[name] <= limit for name, limit in limits.items()}


def test_a_soak_in_which_nothing_happens_holds_every_limit() -> None:
    """Rollouts are counted, not journeys."""
    found = figures(ended(), sampled(), HALF_HOUR)

    assert {True} == set(held(found).values())
    assert 186 == found["rollouts"]
    assert found.samples is not None
    assert 180 == len(found.samples["samples"])


@pytest.mark.parametrize(
    ("samples", "ends", "broken"),
    [
        (sampled(memory=1.0), ended(), {"memory growth"}),
        (sampled(memory=0.4), ended(), set[str]()),
        (sampled(handles=0.1), ended(), {"handles growth"}),
        (sampled(), ended(last=0.12), {"slower p50", "slower p99"}),
        (sampled(), ended(last=0.1), set[str]()),
        (sampled(), ended(wrong=1), {"wrong"}),
    ],
    ids=["memory", "a little memory", "handles", "latency", "a little latency", "a wrong end"],
)
def test_each_limit_is_broken_by_what_it_is_about(samples: list[Sample], ends: Ends, broken: set[str]) -> None:
    """20 MB more of 200 between the two parts are too much, 8 are not; 0.05 s may become 0.11."""
    found = figures(ends, samples, HALF_HOUR)

    assert broken == {name for name, holds in held(found).items() if not holds}


def test_growth_of_memory_is_told_per_hour_too() -> None:
    """By the second half of the time."""
    found = figures(ended(), sampled(memory=0.5), HALF_HOUR)

    assert pytest.approx(30) == found["memory slope"]


def test_without_breaches_nothing_is_said_of_their_latency() -> None:
    """As in a soak of a minute."""
    found = figures(Ends(), sampled(), HALF_HOUR)

    assert not [name for name in found if name.startswith(("reading", "slower"))]


def test_the_picture_has_a_text_for_those_who_cannot_see_it() -> None:
    """And is whole XML."""
    picture = ET.fromstring(svg(figures(ended(last=0.3), sampled(), HALF_HOUR).samples or {}))
    title = picture.find("{http://www.w3.org/2000/svg}title")

    assert title is not None
    assert title.text is not None
    assert "soak of 30 minutes" in title.text
    assert "0.3" in title.text


def test_scales_end_at_round_numbers() -> None:
    """The next of 1, 2, 5 and their multiples by ten."""
    assert [1, 0.05, 0.5, 2, 20, 500, 1000] == [ceiling(value) for value in (0, 0.04, 0.5, 1.5, 11, 201, 999)]


def test_the_soak_is_run_only_where_it_is_named() -> None:
    """It takes as long as all other groups together."""
    assert list(GROUPS) == chosen([])
    assert ["services-30", "services-200", "services-300", "services-500", "seed-1000"] == chosen(["s*"])
    assert list(APART) == chosen([*APART])


def test_trials_are_no_results() -> None:
    """Fewer services, or a shorter soak."""
    plain = Options(quick=False, profile=False, services=None, minutes=SOAK_MINUTES)

    assert not plain.trial
    assert Options(quick=True, profile=False, services=None, minutes=SOAK_MINUTES).trial
    assert Options(quick=False, profile=False, services=300, minutes=SOAK_MINUTES).trial
    assert Options(quick=False, profile=False, services=None, minutes=5).trial
