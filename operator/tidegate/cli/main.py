"""The commands that run the operator and check its configuration; the others are imported only when they are asked for.

What judges, reads Prometheus or draws tables takes long to be imported, and the operator needs none of what draws.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from pydantic import ValidationError
from typer.core import TyperGroup

from tidegate import __version__
from tidegate.api.wrong import cause_of
from tidegate.controller.process import config as configuration
from tidegate.controller.process import logs
from tidegate.controller.process.config import Config
from tidegate.runtime import allocator
from tidegate.runtime.errors import Terminal
from tidegate.runtime.without import without, without_parts

DECIDING = ("approve", "reject", "promote", "pause", "resume", "retry")
APART = {
    "explain": "tidegate.cli.explain",
    "status": "tidegate.cli.status",
    "waits": "tidegate.cli.waits",
    "shards": "tidegate.cli.shards",
    "freeze": "tidegate.cli.freezes",
    "thaw": "tidegate.cli.freezes",
    **dict.fromkeys(DECIDING, "tidegate.cli.decide"),
    "rollback": "tidegate.cli.rollback",
    "verify": "tidegate.cli.verify",
    "override": "tidegate.cli.hotfix",
    "attest": "tidegate.cli.hotfix",
    "switch": "tidegate.cli.switch",
    "history": "tidegate.cli.records",
    "record": "tidegate.cli.records",
    "audit": "tidegate.cli.audit",
    "dora": "tidegate.cli.dora",
    "evidence": "tidegate.cli.evidence",
    "lint": "tidegate.cli.lint",
    "backtest": "tidegate.cli.backtest",
    "serve": "tidegate.cli.serve",
}
"""Commands that are imported when they are asked for, and the modules that have a function of that name: what they need would take
a sixth of the operator's memory for as long as it runs."""

COLLECT_AFTER = 10_000
"""By how many objects there must be more than before until the garbage collector looks through the young ones. With its default of
700 it took a third of the processor time of a thousand rollouts, and stopped everything for longer."""


_CLIENT_UNUSED = tuple(
    f"kubernetes.{part}"
    for part in (
        *("config", "dynamic", "informer", "leaderelection", "stream", "utils", "watch"),
        *("aio.dynamic", "aio.leaderelection", "aio.stream", "aio.watch"),
    )
)
"""Parts of the client of Kubernetes that the operator makes no use of, and kopf neither."""


class Commands(TyperGroup):
    """All commands, those that are imported when they are asked for behind the others."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None where there is none of that name."""
        if cmd_name in APART and cmd_name not in self.commands:
            alone = typer.Typer(add_completion=False, rich_markup_mode=self.rich_markup_mode)
            alone.command(cmd_name)(getattr(importlib.import_module(APART[cmd_name]), cmd_name))
            self.add_command(typer.main.get_command(alone))
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands in the order of the help."""
        return list(dict.fromkeys([*super().list_commands(ctx), *APART]))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that is called; of a name that is no command's, similar ones are suggested, among all of them."""
        if args[0] not in self.list_commands(ctx):
            for name in APART:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    help="Tidegate releases a new version step by step, and rolls it back by itself when its metrics degrade.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", envvar="TIDEGATE_CONFIG", help="Configuration file (YAML). Default: none, and built-in defaults."),
]


def _loaded(path: Path | None) -> Config:
    try:
        return configuration.load(path)
    except Terminal as error:
        typer.echo(f"tidegate: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def run(
    config: ConfigPath = None,
    kubeconfig: Annotated[
        str | None, typer.Option(help="Kubeconfig file. Default: $KUBECONFIG, the pod's ServiceAccount, ~/.kube/config.")
    ] = None,
    namespace: Annotated[
        list[str] | None, typer.Option(help="Serve this namespace only; may be repeated. Default: all namespaces.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port of /metrics. Default: 8080.")] = None,
    probe_port: Annotated[int | None, typer.Option(help="Port of /healthz and /readyz. Default: 8081.")] = None,
) -> None:
    """Run the operator.

    Exits with 0 after SIGTERM or SIGINT, with 1 when a part of it has ended, and with 2 when it cannot serve. While the API
    server cannot be reached, it waits.
    """
    options: dict[str, object] = {"watchNamespaces": namespace or None, "httpPort": port, "probePort": probe_port}
    chosen = _with_options(_loaded(config), options)
    logs.configure(chosen.log_level)
    gc.set_threshold(COLLECT_AFTER)
    allocator.gives_back()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(_serve(chosen, kubeconfig)))


def _with_options(config: Config, given: dict[str, object]) -> Config:
    """Lay what the command line says over the configuration."""
    try:
        said = Config.model_validate({name: value for name, value in given.items() if value is not None}, by_alias=True)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            typer.echo(f"tidegate: {problem['loc'][0]}: {cause_of(problem)}", err=True)
        raise typer.Exit(2) from error
    return config.model_copy(update={name: getattr(said, name) for name in said.model_fields_set})


@app.command("check-config")
def check_config(config: ConfigPath = None) -> None:
    """Check a configuration file, and the kubeconfigs of other clusters that it names, and say what is wrong with them.

    Exits with 0, with 1 if a kubeconfig cannot be used as it is now, or with 2 if the configuration is not valid.
    """
    from tidegate.cluster.kubeconfig import KubeconfigError, read

    loaded = _loaded(config)
    names = ", ".join(connection.name for connection in loaded.connections) or "none"
    channels = ", ".join(f"{channel.name} ({channel.type})" for channel in loaded.notifications.channels)
    typer.echo(f"the configuration is valid; Prometheus connections: {names}{f'; channels: {channels}' if channels else ''}")
    unusable = False
    for name, cluster in sorted(loaded.clusters.items()):
        try:
            read(Path(cluster.kubeconfig))
        except KubeconfigError as error:
            unusable = True
            typer.echo(f"tidegate: clusters.{name}.kubeconfig: {cluster.kubeconfig}: {error}", err=True)
    if unusable:
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


async def _serve(config: Config, kubeconfig: str | None) -> int:
    # To guess encodings, which no answer leaves open, takes 3 MB.
    without("charset_normalizer", "requests")
    # The client of Kubernetes is two, with OAuth and WebSockets: 4 MB more than the configuration of one, which is used.
    without_parts(_CLIENT_UNUSED, "kubernetes.aio.config")
    # kopf takes half a second to import; the other commands need not wait for it.
    import structlog

    from tidegate import edge
    from tidegate.cluster.connection import Connection, connect
    from tidegate.cluster.election import Deposed
    from tidegate.controller.process.app import App
    from tidegate.controller.process.follower import Answered
    from tidegate.controller.process.shards import Shards
    from tidegate.runtime.store import Store

    log = structlog.get_logger(__name__)
    stop = asyncio.Event()

    def listen() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def follow(*, store: Store, connection: Connection, answered: Answered) -> None:
        await edge.watch_releases(
            store=store,
            open_session=lambda: connection.open_session(limit=0),
            server=connection.server,
            namespaces=config.watch_namespaces,
            started=listen,
            answered=answered,
        )

    try:
        listen()
        serving = Shards if config.shards > 1 else App
        await serving(config, await connect(kubeconfig), follow).run(stop)
    except Terminal as error:
        log.error("cannot serve", cause=str(error))  # noqa: TRY400 - the message is the whole story
        return 2
    except Deposed as error:
        log.error("lost leadership; exiting, so that Kubernetes restarts this replica", cause=str(error))  # noqa: TRY400 - as above
        return 1
    except Exception:
        log.exception("a part of the operator has ended; exiting, so that Kubernetes restarts this replica")
        return 1
    log.info("ended")
    return 0
