"""Make a virtual environment of what the lock names, and of nothing else.

Usage: install.py FOLDER REQUIREMENTS... [--checkout]

What is installed depends neither on the day nor on the pip that the machine's Python brings. That pip installs one file, the pip of
installer.txt, by its hash; this one installs the rest, by hash, each package as the lock names it and none that the lock does not
name: what a package asks for is never looked up. `pip check` has the last word.

It runs on Pythons that are too old for Tidegate, to say so: no syntax in it is newer than Python 3.6.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSTALLER = Path(__file__).resolve().with_name("installer.txt")
OLDEST_PYTHON = (3, 11)
MEGABYTES = 700
"""Room for the environment of development and what pip keeps of its downloads: 0.45 GB when it was measured, and some to spare."""

_OF_THE_MACHINE = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_CONSTRAINT",
    "PIP_REQUIREMENT",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_NO_BINARY",
)
"""What a machine may say to its Pythons and pips that must not change what is installed here. Its package index may."""


class Lacking(Exception):  # noqa: N818 - it is a lack, and nothing went wrong yet
    """The machine lacks what an environment is made with; the message says what, and what to do."""


def main() -> int:
    """Install what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the virtual environment; made where it is not there yet")
    parser.add_argument("requirements", nargs="*", type=Path, help="files of the lock")
    parser.add_argument("--checkout", action="store_true", help="install Tidegate itself too, as it lies in this checkout")
    chosen = parser.parse_args()
    try:
        check_python(sys.version_info[:2], sys.executable)
        check_room(chosen.folder.resolve().parent)
        python = chosen.folder / "bin" / "python"
        if not works(python):
            make(chosen.folder)
            pip(python, "install", *_locked(INSTALLER))
        if chosen.requirements:
            pip(python, "install", *[argument for path in chosen.requirements for argument in _locked(path)])
        if chosen.checkout:
            pip(python, "install", "--no-deps", "--no-index", "--no-build-isolation", "--editable", str(ROOT))
        if chosen.requirements:
            check_whole(python)
    except Lacking as lacking:
        print(f"install.py: {lacking}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failed:
        # pip has said why, above.
        print(f"install.py: pip ended with status {failed.returncode}, and the environment is not ready.", file=sys.stderr)
        return 1
    return 0


def check_python(version: tuple, program: str) -> None:
    """Raise Lacking where a Python is too old for Tidegate."""
    if tuple(version) < OLDEST_PYTHON:
        raise Lacking(
            f"{program} is Python {version[0]}.{version[1]}, and Tidegate needs {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or later."
            " Name one: make PYTHON=python3.11 ..."
        )


def check_room(folder: Path) -> None:
    """Raise Lacking where the disk has no room for an environment."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(str(folder)).free // 1_000_000
    if free < MEGABYTES:
        raise Lacking(f"{MEGABYTES} MB are needed in {folder}, and {free} MB are free. Make room there.")


def works(python: Path) -> bool:
    """Whether an environment is there, whole, and its Python is the one that runs this."""
    ask = [str(python), "-c", "import pip, sys; print(pip.__version__, *sys.version_info[:3])"]
    try:
        answer = subprocess.run(ask, capture_output=True, env=environment(), check=False)
    except OSError:
        return False
    pinned = re.search(r"^pip==(\S+)", INSTALLER.read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None, f"{INSTALLER} pins no pip"
    return answer.stdout.decode().split() == [pinned.group(1), *(str(part) for part in sys.version_info[:3])]


def make(folder: Path) -> None:
    """Make the environment anew, with the pip that this Python brings."""
    arguments = [sys.executable, "-m", "venv", "--clear", str(folder)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), check=False)
    if done.returncode == 0:
        return
    said = done.stdout.decode(errors="replace").strip()
    package = "python{}.{}-venv".format(*sys.version_info)
    raise Lacking(
        f"{sys.executable} -m venv ended with status {done.returncode}. Where the module venv or ensurepip is missing,"
        f" as it is on Debian and Ubuntu at first: apt-get install {package}. It said:\n{said}"
    )


def check_whole(python: Path) -> None:
    """Raise Lacking where something that was installed asks for what was not."""
    asked = [str(python), "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), check=False)
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        raise Lacking(f"the lock is not closed on this Python and machine; `make lock` pins anew. pip check said:\n{said}")


def pip(python: Path, *arguments: str) -> None:
    """Run the environment's pip. Raises CalledProcessError where it fails."""
    subprocess.run(
        [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments],
        env=environment(),
        check=True,
    )


def environment() -> dict:
    """Return the environment of Python and pip: the caller's, less what would change what is installed."""
    return {name: value for name, value in os.environ.items() if name not in _OF_THE_MACHINE}


def _locked(path: Path) -> list:
    # A source could be built differently on another day: its hash says nothing about what it asks for to be built.
    return ["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile", "--requirement", str(path)]


if __name__ == "__main__":
    sys.exit(main())
