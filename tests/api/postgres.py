"""A real PostgreSQL of a test's own: the machine's, or that of Debian's package, started in a folder of its own.

As a program it sees to it that there is one, before tests enter a network without a way out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
"""PostgreSQL refuses to run as root."""
QUICK = "-c fsync=off -c synchronous_commit=off -c shared_buffers=8MB -c max_connections=40 -c listen_addresses="


POSSIBLE = os.geteuid() != 0 or int(Path("/proc/self/uid_map").read_text().split()[2]) > 1
"""Whether there is another user than root; in a namespace of a single one there is not."""


@dataclass(frozen=True)
class Postgres:
    """One that runs.

    Attributes:
        folder: where its socket is, and where its data are.
        programs: folder of initdb, pg_ctl, psql and pg_dump.
    """

    folder: Path
    programs: Path

    @property
    def environment(self) -> dict[str, str]:
        """What its clients need, by the variables that all of them read."""
        return {
            "PGHOST": str(self.folder),
            "PGUSER": "postgres",
            "PGDATABASE": "postgres",
            "PATH": f"{self.programs}:{os.environ['PATH']}",
        }

    def sql(self, *statements: str) -> list[str]:
        """Carry statements out and return the rows of the last one, as text."""
        arguments = [part for statement in statements for part in ("-c", statement)]
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def columns(self, table: str) -> set[str]:
        """Return the names of a table's columns."""
        return set(self.sql(f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"))


def programs() -> Path:
    """Return the folder of PostgreSQL's programs; they are installed where the machine has none.

    Raises:
        FileNotFoundError: they are not there and cannot be installed.
    """
    with open(Path(tempfile.gettempdir()) / "tidegate-postgres.lock", "w") as lock:  # noqa: PTH123 - a plain handle
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (found := _there()) is None:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                for command in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
                    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
                    subprocess.run(["apt-get", *command], env=environment, capture_output=True, timeout=300, check=True)
            found = _there()
    if found is None:
        raise FileNotFoundError("there is no PostgreSQL: install it, e.g. by `apt-get install postgresql`")
    return found


def _there() -> Path | None:
    places = [*sorted(DEBIAN.glob("*/bin"), reverse=True)]
    if (initdb := shutil.which("initdb")) is not None:
        places.insert(0, Path(initdb).resolve().parent)
    wanted = ("initdb", "pg_ctl", "postgres", "psql", "pg_dump")
    return next((place for place in places if all((place / name).exists() for name in wanted)), None)


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Start one; its data go with it."""
    found, folder = programs(), Path(tempfile.mkdtemp(prefix="tidegate-pg-"))
    data, user = folder / "data", NOBODY if os.geteuid() == 0 else ()
    if user:
        shutil.chown(folder, "nobody", "nogroup")
    folder.chmod(0o711)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*user, str(found / program), *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--pgdata", str(data))
        options = f"{QUICK} -c unix_socket_directories={folder}"
        run("pg_ctl", "--wait", "--pgdata", str(data), "--log", str(data / "log"), "--options", options, "start")
        try:
            yield Postgres(folder, found)
        finally:
            run("pg_ctl", "--wait", "--mode=immediate", "--pgdata", str(data), "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__" and POSSIBLE:
    programs()
