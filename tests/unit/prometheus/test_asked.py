"""Queries before they are asked: policies whose queries cannot be filled are found, and what was filled is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tidegate.api.gate import Gate
from tidegate.prometheus.asked import EXAMPLE, Made, unaskable
from tidegate.prometheus.queries import queries


def gate(**metric: object) -> Gate:
    return Gate.model_validate({"name": "own", "metric": metric, "threshold": {"max": 1}})


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ('x{pod=~"{{pods}}"}', r"unknown variable {{pods}}: there are namespace, "),
        ("x{pod=~{{canaryPods}}}", "the variable {{canaryPods}} must stand within double quotes"),
        ("x{pod=~'{{canaryPods}}}", "the string that begins with '{{canaryPods}}} does not end"),
        ('x{a="b\n"}', 'the string that begins with "b "} does not end'),
        (f'x{{a="{{{{{"y" * 4000}}}}}"}}', f"unknown variable {{{{{'y' * 39}\u2026}}}}: there are "),
    ],
)
def test_query_that_can_be_filled_with_no_names_is_found(query: str, why: str) -> None:
    """The gate and the field are named, and the reason is short, however long the query is."""
    sound = gate(promql={"canary": 'x{pod=~"{{canaryPods}}"}', "unit": "Ratio"})
    wrong = gate(promql={"canary": "x", "samples": query, "unit": "Ratio"})

    said = unaskable([sound, wrong])

    assert said.startswith(f"spec.gates[1].metric.promql.samples: {why}")
    assert len(said) < 250
    assert not unaskable([sound])


def test_counters_of_both_versions_are_tried() -> None:
    """Each of the four queries is looked at."""
    pair = {"bad": 'x{pod=~"{{canaryPods}}"}', "total": "y"}

    said = unaskable([gate(counters={"canary": pair, "stable": {**pair, "total": "{{windov}}"}})])

    assert said.startswith("spec.gates[0].metric.counters.stable.total: unknown variable {{windov}}")


def test_queries_are_made_once_for_gate_and_names() -> None:
    """What was made is the same at the next look, and another where the gate, a name or the window has changed."""
    made, one = Made(queries), gate(promql={"canary": 'x{pod=~"{{canaryPods}}"}[{{window}}]', "unit": "Ratio"})

    first = made.of(one, EXAMPLE, one.window, None)

    assert first is made.of(one, EXAMPLE, one.window, None)
    assert first is not made.of(one, replace(EXAMPLE, canary_pods="c"), one.window, None)
    assert first is not made.of(one.model_copy(), EXAMPLE, one.window, None)
    assert first.canary != made.of(one, EXAMPLE, one.window / 2, None).canary


def test_what_was_made_is_forgotten_with_its_release() -> None:
    """Nothing is kept of a Release that is gone."""
    made, one = Made(queries), gate(promql={"canary": "x", "unit": "Ratio"})
    first = made.of(one, EXAMPLE, one.window)

    made.forget(EXAMPLE.namespace, EXAMPLE.release)

    assert first is not made.of(one, EXAMPLE, one.window)
