"""What tests on the API server begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.cluster_client_access import api_server, fresh_namespace
from tidegate.cluster.client import Cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A client with the rights of the sandbox's administrator."""
    async with api_server() as cluster:
        yield cluster


@pytest.fixture
async def place(cluster: Cluster) -> AsyncIterator[str]:
    """A namespace that no other test has."""
    async with fresh_namespace(cluster) as name:
        yield name
