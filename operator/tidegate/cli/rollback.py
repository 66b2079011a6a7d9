"""`tidegate rollback`: all requests to the version in force, or an earlier version again, and a look whether all is back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.api.base import parse_duration
from tidegate.api.decision import Action
from tidegate.caller.decisions import Made, rolled_out
from tidegate.cli import access, output
from tidegate.cli.decide import About, decision, sentence
from tidegate.cli.deciding import OVER, refusal_of, settled
from tidegate.cli.going_back import Back, go_back, is_in_force, wanted
from tidegate.cli.options import USUAL, InGroup, MaybeRelease, Reason, Timeout, Wait
from tidegate.cli.output import Format
from tidegate.cli.verified import Verified
from tidegate.cli.verify import Expected, show, until_healthy

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster

Json = dict[str, Any]


To = Annotated[
    str | None,
    typer.Option(
        "--to", help="Version to be in force: the present one, or one with a recorded promotion. Default: the present one."
    ),
]
Now = Annotated[bool, typer.Option("--now", help="With a recorded version: promote it at once, without holds and gates.")]
ImagesOnly = Annotated[
    bool, typer.Option("--images-only", help="With a recorded version whose whole template is lost: restore its images alone.")
]
Hold = Annotated[bool, typer.Option("--hold", help="Also keep the next version from starting until you resume.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Wait as --wait does, then until pods and traffic are back, and print what verify prints.")
]


def rollback(
    *,
    name: MaybeRelease = None,
    group: InGroup = None,
    to: To = None,
    now: Now = False,
    images_only: ImagesOnly = False,
    hold: Hold = False,
    verify: Verify = False,
    reason: Reason = None,
    wait: Wait = False,
    timeout: Timeout = USUAL,
    form: output.Form = Format.TEXT,
    namespace: access.Namespace = None,
    kubeconfig: access.Kubeconfig = None,
    context: access.Context = None,
) -> None:
    """Give all requests back to the version in force, at once; or restore an earlier version.

    With --to a version that was promoted earlier, its pod template is restored in the Deployment, with your own rights, or its
    recorded images if its ReplicaSet is gone, and rolled out by the policy's steps; with --now it is promoted as soon as it starts.

    With --group every member with a rollout is rolled back; --wait is --verify then.

    With --wait it ends when the new version is gone, or the recorded one is promoted by --now. With --verify it ends when all is
    back. Where no rollout is on it only verifies, so it may be repeated.

    Exits with 0, with 1 if --wait or --verify learns that it did not come to that, or with 2 if the API server refuses it.
    """
    longest = output.parsed("--timeout", parse_duration, timeout)
    _check(name, group, to, now=now, images_only=images_only)
    place = access.place_of(name or "", namespace, kubeconfig, context)
    verify = verify or (wait and group is not None)
    asked = Asked(
        to=to, reason=reason, now=now, images_only=images_only, hold=hold, wait=wait or verify, verify=verify, longest=longest
    )

    async def do(_: object, cluster: Cluster) -> Done:
        if group is not None:
            return await _group_rolled_back(cluster, place[0], group, asked)
        return await _carried_out(cluster, place, asked, form)

    done = access.ask(kubeconfig, context, do)
    _tell(done, form, whole=verify or group is not None)
    for made in done.made:
        refusal_of(made)
    if verify:
        show(done.verified, form)


def _check(name: str | None, group: str | None, to: str | None, *, now: bool, images_only: bool) -> None:
    """End the command where what was given does not go together."""
    if images_only and to is None:
        output.fail("--images-only: give --to a recorded version")
    if now and to is None:
        output.fail(_NEEDS_TO)
    if (name is None) == (group is None):
        output.fail("give the name of a Release, or --group")
    if group is not None and to is not None:
        output.fail("--to: of a group each Release has versions of its own: give their names one by one")


_NEEDS_TO = "--now: give --to a recorded version; a rollback to the version in force is at once"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user has asked for.

    Attributes:
        to: version that is to be in force; None for the one that is.
        reason: why.
        now: promote it at once.
        images_only: its images will do.
        hold: keep the next version from starting.
        wait: wait until it has taken effect.
        verify: then look whether all is back.
        longest: how long that may take.
    """

    to: str | None
    reason: str | None
    now: bool
    images_only: bool
    hold: bool
    wait: bool
    verify: bool
    longest: timedelta

    def said(self) -> Json:
        """Return what a decision to roll back says besides."""
        return {"toVersion": self.to, "hold": self.hold or None, "reason": self.reason}


@dataclass(frozen=True)
class Done:
    """What was done.

    Attributes:
        back: the recorded version that was restored; None where none was asked for.
        made: the decisions that were made.
        verified: what was found afterwards, if anybody has looked.
    """

    back: Back | None = None
    made: tuple[Made, ...] = ()
    verified: tuple[Verified, ...] = ()


async def _carried_out(cluster: Cluster, place: tuple[str, str], asked: Asked, form: Format) -> Done:
    """Restore or roll back one Release, and wait for what is to be waited for."""
    until = time.monotonic() + asked.longest.total_seconds()
    release = await access.release(cluster, *place)
    stable = access.status_of(release).stable
    restores = asked.to is not None and not is_in_force(release, asked.to)
    done = await _restored(cluster, place, release, asked, form) if restores else await _rolled_back(cluster, place, release, asked)
    if not asked.verify or any(one.outcome in OVER for one in done.made):
        return done
    version = asked.to if restores else stable.revision if stable is not None else None
    left = timedelta(seconds=until - time.monotonic())
    found = await until_healthy(cluster, Expected(access.Chosen(*place), version), left)
    return replace(done, verified=tuple(found))


async def _restored(cluster: Cluster, place: tuple[str, str], release: Json, asked: Asked, form: Format) -> Done:
    """Put back a version that is not in force, and promote it if it is to be at once."""
    assert asked.to is not None
    if asked.hold:
        output.fail(f"--hold: {asked.to} is not in force, and would be kept from starting itself")
    back = await go_back(cluster, place, release, asked.to, images_only=asked.images_only)
    # What follows may take long, and this has happened.
    typer.echo(back.sentence(), err=form is Format.JSON)
    if not asked.now:
        return Done(back)
    if back.waits:
        output.fail(f"--now: {back.version} was restored and is not promoted: {back.waits}")
    await wanted(cluster, back, asked.longest)
    said = {"reason": asked.reason or f"back to {asked.to}"}
    made = await decision(cluster, place, Action.PROMOTE, said, _of_digest(back.digest))
    return Done(back, (await settled(cluster, made, asked.longest) if asked.wait else made,))


async def _rolled_back(cluster: Cluster, place: tuple[str, str], release: Json, asked: Asked) -> Done:
    """Decide to roll back; who wants to verify as well may repeat it, and then nothing is decided where nothing is left to."""
    if asked.verify and not asked.hold and not goes_forward(release):
        typer.echo(f"{'/'.join(place)}: nothing is rolled out, so nothing was decided", err=True)
        return Done()
    made = await decision(cluster, place, Action.ROLLBACK, asked.said())
    return Done(made=(await settled(cluster, made, asked.longest) if asked.wait else made,))


async def _group_rolled_back(cluster: Cluster, namespace: str, group: str, asked: Asked) -> Done:
    """Decide to roll back each member in which a version is rolled out.

    One alone would reach the others; but whoever decides on all of them has the right on all of them, and waits for no other.
    """
    until = time.monotonic() + asked.longest.total_seconds()
    members = {str(one["metadata"]["name"]): one for one in await access.group(cluster, namespace, group)}
    on = [name for name, one in members.items() if asked.hold or goes_forward(one)]
    if not on:
        words = f"no version is rolled out in group {group}"
        if not asked.verify:
            output.fail(f"{words}: kubectl tidegate verify --group {group} -n {namespace}")
        typer.echo(f"{namespace}/{group}: {words}, so nothing was decided", err=True)
    made = await asyncio.gather(*(decision(cluster, (namespace, name), Action.ROLLBACK, asked.said()) for name in on))
    done = Done(made=tuple(made))
    if not asked.verify:
        return done
    stable = {name: access.status_of(one).stable for name, one in members.items()}
    versions = {name: found.revision for name, found in stable.items() if found is not None}
    expected = Expected(access.Chosen(namespace), group=group, versions=versions)
    return replace(done, verified=tuple(await until_healthy(cluster, expected, timedelta(seconds=until - time.monotonic()))))


def goes_forward(release: Json) -> bool:
    """Whether a version is rolled out in a Release, and not rolled back already."""
    status = access.status_of(release)
    return status.rollout is not None and status.rollout.undo is None


def _tell(done: Done, form: Format, *, whole: bool) -> None:
    """Write what was done; what was found is told after it."""
    if form is Format.TEXT:
        for made in done.made:
            typer.echo(sentence(made))
    elif whole:
        restored = done.back.to_wire() if done.back is not None else None
        decisions, found = [made.to_wire() for made in done.made], [one.to_wire() for one in done.verified]
        output.write_json({"restored": restored, "decisions": decisions, "verified": found})
    elif done.made:
        output.write_json(done.made[0].to_wire())
    elif done.back is not None:
        output.write_json(done.back.to_wire())


def _of_digest(digest: str) -> About:
    """Return what finds the version of a content that is rolled out."""
    return lambda release: next((one for one in rolled_out(access.status_of(release)) if one.digest == digest), None)
