"""Prometheus for commands: one address for all gates, or the connections of an operator's configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from tidegate.api.wrong import cause_of
from tidegate.cli.output import fail
from tidegate.controller.process import config as configuration
from tidegate.prometheus.answers import Trouble
from tidegate.prometheus.config import ConnectionConfig, QueriesOf
from tidegate.prometheus.connections import Connection
from tidegate.runtime.errors import Terminal

_DEFAULT = "default"

PrometheusURL = Annotated[
    str | None,
    typer.Option("--prometheus", metavar="URL", help="Address of the Prometheus that all gates query, without credentials."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="TIDEGATE_CONFIG",
        help="Configuration of an operator, for its Prometheus connections with their credentials, instead of --prometheus.",
    ),
]


def loaded(config: Path | None) -> configuration.Config:
    """Return an operator's configuration; the command ends where it cannot be read.

    Args:
        config: the file; None for the defaults.
    """
    try:
        return configuration.load(config)
    except Terminal as error:
        fail(str(error))


def configurations(url: str | None, config: Path | None, names: Iterable[str]) -> dict[str, ConnectionConfig]:
    """Return how each connection that gates name is reached; the command ends where that is not known.

    Args:
        url: one address for all of them; None to look into a configuration.
        config: the operator's configuration file.
        names: the names that gates use.
    """
    wanted = sorted(set(names)) or [_DEFAULT]
    if url is not None:
        return {name: _configuration(name, url) for name in wanted}
    known = {one.name: one for one in loaded(config).connections}
    missing = [name for name in wanted if name not in known]
    if missing:
        there = f"{config} has {', '.join(known) or 'none'}" if config is not None else "give --prometheus or --config"
        fail(f"there is no Prometheus connection {', '.join(missing)}: {there}")
    # Whoever has the configuration may ask what it may ask; for which namespaces the operator does is another matter.
    return {name: known[name].model_copy(update={"namespaces": None, "queries": QueriesOf.ANY}) for name in wanted}


def connections(configs: dict[str, ConnectionConfig]) -> dict[str, Connection]:
    """Open the connections; their owner closes them."""
    return {name: Connection(config) for name, config in configs.items()}


async def check(connected: dict[str, Connection]) -> str:
    """Ask each server something that it can always answer, and return what went wrong; empty where nothing did."""
    answers = await asyncio.gather(*(one.query("vector(1)", datetime.now(UTC)) for one in connected.values()))
    return next((answer.message for answer in answers if isinstance(answer, Trouble)), "")


def _configuration(name: str, url: str) -> ConnectionConfig:
    try:
        return ConnectionConfig(name=name, address=url)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        fail(f"--prometheus {cause_of(problem)}")
