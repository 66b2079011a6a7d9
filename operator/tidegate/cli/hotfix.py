"""`tidegate override` and `tidegate attest`: the word that lets a hotfix go ahead, and the review that follows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tidegate.api.checks import REVIEW
from tidegate.api.decision import Action, Result
from tidegate.api.release import ReleaseType
from tidegate.caller.decisions import Version, rolled_out, waiting
from tidegate.cli import access, output
from tidegate.cli.decide import decide
from tidegate.cli.deciding import chosen
from tidegate.cli.options import USUAL, Expires, Reason, Release, Timeout, Wait, Wanted
from tidegate.cli.output import Format


def override(
    *,
    name: Release,
    reason: Annotated[str, typer.Option("--reason", help="Why it cannot wait: the Event and the status of the rollout have it.")],
    version: Wanted = None,
    expires: Expires = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Let a hotfix go ahead without the barriers that its policy lets hotfixes skip; somebody has to review it afterwards.

    It counts for exactly this content, and not if you have made the change. It takes the verb override on the Release.

    Exits with 0, with 1 if --wait learns that it does not count, or with 2 if the API server refuses it.
    """
    said = {"reason": reason, "expires": expires}
    where = namespace, kubeconfig, context
    decide(Action.OVERRIDE, name, said, about=lambda it: _hotfix(it, version), wait=wait, timeout=timeout, form=form, where=where)


def attest(
    *,
    name: Release,
    role: Annotated[str, typer.Option("--role", help="Your role, such as architect.")],
    result: Annotated[Result, typer.Option("--result", case_sensitive=False, help="What the check came to.")],
    check: Annotated[str, typer.Option("--check", help="Name of the check; review is that of a hotfix.")] = REVIEW,
    version: Annotated[
        str | None,
        typer.Option("--version", help="Name or revision of the version that was checked. Default: whichever is there."),
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="Where the report is, for people. Default: none.")] = None,
    reason: Reason = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Attest what a check of a version came to, such as the review of a hotfix by somebody who neither changed nor overrode it.

    It takes the verb attest on releases/ROLE.

    Exits with 0, with 1 if --wait learns that it does not count, or with 2 if the API server refuses it.
    """
    said = {"role": role, "check": check, "result": result.value, "url": url, "reason": reason}
    where, find = (namespace, kubeconfig, context), _reviewed if check == REVIEW else _checked
    decide(Action.ATTEST, name, said, about=lambda it: find(it, version), wait=wait, timeout=timeout, form=form, where=where)


def _hotfix(release: dict[str, Any], wanted: str | None) -> Version:
    """Return the hotfix that waits; the command ends where the version that waits is none."""
    there = waiting(access.status_of(release))
    found = chosen(there, wanted, "is not waiting")
    if found is None:
        output.fail("no version is waiting, so there is nothing to override")
    if access.spec_of(release).type is not ReleaseType.HOTFIX:
        output.fail(
            f"{found.name} is not declared a hotfix, and only hotfixes can be overridden: set spec.type: hotfix in the Release"
        )
    return found


def _reviewed(release: dict[str, Any], wanted: str | None) -> Version:
    """Return the hotfix that waits for a review."""
    due = [Version(one.version, one.revision, one.digest, "waits for its review") for one in access.status_of(release).reviews]
    found = chosen(due, wanted, "does not wait for a review")
    if found is None:
        output.fail("no hotfix waits for a review (status.reviews is empty)")
    return found


def _checked(release: dict[str, Any], wanted: str | None) -> Version:
    """Return the version that waits or is rolled out."""
    status = access.status_of(release)
    found = chosen([*rolled_out(status), *waiting(status)], wanted, "is neither waiting nor rolled out")
    if found is None:
        output.fail("no version is waiting or rolled out, so there is nothing to attest")
    return found
