"""Channels in the operator's configuration: what may be said, and how each mistake is named by its field without its value."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli.main import app
from tidegate.controller.process import config
from tidegate.engine.severity import Severity
from tidegate.notifications.config import MOST_CHANNELS, Kind
from tidegate.runtime.errors import Terminal

ALL = """
notifications:
  cluster: west
  repeatAfter: 30m
  giveUpAfter: 2h
  channels:
  - {name: releases, type: slack, urlFile: /etc/n/slack, severities: [info, notice], template: "{release}: {message}"}
  - {name: devops, type: teams, urlFile: /etc/n/teams, namespaces: [shop], labels: {team: payments}}
  - {name: pager, type: pagerduty, routingKeyFile: /etc/n/key}
  - {name: alerts, type: alertmanager, url: "http://alertmanager.monitoring.svc:9093/", firing: 15m, tokenFile: /etc/n/token}
  - {name: hook, type: webhook, url: "https://hooks.example/t", secretFile: /etc/n/secret, events: [ended, waits], timeout: 3s}
  - {name: bus, type: cloudevents, urlFile: /etc/n/bus, caFile: /etc/n/ca.crt, repeatAfter: 0s}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def problem(folder: Path, text: str) -> str:
    path = written(folder, text)
    with pytest.raises(Terminal) as caught:
        config.load(path)
    return str(caught.value).removeprefix(f"{path}: ")


def channel(text: str) -> str:
    return f"notifications: {{channels: [{{{text}}}]}}"


def test_everything_can_be_said(tmp_path: Path) -> None:
    """Given each type of channel with what it takes, then it is read, with the usual severities where none are given."""
    told = config.load(written(tmp_path, ALL)).notifications

    assert [kind.value for kind in (Kind.SLACK, Kind.TEAMS, Kind.PAGERDUTY, Kind.ALERTMANAGER, Kind.WEBHOOK, Kind.CLOUDEVENTS)] == [
        one.type for one in told.channels
    ]
    assert {Severity.INFO, Severity.NOTICE} == told.channels[0].taken
    assert {Severity.CRITICAL} == told.channels[2].taken
    assert {*Severity} == told.channels[5].taken
    assert (timedelta(minutes=30), timedelta(hours=2), "west") == (told.repeat_after, told.give_up_after, told.cluster)
    assert timedelta() == told.channels[5].repeat_after


MAIL = "name: a, type: email, smtp: {host: smtp.example, from: tidegate@shop.example, to: [ops@shop.example]%s}"


def test_mail_is_encrypted_unless_it_says_otherwise(tmp_path: Path) -> None:
    """Given a channel of mail, then STARTTLS and its port are the default; without a login it needs no file."""
    (one,) = config.load(written(tmp_path, channel(MAIL % ""))).notifications.channels

    assert one.smtp is not None
    assert (587, "StartTLS", False) == (one.smtp.port, one.smtp.tls, one.in_clear)
    (clear,) = config.load(written(tmp_path, channel(MAIL % ", tls: None"))).notifications.channels
    assert clear.in_clear


def test_check_config_lists_channels(tmp_path: Path) -> None:
    """Given a configuration with channels, then `tidegate check-config` names each with its type."""
    result = CliRunner().invoke(app, ["check-config", "--config", str(written(tmp_path, ALL))])

    assert (0, True) == (result.exit_code, "channels: releases (slack), devops (teams), pager (pagerduty)" in result.output)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (channel("name: a, type: slack"), "notifications.channels[0]: urlFile: is required for type slack"),
        (
            channel("name: a, type: slack, url: 'https://hooks.example/T0P'"),
            "notifications.channels[0]: urlFile: is required for type slack: the address of its hook is a secret",
        ),
        (channel("name: a, type: irc"), "notifications.channels[0].type: must be one of webhook, slack, teams"),
        (channel("name: a, type: webhook, url: 'https://x.example'"), "notifications.channels[0]: secretFile: is required"),
        (channel("name: a, type: cloudevents"), "notifications.channels[0]: give exactly one of url and urlFile"),
        (
            channel("name: a, type: cloudevents, url: 'https://x.example', urlFile: /x"),
            "notifications.channels[0]: give exactly one of url and urlFile",
        ),
        (channel("name: a, type: teams, urlFile: teams"), "notifications.channels[0].urlFile: must be the absolute path of a file"),
        (
            channel("name: a, type: cloudevents, url: 'ftp://T0P'"),
            "notifications.channels[0].url: must look like https://host/path",
        ),
        (channel("name: a, type: cloudevents, url: 'https://u:T0P@x'"), "notifications.channels[0].url: must contain no user, "),
        (channel("name: a, type: cloudevents, url: 'https://x?k=T0P'"), "notifications.channels[0].url: must contain no user, "),
        (channel("name: events, type: slack, urlFile: /x"), "notifications.channels[0]: name: events is the name of a sink"),
        (channel("name: A, type: slack, urlFile: /x"), "notifications.channels[0].name: must match the pattern"),
        (
            channel("name: a, type: slack, urlFile: /x, severities: [loud]"),
            "notifications.channels[0].severities[0]: must be one of info, notice, warning or critical",
        ),
        (channel("name: a, type: slack, urlFile: /x, severities: []"), "notifications.channels[0].severities: must not be empty"),
        (
            channel("name: a, type: slack, urlFile: /x, events: [promoted]"),
            "notifications.channels[0].events[0]: is no id of a transition: docs/notifications.md lists them",
        ),
        (
            channel("name: a, type: slack, urlFile: /x, template: '{secret}'"),
            "notifications.channels[0].template: has braces around something else than cluster, ",
        ),
        (
            channel("name: a, type: pagerduty, routingKeyFile: /x, template: x"),
            "notifications.channels[0]: template: there is no such field for type pagerduty",
        ),
        (channel("name: a, type: slack, urlFile: /x, token: T0P"), "notifications.channels[0].token: there is no such field"),
        (channel("name: a, type: slack, urlFile: /x, timeout: 10m"), "notifications.channels[0].timeout: must be at most"),
        (channel("name: a, type: email"), "notifications.channels[0]: smtp: is required for type email"),
        (
            channel(MAIL % ", username: ann"),
            "notifications.channels[0].smtp: give both a name (username or usernameFile) and passwordFile, or neither",
        ),
        (
            channel(MAIL % ", username: ann, passwordFile: /x, tls: None"),
            "notifications.channels[0].smtp: passwordFile: would be sent in clear: set tls to StartTLS or TLS",
        ),
        (
            channel("name: a, type: email, smtp: {host: smtp.example, from: 'a@b', to: ['T0P\\r\\nBcc: x@y']}"),
            "notifications.channels[0].smtp.to[0]: must match the pattern",
        ),
        (
            channel("name: a, type: email, smtp: {host: 'smtp/T0P', from: a@b, to: [a@b]}"),
            "notifications.channels[0].smtp.host: must match",
        ),
        ("notifications: {audit: {file: audit.jsonl}}", "notifications.audit.file: must be the absolute path of a file"),
        ("notifications: {giveUpAfter: 1s}", "notifications.giveUpAfter: must be at least"),
        (
            "notifications: {channels: [{name: a, type: slack, urlFile: /x}, {name: a, type: slack, urlFile: /x}]}",
            "notifications: channels: more than one is named a",
        ),
        (
            f"notifications: {{channels: [{', '.join('{name: a, type: slack, urlFile: /x}' for _ in range(MOST_CHANNELS + 1))}]}}",
            "notifications.channels: must have at most 6 items",
        ),
    ],
)
def test_a_mistake_is_named_by_its_field(tmp_path: Path, text: str, words: str) -> None:
    """Given a mistake, then field and cause are told at the start, and no value, for it may be a secret."""
    said = problem(tmp_path, text)

    assert said.startswith(words)
    assert "T0P" not in said


def test_plain_http_is_warned_of(tmp_path: Path) -> None:
    """Given an address without TLS on another host, then it is known to be in clear; on this host nobody is between."""
    text = "notifications: {channels: [{name: a, type: cloudevents, url: 'http://%s'}]}"
    clear = [
        config.load(written(tmp_path, text % host)).notifications.channels[0].in_clear for host in ("bus.example", "127.0.0.1:1")
    ]

    assert [True, False] == clear
