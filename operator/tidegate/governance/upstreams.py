"""Whether another Release has proved a version: it was promoted there, nothing was rolled back since, and it has run for a while.

What proves is the status of the other Release, which nobody but the operator writes. What anybody may write, its spec, its labels
and its annotations, proves nothing. Of the other Release no more is told than its name, its version, and how that stands: who reads
this Release may have no right to read that one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidegate.api.base import MOST_TOLD, and_more, format_duration
from tidegate.api.release import Match
from tidegate.governance.times import moment


@dataclass(frozen=True, kw_only=True)
class UpstreamView:
    """Another Release, as far as its status can prove a version.

    Attributes:
        release: its name.
        namespace: where it is.
        cluster: name of its cluster; empty for the one that this Release is in.
        exists: whether it was found.
        uid: its uid; empty where it was not found.
        deleting: somebody deletes it.
        version: its stable version, by the name for people; empty where it has none yet.
        revision: revision of that.
        images: its images by container name; empty where they are not known.
        committed_at: when its commit was made, as is said there; None where nobody does.
        promoted_at: when it was promoted, or found when that Release began; None where it was rolled out without Tidegate.
        rolled_back_at: when a later version was last rolled back to it.
        replicas: pods that it is to have; more than one are as good as one.
        ready: none of its pods has been anything but ready for long.
        rolling_back: a later version is being rolled back to it.
        unread: why nothing is known of it, in words; empty where something is.
    """

    release: str
    namespace: str
    cluster: str = ""
    exists: bool = True
    uid: str = ""
    deleting: bool = False
    version: str = ""
    revision: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    committed_at: datetime | None = None
    promoted_at: datetime | None = None
    rolled_back_at: datetime | None = None
    replicas: int = 1
    ready: bool = True
    rolling_back: bool = False
    unread: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return called(self.release, self.namespace, self.cluster)


def called(release: str, namespace: str, cluster: str = "") -> str:
    """Return what people call a Release."""
    return f"{release} in {namespace}" + (f" (cluster {cluster})" if cluster else "")


@dataclass(frozen=True)
class AfterView:
    """What one Release asks of another.

    Attributes:
        upstream: that Release.
        soak: how long a version must have run there.
        match: by what it is known to be the same.
    """

    upstream: UpstreamView
    soak: timedelta = timedelta(0)
    match: Match = Match.IMAGES


@dataclass(frozen=True)
class FollowingView:
    """A Release that another one follows.

    Attributes:
        upstream: that Release.
        images: those of its images for which there are containers here.
        names: by which a version with these images may have been rejected here.
        soak: how long a version must have run there before it is taken over.
    """

    upstream: UpstreamView
    images: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    soak: timedelta = timedelta(0)


@dataclass(frozen=True)
class Wanted:
    """The version that is to be rolled out.

    Attributes:
        version: its name for people.
        images: its images by container name; empty where they are not known.
    """

    version: str
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Proved:
    """A version is proved.

    Attributes:
        since: since when.
    """

    since: datetime


@dataclass(frozen=True)
class Unproved:
    """A version is not proved.

    Attributes:
        why: what is in the way, for people.
        until: when it is proved if nothing happens until then; None where only what happens can tell.
    """

    why: str
    until: datetime | None = None


def proved(upstream: UpstreamView, wanted: Wanted, soak: timedelta, match: Match, now: datetime) -> Proved | Unproved:
    """Return whether a Release has proved a version, or why not and when to ask again.

    Args:
        upstream: that Release.
        wanted: the version.
        soak: how long it must have run there.
        match: by what it is known to be the same.
        now: the time.
    """
    if why := _unknown(upstream) or _another(upstream, wanted, match) or _unsound(upstream):
        return Unproved(why)
    assert upstream.promoted_at is not None
    began, what = upstream.promoted_at, "promoted"
    if upstream.rolled_back_at is not None and upstream.rolled_back_at > began:
        began, what = upstream.rolled_back_at, "a rollback to it ended"
    try:
        until = began + soak
    except OverflowError:
        return Unproved(f"{what} {moment(began)}")
    if now >= until:
        return Proved(until)
    return Unproved(f"{what} {moment(began)}, so until {moment(until)}", until)


def demand(upstream: UpstreamView, wanted: Wanted, soak: timedelta) -> str:
    """Return what is asked of a Release, to be put behind `waits`."""
    time = f" for {format_duration(soak)}" if soak else ""
    return f"for {upstream.name} to have {'run' if soak else 'promoted'} {wanted.version}{time}"


def _unknown(upstream: UpstreamView) -> str:
    """Say why nothing is known of what a Release has; empty where something is."""
    if upstream.unread:
        return upstream.unread
    if not upstream.exists:
        return "there is no such Release: it was deleted, or was never there"
    if upstream.deleting:
        return "that Release is being deleted"
    return "" if upstream.version else "no version serves there yet"


def _unsound(upstream: UpstreamView) -> str:
    """Say why the version that a Release has in force proves nothing now; empty where it may."""
    if upstream.promoted_at is None:
        return "it was rolled out there without Tidegate, so nothing has judged it; promote it or a later version there"
    if upstream.rolling_back:
        return "a later version is being rolled back there"
    if upstream.replicas == 0:
        return "it is scaled to 0 there"
    return "" if upstream.ready else "its pods there are not all ready"


def _another(upstream: UpstreamView, wanted: Wanted, match: Match) -> str:
    """Say by what the version that a Release has in force is another one than is wanted; empty where it is the same."""
    if match is Match.VERSION:
        return "" if upstream.version == wanted.version else f"{upstream.version} serves there"
    if not wanted.images or not upstream.images:
        return "the images are not known"
    others = sorted(name for name, image in wanted.images.items() if not same_image(image, upstream.images.get(name)))
    if not others:
        return ""
    if upstream.version != wanted.version:
        return f"{upstream.version} serves there"
    names = ", ".join(others[:MOST_TOLD]) + and_more(len(others))
    return f"{upstream.version} serves there, with another image or none for container {names}"


def same_image(one: str, other: str | None) -> bool:
    """Whether two references are of the same image: by their digests if one has any, else by registry, name and tag.

    A digest says what is in an image, wherever it was copied to. A tag says no more than what somebody calls it.
    """
    if not one or not other:
        return False
    ours, theirs = (reference.partition("@")[2] for reference in (one, other))
    return ours == theirs if ours or theirs else _full(one) == _full(other)


def _full(reference: str) -> str:
    """Return a reference without a digest in the form that all references to the same have."""
    name, tag = reference, ""
    if ":" in reference.rpartition("/")[2]:
        name, _, tag = reference.rpartition(":")
    host, slash, rest = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in host and ":" not in host and host != "localhost":
        name = f"docker.io/{name}"
    elif host == "docker.io" and "/" not in rest:
        name = f"docker.io/library/{rest}"
    return f"{name}:{tag or 'latest'}"


def to_take(view: FollowingView, taken: Mapping[str, str], rejected: Collection[str], now: datetime) -> Proved | Unproved | None:
    """Return whether what a Release has in force is to be taken over, or why not; None where it has been.

    Args:
        view: that Release.
        taken: the images that were taken over last.
        rejected: revisions that were rejected here.
        now: the time.
    """
    upstream = view.upstream
    if why := _unknown(upstream):
        return Unproved(why)
    if not view.images:
        return Unproved(f"the images of {upstream.version} are not known, or are of no container that there is here")
    if view.images == taken:
        return None
    if not view.names.isdisjoint(rejected):
        return Unproved(f"{upstream.version} was rejected here")
    found = proved(upstream, Wanted(upstream.version), view.soak, Match.VERSION, now)
    return Unproved(f"{upstream.version} is not proved: {found.why}", found.until) if isinstance(found, Unproved) else found
