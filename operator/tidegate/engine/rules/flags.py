"""The rules for flags: a step sets them once its weight is carried, a rollback puts them back, and what came of it is noted."""

from __future__ import annotations

from tidegate.api.base import clip
from tidegate.api.edits import edited
from tidegate.api.flagged import MOST_FLAG_STATUSES, MOST_GIVEN, FlagStatus
from tidegate.api.flags import Flag
from tidegate.engine.draft import Draft
from tidegate.engine.flagged import FlagNotSet, FlagPutBack, FlagSet
from tidegate.engine.flagging import (
    LATE,
    as_status,
    entry_of,
    flag_named,
    put,
    setting_at,
    setting_of,
    steps_flags,
    unset,
    wish_of,
    without,
)
from tidegate.engine.waits import CHANGED, Ruling
from tidegate.governance.flags import FlagKind, FlagTarget, FlagView, Setting, Wish, target_of

SOMEBODY = "somebody has set it to {} meanwhile, and it is left so"


def flags_are_noted(draft: Draft) -> Ruling:
    """Definitions say what is wanted, or cannot, or somebody else has set them; what is over is let go of."""
    before = draft.status.flags
    kept = tuple(one for entry in before if (one := _noted(draft, entry)) is not None)
    if all(one is other for one, other in zip(kept, before, strict=False)) and len(kept) == len(before):
        return None
    draft.set(flags=kept)
    return CHANGED


def _noted(draft: Draft, one: FlagStatus) -> FlagStatus | None:
    where = target_of(one.target)
    view, wish = draft.snap.governance.flags.get(one.target), wish_of(draft, one)
    after = one
    if view is not None and wish is not None and (where.kind is not FlagKind.HOOK or view.told == wish.told):
        if view.trouble:
            after = edited(_failed(draft, one, where, wish, view.trouble), in_force=None)
        elif view.unfit and wish.setting is not None:
            # What is forced is laid around the targeting, whatever that is; one that is not there yet has nothing to do with it.
            due = bool(view.forced) if wish.release else wish.force not in ("", view.forced)
            after = _switched(draft, one if due else _failed(draft, one, where, wish, view.unfit), where, wish, view)
        else:
            after = _switched(draft, _seen(draft, one, where, wish, view), where, wish, view)
    return without(after) if _is_over(draft, after) else after


def _failed(draft: Draft, one: FlagStatus, where: FlagTarget, wish: Wish, why: str) -> FlagStatus:
    """Note that a definition cannot say what is wanted; people are told once of each reason."""
    message = clip(why)
    if one.message != message:
        switched = f"switched {'on' if wish.force == one.on else 'off'}" if wish.force else "switched back"
        draft.note(FlagNotSet(where.words, f"set to {wish.setting.words}" if wish.setting is not None else switched, why))
    return edited(one, message=message)


def _seen(draft: Draft, one: FlagStatus, where: FlagTarget, wish: Wish, view: FlagView) -> FlagStatus:
    hook = where.kind is FlagKind.HOOK
    after = edited(one, message="") if not one.left else one
    if wish.setting is not None and (hook or view.setting == wish.setting):
        if one.done is None:
            _tell(draft, one, where, wish.setting)
            after = edited(after, done=draft.now)
    elif wish.setting is not None and view.setting not in wish.known:
        assert view.setting is not None
        words = SOMEBODY.format(view.setting.words)
        draft.note(FlagNotSet(where.words, f"set to {wish.setting.words}", words))
        after = edited(after, left=True, message=clip(words))
    elif wish.setting is not None and one.done is not None:
        after = edited(after, done=None)
    return after


def _switched(draft: Draft, after: FlagStatus, where: FlagTarget, wish: Wish, view: FlagView) -> FlagStatus:
    """Note what is forced, or that nothing is any more."""
    hook = where.kind is FlagKind.HOOK
    if wish.release and (hook or not view.forced):
        return edited(after, forced=None, released=False, by="", decided=None, in_force=None)
    if wish.force and (hook or view.forced == wish.force):
        return after if after.in_force is not None else edited(after, in_force=draft.now)
    return edited(after, in_force=None) if wish.force else after


def _tell(draft: Draft, one: FlagStatus, where: FlagTarget, setting: Setting) -> None:
    if one.restore:
        draft.note(FlagPutBack(where.words, setting.words))
    elif draft.active and not draft.undoing and (one.before is None or setting != setting_of(one.before)):
        draft.note(FlagSet(draft.candidate.version, where.words, setting.words))


def _is_over(draft: Draft, one: FlagStatus) -> bool:
    """Whether nothing of what a rollout has set is of concern any more: it was promoted, or it is put back for long enough."""
    if not one.given and one.forced is None:
        return True
    if one.given and one.restore and not one.left:
        hook = target_of(one.target).kind is FlagKind.HOOK
        return one.done is not None and (hook or draft.reached(one.done + LATE))
    return bool(one.given) and not draft.active and (one.left or one.done is not None)


def flags_are_put_back(draft: Draft) -> Ruling:
    """A rollout is undone: what it has set is to be what it was before, beside all else that is undone."""
    if not draft.undoing and not draft.deleting:
        return None
    changing = [one for one in draft.status.flags if one.given and not one.restore and not one.left]
    for one in changing:
        put(draft, edited(one, restore=True, done=None, since=draft.now, message=""), one)
    return CHANGED if changing else None


def flags_are_set(draft: Draft) -> Ruling:
    """The route carries the weight of a step: its flags are set, as far as it is known what they are."""
    step = draft.step
    if step is None or step.since is None or draft.status.weight != step.weight or draft.deleting:
        return None
    every, now = draft.spec.steps, steps_flags(draft.spec.steps, step.index)
    ruling: Ruling = None
    # Those of later steps, too: after pods were lost, a rollout is at its first step again.
    for name in steps_flags(every, len(every)):
        if (found := flag_named(draft, name)) is None:
            continue
        flag, where = found
        one = entry_of(draft, where)
        entry, before = now.get(name), _before(draft, where, one)
        if before is None or (one is not None and one.left and not one.restore) or (entry is None and one is None):
            continue
        setting = setting_at(entry, flag, before) if entry is not None else before
        if one is None or not one.given or one.restore or setting_of(one.given[-1]) != setting:
            ruling = CHANGED if _give(draft, flag, where, one, before=before, setting=setting) else ruling
    return ruling or unset(draft)


def _before(draft: Draft, where: FlagTarget, one: FlagStatus | None) -> Setting | None:
    """Return what a flag was before the rollout; None where that is not known yet."""
    if one is not None and one.before is not None and not (one.restore and one.left):
        return setting_of(one.before)
    view = draft.snap.governance.flags.get(where.id)
    if view is None or view.trouble or view.unfit:
        return None
    return view.setting


def _give(draft: Draft, flag: Flag, where: FlagTarget, one: FlagStatus | None, *, before: Setting, setting: Setting) -> bool:
    """Write down what a flag is to be; return whether there was room."""
    if one is None and len(draft.status.flags) >= MOST_FLAG_STATUSES:
        return False
    entry = one or FlagStatus(target=where.id, name=flag.name, on=flag.on, off=flag.off, since=draft.now)
    given = entry.given if not entry.left else ()
    changes = (*given[-(MOST_GIVEN - 1) :], as_status(setting))
    put(
        draft,
        edited(entry, before=as_status(before), given=changes, restore=False, left=False, done=None, since=draft.now, message=""),
        one,
    )
    return True
