"""The command line: the operator itself, and what people ask of it before, during and after a rollout.

Commands import what they need when they are called, so that to check a file costs none of what the operator needs.
Importing this package loads structlog, which would load rich where that is installed, for tracebacks that nobody would see: a
twentieth of the operator's memory, for as long as it runs. Commands that draw load rich themselves.
"""

from __future__ import annotations

from tidegate.runtime.without import without

without("rich", "structlog")
