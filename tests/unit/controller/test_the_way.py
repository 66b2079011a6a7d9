"""One breach goes through the functions that docs/architecture.md names, in their order."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from unit.controller.objects import NAME
from unit.controller.stage import Stage

STAGES = "tidegate.controller.reconcile.stages"
PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"
WITHOUT_PROMETHEUS = slice(3, 12)
"""The first three take looks and ask Prometheus, in whose place the stage answers."""


def way() -> list[str]:
    """Return the functions of the table on the page."""
    return re.findall(r"^\| \d+ \| `([\w.]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def stages() -> list[str]:
    """Return the functions of the four stages, as the page has them."""
    return re.findall(rf"^\| [a-z ]+ \| `({re.escape(STAGES)}[\w.]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@contextmanager
def calls(of: set[str]) -> Iterator[list[str]]:
    """Note when functions are called for the first time, by their dotted names."""
    met: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        name = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}" if event == "call" else ""
        if name in of and name not in met:
            met.append(name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield met
    finally:
        sys.setprofile(before)


async def test_a_breach_takes_the_way_of_the_page(stage: Stage) -> None:
    """Given a version at 10%, when a look finds it broken, then these functions run in this order until its route is shut."""
    stage.at_ten_percent()
    await stage.passes()
    expected = way()[WITHOUT_PROMETHEUS]

    with calls(set(expected)) as met:
        await stage.breach()
        await stage.reconciler.reconcile(await stage.queue.get())

    assert stage.weights[f"{NAME}-canary"] == 0
    assert met == expected


async def test_a_pass_comes_back_to_no_stage(stage: Stage) -> None:
    """Given a breach, the pass enters the four rooms of the page once each, in their order, by the functions named there."""
    stage.at_ten_percent()
    await stage.passes()
    await stage.breach()
    entered: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        module, made = str(frame.f_globals.get("__name__")), frame.f_code.co_name == "__init__"
        if event == "call" and not made and module.startswith(STAGES) and not (entered and entered[-1].startswith(module)):
            entered.append(f"{module}.{frame.f_code.co_qualname}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        await stage.reconciler.reconcile(await stage.queue.get())
    finally:
        sys.setprofile(before)

    assert stage.weights[f"{NAME}-canary"] == 0
    assert 4 == len(entered)
    assert stages() == entered
