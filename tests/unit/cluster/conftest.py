"""Fixtures for the client and what is built on it: a scripted server on loopback, and a client for it."""

from collections.abc import AsyncIterator

import pytest

from tidegate.cluster.client import Cluster
from unit.cluster.loopback import AutoClock, Loopback


@pytest.fixture
async def loopback() -> AsyncIterator[Loopback]:
    loopback = Loopback()
    await loopback.server.start_server()
    yield loopback
    await loopback.server.close()


@pytest.fixture
async def cluster(loopback: Loopback) -> AsyncIterator[Cluster]:
    async with Cluster(loopback.connection()) as cluster:
        yield cluster


@pytest.fixture
def auto_clock() -> AutoClock:
    return AutoClock()
