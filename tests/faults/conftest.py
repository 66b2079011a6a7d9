"""The ground for faults: what deploy/ installs, and a nursery of operators for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from faults import setting
from faults.place import Grounds, grounds


@pytest.fixture(scope="session")
def installed() -> None:
    """The cluster is as the faults need it."""
    setting.install()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def ground(installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grounds]:
    folder: Path = tmp_path_factory.mktemp("faults")
    async with grounds(folder) as found:
        yield found
