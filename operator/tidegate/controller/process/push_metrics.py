"""What is counted of the port on which samples are pushed, where there is one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class PushMetrics:
    """Requests and samples by their senders.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "tidegate_push_requests_total",
            "Requests that pushed samples, by the HTTP status of the answer.",
            ("sender", "code"),
            registry=registry,
        )
        self.samples = Counter(
            "tidegate_push_samples_total",
            "Samples that were pushed, and what became of them.",
            ("sender", "outcome"),
            registry=registry,
        )
