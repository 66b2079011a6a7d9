"""What the operator says of its configuration at its start, as a process, without an API server."""

from __future__ import annotations

from pathlib import Path

from operator_process import Operator, without_api_server

CONNECTIONS = [
    {"name": "near", "address": "http://127.0.0.1:9090"},
    {"name": "far", "address": "http://prometheus.monitoring.svc:9090"},
    {"name": "closed", "address": "https://prometheus.example"},
    {"name": "bare", "address": "http://10.0.0.1/prefix"},
]


async def test_each_plain_connection_to_another_host_is_warned_of(tmp_path: Path) -> None:
    """Of four connections the two that are plain http to another host get a line each, with name and address."""
    config = {"leaderElection": {"enabled": False}, "connections": CONNECTIONS}
    operator = Operator(tmp_path, without_api_server(tmp_path), ("shop",), config)
    await operator.start()
    await operator.told("listening")
    await operator.end()

    warned = [line for line in operator.lines() if "is plain http" in line["event"]]

    assert [("far", "http://prometheus.monitoring.svc:9090"), ("bare", "http://10.0.0.1/prefix")] == [
        (line["connection"], line["address"]) for line in warned
    ]
    assert {"warning"} == {line["level"] for line in warned}
