"""Options and arguments that several commands take, each with its one name and its one sentence of help.

Which cluster is asked is in `access.py`, the form of what is written in `output.py`, where records are read from in `archive.py`.
"""

from __future__ import annotations

from typing import Annotated

import typer

Release = Annotated[str, typer.Argument(metavar="RELEASE", help="Name of the Release, or NAMESPACE/NAME.")]
OneOrAll = Annotated[str | None, typer.Argument(metavar="[RELEASE]", help="Only this Release. Default: all.")]
Recorded = Annotated[str, typer.Argument(metavar="RELEASE", help="Name of the Release, or of a ReleaseRecord.")]

MaybeRelease = Annotated[
    str | None, typer.Argument(metavar="[RELEASE]", help="Name of the Release, or NAMESPACE/NAME; or give --group.")
]
InGroup = Annotated[str | None, typer.Option("--group", help="All Releases of this group (spec.group). Default: none.")]

# Of decisions.
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for people and for the record. Default: none.")]
Expires = Annotated[str | None, typer.Option("--expires", help="How long it counts, such as 2h. Default: as the policy has it.")]
Wanted = Annotated[
    str | None,
    typer.Option("--version", help="Name or revision of the version that is meant; another one is not touched. Default: any."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it has taken effect, and exit with 1 if it does not.")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long --wait waits at most.")]
USUAL = "30m"
"""What --wait waits for at most by default."""

# Of records.
RecordedVersion = Annotated[str | None, typer.Option("--version", help="The last rollout of this version. Default: the last one.")]

Where = tuple[str | None, str | None, str | None]
"""Namespace, kubeconfig and context, as the user has given them."""
