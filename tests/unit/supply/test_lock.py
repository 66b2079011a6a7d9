"""The lock is closed: whatever a locked package asks for, on any Python that is supported, is locked itself and fits."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN = PROJECT["project"]["dependencies"]
ROOTS = {
    "build.txt": PROJECT["build-system"]["requires"],
    "run.txt": RUN,
    "dev.txt": [*RUN, *PROJECT["project"]["optional-dependencies"]["dev"]],
}
"""What each lock was resolved from, where its packages are in this environment, and can be asked what they ask for."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True)
class Locked:
    """One package of a lock."""

    version: str
    extras: frozenset[str]


def locked(path: Path) -> dict[str, Locked]:
    """Return the packages of a lock, by name."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE))
    found: dict[str, Locked] = {}
    for entry in entries:
        pinned = re.match(r"([A-Za-z0-9._-]+)(?:\[([\w,-]+)\])?==(\S+)", entry)
        assert pinned is not None, entry
        extras = frozenset((pinned[2] or "").split(",")) - {""}
        found[canonicalize_name(pinned[1])] = Locked(pinned[3], extras)
    return found


def missing(lock: dict[str, Locked], roots: Iterable[str], environment: dict[str, str]) -> list[str]:
    """Follow all requirements from the roots on, and tell those that the lock does not meet."""
    complaints: list[str] = []
    waiting = [("the project", Requirement(root), "") for root in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        asking, wanted, extra = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        if name not in lock or not wanted.specifier.contains(lock[name].version, prereleases=True):
            complaints.append(f"{asking} asks for {wanted}; locked is {lock.get(name)}")
            continue
        if not wanted.extras <= lock[name].extras:
            complaints.append(f"{asking} asks for {wanted}; locked are the extras {sorted(lock[name].extras)}")
        for wanted_extra in {"", *wanted.extras}:
            if (name, wanted_extra) not in seen:
                seen.add((name, wanted_extra))
                asked = importlib.metadata.distribution(name).requires or []
                waiting += [(f"{name}[{wanted_extra}]", Requirement(each), wanted_extra) for each in asked]
    return complaints


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", ROOTS)
def test_whatever_a_locked_package_asks_for_is_locked_too(name: str, python: str, machine: str) -> None:
    """Given a Python and a machine, then following every requirement with its extras never leads out of the lock."""
    environment = {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
    }

    assert [] == missing(locked(ROOT / "requirements" / name), ROOTS[name], environment)


def test_a_requirement_that_leads_out_of_the_lock_is_seen() -> None:
    """A lock without what an extra asks for, as one of coverage was, is not closed."""
    lock = locked(ROOT / "requirements" / "dev.txt")
    without = {**lock, "coverage": Locked(lock["coverage"].version, frozenset())}
    environment = {key: str(value) for key, value in default_environment().items()}

    assert ["asks for coverage[toml]"] == [
        re.search(r"asks for coverage\[toml\]", complaint)[0]  # type: ignore[index]
        for complaint in missing(without, ["pytest-cov"], environment)
    ]


def test_this_environment_is_the_one_that_the_lock_names() -> None:
    """What the test above asks are the locked versions, or it would prove nothing."""
    lock = locked(ROOT / "requirements" / "dev.txt")

    assert {name: package.version for name, package in lock.items()} == {name: importlib.metadata.version(name) for name in lock}


def test_locks_agree_with_one_another() -> None:
    """A package has one version in all files that one environment is made of, whichever is installed last."""
    dev = locked(ROOT / "requirements" / "dev.txt")
    for name in ("installer.txt", "build.txt", "run.txt"):
        for package, entry in locked(ROOT / "requirements" / name).items():
            assert (package, entry.version) == (package, dev[package].version)
