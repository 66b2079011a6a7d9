"""What the status says: phase, one sentence, conditions.

All of it follows from the rest of the status and the waits of this pass, and is made at the end of it, so that no rule can forget
to say what it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from tidegate.api.base import and_more, clip, format_duration
from tidegate.api.decided import WantedStatus
from tidegate.api.edits import edited
from tidegate.api.names import Cause, Condition, Phase, Reason
from tidegate.api.status import RevisionStatus
from tidegate.engine import asking, flagging, following
from tidegate.engine import transitions as happened
from tidegate.engine.closed import closed, note_closed
from tidegate.engine.conditions import Told, conditions
from tidegate.engine.draft import Draft, apart
from tidegate.engine.facts import is_native, leads_past, obstacles, off_course, rejection, wanted_name, whom_it_asks
from tidegate.engine.lacking import note_lacking
from tidegate.engine.migrating import after_rollout, failure
from tidegate.engine.migrations import is_prepared
from tidegate.engine.plan import Role, ShiftRoute, own_name
from tidegate.engine.pods import cut, lost_words
from tidegate.engine.reviews import ReviewOverdue
from tidegate.engine.ruled import wanted_type
from tidegate.engine.snapshot import Blocker, RouteStage, Verb
from tidegate.engine.waits import FOR_A_PERSON, Bound, Wait, Waiting
from tidegate.governance.times import moment

_ON_ITS_WAY = frozenset(
    {
        Reason.MISSING_WORKLOAD,
        Reason.MISSING_POLICY,
        Reason.MISSING_SERVICE,
        Reason.MISSING_ROUTE,
        Reason.ROUTE_NOT_ACCEPTED,
    }
)
"""What may come a moment after a Release that is applied together with it: tools apply objects in an order of their own."""
ARRIVAL = timedelta(seconds=15)
"""For so long after a Release was made, what it names and is not there is waited for, and nobody is called."""


@dataclass(frozen=True)
class State:
    """How the Release stands, for kstatus: at most one of the three is true.

    Attributes:
        reason: in one word.
    """

    reason: Reason
    ready: bool = False
    reconciling: bool = False
    stalled: bool = False


def report(draft: Draft, *, busy: bool) -> None:
    """Fill in everything of the status that people read and that follows from the rest.

    Args:
        draft: the decision, made.
        busy: whether there is something to be written.
    """
    blockers = [*obstacles(draft), *_off_course(draft)]
    draft.set(observed_generation=draft.snap.release.generation, phase=_phase(draft))
    draft.set(stable=_counted(draft, draft.status.stable), candidate=_counted(draft, draft.status.candidate))
    draft.set(carried=carried(draft), progress=_progress(draft), wanted=_awaited(draft))
    note_closed(draft)
    lacking = note_lacking(draft)
    draft.set(message=clip(_sentence(draft, blockers) + lacking))
    state = _state(draft, blockers, busy=busy)
    if state.stalled and blockers and not _said(draft, state):
        draft.note(happened.Blocked(draft.status.message))
    told = (*_told(draft, state), *_overdue(draft), *failure(draft))
    draft.set(conditions=conditions(draft.status, told, generation=draft.snap.release.generation, now=draft.now))


def _off_course(draft: Draft) -> list[Blocker]:
    """The user's Service does not lead to what serves: told where requests take it, or as long as nobody mends it."""
    words, service = off_course(draft), draft.snap.user_service
    if not words or service is None or not service.selects:
        return []
    split = bool(draft.routes) and all(route.stage is RouteStage.SPLIT and route.in_force for route in draft.routes)
    if not draft.active:
        found = f"the route stays with {own_name(service.name, Role.STABLE)}" if split else "requests fail"
        words += f"; {found} until the Service is fixed, or a version that it reaches is rolled out"
    elif not split:
        words += f"; requests fail until the route names {own_name(service.name, Role.STABLE)}"
    elif service.revision is not None and not draft.undoing:
        words += f"; callers that bypass the route get no answer until {draft.candidate.version} takes over"
    else:
        return []
    return [Blocker(Reason.SERVICE_ASTRAY, words)]


def _phase(draft: Draft) -> Phase:
    if not draft.active:
        if draft.status.stable is None or not _guarded(draft):
            return Phase.PENDING
        if rejection(draft) is not None:
            return Phase.ROLLED_BACK
        if _held_back(draft) and not is_native(draft):
            return Phase.PAUSED
        return Phase.WAITING if _kept_waiting(draft) else Phase.IDLE
    if draft.undoing:
        return Phase.ROLLING_BACK
    if draft.rollout.paused is not None:
        return Phase.PAUSED
    if draft.promoting:
        return Phase.PROMOTING
    baking = draft.step is not None and draft.step.weight == 100 and draft.step.since is not None
    return Phase.BAKING if baking else Phase.PROGRESSING


def carried(draft: Draft, done: Iterable[ShiftRoute] = ()) -> int:
    """Return the share of the traffic that the routes give the new version, in percent; of several routes the highest.

    Args:
        draft: the decision.
        done: writes that are thought of as done.
    """
    if not draft.routed:
        return draft.status.weight
    given = {route.ref: route.weight for route in draft.routes} | {shift.route: shift.weight for shift in done}
    return round(max(given.values(), default=0))


def _progress(draft: Draft) -> str:
    return f"{draft.step.index + 1} of {len(draft.spec.steps)}" if draft.active and draft.step is not None else ""


def _held_back(draft: Draft) -> bool:
    """Whether a person keeps the wanted version from being rolled out."""
    return draft.status.held is not None and draft.status.stable is not None and not draft.wants(draft.stable.revision)


def _kept_waiting(draft: Draft) -> bool:
    """Whether a version is wanted whose rollout cannot begin: something is missing or refused, or a barrier is closed."""
    if draft.workload is None or draft.status.stable is None or draft.deleting or is_native(draft):
        return False
    return bool(obstacles(draft) or closed(draft)) and not draft.wants(draft.stable.revision)


def _guarded(draft: Draft) -> bool:
    """Whether a template that changes now would be held; who sees the phase Idle may change it."""
    return draft.workload is None or draft.deleting or draft.handover.guarded(draft)


def _counted(draft: Draft, version: RevisionStatus | None) -> RevisionStatus | None:
    if version is None or draft.workload is None:
        return version
    rs = draft.workload.arm(version.revision)
    return edited(version, replicas=rs.wanted if rs else 0, ready=rs.ready if rs else 0)


# The sentence


def _sentence(draft: Draft, blockers: list[Blocker]) -> str:
    waits = f"; waits {draft.told.words}{_late(draft, draft.told)}" if draft.told is not None else ""
    if draft.deleting:
        return f"The Release is being deleted; its {draft.handover.kind} keeps serving and is handed back{waits}"
    trouble = "; ".join(blocker.message for blocker in blockers)
    shifted = draft.snap.release.traffic_later and draft.status.original_rules
    later = "; spec.traffic has changed and takes effect once the routes are restored" if shifted else ""
    later += flagging.words(draft)
    if not draft.active:
        kept = (
            f"; until this is fixed, {wanted_name(draft)} waits and {draft.stable.version} serves"
            if draft.status.phase is Phase.WAITING
            else ""
        )
        if not trouble and draft.status.phase is Phase.WAITING and draft.told is not None:
            return f"{wanted_name(draft)} waits {draft.told.words}; {draft.stable.version} serves meanwhile{later}"
        soon = "; the Release is new, so this may still arrive" if _arriving(draft, blockers) else ""
        return (trouble + soon + kept or _idle_sentence(draft, waits)) + later
    return (f"{trouble}; " if trouble else "") + _rollout_sentence(draft, _blind(draft) + waits) + later + leads_past(draft)


def _late(draft: Draft, told: Waiting) -> str:
    """Say that a wait goes on after its deadline, as the policy wants it; empty where it does not."""
    bound, step = told.wait.terms.bound, draft.step
    pods = bound is Bound.PODS and step is not None and step.overdue
    route = bound is Bound.ROUTE and draft.active and draft.rollout.route_overdue
    if not pods and not route:
        return ""
    return f"; progressDeadline ({format_duration(draft.spec.progress_deadline)}) has passed, and onDeadline is Wait"


def _awaited(draft: Draft) -> WantedStatus | None:
    """Return the wanted version while it is neither stable nor rolled out: what people approve, reject, or want tried again."""
    if draft.workload is None or draft.status.stable is None or draft.wants(draft.stable.revision) or is_native(draft):
        return None
    if draft.active and draft.wants(draft.candidate.revision):
        return None
    template, known = draft.workload.template, draft.status.wanted
    since = known.since if known is not None and known.revision == template.revision else None
    return WantedStatus(
        revision=template.revision,
        version=template.version,
        digest=template.digest or None,
        type=wanted_type(draft),
        since=since or draft.now,
    )


def _blind(draft: Draft) -> str:
    """Say which gate sees nothing now; what is waited for may say it as well, but not while a hold lasts."""
    if draft.undoing or draft.promoting or (draft.told is not None and "gate" in draft.told.words):
        return ""
    state = next((state for state in draft.status.gates if state.blind), None)
    return f"; gate {state.name} has no data: {state.message}" if state is not None else ""


def _rollout_sentence(draft: Draft, waits: str) -> str:
    new, old = draft.candidate.version, draft.stable.version
    match draft.status.phase:
        case Phase.ROLLING_BACK:
            return f"Rolling back {new}, {old} serves: {draft.rollout.undo_message}{waits}"
        case Phase.PAUSED if (paused := draft.rollout.paused) is not None:
            verdict = f"Rollout of {new} (stable: {old}) is paused at {draft.status.weight}%: "
            return asking.with_cure(verdict, paused.message, f"; {whom_it_asks(paused)}{cut(draft)}; {asking.on_or_back(draft)}")
        case Phase.PROMOTING:
            return f"{new} takes over from {old} in the {draft.handover.kind}{waits}"
        case Phase.BAKING:
            share = "all traffic" if draft.routed else "half of the pods"
            if draft.status.weight < 100:
                share = f"{draft.status.weight}% of the traffic (100% once its pods are available)"
            return f"{new} has {share} and {old} is kept running{lost_words(draft)}{waits}"
        case _:
            return f"Rolling out {new} (stable: {old}): {_step_words(draft)}{waits}"


def _idle_sentence(draft: Draft, waits: str) -> str:
    rejected = rejection(draft)
    if draft.status.stable is None:
        return f"No version serves yet{waits}"
    follows = after_rollout(draft) + following.words(draft)
    if rejected is not None:
        stable = RevisionStatus(revision=draft.stable.revision, version=draft.stable.version)
        tried = RevisionStatus(revision=rejected.revision, version=rejected.version)
        how = "rejected" if rejected.cause in (Cause.REJECTED, Cause.CHECK, Cause.MIGRATION) else "rolled back"
        followed = draft.status.followed
        twice = draft.status.held is not None or (followed is not None and followed.held is not None)
        reason = clip(rejected.message, asking.BRIEF) if twice else rejected.message
        why = f"{apart(tried, stable).version} was {how}, {apart(stable, tried).version} serves: {reason}"
        follows = _hold_words(draft) + follows
        if rejected.cause is Cause.DEADLINE:
            cure = asking.cure(draft, "to try it again", Verb.RETRY)
            return f"{why}; the version itself was not judged; {cure}{follows}"
        if rejected.member is not None:
            return f"{why}; it comes again with another version of {rejected.member}, or with a retry of either{follows}"
        return f"{why}; waits for a new template or a request to retry{follows}"
    if not _guarded(draft):
        waits = waits or f"; waits for changes of the {draft.handover.kind} to be held"
    if draft.workload is not None and draft.replicas == 0:
        return f"{draft.stable.version} is the stable version, but the {draft.handover.kind} is scaled to 0{waits}"
    return f"{draft.stable.version} serves{waits}{follows}"


def _hold_words(draft: Draft) -> str:
    """Say that a person holds new versions, and how they are let go, as an end of a sentence; empty where nobody does."""
    if draft.status.held is None:
        return ""
    why, cure = clip(draft.status.held.message, asking.BRIEF), asking.cure(draft, "to release them", Verb.RESUME)
    return f"; new versions are held until a request to resume: {why}; {cure}"


def _step_words(draft: Draft) -> str:
    step = draft.step
    if step is None and draft.workload is not None and draft.replicas == 0:
        return "nothing serves"
    if step is None:
        return "the route is being prepared" if draft.routed and is_prepared(draft) else "being prepared"
    hold = draft.spec.steps[step.index].hold
    held = f", held for at least {format_duration(hold)}" if hold and not draft.rollout.skip_to_end else ""
    alone = f", no pod of {draft.stable.version} is ready" if draft.stable_arm is None or draft.stable_arm.ready == 0 else ""
    weight = f"{step.weight}%"
    if draft.status.weight != step.weight:
        once = "the data plane has it" if draft.told is not None and draft.told.wait is Wait.WARMED else "its pods are available"
        weight = f"{draft.status.weight}% ({step.weight}% once {once})"
    return f"step {step.index + 1} of {len(draft.spec.steps)}, weight {weight}{held}{cut(draft)}{alone}{lost_words(draft)}"


# The conditions


def _state(draft: Draft, blockers: list[Blocker], *, busy: bool) -> State:
    if draft.deleting:
        return State(Reason.DELETING, reconciling=True)
    if blockers:
        called = blockers[0].reason in FOR_A_PERSON or (draft.told is not None and draft.told.wait.terms.person)
        stalled = called if draft.active else not _arriving(draft, blockers)
        return State(blockers[0].reason, reconciling=not stalled, stalled=stalled)
    if draft.active:
        reasons = {Phase.PAUSED: Reason.PAUSED, Phase.ROLLING_BACK: Reason.ROLLING_BACK}
        return State(reasons.get(draft.status.phase, Reason.PROGRESSING), reconciling=True)
    if draft.status.stable is None:
        return State(Reason.ADOPTING, reconciling=True)
    if rejection(draft) is not None:
        return State(Reason.ROLLED_BACK, stalled=True) if draft.routes_back else State(Reason.ROLLING_BACK, reconciling=True)
    if _held_back(draft) and not is_native(draft):
        return State(Reason.PAUSED, stalled=True)
    if draft.status.phase is Phase.WAITING:
        stalled = draft.told is not None and draft.told.wait.terms.person
        return State(Reason.WAITING, reconciling=not stalled, stalled=stalled)
    if not draft.wants(draft.stable.revision):
        return State(Reason.RESTARTING if draft.replicas > 0 else Reason.SCALED_TO_ZERO, reconciling=True)
    if busy or not draft.routes_back:
        return State(Reason.PROGRESSING, reconciling=True)
    return State(Reason.PROMOTED, ready=True)


def _arriving(draft: Draft, blockers: list[Blocker]) -> bool:
    """Whether the Release is so new that what is missing may still be on its way, by clocks that are not far apart."""
    created = draft.snap.release.created
    if not blockers or created is None or draft.active or any(blocker.reason not in _ON_ITS_WAY for blocker in blockers):
        return False
    if abs(draft.now - created) >= ARRIVAL:
        return False
    draft.wake(created + ARRIVAL)
    return True


def _said(draft: Draft, state: State) -> bool:
    return any(c.type == Condition.STALLED and c.status == "True" and c.reason == state.reason for c in draft.status.conditions)


def _told(draft: Draft, state: State) -> Iterator[Told]:
    serves = not draft.active and draft.status.stable is not None and draft.wants(draft.stable.revision)
    yield Told(Condition.READY, state.ready, state.reason, draft.status.message)
    yield Told(Condition.RECONCILING, state.reconciling, state.reason, draft.status.message if state.reconciling else "")
    yield Told(Condition.STALLED, state.stalled, state.reason, draft.status.message if state.stalled else "")
    yield Told(Condition.PROMOTED, serves, Reason.PROMOTED if serves else state.reason, _of_promoted(draft, serves=serves))


def _overdue(draft: Draft) -> Iterator[Told]:
    """Say which hotfixes nobody has reviewed in time; where none is without a review there is no such condition."""
    if not draft.status.reviews:
        return
    late = [one for one in draft.status.reviews if draft.reached(one.due)]
    first = late[0] if late else draft.status.reviews[0]
    what = (
        f"hotfix {first.version} (overridden by {first.by}) is not reviewed; it was due by {moment(first.due)}"
        if late
        else (f"hotfix {first.version} is to be reviewed by {moment(first.due)}")
    )
    cure = "somebody who neither changed nor overrode it has to attest its review (tidegate attest)"
    message = f"{what}{and_more(len(late) or len(draft.status.reviews), 1)}: {cure}"
    known = any(one.type == Condition.REVIEW_OVERDUE and one.status == "True" for one in draft.status.conditions)
    if late and not known:
        draft.note(ReviewOverdue(message))
    yield Told(Condition.REVIEW_OVERDUE, bool(late), Reason.UNREVIEWED, message)


def _of_promoted(draft: Draft, *, serves: bool) -> str:
    if draft.workload is None:
        return draft.status.message
    # Whoever reads it right after a change sees by this whether the operator has seen the change.
    template = draft.workload.template
    wanted = f"{template.version} (revision {template.revision}) is the wanted version"
    return f"{wanted}, and is promoted" if serves else f"{wanted}; {draft.status.message}"
