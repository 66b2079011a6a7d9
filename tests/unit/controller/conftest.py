"""Fixtures: an API server on loopback, and the reconciler with everything around it on a clock that the test moves."""

from collections.abc import AsyncIterator

import pytest

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
async def stage(api: ApiServer) -> AsyncIterator[Stage]:
    stage = Stage(api)
    yield stage
    await stage.close()
