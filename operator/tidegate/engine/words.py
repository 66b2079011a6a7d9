"""The sentences of Events: each transition in words, verdict first, numbers behind, and the cure where there is one."""

from __future__ import annotations

from functools import singledispatch

from tidegate.api.base import format_duration
from tidegate.api.outbox import KEPT
from tidegate.api.status import Outcome
from tidegate.engine import transitions as happened


@singledispatch
def words(transition: happened.Transition) -> str:
    """Return what people read of a transition.

    Raises:
        NotImplementedError: nobody has found words for it.
    """
    raise NotImplementedError(type(transition).__name__)


# Before a rollout, and without one.


@words.register
def _(it: happened.Adopted) -> str:
    return f"{it.kind} {it.workload} is now managed by Tidegate; {it.version} serves"


@words.register
def _(it: happened.Restarted) -> str:
    return f"The pods of {it.version} were restarted by the {it.kind}'s own rolling update"


@words.register
def _(it: happened.Bypassed) -> str:
    return f"{it.version} was rolled out without Tidegate and serves on {it.pods} pods; it is now the stable version"


@words.register
def _(it: happened.Blocked) -> str:
    return it.message


@words.register
def _(it: happened.Scaled) -> str:
    return (
        f"{it.kind} scaled from {it.before} to {it.after}: the metrics of HorizontalPodAutoscaler {it.autoscaler} imply "
        f"{it.load:.1f} pods at its target; idle pods of the other version hid that load from it"
    )


# The way up.


@words.register
def _(it: happened.RolloutStarted) -> str:
    unread = f"; not everything that names its Service could be checked: {', '.join(it.unread)}" if it.unread else ""
    return f"Rollout of {it.version} (stable: {it.over}) starts under {it.policy}{_ruled(it)}{unread}{it.past}"


def _ruled(it: happened.RolloutStarted) -> str:
    """Say what the rules of the policy have made of it; empty where it has none."""
    if it.type is None:
        return ""
    numbers = ", ".join(map(str, it.rules))
    held = f"rules {numbers} hold" if len(it.rules) > 1 else f"rule {numbers} holds" if it.rules else "no rule holds"
    return f" ({it.type} release, {held})"


@words.register
def _(it: happened.WeightRaised) -> str:
    return f"Weight of {it.version} raised from {it.before}% to {it.after}% (step {it.step} of {it.steps}){it.why}"


@words.register
def _(it: happened.WeightLowered) -> str:
    return f"Weight of {it.version} lowered from {it.before}% to {it.after}%: {it.why}"


@words.register
def _(it: happened.Baking) -> str:
    return f"{it.version} has {it.share}; {it.stable} keeps running for {format_duration(it.time)}"


@words.register
def _(it: happened.Promoting) -> str:
    return f"{it.version} takes over in the {it.kind}{it.why}"


@words.register
def _(it: happened.RouteCorrected) -> str:
    return (
        f"{it.route.label}: {it.route.kind.written} was overwritten during the rollout and has been restored; "
        "configure your GitOps tool to ignore that field"
    )


@words.register
def _(it: happened.StepsRestarted) -> str:
    again = "once more" if it.left == 0 else f"{it.left + 1} more times"
    return f"{it.version} starts again at step 1 because it lost its pods: {it.why}; if it loses them {again}, it is rolled back"


@words.register
def _(it: happened.DeadlinePassed) -> str:
    return f"{it.version} keeps waiting at {it.weight}% (onDeadline: Wait): {it.message}"


# Gates.


@words.register
def _(it: happened.GateUndecided) -> str:
    return f"Gate {it.gate} is undecided: {it.message}"


@words.register
def _(it: happened.BreachTold) -> str:
    return f"Gate {it.gate} is breached ({it.inaction}): {it.message}"


@words.register
def _(it: happened.BreachPauses) -> str:
    return f"Paused {it.version} at {it.weight}%: {it.message}; {it.asks}"


@words.register
def _(it: happened.BreachRollsBack) -> str:
    return f"Rolling back {it.version}: {it.message}"


@words.register
def _(it: happened.ScoreWarns) -> str:
    return f"Step {it.step} ends with a warning: {it.message}"


@words.register
def _(it: happened.TransitionsDropped) -> str:
    return (
        f"Sink {it.sink} fell behind and may have missed transitions: the status keeps only the last {KEPT}; "
        "status.outbox.sinks counts those dropped, and the operator's log has all of them"
    )


# What people ask for.


@words.register
def _(it: happened.RequestRefused) -> str:
    return f"Request {it.request} was not carried out: {it.why}"


@words.register
def _(it: happened.Paused) -> str:
    return f"Paused {it.version} at {it.weight}%: pause was requested ({it.request})"


@words.register
def _(it: happened.Resumed) -> str:
    return f"Resumed {it.version} at {it.weight}% ({it.request})"


@words.register
def _(it: happened.PromotionRequested) -> str:
    return f"Full promotion of {it.version} was requested ({it.request})"


@words.register
def _(it: happened.Waits) -> str:
    return f"{it.version} waits {it.words}"


@words.register
def _(it: happened.NextHeld) -> str:
    return f"New versions are held until a request to resume: {it.message}"


@words.register
def _(it: happened.NextReleased) -> str:
    return f"New versions are rolled out again ({it.request})"


@words.register
def _(it: happened.Retried) -> str:
    return f"{it.version} is tried again ({it.request})"


# The way back, and the end.


@words.register
def _(it: happened.RollingBack) -> str:
    return f"Rolling back {it.version}: {it.message}"


@words.register
def _(it: happened.Ended) -> str:
    if it.outcome is Outcome.PROMOTED:
        return f"{it.version} is promoted: {it.message}"
    return f"Rolled back {it.version}, {it.stable} serves: {it.message}"
