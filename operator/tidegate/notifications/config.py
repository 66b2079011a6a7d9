"""The channels of the operator's configuration: who is told of what, where, and in which files the secrets are."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from tidegate.api.base import Duration
from tidegate.api.gate import Name
from tidegate.engine.severity import SEVERITIES, Severity

MOST_CHANNELS = 6
"""A status keeps the place of 8 sinks: those of Events and of the audit stream are two."""
TAKEN = ("events", "audit")
"""Names of sinks that are no channels."""
PLACEHOLDERS = ("cluster", "environment", "event", "message", "namespace", "reason", "release", "severity", "version")
"""What a template may have in braces."""
_BRACES = re.compile(r"\{([^{}]*+)\}")
_UPPER = re.compile(r"[A-Z]")


class Kind(StrEnum):
    """What a channel speaks."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    TEAMS = "teams"
    PAGERDUTY = "pagerduty"
    ALERTMANAGER = "alertmanager"
    CLOUDEVENTS = "cloudevents"
    EMAIL = "email"


class Tls(StrEnum):
    """How mail is kept secret on its way."""

    START_TLS = "StartTLS"
    TLS = "TLS"
    NONE = "None"


LOUD = (Severity.NOTICE, Severity.WARNING, Severity.CRITICAL)
SEVERITIES_OF = {
    Kind.WEBHOOK: tuple(Severity),
    Kind.CLOUDEVENTS: tuple(Severity),
    Kind.SLACK: LOUD,
    Kind.TEAMS: LOUD,
    Kind.EMAIL: LOUD,
    Kind.ALERTMANAGER: (Severity.WARNING, Severity.CRITICAL),
    Kind.PAGERDUTY: (Severity.CRITICAL,),
}
"""What a channel takes that does not say otherwise."""
_ADDRESS = ("url", "urlFile")
_FIELDS: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Kind.WEBHOOK: (("secretFile",), (*_ADDRESS, "tokenFile")),
    Kind.CLOUDEVENTS: ((), (*_ADDRESS, "tokenFile", "secretFile")),
    Kind.SLACK: (("urlFile",), ("template",)),
    Kind.TEAMS: (("urlFile",), ("template",)),
    Kind.PAGERDUTY: (("routingKeyFile",), ("url", "resolve")),
    Kind.ALERTMANAGER: ((), (*_ADDRESS, "tokenFile", "firing", "resolve")),
    Kind.EMAIL: (("smtp",), ("template",)),
}
"""Of each kind the fields that it needs, and those that it may have besides what all have."""
_OF_SOME = ("url", "urlFile", "secretFile", "tokenFile", "routingKeyFile", "template", "firing", "resolve", "smtp")


def web_address(address: str) -> str:
    """Accept `http(s)://host[:port][/path]`.

    Raises:
        ValueError: it is none; the message leaves it out, for the address of a hook is a secret.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or not address.isascii() or not address.isprintable() or " " in address:
        msg = "must look like https://host/path"
        raise ValueError(msg)
    return address


def _plain_address(address: str) -> str:
    parts = urlsplit(web_address(address))
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        msg = "must contain no user, password, query (?) or fragment (#): give urlFile if the address has secrets"
        raise ValueError(msg)
    return address.rstrip("/")


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        msg = "must be the absolute path of a file"
        raise ValueError(msg)
    return path


def _known_event(event: str) -> str:
    if event not in SEVERITIES:
        msg = "is no id of a transition: docs/notifications.md lists them"
        raise ValueError(msg)
    return event


def _known_placeholders(template: str) -> str:
    for found in _BRACES.finditer(template):
        if found[1] not in PLACEHOLDERS:
            msg = f"has braces around something else than {', '.join(PLACEHOLDERS)}"
            raise ValueError(msg)
    return template


def fill(template: str, values: dict[str, str]) -> str:
    """Return a template with values in the places of its placeholders; braces in values are left as they are."""
    return _BRACES.sub(lambda found: values[found[1]], template)


FilePath = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_absolute)]
_MAILBOX = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$"
Mailbox = Annotated[str, Field(max_length=254, pattern=_MAILBOX)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


class SmtpConfig(_Part):
    """The server that takes a channel's mail.

    Attributes:
        host: its name.
        port: its port.
        tls: how what is sent is kept secret.
        username: who logs in; None for nobody, or for what is in a file.
        username_file: file with that name.
        password_file: file with the password.
        sender: whom mail is from, `from` in the file.
        recipients: whom it is to, `to` in the file.
    """

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:-]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    tls: Annotated[Tls, Field(strict=False)] = Tls.START_TLS
    username: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[!-~]+$")] | None = None
    username_file: FilePath | None = None
    password_file: FilePath | None = None
    sender: Annotated[Mailbox, Field(alias="from")]
    recipients: Annotated[tuple[Mailbox, ...], Field(alias="to", strict=False, min_length=1, max_length=16)]

    @property
    def in_clear(self) -> bool:
        """Whether what is told can be read and changed on its way."""
        return self.tls is Tls.NONE and not _loopback(self.host)

    @model_validator(mode="after")
    def _whole_login(self) -> SmtpConfig:
        if self.username is not None and self.username_file is not None:
            msg = "give one of username and usernameFile"
            raise ValueError(msg)
        if (self.password_file is None) != (self.username is None and self.username_file is None):
            msg = "give both a name (username or usernameFile) and passwordFile, or neither"
            raise ValueError(msg)
        if self.password_file is not None and self.in_clear:
            msg = "passwordFile: would be sent in clear: set tls to StartTLS or TLS"
            raise ValueError(msg)
        return self


class ChannelConfig(_Part):
    """One channel.

    Attributes:
        name: its name in metrics, logs and statuses; stays as it is, or what it has not taken is not told any more.
        type: what it speaks.
        url: where messages go, if that is no secret.
        url_file: file with that address.
        secret_file: file with the keys that messages are signed with, one a line, each `whsec_` and base64.
        token_file: file with the token for `Authorization: Bearer`.
        routing_key_file: file with PagerDuty's integration key.
        smtp: the server that takes mail, from whom and to whom.
        ca_file: CA bundle that the receiver is verified with; None for the public authorities.
        severities: which it takes; None for the usual ones of its type.
        events: ids of the transitions that it takes; None for all.
        namespaces: whose Releases it is told of; None for those of all.
        labels: labels that these Releases have.
        template: what a message says, with placeholders in braces; None for the usual sentence.
        firing: how long an alert fires.
        resolve: whether an incident is resolved when its cause is over; None for yes.
        timeout: longest time for one delivery.
        repeat_after: after how long the same is told again that has not changed; None for what holds for all channels.
    """

    name: Annotated[Name, Field(max_length=40)]
    type: Annotated[Kind, Field(strict=False)]
    url: Annotated[str, Field(max_length=2048), AfterValidator(_plain_address)] | None = None
    url_file: FilePath | None = None
    secret_file: FilePath | None = None
    token_file: FilePath | None = None
    routing_key_file: FilePath | None = None
    smtp: SmtpConfig | None = None
    ca_file: FilePath | None = None
    severities: Annotated[tuple[Annotated[Severity, Field(strict=False)], ...] | None, Field(strict=False, min_length=1)] = None
    events: Annotated[
        tuple[Annotated[str, AfterValidator(_known_event)], ...] | None,
        Field(strict=False, min_length=1, max_length=len(SEVERITIES)),
    ] = None
    namespaces: Annotated[tuple[Name, ...] | None, Field(strict=False, min_length=1, max_length=64)] = None
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=8)] = {}
    template: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_known_placeholders)] | None = None
    firing: Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(hours=24))] | None = None
    resolve: bool | None = None
    timeout: Annotated[Duration, Field(ge=timedelta(milliseconds=500), le=timedelta(seconds=30))] = timedelta(seconds=10)
    repeat_after: Annotated[Duration, Field(le=timedelta(hours=24))] | None = None

    @property
    def in_clear(self) -> bool:
        """Whether what is told can be read and changed on its way: plain http or SMTP to another host."""
        if self.smtp is not None:
            return self.smtp.in_clear
        parts = urlsplit(self.url or "")
        return parts.scheme == "http" and not _loopback(parts.hostname or "")

    @property
    def taken(self) -> frozenset[Severity]:
        """Return the severities that it takes."""
        return frozenset(self.severities if self.severities is not None else SEVERITIES_OF[self.type])

    @model_validator(mode="after")
    def _fields_of_its_type(self) -> ChannelConfig:
        if self.name in TAKEN:
            msg = f"name: {self.name} is the name of a sink of the operator's own: choose another"
            raise ValueError(msg)
        needed, allowed = _FIELDS[self.type]
        given = {name for name in _OF_SOME if getattr(self, _python(name)) is not None}
        if lacking := [name for name in needed if name not in given]:
            hint = ": the address of its hook is a secret" if lacking == ["urlFile"] and "url" in given else ""
            msg = f"{lacking[0]}: is required for type {self.type}{hint}"
            raise ValueError(msg)
        if beyond := sorted(given - {*needed, *allowed}):
            msg = f"{beyond[0]}: there is no such field for type {self.type}"
            raise ValueError(msg)
        if set(_ADDRESS) <= {*allowed} and len(given & {*_ADDRESS}) != 1:
            msg = "give exactly one of url and urlFile"
            raise ValueError(msg)
        return self


class AuditConfig(_Part):
    """Where the audit stream goes.

    Attributes:
        file: the file that lines are added to; None for standard error, beside the log.
    """

    file: FilePath | None = None


class NotificationsConfig(_Part):
    """Who is told of what happens to Releases.

    Attributes:
        cluster: name of this cluster, for those who are told by several.
        channels: where it is told.
        repeat_after: after how long the same is told again that has not changed.
        give_up_after: how long a message is tried before it is dropped.
        audit: where the audit stream goes; None for nowhere.
    """

    cluster: Name | None = None
    channels: Annotated[tuple[ChannelConfig, ...], Field(strict=False, max_length=MOST_CHANNELS)] = ()
    repeat_after: Annotated[Duration, Field(le=timedelta(hours=24))] = timedelta(hours=1)
    give_up_after: Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(hours=24))] = timedelta(hours=4)
    audit: AuditConfig | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> NotificationsConfig:
        names = [channel.name for channel in self.channels]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            msg = f"channels: more than one is named {', '.join(doubled)}"
            raise ValueError(msg)
        return self


def _python(alias: str) -> str:
    """Return the attribute of a field."""
    return _UPPER.sub(lambda upper: f"_{upper[0].lower()}", alias)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # https://www.rfc-editor.org/rfc/rfc6761#section-6.3
        return host == "localhost" or host.endswith(".localhost")
