"""People and GitOps controllers in a namespace, by impersonation: each has the rights that a test gives it, and no others."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from api.cluster_access import apply, eventually, run

Json = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
RELEASER: list[Json] = [
    {
        "apiGroups": ["tidegate.dev"],
        "resources": ["releases", "rolloutpolicies"],
        "verbs": ["get", "list", "create", "update", "patch", "delete"],
    }
]
"""A right on Releases alone."""


def rights(group: str, resource: str, *verbs: str, names: tuple[str, ...] = ()) -> Json:
    """Return the rule of a Role."""
    rule: Json = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return {**rule, "resourceNames": list(names)} if names else rule


@dataclass(frozen=True)
class Person:
    """Somebody, or an account, in one namespace.

    Attributes:
        name: the user name that the API server knows.
        namespace: where requests go to.
    """

    name: str
    namespace: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Type a command; return what became of it."""
        return run("kubectl", f"--as={self.name}", "--namespace", self.namespace, *arguments, stdin=stdin)

    def apply(self, obj: Json, *options: str) -> subprocess.CompletedProcess[str]:
        """Apply an object server-side, as GitOps tools do."""
        return self.kubectl("apply", "--server-side", "--field-manager=author", *options, "--filename=-", stdin=json.dumps(obj))

    def create(self, obj: Json) -> subprocess.CompletedProcess[str]:
        """Create an object, for the API server to judge and not to keep."""
        return self.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(obj))

    def patch(self, what: str, change: Json, *options: str) -> subprocess.CompletedProcess[str]:
        """Patch an object by merging."""
        return self.kubectl("patch", what, "--type=merge", f"--patch={json.dumps(change)}", *options)

    def may(self, verb: str, what: str) -> bool:
        """Ask the authorizer."""
        return self.kubectl("auth", "can-i", verb, what).stdout.strip() == "yes"


def of_role(name: str, namespace: str, *rules: Json) -> Person:
    """Return somebody with a Role of these rules in a namespace."""
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": _placed(name, namespace), "rules": list(rules)}
    person = Person(name, namespace)
    apply(yaml.safe_dump_all([role, _binding(person, "Role", _plain(name))]))
    return person


def of_cluster_role(name: str, namespace: str, role: str) -> Person:
    """Return somebody to whom a ClusterRole is bound in a namespace."""
    person = Person(name, namespace)
    apply(yaml.safe_dump(_binding(person, "ClusterRole", role)))
    return person


@contextmanager
def of_the_whole_cluster(name: str, namespace: str, *rules: Json) -> Iterator[Person]:
    """Have somebody with a ClusterRole of these rules for all namespaces, for as long as a test takes."""
    own = f"test-{uuid.uuid4().hex[:8]}"
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": own}, "rules": list(rules)}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": own},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": own},
        "subjects": [_subject(name)],
    }
    apply(yaml.safe_dump_all([role, binding]))
    try:
        yield Person(name, namespace)
    finally:
        run("kubectl", "delete", f"clusterrolebinding/{own}", f"clusterrole/{own}")


def editor(namespace: str) -> Person:
    """Return somebody with the built-in role `edit`, once the cluster has put Tidegate's part into it."""
    person = of_cluster_role("editor", namespace, "edit")
    eventually(lambda: person.may("create", "releases.tidegate.dev"), wanted=bool, timeout=90)
    return person


def _binding(person: Person, kind: str, role: str) -> Json:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": _placed(f"{person.name}-{role}", person.namespace),
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [_subject(person.name)],
    }


def _subject(name: str) -> Json:
    if name.startswith("system:serviceaccount:"):
        namespace, account = name.split(":")[2:]
        return {"kind": "ServiceAccount", "namespace": namespace, "name": account}
    return {"apiGroup": RBAC, "kind": "User", "name": name}


def _placed(name: str, namespace: str) -> Json:
    return {"name": _plain(name), "namespace": namespace}


def _plain(name: str) -> str:
    return name.replace(":", "-")
