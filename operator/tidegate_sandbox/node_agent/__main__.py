"""Command line of the node agent: ``python -m tidegate_sandbox.node_agent --help``.

The sandbox starts it as a program of its own, one for all nodes whose pods are processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import logging
import pathlib
import re
import signal
import sys
import tempfile
from collections.abc import Sequence

from tidegate_sandbox.node_agent import addresses, agent, api, backoff, containers, images, nodes, pods

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m)$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def _duration(text: str) -> float:
    match = _DURATION.match(text)
    if match is None or float(match.group(1)) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 500ms, 10s or 1m")
    return float(match.group(1)) * _UNITS[match.group(2)]


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is no label: expected key=value")
    return key, value


def _taint(text: str) -> dict[str, str]:
    pair, separator, effect = text.rpartition(":")
    if not separator or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise argparse.ArgumentTypeError(f"{text!r} is no taint: expected key=value:NoSchedule")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exits with status 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="node_agent", description="Runs pods as processes of this machine.")
    parser.add_argument("--kubeconfig", type=pathlib.Path, required=True, help="how to reach the API server")
    parser.add_argument("--context", help="context of the kubeconfig (default: the current one)")
    parser.add_argument("--node", action="append", required=True, help="name of a node to be; may be repeated")
    parser.add_argument("--pod-cidr", default="10.244.0.0/24", help="IPv4 network of the pods (default: %(default)s)")
    parser.add_argument("--images", type=pathlib.Path, help="JSON file: image name to local program (default: see images.DEFAULT)")
    parser.add_argument("--label", action="append", type=_label, default=[], help="label of the nodes, key=value")
    parser.add_argument("--taint", action="append", type=_taint, default=[], help="taint, key=value:effect")
    parser.add_argument("--max-pods", type=int, default=110, help="pods per node (default: %(default)s)")
    parser.add_argument("--log-dir", type=pathlib.Path, help="folder of container logs (default: a temporary one)")
    parser.add_argument(
        "--crash-backoff",
        type=_duration,
        default=backoff.KUBELET_BASE_SECONDS,
        help="first pause between restarts and image look-ups, doubling up to 30 times as long (default: 10s)",
    )
    parser.add_argument("--verbose", action="store_true", help="log every retry and failed probe")
    return parser.parse_args(arguments)


async def _serve(options: argparse.Namespace, work_dir: pathlib.Path) -> None:
    access = api.load_kubeconfig(options.kubeconfig, options.context)
    pool = addresses.AddressPool(options.pod_cidr)
    catalogue = agent.WatchedCatalogue(options.images) if options.images else images.DEFAULT
    async with api.ApiClient(access, "tidegate-node-agent") as client:
        tools = containers.Tools(
            catalogue=catalogue,
            read_config=agent.ConfigObjects(client).read,
            crash_backoff=options.crash_backoff,
            now=lambda: dt.datetime.now(dt.UTC),
        )
        log_dir = (options.log_dir or work_dir / "logs").absolute()
        host = pods.Host(client, pool, addresses.LoopbackInterface(), tools, work_dir / "pods", log_dir)
        settings = nodes.NodeSettings(pool.node_address, options.pod_cidr, dict(options.label), options.taint, options.max_pods)
        task = asyncio.create_task(agent.NodeAgent(host, options.node, settings).run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent until SIGTERM or SIGINT. Returns 0 then, 1 where it cannot start."""
    options = parse_arguments(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    try:
        with tempfile.TemporaryDirectory(prefix="tidegate-node-agent-") as work_dir:
            asyncio.run(_serve(options, pathlib.Path(work_dir)))
    except (api.KubeconfigError, images.ImageFileError, addresses.AddressError, ValueError) as error:
        print(f"node_agent: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
