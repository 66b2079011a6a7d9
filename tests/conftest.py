"""How property tests choose their examples, in all suites, and in which order tests run that run side by side."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# The same examples in every run: a change is judged by what it does, not by the luck of the draw. Other ones are tried by
# `make fuzz`, which keeps those that fail. No time limit for one example: machines are busy at times.
settings.register_profile("usual", derandomize=True, database=None, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if int(os.environ.get("TIDEGATE_FUZZ", "1")) > 1 else "usual")

HERE = Path(__file__).parent
WAITING = {"api", "e2e", "faults", "sandbox"}
"""Folders whose tests mostly wait for a cluster; the others keep a processor busy."""
BY_THEN = 0.8
"""Share of the tests that only compute after which the last of those that wait begins: what takes long is not left for the end."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mix tests that wait with tests that compute, where workers share them: no processor is idle now and in demand by all then.

    What assumes a cluster without deploy/ comes first, for stories install it there and leave it.
    """
    if not hasattr(config, "workerinput"):
        return
    waiting = sorted((item for item in items if _waits(item)), key=lambda item: item.get_closest_marker("undeployed") is None)
    computing = [item for item in items if not _waits(item)]
    places = [(BY_THEN * number / len(waiting), item) for number, item in enumerate(waiting)]
    places += [(number / len(computing), item) for number, item in enumerate(computing)]
    items[:] = [item for _, item in sorted(places, key=lambda place: place[0])]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Share tests out one by one, but for those of a module that are marked as a group: they run on one worker, one after another.

    What such a module sets up would be taken down and set up again between tests of others. The scheduler that comes with xdist 3.8
    for this (loadgroup) finds no groups under pytest 9.2, which keeps ids of tests where xdist does not look, and says nothing.
    """
    # The largest first, as is its default, would have stories install deploy/ beside tests that assume a cluster without it.
    config.option.loadscopereorder = False
    return _Together(config, log)


class _Together(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if _is_group(module) else nodeid


@cache
def _is_group(module: str) -> bool:
    return "xdist_group(" in (HERE.parent / module).read_text(encoding="utf-8")


def _waits(item: pytest.Item) -> bool:
    return item.path.relative_to(HERE).parts[0] in WAITING
