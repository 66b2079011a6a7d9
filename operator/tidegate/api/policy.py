"""RolloutPolicy and ClusterRolloutPolicy: by which steps and under which gates a new version takes over."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from pydantic.alias_generators import to_camel

from tidegate.api.approvals import Approval
from tidegate.api.base import Duration, K8s, Model, Rule
from tidegate.api.checks import CHECK_RULES, Check
from tidegate.api.flags import MOST_FLAGS, STEP_FLAG_RULES, StepFlag
from tidegate.api.gate import AT_LEAST_1S, GATE_RULES, BreachAction, Gate
from tidegate.api.hotfix import Hotfix
from tidegate.api.migrations import MIGRATIONS_RULES, MigrationJob, Migrations
from tidegate.api.windows import WINDOWS_RULES, Windows

Percent = Annotated[str, Field(max_length=4, pattern=r"^(100|[1-9]?[0-9])%$")]
IntOrPercent = Annotated[int, Field(ge=0, le=10_000)] | Percent
CONDITION_LENGTH = 512
"""Characters of a condition."""


class DeadlineAction(StrEnum):
    """What becomes of a rollout whose pods do not become available in time."""

    UNDO = "Undo"
    WAIT = "Wait"


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
                "100%). More than the Deployment has are cut to that many, unless the operator's configuration allows more "
                "(stepReplicasLimit). Default: the share of the weight, at least 1. At weight 100 always all."
            )
        ),
    ] = None
    hold: Annotated[
        Duration,
        Field(description="Least time at this step, counted from when the route carries the weight. Default: 0s."),
    ] = timedelta(0)
    flags: Annotated[
        tuple[Annotated[StepFlag, K8s(rules=STEP_FLAG_RULES)], ...],
        Field(
            max_length=MOST_FLAGS,
            description=(
                "Feature flags of the Release (spec.flags) that this step sets; the step does not end before they are set. After a "
                "rollback they are what they were. Default: none."
            ),
        ),
        K8s(list_map_keys=("name",)),
    ] = ()


STEPS_RULES = (
    Rule(
        "self.map(s, s.weight).isSorted() && self.all(s, self.exists_one(t, t.weight == s.weight))",
        "weights must rise from step to step",
    ),
    Rule("self[size(self) - 1].weight == 100", "the last step must have weight 100"),
)


class Scoring(Model):
    """Gates are counted together: each earns its weight with Pass, half of it in the range of its warning, nothing with Fail."""

    pass_at: Annotated[
        float,
        Field(alias="pass", gt=0, le=100, description="The score in percent of all weights that lets a step end. Default: 90."),
    ] = 90
    warn_at: Annotated[
        float,
        Field(
            alias="warn",
            gt=0,
            le=100,
            description="From this score on a step ends, with a warning; less is a breach. Default: 75.",
        ),
    ] = 75
    on_breach: Annotated[
        BreachAction,
        Field(description="What a score below warn does when a step would end: Rollback or Pause. Default: Rollback."),
    ] = BreachAction.ROLLBACK


SCORING_RULES = (
    Rule("self.warn <= self.pass", "warn must not be greater than pass", ".warn"),
    Rule("self.onBreach in ['Rollback', 'Pause']", "must be Rollback or Pause", ".onBreach"),
)


MOST_APPROVALS = 10
"""Entries of a policy that ask for votes, those of its rules included."""
MOST_OF_RULE = 4
"""Entries of one rule that ask for votes."""


class PolicySet(Model):
    """What stands in place of the policy's own where a rule holds. Gates stay: what is judged depends on no condition.

    Approvals alone are added to the policy's own: nobody who may write a rule can do away with a vote by it.
    """

    steps: Annotated[
        tuple[Step, ...] | None,
        Field(min_length=1, max_length=20, description="Steps in place of the policy's. Default: those of the policy."),
        K8s(rules=STEPS_RULES),
    ] = None
    advance_on_proof: Annotated[bool | None, Field(description="In place of the policy's. Default: that of the policy.")] = None
    bake: Annotated[Duration | None, Field(description="In place of the policy's. Default: that of the policy.")] = None
    progress_deadline: Annotated[
        Duration | None, Field(description="In place of the policy's. Default: that of the policy."), AT_LEAST_1S
    ] = None
    on_deadline: Annotated[DeadlineAction | None, Field(description="In place of the policy's. Default: that of the policy.")] = (
        None
    )
    tolerated_losses: Annotated[
        int | None, Field(ge=0, le=10, description="In place of the policy's, 0 to 10. Default: that of the policy.")
    ] = None
    windows: Annotated[
        Windows | None,
        Field(description="Windows in place of the policy's, all of them. Default: those of the policy."),
        K8s(rules=WINDOWS_RULES),
    ] = None

    approvals: Annotated[
        tuple[Approval, ...] | None,
        Field(
            min_length=1,
            max_length=MOST_OF_RULE,
            description=(
                "Votes that are needed besides those of the policy: of each role at a point as many as the entry needs that needs "
                "most. At most 4 entries in a rule, and 10 with those of the policy and all its rules. Default: no others."
            ),
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return what is set in place of the policy's own, by the names that the fields have in a policy, too."""
        replaced = (name for name in type(self).model_fields if name != "approvals")
        return {name: value for name in replaced if (value := getattr(self, name)) is not None}


class PolicyRule(Model):
    """What a policy says otherwise for some releases."""

    when: Annotated[
        str,
        Field(
            min_length=1,
            max_length=CONDITION_LENGTH,
            description=(
                "For which releases, in CEL: release.type (major, minor, patch, hotfix), environment, labels (of the Release), "
                "versions.stable and versions.candidate, with comparisons, &&, ||, !, in, has, size, startsWith, endsWith and "
                "contains. E.g. release.type == 'major' && environment == 'production'."
            ),
        ),
    ]
    set: Annotated[
        PolicySet,
        Field(description="What then stands in place of the policy's own; of several rules that hold the last one counts."),
        K8s(rules=(Rule(" || ".join(f"has(self.{to_camel(name)})" for name in PolicySet.model_fields), "set at least one field"),)),
    ]


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
    confidence: Annotated[
        float,
        Field(
            ge=0.5,
            le=0.999999,
            description=(
                "Judge Evidence: the least chance that a version within all limits is never rolled back or paused, for all gates "
                "and all checks of a rollout together. Default: 0.99."
            ),
        ),
    ] = 0.99
    advance_on_proof: Annotated[
        bool,
        Field(
            description=(
                "A step ends before its hold is over once every gate has shown that the new version is within its limit. "
                "Default: false."
            )
        ),
    ] = False
    scoring: Annotated[
        Scoring | None,
        Field(
            description=(
                "Judge the gates together by weights when a step would end; only gates with keyObjective act on their own. "
                "Default: none; every gate acts on its own."
            )
        ),
        K8s(rules=SCORING_RULES),
    ] = None
    bake: Annotated[
        Duration,
        Field(description="Time at weight 100 during which stable keeps running for an instant rollback. Default: 10m."),
    ] = timedelta(minutes=10)
    progress_deadline: Annotated[
        Duration,
        Field(
            description=(
                "Longest time for pods of the new version to become available, and for the routes to be in force when the rollout "
                "waits for them, at least 1s; then onDeadline counts. Default: 10m."
            )
        ),
        AT_LEAST_1S,
    ] = timedelta(minutes=10)
    on_deadline: Annotated[
        DeadlineAction,
        Field(
            description=(
                "What the progressDeadline does. Undo: roll back without a verdict on the version; it is tried again by the "
                "request retry, or when it is applied after another one. Wait: write one Warning Event, keep the weight and keep "
                "waiting. Default: Undo."
            )
        ),
    ] = DeadlineAction.UNDO
    tolerated_losses: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            description=(
                "How often the new version may lose its pods under traffic, by crashes or failing probes (0 to 10). After each "
                "time the steps start again from the first; one more loss rolls it back, with the reason that the pods give. What "
                "is not its fault, such as an eviction, does not count. Default: 1."
            ),
        ),
    ] = 1
    approvals: Annotated[
        tuple[Approval, ...],
        Field(
            max_length=MOST_APPROVALS,
            description=(
                "Votes that a version needs before it starts, or before it gets a weight, by ReleaseDecisions. They delay no "
                "rollback. Default: none."
            ),
        ),
    ] = ()
    checks: Annotated[
        tuple[Annotated[Check, K8s(rules=CHECK_RULES)], ...],
        Field(
            max_length=20,
            description=(
                "Checks outside of Tidegate, such as a scan or a pipeline, that a version has to have passed before it starts, or "
                "before it gets a weight. They delay no rollback. Default: none."
            ),
        ),
        K8s(list_map_keys=("name",)),
    ] = ()
    backup: Annotated[
        MigrationJob | None,
        Field(
            description=(
                "Job that makes a backup for each rollout, once nothing else keeps it from starting. "
                "The last line of its termination message is the reference of the artefact. If it fails, the version is rejected, "
                "and nothing of it starts. Default: none."
            )
        ),
    ] = None
    migrations: Annotated[
        Migrations | None,
        Field(
            description=(
                "Jobs that change a database for the new version: expand before it starts, migrate during its steps, contract "
                "after it was promoted, rollback if it is undone. They delay no rollback of traffic. A version that was in force "
                "here before needs none of them. Default: none."
            )
        ),
        K8s(rules=MIGRATIONS_RULES),
    ] = None
    drain: Annotated[
        Duration,
        Field(description="Least time between taking the weight from pods and stopping them. Default: 10s."),
    ] = timedelta(seconds=10)
    windows: Annotated[
        Windows | None,
        Field(
            description=(
                "When a rollout may start and its weight may rise, by a calendar: windows that are allowed, and times that are "
                "denied. Rollbacks and the end of a bake are at any time. Default: none; then always."
            )
        ),
        K8s(rules=WINDOWS_RULES),
    ] = None
    rules: Annotated[
        tuple[PolicyRule, ...],
        Field(
            max_length=10,
            description=(
                "What is different for some releases, by type, environment, labels or versions. The policy that comes of it counts "
                "for the whole rollout. If a rule cannot be evaluated, the rollout does not start. Default: none."
            ),
        ),
    ] = ()
    hotfix: Annotated[
        Hotfix | None,
        Field(
            description=(
                "What does not count for a release of type hotfix (spec.type of the Release) once somebody other than its author "
                "has overridden it by a ReleaseDecision. Default: none; then a hotfix takes the way of all releases."
            )
        ),
    ] = None

    @property
    def all_approvals(self) -> tuple[Approval, ...]:
        """Return all entries that may ask for votes, those of rules included."""
        return (*self.approvals, *(entry for rule in self.rules for entry in rule.set.approvals or ()))


_OWN = "has(self.spec.approvals) ? size(self.spec.approvals) : 0"
_OF_RULES = " + ".join(
    f"size(self.spec.rules.filter(rule, has(rule.set.approvals) && size(rule.set.approvals) >= {count}))"
    for count in range(1, MOST_OF_RULE + 1)
)
"""How many entries all rules have: those that have one, those that have two, and so on."""
POLICY_RULES = (
    Rule(
        f"({_OWN}) + (has(self.spec.rules) ? {_OF_RULES} : 0) <= {MOST_APPROVALS}",
        f"at most {MOST_APPROVALS} approvals, those of rules included",
        ".spec.rules",
    ),
)
