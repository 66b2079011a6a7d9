"""The bill of materials: every locked package with its hashes, and nothing that the lock does not say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unit.supply.programs import ROOT, loaded

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    return loaded("requirements/sbom.py")


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program writes of this checkout, run as the make target runs it."""
    file = tmp_path_factory.mktemp("sbom") / "new" / "tidegate.cdx.json"
    subprocess.run([sys.executable, ROOT / "requirements" / "sbom.py", file], check=True, capture_output=True, timeout=60)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def locked() -> dict[tuple[str, str], dict[str, set[str]]]:
    """Return the hashes of each package and version by lock, read line by line and not as the program does."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for path in LOCKS:
        hashes: set[str] = set()
        for line in path.read_text().splitlines():
            if "==" in line and not line.lstrip().startswith("#"):
                name, _, rest = line.partition("==")
                hashes = found.setdefault((name.partition("[")[0], rest.split()[0]), {}).setdefault(path.name, set())
            hashes |= {line.split("sha256:")[1].split()[0]} if "--hash=sha256:" in line else set()
    return found


def test_every_locked_package_is_named_with_its_hashes(bill: dict[str, Any]) -> None:
    """Each package of each file of the lock is there once, with all of its hashes and the files that name it, and no other."""
    named = {(one["name"], one["version"]): one for one in bill["components"]}
    expected = locked()

    assert len(expected) > 90
    assert len(bill["components"]) == len(named)
    assert expected.keys() == named.keys()
    for key, locks in expected.items():
        one = named[key]
        assert {hash_ for found in locks.values() for hash_ in found} == {each["content"] for each in one["hashes"]}
        assert {"SHA-256"} == {each["alg"] for each in one["hashes"]}
        assert sorted(locks) == [each["value"] for each in one["properties"]]
        assert ("required" if "run.txt" in locks else "excluded") == one["scope"]
        assert f"pkg:pypi/{re.sub(r'[-_.]+', '-', key[0]).lower()}@{key[1]}" == one["purl"] == one["bom-ref"]


def test_it_is_a_bill_of_the_project(bill: dict[str, Any]) -> None:
    """Format, version and the program itself stand at its head, and what the image depends on is what is required."""
    required = [one["bom-ref"] for one in bill["components"] if one["scope"] == "required"]
    root = bill["metadata"]["component"]

    assert ("CycloneDX", "1.6", 1) == (bill["bomFormat"], bill["specVersion"], bill["version"])
    assert uuid.UUID(bill["serialNumber"].removeprefix("urn:uuid:")).version == 5
    assert ("tidegate", [{"license": {"id": "Apache-2.0"}}]) == (root["name"], root["licenses"])
    assert [{"ref": root["bom-ref"], "dependsOn": required}] == bill["dependencies"]


def test_same_lock_gives_the_same_bill(sbom: ModuleType, tmp_path: Path) -> None:
    """Nothing in it is of the day or the machine; another version of a package gives it another number."""
    project = {"name": "demo", "version": "1", "description": "d", "license": "Apache-2.0"}
    lock = tmp_path / "run.txt"
    lock.write_text(f"demo==1.0 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n    # via other==2\n")
    first, again = (sbom.bill(sbom.packages(tmp_path), project) for _ in range(2))
    lock.write_text(f"demo==1.1 \\\n    --hash=sha256:{'a' * 64}\n")
    changed = sbom.bill(sbom.packages(tmp_path), project)

    assert first == again
    assert first["serialNumber"] != changed["serialNumber"]
    assert [("demo", "1.0", ["a" * 64, "b" * 64])] == [
        (one["name"], one["version"], [each["content"] for each in one["hashes"]]) for one in first["components"]
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("demo>=1.0\n", "run.txt: 'demo>=1.0' pins no package"),
        ("demo==1.0\n", "run.txt: demo has no hash"),
        ("-e .\n", "run.txt: '-e .' pins no package"),
    ],
)
def test_what_is_not_locked_is_told(sbom: ModuleType, tmp_path: Path, text: str, told: str) -> None:
    """A line that pins no package by hash is no part of a bill: it is named, and nothing is written."""
    (tmp_path / "run.txt").write_text(text)

    with pytest.raises(ValueError, match=re.escape(told)):
        sbom.packages(tmp_path)
