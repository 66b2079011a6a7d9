"""Tools that apply a route again by themselves: an undo does not wait for them to do it."""

from __future__ import annotations

import pytest

from unit.traffic.routes import backend, route, rule, seen


@pytest.mark.parametrize(
    ("where", "name", "applied"),
    [
        ("annotations", "argocd.argoproj.io/tracking-id", True),
        ("labels", "kustomize.toolkit.fluxcd.io/name", True),
        ("labels", "helm.toolkit.fluxcd.io/name", True),
        ("labels", "app.kubernetes.io/instance", False),
        ("annotations", "kubectl.kubernetes.io/last-applied-configuration", False),
    ],
)
def test_tools_that_apply_a_route_again_are_known_by_their_marks(where: str, name: str, applied: bool):
    """Argo CD and Flux mark what they apply; what Helm and people leave says nothing of another apply."""
    obj = route(rule(backend()))
    obj["metadata"][where] = {name: "shop"}

    assert seen(obj).applied is applied
