"""What people are told in a chat: Slack and what understands its hooks, and Teams by a workflow.

Versions, names and reasons are other people's text: nothing of it may call a channel's members, or be shown as a link.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from tidegate.api.base import format_time
from tidegate.engine.severity import Severity
from tidegate.notifications.config import ChannelConfig, fill
from tidegate.notifications.message import Message
from tidegate.notifications.request import Request
from tidegate.notifications.secrets import address_of

COLOURS = {Severity.INFO: "#8a8f98", Severity.NOTICE: "#2f6fde", Severity.WARNING: "#d9a400", Severity.CRITICAL: "#c62828"}
STYLES = {Severity.INFO: "default", Severity.NOTICE: "accent", Severity.WARNING: "warning", Severity.CRITICAL: "attention"}
"""Of Adaptive Cards."""
_LOUD = frozenset({Severity.WARNING, Severity.CRITICAL})
_BREAK = "\u200b"
"""A space without width."""
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": f"@{_BREAK}", "]": f"]{_BREAK}", "`": "'"})


def sentence(channel: ChannelConfig, message: Message) -> str:
    """Return what a message says, in one line: by the channel's template, or which Release and what has happened."""
    if channel.template is None:
        return f"{message.where}: {message.text}"
    values = {
        "cluster": message.cluster,
        "environment": message.environment,
        "event": message.event,
        "message": message.text,
        "namespace": message.namespace,
        "reason": message.reason,
        "release": message.release,
        "severity": message.severity.value,
        "version": message.version,
    }
    return fill(channel.template, values)


def slack(channel: ChannelConfig, message: Message, _: datetime) -> Request:
    """Return a message for an incoming hook of Slack, Mattermost, Rocket.Chat or Discord (`/slack`).

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

    Raises:
        SecretError: a file cannot be used.
    """
    said = sentence(channel, message).translate(_SLACK)
    text = f"{message.severity.value.upper()}: {said}" if message.severity in _LOUD else said
    facts = [("Version", message.version), ("Environment", message.environment), ("More", message.more)]
    attachment = {
        "color": COLOURS[message.severity],
        "fallback": text,
        "fields": [{"title": title, "value": value.translate(_SLACK), "short": title != "More"} for title, value in facts if value],
        "footer": f"{message.event} {message.id}",
        "ts": int(message.at.timestamp()),
    }
    return _json(address_of(channel), {"text": text, "attachments": [attachment]})


def teams(channel: ChannelConfig, message: Message, _: datetime) -> Request:
    """Return an Adaptive Card for a workflow of Teams that waits for web hooks; its runs of text know no markdown.

    https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook

    Raises:
        SecretError: a file cannot be used.
    """
    first = {"type": "TextRun", "text": sentence(channel, message), "weight": "Bolder"}
    details = [message.severity.value, message.environment, message.version, format_time(message.at)]
    lines = (" - ".join(one for one in details if one), message.more, f"{message.event} {message.id}")
    body: list[dict[str, Any]] = [{"type": "RichTextBlock", "inlines": [first]}]
    body += [{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": line, "isSubtle": True}]} for line in lines]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [{"type": "Container", "style": STYLES[message.severity], "items": body}],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return _json(address_of(channel), {"type": "message", "attachments": [attachment]})


def _json(url: str, body: dict[str, Any]) -> Request:
    return Request(url, orjson.dumps(body), {"Content-Type": "application/json; charset=utf-8"})
