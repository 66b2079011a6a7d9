"""What must have nothing against it before a version gets more traffic: a list, asked wherever a weight may rise.

The rules of a rollout see to its pods, its route and its hold by themselves. All else that may keep a weight from rising is a
barrier: one function that looks at the draft and returns what is waited for, and one line in `BARRIERS`. Those of governance
stand in `governed.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from tidegate.api.hotfix import Skip
from tidegate.api.policy import RolloutPolicySpec
from tidegate.engine import approving, checking, flagging, gates, governed, grouped, hotfix, migrating
from tidegate.engine.draft import Draft
from tidegate.engine.ruled import policy_now
from tidegate.engine.scoring import Result
from tidegate.engine.waits import Inquiry, Wait, Waiting


class Rise(Enum):
    """What is about to happen to the weight of the new version."""

    ROLLOUT = "a rollout begins: nothing of it is there yet"
    MIGRATION = "a backup or a migration begins: before the first step or with it, migrate also later"
    START = "the first step begins, and pods of the new version are asked for"
    WEIGHT = "the pods of a step are there, and it gets its weight"
    STEP_END = "the hold of a step is over, and the next one begins, or the promotion"


@dataclass(frozen=True)
class Barrier:
    """One thing that may keep a weight from rising.

    Attributes:
        check: returns what is waited for; None where it has nothing against it. It changes nothing.
        at: when it is asked.
        forced: whether it holds also where a person has asked for full promotion.
        governs: it is governance's: people are told of it beside another that is closed.
    """

    check: Callable[[Draft, Rise], Waiting | None]
    at: frozenset[Rise]
    forced: bool = True
    governs: bool = False


def _removal(draft: Draft, _: Rise) -> Waiting | None:
    """What cannot be seen or written may be what would speak against it."""
    if not draft.snap.blockers:
        return None
    return Waiting(Wait.REMOVAL, f"for this to be fixed: {draft.snap.blockers[0].message}")


def _rises(draft: Draft, rise: Rise) -> bool:
    """Whether anything rises at all: when the bake ends, the new version has all of the traffic already."""
    return rise is not Rise.STEP_END or draft.step is None or draft.step.weight < 100


def _freeze(draft: Draft, rise: Rise) -> Waiting | None:
    return governed.freeze(draft) if _rises(draft, rise) else None


def _rules(draft: Draft, _: Rise) -> Waiting | None:
    return governed.rules(draft)


def _rights(draft: Draft, _: Rise) -> Waiting | None:
    return hotfix.rights(draft)


def _window(draft: Draft, rise: Rise) -> Waiting | None:
    if not _rises(draft, rise):
        return None
    return hotfix.opened(draft, Skip.WINDOW, governed.window(draft, begins=rise is Rise.ROLLOUT))


def _upstream(draft: Draft, _: Rise) -> Waiting | None:
    return hotfix.opened(draft, Skip.UPSTREAM, governed.upstream(draft))


def kept_asked(draft: Draft) -> frozenset[Inquiry]:
    """Return what a barrier may have asked for, and what has to be known still when the weight rises."""
    policy = policy_now(draft)
    if policy is None:
        return frozenset()
    rights = {Inquiry.RIGHTS} if policy.approvals or policy.checks else set()
    return frozenset(rights | ({Inquiry.FLAGS} if any(step.flags for step in policy.steps) else set()))


def _span(draft: Draft, policy: RolloutPolicySpec, rise: Rise) -> tuple[int, int]:
    """Return the weight that a version has, -1 before its start, and the one that it is to get: what lies between is asked for."""
    step = draft.step
    if step is None:
        return -1, policy.steps[0].weight
    if rise in (Rise.WEIGHT, Rise.MIGRATION):
        return draft.status.weight, step.weight
    return step.weight, policy.steps[grouped.next_step(draft)].weight


def _check(draft: Draft, rise: Rise) -> Waiting | None:
    policy = policy_now(draft)
    if policy is None or not policy.checks or not _rises(draft, rise):
        return None
    above, upto = _span(draft, policy, rise)
    return checking.check(draft, policy.checks, above=above, upto=upto)


def _approval(draft: Draft, rise: Rise) -> Waiting | None:
    policy = policy_now(draft)
    if policy is None or not policy.approvals or not _rises(draft, rise):
        return None
    above, upto = _span(draft, policy, rise)
    return approving.approval(draft, policy.approvals, above=above, upto=upto)


def _returns(draft: Draft, _: Rise) -> Waiting | None:
    return migrating.before_return(draft)


def _migration(draft: Draft, rise: Rise) -> Waiting | None:
    policy = policy_now(draft)
    if rise is Rise.ROLLOUT or policy is None:
        return migrating.before_start(draft)
    return migrating.before_full(draft, _span(draft, policy, rise)[1]) if _rises(draft, rise) else None


def _flags(draft: Draft, rise: Rise) -> Waiting | None:
    return flagging.unready(draft) if rise is Rise.ROLLOUT else flagging.unset(draft)


def _first_looks(draft: Draft, _: Rise) -> Waiting | None:
    return gates.unlooked(draft)


def _gates(draft: Draft, rise: Rise) -> Waiting | None:
    """Gates of the whole service keep a rollout from beginning; once the new version has traffic, all gates count."""
    step = draft.step
    if rise is Rise.STEP_END:
        return gates.unmet(draft, step.since) if step is not None and step.weight > 0 else None
    # The gates passed before the pods were asked for; what they have seen since counts, too.
    return gates.unmet(draft, draft.rollout.exposed_at) if draft.status.weight > 0 else gates.held(draft)


def _score(draft: Draft, _: Rise) -> Waiting | None:
    total = gates.score_now(draft)
    if total is None or total.result is not Result.WAIT:
        return None
    return Waiting(Wait.SCORE, f"for the gates to be decided: {total.words}")


def _group(draft: Draft, rise: Rise) -> Waiting | None:
    return grouped.starts(draft) if rise is Rise.ROLLOUT else grouped.step_ends(draft)


BARRIERS: tuple[Barrier, ...] = (
    Barrier(_removal, frozenset({Rise.WEIGHT, Rise.STEP_END})),
    Barrier(_returns, frozenset({Rise.ROLLOUT}), governs=True),
    Barrier(_freeze, frozenset(Rise), governs=True),
    Barrier(_rules, frozenset({Rise.ROLLOUT}), governs=True),
    Barrier(_rights, frozenset({Rise.ROLLOUT})),
    Barrier(_window, frozenset(Rise), governs=True),
    Barrier(_upstream, frozenset({Rise.ROLLOUT}), governs=True),
    Barrier(_check, frozenset(Rise), governs=True),
    Barrier(_approval, frozenset(Rise), governs=True),
    Barrier(_migration, frozenset(Rise) - {Rise.MIGRATION}, governs=True),
    Barrier(_flags, frozenset({Rise.ROLLOUT, Rise.STEP_END}), governs=True),
    Barrier(_first_looks, frozenset({Rise.STEP_END})),
    Barrier(_gates, frozenset({Rise.MIGRATION, Rise.START, Rise.WEIGHT, Rise.STEP_END}), forced=False),
    Barrier(_score, frozenset({Rise.STEP_END}), forced=False),
    Barrier(_group, frozenset({Rise.ROLLOUT, Rise.STEP_END})),
)
"""In the order in which they are told: people read of the first that is in the way. That of a group is last, so who waits for it
waits for nothing else, and the others know it by that."""


def barrier(draft: Draft, rise: Rise) -> Waiting | None:
    """Return what the weight waits for before it may rise; None where nothing is in the way.

    Args:
        draft: the decision in the making.
        rise: what is about to happen.
    """
    skips = draft.active and draft.rollout.skip_to_end
    asked = [one for one in BARRIERS if rise in one.at and (one.forced or not skips)]
    for place, one in enumerate(asked):
        if (first := one.check(draft, rise)) is not None:
            found = (other.check(draft, rise) for other in asked[place + 1 :] if other.governs)
            return replace(first, beside=tuple(waiting for waiting in found if waiting is not None))
    return None
