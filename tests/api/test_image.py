"""The image: what its wheel holds, and that the commands of the Dockerfile lead to an operator that starts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from api.cluster_access import ROOT


def image_steps() -> list[str]:
    """Return the commands that the Dockerfile runs to build."""
    return re.findall(r"^RUN (.+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)


def copy_sources(target: Path) -> None:
    """Copy what the Dockerfile copies."""
    for line in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            (target / source).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target / source, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, target / source)


def test_wheel_holds_the_operator_and_no_sandbox(tmp_path: Path) -> None:
    """The wheel of the image, built from what the Dockerfile copies, has the operator and its command, and nothing else."""
    source = tmp_path / "src"
    copy_sources(source)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(tmp_path),
        ".",
    ]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=120)

    (wheel,) = tmp_path.glob("tidegate-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("/entry_points.txt"))
        commands = archive.read(entry_points).decode()

    assert {"tidegate", wheel.stem.rsplit("-", 3)[0] + ".dist-info"} == {name.partition("/")[0] for name in names}
    assert "tidegate/api/crds.py" in names
    assert "tidegate = tidegate.cli.main:app" in commands


@pytest.mark.skipif(
    os.environ.get("TIDEGATE_IMAGE_CHECK") != "1",
    reason="downloads all dependencies of the image; set TIDEGATE_IMAGE_CHECK=1 to run",
)
@pytest.mark.timeout(900)
def test_commands_of_the_dockerfile_make_an_operator_that_starts(tmp_path: Path) -> None:
    """The Dockerfile's own commands, run one by one in empty folders, end in an environment whose `tidegate --help` speaks."""
    places = {"/src": tmp_path / "src", "/wheels": tmp_path / "wheels", "/opt/tidegate": tmp_path / "opt"}
    copy_sources(places["/src"])
    tools = tmp_path / "tools"
    subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True, timeout=120)
    clean = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    for step in image_steps():
        command = step
        for inside, outside in places.items():
            command = re.sub(rf"(?<![\w/]){inside}\b", str(outside), command)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=places["/src"],
            env=clean | {"PATH": f"{tools / 'bin'}{os.pathsep}{clean['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
        )
        assert done.returncode == 0, f"{step}: {done.stderr}"

    python = places["/opt/tidegate"] / "bin" / "python"
    probe = "import importlib.util as u; print(u.find_spec('tidegate') is not None, u.find_spec('tidegate_sandbox') is None)"
    found = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True, cwd=tmp_path, env=clean, timeout=60)
    assert found.stdout.split() == ["True", "True"]
    if (ROOT / "operator" / "tidegate" / "cli" / "main.py").exists():
        helped = subprocess.run(
            [python.with_name("tidegate"), "--help"], capture_output=True, text=True, check=True, env=clean, timeout=60
        )
        assert "run" in helped.stdout
