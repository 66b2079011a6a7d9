"""The user's cache directory: what is built once is installed atomically, by one builder at a time."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def directory() -> Path:
    """Return Tidegate's directory in the user's cache (``$XDG_CACHE_HOME``, by default ``~/.cache``)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tidegate"


@contextmanager
def exclusive(entry: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a cache entry: of two builders, the second waits and then finds the entry made.

    The kernel drops the lock with its holder, so a builder that was killed leaves nothing to clean up.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    with entry.with_name(f".{entry.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that is making {entry.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def staging(entry: Path) -> Iterator[Path]:
    """Give a directory to fill, which becomes the entry in one rename when the block ends well.

    The caller holds the entry's lock, so whatever an earlier, killed builder left can go.
    """
    for leftover in entry.parent.glob(f".{entry.name}.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{entry.name}.new-", dir=entry.parent))
    try:
        yield staged
        staged.chmod(0o755)
        staged.rename(entry)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
