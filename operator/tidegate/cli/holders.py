"""Who may vote or attest in a role, by the bindings of a namespace: so that nobody waits for a word that nobody can give.

It is read with the rights of whoever asks, who may see a part of it only; what could not be read is told. It is no verdict: the
API server asks the authorizer about each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidegate.api.approvals import Approval
from tidegate.api.base import MOST_TOLD, and_more
from tidegate.api.checks import Check
from tidegate.api.names import GROUP
from tidegate.cluster.errors import Forbidden, NotFound
from tidegate.cluster.resources import Resource

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

_RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
_Object = Mapping[str, Any]
_GROUP = "group "


@dataclass(frozen=True)
class Right:
    """What somebody may do in a role.

    Attributes:
        verb: of RBAC, on releases/<role>.
        accounts: whether it counts for ServiceAccounts, too.
    """

    verb: str
    accounts: bool = False


APPROVE, ATTEST = Right("approve"), Right("attest", accounts=True)


@dataclass(frozen=True)
class Grants:
    """What is bound in a namespace.

    Attributes:
        bindings: RoleBindings of the namespace, and ClusterRoleBindings.
        rules: of the roles that these refer to, by kind and name.
        unread: what the caller may not list, by its plural.
    """

    bindings: tuple[_Object, ...]
    rules: Mapping[tuple[str, str], tuple[_Object, ...]]
    unread: tuple[str, ...] = ()

    def holders(self, role: str, release: str, right: Right = APPROVE) -> tuple[str, ...]:
        """Return who has a right on a Release in a role: people as `ann`, groups as `group qa-team`, `ServiceAccount shop/ci`."""
        found = dict[str, None]()
        for binding in self.bindings:
            ref = binding.get("roleRef") or {}
            rules = self.rules.get((str(ref.get("kind")), str(ref.get("name"))), ())
            if any(_grants(rule, role, release, right) for rule in rules):
                found |= dict.fromkeys(_named(binding.get("subjects") or (), right))
        return tuple(sorted(found))


async def read(cluster: Cluster, namespace: str) -> Grants:
    """Read what is bound in a namespace, as far as the caller may.

    Raises:
        ApiError: the API server does not answer.
    """
    unread: list[str] = []

    async def listed(resource: Resource) -> list[_Object]:
        try:
            return (await cluster.list(resource.path(namespace if resource.namespaced else None))).items
        except (Forbidden, NotFound):
            unread.append(resource.plural)
            return []

    bindings = [*await listed(ROLE_BINDINGS), *await listed(CLUSTER_ROLE_BINDINGS)]
    roles = [("Role", one) for one in await listed(ROLES)] + [("ClusterRole", one) for one in await listed(CLUSTER_ROLES)]
    rules = {(kind, str(one["metadata"]["name"])): tuple(one.get("rules") or ()) for kind, one in roles}
    return Grants(tuple(bindings), rules, tuple(unread))


def _grants(rule: _Object, role: str, release: str, right: Right) -> bool:
    """Whether a rule gives a right in exactly this role; who holds all roles by a wildcard has a voice in none."""
    names = rule.get("resourceNames") or ()
    return (
        bool({GROUP, "*"} & {*(rule.get("apiGroups") or ())})
        and bool({f"releases/{role}", f"*/{role}"} & {*(rule.get("resources") or ())})
        and bool({right.verb, "*"} & {*(rule.get("verbs") or ())})
        and (not names or release in names)
    )


def _named(subjects: Iterable[_Object], right: Right) -> Iterator[str]:
    """Yield those for whom a right counts: no ServiceAccount has a vote, by its name, as a kind or in a group."""
    for one in subjects:
        kind, name = one.get("kind"), str(one.get("name"))
        if kind == "User" and not name.startswith("system:"):
            yield name
        elif kind == "Group" and (right.accounts or not name.startswith("system:serviceaccounts")):
            yield f"{_GROUP}{name}"
        elif kind == "ServiceAccount" and right.accounts:
            yield f"ServiceAccount {one.get('namespace')}/{name}"


def seats(approvals: Iterable[Approval]) -> dict[str, int]:
    """Return how many people each role needs at the point that asks for most of it."""
    found: dict[str, int] = {}
    for entry in approvals:
        for role, needed in entry.roles.items():
            found[role] = max(needed, found.get(role, 0))
    return found


def attesters(checks: Iterable[Check]) -> dict[str, list[str]]:
    """Return by role the names of the checks that it has to attest."""
    found: dict[str, list[str]] = {}
    for entry in checks:
        if entry.attested is not None:
            found.setdefault(entry.attested.role, []).append(entry.name)
    return found


def suffice(grants: Grants, role: str, needed: int, release: str) -> bool | None:
    """Whether there are people enough for the votes of a role; None where that could not be read. A group may be of any size."""
    found = grants.holders(role, release)
    if len(found) >= needed or any(one.startswith(_GROUP) for one in found):
        return True
    return None if grants.unread else False


def told(grants: Grants, role: str, needed: int, release: str, namespace: str) -> str:
    """Return in words who may give the votes of a role.

    Args:
        grants: what is bound.
        role: the role.
        needed: how many votes it takes.
        release: name of the Release.
        namespace: of the Release.
    """
    found, unread = grants.holders(role, release), _unread(grants)
    names = ", ".join(found[:MOST_TOLD]) + and_more(len(found))
    if not found and grants.unread:
        return f"who can approve as {role} is not known: you may not list {', '.join(grants.unread)}"
    if not found:
        return f"no person has role {role}: no binding in {namespace} gives one the verb approve on releases/{role}"
    if not suffice(grants, role, needed, release):
        return f"only {names} can approve as {role}, and it takes {needed} people{unread}"
    return f"{names} can approve as {role}{unread}"


def told_attesters(grants: Grants, role: str, release: str, namespace: str) -> str:
    """Return in words who may attest in a role.

    Args:
        grants: what is bound.
        role: the role.
        release: name of the Release.
        namespace: of the Release.
    """
    found = grants.holders(role, release, ATTEST)
    if not found and grants.unread:
        return f"who can attest as {role} is not known: you may not list {', '.join(grants.unread)}"
    if not found:
        return f"no binding in {namespace} gives the verb attest on releases/{role}, so no one can attest as {role}"
    return f"{', '.join(found[:MOST_TOLD])}{and_more(len(found))} can attest as {role}{_unread(grants)}"


def _unread(grants: Grants) -> str:
    return f"; others may, too: you may not list {', '.join(grants.unread)}" if grants.unread else ""
