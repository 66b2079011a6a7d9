"""Fixtures: an API server on loopback, and the reconciler with everything around it on a clock that the test moves."""

from collections.abc import AsyncIterator

import pytest

from tidegate.runtime.spare import Spare
from unit.controller.api_server import ApiServer
from unit.controller.stage import Stage


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    api = ApiServer()
    await api.server.start_server()
    yield api
    for fault in api.faults:
        if fault.gate is not None:
            fault.gate.set()
    await api.server.close()


@pytest.fixture
def spare() -> Spare:
    """Return how much the caches keep of what no Release names."""
    return Spare()


@pytest.fixture
async def stage(api: ApiServer, spare: Spare) -> AsyncIterator[Stage]:
    stage = Stage(api, spare)
    yield stage
    await stage.close()
