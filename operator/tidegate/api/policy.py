"""RolloutPolicy and ClusterRolloutPolicy: by which steps and under which gates a new version takes over."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule

AT_LEAST_1S = K8s(rules=(Rule("duration(self) >= duration('1s')", "must be at least 1s"),))
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Percent = Annotated[str, Field(max_length=4, pattern=r"^(100|[1-9]?[0-9])%$")]
IntOrPercent = Annotated[int, Field(ge=0, le=10_000)] | Percent


class BreachAction(StrEnum):
    """What a breach of a gate does."""

    ROLLBACK = "Rollback"
    PAUSE = "Pause"
    WARN = "Warn"


class NoDataVerdict(StrEnum):
    """What a gate counts as when it could not be decided for long enough."""

    HOLD = "Hold"
    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    FAIL = "Fail"


class Source(StrEnum):
    """The telemetry that a preset reads."""

    ENVOY = "Envoy"
    HTTP = "HTTP"


class Measure(StrEnum):
    """What a preset measures."""

    ERROR_RATE = "ErrorRate"
    LATENCY = "Latency"
    AVAILABILITY = "Availability"


class Unit(StrEnum):
    """In what a metric is given; messages and points follow it."""

    RATIO = "Ratio"
    SECONDS = "Seconds"
    NUMBER = "Number"


class Step(Model):
    """One step of a rollout: a share of the traffic, and how long it is held at least."""

    name: Annotated[str | None, Field(min_length=1, max_length=63, description="Name for people. Default: none.")] = None
    weight: Annotated[
        int, Field(ge=0, le=100, description="Share of the traffic that the new version gets, in percent (0 to 100).")
    ]
    replicas: Annotated[
        IntOrPercent | None,
        Field(
            description=(
                "Pods of the new version at this step: a number, or a percentage of the Deployment's replicas (0% to "
                "100%). Default: the share of the weight, at least 1. At weight 100 always all."
            )
        ),
    ] = None
    hold: Annotated[
        Duration,
        Field(description="Least time at this step, counted from when the route carries the weight. Default: 0s."),
    ] = timedelta(0)


class Preset(Model):
    """A metric that Tidegate knows how to ask for."""

    source: Annotated[
        Source,
        Field(
            description=(
                "Where the telemetry comes from. Envoy: Envoy's cluster metrics as Contour names them (needs a route). "
                "HTTP: http_requests_total{code} and http_request_duration_seconds of the pods themselves."
            )
        ),
    ]
    measure: Annotated[
        Measure,
        Field(
            description=(
                "ErrorRate: share of answers with status 5xx. Latency: a quantile of the response time, in seconds. "
                "Availability: share of requests that were answered at all (not 502, 503 or 504)."
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


class PromQL(Model):
    """A metric of your own, in PromQL. Each query must return one number."""

    canary: Annotated[str, Field(min_length=1, max_length=4096, description="Query for the value of the new version.")]
    stable: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=4096,
            description="Query for the value of the stable version; needed by versusStable. Default: none.",
        ),
    ] = None
    samples: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=4096,
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


class Metric(Model):
    """What a gate looks at: exactly one of preset and promql."""

    preset: Annotated[
        Preset | None,
        Field(description="A metric that Tidegate knows how to ask for; in place of promql. Default: none."),
    ] = None
    promql: Annotated[
        PromQL | None,
        Field(
            description=(
                "A metric of your own, in PromQL; in place of preset. Each query must return one number. "
                "Variables: {{namespace}}, {{release}}, {{service}}, {{stableService}}, {{canaryService}}, "
                "{{stablePods}}, {{canaryPods}} (regular expressions that match the pods' names) and {{window}}. "
                "Default: none."
            )
        ),
    ] = None


class Change(Model):
    """A change against stable: exactly one of points and percent."""

    points: Annotated[
        float | None,
        Field(
            ge=0,
            le=1_000_000_000,
            description=(
                "Absolute change in the metric's unit; for the unit Ratio in percentage points (1 is from 0.5% to "
                "1.5%). Default: none."
            ),
        ),
    ] = None
    percent: Annotated[
        float | None,
        Field(
            ge=0,
            le=1_000_000,
            description="Relative change in percent of the stable value (10 is from 200 ms to 220 ms). Default: none.",
        ),
    ] = None


CHANGE_RULES = K8s(rules=(Rule("has(self.points) != has(self.percent)", "give exactly one of points and percent"),))


class VersusStable(Model):
    """A limit relative to the stable version at the same moment: exactly one of maxIncrease and maxDecrease."""

    max_increase: Annotated[
        Change | None,
        Field(description="The new version's value must be less than this much above stable's. Default: none."),
        CHANGE_RULES,
    ] = None
    max_decrease: Annotated[
        Change | None,
        Field(description="The new version's value must be less than this much below stable's. Default: none."),
        CHANGE_RULES,
    ] = None


class Threshold(Model):
    """A fixed limit, in the metric's unit (Ratio: 0 to 1): at least one of min and max."""

    min: Annotated[
        float | None, Field(description="Least allowed value, e.g. 0.999 for an availability of 99.9%. Default: none.")
    ] = None
    max: Annotated[float | None, Field(description="Greatest allowed value, e.g. 0.5 for half a second. Default: none.")] = None


class OnNoData(Model):
    """What a gate counts as when it stays undecided: no data, too little data, or Prometheus away."""

    then: Annotated[
        NoDataVerdict,
        Field(description="Hold: keep the weight and wait. Pass: go on. Fail: count as a breach. Default: Hold."),
    ] = NoDataVerdict.HOLD
    after: Annotated[
        Duration,
        Field(description="How long it must be undecided before `then` counts. Default: 5m."),
    ] = timedelta(minutes=5)


class Gate(Model):
    """A metric, a limit, and what a breach means."""

    name: Annotated[Name, Field(description="Name of the gate, unique in the policy.")]
    metric: Annotated[
        Metric,
        Field(description="What the gate looks at: exactly one of preset and promql."),
        K8s(rules=(Rule("has(self.preset) != has(self.promql)", "give exactly one of preset and promql"),)),
    ]
    versus_stable: Annotated[
        VersusStable | None,
        Field(description="Limit relative to stable: exactly one of maxIncrease and maxDecrease. Default: none."),
        K8s(rules=(Rule("has(self.maxIncrease) != has(self.maxDecrease)", "give exactly one of maxIncrease and maxDecrease"),)),
    ] = None
    threshold: Annotated[
        Threshold | None,
        Field(description="Fixed limit, in the metric's unit: min, max or both. Default: none."),
        K8s(
            rules=(
                Rule("has(self.min) || has(self.max)", "give at least one of min and max"),
                Rule(
                    "!has(self.min) || !has(self.max) || self.min <= self.max",
                    "min must not be greater than max",
                    ".min",
                ),
            )
        ),
    ] = None
    on_breach: Annotated[
        BreachAction,
        Field(
            description=(
                "Rollback: all traffic back to stable at once. Pause: keep the weight, alert, wait for a person. "
                "Warn: say so and go on. Default: Rollback."
            )
        ),
    ] = BreachAction.ROLLBACK
    interval: Annotated[
        Duration,
        Field(description="Time between two looks, at least 1s. Default: 30s."),
        AT_LEAST_1S,
    ] = timedelta(seconds=30)
    window: Annotated[
        Duration,
        Field(
            description=(
                "Time over which a preset computes rates and quantiles; at least twice the scrape interval, and 1s. Default: 1m."
            )
        ),
        AT_LEAST_1S,
    ] = timedelta(minutes=1)
    initial_delay: Annotated[
        Duration,
        Field(description="Warm-up: no look before the new version has had traffic for this long. Default: 0s."),
    ] = timedelta(0)
    failure_limit: Annotated[
        int,
        Field(
            ge=1,
            le=20,
            description="So many of the last `of` looks beyond the limit are a breach. Default: 1.",
        ),
    ] = 1
    of: Annotated[
        int,
        Field(
            ge=1,
            le=20,
            description="How many looks failureLimit counts over. Default: 1.",
        ),
    ] = 1
    min_samples: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000_000,
            description=(
                "Least number of requests of the new version in the window; with fewer the gate is undecided. Default: 20."
            ),
        ),
    ] = 20
    on_no_data: Annotated[OnNoData, Field(description="What staying undecided means. Default: to hold, for ever.")] = OnNoData()
    connection: Annotated[
        Name,
        Field(description="Name of the Prometheus connection in the operator's configuration. Default: default."),
    ] = "default"


GATE_RULES = (
    Rule(
        "has(self.versusStable) || has(self.threshold)",
        "a gate needs a limit: give versusStable, threshold or both",
    ),
    Rule("self.failureLimit <= self.of", "failureLimit must not be greater than of", ".failureLimit"),
    Rule(
        "!has(self.versusStable) || !has(self.metric.promql) || has(self.metric.promql.stable)",
        "versusStable needs metric.promql.stable, the query for the stable version",
        ".metric.promql.stable",
    ),
)
STEPS_RULES = (
    Rule(
        "self.map(s, s.weight).isSorted() && self.all(s, self.exists_one(t, t.weight == s.weight))",
        "weights must rise from step to step",
    ),
    Rule("self[size(self) - 1].weight == 100", "the last step must have weight 100"),
)


class RolloutPolicySpec(Model):
    """Steps, gates and times of a rollout."""

    steps: Annotated[
        tuple[Step, ...],
        Field(min_length=1, max_length=20, description="Steps in order; weights rise, the last is 100."),
        K8s(rules=STEPS_RULES),
    ]
    gates: Annotated[
        tuple[Annotated[Gate, K8s(rules=GATE_RULES)], ...],
        Field(
            max_length=20,
            description="Gates that must pass before a step ends and that are watched all along. Default: none.",
        ),
        K8s(list_map_keys=("name",)),
    ] = ()
    bake: Annotated[
        Duration,
        Field(description="Time at weight 100 during which stable stays warm for an instant rollback. Default: 10m."),
    ] = timedelta(minutes=10)
    progress_deadline: Annotated[
        Duration,
        Field(
            description=(
                "Longest time for pods of the new version to become ready, at least 1s; then the rollout is undone. Default: 10m."
            )
        ),
        AT_LEAST_1S,
    ] = timedelta(minutes=10)
    drain: Annotated[
        Duration,
        Field(description="Least time between taking the weight from pods and stopping them. Default: 10s."),
    ] = timedelta(seconds=10)
