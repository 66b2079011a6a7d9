"""What Prometheus said about one gate at one instant, and what the judge makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tidegate.api.names import Verdict


@dataclass(frozen=True)
class Reading:
    """One look of one gate.

    Attributes:
        gate: name of the gate.
        revision: revision of the new version that was asked for.
        at: evaluation time of the queries; the same instant for both versions.
        canary: value of the new version in the metric's unit (ratio 0 to 1, seconds, or a plain number); None without data.
        stable: value of the stable version, likewise.
        canary_samples: requests of the new version in the window; None where the metric cannot tell.
        stable_samples: requests of the stable version in the window, likewise.
        trouble: why there is no value, in the words of Prometheus or of the connection; empty where nothing went wrong.
    """

    gate: str
    revision: str
    at: datetime
    canary: float | None = None
    stable: float | None = None
    canary_samples: float | None = None
    stable_samples: float | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Judgement:
    """A verdict on one look, in words, with its numbers.

    Attributes:
        verdict: whether this look is within the limit, beyond it, or cannot be judged.
        limit: the limit in words, e.g. `less than 1 point above stable`.
        message: the verdict in one sentence, with the numbers.
    """

    verdict: Verdict
    limit: str
    message: str
