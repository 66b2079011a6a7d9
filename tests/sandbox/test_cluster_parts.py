"""What a sandbox is made of, and how a program inside finds its way."""

import json
from pathlib import Path

import pytest

from tidegate_sandbox import controlplane, gateway, isolation, monitoring
from tidegate_sandbox.cluster import ClusterInfo, ClusterSpec, Layout, NoSandboxError
from tidegate_sandbox.state import Plan, State, alive


def refusing(flags: int) -> None:
    """A kernel that gives nobody a namespace."""
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("superuser", [True, False])
def test_refused_namespaces_end_in_a_message_that_names_the_settings(superuser: bool) -> None:
    """Given a kernel that refuses namespaces, then the error says which settings decide."""
    with pytest.raises(isolation.IsolationError) as refusal:
        isolation.isolate(refusing, superuser=superuser)

    message = str(refusal.value)
    assert "Operation not permitted" in message
    assert "kernel.unprivileged_userns_clone" in message
    assert "kernel.apparmor_restrict_unprivileged_userns" in message
    assert "seccomp" in message


def test_a_part_needs_only_its_own_programs() -> None:
    """Tests of the API need no gateway: the programs of the parts that are not chosen are not asked for."""
    assert ClusterSpec(("api",)).programs() == {"etcd", "kube-apiserver", "kubectl"}
    assert ClusterSpec(("prometheus",)).programs() == {"etcd", "kube-apiserver", "kubectl", "prometheus"}


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    """Given a part that does not exist, then the error lists those that do."""
    with pytest.raises(ValueError, match="unknown part 'ingress'; the parts are api, controllers"):
        ClusterSpec(("api", "ingress"))


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The launcher brings up exactly what the command line was asked for."""
    layout = Layout(tmp_path)
    plan = Plan(ClusterSpec(("api", "kwok"), kwok_nodes=7, images="/images.json"), Path("/bin"), ("a", "-b"), attached=True)

    plan.save(layout)

    assert Plan.load(layout) == plan


def test_a_program_inside_finds_the_cluster_through_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the state file of a sandbox that is up, then ClusterInfo is what was written there."""
    layout = Layout(tmp_path)
    info = ClusterInfo(
        directory=tmp_path,
        parts=("api", "kwok"),
        api_url="https://127.0.0.1:6443",
        token="secret",
        kubeconfig=layout.kubeconfig,
        ca_file=layout.ca_file,
        audit_log=layout.audit_log,
        bin_dir=Path("/bin"),
        node_names=("kwok-1",),
    )
    State(layout, cluster=info).write()
    monkeypatch.setenv("TIDEGATE_SANDBOX", str(layout.state))

    assert ClusterInfo.from_environment() == info


def test_outside_of_a_sandbox_the_error_says_how_to_get_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given no sandbox around the program, then the error names the command that makes one."""
    monkeypatch.delenv("TIDEGATE_SANDBOX", raising=False)

    with pytest.raises(NoSandboxError, match="tidegate-sandbox run"):
        ClusterInfo.from_environment()


def test_a_sandbox_that_is_still_coming_up_is_no_sandbox_yet(tmp_path: Path) -> None:
    """Given a state file without a cluster in it, then there is nothing to connect to."""
    layout = Layout(tmp_path)
    State(layout).write()

    with pytest.raises(NoSandboxError, match="no sandbox is up"):
        ClusterInfo.load(layout.state)


def test_a_directory_without_a_lock_holder_is_no_running_sandbox(tmp_path: Path) -> None:
    """What a crashed sandbox left behind does not pass for a running one."""
    layout = Layout(tmp_path)
    assert not alive(layout)

    layout.lock.touch()

    assert not alive(layout)


def test_envoys_administration_moves_to_a_port_that_prometheus_can_scrape() -> None:
    """Given Contour's bootstrap with a Unix socket, then both mentions of it become the port, and the rest stays."""
    pipe = {"address": {"pipe": {"path": "admin.sock", "mode": 420}}}
    bootstrap = {"admin": pipe, "static_resources": {"clusters": [{"name": "envoy-admin", "endpoint": pipe}]}}

    adapted = gateway.adapt_bootstrap(bootstrap)

    port = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 6995}}}
    assert adapted["admin"] == port
    assert adapted["static_resources"] == {"clusters": [{"name": "envoy-admin", "endpoint": port}]}
    assert "pipe" not in json.dumps(adapted)


def test_prometheus_scrapes_as_often_as_asked(tmp_path: Path) -> None:
    """Given half a second between scrapes, then the configuration says 500ms, and no scrape takes longer."""
    settings = monitoring.configuration(ClusterSpec(("prometheus",), scrape_seconds=0.5), Layout(tmp_path))

    assert settings["global"]["scrape_interval"] == settings["global"]["scrape_timeout"] == "500ms"
    assert [job["job_name"] for job in settings["scrape_configs"]] == ["pods"]


def test_every_sandbox_has_a_signing_key_of_its_own() -> None:
    """The keys for ServiceAccount tokens are PEM, and no two are alike."""
    first, second = controlplane.new_signing_key(), controlplane.new_signing_key()

    assert first.startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert first != second
