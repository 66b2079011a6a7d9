"""Programs that keep metrics, each with its data in a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from e2e.program import Program
from tidegate_sandbox import binaries


def _server(program: str, folder: Path, ready: str, arguments: Sequence[str]) -> Program:
    return Program(binaries.ensure([program]) / program, folder / "log", ready, arguments)


def _written(folder: Path, configuration: dict[str, Any]) -> Path:
    folder.mkdir()
    path = folder / "configuration.yml"
    path.write_text(yaml.safe_dump(configuration))
    return path


def prometheus(folder: Path, configuration: dict[str, Any]) -> Program:
    """Return a Prometheus with this configuration; where that says how, it takes what is pushed to it by OTLP."""
    path = _written(folder, configuration)
    arguments = [f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=$ADDRESS"]
    return _server(
        "prometheus", folder, "/-/ready", [*arguments, *(["--web.enable-otlp-receiver"] if "otlp" in configuration else [])]
    )


def victoria_metrics(folder: Path, configuration: dict[str, Any]) -> Program:
    """Return a VictoriaMetrics that scrapes as a Prometheus with this configuration would; empty for one that is written to."""
    path = _written(folder, configuration)
    arguments = [f"-storageDataPath={folder / 'data'}", "-httpListenAddr=$ADDRESS", "-memory.allowedBytes=64MB"]
    return _server("victoria-metrics", folder, "/health", [*arguments, *([f"-promscrape.config={path}"] if configuration else [])])


_THANOS = ("--http-address=$ADDRESS", "--grpc-address=$GRPC", "--log.level=warn")


def sidecar(folder: Path, beside: Program) -> Program:
    """Return what gives Thanos the series of a Prometheus."""
    folder.mkdir()
    arguments = ["sidecar", f"--prometheus.url={beside.address}", f"--tsdb.path={folder}", *_THANOS]
    return _server("thanos", folder, "/-/ready", arguments)


def thanos_query(folder: Path, sidecars: Sequence[Program], *replica_labels: str) -> Program:
    """Return what asks several sidecars, and takes series once that differ in these labels alone."""
    folder.mkdir()
    arguments = ["query", *_THANOS, *(f"--endpoint={one.grpc}" for one in sidecars)]
    return _server("thanos", folder, "/-/ready", [*arguments, *(f"--query.replica-label={label}" for label in replica_labels)])
