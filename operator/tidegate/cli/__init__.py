"""The command line: the operator itself, and what people ask of it before, during and after a rollout.

Commands import what they need when they are called, so that to check a file costs none of what the operator needs.
Importing this package loads structlog, which would load rich where that is installed, for tracebacks that nobody would see: a
twentieth of the operator's memory, for as long as it runs. Commands that draw load rich themselves.
"""

from __future__ import annotations

import importlib
import sys


def _without(unused: str, name: str) -> None:
    """Load a module that then does without a library that it uses only where there is one (`None` there: see `sys.modules`)."""
    if unused in sys.modules or name in sys.modules:
        return
    sys.modules[unused] = None  # type: ignore[assignment]
    try:
        importlib.import_module(name)
    finally:
        del sys.modules[unused]


_without("rich", "structlog")
