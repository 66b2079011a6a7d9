"""What wakes people up: PagerDuty's Events API v2, and Prometheus' Alertmanager. Both know by a key what comes twice."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson

from tidegate.api.base import clip, format_time
from tidegate.engine.severity import Severity
from tidegate.notifications.config import ChannelConfig
from tidegate.notifications.hooks import authorization, data_of, source_of
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
    """Return an event that opens an incident.

    https://developer.pagerduty.com/docs/send-alert-event

    Raises:
        SecretError: a file cannot be used.
    """
    assert channel.routing_key_file is not None
    body = {
        "routing_key": one_line(channel.routing_key_file, "routingKeyFile"),
        "event_action": "trigger",
        "dedup_key": f"tidegate/{message.id}",
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
    """Return an alert that fires for a while. One that is sent again has the same labels, and so is the same.

    https://prometheus.io/docs/alerting/latest/clients/

    Raises:
        SecretError: a file cannot be used.
    """
    labels = {
        "alertname": "Tidegate" + "".join(part.capitalize() for part in message.event.split("-")),
        "severity": message.severity.value,
        "namespace": message.namespace,
        "release": message.release,
        "transition": str(message.number),
        "environment": message.environment,
        "cluster": message.cluster,
    }
    annotations = {
        "summary": f"{message.where}: {message.text}",
        "version": message.version,
        "more": message.more,
        "id": message.id,
    }
    alert = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": format_time(message.at),
        # One that ended before it came would fire for nobody.
        "endsAt": format_time(max(message.at, now) + (channel.firing or FIRING)),
    }
    return Request(f"{address_of(channel).rstrip('/')}/api/v2/alerts", orjson.dumps([alert]), {**_JSON, **authorization(channel)})
