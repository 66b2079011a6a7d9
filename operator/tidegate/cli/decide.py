"""`tidegate approve`, `reject`, `promote`, `pause`, `resume`, `retry`: decisions on a Release by whoever types them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.api.base import format_duration, parse_duration
from tidegate.api.decision import Action
from tidegate.caller.decisions import Made, Version, is_for_what_failed, make, rolled_out, waiting
from tidegate.cli import access, output
from tidegate.cli.deciding import chosen, refusal_of, settled
from tidegate.cli.options import USUAL, Expires, Reason, Release, Timeout, Wait, Wanted, Where
from tidegate.cli.output import Format

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

About = Callable[[dict[str, Any]], Version | None]
"""Finds the version in a Release that a decision is about; None for whichever is rolled out."""
_DONE = {
    Action.APPROVE: "approved",
    Action.REJECT: "rejected",
    Action.PROMOTE: "full promotion requested of",
    Action.ROLLBACK: "rollback requested",
    Action.PAUSE: "pause requested",
    Action.RESUME: "resumption requested of",
    Action.RETRY: "another try requested of",
    Action.ATTEST: "attested",
    Action.OVERRIDE: "overridden",
    Action.SWITCH: "switch requested of",
}
_OF_CONTENT = frozenset({Action.APPROVE, Action.ATTEST, Action.OVERRIDE})
"""What counts for a content alone."""
_IS_REQUIRED = frozenset({Action.APPROVE, Action.REJECT})


def approve(
    *,
    name: Release,
    role: Annotated[str, typer.Option("--role", help="Your role, as the policy names it.")],
    version: Wanted = None,
    reason: Reason = None,
    expires: Expires = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Approve the version that waits, in a role.

    It counts for exactly this content, whatever its revision is called. It takes the verb approve on releases/ROLE.

    Exits with 0, with 1 if --wait learns that it does not count, or with 2 if the API server refuses it.
    """
    said = {"role": role, "reason": reason, "expires": expires}
    about, where = _about(Action.APPROVE, version), (namespace, kubeconfig, context)
    decide(Action.APPROVE, name, said, about=about, wait=wait, timeout=timeout, form=form, where=where)


def reject(
    *,
    name: Release,
    role: Annotated[str | None, typer.Option("--role", help="Role whose vote you withdraw. Default: all of yours.")] = None,
    version: Wanted = None,
    reason: Reason = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Reject the version that waits or is rolled out: it is rolled back as if a gate had failed, and your approval is withdrawn.

    It takes the verb reject on the Release, or on releases/ROLE.

    Exits with 0, with 1 if --wait learns that it does not count, or with 2 if the API server refuses it.
    """
    said = {"role": role, "reason": reason}
    about, where = _about(Action.REJECT, version), (namespace, kubeconfig, context)
    decide(Action.REJECT, name, said, about=about, wait=wait, timeout=timeout, form=form, where=where)


def promote(
    *,
    name: Release,
    version: Wanted = None,
    reason: Reason = None,
    expires: Expires = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Promote the version that is rolled out, without its holds and gates; approvals by people are waited for all the same.

    With --wait it ends when the version is promoted.

    Exits with 0, with 1 if --wait learns that it was not promoted, or with 2 if the API server refuses it.
    """
    said = {"reason": reason, "expires": expires}
    about, where = _about(Action.PROMOTE, version), (namespace, kubeconfig, context)
    decide(Action.PROMOTE, name, said, about=about, wait=wait, timeout=timeout, form=form, where=where)


def pause(
    *,
    name: Release,
    reason: Reason = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Keep the weight where it is until somebody resumes.

    Exits with 0, with 1 if --wait learns that it does not count, or with 2 if the API server refuses it.
    """
    decide(Action.PAUSE, name, {"reason": reason}, wait=wait, timeout=timeout, form=form, where=(namespace, kubeconfig, context))


def resume(
    *,
    name: Release,
    version: Wanted = None,
    reason: Reason = None,
    expires: Expires = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Go on after a pause, or let the next version start again after a rollback with --hold.

    Exits with 0, with 1 if --wait learns that it does not count, or with 2 if the API server refuses it.
    """
    said = {"reason": reason, "expires": expires}
    about, where = _about(Action.RESUME, version), (namespace, kubeconfig, context)
    decide(Action.RESUME, name, said, about=about, wait=wait, timeout=timeout, form=form, where=where)


def retry(
    *,
    name: Release,
    version: Wanted = None,
    reason: Reason = None,
    expires: Expires = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Roll out again a version that was rolled back.

    Exits with 0, with 1 if --wait learns that it does not count, or with 2 if the API server refuses it.
    """
    said = {"reason": reason, "expires": expires}
    about, where = _about(Action.RETRY, version), (namespace, kubeconfig, context)
    decide(Action.RETRY, name, said, about=about, wait=wait, timeout=timeout, form=form, where=where)


def decide(
    action: Action,
    name: str,
    said: dict[str, Any],
    *,
    about: About | None = None,
    wait: bool,
    timeout: str,
    form: Format,
    where: Where,
) -> None:
    """Make a decision, and tell what became of it.

    Args:
        action: what is decided.
        name: of the Release, as the user has given it.
        said: what else the decision says; what is None is left out.
        about: finds the version that it is about in the Release; None where it is about whichever is rolled out.
        wait: wait for what becomes of it.
        timeout: for how long at most, as the user has given it.
        form: of the output.
        where: namespace, kubeconfig and context, as the user has given them.
    """
    namespace, kubeconfig, context = where
    longest = output.parsed("--timeout", parse_duration, timeout)
    if said.get("expires") is not None:
        said = {**said, "expires": format_duration(output.parsed("--expires", parse_duration, said["expires"]))}
    place = access.place_of(name, namespace, kubeconfig, context)

    async def do(_: object, cluster: Cluster) -> Made:
        made = await decision(cluster, place, action, said, about)
        return await settled(cluster, made, longest) if wait else made

    made = access.ask(kubeconfig, context, do)
    if form is Format.JSON:
        output.write_json(made.to_wire())
    else:
        typer.echo(sentence(made))
    refusal_of(made)


async def decision(
    cluster: Cluster, place: tuple[str, str], action: Action, said: dict[str, Any], about: About | None = None
) -> Made:
    """Make a decision on a Release as it is now.

    Args:
        cluster: the API.
        place: namespace and name of the Release.
        action: what is decided.
        said: what else the decision says.
        about: finds the version that it is about; None where it is about whichever is rolled out.

    Raises:
        ApiError: the API server refuses it, or does not answer.
    """
    release = await access.release(cluster, *place)
    version = about(release) if about is not None else None
    if version is not None and not version.digest and action in _OF_CONTENT:
        output.fail(
            f"the status has no digest of {version.name}, without which it cannot be {_DONE[action]}: wait for the operator"
        )
    return await make(cluster, place, release, {"action": action.value, **said}, version)


def _about(action: Action, wanted: str | None) -> About:
    """Return what finds the version that a decision is about: for most the one that is rolled out, if one is."""
    required = action in _IS_REQUIRED

    def find(release: dict[str, Any]) -> Version | None:
        status = access.status_of(release)
        if action is Action.RETRY and wanted is None and is_for_what_failed(status):
            return None
        there = [*rolled_out(status), *waiting(status)]
        found = chosen(there, wanted, "is neither waiting nor rolled out", first=not required)
        if found is None and required:
            output.fail("no version is waiting or rolled out, so there is nothing to decide on")
        return found

    return find


def sentence(made: Made) -> str:
    """Return for people what was decided, and what became of it."""
    action = Action(made.obj["spec"]["action"])
    spec, version = made.obj["spec"], made.version
    whom = f" {version.name} (revision {version.revision})" if version else ""
    check = f" for check {spec['check']}: {spec['result']}" if spec.get("check") else ""
    check += f" flag {spec['flag']}: {spec['switch'].lower()}" if spec.get("flag") else ""
    role = f" as {spec['role']}" if spec.get("role") else ""
    outcome = f"; {made.outcome.value}{f': {made.message}' if made.message else ''}" if made.outcome else ""
    return f"{'/'.join(made.place)}: {_DONE[action]}{whom}{role}{check} (ReleaseDecision {made.name}){outcome}"
