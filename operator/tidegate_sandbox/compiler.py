"""One run of the Go compiler over programs of one module graph, with the time that is left."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from tidegate_sandbox import groups, toolchain

Progress = Callable[[str], None]

PROGRESS_SECONDS = 10.0
"""How often a build says that it is still at work."""

PACKAGE_BYTES = 30_000
"""What the overhead of one package costs, in bytes of source that would take as long to compile."""

LINK_BYTES = 600_000
"""The same for linking one program."""

TOLD_FROM = 0.05
"""Share of the work from which on its speed tells how long the rest will take."""


class BuildError(Exception):
    """A program of the sandbox could not be found or built; the message says which and why."""


@dataclass
class Work:
    """How much there is to compile, by package, and how much of it is done.

    Attributes:
        cost: bytes of source of each package, with what its overhead is worth.
        links: programs to link.
        done: cost of the packages that the compiler has named so far.
        begun: when the first of them was named, in seconds of the monotonic clock.
    """

    cost: dict[str, int]
    links: int
    done: int = 0
    begun: float | None = None

    def named(self, package: str) -> None:
        """Note that the compiler has begun a package."""
        self.begun = self.begun or time.monotonic()
        self.done += self.cost.pop(package, 0)

    def left(self, now: float) -> str:
        """Return in words how long the rest will take: nothing where it is too early to say."""
        total = self.done + sum(self.cost.values()) + self.links * LINK_BYTES
        if self.begun is None or self.done < TOLD_FROM * total:
            return ""
        seconds = (now - self.begun) * (total - self.done) / self.done
        return f", about {max(1, round(seconds / 60))} min left"


@dataclass
class Compiler:
    """Builds programs of one module graph.

    Attributes:
        graph: directory below ``gomods/``.
        go: the Go program.
        progress: called with lines of text.
    """

    graph: str
    go: Path
    progress: Progress
    started: float = field(default_factory=time.monotonic)

    def build(self, packages: Sequence[str], into: Path) -> None:
        """Compile and link the programs of the packages into a directory.

        Raises:
            BuildError: it failed; the message ends with what the compiler said.
        """
        with tempfile.TemporaryDirectory(prefix="tidegate-build-") as temporary:
            self.progress(f"{self.graph}: downloading Go modules")
            # Go's own library needs no download, and all programs need it.
            with subprocess.Popen(
                self._go_build("net/http", "encoding/json", "text/template"),
                cwd=groups.GOMODS / self.graph,
                env=toolchain.build_environment(self.go, os.environ),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ):
                directory = self._patched(Path(temporary))
                work = self._work(packages, directory)
            self.progress(f"{self.graph}: downloaded after {self._seconds()} s")
            self._compile(packages, into, directory, work)

    def modules(self, paths: Collection[str]) -> dict[str, Path]:
        """Return the directory of each module's files by its path, downloading those that are not there.

        Raises:
            BuildError: one cannot be had.
        """
        if not paths:
            return {}
        # The versions go without saying: the graph's go.mod pins them, and its go.sum what is in them.
        answer = self._go("mod", "download", "-json", *sorted(paths))
        # One object after another, over several lines each.
        found = [json.loads(each) for each in re.split(r"(?<=^})\n", answer.stdout, flags=re.MULTILINE) if each.strip()]
        there = {each["Path"]: Path(each["Dir"]) for each in found if "Dir" in each}
        if lacking := sorted(set(paths) - there.keys()):
            why = " ".join(each["Error"] for each in found if "Error" in each)
            raise BuildError(f"{self.graph}: the Go module {lacking[0]} cannot be had: {why}{answer.stderr.strip()}")
        return there

    def _patched(self, temporary: Path) -> Path:
        patches = groups.PATCHES.get(self.graph, ())
        pinned = groups.GOMODS / self.graph
        if not patches:
            return pinned
        shutil.copy(pinned / "go.sum", temporary)
        replaced = (pinned / "go.mod").read_text()
        for number, (module, source) in enumerate(sorted(self.modules({patch.module for patch in patches}).items())):
            copy = temporary / f"patched-{number}"
            of_module = [patch for patch in patches if patch.module == module]
            mirror(source, copy, {PurePath(patch.package) for patch in of_module})
            for patch in of_module:
                apply(patch, pinned, copy)
            # The version that it is held at, if any, is in the copy.
            replaced = re.sub(rf"^\t{re.escape(module)} => .*\n", "", replaced, flags=re.MULTILINE)
            replaced += f"\nreplace {module} => ./{copy.name}\n"
        (temporary / "go.mod").write_text(replaced)
        return temporary

    def _work(self, packages: Sequence[str], directory: Path) -> Work:
        form = '{{.ImportPath}}\t{{.Dir}}\t{{join .GoFiles "\\t"}}'
        answer = self._go("list", "-deps", *self._tags(), "-f", form, *packages, directory=directory)
        if answer.returncode != 0:
            said = "\n".join(line for line in answer.stderr.splitlines() if not line.startswith("go: downloading"))
            raise BuildError(f"{self.graph}: its Go modules cannot be had:\n{said}")
        cost: dict[str, int] = {}
        for line in answer.stdout.splitlines():
            package, home, *sources = line.split("\t")
            cost[package] = PACKAGE_BYTES + sum((Path(home) / source).stat().st_size for source in sources if source)
        return Work(cost, len(packages))

    def _compile(self, packages: Sequence[str], into: Path, directory: Path, work: Work) -> None:
        with subprocess.Popen(
            self._go_build("-v", "-ldflags", groups.ldflags(self.graph), "-o", f"{into}/", *packages),
            cwd=directory,
            env=toolchain.build_environment(self.go, os.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as compiler:
            finished = threading.Event()
            teller = threading.Thread(target=self._tell, args=(finished, work), daemon=True)
            teller.start()
            try:
                errors = _read_compiler(compiler, work)
            except BaseException:
                compiler.kill()
                raise
            finally:
                finished.set()
                teller.join()
        if compiler.returncode != 0:
            raise BuildError(f"{self.graph}: go build failed with status {compiler.returncode}:\n" + "\n".join(errors))

    def _tell(self, finished: threading.Event, work: Work) -> None:
        while not finished.wait(PROGRESS_SECONDS):
            self.progress(f"{self.graph}: building, {self._seconds()} s{work.left(time.monotonic())}")

    def _go_build(self, *arguments: str) -> list[str]:
        flags = [f"-gcflags={each}" for each in groups.COMPILER_FLAGS]
        return [str(self.go), "build", "-trimpath", *self._tags(), *flags, *arguments]

    def _tags(self) -> list[str]:
        return ["-tags", " ".join(groups.tags(self.graph))]

    def _go(self, *arguments: str, directory: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.go, *arguments],
            cwd=directory or groups.GOMODS / self.graph,
            env=toolchain.build_environment(self.go, os.environ),
            capture_output=True,
            text=True,
            check=False,
        )

    def _seconds(self) -> int:
        return round(time.monotonic() - self.started)


def name_of(package: str) -> str:
    """Return the name that ``go build`` gives a package's program: the last element that is no major version."""
    *_, parent, last = package.split("/")
    return parent if re.fullmatch(r"v\d+", last) else last


def mirror(source: Path, target: Path, packages: Collection[PurePath]) -> None:
    """Make a module that can be edited of one that cannot: the folders of some packages are copied, all else is linked.

    Args:
        source: root of the module.
        target: root of the copy.
        packages: folders that are to be copied, from the root.
    """
    target.mkdir()
    # Go does not embed files that are links, so those of a copied folder, and of the folders that lead to it, are copies.
    for entry in source.iterdir():
        below = {package.relative_to(entry.name) for package in packages if package.parts[:1] == (entry.name,)}
        if below:
            mirror(entry, target / entry.name, below)
        elif entry.is_dir():
            (target / entry.name).symlink_to(entry)
        else:
            shutil.copyfile(entry, target / entry.name)


def apply(patch: groups.Patch, pinned: Path, copy: Path) -> None:
    """Change a package in the copy of a module.

    Raises:
        BuildError: it is not as the patch expects it.
    """
    package = copy / patch.package
    for name, old, new in patch.edited:
        text = (package / name).read_text()
        if old not in text:
            raise BuildError(f"{patch.module}: {name} has no {old.strip()!r} any more: is its patch still needed?")
        (package / name).write_text(text.replace(old, new))
    for name in patch.removed:
        if not (package / name).exists():
            raise BuildError(f"{patch.module}: there is no {name} in {patch.package} any more: is its patch still needed?")
        (package / name).unlink()
    if patch.added:
        added = (pinned / patch.added).read_text().replace("//go:build ignore\n", "", 1)
        (package / f"tidegate_{patch.added.replace('-', '_')}").write_text(added)


def _read_compiler(compiler: "subprocess.Popen[str]", work: Work) -> list[str]:
    """Note the packages that ``go build -v`` names and return the last lines that are no such names."""
    assert compiler.stderr is not None
    errors: deque[str] = deque(maxlen=30)
    for line in compiler.stderr:
        if re.fullmatch(r"[\w./~-]+\n?", line):
            work.named(line.rstrip())
        elif not line.startswith("go: downloading"):
            errors.append(line.rstrip())
    return list(errors)
