"""decide(snapshot, now) -> plan: the whole of Tidegate's judgement in one pure function.

The rules stand in one list, in the order in which they count; what a Release does in any situation can be read off it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.engine import facts, gates, migrating
from tidegate.engine.draft import Draft, Stage
from tidegate.engine.flagging import wishes
from tidegate.engine.following import taken_anew
from tidegate.engine.handover.kinds import HANDOVERS
from tidegate.engine.handover.protocol import Handover
from tidegate.engine.outcomes import outcomes
from tidegate.engine.plan import Action, Plan
from tidegate.engine.repair import repaired
from tidegate.engine.report import carried, report
from tidegate.engine.rules import (
    checks,
    climb,
    commands,
    completion,
    deadline,
    flags,
    following,
    groups,
    idle,
    losses,
    migrations,
    requests,
    reversal,
    reviews,
    routes,
    split,
    switches,
    targets,
)
from tidegate.engine.running import calls, runs
from tidegate.engine.snapshot import Snapshot
from tidegate.engine.waits import CHANGED, Inquiry, Ruling, Waiting
from tidegate.engine.writes import converge, shifting

_ALWAYS = frozenset(Stage)
_ROLLOUT = _ALWAYS - {Stage.IDLE}
_NONE = frozenset({Stage.IDLE})
_CLIMBING = frozenset({Stage.CLIMBING})
_STEPS = frozenset({Stage.CLIMBING, Stage.PAUSED})
_REVERSIBLE = frozenset({Stage.CLIMBING, Stage.PAUSED, Stage.PROMOTING})


@dataclass(frozen=True)
class Rule:
    """One rule, and when it is asked.

    Attributes:
        ask: looks at the draft, changes it if it applies, and says what it comes to.
        during: the stages at which it is asked.
    """

    ask: Callable[[Draft], Ruling]
    during: frozenset[Stage]


RULES: tuple[Rule, ...] = (
    # What takes traffic away comes first, in every phase.
    Rule(split.split_is_judged, _STEPS),
    Rule(reversal.breach_rolls_back, _REVERSIBLE),
    Rule(reversal.deletion_undoes, _REVERSIBLE),
    Rule(groups.group_rolls_back, _REVERSIBLE),
    Rule(reversal.workload_went_back, frozenset({Stage.COMMITTED})),
    Rule(idle.facts_are_accepted, _ALWAYS),
    Rule(switches.switches_are_carried_out, _ALWAYS),
    Rule(requests.request_is_carried_out, _ALWAYS),
    Rule(commands.commands_are_carried_out, _ALWAYS),
    Rule(reversal.template_changed, _REVERSIBLE),
    Rule(checks.checks_are_noted, _ALWAYS),
    Rule(checks.warnings_are_noted, _CLIMBING),
    Rule(migrations.migrations_are_noted, _ALWAYS),
    Rule(migrations.failure_rolls_back, _STEPS),
    Rule(flags.flags_are_noted, _ALWAYS),
    Rule(flags.flags_are_put_back, _ALWAYS),
    Rule(reversal.scaled_to_zero, _REVERSIBLE),
    Rule(losses.loss_is_found_again, _REVERSIBLE),
    Rule(losses.pods_were_lost, _REVERSIBLE),
    Rule(losses.loss_is_explained, _REVERSIBLE),
    Rule(reversal.breach_pauses, _REVERSIBLE),
    Rule(reversal.score_is_too_low, _CLIMBING),
    Rule(groups.mates_are_noted, _REVERSIBLE),
    Rule(climb.missing_pods_are_noted, _CLIMBING),
    Rule(climb.deadline_passes, _CLIMBING),
    # Then what ends a rollout.
    Rule(completion.undo_is_done, frozenset({Stage.UNDOING})),
    Rule(completion.promotion_is_done, frozenset({Stage.PROMOTING, Stage.COMMITTED})),
    # Then what takes it forward.
    Rule(routes.originals_are_noted, _ROLLOUT),
    Rule(migrations.migrations_begin, _STEPS),
    Rule(climb.first_step_begins, _STEPS),
    Rule(climb.weight_is_given, _CLIMBING),
    Rule(climb.hold_begins, _STEPS),
    Rule(climb.more_pods_have_it, _STEPS),
    Rule(flags.flags_are_set, _CLIMBING),
    Rule(climb.step_ends, _CLIMBING),
    Rule(idle.name_is_followed, _ALWAYS - {Stage.UNDOING}),
    # Then what concerns a Release without one.
    Rule(idle.stable_is_taken_on, _NONE),
    Rule(idle.native_change_is_done, _NONE),
    Rule(idle.stable_is_described, _ALWAYS),
    Rule(idle.rejections_are_forgotten, _ALWAYS),
    Rule(routes.originals_are_dropped, _NONE),
    Rule(routes.overwriting_is_noted, _ROLLOUT - {Stage.COMMITTED}),
    Rule(routes.pin_is_noted, _ALWAYS),
    Rule(targets.targets_are_noted, _ALWAYS),
    Rule(following.proved_images_are_taken_over, _NONE),
    Rule(migrations.what_follows_begins, _NONE),
    Rule(migrations.return_is_told, _NONE),
    Rule(groups.version_comes_again, _NONE),
    Rule(idle.rollout_starts, _NONE),
    Rule(reviews.reviews_are_noted, _ALWAYS),
    # When all that is waited for is known.
    Rule(deadline.route_is_waited_for, _STEPS),
)
"""In the order in which they count. The first that applies changes the draft, then all are asked again until none applies."""
_ASKED = {stage: tuple(rule.ask for rule in RULES if stage in rule.during) for stage in Stage}
SOON = timedelta(milliseconds=100)
"""When a decision that has ended the old traffic, or has put another version in force, is followed by one on what is seen then."""
MOST_TURNS = 32
"""More changes than a single decision can need; a bound, so that a mistake in the rules cannot hang the operator."""


def decide(snap: Snapshot, now: datetime, handover: Handover | None = None) -> Plan:
    """Decide what is to be done for one Release.

    The same snapshot at the same time gives the same plan; a snapshot of what the plan has brought about gives no actions.

    Args:
        snap: everything around the Release.
        now: the time, with zone.
        handover: how the workload comes to serve another version; by default as its kind does.
    """
    before = repaired(snap.status, now)
    draft = Draft(snap, now, before, handover or HANDOVERS[snap.release.spec.target_ref.kind])
    gates.take_readings(draft)
    for _ in range(MOST_TURNS):
        draft.begin_turn()
        if not _changes(draft):
            break
    writes, anew = tuple(_carried_out(draft)), facts.is_to_be_seen_anew(draft) or taken_anew(draft)
    if (snap.release.traffic_later and not draft.status.original_rules) or anew:
        # From the next decision on, what the spec names counts, and what is seen speaks of the version that is in force now.
        draft.wake(now + SOON)
    away = shifting.away(draft, writes)
    looks = gates.next_looks(draft)
    for moment in gates.patience_ends(draft):
        draft.wake(moment)
    passing = not writes and draft.told is not None and draft.told.wait.terms.brief and draft.status == before
    report(draft, busy=bool(writes) or snap.release.traffic_later or anew)
    settled, called = tuple(outcomes(draft)), tuple(calls(draft))
    return Plan(
        status=draft.status,
        away=away,
        left=carried(draft, away),
        actions=tuple(write for write in writes if write not in away),
        notices=tuple(draft.notices),
        looks=looks,
        split_looks=split.next_looks(draft, looks),
        due=min(draft.dues, default=None),
        inquiries=frozenset(draft.inquiries | shifting.watched(draft)),
        passing=passing and not draft.notices,
        unjudged=tuple(draft.unjudged),
        waits=tuple(draft.waits),
        outcomes=settled,
        runs=(*runs(draft), *migrating.runs(draft)),
        calls=called,
        flags=tuple(wishes(draft)),
    )


def _changes(draft: Draft) -> bool:
    """Ask the rules in their order until one changes something; note what those before it wait for."""
    for ask in _ASKED[draft.stage]:
        outcome = ask(draft)
        if outcome is CHANGED:
            return True
        if isinstance(outcome, Waiting):
            draft.wait_for(outcome)
    return False


def _carried_out(draft: Draft) -> Iterator[Action]:
    """Yield the writes that bring about what was decided; note what others wait for."""
    for write in converge.writes(draft):
        match write:
            case Waiting():
                draft.wait_for(write)
            case Inquiry():
                draft.inquiries.add(write)
            case _:
                yield write
