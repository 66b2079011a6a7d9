"""The wheel: what people who install Tidegate get, and what stays in the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from unit.supply.programs import ROOT


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of what is in the wheel that this checkout builds."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = Path(folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_says_that_it_is_typed(files: set[str]) -> None:
    """Whoever imports Tidegate has its types checked: the mark of PEP 561 is in the package."""
    assert "tidegate/py.typed" in files


def test_wheel_has_the_operator_and_no_tool_of_the_checkout(files: set[str]) -> None:
    """Each module of the operator is in it; the local cluster, the demo and the tests are not."""
    modules = {path.relative_to(ROOT / "operator").as_posix() for path in (ROOT / "operator" / "tidegate").rglob("*.py")}

    assert modules <= files
    assert {name.split("/")[0] for name in files if ".dist-info/" not in name} == {"tidegate"}
