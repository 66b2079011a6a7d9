"""A gate: a metric, a limit, and what a breach means.

Policies hold gates, and a rollout's status has a copy of them: both are read by these models.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule
from tidegate.api.direct import Direct
from tidegate.api.metric import METRIC_RULES, Metric
from tidegate.api.push import Push

AT_LEAST_1S = K8s(rules=(Rule("duration(self) >= duration('1s')", "must be at least 1s"),))
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class BreachAction(StrEnum):
    """What a breach of a gate does."""

    ROLLBACK = "Rollback"
    PAUSE = "Pause"
    HOLD = "Hold"
    WARN = "Warn"


class NoDataVerdict(StrEnum):
    """What a gate counts as when it could not be decided for long enough."""

    HOLD = "Hold"
    PASS = "Pass"  # noqa: S105 - a verdict, not a password
    FAIL = "Fail"


class Judge(StrEnum):
    """How a gate is judged."""

    EVIDENCE = "Evidence"
    LIMIT = "Limit"


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


RelativeLimit = Annotated[
    VersusStable | None,
    Field(description="Limit relative to stable: exactly one of maxIncrease and maxDecrease. Default: none."),
    K8s(rules=(Rule("has(self.maxIncrease) != has(self.maxDecrease)", "give exactly one of maxIncrease and maxDecrease"),)),
]
FixedLimit = Annotated[
    Threshold | None,
    Field(description="Fixed limit, in the metric's unit: min, max or both. Default: none."),
    K8s(
        rules=(
            Rule("has(self.min) || has(self.max)", "give at least one of min and max"),
            Rule("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be greater than max", ".min"),
        )
    ),
]


class WarningLimit(Model):
    """A narrower limit, for scoring."""

    versus_stable: RelativeLimit = None
    threshold: FixedLimit = None


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
        Field(description="What the gate looks at: exactly one of preset, promql, counters and errorBudget."),
        K8s(rules=METRIC_RULES),
    ]
    versus_stable: RelativeLimit = None
    threshold: FixedLimit = None
    warning: Annotated[
        WarningLimit | None,
        Field(
            description=(
                "With scoring: a narrower limit; a value beyond it and within the gate's own limit earns half the weight. "
                "Default: none."
            )
        ),
        K8s(rules=(Rule("has(self.versusStable) || has(self.threshold)", "give versusStable, threshold or both"),)),
    ] = None
    judge: Annotated[
        Judge | None,
        Field(
            description=(
                "Evidence: a sequential test on counts, valid at every check. Limit: each value is compared with the limit. "
                "Default: Evidence if the metric gives counts and the limit can be tested on them, else Limit."
            )
        ),
    ] = None
    require_proof: Annotated[
        bool,
        Field(
            description=(
                "Judge Evidence: the weight rises only once the new version is shown to be within the limit; otherwise it rises "
                "once at least minSamples requests give no evidence against it. Default: false."
            )
        ),
    ] = False
    dry_run: Annotated[bool, Field(description="The verdict is recorded, and nothing acts on it. Default: false.")] = False
    on_breach: Annotated[
        BreachAction,
        Field(
            description=(
                "Rollback: all traffic back to stable at once. Pause: keep the weight, alert, wait for a person. "
                "Hold: start no rollout and raise no weight until it is over. Warn: write a warning and go on. Default: Rollback."
            )
        ),
    ] = BreachAction.ROLLBACK
    ask: Annotated[
        tuple[Name, ...],
        Field(max_length=8, description="Roles that decide about a pause by this gate; the message names them. Default: none."),
        K8s(list_set=True),
    ] = ()
    weight: Annotated[
        int, Field(ge=0, le=100, description="With scoring: what the gate counts for; 0 is for information. Default: 1.")
    ] = 1
    key_objective: Annotated[
        bool, Field(description="With scoring: a breach of this gate acts by its onBreach, whatever the score. Default: false.")
    ] = False
    interval: Annotated[
        Duration,
        Field(description="Time between two checks, at least 1s. Default: 30s."),
        AT_LEAST_1S,
    ] = timedelta(seconds=30)
    window: Annotated[
        Duration,
        Field(
            description=(
                "Judge Limit: time over which a preset computes rates and quantiles; at least twice the scrape interval, and 1s. "
                "The judge Evidence counts all requests since the new version first got traffic. Default: 1m."
            )
        ),
        AT_LEAST_1S,
    ] = timedelta(minutes=1)
    initial_delay: Annotated[
        Duration,
        Field(description="Warm-up: the first check is this long after the new version first got traffic. Default: 0s."),
    ] = timedelta(0)
    active_for: Annotated[
        Duration | None,
        Field(description="The gate is checked only for this long after the new version first got traffic. Default: all along."),
        AT_LEAST_1S,
    ] = None
    failure_limit: Annotated[
        int,
        Field(
            ge=1,
            le=20,
            description="Judge Limit: this many of the last `of` checks beyond the limit are a breach. Default: 1.",
        ),
    ] = 1
    of: Annotated[
        int,
        Field(
            ge=1,
            le=20,
            description="How many checks failureLimit counts over. Default: 1.",
        ),
    ] = 1
    min_samples: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000_000,
            description=(
                "Least number of requests of the new version; with fewer in the window (judge Limit) the gate is undecided, "
                "with fewer in all (judge Evidence) the weight does not rise. Default: 20."
            ),
        ),
    ] = 20
    on_no_data: Annotated[OnNoData, Field(description="What an undecided gate counts as. Default: hold indefinitely.")] = OnNoData()
    connection: Annotated[
        Name,
        Field(description="Name of the Prometheus connection in the operator's configuration. Default: default."),
    ] = "default"
    direct: Annotated[
        Direct | None,
        Field(
            description=(
                "Read the pods of both versions directly, or those of the gateways that the preset is of, every second while a "
                "rollout is on, if the connection allows it: a breach is found without waiting for Prometheus to scrape it. "
                "Default: none, Prometheus alone."
            )
        ),
    ] = None
    push: Annotated[
        Push | None,
        Field(
            description=(
                "Judge samples that Prometheus or an agent pushes to the operator, if the connection allows it: for networks that "
                "keep the operator from pods. Not together with direct. Default: none, Prometheus alone."
            )
        ),
    ] = None

    @property
    def own(self) -> Direct | Push | None:
        """How pods are judged by what they say themselves; None where Prometheus' answers alone are."""
        return self.direct or self.push


_TESTABLE = (
    "has(self.metric.counters) || (has(self.metric.preset) && ("
    "self.metric.preset.measure in ['ErrorRate', 'Availability', 'Tail', 'Restarts'] || (self.metric.preset.measure == 'Latency'"
    " && (!has(self.versusStable) || (has(self.versusStable.maxIncrease) && has(self.versusStable.maxIncrease.percent)))"
    " && (!has(self.threshold) || !has(self.threshold.min)))))"
)
_COUNTED = "(has(self.metric.counters) || (has(self.metric.preset) && self.metric.preset.measure == 'Tail'))"
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
    Rule(
        "!has(self.versusStable) || !has(self.metric.counters) || has(self.metric.counters.stable)",
        "versusStable needs metric.counters.stable, the counters of the stable version",
        ".metric.counters.stable",
    ),
    Rule(
        "!has(self.versusStable) || !(has(self.metric.errorBudget) || "
        "(has(self.metric.preset) && self.metric.preset.measure == 'Restarts'))",
        "this metric has a threshold only",
        ".versusStable",
    ),
    Rule(
        "!has(self.metric.preset) || self.metric.preset.measure != 'Tail' || (!has(self.threshold) && has(self.versusStable)"
        " && has(self.versusStable.maxIncrease) && has(self.versusStable.maxIncrease.percent))",
        "the measure Tail needs versusStable.maxIncrease.percent, and has no threshold",
        ".metric.preset.measure",
    ),
    Rule(
        f"!has(self.judge) || self.judge != 'Evidence' || {_TESTABLE}",
        "Evidence needs counts: a preset of requests or Restarts, or counters; for Latency a limit in percent or threshold.max",
        ".judge",
    ),
    Rule(f"!has(self.judge) || self.judge != 'Limit' || !{_COUNTED}", "this metric can only be judged by Evidence", ".judge"),
    Rule(
        "!has(self.direct) || (has(self.metric.preset) && self.metric.preset.source != 'Kubernetes')",
        "direct needs a preset of requests, which pods or gateways count: any source but Kubernetes",
        ".direct",
    ),
    Rule(
        "!has(self.direct) || !has(self.metric.preset) || !(self.metric.preset.source in ['Envoy', 'NGINX', 'Traefik'])"
        " || !(has(self.direct.port) || has(self.direct.path) || has(self.direct.scheme))",
        "port, path and scheme of gateways' pages are in the operator's configuration: leave them out",
        ".direct",
    ),
    Rule(
        f"!has(self.direct) || ((!has(self.judge) || self.judge == 'Evidence') && ({_TESTABLE}))",
        "direct needs the judge Evidence",
        ".direct",
    ),
    Rule(
        "!has(self.push) || (has(self.metric.preset)"
        " && self.metric.preset.source in ['HTTP', 'GRPC', 'OpenTelemetry', 'Istio', 'Linkerd'])",
        "pushed samples are judged for a preset that pods count themselves: HTTP, GRPC, OpenTelemetry, Istio or Linkerd",
        ".push",
    ),
    Rule(
        f"!has(self.push) || (!has(self.direct) && (!has(self.judge) || self.judge == 'Evidence') && ({_TESTABLE}))",
        "push needs the judge Evidence, and goes without direct",
        ".push",
    ),
)
