"""Measures the first `make demo` of a stranger: a fresh clone, no cache of anything, of one commit after the other.

Run as `python -m bench.first_run [COMMIT ...]` on a machine that does nothing else; without commits, of the one checked out. Leaves
bench/results/first-run.json. Each run downloads and compiles everything anew: 5 to 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "first-run.json"
_CACHES = {"XDG_CACHE_HOME": "cache", "PIP_CACHE_DIR": "pip", "GOCACHE": "go-build", "GOMODCACHE": "go-modules"}


def measure(commit: str, *, upgrade: bool) -> dict[str, Any]:
    """Run `make demo` of a commit from nothing, and return its minutes.

    Args:
        commit: what git calls it.
        upgrade: take the newest pip first, for commits whose lock an older one does not resolve. That is not measured.

    Raises:
        CalledProcessError: it fails.
    """
    folder = Path(tempfile.mkdtemp(prefix="tidegate-first-run-"))
    try:
        checkout = folder / "checkout"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(checkout)], check=True)
        subprocess.run(["git", "checkout", "--quiet", "--detach", _hash(commit)], cwd=checkout, check=True)
        environ = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
        environ |= {name: str(folder / place) for name, place in _CACHES.items()}
        if upgrade:
            subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=checkout, env=environ, check=True)
            pip = [".venv/bin/pip", "install", "--quiet", "--upgrade", "pip"]
            subprocess.run(pip, cwd=checkout, env=environ, check=True)
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        with (folder / "log").open("wb") as log:
            demo = ["make", "demo"]
            done = subprocess.run(demo, cwd=checkout, env=environ, stdout=log, stderr=subprocess.STDOUT, check=False)
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            print((folder / "log").read_text()[-20_000:], file=sys.stderr)
            done.check_returncode()
        used = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
        size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return {
            "commit": _hash(commit)[:10],
            "seconds": round(wall),
            "processorSeconds": round(used),
            "gigabytesLeft": round(size / 1e9, 1),
        }
    finally:
        # Go writes its modules read-only.
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _hash(commit: str) -> str:
    found = subprocess.run(["git", "rev-parse", f"{commit}^{{commit}}"], cwd=ROOT, check=True, capture_output=True, text=True)
    return found.stdout.strip()


def main() -> None:
    """Measure and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("commits", nargs="*", default=["HEAD"], help="commits, in the order in which they are run")
    parser.add_argument(
        "--upgrade-pip", action="append", default=[], metavar="COMMIT", help="for this one take the newest pip first"
    )
    given = parser.parse_args()
    runs = []
    for commit in given.commits:
        runs.append(measure(commit, upgrade=commit in given.upgrade_pip))
        print(json.dumps(runs[-1]), flush=True)
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
        RESULTS.write_text(json.dumps({"machine": machine, "runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
