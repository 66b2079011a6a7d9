"""For whom a gate's queries are asked.

Slots of a connection are shared between namespaces, and one is kept for gates that roll back: so every question says whose it is.
"""

from __future__ import annotations

from tidegate.api.gate import BreachAction, Gate
from tidegate.prometheus.answers import Asker
from tidegate.prometheus.promql import Names


def asker_of(gate: Gate, names: Names) -> Asker:
    """Return for whom the queries of a gate are asked."""
    return Asker(names.namespace, gate.on_breach is BreachAction.ROLLBACK and not gate.dry_run)
