"""A reflector lives through an API server that hangs, dies and comes back. In a sandbox of its own: it hurts the others."""

import asyncio
import os
import subprocess
import sys

import pytest

from api.cluster_client_access import api_server, config_map, fresh_namespace, until
from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import Unavailable
from tidegate.cluster.reflector import Reflector, State
from tidegate.cluster.resources import CONFIG_MAPS
from tidegate.runtime.clock import SystemClock
from tidegate.runtime.store import Store
from tidegate_sandbox.cluster import ClusterInfo

INSIDE = "TIDEGATE_TEST_OUTAGE"
API_SERVER = "kube-apiserver"


@pytest.mark.sandbox
@pytest.mark.skipif(INSIDE in os.environ, reason="this is the run inside")
def test_in_a_sandbox_of_its_own():
    """Runs the test below in a fresh sandbox."""
    inside = [sys.executable, "-m", "pytest", __file__, "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "tidegate_sandbox", "run", "--parts", "api", "--", *inside],
        env={**os.environ, INSIDE: "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.api
@pytest.mark.skipif(INSIDE not in os.environ, reason="runs within test_in_a_sandbox_of_its_own")
async def test_api_server_that_hangs_dies_and_comes_back():
    """Health tells within seconds, the store keeps what it had, requests fail in time, and nothing is missed after."""
    sandbox = ClusterInfo.from_environment()
    async with api_server() as cluster, fresh_namespace(cluster) as place:
        await cluster.apply(config_map(place, "before"))
        store = Store(SystemClock())
        reflector = Reflector(cluster, CONFIG_MAPS, store, clock=SystemClock(), namespace=place, inactivity=2)
        task = asyncio.create_task(reflector.run())
        assert State.SYNCED is await reflector.wait_synced(20)

        await asyncio.to_thread(sandbox.freeze, API_SERVER)
        await until(lambda: reflector.health.state is State.STALE)
        await refused_in_time(cluster)
        assert names(store) == {"before"}
        await asyncio.to_thread(sandbox.thaw, API_SERVER)
        await until(lambda: reflector.health.state is State.SYNCED, within=40)
        await cluster.apply(config_map(place, "between"))
        await until(lambda: names(store) == {"before", "between"})

        await asyncio.to_thread(sandbox.stop, API_SERVER)
        await until(lambda: reflector.health.state is State.STALE)
        await refused_in_time(cluster)
        assert names(store) == {"before", "between"}
        await asyncio.to_thread(sandbox.start, API_SERVER)
        await cluster.apply(config_map(place, "after"))
        await until(lambda: names(store) == {"before", "between", "after"}, within=40)

        assert State.SYNCED is reflector.health.state
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def refused_in_time(cluster: Cluster) -> None:
    """A request ends with `Unavailable` rather than never."""
    with pytest.raises(Unavailable):
        await cluster.get("/version", within=1)


def names(store: Store) -> set[str]:
    found = {obj["metadata"]["name"] for obj in store.objects("ConfigMap")}
    return found - {"kube-root-ca.crt"}
