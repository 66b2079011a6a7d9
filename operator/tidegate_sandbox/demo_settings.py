"""What environment variables say of the demo service; the table of them is what `demo_service` prints when it is asked for help.

A pod's container is told everything by its environment, as an image would be: a version of the service is a set of variables.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(ValueError):
    """An environment variable has a value that makes no sense; the message names it."""


@dataclass(frozen=True)
class Settings:
    """What the environment says. Latencies in milliseconds, other durations in seconds."""

    version: str = "dev"
    pod: str = "local"
    host: str = "127.0.0.1"
    port: int = 8080
    error_rate: float = 0.0
    latency_ms: float = 5.0
    latency_p99_ms: float = 10.0
    latency_factor: float = 1.0
    seed: int = 0
    start_delay: float = 0.0
    ready_after: float = 0.0
    ready_file: str = ""
    fail_after: float | None = None
    shutdown_grace: float = 3.0


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables. Raises SettingsError naming the variable that is wrong."""
    version = environment.get("VERSION") or environment.get("TIDEGATE_IMAGE_TAG") or "dev"
    pod = environment.get("TIDEGATE_POD_NAME") or environment.get("HOSTNAME") or "local"
    median = _number(environment, "LATENCY_MS", 5.0)
    p99 = _number(environment, "LATENCY_P99_MS", median * 2)
    if p99 < median:
        raise SettingsError(f"LATENCY_P99_MS: {p99:g} is below the median, LATENCY_MS={median:g}")
    return Settings(
        version=version,
        pod=pod,
        host=environment.get("POD_IP") or environment.get("TIDEGATE_POD_IP") or "127.0.0.1",
        port=int(_number(environment, "PORT", 8080, most=65535)),
        error_rate=_number(environment, "ERROR_RATE", 0.0, most=1.0),
        latency_ms=median,
        latency_p99_ms=p99,
        latency_factor=_number(environment, "LATENCY_FACTOR", 1.0),
        seed=int(_number(environment, "SEED", zlib.crc32(f"{version}/{pod}".encode()))),
        start_delay=_number(environment, "START_DELAY", 0.0),
        ready_after=_number(environment, "READY_AFTER", 0.0),
        ready_file=environment.get("READY_FILE", ""),
        fail_after=_number(environment, "FAIL_AFTER", 0.0) if environment.get("FAIL_AFTER") else None,
        shutdown_grace=_number(environment, "SHUTDOWN_GRACE", 3.0),
    )


def _number(environment: Mapping[str, str], name: str, default: float, most: float = math.inf) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(f"{name}: {text!r} is not a number") from None
    if not 0 <= value <= most or math.isinf(value):
        bound = "" if math.isinf(most) else f" and {most:g}"
        raise SettingsError(f"{name}: {text} is not {'between' if bound else 'at least'} 0{bound}")
    return value
