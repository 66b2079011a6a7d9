"""`tidegate serve`: what the command line says of the HTTP API, which is a program of its own beside the operator."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from tidegate.cli import access, output
from tidegate.controller.process import logs
from tidegate.controller.process.config import LogLevel
from tidegate.runtime.errors import Terminal


def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on. Anything but loopback takes TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8443,
    certificate: Annotated[
        Path | None,
        typer.Option("--tls-cert", help="Certificate with its chain (PEM), read again each minute. Default: plain HTTP."),
    ] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help="Key of the certificate (PEM).")] = None,
    in_clear: Annotated[
        bool, typer.Option("--in-clear", help="Listen in plain HTTP beyond loopback: something in front of it ends TLS.")
    ] = False,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="How much is logged.")] = LogLevel.INFO,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Serve the HTTP API: releases are listed, prepared, promoted and rolled back over HTTP.

    Each request is made with the token that it carries, so it can do what its caller may do in the cluster, and nothing else. Of a
    kubeconfig only the address of the API server and its CA are used.

    Exits with 0 after SIGTERM or SIGINT, or with 2 if it cannot serve.
    """
    from tidegate.serve import program

    logs.configure(log_level)
    options = program.Options(host, port, certificate, key, in_clear, kubeconfig, context)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(program.serve(options))
    except Terminal as error:
        output.fail(str(error))
