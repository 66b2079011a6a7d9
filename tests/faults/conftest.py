"""The ground for faults: what deploy/ installs, once for all workers, and a nursery of operators for each."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from faults import setting
from faults.place import Grounds, grounds
from tidegate_sandbox.cluster import ClusterInfo


@pytest.fixture(scope="session")
def installed() -> None:
    """The cluster is as the faults need it; one worker after another sees to it."""
    with (ClusterInfo.from_environment().directory / "faults.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        setting.install()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def ground(installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grounds]:
    folder: Path = tmp_path_factory.mktemp("faults")
    async with grounds(folder) as found:
        yield found
