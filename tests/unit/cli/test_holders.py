"""Who can give a vote, by the bindings that whoever asks may read."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.cli.holders import Grants, told, told_attesters

Json = dict[str, Any]
QA: Json = {"apiGroups": ["tidegate.dev"], "resources": ["releases/qa"], "verbs": ["approve", "reject"]}
ANN: Json = {"kind": "User", "name": "ann"}
TEAM: Json = {"kind": "Group", "name": "qa-team"}


def grants(*subjects: Json, rule: Json | None = None, kind: str = "Role", unread: tuple[str, ...] = ()) -> Grants:
    """A binding of a role with one rule."""
    binding = {"roleRef": {"kind": kind, "name": "voters"}, "subjects": list(subjects)}
    return Grants((binding,), {(kind, "voters"): (QA if rule is None else rule,)}, unread)


@pytest.mark.parametrize(
    ("found", "needed", "words"),
    [
        (grants(ANN), 1, "ann can approve as qa"),
        (grants(TEAM, ANN), 3, "ann, group qa-team can approve as qa"),
        (grants(ANN), 2, "only ann can approve as qa, and it takes 2 people"),
        (grants(*({"kind": "User", "name": f"u{number}"} for number in range(5))), 1, "u0, u1, u2 and 2 more can approve as qa"),
        (
            grants({"kind": "ServiceAccount", "name": "ci", "namespace": "shop"}, {"kind": "User", "name": "system:node:a"}),
            1,
            "no person has role qa: no binding in shop gives one the verb approve on releases/qa",
        ),
        (
            grants(unread=("clusterroles",)),
            1,
            "who can approve as qa is not known: you may not list clusterroles",
        ),
        (grants(ANN, unread=("clusterroles",)), 1, "ann can approve as qa; others may, too: you may not list clusterroles"),
    ],
)
def test_it_is_said_who_can_give_a_vote(found: Grants, needed: int, words: str) -> None:
    """People and groups, whether they suffice, and what could not be read; ServiceAccounts have no vote."""
    assert words == told(found, "qa", needed, "checkout", "shop")


CI: Json = {"kind": "ServiceAccount", "name": "ci", "namespace": "shop"}
ACCOUNTS: Json = {"kind": "Group", "name": "system:serviceaccounts:shop"}
SCANS: Json = {"apiGroups": ["tidegate.dev"], "resources": ["releases/ci"], "verbs": ["attest"]}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (grants(CI, ANN, rule=SCANS), "ServiceAccount shop/ci, ann can attest as ci"),
        (
            grants({"kind": "Group", "name": "system:serviceaccounts:shop"}, rule=SCANS),
            "group system:serviceaccounts:shop can attest as ci",
        ),
        (grants(CI), "no binding in shop gives the verb attest on releases/ci, so no one can attest as ci"),
        (grants(CI, unread=("roles",)), "who can attest as ci is not known: you may not list roles"),
        (
            grants(CI, rule=SCANS, unread=("roles",)),
            "ServiceAccount shop/ci can attest as ci; others may, too: you may not list roles",
        ),
    ],
)
def test_it_is_said_who_can_attest(found: Grants, words: str) -> None:
    """ServiceAccounts may, for a pipeline attests with its own account."""
    assert words == told_attesters(found, "ci", "checkout", "shop")


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"resourceNames": ["checkout"]}, True),
        ({"resourceNames": ["ledger"]}, False),
        ({"resources": ["releases/dev"]}, False),
        ({"resources": ["*/qa"]}, True),
        ({"resources": ["*"]}, False),
        ({"resources": ["releases"]}, False),
        ({"verbs": ["reject"]}, False),
        ({"verbs": ["*"]}, True),
        ({"apiGroups": [""]}, False),
        ({"apiGroups": ["*"]}, True),
    ],
)
def test_a_right_is_by_the_name_of_the_role(change: Json, holds: bool) -> None:
    """As the API server has it: who holds all roles by a wildcard votes in none."""
    assert (("ann",) if holds else ()) == grants(ANN, rule=QA | change).holders("qa", "checkout")


def test_a_binding_to_a_role_of_another_kind_grants_nothing() -> None:
    """A Role and a ClusterRole may have one name."""
    binding = {"roleRef": {"kind": "ClusterRole", "name": "voters"}, "subjects": [ANN]}

    assert () == Grants((binding,), {("Role", "voters"): (QA,)}).holders("qa", "checkout")
