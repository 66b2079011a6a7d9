"""What holds for every route, every stage and every weight."""

from __future__ import annotations

import copy
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.engine.snapshot import RouteStage, Warm
from tidegate.traffic.backends import MAX_WEIGHT, Names, has_room
from unit.traffic.routes import Json, backend, route, rule, seen, shifted

NAMES = Names("shop", "checkout")
unhurried = settings(suppress_health_check=[HealthCheck.too_slow])
HEADER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}]}}
SHIFTED = [RouteStage.ENTERING, RouteStage.SPLIT]

scales = st.one_of(st.none(), st.integers(1, 10), st.integers(1, MAX_WEIGHT))
ports = st.sampled_from([80, 8080])
filters = st.sampled_from([{}, {"filters": [HEADER]}])
percentages = st.integers(0, 100)
stages = st.sampled_from(list(RouteStage))
warm_forms = st.sampled_from(
    [
        (RouteStage.ENTERING, 0, Warm.STABLE),
        (RouteStage.ENTERING, 0, Warm.CANARY),
        (RouteStage.SPLIT, 0, Warm.USER),
        (RouteStage.SPLIT, 0, Warm.CANARY),
        (RouteStage.SPLIT, 100, Warm.USER),
        (RouteStage.SPLIT, 100, Warm.STABLE),
    ]
)
forms = st.one_of(warm_forms, st.tuples(stages, percentages, st.none()))


@st.composite
def users(draw: st.DrawFn) -> Json:
    return backend(weight=draw(scales), port=draw(ports), **draw(filters))


@st.composite
def others(draw: st.DrawFn) -> Json:
    return backend(draw(st.sampled_from(["payment", "legacy"])), draw(st.one_of(scales, st.just(0))), **draw(filters))


@st.composite
def rules(draw: st.DrawFn) -> Json:
    own = draw(st.lists(users(), min_size=0, max_size=2))
    return rule(*draw(st.permutations([*own, *draw(st.lists(others(), max_size=3))])), timeouts={"request": "5s"})


@st.composite
def routes(draw: st.DrawFn) -> Json:
    return route(draw(rules()), rule(backend(weight=draw(scales)), *draw(st.lists(others(), max_size=2))), draw(rules()))


def near_the_limit(obj: Json, index: int) -> bool:
    """Whether raising the weights of a rule by 100, the most that a percentage may need, can pass the limit of the API."""
    return any(entry.get("weight", 1) * 100 > MAX_WEIGHT for entry in obj["spec"]["rules"][index]["backendRefs"])


def concerns(one: Json) -> bool:
    """Whether a rule of the user's gives weight to their Service."""
    return any(entry["name"] == "checkout" and entry.get("weight", 1) for entry in one["backendRefs"])


def share(obj: Json, index: int, *names: str) -> Fraction:
    found = [(entry["name"], entry.get("weight", 1)) for entry in obj["spec"]["rules"][index]["backendRefs"]]
    return Fraction(sum(weight for name, weight in found if name in names), sum(weight for _, weight in found) or 1)


@unhurried
@given(routes(), st.lists(forms, min_size=1, max_size=4))
def test_after_any_way_the_user_has_what_the_user_wrote(before: Json, way: list[tuple[RouteStage, int, Warm | None]]):
    """However a route was shifted, putting it back gives exactly what was there."""
    known, obj = seen(before).originals, before
    for stage, weight, warm in way:
        obj = shifted(obj, stage, weight, known, warm)

    assert shifted(obj, RouteStage.USER, 0, known) == before


@unhurried
@given(routes(), st.sampled_from(SHIFTED), percentages)
def test_what_was_written_is_what_is_seen(before: Json, stage: RouteStage, weight: int):
    """A route that was brought to a stage and a weight is seen at them, with the originals that were noted."""
    known = seen(before).originals

    view = seen(shifted(before, stage, weight, known), known)

    assert (view.stage, view.uniform) == (stage, True)
    assert view.weight == (0 if stage is RouteStage.ENTERING else weight)
    assert view.originals == known


@unhurried
@given(routes(), warm_forms)
def test_a_warm_form_is_seen_as_what_was_written(before: Json, form: tuple[RouteStage, int, Warm]):
    """A warm form is seen as one, with the weight of the one that has all the rest; where a rule has no room, as the plain one."""
    stage, weight, warm = form
    known = seen(before).originals
    roomy = all(has_room(rule["backendRefs"], NAMES) for rule in before["spec"]["rules"] if concerns(rule))

    after = shifted(before, stage, weight, known, warm)

    view = seen(after, known)
    assert (view.stage, view.weight, view.originals) == (stage, weight, known)
    if roomy:
        assert (view.warm, view.uniform) == (warm, True)
    for index, rule_after in enumerate(after["spec"]["rules"]):
        was, now = (share(obj, index, "payment", "legacy") for obj in (before, after))
        assert now == was or not has_room(before["spec"]["rules"][index]["backendRefs"], NAMES)
        assert all(0 <= entry.get("weight", 1) <= MAX_WEIGHT for entry in rule_after["backendRefs"])


@unhurried
@given(routes(), warm_forms)
def test_what_is_warm_has_next_to_nothing(before: Json, form: tuple[RouteStage, int, Warm]):
    """It has one in ten thousand of what the user's Service had, or nothing where a rule has no room; the third one has nothing."""
    stage, weight, warm = form
    after = shifted(before, stage, weight, None, warm)

    of = {Warm.USER: "checkout", Warm.STABLE: "checkout-stable", Warm.CANARY: "checkout-canary"}
    for index, original in enumerate(before["spec"]["rules"]):
        if not concerns(original):
            continue
        mine = share(after, index, *of.values())
        expected = mine / 10_000 if has_room(original["backendRefs"], NAMES) else 0
        assert share(after, index, of[warm]) == expected
        assert min(share(after, index, name) for name in of.values()) == 0


@unhurried
@given(routes(), st.sampled_from(SHIFTED), percentages, stages, percentages)
def test_a_second_pass_writes_nothing(before: Json, stage: RouteStage, weight: int, earlier: RouteStage, other: int):
    """Whatever the form before, bringing a route to a form twice is the same as once."""
    known = seen(before).originals
    once = shifted(shifted(before, earlier, other, known), stage, weight, known)

    assert shifted(once, stage, weight, known) == once


@unhurried
@given(routes(), st.sampled_from(SHIFTED), percentages)
def test_nothing_but_backends_changes(before: Json, stage: RouteStage, weight: int):
    """Everything of a route but the backends of rules that name the Service keeps its bytes."""
    after = shifted(before, stage, weight)

    without, reference = copy.deepcopy(after), copy.deepcopy(before)
    for changed, original in zip(without["spec"]["rules"], reference["spec"]["rules"], strict=True):
        if any(entry["name"] == "checkout" for entry in original["backendRefs"]):
            del changed["backendRefs"], original["backendRefs"]
    assert without == reference


@unhurried
@given(routes(), percentages)
def test_other_backends_keep_their_share(before: Json, weight: int):
    """Others keep their share: exactly, unless that would take a weight that Gateway API does not allow."""
    after = shifted(before, RouteStage.SPLIT, weight)

    for index in range(len(before["spec"]["rules"])):
        was, now = (share(obj, index, "payment", "legacy") for obj in (before, after))
        assert abs(now - was) < Fraction(1, 100) if near_the_limit(before, index) else now == was


@unhurried
@given(routes(), percentages)
def test_the_canary_gets_what_was_asked_for(before: Json, weight: int):
    """The share within the pair is exact; 0% and 100% are nothing and all; no weight is beyond the limit."""
    after = shifted(before, RouteStage.SPLIT, weight)

    for index, original in enumerate(before["spec"]["rules"]):
        if any(entry["name"] == "checkout" for entry in original["backendRefs"]):
            pair = share(after, index, "checkout-stable", "checkout-canary")
            assert share(after, index, "checkout-canary") == pair * weight / 100
        assert all(0 <= entry.get("weight", 1) <= MAX_WEIGHT for entry in after["spec"]["rules"][index]["backendRefs"])


@unhurried
@given(routes())
def test_nothing_gets_weight_by_entering(before: Json):
    """At the stage ENTERING the user's backends are as they were, and ours carry nothing."""
    after = shifted(before, RouteStage.ENTERING)

    for original, changed in zip(before["spec"]["rules"], after["spec"]["rules"], strict=True):
        ours = [entry for entry in changed["backendRefs"] if entry["name"].startswith("checkout-")]
        assert [entry for entry in changed["backendRefs"] if entry not in ours] == original["backendRefs"]
        assert not any(entry["weight"] for entry in ours)


@unhurried
@given(routes(), st.one_of(warm_forms, st.tuples(st.sampled_from(SHIFTED), percentages, st.none())))
def test_without_memory_shares_come_back(before: Json, form: tuple[RouteStage, int, Warm | None]):
    """Even if what was noted is lost, the user's Service and the others get the shares that they had."""
    stage, weight, warm = form
    after = shifted(shifted(before, stage, weight, None, warm), RouteStage.USER, 0, ())

    for index in range(len(before["spec"]["rules"])):
        was, now = (share(obj, index, "checkout") for obj in (before, after))
        assert abs(now - was) < Fraction(1, 100) if near_the_limit(before, index) else now == was
