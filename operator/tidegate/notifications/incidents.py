"""Which transitions open an incident with those who are woken up, and which end it: by the Release, whatever its number.

What opens an incident has the key of that incident, so two operators, or two lives of one, open the same; what ends it needs no
memory of what was opened, for to end what is not open does nothing. What is in neither table is an incident by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from tidegate.engine.severity import SEVERITIES, Severity
from tidegate.notifications.config import ChannelConfig, Kind

PAGERS = frozenset({Kind.PAGERDUTY, Kind.ALERTMANAGER})
"""Kinds of channels that know incidents."""


class Incident(StrEnum):
    """What may be wrong with a Release until it is said to be over; one of each is open at a time."""

    ROLLOUT = "rollout"
    STABLE = "stable"
    REVIEW = "review"


OPENS: Mapping[str, Incident] = {
    **dict.fromkeys(
        (
            "breach-rolls-back",
            "breach-pauses",
            "breach-told",
            "rolling-back",
            "weight-lowered",
            "steps-restarted",
            "deadline-passed",
            "gate-undecided",
            "score-warns",
            "route-corrected",
        ),
        Incident.ROLLOUT,
    ),
    "stable-lacks-pods": Incident.STABLE,
    "review-overdue": Incident.REVIEW,
}
"""By the id of a transition: what is wrong from now on."""
ENDS: Mapping[str, Incident] = {
    "ended": Incident.ROLLOUT,
    "resumed": Incident.ROLLOUT,
    "promotion-requested": Incident.ROLLOUT,
    "stable-recovered": Incident.STABLE,
    "reviewed": Incident.REVIEW,
}
"""By the id of a transition: what is over. A rollout has ended once all requests have gone to a version that serves them."""


def opened(incident: Incident, channel: ChannelConfig) -> list[tuple[str, Severity]]:
    """Return the transitions with which a channel may have been told that an incident is open, each with its severity."""
    return [
        (event, severity)
        for event, of in OPENS.items()
        if of is incident and (channel.events is None or event in channel.events)
        for severity in dict.fromkeys((SEVERITIES[event], Severity.NOTICE))
        if severity in channel.taken
    ]


def ended(channel: ChannelConfig, event: str) -> Incident | None:
    """Return the incident that a transition ends with a channel.

    Args:
        channel: the channel.
        event: id of the transition.

    Returns:
        The incident; None where it ends none, the channel knows none, is told of none of what opens it, or is not to end any.
    """
    incident = ENDS.get(event)
    if incident is None or channel.type not in PAGERS or channel.resolve is False or not opened(incident, channel):
        return None
    return incident
