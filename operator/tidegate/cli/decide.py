"""`tidegate approve`, `reject`, `promote`, `rollback`, `pause`, `resume`, `retry`: decisions on a Release by whoever types them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.api.base import format_duration, parse_duration
from tidegate.api.decision import Action
from tidegate.cli import access, output
from tidegate.cli.deciding import Made, Version, make, refusal_of, settled, version_of
from tidegate.cli.output import Format

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

Release = Annotated[str, typer.Argument(metavar="RELEASE", help="Name of the Release, or NAMESPACE/NAME.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for people and for the record. Default: none.")]
Expires = Annotated[str | None, typer.Option("--expires", help="How long it counts, such as 2h. Default: as the policy has it.")]
Wanted = Annotated[
    str | None,
    typer.Option("--version", help="Name or revision of the version that is meant; another one is not touched. Default: any."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it has taken effect, and exit with 1 if it does not.")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long --wait waits at most.")]
USUAL = "30m"
_DONE = {
    Action.APPROVE: "approved",
    Action.REJECT: "rejected",
    Action.PROMOTE: "full promotion requested of",
    Action.ROLLBACK: "rollback requested",
    Action.PAUSE: "pause requested",
    Action.RESUME: "resumption requested of",
    Action.RETRY: "another try requested of",
}
_OF_A_VERSION = frozenset({Action.APPROVE, Action.REJECT, Action.PROMOTE, Action.RESUME, Action.RETRY})
"""What is about the version that people see when they decide; all else takes traffic away, from whichever has it by then."""
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
    _decide(
        Action.APPROVE, name, said, wanted=version, wait=wait, timeout=timeout, form=form, where=(namespace, kubeconfig, context)
    )


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
    _decide(
        Action.REJECT, name, said, wanted=version, wait=wait, timeout=timeout, form=form, where=(namespace, kubeconfig, context)
    )


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
    _decide(
        Action.PROMOTE, name, said, wanted=version, wait=wait, timeout=timeout, form=form, where=(namespace, kubeconfig, context)
    )


def rollback(
    *,
    name: Release,
    to: Annotated[
        str | None, typer.Option("--to", help="The version in force that is meant; refused if it is another. Default: any.")
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Also keep the next version from starting until you resume.")] = False,
    reason: Reason = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Give all requests back to the version in force, at once.

    With --wait it ends when the new version is gone.

    Exits with 0, with 1 if --wait learns that it was not rolled back, or with 2 if the API server refuses it.
    """
    said = {"toVersion": to, "hold": hold or None, "reason": reason}
    _decide(Action.ROLLBACK, name, said, wait=wait, timeout=timeout, form=form, where=(namespace, kubeconfig, context))


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
    _decide(Action.PAUSE, name, {"reason": reason}, wait=wait, timeout=timeout, form=form, where=(namespace, kubeconfig, context))


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
    _decide(
        Action.RESUME, name, said, wanted=version, wait=wait, timeout=timeout, form=form, where=(namespace, kubeconfig, context)
    )


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
    _decide(Action.RETRY, name, said, wanted=version, wait=wait, timeout=timeout, form=form, where=(namespace, kubeconfig, context))


def _decide(
    action: Action,
    name: str,
    said: dict[str, Any],
    *,
    wanted: str | None = None,
    wait: bool,
    timeout: str,
    form: Format,
    where: tuple[str | None, str | None, str | None],
) -> None:
    namespace, kubeconfig, context = where
    longest = output.parsed("--timeout", parse_duration, timeout)
    if said.get("expires") is not None:
        said = {**said, "expires": format_duration(output.parsed("--expires", parse_duration, said["expires"]))}
    place = access.place_of(name, namespace, kubeconfig, context)

    async def do(_: object, cluster: Cluster) -> Made:
        release = await access.release(cluster, *place)
        about = _about(action, release, wanted)
        made = await make(cluster, place, release, {"action": action.value, **said}, about)
        return await settled(cluster, made, longest) if wait else made

    made = access.ask(kubeconfig, context, do)
    if form is Format.JSON:
        output.write_json(made.to_wire())
    else:
        typer.echo(_sentence(action, made))
    refusal_of(made)


def _about(action: Action, release: dict[str, Any], wanted: str | None) -> Version | None:
    """Return the version that a decision is about; None where it is about whichever is rolled out."""
    if action not in _OF_A_VERSION:
        return None
    found = version_of(access.status_of(release), wanted, on=action not in _IS_REQUIRED)
    if found is None and action in _IS_REQUIRED:
        output.fail("no version is waiting or rolled out, so there is nothing to decide on")
    if found is not None and not found.digest and action is Action.APPROVE:
        output.fail(f"the status has no digest of {found.name}, without which it cannot be approved: wait for the operator")
    return found


def _sentence(action: Action, made: Made) -> str:
    spec, version = made.obj["spec"], made.version
    whom = f" {version.name} (revision {version.revision})" if version else ""
    role = f" as {spec['role']}" if spec.get("role") else ""
    outcome = f"; {made.outcome.value}{f': {made.message}' if made.message else ''}" if made.outcome else ""
    return f"{'/'.join(made.place)}: {_DONE[action]}{whom}{role} (ReleaseDecision {made.name}){outcome}"
