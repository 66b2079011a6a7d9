"""Write a bill of materials of the locked Python packages, as CycloneDX 1.6 in JSON.

Usage: sbom.py [OUTPUT]

What the image holds (run.txt) is required; what builds it, and what tests and audits are done with, is marked as excluded, with the
files of the lock that name it. A package's hashes are those of all the files that may be installed for it, one for each machine and
Python. Nothing is asked of a package index, and the same lock gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "run.txt"
"""The part of the lock that is in the image."""

_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass
class Package:
    """A locked package.

    Attributes:
        name: as the lock has it.
        version: likewise.
        locks: the files of the lock that name it.
        hashes: SHA-256 of the files that may be installed.
    """

    name: str
    version: str
    locks: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)

    @property
    def purl(self) -> str:
        """The package URL, https://github.com/package-url/purl-spec."""
        return f"pkg:pypi/{re.sub(r'[-_.]+', '-', self.name).lower()}@{self.version}"


def packages(folder: Path) -> list[Package]:
    """Return all packages of a lock, by name and version.

    Args:
        folder: where its files are, `*.txt`.

    Raises:
        ValueError: a line is none of a lock, or a package has no hash.
    """
    found: dict[str, Package] = {}
    for path in sorted(folder.glob("*.txt")):
        for line in _entries(path.read_text(encoding="utf-8")):
            pinned = _ENTRY.match(line)
            if pinned is None:
                raise ValueError(f"{path.name}: {line[:80]!r} pins no package")
            hashes = _HASH.findall(line)
            if not hashes:
                raise ValueError(f"{path.name}: {pinned[1]} has no hash")
            fresh = Package(pinned[1], pinned[2])
            package = found.setdefault(fresh.purl, fresh)
            package.locks.add(path.name)
            package.hashes.update(hashes)
    return sorted(found.values(), key=lambda package: package.purl)


def _entries(text: str) -> list[str]:
    """Return the lines of a lock, joined where they go on, without comments."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n?", "", text, flags=re.MULTILINE))
    return [line.strip() for line in joined.splitlines() if line.strip()]


def bill(found: list[Package], project: dict[str, Any]) -> dict[str, Any]:
    """Return the bill of materials, https://cyclonedx.org/docs/1.6/json/.

    Args:
        found: the packages.
        project: the table `project` of pyproject.toml.
    """
    name, version = project["name"], project["version"]
    root = f"pkg:pypi/{name}@{version}"
    components = [_component(package) for package in found]
    # By its content: the same lock has the same number.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([root, components], sort_keys=True))
    shipped = [package.purl for package in found if IMAGE in package.locks]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "version": version,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": root,
            }
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": shipped}],
    }


def _component(package: Package) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "scope": "required" if IMAGE in package.locks else "excluded",
        "hashes": [{"alg": "SHA-256", "content": content} for content in sorted(package.hashes)],
        "purl": package.purl,
        "properties": [{"name": "tidegate:lock", "value": lock} for lock in sorted(package.locks)],
    }


def main() -> int:
    """Write the bill of this checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, help="file to write; by default standard output")
    chosen = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = packages(ROOT / "requirements")
    text = json.dumps(bill(found, project), indent=2) + "\n"
    if chosen.output is None:
        sys.stdout.write(text)
        return 0
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(text, encoding="utf-8")
    print(f"{chosen.output}: {len(found)} packages, {sum(IMAGE in package.locks for package in found)} of them in the image")
    return 0


if __name__ == "__main__":
    sys.exit(main())
