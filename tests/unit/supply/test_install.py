"""What is installed depends neither on the day nor on the pip at hand, and a machine that lacks something is told what."""

from __future__ import annotations

import ast
import base64
import ensurepip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from unit.supply.programs import ROOT, loaded

pytestmark = pytest.mark.xdist_group("install")
INSTALL = ROOT / "requirements" / "install.py"


@pytest.fixture(scope="module")
def install() -> ModuleType:
    return loaded("requirements/install.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's `requirements` folder whose installer is the pip that this Python brings, and an environment of that."""
    home = tmp_path_factory.mktemp("checkout")
    (home / "requirements").mkdir()
    (home / "packages").mkdir()
    shutil.copy(INSTALL, home / "requirements" / INSTALL.name)
    (bundled,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    shutil.copy(bundled, home / "packages")
    lock(home, "installer.txt", f"pip=={ensurepip.version()}")
    done = run(home)
    assert (0, "") == (done.returncode, done.stderr)
    return home


@pytest.fixture
def index(made: Path) -> Path:
    """The same with no package in the index or the environment: making an environment takes longer than all else here."""
    for wheel in (made / "packages").glob("*-py3-none-any.whl"):
        if not wheel.name.startswith("pip-"):
            wheel.unlink()
    if left := [*versions(made)]:
        pip = [made / "venv" / "bin" / "python", "-m", "pip", "uninstall", "--quiet", "--yes", *left]
        subprocess.run(pip, check=True, env=environment(made), timeout=60)
    return made


def package(index: Path, name: str, version: str, *requirements: str) -> None:
    """Put a package into the index."""
    info = f"{name}-{version}.dist-info"
    asks = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: more\n{asks}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}"
        for path, text in files.items()
    ]
    with zipfile.ZipFile(index / "packages" / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")


def lock(index: Path, file: str, *pins: str) -> Path:
    """Write a lock of packages of the index."""
    path = index / "requirements" / file
    lines = []
    for pin in pins:
        stem = re.sub(r"\[.*\]", "", pin).replace("==", "-")
        wheels = (index / "packages").glob(f"{stem}-py3-none-any.whl")
        hashes = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
        lines.append(" ".join([pin, *(f"--hash=sha256:{each}" for each in hashes)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def environment(index: Path, **more: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    return kept | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index / "packages"), "PIP_CONFIG_FILE": os.devnull} | more


def run(index: Path, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the copy of install.py that has its requirements in the index."""
    command = [sys._base_executable, index / "requirements" / INSTALL.name, index / "venv", *arguments]
    return subprocess.run(command, env=environment(index, **more), capture_output=True, text=True, check=False, timeout=120)


def versions(index: Path) -> dict[str, str]:
    """Return what is installed, but for pip and setuptools, which a Python brings."""
    listed = subprocess.run(
        [index / "venv" / "bin" / "python", "-m", "pip", "freeze"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(index),
        timeout=60,
    )
    return dict(line.split("==") for line in listed.stdout.split())


def test_a_newer_release_changes_nothing(index: Path) -> None:
    """Given a package that asks for an extra of another, which has a newer release than the lock's, then that is not taken."""
    package(index, "plain", "1.0")
    package(index, "asking", "1.0", "plain[more]>=1")
    requirements = lock(index, "run.txt", "plain==1.0", "asking==1.0")
    package(index, "plain", "2.0")

    done = run(index, requirements)

    assert (0, "") == (done.returncode, done.stderr)
    assert {"plain": "1.0", "asking": "1.0"} == versions(index)


def test_what_a_machine_says_to_its_own_pips_changes_nothing(index: Path, tmp_path: Path) -> None:
    """Given constraints and a target in the environment, then the lock is installed all the same, where it belongs."""
    package(index, "plain", "1.0")
    (tmp_path / "constraints").write_text("plain==3.0\n")
    target = tmp_path / "elsewhere"

    done = run(index, lock(index, "run.txt", "plain==1.0"), PIP_CONSTRAINT=str(tmp_path / "constraints"), PIP_TARGET=str(target))

    assert (0, "") == (done.returncode, done.stderr)
    assert {"plain": "1.0"} == versions(index)
    assert not target.exists()


def test_a_lock_that_lacks_something_is_refused_and_the_package_is_named(index: Path) -> None:
    """Given a lock without what a package asks for, then it is not looked up, and the end says what is missing."""
    package(index, "plain", "1.0")
    package(index, "asking", "1.0", "plain")

    done = run(index, lock(index, "run.txt", "asking==1.0"))

    assert 1 == done.returncode
    assert "asking 1.0 requires plain, which is not installed" in done.stdout + done.stderr


def test_other_bytes_than_the_locked_ones_are_refused(index: Path) -> None:
    """Given a package that was replaced in the index, then it is not installed."""
    package(index, "plain", "1.0")
    requirements = lock(index, "run.txt", "plain==1.0")
    package(index, "plain", "1.0", "another")

    done = run(index, requirements)

    assert 1 == done.returncode
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert {} == versions(index)


def test_an_old_python_is_told_what_is_needed(install: ModuleType) -> None:
    """Given Python 3.10, then the message names it, the oldest that will do, and how to name another one."""
    with pytest.raises(install.Lacking, match=r"is Python 3\.10, and Tidegate needs 3\.11 or later.*make PYTHON=python3\.11"):
        install.check_python((3, 10), "/usr/bin/python3")


def test_an_old_python_can_read_the_file(install: ModuleType) -> None:
    """Given an old Python, then it gets as far as saying so: there is no syntax in the file that it does not know."""
    assert ast.parse(INSTALL.read_text(), feature_version=(3, 7)).body


def test_real_old_pythons_say_what_they_are(tmp_path: Path) -> None:
    """Given the old Pythons of this machine, then each stops at what it lacks, and names the cure."""
    old = [f"python3.{minor}" for minor in range(6, 11)]
    found = [
        each for each in old if subprocess.run(["sh", "-c", f"{each} --version"], check=False, capture_output=True).returncode == 0
    ]
    if not found:
        pytest.skip("no Python older than 3.11 on PATH")

    for each in found:
        done = subprocess.run([each, INSTALL, tmp_path / "venv"], capture_output=True, text=True, check=False)

        assert 1 == done.returncode
        assert f"is Python {each[6:]}, and Tidegate needs 3.11 or later" in done.stderr


def test_a_python_without_venv_is_told_the_package_that_has_it(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a Python that cannot make environments, as Debian's at first, then the message names the package to install."""
    stub = tmp_path / "python3"
    stub.write_text("#!/bin/sh\necho 'ensurepip is not available'; exit 1\n")
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))

    with pytest.raises(install.Lacking) as lacking:
        install.make(tmp_path / "venv")

    assert f"apt-get install python3.{sys.version_info[1]}-venv" in str(lacking.value)
    assert "ensurepip is not available" in str(lacking.value)


def test_a_full_disk_is_told_before_anything_is_installed(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a disk with 100 MB left, then the message says how much is needed, where, and how much there is."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000_000))

    with pytest.raises(install.Lacking, match=rf"\d+ MB are needed in {re.escape(str(tmp_path))}, and 100 MB are free"):
        install.check_room(tmp_path / "not" / "there")
