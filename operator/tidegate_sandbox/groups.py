"""Which programs the sandbox has, from which Go packages, and what else is taken from their modules."""

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GOMODS = Path(__file__).parent / "gomods"

TAGS = ("remove_all_sd", "enable_kubernetes_sd")
"""Prometheus without the discovery of any cloud's machines: none but its programs know these tags."""
_TAGS = {"thanos": ("netgo", "slicelabels")}
"""Tags of a graph of its own: as Thanos is released."""

_INLINED = (
    *("std", "golang.org/x/...", "google.golang.org/...", "go.etcd.io/...", "k8s.io/apimachinery/...", "k8s.io/apiserver/..."),
    *("sigs.k8s.io/json/...", "sigs.k8s.io/structured-merge-diff/...", "github.com/google/cel-go/...", "github.com/fxamacker/..."),
    *("github.com/gogo/...", "github.com/klauspost/...", "github.com/prometheus/prometheus/tsdb/..."),
    *("github.com/prometheus/prometheus/promql/...", "github.com/prometheus/prometheus/model/..."),
)
"""Packages in which the programs spend their time."""

COMPILER_FLAGS = ("all=-dwarf=false -l", *(f"{pattern}=-dwarf=false" for pattern in _INLINED))
"""What the compiler is spared. The linker drops what debuggers read, so it need not be written: a tenth of the compiler's time.
Inlining small functions, which -l switches off, takes a fifth of it, and pays only where a program spends its time."""


class UnknownModuleError(Exception):
    """A group names a Go module that its go.mod does not pin."""


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
class Patch:
    """What is changed in one package of a module.

    It then compiles with the versions that all programs share, or without libraries that no program uses here.

    Attributes:
        module: path of the Go module.
        package: folder of the package, from the module's root.
        edited: by the file, what stands there and what is to stand there instead.
        removed: files of the package that are left out.
        added: a file of ``gomods/<graph>`` that is put there.
    """

    module: str
    package: str
    edited: tuple[tuple[str, str, str], ...] = ()
    removed: tuple[str, ...] = ()
    added: str = ""


_PROMETHEUS = "github.com/prometheus/prometheus"

PATCHES = {
    "cluster": (
        Patch(
            "github.com/projectcontour/contour",
            "internal/contour",
            edited=(
                ("handler.go", '\t"k8s.io/client-go/tools/cache/synctrack"\n', ""),
                ("handler.go", "synctrack.SingleFileTracker", "singleFileTracker"),
            ),
            added="contour-synctrack.go",
        ),
        # Helpers of tests, in files that are compiled with the programs. They alone ask for all of client-go's fake clients.
        Patch("k8s.io/apiserver", "pkg/admission/plugin/policy/generic", removed=("policy_test_context.go",)),
        Patch("k8s.io/kubernetes", "pkg/scheduler/backend/queue", removed=("testing.go",)),
        Patch(
            _PROMETHEUS,
            "web/api/v1",
            removed=("openapi.go", "openapi_examples.go", "openapi_helpers.go", "openapi_paths.go", "openapi_schemas.go"),
            added="prometheus-openapi.go",
        ),
        Patch(_PROMETHEUS, "storage/remote/azuread", removed=("azuread.go",), added="prometheus-azuread.go"),
        Patch(_PROMETHEUS, "storage/remote/googleiam", removed=("googleiam.go",), added="prometheus-googleiam.go"),
        Patch("github.com/prometheus/sigv4", "", removed=("sigv4.go",), added="sigv4-none.go"),
    ),
}
"""By the graph."""


@dataclass(frozen=True)
class Group:
    """Programs that are asked for and kept together.

    Attributes:
        name: of its entry in the cache.
        graph: directory below ``gomods/``: the ``go.mod`` and ``go.sum`` that pin it. Programs of one graph share the versions of
            everything that they are made of, so that it is compiled once.
        packages: the Go package of each program, by the program's name.
        files: what else of its modules is kept.
        by_name: it is built only where it is asked for by its name: it takes as long as all others together, and few need it.
    """

    name: str
    graph: str
    packages: Mapping[str, str]
    files: tuple[ModuleFiles, ...] = ()
    by_name: bool = False

    @property
    def key(self) -> str:
        """Hash of everything that decides what the programs are."""
        digest = hashlib.sha256()
        for path in sorted((GOMODS / self.graph).iterdir()):
            digest.update(path.read_bytes())
        decided = (
            sorted(self.packages.items()),
            tags(self.graph),
            COMPILER_FLAGS,
            ldflags(self.graph),
            self.files,
            PATCHES.get(self.graph),
        )
        digest.update(repr(decided).encode())
        digest.update(f"{platform.system()} {platform.machine()}".encode())
        return digest.hexdigest()[:16]


GROUPS = {
    group.name: group
    for group in (
        Group(
            "kubernetes",
            "cluster",
            {
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
            },
        ),
        Group("etcd", "cluster", {"etcd": "go.etcd.io/etcd/server/v3"}),
        Group(
            "kwok",
            "cluster",
            {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
            files=(
                ModuleFiles("sigs.k8s.io/kwok", "kustomize/stage/node/fast/node-*.yaml", "kwok-stages"),
                ModuleFiles("sigs.k8s.io/kwok", "kustomize/stage/node/heartbeat-with-lease/node-*.yaml", "kwok-stages"),
                ModuleFiles("sigs.k8s.io/kwok", "kustomize/stage/pod/fast/pod-*.yaml", "kwok-stages"),
            ),
        ),
        Group(
            "contour",
            "cluster",
            {"contour": "github.com/projectcontour/contour/cmd/contour"},
            files=(
                ModuleFiles("sigs.k8s.io/gateway-api", "config/crd/experimental/gateway.*.yaml", "crds"),
                ModuleFiles("github.com/projectcontour/contour", "examples/contour/01-crds.yaml", "crds"),
            ),
        ),
        Group("prometheus", "cluster", {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"}),
        Group(
            "charttools",
            "charttools",
            {"helm": "helm.sh/helm/v4/cmd/helm", "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
        ),
        # What people have in place of Prometheus; for tests, and built when they ask for it.
        Group(
            "victoriametrics",
            "victoriametrics",
            {"victoria-metrics": "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics"},
        ),
        Group("thanos", "thanos", {"thanos": "github.com/thanos-io/thanos/cmd/thanos"}, by_name=True),
        # A program of the sandbox's own, in the folder of its graph: the libraries of Argo CD and Flux are no programs.
        Group("gitops", "gitops", {"gitops": "tidegate.dev/sandbox/gitops"}),
    )
}

PROGRAMS = {program: group for group in GROUPS.values() for program in group.packages}
"""The group of each program that is built from Go modules."""

VERSION_OF = {
    **dict.fromkeys(("kube-apiserver", "kube-controller-manager", "kube-scheduler"), (("--version",), "k8s.io/kubernetes")),
    "kubectl": (("version", "--client"), "k8s.io/kubernetes"),
    "etcd": (("--version",), "go.etcd.io/etcd/server/v3"),
}
"""How a program of the machine's own tells its version, and the module that has the same one. Files come with the builds of Contour
and kwok, and the module of Prometheus is not numbered as its releases are: these are always built."""


def tags(graph: str) -> tuple[str, ...]:
    """Return the build tags of a graph's programs."""
    return _TAGS.get(graph, TAGS)


def ldflags(graph: str) -> str:
    """Return the flags of the linker: no symbols, and for an API server the version that it tells its clients."""
    flags = "-s -w"
    if graph == "cluster":
        flags += f" -X k8s.io/component-base/version.gitVersion={pinned_version(graph, 'k8s.io/kubernetes')}"
    return flags


def pinned_version(graph: str, module: str) -> str:
    """Return the version of a module that a graph's go.mod asks for.

    Raises:
        UnknownModuleError: it asks for none.
    """
    text = (GOMODS / graph / "go.mod").read_text()
    pinned = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if pinned is None:
        raise UnknownModuleError(f"{graph}: go.mod pins no version of {module}")
    return pinned[1]
