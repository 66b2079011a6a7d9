"""Which pod templates are the same, what they are called, and what their versions are for people."""

from __future__ import annotations

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.workloads.templates import (
    HASH_ALPHABET,
    content_digest,
    normalise,
    overlay,
    same_but_restarted,
    same_template,
    tag_of,
    template_hash,
    version_of,
)
from unit.workloads.objects import template

GOLDEN = ("9469q4zqnr", "vdbdj6c49v")
RESTARTED = {"kubectl.kubernetes.io/restartedAt": "2026-11-21T08:00:00Z"}


def with_spec(**fields: object) -> dict:
    changed = template()
    changed["spec"].update(fields)
    return changed


def test_hash_label_and_creation_time_do_not_make_another_template():
    """What the Deployment controller and the API server add to a ReplicaSet's template is not part of it."""
    plain, stored = template(), template()
    stored["metadata"]["labels"]["pod-template-hash"] = "abc"
    stored["metadata"]["creationTimestamp"] = None

    assert same_template(plain, stored)


@pytest.mark.parametrize("empty", [{"nodeSelector": {}}, {"tolerations": []}, {"tolerations": None}])
def test_empty_lists_and_maps_are_absent_ones(empty: dict):
    """The controller compares nil and empty as equal."""
    assert same_template(template(), with_spec(**empty))


def test_empty_object_that_means_something_is_not_absent():
    """An emptyDir is written as an empty object, and a volume with it is another volume than one without."""
    with_dir, without = with_spec(volumes=[{"name": "v", "emptyDir": {}}]), with_spec(volumes=[{"name": "v"}])

    assert not same_template(with_dir, without)


def test_empty_namespace_selector_is_not_absent():
    """An empty namespaceSelector selects all namespaces, an absent one the pod's own."""
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "checkout"}}}

    def spread(term: dict) -> dict:
        required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        return with_spec(affinity={"podAntiAffinity": required})

    assert not same_template(spread(term), spread({**term, "namespaceSelector": {}}))


@pytest.mark.parametrize(("one", "other"), [("1Gi", "1073741824"), ("1024Mi", "1Gi"), ("1e3", "1k"), ("0.5", "500m")])
def test_quantities_are_compared_by_value(one: str, other: str):
    """The controller compares quantities by what they amount to."""
    left, right = template(), template()
    left["spec"]["containers"][0]["resources"]["requests"]["memory"] = one
    right["spec"]["containers"][0]["resources"]["requests"]["memory"] = other

    assert same_template(left, right)


def test_text_that_looks_like_a_quantity_is_no_quantity():
    """Only quantities are compared by value: an environment variable of 1Gi is not one of 1024Mi."""
    left, right = template(), template()
    left["spec"]["containers"][0]["env"] = [{"name": "HEAP", "value": "1Gi"}]
    right["spec"]["containers"][0]["env"] = [{"name": "HEAP", "value": "1024Mi"}]

    assert not same_template(left, right)


def test_order_of_containers_makes_another_template():
    """Lists are compared in order, as the controller does."""
    left = with_spec(containers=[{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}])
    right = with_spec(containers=[{"name": "b", "image": "b:1"}, {"name": "a", "image": "a:1"}])

    assert not same_template(left, right)


def test_restart_differs_in_the_annotation_alone():
    """`kubectl rollout restart` writes an annotation into the template and changes nothing else."""
    assert same_but_restarted(template(), template(**RESTARTED))
    assert same_but_restarted(template(**RESTARTED), template(**{"kubectl.kubernetes.io/restartedAt": "later"}))


def test_same_template_is_no_restart():
    """A restart is a difference."""
    assert not same_but_restarted(template(**RESTARTED), template(**RESTARTED))


def test_other_image_with_a_restart_is_more_than_a_restart():
    """Whoever restarts and changes the image has made a new version."""
    assert not same_but_restarted(template(), template("registry.example/checkout:v2", **RESTARTED))


def test_overlay_changes_images_of_containers_and_init_containers():
    """Images are laid over by container name; everything else and the given template stay as they are."""
    given_template = with_spec(initContainers=[{"name": "migrate", "image": "migrate:v1"}])
    before = copy.deepcopy(given_template)

    changed = overlay(given_template, {"app": "app:v2", "migrate": "migrate:v2"})

    assert changed["spec"]["containers"][0]["image"] == "app:v2"
    assert changed["spec"]["initContainers"][0]["image"] == "migrate:v2"
    assert given_template == before


def test_overlay_names_the_containers_that_there_are():
    """A misspelt container is told together with those that exist."""
    with pytest.raises(ValueError, match="no container is named ap: there are app, migrate"):
        overlay(with_spec(initContainers=[{"name": "migrate", "image": "m:v1"}]), {"ap": "app:v2"})


def test_hash_stays_what_it_was():
    """A change of this hash would make every held template in every cluster look like a new version."""
    full = template(**{"prometheus.io/scrape": "true"})
    full["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]
    full["spec"]["nodeSelector"] = {"disk": "ssd"}

    assert (template_hash(template()), template_hash(full)) == GOLDEN


def test_hash_is_fit_for_a_label_and_a_name():
    """Ten characters of Kubernetes' own alphabet for such names."""
    assert re.fullmatch(f"[{HASH_ALPHABET}]{{10}}", template_hash(template()))


@given(st.sampled_from(["v1", "v2", "v3"]), st.sampled_from(["v1", "v2", "v3"]))
def test_hash_is_equal_where_templates_are(one: str, other: str):
    """The hash and the comparison agree."""
    left, right = template(f"app:{one}"), template(f"app:{other}")
    right["metadata"]["labels"]["pod-template-hash"] = "abc"

    assert (template_hash(left) == template_hash(right)) == same_template(left, right)


def test_normalising_twice_changes_nothing():
    """The normal form is its own normal form."""
    once = normalise(with_spec(tolerations=[], nodeSelector={"disk": "ssd"}))

    assert normalise(once) == once


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("registry.example:5000/shop/checkout:v1.2.3", "v1.2.3"),
        ("registry.example:5000/shop/checkout", "latest"),
        ("checkout@sha256:0123456789abcdef0123456789abcdef", "sha256:0123456789ab"),
        ("checkout:v2@sha256:0123456789abcdef", "v2"),
        ("checkout", "latest"),
    ],
)
def test_tag_of_an_image(image: str, tag: str):
    """The port of a registry is no tag, and a digest is shortened."""
    assert tag_of(image) == tag


def test_version_is_what_the_release_says_first():
    """The Release's own name for the version goes before any tag."""
    assert version_of(template(), {}, "Black Friday") == "Black Friday"


def test_version_is_the_tag_of_the_image_that_the_release_gives():
    """With a sidecar in front, the container that the Release names tells the version."""
    sidecar = {"name": "proxy", "image": "proxy:v9"}
    both = with_spec(containers=[sidecar, {"name": "app", "image": "app:v2"}])

    assert version_of(both, {"app": "app:v2"}) == "v2"
    assert version_of(both, {}) == "v9"


def test_restart_keeps_the_digest_by_which_a_version_is_approved():
    """`kubectl rollout restart` of an approved version makes another revision, and nothing that anybody would approve anew."""
    plain, restarted, again = template(), template(), template()
    restarted["metadata"]["annotations"] = dict(RESTARTED)
    again["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "2026-11-22T08:00:00Z"}

    assert {content_digest(plain)} == {content_digest(restarted), content_digest(again)}
    assert template_hash(plain) != template_hash(restarted)


@pytest.mark.parametrize(
    "other",
    [
        overlay(template(), {"app": "registry.example.com/checkout:other"}),
        with_spec(serviceAccountName="admin"),
        with_spec(volumes=[{"name": "v", "emptyDir": {}}]),
    ],
)
def test_whatever_else_changes_has_another_digest(other: dict):
    """Images, an account, a volume: an approval of one template is none of another, whatever its revision is called."""
    assert content_digest(other) != content_digest(template())


def test_digest_is_one_that_nobody_can_aim_at():
    """It has all bits of SHA-256, in the form of an image's digest; a revision has 47."""
    assert re.fullmatch("sha256:[0-9a-f]{64}", content_digest(template()))
    assert "sha256:864b681a93d249ae76aff2e05a6f57d0982aa9e480b2a881abed710b18a496d2" == content_digest(template())
