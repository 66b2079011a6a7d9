"""What wakes people up: PagerDuty's Events API v2, and Prometheus' Alertmanager. Both know by a key what comes twice or is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from tidegate.api.base import clip, format_time
from tidegate.engine.severity import Severity
from tidegate.notifications.config import ChannelConfig
from tidegate.notifications.hooks import authorization, data_of, source_of
from tidegate.notifications.incidents import OPENS, ended, opened
from tidegate.notifications.message import Message
from tidegate.notifications.request import Request
from tidegate.notifications.secrets import address_of, one_line

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
PAGERDUTY_SEVERITIES = {
    Severity.INFO: "info",
    Severity.NOTICE: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "critical",
}
LONGEST_SUMMARY = 1024
FIRING = timedelta(hours=1)
_JSON = {"Content-Type": "application/json"}


def pagerduty(channel: ChannelConfig, message: Message, _: datetime) -> Request:
    """Return an event that opens an incident, or resolves it.

    https://developer.pagerduty.com/docs/send-alert-event

    Raises:
        SecretError: a file cannot be used.
    """
    assert channel.routing_key_file is not None
    key = one_line(channel.routing_key_file, "routingKeyFile")
    if (over := ended(channel, message.event)) is not None:
        resolved = {"routing_key": key, "event_action": "resolve", "dedup_key": f"tidegate/{message.uid}.{over}"}
        return Request(channel.url or PAGERDUTY, orjson.dumps(resolved), _JSON)
    incident = OPENS.get(message.event)
    body: dict[str, Any] = {
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": f"tidegate/{message.uid}.{incident}" if incident is not None else f"tidegate/{message.id}",
        "client": "Tidegate",
        "payload": {
            "summary": clip(f"{message.where}: {message.text}", LONGEST_SUMMARY),
            "source": source_of(message),
            "severity": PAGERDUTY_SEVERITIES[message.severity],
            "timestamp": format_time(message.at),
            "component": message.release,
            "group": message.environment or message.namespace,
            "class": message.event,
            "custom_details": {**data_of(message), "more": message.more},
        },
    }
    return Request(channel.url or PAGERDUTY, orjson.dumps(body), _JSON)


def alertmanager(channel: ChannelConfig, message: Message, now: datetime) -> Request:
    """Return an alert that fires for a while, or the end of those that may be firing. One that is sent again has the same labels.

    https://prometheus.io/docs/alerting/latest/clients/

    Raises:
        SecretError: a file cannot be used.
    """
    over = ended(channel, message.event)
    annotations = {
        "summary": f"{message.where}: {message.text}",
        "version": message.version,
        "more": message.more,
        "id": message.id,
    }
    told = {"annotations": {name: value for name, value in annotations.items() if value}}
    if over is not None:
        # Without a start: an alert that is not firing is over before it has begun, and nobody is told of it.
        ends = {"endsAt": format_time(now)}
        alerts = [{"labels": _labels(message, event, severity), **told, **ends} for event, severity in opened(over, channel)]
    else:
        # One that ended before it came would fire for nobody.
        until = max(message.at, now) + (channel.firing or FIRING)
        span = {"startsAt": format_time(message.at), "endsAt": format_time(until)}
        alerts = [{"labels": _labels(message, message.event, message.severity), **told, **span}]
    return Request(f"{address_of(channel).rstrip('/')}/api/v2/alerts", orjson.dumps(alerts), {**_JSON, **authorization(channel)})


def _labels(message: Message, event: str, severity: Severity) -> dict[str, str]:
    """Return the labels of an alert: by these it is known."""
    labels = {
        "alertname": "Tidegate" + "".join(part.capitalize() for part in event.split("-")),
        "severity": severity.value,
        "namespace": message.namespace,
        "release": message.release,
        "transition": "" if event in OPENS else str(message.number),
        "environment": message.environment,
        "cluster": message.cluster,
    }
    return {name: value for name, value in labels.items() if value}
