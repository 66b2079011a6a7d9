"""What the audit of dependencies makes of pip-audit's answers, and that there is nothing it does not see."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unit.supply.programs import ROOT, loaded

REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    return loaded(".ci/audit.py")


def said(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(dependencies), "fixes": []})


def test_advisories_fail_and_are_told(audit: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """An advisory ends the audit with 1, and says package, version, advisory and the version that mends it."""
    bad = {"name": "demo", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]}
    good = {"name": "fine", "version": "2.0", "vulns": []}

    status = audit.told({"run.txt": audit.read(said(bad, good))})

    assert 1 == status
    assert "run.txt: 2 packages looked up, 1 advisories" in (text := capsys.readouterr().out)
    assert "demo 1.0: PYSEC-1, mended in 1.1" in text


def test_what_was_not_looked_up_is_told(audit: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A package that the index does not know is no package without advisories."""
    unknown = {"name": "odd", "skip_reason": "Dependency not found on PyPI and could not be audited: odd (1.0)"}

    status = audit.told({"run.txt": audit.read(said(unknown))})

    assert 0 == status
    assert "0 packages looked up, 0 advisories; not known there: odd" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"dependencies": [{}]}', '{"dependencies": 1}'])
def test_other_words_are_no_audit(audit: ModuleType, text: str) -> None:
    """What is no report is not taken for one that found nothing."""
    with pytest.raises(ValueError, match="what was not expected"):
        audit.read(text)


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_every_requirement_is_pinned_by_hash(file: Path) -> None:
    """Each line names one version, and the hashes of its files; nothing comes from an address of its own."""
    text = re.sub(r"\\\n\s*", "", file.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    assert [] == [
        line[:80]
        for line in lines
        if not re.match(r"[a-z0-9._-]+(\[[a-z,-]+\])?==[^\s;]+( ; [^-]+)? ?--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert "://" not in "".join(lines)
