"""A gateway's pod as far as its page of metrics goes: hands on to the administration of the sandbox's Envoy, which is no pod."""

from __future__ import annotations

import asyncio
import os
import sys

from tidegate_sandbox import relay
from tidegate_sandbox.cluster import ENVOY_ADMIN_PORT

PORT = 9901


async def _main() -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, to_envoy = await asyncio.open_connection("127.0.0.1", ENVOY_ADMIN_PORT)
        try:
            await asyncio.gather(relay.pump(reader, to_envoy), relay.pump(inside, writer))
        finally:
            to_envoy.close()
            writer.close()

    async with await asyncio.start_server(connected, os.environ["TIDEGATE_POD_IP"], PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
