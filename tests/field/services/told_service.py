"""The demo service, which does what others have ordered by files in ORDERS: `crash-POD`, `kill-POD` and `unready-POD`.

Who is to crash takes the order away, says why in its last words and ends with exit code 7; who is killed ends as the
kernel ends what takes too much memory. A pod is not ready for as long as the file says so, and serves on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tidegate_sandbox import demo_service

EVERY = 0.1
"""Seconds between two looks at the orders."""
LAST_WORDS = "cannot open the ledger: disk quota exceeded"
_SERVE = demo_service.serve


def _order(what: str) -> Path:
    return Path(os.environ["ORDERS"]) / f"{what}-{os.environ['TIDEGATE_POD_NAME']}"


class Told(demo_service.Service):
    """Is ready unless told otherwise."""

    @property
    def ready(self) -> bool:
        return super().ready and not _order("unready").exists()


async def _serve(settings: demo_service.Settings) -> None:
    obeying = asyncio.create_task(_obey())
    await _SERVE(settings)
    obeying.cancel()


async def _obey() -> None:
    while True:
        for what in ("crash", "kill"):
            order = _order(what)
            if order.exists():
                order.unlink()
                if what == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                print(LAST_WORDS, file=sys.stderr, flush=True)
                os._exit(7)
        await asyncio.sleep(EVERY)


if __name__ == "__main__":
    demo_service.serve = _serve
    demo_service.Service = Told  # type: ignore[misc]
    sys.exit(demo_service.main())
