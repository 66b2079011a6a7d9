"""All kinds of channels that there are: here alone each is named, so that one more is a function and a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from tidegate.notifications.chat import slack, teams
from tidegate.notifications.config import ChannelConfig, Kind
from tidegate.notifications.hooks import cloudevents, webhook
from tidegate.notifications.message import Message
from tidegate.notifications.paging import alertmanager, pagerduty
from tidegate.notifications.request import Request

Format = Callable[[ChannelConfig, Message, datetime], Request]
FORMATS: Mapping[Kind, Format] = {
    Kind.WEBHOOK: webhook,
    Kind.SLACK: slack,
    Kind.TEAMS: teams,
    Kind.PAGERDUTY: pagerduty,
    Kind.ALERTMANAGER: alertmanager,
    Kind.CLOUDEVENTS: cloudevents,
}
