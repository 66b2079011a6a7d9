"""What lint says of approvals: conditions that are none, and points that no step has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from unit.cli.conftest import Server
from unit.cli.test_lint import Json, Tidegate, findings, gate, policy


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"at": "100%"}, []),
        ({"at": "Start", "when": "release.type == 'major'"}, []),
        (
            {"at": "Start", "when": "colour == 'red'"},
            [
                (
                    "error",
                    "spec.approvals[0].when",
                    (
                        "\"colour == 'red'\" names colour; there are release.type, environment, labels, versions.stable, "
                        "versions.candidate"
                    ),
                )
            ],
        ),
        (
            {"at": "50%"},
            [
                (
                    "note",
                    "spec.approvals[0].at",
                    "no step has weight 50%: the votes are needed before the step with weight 100%",
                )
            ],
        ),
    ],
)
def test_approvals_that_surprise_are_told(tidegate: Tidegate, tmp_path: Path, entry: Json, found: list[tuple[str, str, str]]):
    """A condition that is none would let nothing through; a point between two steps is that of the later one."""
    file = policy(tmp_path, gate(), approvals=[{"roles": {"qa": 1}} | entry])

    assert found == [one for one in findings(tidegate, file) if one[1].startswith("spec.approvals")]


def test_checks_are_read_as_approvals_are(tidegate: Tidegate, tmp_path: Path):
    """A point between two steps, and a condition that is none."""
    odd = [{"name": "scan", "at": "50%", "attested": {"role": "ci"}, "when": "colour == 'red'"}]
    file = policy(tmp_path, gate(), checks=odd)

    found = [(*one[:2], one[2].partition(";")[0]) for one in findings(tidegate, file) if one[1].startswith("spec.checks")]
    assert [
        ("note", "spec.checks[0].at", "no step has weight 50%: the check is needed before the step with weight 100%"),
        ("error", "spec.checks[0].when", "\"colour == 'red'\" names colour"),
    ] == sorted(found, key=lambda one: one[1])


RELEASE = """\
apiVersion: tidegate.dev/v1alpha1
kind: Release
metadata: {name: checkout}
spec:
  targetRef: {name: checkout}
  policyRef: {name: p}
"""
API, RBAC = "/apis/tidegate.dev/v1alpha1/namespaces/shop", "/apis/rbac.authorization.k8s.io/v1"
SHOP = f"{RBAC}/namespaces/shop"
RULE: Json = {"apiGroups": ["tidegate.dev"], "resources": ["releases/qa"], "verbs": ["approve"]}
BINDING: Json = {"roleRef": {"kind": "Role", "name": "qa"}, "subjects": [{"kind": "User", "name": "ann"}]}


def listed(kind: str, *items: Json) -> Json:
    """Return a list as the API server has it, of objects called qa."""
    named = [{"metadata": {"name": "qa"}, **item} for item in items]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{kind}List",
        "metadata": {"resourceVersion": "1"},
        "items": named,
    }


BOUND: Json = {
    f"{SHOP}/rolebindings": listed("RoleBinding", BINDING),
    f"{SHOP}/roles": listed("Role", {"rules": [RULE]}),
    f"{RBAC}/clusterroles": listed("ClusterRole"),
    f"{RBAC}/clusterrolebindings": listed("ClusterRoleBinding"),
    f"{API}/releases/checkout": {},
    f"{API}/rolloutpolicies/p": {},
}
HIDDEN = (403, {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"})


@pytest.mark.parametrize(
    ("roles", "hidden", "found"),
    [
        ({"qa": 1}, (), []),
        (
            {"qa": 2},
            (),
            [("warning", "RolloutPolicy/p requires it: only ann can approve as qa, and it takes 2 people")],
        ),
        (
            {"qa": 1, "architect": 1},
            (),
            [
                (
                    "warning",
                    (
                        "RolloutPolicy/p requires it: no person has role architect: no binding in shop gives one the verb approve "
                        "on releases/architect"
                    ),
                )
            ],
        ),
        (
            {"qa": 1, "architect": 1},
            ("clusterroles",),
            [
                (
                    "note",
                    "RolloutPolicy/p requires it: who can approve as architect is not known: you may not list clusterroles",
                )
            ],
        ),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_roles_that_nobody_holds(
    tidegate: Tidegate,
    tmp_path: Path,
    cluster: Callable[[Json], tuple[Server, Path]],
    roles: dict[str, int],
    hidden: tuple[str, ...],
    found: list[tuple[str, str]],
    *,
    there: bool,
) -> None:
    """With --server a role of the policy, here or there, that too few are bound to is told for the Release that would wait."""
    file = policy(tmp_path, gate(), approvals=[{"at": "Start", "roles": roles}])
    (tmp_path / "release.yaml").write_text(RELEASE)
    objects = BOUND | {f"{RBAC}/{plural}": HIDDEN for plural in hidden}
    if there:
        objects |= {f"{API}/rolloutpolicies/p": yaml.safe_load(file.read_text())}
        file.unlink()
    _, kubeconfig = cluster(objects)

    told = findings(tidegate, tmp_path / "release.yaml" if there else tmp_path, "--server", "--kubeconfig", kubeconfig)

    assert found == [(severity, message) for severity, field, message in told if field == "spec.policyRef.name"]
