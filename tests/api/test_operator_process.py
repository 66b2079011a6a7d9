"""The operator as a process: how it starts, ends, is asked how it is, and goes on after a crash."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest

from api.cluster_access import needs_api
from api.operator_access import NAME, PATIENCE, Scene, install, scene_in
from tidegate.cluster.resources import DEPLOYMENTS, PODS, RELEASES

T = TypeVar("T")
pytestmark = needs_api
PROMPT = 1.0
"""Seconds in which the operator has to stop all its parts when it is told to; the rest is the interpreter's."""
EXPIRED = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}) + "\n"
"""How the API server says on a watch that history no longer reaches back far enough."""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        yield scene


async def until(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """Look until what is seen is as wanted, and return it."""
    async with asyncio.timeout(PATIENCE):
        while not holds(seen := await look()):  # noqa: ASYNC110 - the other process has no event to wait for
            await asyncio.sleep(0.05)
    return seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_it_promptly_and_well(scene: Scene, number: signal.Signals) -> None:
    """Told to end while it watches, it ends with status 0 in well under the time that matters, without a traceback."""
    await scene.policy()
    await scene.deployment()
    await scene.release()
    operator = await scene.start()
    await scene.idle()

    status, seconds = await operator.end(number)

    stopping, ended = operator.lines()[-2:]
    inside = datetime.fromisoformat(ended["timestamp"]) - datetime.fromisoformat(stopping["timestamp"])
    print(f"{number.name}: {seconds:.3f} s, of which {inside.total_seconds():.3f} s to stop all parts")
    assert 0 == status
    assert ("stopping", "ended") == (stopping["event"], ended["event"])
    assert inside.total_seconds() < PROMPT
    assert "Traceback" not in operator.tail(1000)


async def test_signal_ends_it_while_it_waits_for_the_api_server(scene: Scene) -> None:
    """Told to end before it has ever reached the API server, it ends at once, too."""
    scene.proxy.fault("", ".", cut=True)
    operator = await scene.start(ready=False)
    await operator.told("Releases cannot be listed; this is tried again")

    status, seconds = await operator.end(signal.SIGTERM)

    assert 0 == status
    assert seconds < PATIENCE / 4


async def test_api_server_that_is_away_at_the_start_is_waited_for(scene: Scene) -> None:
    """Started before the API server answers, it is alive and not ready, says so once, and serves as soon as it does."""
    await scene.policy()
    await scene.deployment()
    await scene.release()
    away = scene.proxy.fault("", ".", cut=True)
    operator = await scene.start(ready=False)
    await operator.told("Releases cannot be listed; this is tried again")
    alive, ready = await operator.ask("/healthz"), await operator.ask("/readyz")

    scene.proxy.mend(away)
    await operator.ready()

    assert 200 == alive[0]
    assert 503 == ready[0]
    assert "[-] releases.tidegate.dev: list releases.tidegate.dev" in ready[1]
    assert 1 == sum(line["event"].startswith("Releases cannot be listed") for line in operator.lines())
    await scene.idle()


async def test_port_that_is_taken_ends_it(scene: Scene) -> None:
    """Without its port it cannot be probed: it ends with status 2 and says why."""
    first = await scene.start()
    port = first.port

    second = await scene.start(ready=False, httpPort=port)

    assert 2 == await second.ended(within=20)
    assert f"cannot listen on 127.0.0.1:{port}" in second.tail()


async def test_kinds_that_are_missing_end_it(scene: Scene) -> None:
    """Where the API server does not know Releases, it ends with status 2 and says what to do."""
    scene.proxy.fault("GET", "/releases", status=404, reason="NotFound")

    operator = await scene.start(ready=False)

    assert 2 == await operator.ended(within=20)
    assert "the API server does not know releases.tidegate.dev: apply crds/ first" in operator.tail()
    assert "Traceback" not in operator.tail(1000)


async def test_policies_that_are_missing_end_it(scene: Scene) -> None:
    """Where the API server does not know policies, it ends with status 2 and says what to do."""
    scene.proxy.fault("GET", "/rolloutpolicies", status=404, reason="NotFound")

    operator = await scene.start(ready=False)

    assert 2 == await operator.ended(within=20)
    assert "the API server does not know rolloutpolicies.tidegate.dev: apply crds/ first" in operator.tail()


async def test_watch_that_cannot_go_on_ends_it(scene: Scene) -> None:
    """When kopf gives up, the process ends with status 1 and says so, and is to be started again."""
    operator = await scene.start()
    scene.proxy.fault("GET", r"/releases\?", status=404, reason="NotFound")
    scene.proxy.sever()

    assert 1 == await operator.ended(within=PATIENCE)
    last = operator.lines()[-1]
    assert "a part of the operator has ended; exiting, so that Kubernetes restarts this replica" == last["event"]
    assert "the watch of Releases has ended" in str(last["exception"])


async def test_errors_of_the_api_server_do_not_end_it(scene: Scene) -> None:
    """Given lists and watches that fail and are cut off, it lives on, and is ready again once they work."""
    operator = await scene.start()
    faults = [scene.proxy.fault("GET", "releases", status=503), scene.proxy.fault("GET", ".", status=500)]
    scene.proxy.sever()
    await until(lambda: operator.ask("/readyz"), lambda answer: answer[0] == 503)
    alive = await operator.ask("/healthz")

    scene.proxy.mend(*faults)

    assert 200 == alive[0]
    await operator.ready()
    await scene.policy()
    await scene.deployment()
    await scene.release()
    await scene.idle()


async def test_credentials_that_are_refused_are_tried_now_and_then(scene: Scene) -> None:
    """Given an API server that refuses its credentials, it does not storm the API server, and serves once they are accepted."""
    operator = await scene.start()
    refused = scene.proxy.fault("GET", "/releases", status=401, reason="Unauthorized")
    scene.proxy.sever()
    await until(lambda: operator.ask("/readyz"), lambda answer: answer[0] == 503)
    before = refused.hits
    await asyncio.sleep(6)
    attempts = refused.hits - before

    scene.proxy.mend(refused)
    await operator.ready()

    assert attempts <= 6
    status, seconds = await operator.end()
    assert 0 == status
    assert seconds < PATIENCE / 4


async def test_release_that_went_while_the_watch_was_away_is_forgotten(scene: Scene) -> None:
    """Given a Release that goes, finalizer and all, while no watch works, the operator finds out when it lists again."""
    await scene.policy()
    await scene.deployment()
    await scene.release()
    operator = await scene.start()
    await scene.idle()
    away = scene.proxy.fault("", "/releases", status=503)
    scene.proxy.sever()
    await until(lambda: operator.ask("/readyz"), lambda answer: answer[0] == 503)
    path = RELEASES.path(scene.namespace, NAME)
    await scene.admin.merge_patch(path, {"metadata": {"finalizers": None}})
    await scene.admin.delete(path)
    # The watch goes on from where it was, unless history has been thrown away meanwhile. Not once: a request that is given up just
    # then would take the answer with it.
    scene.proxy.mend(away)
    scene.proxy.fault("GET", "/releases.*watch=true", status=200, text=EXPIRED)

    shown = f'tidegate_release_weight_percent{{namespace="{scene.namespace}"'
    await until(lambda: operator.ask("/metrics"), lambda answer: answer[0] == 200 and shown not in answer[1])

    assert any(line["event"] == "a Release has gone unnoticed" for line in operator.lines())


async def test_probes_and_metrics(scene: Scene) -> None:
    """While it serves, its probes say so line by line, and its metrics tell of the Release and of what it cost."""
    await scene.policy()
    await scene.deployment()
    await scene.release()
    operator = await scene.start()
    await scene.idle()

    alive, ready, metrics = [await operator.ask(path) for path in ("/healthz", "/readyz", "/metrics")]

    assert 200 == alive[0]
    assert 200 == ready[0]
    assert all(line.startswith("[+] ") for line in ready[1].splitlines())
    assert 'tidegate_releases{phase="Idle"} 1.0' in metrics[1]
    assert f'tidegate_release_weight_percent{{namespace="{scene.namespace}",release="{NAME}"}} 0.0' in metrics[1]
    assert 'tidegate_api_requests_total{code="200",resource="releases.tidegate.dev/status",verb="patch"}' in metrics[1]
    assert 'tidegate_api_requests_total{code="200",resource="releases.tidegate.dev",verb="watch"}' in metrics[1]


async def test_rollout_survives_crashes(scene: Scene) -> None:
    """Given an operator that is killed again and again while it rolls a version out, the version is promoted."""
    await scene.policy()
    await scene.deployment(replicas=3)
    await scene.release()
    operator = await scene.start()
    await scene.idle()
    await scene.set_image("checkout:v2")

    for lifetime in (0.3, 0.6, 1.0, 1.5, 2.5):
        await asyncio.sleep(lifetime)
        await operator.end(signal.SIGKILL)
        operator = await scene.start()
    await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2" and not status.get("rollout"))
    await scene.idle()

    pods = (await scene.admin.list(PODS.path(scene.namespace))).items
    left = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    deployment = await scene.admin.get(DEPLOYMENTS.path(scene.namespace, NAME))
    assert {"checkout:v2"} == {pod["spec"]["containers"][0]["image"] for pod in left}
    assert 3 == len(left)
    assert "Promoted" == (await scene.status())["lastRollout"]["outcome"]
    assert 3 == deployment["status"]["availableReplicas"]
