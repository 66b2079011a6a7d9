"""What the status says of a route: enough to put it back exactly, and no value of a filter."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.api.originals import OriginalRule
from tidegate.engine.snapshot import RouteStage
from tidegate.traffic.notes import note
from unit.traffic.routes import Json, backend, route, rule, seen, shifted

SECRET = "Bearer s3cr3t-v4lu3"
USER, ENTERING, SPLIT = RouteStage.USER, RouteStage.ENTERING, RouteStage.SPLIT
unhurried = settings(suppress_health_check=[HealthCheck.too_slow])


def header(value: str = SECRET, name: str = "Authorization", how: str = "set") -> Json:
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": {how: [{"name": name, "value": value}]}}


def rewrite(path: str = "/other") -> Json:
    return {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": path}}}


values = st.sampled_from([SECRET, "another", ""])
filters = st.lists(
    st.one_of(
        st.builds(header, values, st.sampled_from(["Authorization", "X-Tenant"]), st.sampled_from(["set", "add"])),
        st.builds(rewrite, st.sampled_from(["/a", "/b"])),
        st.just({"type": "NewFilter", "newFilter": {"token": SECRET, "list": [SECRET, 1, {"deep": SECRET}]}}),
    ),
    max_size=2,
)
weights = st.one_of(st.none(), st.integers(0, 3))


@st.composite
def entries(draw: st.DrawFn, names: tuple[str, ...]) -> Json:
    more: dict[str, Any] = {"filters": found} if (found := draw(filters)) else {}
    more |= draw(st.sampled_from([{}, {"newField": SECRET}]))
    return backend(draw(st.sampled_from(names)), draw(weights), port=draw(st.sampled_from([80, 81])), **more)


@st.composite
def routes(draw: st.DrawFn) -> Json:
    users = st.lists(entries(("checkout",)), min_size=1, max_size=2)
    others = st.lists(entries(("payment", "legacy")), max_size=2)
    rules = [[*draw(users), *draw(others)] for _ in range(draw(st.integers(1, 3)))]
    return route(*(rule(*draw(st.permutations(found))) for found in rules))


@unhurried
@given(routes(), st.lists(st.tuples(st.sampled_from(RouteStage), st.integers(0, 100)), min_size=1, max_size=4))
def test_route_with_filters_is_put_back_exactly(before: Json, way: list[tuple[RouteStage, int]]):
    """However a route was shifted, it is put back as it was, filters and unknown fields included, by notes that have no value."""
    known, obj = seen(before).originals, before
    for stage, weight in way:
        obj = shifted(obj, stage, weight, known)
        assert seen(obj, known).originals == known

    assert shifted(obj, USER, 0, known) == before
    for one in known:
        assert SECRET not in one.backend_refs
        assert {key for entry in json.loads(one.backend_refs) for key in entry} <= {
            "group",
            "kind",
            "name",
            "port",
            "weight",
            "shape",
        }


def restored(before: Json, split: Json) -> list[Json]:
    """Return the rules' backends as they are put back by what was noted before, once it was noted anew."""
    known = seen(split, seen(before).originals).originals
    return [one["backendRefs"] for one in shifted(split, USER, 0, known)["spec"]["rules"]]


def test_note_reads_like_this():
    """A person who looks at a note finds names, ports, weights, and a digest where there is more."""
    text = note([backend(weight=9, filters=[header()]), backend("payment", None)])

    shape = json.loads(text)[0]["shape"]
    assert 16 == len(shape)
    assert (
        f'[{{"group":"","kind":"Service","name":"checkout","port":80,"shape":"{shape}","weight":9}},'
        '{"group":"","kind":"Service","name":"payment","port":80}]'
    ) == text


def test_digest_tells_nothing_of_values():
    """The digest is the same whatever the values are, so nobody can try values against it; header names and types are in it."""
    secret, other = (note([backend(filters=[header(value)])]) for value in (SECRET, "guess"))

    assert secret == other
    assert secret != note([backend(filters=[header(name="X-Tenant")])])
    assert secret != note([backend(filters=[rewrite()])])
    assert note([backend(filters=[rewrite("/a")])]) == note([backend(filters=[rewrite("/b")])])
    assert secret != note([backend()])


def test_filter_that_the_user_edits_in_the_middle_is_kept():
    """A new header value, or another filter, that is written into a split rule is there afterwards, with the weights of before."""
    for edit in (header("new"), rewrite()):
        before = route(rule(backend(weight=None, filters=[header()]), backend("payment", 3)))
        split = shifted(before, SPLIT, 10)
        for entry in split["spec"]["rules"][0]["backendRefs"][:3]:
            entry["filters"] = [edit]

        assert [[backend(weight=None, filters=[edit]), backend("payment", 3)]] == restored(before, split)


def test_filter_that_the_user_gives_the_leader_alone_counts():
    """Edited in the user's own entry only, the pair's old filter is no reason to keep it."""
    before = route(rule(backend(weight=7, filters=[header()])))
    split = shifted(before, SPLIT, 10)
    split["spec"]["rules"][0]["backendRefs"][0]["filters"] = [header("new")]

    assert [[backend(weight=7, filters=[header("new")])]] == restored(before, split)


def test_rules_that_differ_in_filters_are_told_apart_when_one_comes_before_them():
    """Given a rule that somebody puts before the split ones, each of these gets its own weights back, which only filters tell."""
    before = route(rule(backend(weight=None, filters=[header()])), rule(backend(weight=1, filters=[rewrite()])))
    split = shifted(before, SPLIT, 10)
    split["spec"]["rules"].insert(0, rule(backend("payment"), path="/new"))

    assert [[backend("payment")], *(one["backendRefs"] for one in before["spec"]["rules"])] == restored(before, split)


def test_two_entries_that_differ_in_values_alone_keep_theirs():
    """Two entries of the user's on one port, with two values of one header, come back in their places."""
    first, second = backend(weight=1, filters=[header("one")]), backend(weight=3, filters=[header("two")])
    before = route(rule(first, second))
    split = shifted(before, SPLIT, 25)

    assert [[first, second]] == restored(before, split)


def test_entry_that_somebody_takes_out_comes_back_with_the_filters_of_its_pair():
    """Without its own entry in the rule, the user's filters are read from the pair."""
    before = route(rule(backend(weight=7, filters=[header()])))
    split = shifted(before, SPLIT, 10)
    del split["spec"]["rules"][0]["backendRefs"][0]

    assert [[backend(weight=7, filters=[header()])]] == restored(before, split)


def test_note_of_an_earlier_version_is_read_and_made_anew():
    """Given a status that holds filters in full, the route is put back exactly, and what is noted next has no value."""
    before = route(rule(backend(weight=None, filters=[header()]), backend("payment", 2, filters=[rewrite()])))
    split = shifted(before, SPLIT, 10)
    text = json.dumps(before["spec"]["rules"][0]["backendRefs"], separators=(",", ":"), sort_keys=True)
    old = (OriginalRule(route="checkout", rule=0, backend_refs=text),)

    view = seen(split, old)

    assert (view.stage, view.uniform) == (SPLIT, True)
    assert seen(before).originals == view.originals
    assert SECRET not in view.originals[0].backend_refs
    assert before == shifted(split, USER, 0, old) == shifted(split, USER, 0, view.originals)


def test_note_brings_no_filter_into_a_route():
    """A filter that somebody writes into the status goes into no route."""
    before = route(rule(backend(weight=2), backend("payment", 1)))
    split = shifted(before, SPLIT, 50)
    forged = [backend(weight=2, filters=[header()]), backend("payment", 1, filters=[header()])]
    known = (OriginalRule(route="checkout", rule=0, backend_refs=json.dumps(forged)),)

    for stage in RouteStage:
        assert "filters" not in json.dumps(shifted(split, stage, 10, known))
    assert before == shifted(split, USER, 0, known)


def test_filters_may_be_long():
    """What is noted of filters is of one length, whatever theirs."""
    before = route(rule(backend(filters=[header("y" * 9_000)])))

    assert "" == seen(before).trouble
    assert before == shifted(shifted(before, SPLIT, 5), USER, 0, seen(before).originals)
