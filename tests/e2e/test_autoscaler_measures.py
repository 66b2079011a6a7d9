"""What is made of looks at a shop: how long there were too few pods, and how that is told."""

from __future__ import annotations

import math
from operator import attrgetter

from e2e.autoscaler_measures import Answer, Look, figures, overdue, seconds_short, table


def look(at: float, *, load: float = 8.0, shown: float = 4.0, pods: int = 4) -> Look:
    return Look(at, load, shown, busiest=load / pods, alone=load / pods, ready=pods, size=pods, told=None)


DOUBLED = [look(0), look(1), look(2, shown=8.0), look(4, shown=8.0), look(5, shown=8.0, pods=8), look(6, shown=8.0, pods=8)]
"""The metrics show twice the load after 2 s, and the pods for it are there after 5 s."""


def test_seconds_of_too_few_pods() -> None:
    """They last from a look that finds too few to the next, and no longer than until there are enough."""
    assert 5 == seconds_short(DOUBLED)
    assert 0 == seconds_short(DOUBLED[-2:])


def test_too_few_to_be_rolled_back_to_are_too_few() -> None:
    """The pods that serve are enough, but those of the stable version would not be."""
    preview = Look(0, 8.0, 8.0, busiest=1.0, alone=2.0, ready=12, size=4, told=50)

    assert preview.short


def test_an_autoscaler_is_held_to_what_the_metrics_show() -> None:
    """Seconds before they show nothing but the new load are not overdue; those of a relapse are."""
    relapse = [*DOUBLED, look(9, shown=8.0, pods=6), look(10, shown=8.0, pods=8)]

    assert 3 == overdue(DOUBLED, 8.0)
    assert 0 == overdue(DOUBLED[-2:], 8.0)
    assert 8 == overdue(relapse, 8.0)


def test_pods_that_are_there_before_the_metrics_show_all_are_not_overdue() -> None:
    """The first window held a part of the rise, and that was enough to tell."""
    assert 0 == overdue([look(0), look(1, pods=8), look(2, shown=8.0, pods=8)], 8.0)


def test_pods_that_are_wanted_but_not_ready_are_decided_on() -> None:
    """What somebody has asked for is told apart from how long it takes to start."""
    scaled = Look(3, 8.0, 8.0, busiest=2.0, alone=2.0, ready=4, size=8, told=100)
    looks = [*DOUBLED[:3], scaled, *DOUBLED[4:]]

    assert 3 == overdue(looks, 8.0)
    assert 1 == overdue(looks, 8.0, lacks=attrgetter("small"))


ANSWERS = [
    Answer("bake", "doubles", False, 0.0, math.inf, math.inf, math.inf),
    Answer("bake", "doubles", False, 0.7, 6.0, 4.0, 2.0),
    Answer("bake", "doubles", True, 0.0, 5.0, 3.0, 0.5),
    Answer("bake", "doubles", True, 0.7, 6.5, 5.5, 3.5),
    Answer("no rollout", "doubles", None, 0.0, 5.25, 3.0, 0.5),
]


def test_the_table_compares() -> None:
    """Median and worst of each phase, without and with the correction; without an operator there is none."""
    assert [
        "| bake | doubles | no end / no end | 5.8 / 6.5 | no end / no end | 4.2 / 5.5 |",
        "| no rollout | doubles | 5.2 / 5.2 | - | 3.0 / 3.0 | - |",
    ] == table(ANSWERS)[2:]


def test_figures_hold_the_correction_to_the_bound() -> None:
    """It answers for when the Deployment is large enough, not for the start of pods; what is measured without it is only told."""
    found = {figure.cell: (figure.measured, figure.holds) for figure in figures(ANSWERS, bound=3.0)}

    whole, shown = "seconds of too few pods", "seconds of too few pods after the metrics show all of it"
    decided = "seconds of too few pods wanted after that"
    assert {
        f"no rollout, load doubles, no operator: {whole}, worst of 1": (5.25, None),
        f"no rollout, load doubles, no operator: {shown}, worst of 1": (3.0, None),
        f"no rollout, load doubles, no operator: {decided}, worst of 1": (0.5, None),
        f"bake, load doubles, without the correction: {whole}, worst of 2": (math.inf, None),
        f"bake, load doubles, without the correction: {shown}, worst of 2": (math.inf, None),
        f"bake, load doubles, without the correction: {decided}, worst of 2": (math.inf, None),
        f"bake, load doubles, with the correction: {whole}, worst of 2": (6.5, None),
        f"bake, load doubles, with the correction: {shown}, worst of 2": (5.5, None),
        f"bake, load doubles, with the correction: {decided}, worst of 2": (3.5, False),
    } == found
