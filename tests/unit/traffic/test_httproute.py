"""Shifting an HTTPRoute and putting it back."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tidegate.api.originals import OriginalRule
from tidegate.engine.snapshot import RouteStage
from tidegate.traffic.httproute import acceptance, render
from unit.traffic.routes import PARENT, accepted, backend, condition, route, rule, seen, shifted, weights

Json = dict[str, Any]

USER, ENTERING, SPLIT = RouteStage
HEADER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}]}}
MIRROR = {
    "type": "RequestMirror",
    "requestMirror": {"backendRef": {"group": "", "kind": "Service", "name": "checkout", "port": 80}},
}


def test_route_as_the_user_wrote_it():
    """Given a rule that names the Service, the route is at the stage of the user and its backends are noted."""
    view = seen(route(rule(backend())))

    assert (view.stage, view.uniform, view.weight, view.matches, view.accepted) == (USER, True, 0, True, True)
    assert [(one.rule, json.loads(one.backend_refs)) for one in view.originals] == [(0, [backend()])]


@pytest.mark.parametrize(
    ("stage", "weight", "wanted"),
    [
        (ENTERING, 0, {"checkout": 1, "checkout-stable": 0, "checkout-canary": 0}),
        (SPLIT, 0, {"checkout": 0, "checkout-stable": 100, "checkout-canary": 0}),
        (SPLIT, 5, {"checkout": 0, "checkout-stable": 95, "checkout-canary": 5}),
        (SPLIT, 100, {"checkout": 0, "checkout-stable": 0, "checkout-canary": 100}),
    ],
)
def test_stages_of_a_rule_with_the_service_alone(stage: RouteStage, weight: int, wanted: dict[str, int]):
    """Where nothing else carries weight, the two weights read as percentages."""
    assert weights(shifted(route(rule(backend())), stage, weight)) == wanted


@pytest.mark.parametrize(
    ("own", "other", "weight", "wanted"),
    [
        (90, 10, 10, {"checkout": 0, "checkout-stable": 81, "checkout-canary": 9, "other": 10}),
        (1, 1, 5, {"checkout": 0, "checkout-stable": 19, "checkout-canary": 1, "other": 20}),
        (3, 1, 50, {"checkout": 0, "checkout-stable": 3, "checkout-canary": 3, "other": 2}),
        (1, 3, 0, {"checkout": 0, "checkout-stable": 1, "checkout-canary": 0, "other": 3}),
        (1, 3, 100, {"checkout": 0, "checkout-stable": 0, "checkout-canary": 1, "other": 3}),
    ],
)
def test_third_backend_keeps_its_share(own: int, other: int, weight: int, wanted: dict[str, int]):
    """Weights are raised by the smallest factor that splits the user's weight into whole numbers, and not at all without need."""
    assert weights(shifted(route(rule(backend(weight=own), backend("other", other))), SPLIT, weight)) == wanted


def test_entries_copy_what_the_user_wrote_and_take_its_place():
    """Port, filters and whatever else an entry says are those of the user's entry, and so is the position."""
    before = route(rule(backend("first", 1), backend(weight=4, port=8080, filters=[HEADER]), backend("last", 1)))

    entries = shifted(before, SPLIT, 25)["spec"]["rules"][0]["backendRefs"]

    assert entries == [
        backend("first", 1),
        backend(weight=0, port=8080, filters=[HEADER]),
        backend("checkout-stable", 3, port=8080, filters=[HEADER]),
        backend("checkout-canary", 1, port=8080, filters=[HEADER]),
        backend("last", 1),
    ]


def test_omitted_weight_counts_as_one_and_comes_back_omitted():
    """Given no weight at all, shares are even, and the user's entry gets none afterwards."""
    before = route(rule(backend(weight=None), backend("other", None)))

    split = shifted(before, SPLIT, 50)

    assert weights(split) == {"checkout": 0, "checkout-stable": 1, "checkout-canary": 1, "other": 2}
    assert shifted(split, USER, known=seen(before).originals) == before


def test_rules_that_do_not_concern_us_are_not_touched():
    """Rules of other Services, rules that give ours no weight, redirects and mirrors stay as they are."""
    elsewhere = backend(namespace="billing")
    kept = [
        rule(backend("other"), path="/other"),
        rule(backend(weight=0), backend("other"), path="/off"),
        {"matches": [], "filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "example.com"}}]},
        rule(backend("other"), path="/mirrored", filters=[MIRROR]),
        rule(elsewhere, path="/elsewhere"),
        rule(backend(kind="Custom", group="example.com"), path="/kind"),
    ]

    after = shifted(route(*kept, rule(backend(), filters=[MIRROR], timeouts={"request": "5s"})), SPLIT, 10)

    assert after["spec"]["rules"][: len(kept)] == kept
    last = after["spec"]["rules"][-1]
    assert (last["filters"], last["timeouts"]) == ([MIRROR], {"request": "5s"})
    assert weights(after, len(kept)) == {"checkout": 0, "checkout-stable": 90, "checkout-canary": 10}


def test_route_without_our_service_does_not_match():
    """Given no rule that sends requests to the Service, there is nothing to shift."""
    for obj in (route(rule(backend("other"))), route(rule(backend(weight=0), backend("other"))), route()):
        assert not seen(obj).matches
        assert render(obj, stage=SPLIT, weight=5, originals=(), service="checkout") is None


def test_missing_route():
    """A route that is not there is seen as such."""
    view = seen(None)

    assert (view.exists, view.matches, view.accepted) == (False, False, False)


def test_service_with_two_ports_in_one_rule():
    """Each entry of the user's gets a pair of its own; one factor serves all."""
    before = route(rule(backend(weight=1, port=80), backend(weight=2, port=8080), backend("other", 1)))

    split = shifted(before, SPLIT, 50)

    assert split["spec"]["rules"][0]["backendRefs"] == [
        backend(weight=0, port=80),
        backend("checkout-stable", 1, port=80),
        backend("checkout-canary", 1, port=80),
        backend(weight=0, port=8080),
        backend("checkout-stable", 2, port=8080),
        backend("checkout-canary", 2, port=8080),
        backend("other", 2),
    ]
    assert (seen(split).weight, seen(split).uniform) == (50, True)
    assert shifted(split, USER, known=seen(before).originals) == before


def test_entry_of_weight_0_beside_another_of_the_service():
    """An entry without weight gets no pair, and stays as it is."""
    before = route(rule(backend(weight=0, port=8080), backend(weight=1)))
    known = seen(before).originals

    entering, split = shifted(before, ENTERING), shifted(before, SPLIT, 10)

    assert [entry["name"] for entry in entering["spec"]["rules"][0]["backendRefs"]] == [
        "checkout",
        "checkout",
        "checkout-stable",
        "checkout-canary",
    ]
    assert (seen(entering).stage, seen(entering).uniform) == (ENTERING, True)
    assert (seen(split, known).stage, seen(split, known).originals) == (SPLIT, known)
    assert shifted(split, USER, known=known) == before


def test_weights_beyond_the_limit_of_the_api():
    """Where raising all weights would pass the limit, the canary's share stays exact and others move by next to nothing."""
    before = route(rule(backend(weight=333_333), backend("other", 999_999)))

    after = weights(shifted(before, SPLIT, 1))

    assert after == {"checkout": 0, "checkout-stable": 329_967, "checkout-canary": 3_333, "other": 999_999}
    assert max(after.values()) <= 1_000_000


def test_tiny_weight_beside_one_at_the_limit():
    """Even then the canary gets the share that was asked for, and never all of it."""
    after = weights(shifted(route(rule(backend(weight=1), backend("other", 1_000_000))), SPLIT, 5))

    assert after == {"checkout": 0, "checkout-stable": 19, "checkout-canary": 1, "other": 1_000_000}


def test_second_shift_to_the_same_form_writes_nothing():
    """Given a route that is as it should be, there is no patch."""
    before = route(rule(backend(weight=3), backend("other", 2)))
    split = shifted(before, SPLIT, 10)

    assert render(split, stage=SPLIT, weight=10, originals=seen(before).originals, service="checkout") is None


def test_patch_rests_on_the_spec_that_was_seen():
    """Given that the spec has changed since, the patch fails; a router's news in the status do not matter."""
    before = route(rule(backend()))

    patch = render(before, stage=SPLIT, weight=10, originals=(), service="checkout")

    assert patch is not None
    assert [(op["path"], op["value"]) for op in patch if op["op"] == "test"] == [
        ("/metadata/uid", "route-uid"),
        ("/metadata/generation", 2),
    ]


def test_resync_in_the_middle_is_the_new_original():
    """Given that a GitOps tool has brought the user's backends back, with another weight and a third backend, these count."""
    noted = seen(route(rule(backend(weight=1)))).originals
    resynced = route(rule(backend(weight=4), backend("third", 1)))

    view = seen(resynced, noted)
    after = shifted(resynced, SPLIT, 25, known=noted)

    assert view.stage is USER
    assert [json.loads(one.backend_refs) for one in view.originals] == [[backend(weight=4), backend("third", 1)]]
    assert weights(after) == {"checkout": 0, "checkout-stable": 3, "checkout-canary": 1, "third": 1}


def test_rule_that_the_user_inserts_in_the_middle():
    """Given a new rule before a split one, the new one is at the user's stage and the other's original moves with it."""
    before = route(rule(backend(weight=90), backend("other", 10)))
    split = shifted(before, SPLIT, 10)
    split["spec"]["rules"].insert(0, rule(backend(weight=7), path="/new"))

    view = seen(split, seen(before).originals)

    assert (view.stage, view.uniform, view.weight) == (USER, False, 10)
    assert [json.loads(one.backend_refs) for one in view.originals] == [
        [backend(weight=7)],
        [backend(weight=90), backend("other", 10)],
    ]
    restored = shifted(split, USER, known=view.originals)
    assert restored["spec"]["rules"] == [rule(backend(weight=7), path="/new"), before["spec"]["rules"][0]]


def test_rules_that_the_user_reorders_in_the_middle():
    """Originals follow the rules by what they say, not by where they stand."""
    before = route(rule(backend(weight=2), backend("a", 1), path="/a"), rule(backend(weight=3), backend("b", 1), path="/b"))
    split = shifted(before, SPLIT, 10)
    split["spec"]["rules"].reverse()

    restored = shifted(split, USER, known=seen(before).originals)

    assert restored["spec"]["rules"] == before["spec"]["rules"][::-1]


def test_third_backend_that_the_user_edits_in_the_middle():
    """Given weights raised by a factor, an edit of another backend is kept and taken back by the same factor."""
    before = route(rule(backend(weight=1), backend("other", 1)))
    split = shifted(before, SPLIT, 5)
    split["spec"]["rules"][0]["backendRefs"][3]["weight"] = 60

    restored = shifted(split, USER, known=seen(before).originals)

    assert weights(restored) == {"checkout": 1, "other": 3}


def test_edit_that_does_not_divide_keeps_its_share():
    """Given an edit that cannot be taken back to the old scale, the new scale stays, and shares with it."""
    before = route(rule(backend(weight=1), backend("other", 1)))
    split = shifted(before, SPLIT, 5)
    split["spec"]["rules"][0]["backendRefs"][3]["weight"] = 7

    assert weights(shifted(split, USER, known=seen(before).originals)) == {"checkout": 20, "other": 7}


def test_lost_original_is_made_from_what_is_there():
    """Given a status that was lost, the user's Service gets the weight and the port of the pair."""
    split = shifted(route(rule(backend(weight=90, port=8080), backend("other", 10))), SPLIT, 10)

    restored = shifted(split, USER, known=())

    assert restored["spec"]["rules"][0]["backendRefs"] == [backend(weight=90, port=8080), backend("other", 10)]


def test_lost_original_of_a_rule_with_the_service_alone():
    """Where nothing else carries weight, the scale means nothing: the weight is Gateway API's default."""
    split = shifted(route(rule(backend())), SPLIT, 10)

    assert shifted(split, USER, known=())["spec"]["rules"][0]["backendRefs"] == [backend(weight=1)]


def test_originals_of_another_route_are_not_taken():
    """What was noted of another route says nothing about this one."""
    split = shifted(route(rule(backend(weight=2), backend("other", 1))), SPLIT, 50)
    foreign = (OriginalRule(route="other", rule=0, backend_refs=json.dumps([backend(weight=1), backend("other", 9)])),)

    assert weights(shifted(split, USER, known=foreign)) == {"checkout": 2, "other": 1}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entries: entries.pop(0),
        lambda entries: entries.pop(2),
        lambda entries: entries.reverse(),
        lambda entries: entries[1].update(port=9999),
        lambda entries: entries[1].update(filters=[HEADER]),
        lambda entries: entries.append(backend("checkout-canary", 5)),
        lambda entries: [entry.update(weight=0) for entry in entries],
    ],
)
def test_rule_that_was_tampered_with_is_seen_and_put_right(spoil):
    """Given a hand in our entries, the rule is not in the form that the operator writes, and the next shift mends it."""
    before = route(rule(backend()))
    split = shifted(before, SPLIT, 10)
    spoil(split["spec"]["rules"][0]["backendRefs"])
    known = seen(before).originals

    assert not seen(split, known).uniform
    mended = shifted(split, SPLIT, 10, known=known)
    assert (seen(mended, known).stage, seen(mended, known).uniform, seen(mended, known).weight) == (SPLIT, True, 10)


def test_user_entry_with_weight_beside_a_split_is_seen():
    """Given that somebody gave the user's Service weight beside ours, the share of the canary is told as it is."""
    entries = [backend(weight=100), backend("checkout-stable", 50), backend("checkout-canary", 50)]

    view = seen(route(rule(*entries)))

    assert (view.stage, view.uniform, view.weight) == (ENTERING, False, 25)
    assert [json.loads(one.backend_refs) for one in view.originals] == [[backend(weight=100)]]


def edited(original: list[dict], edit: Callable[[list[dict]], object], weight: int = 25) -> tuple[list[dict], list[dict]]:
    """Return what a rule comes to be when its user edits it while it is split: split again, and as it is put back."""
    before = route(rule(*original))
    split = shifted(before, SPLIT, weight)
    edit(split["spec"]["rules"][0]["backendRefs"])
    known = seen(split, seen(before).originals).originals
    again = shifted(split, SPLIT, weight, known=known)
    return tuple(obj["spec"]["rules"][0]["backendRefs"] for obj in (again, shifted(again, USER, known=known)))  # type: ignore[return-value]


def test_port_that_the_user_changes_in_the_middle():
    """The user's own entry stands in a split rule, without weight: what they change of it counts, for the pair and afterwards."""
    again, back = edited([backend(weight=1, port=80)], lambda entries: entries[0].update(port=8080))

    assert [8080, 8080, 8080] == [entry["port"] for entry in again]
    assert [backend(weight=1, port=8080)] == back


def test_second_entry_that_the_user_adds_in_the_middle():
    """An entry of the user's that comes with weight takes none from the one whose weight a pair has."""
    again, back = edited([backend(weight=1)], lambda entries: entries.append(backend(weight=100, port=81)))

    assert [("checkout", 0), ("checkout-stable", 75), ("checkout-canary", 25)] == [(e["name"], e["weight"]) for e in again[:3]]
    assert [backend(weight=100), backend(weight=100, port=81)] == back


@pytest.mark.parametrize("original", [[backend(weight=1)], [backend(weight=1), backend(weight=0, port=81)]])
def test_entry_without_weight_stays_whatever_else_is_edited(original: list[dict]):
    """An entry of the user's that has no weight by their own will, from before or from now, is there afterwards."""
    _, back = edited(original, lambda entries: entries.extend([backend("other", 0), backend(weight=0, port=82)]))

    assert [*original, backend("other", 0), backend(weight=0, port=82)] == back


def test_rules_with_different_weights_are_not_uniform():
    """The greatest share is told."""
    split = shifted(route(rule(backend()), rule(backend(), path="/b")), SPLIT, 10)
    split["spec"]["rules"][1]["backendRefs"][1]["weight"] = 60

    assert (seen(split).uniform, seen(split).stage) == (False, SPLIT)
    assert seen(split).weight == pytest.approx(100 * 10 / 70)


def test_too_many_backends_are_told_before_a_rollout():
    """Gateway API allows 16 backends in a rule; with two more it would be too many."""
    view = seen(route(rule(backend(), *(backend(f"b{number}") for number in range(14)))))

    assert view.trouble == "rule 0 would have 17 backends during a rollout; Gateway API allows 16"


def test_backends_too_long_to_be_remembered_are_told():
    """What cannot be stored cannot be put back."""
    others = [backend(f"{number:02}{'n' * 251}", kind="K" * 63, namespace="m" * 63, group="g" * 253) for number in range(13)]

    view = seen(route(rule(backend(), *others)))

    assert "take more than the 8192 characters" in view.trouble


@pytest.mark.parametrize(
    ("conditions", "is_accepted", "trouble"),
    [
        (accepted(), True, ""),
        (accepted(generation=1), False, ""),
        (accepted()[:1], False, ""),
        (
            [condition("Accepted", "False", reason="NoMatchingListenerHostname", message="no listener"), *accepted()[1:]],
            False,
            "Gateway public: Accepted is False (NoMatchingListenerHostname): no listener",
        ),
        (
            [*accepted()[:1], condition("ResolvedRefs", "False", reason="BackendNotFound", message="service not found")],
            False,
            "Gateway public: ResolvedRefs is False (BackendNotFound): service not found",
        ),
        (
            [*accepted(), condition("PartiallyInvalid", "True")],
            False,
            "Gateway public: PartiallyInvalid is True (Because): it is so",
        ),
        ([*accepted(), condition("ResolvedRefs", "False", generation=1)][::-1], True, ""),
    ],
)
def test_what_parents_say(conditions: list[dict], is_accepted: bool, trouble: str):
    """A route is accepted once every condition speaks of its present generation; words against it are passed on."""
    view = seen(route(rule(backend()), conditions=conditions))

    assert (view.accepted, view.trouble) == (is_accepted, trouble)


def test_every_parent_has_to_accept():
    """Given two parents of which one has not said anything, the route is not accepted; one that left does not matter."""
    obj = route(rule(backend()))
    obj["status"]["parents"].append({"parentRef": {"name": "former"}, "controllerName": "x", "conditions": []})
    two = copy.deepcopy(obj)
    two["spec"]["parentRefs"].append({**PARENT, "sectionName": "https"})

    assert seen(obj).accepted
    assert not seen(two).accepted


def test_route_without_parents_is_told():
    """A route that no Gateway serves carries nothing."""
    orphan = route(rule(backend()))
    del orphan["spec"]["parentRefs"]

    assert seen(orphan).trouble == "it names no parent (spec.parentRefs)"


def entry(parent: str, controller: str, *, generation: int | None, accepted: str = "True") -> Json:
    """What a controller has said of a route for a parent."""
    stated = {} if generation is None else {"observedGeneration": generation}
    conditions = [
        {"type": kind, "status": accepted, "reason": kind, "message": "", **stated} for kind in ("Accepted", "ResolvedRefs")
    ]
    return {"controllerName": controller, "parentRef": {"name": parent}, "conditions": conditions}


def of_two(*entries: Json, parents: tuple[str, ...] = ("public",)) -> Json:
    """A route of generation 7 with these entries in its status."""
    metadata = {"name": "web", "namespace": "shop", "generation": 7}
    return {
        "metadata": metadata,
        "spec": {"parentRefs": [{"name": name} for name in parents]},
        "status": {"parents": list(entries)},
    }


@pytest.mark.parametrize("generation", [2, None], ids=["of an old generation", "of no generation"])
@pytest.mark.parametrize("accepted", ["True", "False"])
@pytest.mark.parametrize("first", [True, False])
def test_what_a_former_controller_said_does_not_count(generation: int | None, accepted: str, first: bool):
    """Given a parent with an entry of a controller that is gone, in whatever order, the one that is there decides."""
    new = entry("public", "new.example/gateway", generation=7)
    old = entry("public", "old.example/gateway", generation=generation, accepted=accepted)

    said = acceptance(of_two(*((old, new) if first else (new, old))))

    assert (said.accepted, said.trouble, said.silent) == (True, "", ())


def test_parent_that_has_said_nothing_is_named():
    """Given two parents of which one has never spoken, that one is named, and the other is known to have accepted."""
    said = acceptance(of_two(entry("public", "a.example/gateway", generation=7), parents=("public", "internal")))

    assert (said.accepted, said.silent, said.heard) == (False, ("Gateway internal",), True)


def test_controllers_that_have_accepted_are_known_by_name():
    """Given two parents, the controllers count that accept the present generation, and not those that were there before."""
    old = entry("public", "old.example/gateway", generation=6)
    said = acceptance(of_two(old, entry("public", "new.example/gateway", generation=7), parents=("public", "internal")))

    assert said.controllers == {"new.example/gateway"}


def test_parent_that_is_behind_is_silent():
    """What was said of an earlier generation is no word on this one."""
    said = acceptance(of_two(entry("public", "a.example/gateway", generation=6)))

    assert (said.accepted, said.silent, said.heard) == (False, ("Gateway public",), False)


@pytest.mark.parametrize("first", [True, False])
def test_former_controller_that_has_refused_the_very_generation(first: bool):
    """Given two entries that both speak of this generation, the controller that accepts it is the parent's."""
    new, old = (entry("public", name, generation=7, accepted=yes) for name, yes in (("new", "True"), ("old", "False")))

    said = acceptance(of_two(*((old, new) if first else (new, old))))

    assert (said.accepted, said.trouble, said.silent) == (True, "", ())


def test_parent_that_no_controller_accepts_for():
    """Given two entries that both refuse this generation, all their words are passed on."""
    said = acceptance(of_two(*(entry("public", name, generation=7, accepted="False") for name in ("a", "b"))))

    assert not said.accepted
    assert said.trouble.count("Gateway public: Accepted is False") == 2
