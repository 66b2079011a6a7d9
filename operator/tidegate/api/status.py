"""The status of a Release: where it is, what was counted, what is remembered of versions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, model_validator

from tidegate.api.base import K8s, Model, Sentence, Time
from tidegate.api.decided import MOST_CARRIED, CarriedStatus, RejectedStatus, WantedStatus
from tidegate.api.flagged import FlaggedStatus
from tidegate.api.followed import LONGEST_IMAGE, MOST_IMAGES, FollowedStatus
from tidegate.api.gate import Name
from tidegate.api.kept import opened
from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.originals import OriginalRule, TargetsStatus
from tidegate.api.outbox import OutboxStatus
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.recorded import TrailedStatus
from tidegate.api.waiting import HoldStatus, WaitingFor

Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
_KEPT = (
    "What the operator keeps for itself, {} in one text (JSON, deflate, base64), which `tidegate explain` reads. It is in fields "
    "of its own only where an operator before this one has written the status."
)


class RevisionStatus(Model):
    """A version of the workload as the cluster knows it."""

    revision: Annotated[str, Field(max_length=63, description="Value of the label pod-template-hash on its pods.")]
    version: Annotated[str, Field(max_length=128, description="Name for people.")] = ""
    digest: Annotated[
        str | None,
        Field(
            max_length=71,
            description="Digest of its pod template with images, but for kubectl's restartedAt: by this it is approved, whatever "
            "it is called.",
        ),
    ] = None
    replicas: Annotated[Count, Field(description="Pods that are wanted.")] = 0
    ready: Annotated[Count, Field(description="Pods that are ready.")] = 0
    trouble: Annotated[
        Sentence | None, Field(description="Of the stable version: why pods of it are not ready for a minute, in their own words.")
    ] = None
    images: Annotated[
        dict[str, Annotated[str, Field(max_length=LONGEST_IMAGE)]] | None,
        Field(max_length=MOST_IMAGES, description="Of the stable version: its images by container name, init containers too."),
    ] = None
    committed_at: Annotated[
        Time | None,
        Field(description="Of the stable version: when its commit was made, as its deployment said. Absent if it did not say so."),
    ] = None
    promoted_at: Annotated[
        Time | None,
        Field(
            description="Of the stable version: when it was promoted, or found serving when the Release began. Absent if it was "
            "rolled out without Tidegate."
        ),
    ] = None
    rolled_back_at: Annotated[
        Time | None, Field(description="Of the stable version: when a later version was last rolled back to it.")
    ] = None


class StepStatus(Model):
    """The step that a rollout is at."""

    index: Annotated[int, Field(ge=0, le=19, description="Number of the step, from 0.")]
    weight: Annotated[int, Field(ge=0, le=100, description="Weight of the step, in percent.")]
    entered: Annotated[Time, Field(description="When the step began to be prepared.")]
    since: Annotated[Time | None, Field(description="When the route carried the weight; the hold counts from here.")] = None
    until: Annotated[Time | None, Field(description="When the hold ends.")] = None
    given: Annotated[int, Field(ge=0, le=100, description="The weight that was given last, for `pods` available pods.")] = 0
    pods: Annotated[Count, Field(description="Available pods that the weight was given for; fewer pods carry less.")] = 0
    missing: Annotated[Time | None, Field(description="Since when fewer pods are available than the step needs.")] = None
    overdue: Annotated[bool | None, Field(description="Whether the progressDeadline has passed, with onDeadline Wait.")] = None


class LossStatus(Model):
    """Pods of the new version that had traffic and were lost."""

    count: Annotated[
        Count, Field(description="How often as many as had the traffic were lost, by what may be the version's own fault.")
    ] = 0
    pods: Annotated[Count, Field(description="Pods that were lost since the steps began last, by the same.")] = 0
    unexplained: Annotated[Count, Field(description="Lost pods whose reason is not known yet.")] = 0
    message: Annotated[Sentence, Field(description="The reason of the last loss, in the pods' own words.")] = ""
    at: Annotated[Time, Field(description="When pods were lost last.")]


class EvidenceStatus(Model):
    """What the judge Evidence knows of one gate: counts, how they compare, and how strong the evidence is."""

    since: Annotated[Time, Field(description="Since when requests are counted.")]
    until: Annotated[
        Time | None,
        Field(description="When counting ended; later requests are counted once the pods of both versions were scraped again."),
    ] = None
    canary_requests: Annotated[float, Field(description="Requests of the new version so far; for Restarts its pod-hours.")] = 0
    canary_bad: Annotated[float | None, Field(description="Bad ones among them: errors, slow requests, restarts.")] = None
    stable_requests: Annotated[float, Field(description="Requests of the stable version in the same time.")] = 0
    stable_bad: Annotated[float | None, Field(description="Bad ones among them.")] = None
    ratio: Annotated[
        float | None,
        Field(
            description="How many times as many bad events the new version has as stable, in shares of their requests (for "
            "availability: requests not answered); for latency, how many times as long it takes."
        ),
    ] = None
    ratio_low: Annotated[float | None, Field(description="Lower end of the ratio's interval, valid at every check.")] = None
    ratio_high: Annotated[float | None, Field(description="Upper end of the ratio's interval.")] = None
    confidence: Annotated[float, Field(description="Confidence of this gate's verdict and of the interval.")] = 0.99
    harm: Annotated[
        float,
        Field(description="Evidence that the limit is exceeded, as a power of ten: 2 means 100 times likelier than by chance."),
    ] = 0
    proof: Annotated[float, Field(description="Evidence that the limit is kept, as a power of ten.")] = 0
    needed: Annotated[float, Field(description="The evidence that a verdict needs, as a power of ten.")] = 2
    bursts: Annotated[
        float,
        Field(
            description="How many times as much bad events vary as independent ones would; evidence allows for it. 1: independent."
        ),
    ] = 1
    requests_needed: Annotated[
        float | None, Field(description="Requests of the new version that are likely still needed for a verdict.")
    ] = None
    minutes_needed: Annotated[float | None, Field(description="Minutes that this takes at the present rate.")] = None
    towards: Annotated[Verdict | None, Field(description="The verdict that they are heading for: Pass or Fail.")] = None
    history_step: Annotated[float, Field(description="Seconds between two points of history.")] = 0
    history: Annotated[
        tuple[float, ...], Field(max_length=64, description="Evidence of harm over time from `since` on, as powers of ten.")
    ] = ()
    state: Annotated[
        str, Field(max_length=16384, description="What the test continues from after a restart of the operator; not for people.")
    ] = ""


class GateStatus(Model):
    """What a gate said last."""

    name: Annotated[str, Field(max_length=63, description="Name of the gate in the policy.")]
    verdict: Annotated[Verdict, Field(description="Pass, Fail or Undecided.")]
    stable: Annotated[float | None, Field(description="Value of the stable version, in the metric's unit.")] = None
    canary: Annotated[float | None, Field(description="Value of the new version, in the metric's unit.")] = None
    limit: Annotated[Sentence, Field(description="The limit in words.")] = ""
    samples: Annotated[float | None, Field(description="Requests of the new version in the window.")] = None
    message: Annotated[Sentence, Field(description="The verdict in words, with its numbers.")] = ""
    at: Annotated[Time, Field(description="Time of the last check.")]
    looks: Annotated[
        str,
        Field(max_length=20, description="The last checks, oldest first: P within the limit, F beyond it, U undecided."),
    ] = ""
    telemetry: Annotated[
        Sentence,
        Field(
            description="What the last check found: how much of each version, how old, and whether bad events can be identified."
        ),
    ] = ""
    disagrees: Annotated[Sentence, Field(description="How direct readings and Prometheus differ, if they do for long.")] = ""
    undecided_since: Annotated[Time | None, Field(description="Since when the gate has had too little data.")] = None
    clear: Annotated[
        bool,
        Field(description="Enough requests were seen without evidence against the new version, whether proven or not."),
    ] = False
    blind: Annotated[
        bool,
        Field(description="The last check failed: Prometheus gave no usable answer. The message has the reason."),
    ] = False
    warned: Annotated[bool, Field(description="With scoring: the value is beyond the gate's warning limit.")] = False
    newest: Annotated[
        Time | None,
        Field(description="Time of the newest sample of the new version that Prometheus has shown, if the metric can tell."),
    ] = None
    newest_stable: Annotated[Time | None, Field(description="Likewise for stable, if the gate compares with it.")] = None
    weight_requests: Annotated[
        float | None,
        Field(
            description="Requests of the new version that were counted since it got its present weight, for Restarts its "
            "pod-hours; judge Limit: as far as they lie in the window."
        ),
    ] = None
    quiet_since: Annotated[
        Time | None, Field(description="When the last request of the new version was counted, or since when requests are counted.")
    ] = None
    usual_gap: Annotated[
        float, Field(description="Seconds that usually lie between two looks that find something new; 0 until it is known.")
    ] = 0
    evidence: Annotated[EvidenceStatus | None, Field(description="Set if the judge is Evidence.")] = None
    kept: Annotated[
        str, Field(max_length=32768, description=_KEPT.format("all but name, verdict, values, message, looks, at and telemetry,"))
    ] = ""


class PauseStatus(Model):
    """Why a rollout is paused, and since when."""

    cause: Annotated[Cause, Field(description="GateBreached or Requested.")]
    gate: Annotated[str | None, Field(max_length=63, description="The gate that was breached.")] = None
    message: Annotated[Sentence, Field(description="The reason in words.")] = ""
    ask: Annotated[tuple[Name, ...], Field(max_length=8, description="Roles that are to decide.")] = ()
    since: Annotated[Time, Field(description="When the pause began.")]


class RolloutStatus(TrailedStatus):
    """The rollout that is on."""

    policy: Annotated[str, Field(max_length=300, description="Kind and name of the policy that it started with.")]
    kept: Annotated[str, Field(max_length=524288, description=_KEPT.format("the policy and what it goes on from"))] = ""
    spec: Annotated[
        RolloutPolicySpec,
        Field(
            description="The policy as it was when the rollout started, with the fields of RolloutPolicy: it stays valid for it."
        ),
    ]
    started_at: Annotated[Time, Field(description="When it started.")]
    split_at: Annotated[Time | None, Field(description="When the routes began to go through the operator's Services.")] = None
    split_harmless: Annotated[
        tuple[Annotated[str, Field(max_length=80)], ...],
        Field(max_length=32, description="Checks that saw enough requests go through the split without harm."),
    ] = ()
    warmed_at: Annotated[
        Time | None,
        Field(description="When it first got one request in ten thousand, so that the data plane knows it before it gets weight."),
    ] = None
    exposed_at: Annotated[Time | None, Field(description="When the new version first got traffic.")] = None
    route_awaited: Annotated[
        Time | None,
        Field(description="Since when the rollout waits for its routes to be in force; progressDeadline counts from here."),
    ] = None
    route_overdue: Annotated[bool | None, Field(description="Whether the progressDeadline has passed, with onDeadline Wait.")] = (
        None
    )
    written_over: Annotated[
        bool | None,
        Field(description="Whether a split route was overwritten: your Service is then pinned during a rollback."),
    ] = None
    skip_to_end: Annotated[bool, Field(description="A person requested full promotion, which skips holds and gates.")] = False
    lost: Annotated[LossStatus | None, Field(description="Set after pods with traffic were lost.")] = None
    paused: Annotated[PauseStatus | None, Field(description="Set while the rollout is paused.")] = None
    undo: Annotated[Cause | None, Field(description="Why the rollout is being rolled back.")] = None
    undo_message: Annotated[Sentence, Field(description="The reason in words, with its numbers.")] = ""
    undo_since: Annotated[Time | None, Field(description="When the rollback began.")] = None


class Outcome(StrEnum):
    """How a rollout ended."""

    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"
    REVERTED = "Reverted"


class LastRollout(Model):
    """How the last rollout ended."""

    version: Annotated[str, Field(max_length=128, description="Name of the version for people.")]
    revision: Annotated[str, Field(max_length=63, description="Value of the label pod-template-hash on its pods.")]
    outcome: Annotated[Outcome, Field(description="Promoted, RolledBack, Superseded or Reverted.")]
    cause: Annotated[Cause, Field(description="Why it ended so.")]
    message: Annotated[Sentence, Field(description="The reason in words, with its numbers.")] = ""
    started_at: Annotated[Time, Field(description="When it started.")]
    finished_at: Annotated[Time, Field(description="When it ended.")]
    gates: Annotated[
        tuple[GateStatus, ...],
        Field(max_length=20, description="The last verdict of each gate."),
        K8s(list_map_keys=("name",)),
    ] = ()
    kept: Annotated[str, Field(max_length=524288, description=_KEPT.format("`gates`"))] = ""


class ConditionStatus(Model):
    """A condition as Kubernetes conventions have it."""

    type: Annotated[str, Field(max_length=316, description="Ready, Reconciling, Stalled or Promoted.")]
    status: Annotated[str, Field(description="True, False or Unknown.", json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    reason: Annotated[str, Field(min_length=1, max_length=1024, description="The reason in one word.")]
    message: Annotated[str, Field(max_length=32768, description="The reason in words.")] = ""
    last_transition_time: Annotated[Time, Field(description="When status changed last.")]
    observed_generation: Annotated[
        int | None,
        Field(description="Generation of the spec that the condition describes.", json_schema_extra={"format": "int64"}),
    ] = None


class ReleaseStatus(FlaggedStatus):
    """What people and tools read; and all that the operator needs to go on after a restart."""

    @model_validator(mode="before")
    @classmethod
    def _opened(cls, status: Any) -> Any:
        return opened(status) if isinstance(status, Mapping) else status

    observed_generation: Annotated[
        int,
        Field(description="Generation of the spec that the status describes.", json_schema_extra={"format": "int64"}),
    ] = 0
    phase: Annotated[Phase, Field(description="Where the Release is.")] = Phase.PENDING
    message: Annotated[Sentence, Field(description="What is happening and what it waits for, in one sentence.")] = ""
    weight: Annotated[
        int, Field(ge=0, le=100, description="Share of the traffic that the new version is to have now, in percent.")
    ] = 0
    carried: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="Share of the traffic that the new version gets by what the routes say now, in percent; of several routes "
            "the highest. Without a route as `weight`.",
        ),
    ] = 0
    progress: Annotated[str, Field(max_length=16, description="The step that the rollout is at, for people: `1 of 3`.")] = ""
    stable: Annotated[RevisionStatus | None, Field(description="The version that is in force.")] = None
    candidate: Annotated[RevisionStatus | None, Field(description="The version that is being rolled out.")] = None
    wanted: Annotated[
        WantedStatus | None,
        Field(description="The version of the template while it is not rolled out: it waits, or was rejected."),
    ] = None
    step: Annotated[StepStatus | None, Field(description="The step that the rollout is at.")] = None
    gates: Annotated[
        tuple[GateStatus, ...],
        Field(max_length=20, description="The last verdict of each gate."),
        K8s(list_map_keys=("name",)),
    ] = ()
    rollout: Annotated[RolloutStatus | None, Field(description="The rollout that is on.")] = None
    original_rules: Annotated[
        tuple[OriginalRule, ...],
        Field(max_length=128, description="What the routes are restored to after the rollout."),
    ] = ()
    shifted_service: Annotated[
        str | None,
        Field(
            max_length=63,
            description="The Service whose routes are shifted. It overrides spec.traffic.service until the routes are restored.",
        ),
    ] = None
    pinned_service: Annotated[
        str | None,
        Field(
            max_length=63,
            description="The Service whose selector may be pinned to one version. It is unpinned before another Service is used.",
        ),
    ] = None
    stable_targets: Annotated[
        TargetsStatus | None,
        Field(
            description="Where the ports of the Service led when the stable version was all that there was: what changes in one "
            "commit with the pod template counts for the new version alone."
        ),
    ] = None
    rejected: Annotated[
        tuple[RejectedStatus, ...],
        Field(
            max_length=10,
            description="Revisions that get no traffic until their template changes or a person requests retry.",
        ),
        K8s(list_map_keys=("revision",)),
    ] = ()
    followed: Annotated[FollowedStatus | None, Field(description="What was taken over from the Release in spec.follow.")] = None
    served: Annotated[
        tuple[Annotated[str, Field(max_length=63)], ...] | None,
        Field(
            max_length=5,
            description="Revisions that were in force here before, oldest first. Going back to one needs no proof elsewhere.",
        ),
    ] = None
    last_rollout: Annotated[LastRollout | None, Field(description="How the last rollout ended.")] = None
    waiting_for: Annotated[
        tuple[WaitingFor, ...],
        Field(
            max_length=8,
            description="The barriers that keep the new version from more traffic now, in fields; `message` has them in words.",
        ),
        K8s(list_map_keys=("barrier",)),
    ] = ()
    held: Annotated[HoldStatus | None, Field(description="Set while a person holds back the next version.")] = None
    handled_request: Annotated[str | None, Field(max_length=256, description="The last request that was carried out.")] = None
    carried_out: Annotated[
        tuple[CarriedStatus, ...],
        Field(max_length=MOST_CARRIED, description="The last commands by ReleaseDecisions: each is carried out once."),
        K8s(list_map_keys=("uid",)),
    ] = ()
    carried_until: Annotated[
        Time | None,
        Field(description="Commands up to this time that are not in `carriedOut` were dealt with, or are too old."),
    ] = None
    outbox: Annotated[
        OutboxStatus | None,
        Field(description="What has happened and may not have been told yet, by an Event or otherwise."),
    ] = None
    conditions: Annotated[
        tuple[ConditionStatus, ...],
        Field(max_length=8, description="Ready, Reconciling, Stalled (kstatus) and Promoted."),
        K8s(list_map_keys=("type",)),
    ] = ()
