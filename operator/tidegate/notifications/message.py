"""What a channel has to say: one transition of one Release as a value with an id, and who takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tidegate.api.base import plain
from tidegate.api.outbox import TransitionStatus
from tidegate.engine.severity import Severity, severity_of
from tidegate.governance.commands import on_release
from tidegate.notifications.config import ChannelConfig
from tidegate.notifications.incidents import ended

Object = Mapping[str, Any]
LONGEST = 1024
"""Characters of a sentence, as in a status."""
_NUMBER = re.compile(r"[0-9]++(?:[.,:][0-9]++)*+")
STATES = frozenset(
    {
        "blocked",
        "breach-told",
        "deadline-passed",
        "gate-undecided",
        "route-corrected",
        "score-warns",
        "transitions-dropped",
        "waits",
    }
)
"""Transitions that say how it stands, and come again while it does."""


@dataclass(frozen=True, slots=True)
class Message:
    """One transition of one Release, to be told.

    Attributes:
        uid: of the Release.
        number: of the transition.
        namespace: of the Release.
        release: its name.
        environment: its environment; empty for none.
        cluster: name of this cluster; empty for none.
        event: id of the kind of transition.
        severity: how much it matters.
        reason: in one word.
        text: what has happened, verdict first.
        version: what it is about; empty for none.
        at: when it was decided.
    """

    uid: str
    number: int
    namespace: str
    release: str
    environment: str
    cluster: str
    event: str
    severity: Severity
    reason: str
    text: str
    version: str
    at: datetime

    @property
    def id(self) -> str:
        """Id that no other transition has, and that stays when it is sent again."""
        return f"{self.uid}.{self.number}"

    @property
    def where(self) -> str:
        """Which Release, for people."""
        return f"{self.release} ({', '.join(one for one in (self.namespace, self.cluster) if one)})"

    @property
    def more(self) -> str:
        """Return the command that shows more."""
        return on_release("status", self.release, self.namespace)

    def saying(self, more: str) -> Message:
        """Return the message with more at the end of its sentence."""
        return replace(self, text=self.text + more) if more else self

    @property
    def cause(self) -> tuple[str, str, str] | None:
        """Return what it has in common with others that say the same of the same version; None where each is news."""
        if self.event not in STATES:
            return None
        return self.event, self.version, _NUMBER.sub("#", self.text)


def message_of(release: Object, transition: TransitionStatus, *, cluster: str | None) -> Message:
    """Return what there is to be told of a transition.

    Args:
        release: whose.
        transition: what has happened.
        cluster: name of this cluster.
    """
    metadata = release["metadata"]
    environment = (release.get("spec") or {}).get("environment")
    return Message(
        uid=str(metadata["uid"]),
        number=transition.number,
        namespace=metadata["namespace"],
        release=metadata["name"],
        environment=environment if isinstance(environment, str) else "",
        cluster=cluster or "",
        event=transition.id,
        severity=severity_of(transition.id, transition.type),
        reason=transition.reason,
        text=plain(transition.message, LONGEST),
        version=plain(transition.version or "", LONGEST),
        at=transition.at,
    )


def takes(channel: ChannelConfig, release: Object, event: str, type_: str) -> bool:
    """Whether a channel is to be told of what happens to a Release.

    Args:
        channel: the channel.
        release: the Release.
        event: id of the kind of transition.
        type_: type of its Event.
    """
    metadata = release["metadata"]
    if channel.namespaces is not None and metadata["namespace"] not in channel.namespaces:
        return False
    labels = metadata.get("labels") or {}
    if any(labels.get(key) != value for key, value in channel.labels.items()):
        return False
    if ended(channel, event) is not None:
        # Whoever was told that something is wrong is told that it is over, however little that matters to others.
        return True
    return severity_of(event, type_) in channel.taken and (channel.events is None or event in channel.events)
