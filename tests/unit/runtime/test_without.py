"""Libraries are loaded without what the operator has no use for, and that can be had by whoever asks for it later."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tidegate.runtime.without import without_parts


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A library that imports a heavy part of its own beside the one that is wanted."""
    package = tmp_path / "cellar"
    package.mkdir()
    (package / "__init__.py").write_text("from . import heavy\nfrom . import wanted\n")
    (package / "heavy.py").write_text("WEIGHT = 4\n")
    (package / "wanted.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("cellar", "cellar.heavy", "cellar.wanted"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "cellar"


def test_part_that_nobody_uses_is_not_loaded(library: str) -> None:
    """Given a library that imports a part at once, when it is loaded without it, then nothing stands in the part's place."""
    without_parts([f"{library}.heavy"], f"{library}.wanted")

    assert 1 == sys.modules[f"{library}.wanted"].VALUE
    assert (False, False) == (f"{library}.heavy" in sys.modules, hasattr(sys.modules[library], "heavy"))


def test_part_is_there_for_whoever_asks_later(library: str) -> None:
    """Given a library that was loaded without a part, when that is imported after all, then it is whole."""
    without_parts([f"{library}.heavy"], f"{library}.wanted")

    assert 4 == importlib.import_module(f"{library}.heavy").WEIGHT


def test_what_is_loaded_stays_as_it_is(library: str) -> None:
    """Given a library that somebody has loaded, then nothing of it is taken away."""
    whole = importlib.import_module(library)
    without_parts([f"{library}.heavy"], f"{library}.wanted")

    assert 4 == whole.heavy.WEIGHT
