"""From a change of any object to the Releases that it concerns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.api.names import LABEL_RELEASE
from tidegate.controller.observe.references import References, ReleaseKey
from tidegate.controller.observe.relations import Relations
from tidegate.runtime.shelf import Key
from tidegate.runtime.store import Change
from tidegate.traffic.routers import Routers
from unit.controller import objects
from unit.controller.objects import NAME, NAMESPACE, Json

KEY = ReleaseKey(NAMESPACE, NAME)
RELATIONS = Relations(Routers.all())


def change(kind: str, name: str, *, namespace: str = NAMESPACE, old: Json | None = None, new: Json | None = None) -> Change:
    plain = {"metadata": {"namespace": namespace, "name": name}}
    return Change(Key(kind, namespace, name), old, new if new is not None or old is not None else plain)


@pytest.fixture
def references() -> References:
    references = References(RELATIONS)
    references.learn(KEY, objects.release())
    return references


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", NAME),
        ("RolloutPolicy", "production"),
        ("Service", NAME),
        ("Service", f"{NAME}-stable"),
        ("Service", f"{NAME}-canary"),
        ("HTTPRoute", NAME),
    ],
)
def test_what_a_release_names_brings_it_back(references: References, kind: str, name: str) -> None:
    """A change of anything that a Release names concerns it; of the same name elsewhere, or of another name, it does not."""
    assert {KEY} == references.of(change(kind, name))
    assert set() == references.of(change(kind, name, namespace="elsewhere"))
    assert set() == references.of(change(kind, "other"))


def test_a_freeze_concerns_every_release_and_a_namespace_its_own(references: References) -> None:
    """Whatever a ReleaseFreeze selects, all are looked at; labels of a namespace concern the Releases in it."""
    elsewhere = ReleaseKey("elsewhere", NAME)
    references.learn(elsewhere, objects.release())
    freeze = change("ReleaseFreeze", "incident", namespace="")

    assert {KEY, elsewhere} == references.of(freeze)
    assert references.need(freeze.key, {"metadata": {"name": "incident"}}), "it is kept whole"
    assert {elsewhere} == references.of(change("Namespace", "elsewhere", namespace=""))


def test_a_release_of_another_cluster_concerns_those_that_name_it_there(references: References) -> None:
    """What is called the same here, or in a third cluster, is another Release."""
    references.learn(KEY, objects.release(after=[{"release": "ledger", "namespace": "staging", "cluster": "west"}]))
    followed = ReleaseKey("elsewhere", NAME)
    references.learn(followed, objects.release(follow={"release": "ledger", "namespace": "staging"}))
    ledger = change("Release", "ledger", namespace="staging")

    assert {KEY} == references.dependents(ledger, "west")
    assert {followed} == references.dependents(ledger)
    assert set() == references.dependents(ledger, "north")
    assert ({KEY}, set()) == (references.looking_at("west"), references.looking_at("north"))
    references.learn(KEY, None)
    assert set() == references.looking_at("west")


def test_cluster_policy_concerns_releases_of_every_namespace(references: References) -> None:
    """A ClusterRolloutPolicy has no namespace, and the Releases that name it do."""
    elsewhere = ReleaseKey("elsewhere", NAME)
    named = objects.release(policyRef={"kind": "ClusterRolloutPolicy", "name": "all"})
    references.learn(KEY, named)
    references.learn(elsewhere, named)

    assert {KEY, elsewhere} == references.of(change("ClusterRolloutPolicy", "all", namespace=""))
    assert set() == references.of(change("RolloutPolicy", "all"))


def test_replica_set_concerns_the_release_of_its_owner(references: References) -> None:
    """A ReplicaSet brings back the Release of the Deployment that owns it, or of the Release among its owners, before and after."""
    by_deployment = {"metadata": {"name": "x", "ownerReferences": [{"kind": "Deployment", "name": NAME}]}}
    by_release = {
        "metadata": {"name": "x", "ownerReferences": [{"kind": "Namespace", "name": "n"}, {"kind": "Release", "name": "b"}]}
    }

    assert {KEY} == references.of(change("ReplicaSet", "x", new=by_deployment))
    assert {KEY, ReleaseKey(NAMESPACE, "b")} == references.of(change("ReplicaSet", "x", old=by_deployment, new=by_release))
    assert {ReleaseKey(NAMESPACE, "b")} == references.of(Change(Key("ReplicaSet", NAMESPACE, "x"), by_release, None))


def test_endpoints_concern_the_release_of_their_service(references: References) -> None:
    """An EndpointSlice brings back the Release of the Service that its label names."""
    piece = {"metadata": {"name": "x", "labels": {"kubernetes.io/service-name": f"{NAME}-canary"}}}

    assert {KEY} == references.of(change("EndpointSlice", "x", new=piece))


def test_label_of_a_release_is_enough(references: References) -> None:
    """An object that carries the label of a Release concerns it, whatever its spec names now."""
    labelled = {"metadata": {"name": "old", "labels": {"tidegate.dev/release": NAME}}}

    assert {KEY} == references.of(change("Deployment", "old", new=labelled))


def test_what_is_no_longer_named_is_forgotten(references: References) -> None:
    """Given a Release that names other objects now, or has gone, the old ones concern it no more, and nothing is kept of them."""
    references.learn(KEY, objects.release(targetRef={"name": "other"}))
    moved = references.of(change("Deployment", NAME))
    references.learn(KEY, None)

    assert set() == moved
    assert set() == references.of(change("Deployment", "other"))
    assert {} == references._by
    assert {} == references._named


def test_deployment_that_is_let_go_concerns_its_other_suitors(references: References) -> None:
    """Given two Releases that name one Deployment, when the one lets it go the other is looked at again, and only then."""
    second = ReleaseKey(NAMESPACE, "second")
    before, moved = objects.release(), objects.release(targetRef={"name": "other"})
    references.learn(second, objects.release("second"))

    def rivals(new: Json | None) -> set[ReleaseKey]:
        return references.rivals(KEY, Change(Key("Release", *KEY), before, new))

    assert {second} == rivals(None)
    assert {second} == rivals(moved)
    assert set() == rivals(before)
    assert set() == references.rivals(KEY, Change(Key("Release", *KEY), None, before))


@given(
    spec=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["targetRef", "policyRef", "traffic", "service", "gatewayAPI", "httpRoutes", "name", "kind"]), inner
            )
        ),
        max_leaves=12,
    )
)
@example(spec={"traffic": {"service": [None]}})
@example(spec={"traffic": {"service": "checkout", "gatewayAPI": {"httpRoutes": 1}}})
def test_no_spec_gets_lost(spec: Any) -> None:
    """Whatever stands in a spec, a Release can be learnt and forgotten: its pass says what is wrong with it."""
    references = References(RELATIONS)

    references.learn(KEY, {"metadata": {}, "spec": spec})
    references.learn(KEY, None)

    assert {} == references._by


class TestNeed:
    """Which objects are kept as a whole, however large they are."""

    @pytest.mark.parametrize(("kind", "name"), [("Deployment", NAME), ("Service", f"{NAME}-canary"), ("HTTPRoute", NAME)])
    def test_what_a_release_names(self, references: References, kind: str, name: str) -> None:
        """By its name alone."""
        assert need(references, kind, name)
        assert not need(References(RELATIONS), kind, name)
        assert not need(references, kind, "other")

    def test_what_belongs_to_what_it_names(self, references: References) -> None:
        """Through an owner, a Service, or the Deployment that is scaled."""
        owner = {"kind": "Deployment", "name": NAME, "uid": "u"}
        scaled = {"spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}}}

        assert need(references, "ReplicaSet", "x", ownerReferences=[owner])
        assert not need(references, "ReplicaSet", "x", ownerReferences=[{**owner, "name": "other"}])
        assert need(references, "EndpointSlice", "x", labels={"kubernetes.io/service-name": NAME})
        assert references.need(Key("HorizontalPodAutoscaler", NAMESPACE, "x"), {"metadata": {}, **scaled})

    def test_a_label_needs_its_release(self, references: References) -> None:
        """Anybody may write any name into a label: one that names no Release keeps nothing."""
        assert need(references, "ReplicaSet", "x", labels={LABEL_RELEASE: NAME})
        assert not need(references, "ReplicaSet", "x", labels={LABEL_RELEASE: "nobody"})

    def test_the_version_that_is_rolled_out(self, references: References) -> None:
        """Between the Release's letting go of its ReplicaSet and the Deployment's adoption nobody owns it."""
        labels = {"pod-template-hash": "bbbb"}
        assert not need(references, "ReplicaSet", "x", labels=labels)

        references.learn(KEY, objects.release(status={"candidate": {"revision": "bbbb"}}))

        assert need(references, "ReplicaSet", "x", labels=labels)

    def test_what_is_let_go_of_is_told_once_nobody_names_it(self, references: References) -> None:
        """Of two Releases that name a policy, the second to go lets go of it."""
        other = ReleaseKey(NAMESPACE, "other")
        references.learn(other, objects.release())

        first, second = references.learn(KEY, None), references.learn(other, None)

        assert [Key("Release", *KEY)] == first
        named = {Key("RolloutPolicy", NAMESPACE, "production"), Key("Deployment", NAMESPACE, NAME)}
        assert {*named, Key("Release", *other)} <= set(second)


def need(references: References, kind: str, name: str, **metadata: Any) -> bool:
    return references.need(Key(kind, NAMESPACE, name), {"metadata": metadata})


def test_a_release_is_brought_back_by_those_that_it_comes_after(references: References) -> None:
    """A change of another Release concerns those that come after it, of whatever namespace, and no others."""
    after = [{"release": NAME, "namespace": "staging"}, {"release": "ledger"}]
    references.learn(KEY, objects.release(after=after, follow={"release": "web", "namespace": "dev"}))

    assert {KEY} == references.dependents(change("Release", NAME, namespace="staging"))
    assert {KEY} == references.dependents(change("Release", "ledger"))
    assert {KEY} == references.dependents(change("Release", "web", namespace="dev"))
    assert set() == references.dependents(change("Release", "ledger", namespace="staging"))
    assert set() == references.dependents(change("Release", NAME))


def test_a_release_that_comes_after_none_any_more_lets_no_release_go(references: References) -> None:
    """What a Release comes after is a Release itself: nobody's letting go of it makes the caches forget it."""
    references.learn(KEY, objects.release(after=[{"release": "ledger"}]))

    let_go = references.learn(KEY, objects.release())

    assert not [key for key in let_go if key.kind == "Release"]
    assert set() == references.dependents(change("Release", "ledger"))


@pytest.mark.parametrize("after", [None, 7, "staging", [None], [[]], {"release": "x"}, [{}], [{"namespace": 3}]])
def test_an_odd_after_loses_no_release(references: References, after: object) -> None:
    """Whatever stands in the field, the Release is still known by all else that it names."""
    references.learn(KEY, objects.release(after=after, follow=after))

    assert {KEY} == references.of(change("Deployment", NAME))
