"""The command line, as people and the image's entry point use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from tidegate import __version__
from tidegate.cli.main import app
from unit.cluster.test_kubeconfig import written as kubeconfig

PROGRAM = str(Path(sys.executable).with_name("tidegate"))
ENVIRONMENT = {"PATH": "/nowhere", "HOME": "/nowhere", "COLUMNS": "120", "TERM": "dumb"}


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as the image does."""
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=120, env=ENVIRONMENT, check=False)


def tidegate(*arguments: str) -> Result:
    """Run it in this process, which is faster; only what ends before the operator starts."""
    return CliRunner().invoke(app, arguments, env={**ENVIRONMENT, "TIDEGATE_CONFIG": None})


def test_version() -> None:
    """`version` prints the version and nothing else."""
    done = process("version")

    assert (0, f"{__version__}\n", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--help"], ["run", "check-config", "version", "explain", "lint", "backtest"]),
        (["run", "--help"], ["--config", "--kubeconfig", "--namespace", "--port", "--probe-port", "TIDEGATE_CONFIG"]),
        (["check-config", "--help"], ["--config"]),
    ],
)
def test_help_names_commands_and_options(arguments: list[str], told: list[str]) -> None:
    """Help says what there is."""
    done = tidegate(*arguments)

    assert 0 == done.exit_code
    assert [] == [word for word in told if word not in done.stdout]


def test_configuration_is_checked_with_the_kubeconfigs_that_it_names(tmp_path: Path) -> None:
    """One that is missing keeps no operator from starting, and is said here, without what stands in the others."""
    good = kubeconfig(tmp_path / "east" / "kubeconfig")
    config = tmp_path / "config.yaml"
    east, west = ({"kubeconfig": str(path), "allow": [{"from": ["shop"], "to": ["shop"]}]} for path in (good, tmp_path / "none"))
    config.write_text(yaml.safe_dump({"clusters": {"east": east}}))
    fine = tidegate("check-config", "--config", str(config))
    config.write_text(yaml.safe_dump({"clusters": {"east": east, "west": west}}))
    missing = tidegate("check-config", "--config", str(config))

    assert (0, "") == (fine.exit_code, fine.stderr)
    assert (1, f"tidegate: clusters.west.kubeconfig: {tmp_path / 'none'}: no such file\n") == (missing.exit_code, missing.stderr)
    assert "the configuration is valid" in missing.stdout


def test_operator_does_without_what_other_commands_need(tmp_path: Path) -> None:
    """An operator that starts has loaded none of what only commands that check, judge or draw need, nor what libraries bring."""
    started = """
import sys
from tidegate.cli.main import app
try:
    app(["run", "--kubeconfig", sys.argv[1]])
except SystemExit as ended:
    print(ended.code, *sorted(sys.modules))
"""
    command = [sys.executable, "-W", "error", "-c", started, str(tmp_path / "none")]
    ended, *loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    commands = ("cel", "prompt_toolkit", "rich", "tidegate.cli.lint", "tidegate.backtest.replay")
    brought = ("charset_normalizer", "kubernetes.config", "oauthlib", "requests_oauthlib", "websocket")
    assert ("2", True) == (ended, "tidegate.controller.process.app" in loaded)
    assert [] == [name for name in (*commands, *brought) if name in loaded]


def test_similar_commands_are_suggested() -> None:
    """Given a misspelt command, the one that was meant is named, also if it is imported only when it is called."""
    done = tidegate("backtets")

    assert (2, True) == (done.exit_code, "'backtest'" in done.output)


@pytest.mark.parametrize("command", ["run", "check-config"])
@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("workers: 0\n", "workers: must be at least 1"),
        ("wrokers: 4\n", "wrokers: there is no such field"),
        ("- a list\n", "must be a map"),
        ("workers: [\n", "is not YAML"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_bad_configuration_ends_it(tmp_path: Path, command: str, text: str | None, cause: str) -> None:
    """A configuration that is not as it should be ends the program with status 2, and one line names file, field and cause."""
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)

    done = tidegate(command, "--config", str(path))

    assert 2 == done.exit_code
    assert f"tidegate: {path}: {cause}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "" == done.stdout


def test_good_configuration_is_said_to_be_so(tmp_path: Path) -> None:
    """`check-config` names the Prometheus connections that it has found."""
    path = tmp_path / "config.yaml"
    path.write_text("connections: [{name: default, address: 'http://prometheus:9090'}]\n")

    done = tidegate("check-config", "--config", str(path))

    assert (0, "the configuration is valid; Prometheus connections: default\n") == (done.exit_code, done.stdout)


@pytest.mark.parametrize(
    ("option", "field"),
    [(["--namespace", "a*"], "watchNamespaces"), (["--port", "70000"], "httpPort"), (["--probe-port", "-1"], "probePort")],
)
def test_options_are_checked_like_the_configuration(option: list[str], field: str) -> None:
    """What the command line says is held to the same rules: a pattern for namespaces would serve others."""
    done = tidegate("run", *option)

    assert 2 == done.exit_code
    assert f"tidegate: {field}: " in done.stderr


def test_no_way_to_an_api_server_ends_it(tmp_path: Path) -> None:
    """Without a kubeconfig and outside a pod, it ends with status 2 and says where it looked."""
    done = process("run", "--kubeconfig", str(tmp_path / "missing"), "--port", "0", "--probe-port", "0")

    last = json.loads(done.stderr.splitlines()[-1])
    assert 2 == done.returncode
    assert ("cannot serve", "error") == (last["event"], last["level"])
    assert f"cannot read how to reach the Kubernetes API from {tmp_path / 'missing'}" in last["cause"]
