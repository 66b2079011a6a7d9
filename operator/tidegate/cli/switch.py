"""`tidegate switch`: one flag of a Release off, on, or back, for everybody and at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.api.decision import Action
from tidegate.api.flags import Position
from tidegate.cli import access, output
from tidegate.cli.decide import decide
from tidegate.cli.options import Expires, Reason, Release, Timeout, Wait
from tidegate.cli.output import Format

if TYPE_CHECKING:
    from tidegate.caller.decisions import Version


def switch(
    *,
    name: Release,
    flag: Annotated[str, typer.Argument(metavar="FLAG", help="Name of the flag in spec.flags of the Release.")],
    to: Annotated[
        Position,
        typer.Argument(
            metavar="off|on|back", case_sensitive=False, help="The variant that everybody gets, or back to the definition."
        ),
    ],
    reason: Reason = None,
    expires: Expires = None,
    wait: Wait = False,
    timeout: Timeout = "1m",
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Switch a flag off or on for everybody, whatever a rollout does, until it is switched back.

    It takes the verb switch on the Release.

    Exits with 0, with 1 if --wait learns that it does not count, or with 2 if the API server refuses it.
    """
    said = {"flag": flag, "switch": to.value, "reason": reason, "expires": expires}

    def named(release: dict[str, Any]) -> Version | None:
        """Return no version: a switch is about none. A flag that is not there ends the command before anything is decided."""
        flags = access.spec_of(release).flags
        there = {one.name for one in flags.items} if flags is not None else set()
        switched = {one.name for one in access.status_of(release).flags if one.forced is not None}
        if flag not in there | switched:
            output.fail(
                f"{release['metadata']['name']} has no flag {flag} in spec.flags; there are: {', '.join(sorted(there)) or 'none'}"
            )
        return None

    where = namespace, kubeconfig, context
    decide(Action.SWITCH, name, said, about=named, wait=wait, timeout=timeout, form=form, where=where)
