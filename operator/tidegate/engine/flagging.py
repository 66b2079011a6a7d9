"""Flags of a Release: what is wanted of their definitions by the status, and what a rollout waits for because of them.

A flag's part of the status is stored before its definition is written, so whoever dies meanwhile, the next one goes on. Nothing
here is asked by what takes traffic away: a flag is put back beside the routes, for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from tidegate.api.base import MOST_TOLD, and_more
from tidegate.api.edits import edited
from tidegate.api.flagged import FlagSetting, FlagStatus
from tidegate.api.flags import Flag, Flags, StepFlag
from tidegate.api.policy import Step
from tidegate.engine.draft import Draft
from tidegate.engine.ruled import policy_now
from tidegate.engine.waits import Inquiry, Wait, Waiting
from tidegate.governance.flags import FlagKind, FlagTarget, FlagView, Setting, Wish, step_setting, target_of

LATE = timedelta(seconds=60)
"""So long after a flag was put back, a write of before may still arrive: the API server answers no request later."""
_FLAGS = frozenset({Inquiry.FLAGS})


def target(flags: Flags, flag: Flag) -> FlagTarget:
    """Return where the definition of a Release's flag is."""
    called = flag.flag or flag.name
    if flags.config_map is not None:
        return FlagTarget(FlagKind.CONFIG_MAP, flags.config_map.name, flags.config_map.key, called)
    if flags.feature_flag is not None:
        return FlagTarget(FlagKind.FEATURE_FLAG, flags.feature_flag.name, "", called)
    assert flags.http is not None
    return FlagTarget(FlagKind.HOOK, flags.http.hook, "", called)


def flag_named(draft: Draft, name: str) -> tuple[Flag, FlagTarget] | None:
    """Return a flag of the Release's spec, and where it is; None where there is none of that name."""
    flags = draft.snap.release.spec.flags
    found = next((one for one in flags.items if one.name == name), None) if flags is not None else None
    return (found, target(flags, found)) if flags is not None and found is not None else None


def entry_of(draft: Draft, where: FlagTarget) -> FlagStatus | None:
    """Return what the status has of a flag; None where it has nothing."""
    return next((one for one in draft.status.flags if one.target == where.id), None)


def put(draft: Draft, entry: FlagStatus, before: FlagStatus | None = None) -> None:
    """Put what the status has of a flag into it, in the place of what it had."""
    had = draft.status.flags
    draft.set(flags=tuple(entry if one is before else one for one in had) if before is not None else (*had, entry))


def setting_of(one: FlagSetting) -> Setting:
    """Return a setting of the status."""
    return Setting(one.variant, one.percent)


def as_status(one: Setting) -> FlagSetting:
    """Return a setting as a status has it."""
    return FlagSetting(variant=one.variant, percent=one.percent)


def wanted(one: FlagStatus) -> Setting | None:
    """Return what a flag is to be set to; None where that is left as it is."""
    if one.left or one.before is None:
        return None
    if one.restore:
        return setting_of(one.before)
    return setting_of(one.given[-1]) if one.given else None


def known(one: FlagStatus) -> tuple[Setting, ...]:
    """Return what a flag may have been set to by nobody but the rollout, and by whoever was before it."""
    return tuple(setting_of(every) for every in (*([one.before] if one.before is not None else []), *one.given))


def steps_flags(steps: tuple[Step, ...], upto: int) -> dict[str, StepFlag]:
    """Return what each flag is to be at a step, by name: what this or the last step before it says."""
    return {one.name: one for step in steps[: upto + 1] for one in step.flags}


def setting_at(entry: StepFlag, flag: Flag, before: Setting) -> Setting:
    """Return what a step sets a flag to that was so before the rollout."""
    return step_setting(before, percent=entry.percent, variant=entry.variant, on=flag.on, off=flag.off)


def wishes(draft: Draft) -> Iterator[Wish]:
    """Yield what is wanted of definitions by the status as it is to be stored, and which are to be read."""
    asked: set[str] = set()
    for one in draft.status.flags:
        wish = wish_of(draft, one)
        if wish is not None:
            asked.add(one.target)
            yield wish
    if Inquiry.FLAGS in draft.inquiries:
        for flag, where in _needed(draft):
            if where.id not in asked:
                asked.add(where.id)
                yield Wish(target=where, on=flag.on, off=flag.off)


def wish_of(draft: Draft, one: FlagStatus) -> Wish | None:
    """Return what is wanted of a definition now; None where nothing is that is not done.

    What a hook was told of stays so. A definition may be applied again by a tool that knows nothing of a switch, and a write of
    before may still arrive: as long as that can be, it is looked at again and again.
    """
    where, setting = target_of(one.target), wanted(one)
    hook = where.kind is FlagKind.HOOK
    if setting is not None and one.done is not None and (hook or not one.restore or draft.reached(one.done + LATE)):
        setting = None
    forces = one.forced is not None and not one.released and not (hook and one.in_force is not None)
    if setting is None and not forces and not one.released:
        return None
    return Wish(
        target=where,
        on=one.on,
        off=one.off,
        setting=setting,
        known=known(one),
        force=one.forced or "" if forces else "",
        release=one.released,
    )


def _needed(draft: Draft) -> Iterator[tuple[Flag, FlagTarget]]:
    policy = policy_now(draft)
    if policy is None:
        return
    for name in steps_flags(policy.steps, len(policy.steps)):
        if (found := flag_named(draft, name)) is not None:
            yield found


def unready(draft: Draft) -> Waiting | None:
    """A flag that the steps set is not as it is needed, so the rollout does not start."""
    policy = policy_now(draft)
    if policy is None:
        return None
    for place, step in enumerate(policy.steps, 1):
        for entry in step.flags:
            if (waiting := _unready(draft, entry, place)) is not None:
                return waiting
    return None


def _unready(draft: Draft, entry: StepFlag, place: int) -> Waiting | None:
    found = flag_named(draft, entry.name)
    if found is None:
        what = f"step {place} sets flag {entry.name}, which spec.flags of the Release does not have"
        cure = "add it there, or name a policy without it"
        return Waiting(Wait.FLAG, f"for flag {entry.name}: {what}; {cure}", what=what, how=cure)
    flag, where = found
    view = draft.snap.governance.flags.get(where.id)
    if view is None:
        return Waiting(Wait.FLAG_SET, f"for {where.words} to be read", asks=_FLAGS)
    if why := view.trouble or view.unfit or _unsettable(entry, flag, view):
        return Waiting(Wait.FLAG, f"for {where.words}, which {why}", what=f"{where.words} {why}", asks=_FLAGS)
    return None


def _unsettable(entry: StepFlag, flag: Flag, view: FlagView) -> str:
    """Return why a definition cannot say what a step sets, in words; empty where it can."""
    if entry.variant is None or view.setting is None or not view.variants:
        return ""
    if entry.variant not in view.variants:
        return f"has no variant {entry.variant}; there are {', '.join(view.variants)[:200]}"
    if view.setting.percent is not None and entry.variant not in (flag.on, flag.off):
        return f"has a fractional of {flag.on} and {flag.off}, so variant {entry.variant} cannot be set"
    return ""


def unset(draft: Draft) -> Waiting | None:
    """A flag of the step is not set yet, so the step does not end."""
    step = draft.step
    if step is None:
        return None
    for name, entry in steps_flags(draft.spec.steps, step.index).items():
        found = flag_named(draft, name)
        if found is None:
            what = f"flag {name}: it is not in spec.flags of the Release any more"
            return Waiting(
                Wait.FLAG, f"for {what}; add it there, or roll back", what=what, how="add it to spec.flags, or roll back"
            )
        where = found[1]
        one = entry_of(draft, where)
        if one is not None and one.given and (one.left or one.done is not None):
            continue
        view = draft.snap.governance.flags.get(where.id)
        why = one.message if one is not None and one.given else (view.trouble or view.unfit) if view is not None else ""
        said = f"{entry.percent}%" if entry.percent is not None else f"variant {entry.variant}"
        words = f"for {where.words} to be set to {said}"
        asks = _FLAGS if one is None or not one.given else frozenset()
        if not why:
            return Waiting(Wait.FLAG_SET, words, asks=asks)
        return Waiting(Wait.FLAG, f"{words}, but it {why}", what=f"{where.words} {why}", asks=asks)
    return None


def unrestored(draft: Draft) -> Waiting | None:
    """A flag is not back at what it was before the rollout; None where all are, or are left to who has set them."""
    for one in draft.status.flags:
        if one.restore and not one.left and one.done is None:
            return Waiting(Wait.FLAGS_BACK, f"for {target_of(one.target).words} to be restored")
    return None


def without(one: FlagStatus) -> FlagStatus | None:
    """Return what the status has of a flag without what a rollout had set; None where nothing is left of it."""
    if one.forced is None:
        return None
    return edited(one, before=None, given=(), restore=False, left=False, done=None)


def words(draft: Draft) -> str:
    """Return what people have to know of flags, as an end of a sentence: what is switched, and what is not as it is wanted."""
    said = [text for one in draft.status.flags if (text := _words(one))]
    return "".join(f"; {text}" for text in said[:MOST_TOLD]) + (
        f"; {and_more(len(said)).strip()} flags" if len(said) > MOST_TOLD else ""
    )


def _words(one: FlagStatus) -> str:
    where, position = target_of(one.target).words, "on" if one.forced == one.on else "off"
    pending = bool(one.message) and not one.left
    if one.released and pending:
        return f"{where} is not switched back yet: it {one.message}"
    if one.forced is not None and one.in_force is None and pending:
        return f"{where} is not switched {position} yet: it {one.message}"
    unrestored = f"{where} is not restored yet: it {one.message}" if one.restore and one.done is None and pending else ""
    if one.forced is not None and not one.released:
        switched = f"flag {one.name} is switched {position} by {one.by or 'somebody'}"
        return f"{switched}; {unrestored}" if unrestored else switched
    return unrestored
