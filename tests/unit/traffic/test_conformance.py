"""What holds for every router: those that there are, and the example that CONTRIBUTING's recipe makes.

HTTPRoutes have more that must hold, such as several rules, filters and warm forms, in `test_httproute_properties.py`.
"""

from __future__ import annotations

import copy
from fractions import Fraction

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.api.originals import OriginalRule
from tidegate.api.release import HTTP_ROUTE
from tidegate.engine.snapshot import RouteStage, RouteView
from tidegate.traffic.notes import note, port_of, read
from tidegate.traffic.routers import ROUTERS, Routers
from unit.traffic.samples import CANARY, NAME, NAMESPACE, SAMPLES, STABLE, USER, Json, Sample, Shares

USERS, ENTERING, SPLIT = RouteStage
SERVICES = {USER, STABLE, CANARY}
forms = st.sampled_from([(USERS, 0), (ENTERING, 0)]) | st.tuples(st.just(SPLIT), st.integers(0, 100))
shifts = st.just((ENTERING, 0)) | st.tuples(st.just(SPLIT), st.integers(0, 100))
every_router = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.router.kind.label)
quick = settings(max_examples=40)


def seen(sample: Sample, route: Json | None, known: tuple[OriginalRule, ...] = (), service: str = USER) -> RouteView:
    return sample.router().observe(route, name=NAME, namespace=NAMESPACE, service=service, known=known)


def patch_of(sample: Sample, route: Json, stage: RouteStage, weight: int, known: tuple[OriginalRule, ...]) -> list[Json] | None:
    return sample.router().render(route, stage=stage, weight=weight, originals=known, service=USER)


def shifted(sample: Sample, route: Json, stage: RouteStage, weight: int, known: tuple[OriginalRule, ...]) -> Json:
    patch = patch_of(sample, route, stage, weight, known)
    return copy.deepcopy(route) if patch is None else jsonpatch.apply_patch(route, patch)


def share(shares: Shares, *names: str) -> Fraction:
    total = sum(weight for _, weight in shares)
    return Fraction(sum(weight for name, weight in shares if name in names), total or 1)


def test_every_router_has_a_sample() -> None:
    """One that has none would be put to no test."""
    assert set(ROUTERS) <= {sample.router for sample in SAMPLES}


def test_no_two_routers_have_one_kind() -> None:
    """Notes of routes are told apart by it, and so are objects in the caches; HTTPRoutes are those that need not say it."""
    labels = [sample.router.kind.label for sample in SAMPLES]

    assert sorted({*labels}) == sorted(labels)
    assert [router.kind.label for router in Routers.all()].count(HTTP_ROUTE) == 1


@every_router
class TestKind:
    """What a router says of its kind."""

    def test_words(self, sample: Sample) -> None:
        """Messages call a route as manifests do, and name the field of a Release in which it is named."""
        kind = sample.router.kind

        assert sample.router.resource.kind == kind.label
        assert sample.router.resource.namespaced
        assert kind.field.startswith("spec.traffic.")
        assert kind.written.startswith("spec")

    def test_named(self, sample: Sample) -> None:
        """It finds its routes in a Release that names them, in their order, and none in one of another router."""
        others = [one.traffic(("web",)) for one in SAMPLES if one is not sample]

        assert sample.router().named(sample.traffic(("web", "api"))) == ("web", "api")
        assert [sample.router().named(traffic) for traffic in (*others, {"service": USER}, {})] == [()] * (len(others) + 2)

    @quick
    @given(data=st.data())
    def test_whatever_stands_in_a_release(self, sample: Sample, data: st.DataObject) -> None:
        """It is read before the API server's word on it is known: no Release may get lost over it."""
        odd = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
        odd = st.recursive(odd, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2))
        *_, field = sample.router.kind.field.split(".")

        names = sample.router().named({field: data.draw(odd | st.fixed_dictionaries({sample.router.kind.names: odd}))})

        assert all(isinstance(name, str) for name in names)


@every_router
class TestView:
    """What the engine sees of a route."""

    def test_none(self, sample: Sample) -> None:
        """A route that is not there is seen as that, by kind and name."""
        view = seen(sample, None)

        assert (view.kind, view.name) == (sample.router.kind, NAME)
        assert (view.exists, view.matches, view.accepted, view.originals) == (False, False, False, ())

    @quick
    @given(data=st.data())
    def test_another_service(self, sample: Sample, data: st.DataObject) -> None:
        """A route that does not lead to the Service is none of its concern: nothing is noted of it, and nothing written."""
        route = sample.route(data.draw(sample.written))

        view = seen(sample, route, service="ledger")

        assert (view.exists, view.matches, view.originals) == (True, False, ())
        assert sample.router().render(route, stage=SPLIT, weight=10, originals=(), service="ledger") is None

    @quick
    @given(data=st.data())
    def test_as_its_user_wrote_it(self, sample: Sample, data: st.DataObject) -> None:
        """It is at the stage USER, gives the new version nothing, is in force, and nothing is in its way."""
        view = seen(sample, sample.route(data.draw(sample.written)))

        assert (view.stage, view.uniform, view.weight, view.warm) == (USERS, True, 0, None)
        assert (view.matches, view.in_force, view.trouble, view.our_marks) == (True, True, "", False)

    @quick
    @given(data=st.data())
    def test_services_that_it_leads_to(self, sample: Sample, data: st.DataObject) -> None:
        """Those that it gives weight to, whoever's they are."""
        route = sample.route(data.draw(sample.written))
        stage, weight = data.draw(forms)
        after = shifted(sample, route, stage, weight, seen(sample, route).originals)

        led = {name for namespace, name in sample.router().led_to(after) if namespace == NAMESPACE}

        shares = sample.shares(after)
        given = {name for name, weight in shares if weight}
        assert {name: name in led for name, _ in shares} == {name: name in given for name, _ in shares}


@every_router
class TestNotes:
    """What a Release's status notes of a route."""

    @quick
    @given(data=st.data())
    def test_say_whose_they_are(self, sample: Sample, data: st.DataObject) -> None:
        """They name kind and route, come back from the API server as they went, and tell the user's Service by its name."""
        view = seen(sample, sample.route(data.draw(sample.written)))

        wire = [rule.to_wire() for rule in view.originals]

        assert view.originals
        assert [OriginalRule.model_validate(one) for one in wire] == [*view.originals]
        assert view.noted(view.originals) == view.originals
        for rule in view.originals:
            assert USER in {backend["name"] for backend in read(rule.backend_refs) or ()}
        assert isinstance(port_of(view.originals, USER), int)

    @quick
    @given(data=st.data())
    def test_of_another_kind_are_not_its_own(self, sample: Sample, data: st.DataObject) -> None:
        """Given a route of another kind with the same name, what was noted of that changes nothing."""
        route = sample.route(data.draw(sample.written))
        stage, weight = data.draw(shifts)
        known = seen(sample, route).originals
        strange = [
            OriginalRule(kind="Strange", route=NAME, rule=rule.rule, backend_refs=note([{"name": USER, "weight": 7}]))
            for rule in known
        ]

        after = shifted(sample, route, stage, weight, (*strange, *known))

        assert after == shifted(sample, route, stage, weight, known)
        assert shifted(sample, after, USERS, 0, (*strange, *known)) == route
        assert seen(sample, after, (*strange, *known)).originals == known


@every_router
class TestShift:
    """A route is brought to a stage."""

    @quick
    @given(data=st.data())
    def test_after_any_way_the_user_has_what_the_user_wrote(self, sample: Sample, data: st.DataObject) -> None:
        """However it was shifted, putting it back gives exactly what was there."""
        route = sample.route(data.draw(sample.written))
        known, now = seen(sample, route).originals, route
        for stage, weight in data.draw(st.lists(forms, min_size=1, max_size=4)):
            now = shifted(sample, now, stage, weight, known)

        assert shifted(sample, now, USERS, 0, known) == route

    @quick
    @given(data=st.data())
    def test_what_was_written_is_what_is_seen(self, sample: Sample, data: st.DataObject) -> None:
        """It is seen at the stage and the weight, with the originals that were noted, and to write it again writes nothing."""
        route = sample.route(data.draw(sample.written))
        stage, weight = data.draw(shifts)
        known = seen(sample, route).originals

        after = shifted(sample, route, stage, weight, known)

        view = seen(sample, after, known)
        assert (view.stage, view.uniform, view.weight, view.originals) == (stage, True, weight, known)
        assert patch_of(sample, after, stage, weight, known) is None

    @quick
    @given(data=st.data())
    def test_shares(self, sample: Sample, data: st.DataObject) -> None:
        """The new version gets what was meant of what the Service had, stable the rest, and others what they had."""
        route = sample.route(data.draw(sample.written))
        before, weight = sample.shares(route), data.draw(st.integers(0, 100))
        known = seen(sample, route).originals

        entering = sample.shares(shifted(sample, route, ENTERING, 0, known))
        split = sample.shares(shifted(sample, route, SPLIT, weight, known))

        others = {name for name, _ in before} - SERVICES
        assert {share(one, *others) for one in (entering, split)} == {share(before, *others)}
        assert [share(entering, name) for name in (USER, STABLE, CANARY)] == [share(before, USER), 0, 0]
        assert {USER, STABLE, CANARY} <= {name for name, _ in entering}
        new = share(before, USER) * Fraction(weight, 100)
        assert [share(split, name) for name in (USER, STABLE, CANARY)] == [0, share(before, USER) - new, new]

    @quick
    @given(data=st.data())
    def test_nothing_else_is_written(self, sample: Sample, data: st.DataObject) -> None:
        """All that a patch changes is the field that messages name, and what it is made from stays as it is."""
        route = sample.route(data.draw(sample.written))
        kept, (stage, weight) = copy.deepcopy(route), data.draw(shifts)
        pattern = sample.router.kind.written.split("[]")

        patch = patch_of(sample, route, stage, weight, seen(sample, route).originals)

        assert route == kept
        changes = [one["path"].strip("/").split("/") for one in patch or () if one["op"] != "test"]
        assert changes
        assert {".".join(part for part in path if not part.isdigit()) for path in changes} == {"".join(pattern)}

    @quick
    @given(data=st.data())
    def test_it_rests_on_what_was_read(self, sample: Sample, data: st.DataObject) -> None:
        """Given a route that was made anew or whose spec has changed since, its patch fails."""
        route = sample.route(data.draw(sample.written))
        patch = patch_of(sample, route, SPLIT, 10, seen(sample, route).originals)
        anew, later = copy.deepcopy(route), copy.deepcopy(route)
        anew["metadata"] |= {"uid": "another"}
        later["metadata"] |= {"generation": 99, "resourceVersion": "99"}

        for one in (anew, later):
            with pytest.raises(jsonpatch.JsonPatchTestFailed):
                jsonpatch.apply_patch(one, patch)

    @quick
    @given(data=st.data())
    def test_without_memory_shares_come_back(self, sample: Sample, data: st.DataObject) -> None:
        """Even if what was noted is lost, the user's Service and the others get the shares that they had."""
        route = sample.route(data.draw(sample.written))
        stage, weight = data.draw(shifts)

        after = shifted(sample, shifted(sample, route, stage, weight, ()), USERS, 0, ())

        before, now = sample.shares(route), sample.shares(after)
        assert {name: share(now, name) for name, _ in before} == {name: share(before, name) for name, _ in before}
