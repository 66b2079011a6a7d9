"""What machines are told: signed web hooks and CloudEvents, with ids by which they drop what comes twice.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from tidegate.api.base import format_time
from tidegate.notifications.config import ChannelConfig
from tidegate.notifications.message import Message
from tidegate.notifications.request import Request
from tidegate.notifications.secrets import address_of, keys_of, one_line

TYPE_PREFIX = "dev.tidegate.release."
TYPES: Mapping[str, str] = {"rollout-started": "prepared", "breach-rolls-back": "rollback", "rolling-back": "rollback"}
ENDS: Mapping[str, str] = {"Promoted": "promoted", "RolledBack": "failed"}
"""What is called by another name than the id of its kind; of what has ended, by its reason."""


def data_of(message: Message) -> dict[str, Any]:
    """Return what machines are told of a transition: the same to all of them."""
    data = {
        "id": message.id,
        "number": message.number,
        "event": message.event,
        "severity": message.severity.value,
        "reason": message.reason,
        "message": message.text,
        "namespace": message.namespace,
        "release": message.release,
        "releaseUID": message.uid,
        "version": message.version,
        "environment": message.environment,
        "cluster": message.cluster,
        "time": format_time(message.at),
    }
    return {name: value for name, value in data.items() if value != ""}


def type_of(message: Message) -> str:
    """Return the type of the event that stands for a transition."""
    names, known = (ENDS, message.reason) if message.event == "ended" else (TYPES, message.event)
    return TYPE_PREFIX + names.get(known, message.event)


def source_of(message: Message) -> str:
    """Return the source: with the id, it is an event's own."""
    cluster = f"/clusters/{message.cluster}" if message.cluster else ""
    return f"{cluster}/apis/tidegate.dev/namespaces/{message.namespace}/releases/{message.release}"


def event_of(message: Message) -> dict[str, Any]:
    """Return the CloudEvent of a transition, in structured JSON."""
    return {
        "specversion": "1.0",
        "id": message.id,
        "source": source_of(message),
        "type": type_of(message),
        "subject": message.version or message.release,
        "time": format_time(message.at),
        "datacontenttype": "application/json",
        "severity": message.severity.value,
        "data": data_of(message),
    }


def signature(keys: Iterable[bytes], id_: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one for each key, so that keys can be rotated while messages are under way."""
    content = b".".join((id_.encode(), str(timestamp).encode(), body))
    return " ".join(f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}" for key in keys)


def webhook(channel: ChannelConfig, message: Message, now: datetime) -> Request:
    """Return a signed web hook.

    Raises:
        SecretError: a file cannot be used.
    """
    body = orjson.dumps({"type": type_of(message), "timestamp": format_time(message.at), "data": data_of(message)})
    return _signed(channel, message, now, body, "application/json")


def cloudevents(channel: ChannelConfig, message: Message, now: datetime) -> Request:
    """Return a CloudEvent, signed like a web hook where there is a key.

    Raises:
        SecretError: a file cannot be used.
    """
    return _signed(channel, message, now, orjson.dumps(event_of(message)), "application/cloudevents+json; charset=utf-8")


def authorization(channel: ChannelConfig) -> dict[str, str]:
    """Return the header by which a channel proves who it is; none where it has no token.

    Raises:
        SecretError: the file cannot be used.
    """
    if channel.token_file is None:
        return {}
    return {"Authorization": f"Bearer {one_line(channel.token_file, 'tokenFile')}"}


def _signed(channel: ChannelConfig, message: Message, now: datetime, body: bytes, content_type: str) -> Request:
    headers = {"Content-Type": content_type, "webhook-id": message.id, **authorization(channel)}
    keys = keys_of(channel)
    if keys:
        timestamp = int(now.timestamp())
        headers |= {"webhook-timestamp": str(timestamp), "webhook-signature": signature(keys, message.id, timestamp, body)}
    return Request(address_of(channel), body, headers)
