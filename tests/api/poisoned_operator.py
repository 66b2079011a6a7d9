"""The operator, as its image starts it, but for one Release over which it dies: at a pass, or at a look of a gate.

The variable TIDEGATE_TEST_POISON says where: `pass:checkout`, `look:checkout`.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from tidegate.cli.main import app
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.reconcile.reconciler import Reconciler
from tidegate.judge.reading import Reading
from tidegate.prometheus.reader import Reader

_WHERE, _, _NAME = os.environ["TIDEGATE_TEST_POISON"].partition(":")
_RECONCILE, _READ = Reconciler.reconcile, Reader.read


def _die(where: str, name: str) -> None:
    if (where, name) == (_WHERE, _NAME):
        os.kill(os.getpid(), signal.SIGKILL)


async def _reconcile(self: Reconciler, key: ReleaseKey) -> None:
    _die("pass", key.name)
    await _RECONCILE(self, key)


async def _read(self: Reader, gate: Any, names: Any, *args: Any, **kwargs: Any) -> Reading:
    _die("look", names.release)
    return await _READ(self, gate, names, *args, **kwargs)


if __name__ == "__main__":
    Reconciler.reconcile = _reconcile  # type: ignore[method-assign]
    Reader.read = _read  # type: ignore[method-assign]
    app()
