"""People who decide on the Release, each in the role that a journey gives them, and what they decide."""

from __future__ import annotations

import asyncio
from typing import Any

from api import deciders
from api.people import Person
from e2e.manifests import NAME, Json
from faults.place import RBAC, Place, insist
from tidegate.cluster.resources import RELEASE_DECISIONS


async def person(place: Place, name: str, *rules: Json) -> Person:
    """Give somebody the right to make decisions in the place's namespace, and these rights; return them."""
    group = RBAC.partition("/")[0]
    named = {"metadata": {"name": name, "namespace": place.namespace}}
    role = {"apiVersion": RBAC, "kind": "Role", "rules": [deciders.CREATE, *rules], **named}
    subject, reference = {"apiGroup": group, "kind": "User", "name": name}, {"apiGroup": group, "kind": "Role", "name": name}
    binding = {"apiVersion": RBAC, "kind": "RoleBinding", "subjects": [subject], "roleRef": reference, **named}
    for body, plural in ((role, "roles"), (binding, "rolebindings")):
        path = f"/apis/{RBAC}/namespaces/{place.namespace}/{plural}"
        await insist(lambda path=path, body=body: place.cluster.create(path, body))
    return Person(name, place.namespace)


async def decides(place: Place, who: Person, action: str, **spec: Any) -> str:
    """Somebody decides on the version that is wanted or rolled out; return the name of the decision."""
    status = place.status
    version = status.get("candidate") or status.get("wanted") or {}
    about = {field: version[field] for field in ("revision", "digest")} if action in {"Approve", "Override"} else {}
    asked = deciders.decision(action, **{"release": NAME, "role": None, **about, **spec})
    await asyncio.to_thread(deciders.made, who, asked)
    return str(asked["metadata"]["name"])


def outcomes(place: Place) -> list[tuple[str, str, str]]:
    """Return action, role and outcome of each decision there is."""
    found = (
        (one["spec"]["action"], one["spec"].get("role", ""), (one.get("status") or {}).get("outcome", ""))
        for one in place.history.all(RELEASE_DECISIONS.kind)
    )
    return sorted(found)
