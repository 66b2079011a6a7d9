"""What a gate looks at: telemetry that Tidegate knows, queries of your own, counters of your own, or an error budget."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule

Query = Annotated[str, Field(min_length=1, max_length=4096)]


class Source(StrEnum):
    """The telemetry that a preset reads."""

    ENVOY = "Envoy"
    ISTIO = "Istio"
    LINKERD = "Linkerd"
    NGINX = "NGINX"
    TRAEFIK = "Traefik"
    OPEN_TELEMETRY = "OpenTelemetry"
    GRPC = "GRPC"
    HTTP = "HTTP"
    KUBERNETES = "Kubernetes"


class Measure(StrEnum):
    """What a preset measures."""

    ERROR_RATE = "ErrorRate"
    LATENCY = "Latency"
    TAIL = "Tail"
    AVAILABILITY = "Availability"
    CPU = "CPU"
    MEMORY = "Memory"
    RESTARTS = "Restarts"


class Unit(StrEnum):
    """In what a metric is given; messages and points follow it."""

    RATIO = "Ratio"
    SECONDS = "Seconds"
    NUMBER = "Number"


class Preset(Model):
    """A metric that Tidegate knows how to ask for."""

    source: Annotated[
        Source,
        Field(
            description=(
                "Where the telemetry comes from. Envoy: Envoy's cluster metrics as Contour names them; Istio, Linkerd: the proxies "
                "beside the pods; NGINX: ingress-nginx; Traefik: its service metrics (Envoy, NGINX and Traefik need a route). "
                "OpenTelemetry: http.server.request.duration of the pods; GRPC: grpc_server_handled_total of the pods; HTTP: "
                "http_requests_total{code} and http_request_duration_seconds of the pods. Kubernetes: cAdvisor and "
                "kube-state-metrics, for CPU, Memory and Restarts."
            )
        ),
    ]
    measure: Annotated[
        Measure,
        Field(
            description=(
                "ErrorRate: share of answers with status 5xx (gRPC: Unknown, DeadlineExceeded, Internal, Unavailable, DataLoss). "
                "Latency: a quantile of the response time, in seconds. Tail: the shares of requests slower than each bound of "
                "the histogram, all at once, relative to stable's (needs versusStable.maxIncrease.percent). Availability: share "
                "of requests that were answered at all (not 502, 503 or 504; gRPC: not Unavailable). CPU and Memory: use as a "
                "share of the containers' limits, of the pod that uses most. Restarts: container restarts per pod and hour."
            )
        ),
    ]
    quantile: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="Quantile of the measure Latency, between 0 and 1. Default: 0.99.",
        ),
    ] = 0.99


PRESET_RULES = (
    Rule(
        "(self.source == 'Kubernetes') == (self.measure in ['CPU', 'Memory', 'Restarts'])",
        "the source Kubernetes has the measures CPU, Memory and Restarts, and no other source has them",
        ".measure",
    ),
)


class PromQL(Model):
    """A metric of your own, in PromQL. Each query must return one number."""

    canary: Annotated[Query, Field(description="Query for the value of the new version.")]
    stable: Annotated[
        Query | None,
        Field(description="Query for the value of the stable version; needed by versusStable. Default: none."),
    ] = None
    samples: Annotated[
        Query | None,
        Field(
            description=(
                "Query for the number of requests of the new version in the window, for minSamples. "
                "Default: none; then minSamples does not apply."
            ),
        ),
    ] = None
    unit: Annotated[
        Unit,
        Field(description="In what the queries answer: Ratio (0 to 1), Seconds, or Number. Default: Number."),
    ] = Unit.NUMBER


class CounterPair(Model):
    """Two counters of one version."""

    bad: Annotated[Query, Field(description='Counters of bad events, e.g. `orders_total{pod=~"{{canaryPods}}",result="failed"}`.')]
    total: Annotated[Query, Field(description="Counters of all events, the bad ones among them.")]


class Counters(Model):
    """A share of bad events of your own, as raw counters, without rate() or increase().

    Tidegate takes their increases itself, corrected for resets, series by series.
    """

    canary: Annotated[CounterPair, Field(description="Counters of the new version.")]
    stable: Annotated[
        CounterPair | None,
        Field(description="Counters of the stable version; needed by versusStable. Default: none."),
    ] = None


class BurnWindow(Model):
    """A pair of windows; both must burn faster than the factor."""

    long: Annotated[Duration, Field(description="The long window, e.g. 1h: that much of the budget was really spent.")]
    short: Annotated[Duration, Field(description="The short window, e.g. 5m: it is still being spent.")]
    factor: Annotated[
        float,
        Field(gt=0, le=100_000, description="How many times faster than the budget allows, e.g. 14.4: 2% of 30 days in one hour."),
    ]


DEFAULT_BURN_WINDOWS = (
    BurnWindow(long=timedelta(hours=1), short=timedelta(minutes=5), factor=14.4),
    BurnWindow(long=timedelta(hours=6), short=timedelta(minutes=30), factor=6),
)
"""https://sre.google/workbook/alerting-on-slos/, "6: Multiwindow, Multi-Burn-Rate Alerts": the two that page."""


class ErrorBudget(Model):
    """The error budget of the service, all its versions together, as burn rates over several windows.

    The value is the greatest over the windows of min(burn rate of long, burn rate of short) / factor: 1 or more is too fast.
    """

    source: Annotated[Source, Field(description="Where the telemetry comes from, as for a preset; not Kubernetes.")]
    measure: Annotated[
        Measure, Field(description="ErrorRate or Availability: which answers spend the budget. Default: ErrorRate.")
    ] = Measure.ERROR_RATE
    objective: Annotated[
        float, Field(gt=0, lt=1, description="The objective as a ratio, e.g. 0.999: the budget is what it leaves, 0.1%.")
    ]
    windows: Annotated[
        tuple[BurnWindow, ...],
        Field(max_length=4, description="Pairs of windows. Default: 1h with 5m at 14.4 and 6h with 30m at 6."),
        K8s(list_map_keys=("long",)),
    ] = ()


ERROR_BUDGET_RULES = (
    Rule("self.source != 'Kubernetes'", "an error budget needs a source of requests", ".source"),
    Rule(
        "self.measure in ['ErrorRate', 'Availability']",
        "an error budget is spent by ErrorRate or Availability",
        ".measure",
    ),
)


class Metric(Model):
    """What a gate looks at: exactly one of preset, promql, counters and errorBudget."""

    preset: Annotated[
        Preset | None,
        Field(description="A metric that Tidegate knows how to ask for. Default: none."),
        K8s(rules=PRESET_RULES),
    ] = None
    promql: Annotated[
        PromQL | None,
        Field(
            description=(
                "A metric of your own, in PromQL. Each query must return one number. "
                "Variables: {{namespace}}, {{release}}, {{service}}, {{stableService}}, {{canaryService}}, "
                "{{stablePods}}, {{canaryPods}} (regular expressions that match the pods' names) and {{window}}. "
                "Default: none."
            )
        ),
    ] = None
    counters: Annotated[
        Counters | None,
        Field(
            description=(
                "A share of bad events of your own, as raw counters in PromQL, for the judge Evidence; with the variables of "
                "promql. Default: none."
            )
        ),
    ] = None
    error_budget: Annotated[
        ErrorBudget | None,
        Field(description="The burn rate of the service's error budget; the limit is 1 (threshold.max). Default: none."),
        K8s(rules=ERROR_BUDGET_RULES),
    ] = None


METRIC_RULES = (
    Rule(
        "[has(self.preset), has(self.promql), has(self.counters), has(self.errorBudget)].exists_one(given, given)",
        "give exactly one of preset, promql, counters and errorBudget",
    ),
)
