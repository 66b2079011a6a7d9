"""What is noted of a route in the status is no way to lead its traffic elsewhere."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from tidegate.api.originals import OriginalRule
from tidegate.engine.snapshot import RouteStage
from tidegate.traffic import httproute
from unit.controller import objects
from unit.controller.api_server import json_patch
from unit.controller.objects import NAME, NAMESPACE
from unit.fuzz.effort import fuzz
from unit.fuzz.shapes import Json, backends, originals, routes, texts

OWN = {f"{NAME}-stable", f"{NAME}-canary"}


def named(rules: Any) -> set[tuple[str, str, str, str]]:
    """The backends that rules name: group, kind, namespace, name."""
    return {
        (one.get("group", ""), one.get("kind", "Service"), one.get("namespace", NAMESPACE), one["name"])
        for rule in rules or ()
        for one in rule.get("backendRefs") or ()
    }


@fuzz(150)
@given(
    rules=st.lists(backends.map(lambda found: {"backendRefs": found}), min_size=1, max_size=3),
    notes=st.lists(originals | texts.map(lambda text: text[:8192]), max_size=3),
    stage=st.sampled_from(RouteStage),
    weight=st.integers(0, 100),
)
def test_notes_bring_no_backend_that_the_route_does_not_name(
    rules: list[Json], notes: list[str], stage: RouteStage, weight: int
) -> None:
    """Whatever the status says of a route, a shift names the route's own backends, the user's Service and the operator's two."""
    route = objects.route()
    route["metadata"] |= {"uid": "uid", "generation": 1}
    route["spec"]["rules"] = rules
    known = [OriginalRule(route=NAME, rule=number, backend_refs=text) for number, text in enumerate(notes)]

    patch = httproute.render(route, stage=stage, weight=weight, originals=known, service=NAME)
    shifted = json_patch(route, patch) if patch else route

    ours = {("", "Service", NAMESPACE, name) for name in (NAME, *OWN)}
    assert named(shifted["spec"]["rules"]) <= named(rules) | ours


@fuzz(100)
@given(drawn=routes, notes=st.lists(originals | texts.map(lambda text: text[:8192]), max_size=2))
def test_any_route_is_seen_and_left_as_it_was_read(drawn: Json, notes: list[str]) -> None:
    """An odd route is seen without an error, and looking at it changes nothing of it."""
    route = objects.route()
    route = {**route, **drawn, "metadata": {**route["metadata"], "uid": "uid", "generation": 1, **drawn.get("metadata", {})}}
    before = copy.deepcopy(route)
    known = [OriginalRule(route=NAME, rule=number, backend_refs=text) for number, text in enumerate(notes)]

    view = httproute.observe(route, name=NAME, namespace=NAMESPACE, service=NAME, known=known)

    assert before == route
    assert 0 <= view.weight <= 100
    assert view.trouble.isprintable()
