"""Which judge a gate has: Evidence wherever its limit can be tested on counts, Limit elsewhere, unless the gate says so.

What is read of Prometheus hangs on it as well, so it is asked before anything is judged.
"""

from __future__ import annotations

from tidegate.api.gate import Gate, Judge
from tidegate.api.metric import Measure

_COUNTED = (Measure.ERROR_RATE, Measure.AVAILABILITY, Measure.TAIL, Measure.RESTARTS)
"""Measures of presets that are counts, whatever the limit is."""


def by_evidence(gate: Gate) -> bool:
    """Whether the judge of a gate is Evidence: where it says so, or says nothing and its limit can be tested on counts."""
    return gate.judge is Judge.EVIDENCE or (gate.judge is None and testable(gate))


def testable(gate: Gate) -> bool:
    """Whether the metric gives counts and every limit of the gate is one that can be tested on them.

    On the buckets of a histogram a quantile can be compared with stable's in percent, and with a greatest value.
    """
    preset = gate.metric.preset
    if gate.metric.counters is not None:
        return True
    if preset is None:
        return False
    if preset.measure is not Measure.LATENCY:
        return preset.measure in _COUNTED
    versus, threshold = gate.versus_stable, gate.threshold
    relative = versus is None or (versus.max_increase is not None and versus.max_increase.percent is not None)
    return relative and (threshold is None or threshold.min is None)
