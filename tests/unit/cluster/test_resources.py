"""Paths are built and taken apart as the API means them."""

import pytest

from tidegate.cluster import resources
from tidegate.cluster.resources import DEPLOYMENTS, NAMESPACES, PODS, Target, path_of, resource_of


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (DEPLOYMENTS.path(), "/apis/apps/v1/deployments"),
        (DEPLOYMENTS.path("shop"), "/apis/apps/v1/namespaces/shop/deployments"),
        (DEPLOYMENTS.path("shop", "a"), "/apis/apps/v1/namespaces/shop/deployments/a"),
        (DEPLOYMENTS.path("shop", "a", "status"), "/apis/apps/v1/namespaces/shop/deployments/a/status"),
        (PODS.path("shop"), "/api/v1/namespaces/shop/pods"),
        (NAMESPACES.path(None, "shop"), "/api/v1/namespaces/shop"),
    ],
)
def test_paths(path: str, expected: str):
    """Collections, objects and subresources, in the core group and in others."""
    assert expected == path


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ((DEPLOYMENTS, None, "a", None), "needs a namespace"),
        ((NAMESPACES, "shop", "a", None), "not namespaced"),
        ((DEPLOYMENTS, "shop", None, "status"), "needs a name"),
    ],
)
def test_parts_that_make_no_path(parts: tuple[resources.Resource, str | None, str | None, str | None], complaint: str):
    """A forgotten namespace must not turn one object's path into a collection's."""
    resource, namespace, name, subresource = parts
    with pytest.raises(ValueError, match=complaint):
        resource.path(namespace, name, subresource)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/apis/apps/v1/namespaces/shop/deployments/a/status", Target("deployments.apps/status", "shop", "a")),
        ("/apis/apps/v1/deployments", Target("deployments.apps")),
        ("/api/v1/namespaces/shop/pods/a", Target("pods", "shop", "a")),
        ("/api/v1/namespaces/shop", Target("namespaces", "", "shop")),
        ("/api/v1/namespaces/shop/finalize", Target("namespaces/finalize", "", "shop")),
        ("/api/v1/namespaces", Target("namespaces")),
        ("/version", Target("/version")),
        ("/apis/apps/v1", Target("/apis/apps/v1")),
    ],
)
def test_taking_a_path_apart(path: str, expected: Target):
    """What a path is about, for messages and metrics."""
    assert expected == Target.of(path)


def test_target_in_words():
    """As it stands in an error."""
    assert "deployments.apps/status a in shop" == str(Target("deployments.apps/status", "shop", "a"))


def test_resource_of_an_object():
    """An object that says what it is has a path."""
    obj = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "Release", "metadata": {"name": "a", "namespace": "shop"}}

    assert "/apis/tidegate.dev/v1alpha1/namespaces/shop/releases/a/status" == path_of(obj, "status")
    with pytest.raises(LookupError, match="CronJob"):
        resource_of({**obj, "kind": "CronJob"})


def test_every_path_can_be_taken_apart():
    """Building and taking apart agree for every resource there is."""
    for resource in resources.ALL:
        namespace = "shop" if resource.namespaced else ""
        assert Target(resource.qualified, namespace, "a") == Target.of(resource.path(namespace, "a"))
