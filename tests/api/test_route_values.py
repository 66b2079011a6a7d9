"""A header value in a route, on a real API server: nobody reads it in a Release, and the route is put back with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.cluster_access import kubectl, needs_api, run
from api.operator_access import NAME, Json, Scene, install, router_of, scene_in
from tidegate.cluster.resources import HTTP_ROUTES

pytestmark = needs_api

SECRET = "Bearer s3cr3t-v4lu3"
SET = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "Authorization", "value": SECRET}]}}
VIEW = ("--verb=get,list,watch", "--resource=releases.tidegate.dev,events")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


def viewer(namespace: str) -> str:
    """Make a person who may view Releases and Events of a namespace, as with the role `view`, and no routes; return their name."""
    kubectl("create", "role", "viewer", *VIEW, "--namespace", namespace)
    kubectl("create", "rolebinding", "viewer", "--role=viewer", "--user=viewer", "--namespace", namespace)
    return "viewer"


def read_by(user: str, namespace: str, what: str) -> str:
    done = run("kubectl", "get", what, f"--as={user}", "--namespace", namespace, "-o", "json")
    return done.stdout if done.returncode == 0 else done.stderr


async def rules(scene: Scene) -> list[Json]:
    route = await scene.admin.get(HTTP_ROUTES.path(scene.namespace, NAME))
    found: list[Json] = route["spec"]["rules"]
    return found


async def test_header_value_is_not_shown_and_is_put_back(scene: Scene) -> None:
    """Given a credential in a header filter, a viewer reads it nowhere amid a rollout, and it is in the route afterwards."""
    await scene.policy(steps=[{"weight": 50, "hold": "5s"}, {"weight": 100}])
    await scene.deployment()
    await scene.service()
    backends = [{"name": NAME, "port": 80, "filters": [SET]}, {"name": "other", "port": 80, "weight": 3}]
    parent = {"name": "of-the-test"}
    await scene.create(HTTP_ROUTES, NAME, spec={"parentRefs": [parent], "rules": [{"backendRefs": backends}]})
    before = await rules(scene)
    await scene.release(route=True)
    operator = await scene.start(logLevel="debug")
    user = await asyncio.to_thread(viewer, scene.namespace)
    async with router_of(scene):
        await scene.idle()
        await scene.set_image("checkout:v2")
        status = await scene.until(lambda status: (status.get("step") or {}).get("since") is not None)
        during = await rules(scene)
        seen = [await asyncio.to_thread(read_by, user, scene.namespace, what) for what in ("releases", "events", "httproutes")]
        await scene.until(lambda status: (status.get("lastRollout") or {}).get("outcome") == "Promoted")
        await scene.until(lambda status: not status.get("rollout") and not status.get("originalRules"))
        after = await rules(scene)

    assert 4 == len(during[0]["backendRefs"])
    assert [SET] == during[0]["backendRefs"][1]["filters"]
    assert "Forbidden" in seen[2]
    assert "originalRules" in seen[0]
    assert not [text for text in (*seen, json.dumps(status), operator.tail(100_000)) if SECRET in text or "s3cr3t" in text]
    assert before == after
