"""The nightly run goes through all of its parts, and is red where one of them is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from unit.supply.programs import ROOT

MAKE = '#!/bin/sh\necho "make $*"\n[ "$1" != fuzz ]\n'
"""A make whose target `fuzz` is red."""


def nightly(folder: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    (make := folder / "make").write_text(MAKE)
    make.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run([ROOT / ".ci/nightly", *parts], env={"PATH": path}, capture_output=True, text=True, check=False)


def test_a_red_part_keeps_none_from_being_run(tmp_path: Path) -> None:
    """What comes after a red part is run as well; the end names it, and the audit is the strict one."""
    done = nightly(tmp_path)

    made = [line.removeprefix("make ") for line in done.stdout.splitlines() if line.startswith("make ")]
    assert ["audit STRICT=1", "coverage", "fuzz", "faults", "field"] == made
    assert (1, "Red: fuzz\n") == (done.returncode, done.stderr)


def test_parts_are_run_by_name(tmp_path: Path) -> None:
    """Parts that are named are run, and no other; a part that is not there is refused before anything is run."""
    named, unknown = nightly(tmp_path, "audit", "field"), nightly(tmp_path, "audit", "audits")

    assert (0, "All is well: audit field") == (named.returncode, named.stdout.splitlines()[-1])
    assert (2, "") == (unknown.returncode, unknown.stdout)
    assert "There is no part audits; there are audit, coverage, fuzz, faults and field.\n" == unknown.stderr


@pytest.mark.parametrize("target", ["audit", "coverage", "fuzz", "faults", "field"])
def test_each_part_can_be_made(target: str) -> None:
    """The Makefile has the target of each part."""
    assert 0 == subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=False).returncode
