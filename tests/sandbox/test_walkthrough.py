"""The walkthrough: it ends as it should on a cluster of its own, and the page in docs/ tells what it plays."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate_sandbox.walkthrough.script import ACTS

ROOT = Path(__file__).parents[2]
TYPED = re.compile(r"^\[([a-z-]+)\] \$ (.+)$", re.MULTILINE)


def test_the_page_has_the_commands_that_are_played() -> None:
    """Who types what, in the order of the acts."""
    page = (ROOT / "docs" / "walkthrough.md").read_text()

    assert [(act.who, act.command) for act in ACTS] == TYPED.findall(page)


@pytest.mark.sandbox
@pytest.mark.timeout(300)
def test_every_act_ends_as_it_should() -> None:
    """One version goes from dev to production by what three people type, past a vote that is refused and a freeze."""
    done = subprocess.run(
        [sys.executable, "-m", "tidegate_sandbox.walkthrough"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert [(act.who, act.command) for act in ACTS] == TYPED.findall(done.stdout)
