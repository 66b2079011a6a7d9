"""Look pinned requirements up in the advisories of the Python package index, by pip-audit, in an environment of its own.

Usage: audit.py [--strict] REQUIREMENTS...

Ends with 0 where nothing is known against them, and with 1 where something is. Some mirrors of the index serve packages and no
advisories; pip-audit then says that it found nothing. So a package that is certainly there is asked for first. Where it is unknown,
or the audit itself fails, nothing is audited, which is said: the end is 0, or 2 under --strict.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROBE = "pip==25.0\n"
"""A release that the index has, whatever else it has."""
TIMEOUT = 15
"""Seconds for one answer of the index."""


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        looked_up: packages that the index knows.
        unknown: packages that it does not know.
        advisories: what is known against packages: name, version, id of the advisory, versions that mend it.
    """

    looked_up: tuple[str, ...]
    unknown: tuple[str, ...]
    advisories: tuple[tuple[str, str, str, str], ...]


def read(text: str) -> Report:
    """Read what `pip-audit --format json` says.

    Raises:
        ValueError: it is not that.
    """
    try:
        dependencies = json.loads(text)["dependencies"]
        found = [one for one in dependencies if "skip_reason" not in one]
        return Report(
            looked_up=tuple(one["name"] for one in found),
            unknown=tuple(one["name"] for one in dependencies if "skip_reason" in one),
            advisories=tuple(
                (one["name"], one["version"], each["id"], ", ".join(each.get("fix_versions") or ["none yet"]))
                for one in found
                for each in one["vulns"]
            ),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"pip-audit said what was not expected: {text[:200]}") from error


def installed(folder: Path) -> Path:
    """Make an environment with pip-audit as pinned in requirements/audit.txt, and return its program."""
    requirements = ROOT / "requirements"
    subprocess.run([sys.executable, requirements / "install.py", folder, requirements / "audit.txt"], check=True)
    return folder / "bin" / "pip-audit"


def audited(program: Path, requirements: Path) -> Report:
    """Audit one file of requirements; it is read as it stands, and nothing is installed."""
    options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", f"--timeout={TIMEOUT}"]
    done = subprocess.run([program, "-r", requirements, *options], capture_output=True, text=True, check=False)
    if not done.stdout:
        raise ValueError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip-audit said nothing")
    return read(done.stdout)


def told(reports: dict[str, Report]) -> int:
    """Say what was found, and return the status to end with."""
    for name, report in reports.items():
        missing = f"; not known there: {', '.join(report.unknown)}" if report.unknown else ""
        print(f"{name}: {len(report.looked_up)} packages looked up, {len(report.advisories)} advisories{missing}")
        for package, version, advisory, mended in report.advisories:
            print(f"  {package} {version}: {advisory}, mended in {mended}")
    return 1 if any(report.advisories for report in reports.values()) else 0


def main() -> int:
    """Audit what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strict", action="store_true", help="fail where no advisories are served")
    parser.add_argument("requirements", nargs="+", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidegate-audit-") as folder:
        probe = Path(folder) / "probe.txt"
        probe.write_text(PROBE, encoding="utf-8")
        try:
            program = installed(Path(folder) / "environment")
            if not audited(program, probe).looked_up:
                print("NOT AUDITED: the package index that is reached from here serves no advisories")
                return 2 if chosen.strict else 0
            return told({path.name: audited(program, path) for path in chosen.requirements})
        except (ValueError, OSError, subprocess.SubprocessError) as error:
            print(f"NOT AUDITED: {error}")
            return 2 if chosen.strict else 0


if __name__ == "__main__":
    sys.exit(main())
