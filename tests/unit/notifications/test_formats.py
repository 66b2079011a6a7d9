"""What each kind of receiver is sent: by its own format, with an id that stays, and with nothing in it that acts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tidegate.engine.severity import Severity
from tidegate.notifications.config import ChannelConfig, Kind
from tidegate.notifications.formats import FORMATS
from tidegate.notifications.hooks import signature
from tidegate.notifications.message import Message, message_of, takes
from tidegate.notifications.request import Request
from tidegate.notifications.secrets import SecretError
from unit.notifications.receiver import KEY, SECRET, happened, release

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = AT + timedelta(seconds=7)
TEXT = "Rolling back v2: error rate 5.2% (13 of 250 requests), stable 0%, limit less than 1 point above stable"
ADDRESS = f"https://hooks.example/{SECRET}"


def message(event: str = "breach-rolls-back", text: str = TEXT, **more: Any) -> Message:
    one = message_of(release(), happened(7, event, AT, warns=True, message=text), cluster="west")
    return replace(one, **more)


def channel(folder: Path, type_: str, **more: Any) -> ChannelConfig:
    """A channel with all files that its kind may name."""
    for name, text in (("url", ADDRESS), ("key", f"whsec_{KEY}"), ("token", "t0ken"), ("routing", "r0uting")):
        (folder / name).write_text(f"{text}\n")
    files = {"urlFile": "url", "secretFile": "key", "tokenFile": "token", "routingKeyFile": "routing"}
    fields = {
        "slack": ("urlFile",),
        "teams": ("urlFile",),
        "pagerduty": ("routingKeyFile",),
        "alertmanager": ("urlFile", "tokenFile"),
        "webhook": ("urlFile", "secretFile", "tokenFile"),
        "cloudevents": ("urlFile", "secretFile"),
    }[type_]
    given = {name: str(folder / files[name]) for name in fields}
    return ChannelConfig.model_validate({"name": "one", "type": type_, **given, **more})


def made(config: ChannelConfig, one: Message) -> tuple[Request, Any]:
    request = FORMATS[config.type](config, one, NOW)
    return request, json.loads(request.body)


def test_each_kind_has_a_format() -> None:
    """Given a kind that can be configured, then there is a format for it; mail has a courier of its own."""
    assert {*Kind} == {*FORMATS, Kind.EMAIL}


@pytest.mark.parametrize("kind", [kind.value for kind in FORMATS])
def test_a_message_says_which_release_and_what_has_happened(tmp_path: Path, kind: str) -> None:
    """Given any kind, then Release, sentence and id are in the body, the same at each try, and the request shows no secret."""
    config = channel(tmp_path, kind)
    request, _ = made(config, message())
    again = FORMATS[config.type](config, message(), NOW + timedelta(minutes=1))

    body = request.body.decode()
    assert all(part in body for part in ("checkout", "Rolling back v2", "uid-checkout.7"))
    assert kind == "alertmanager" or request.body == again.body
    assert not any(secret in f"{request!r} {config!r}" for secret in (SECRET, KEY, "t0ken", "r0uting"))
    assert request.url == {"pagerduty": "https://events.pagerduty.com/v2/enqueue", "alertmanager": f"{ADDRESS}/api/v2/alerts"}.get(
        kind, ADDRESS
    )


def test_a_web_hook_is_signed_by_standard_webhooks(tmp_path: Path) -> None:
    """Given a key, then who has it can verify id, time and body, as the standard says."""
    request, body = made(channel(tmp_path, "webhook"), message())

    headers = request.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(base64.b64decode(KEY), content, hashlib.sha256).digest()).decode()
    assert f"v1,{expected}" == headers["webhook-signature"]
    assert ("uid-checkout.7", str(int(NOW.timestamp())), "Bearer t0ken") == (
        headers["webhook-id"],
        headers["webhook-timestamp"],
        headers["Authorization"],
    )
    assert ("dev.tidegate.release.rollback", "2026-01-02T03:04:05.000Z") == (body["type"], body["timestamp"])
    assert ("critical", "v2", "production", "west", 7) == tuple(
        body["data"][name] for name in ("severity", "version", "environment", "cluster", "number")
    )


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the specification's libraries comes out as theirs does."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signature(
        [key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )


def test_two_keys_are_two_signatures(tmp_path: Path) -> None:
    """Given a key that is being rotated, then receivers with the old one and with the new one verify the same message."""
    config = channel(tmp_path, "webhook")
    old = FORMATS[config.type](config, message(), NOW).headers["webhook-signature"]
    new = base64.b64encode(b"n" * 32).decode()
    (tmp_path / "key").write_text(f"whsec_{new}\nwhsec_{KEY}\n")

    both = FORMATS[config.type](config, message(), NOW).headers["webhook-signature"].split(" ")

    assert (2, old) == (len(both), both[1])


EVENT = {
    "specversion": r"1\.0",
    "id": r"uid-checkout\.7",
    "source": r"/clusters/west/apis/tidegate\.dev/namespaces/shop/releases/checkout",
    "type": r"dev\.tidegate\.release\.[a-z-]+",
    "subject": r"v2",
    "time": r"2026-01-02T03:04:05\.000Z",
    "datacontenttype": r"application/json",
    "severity": r"info|notice|warning|critical",
}


@pytest.mark.parametrize(
    ("event", "warns", "reason", "type_"),
    [
        ("rollout-started", False, "RolloutStarted", "prepared"),
        ("ended", False, "Promoted", "promoted"),
        ("ended", True, "RolledBack", "failed"),
        ("ended", False, "Superseded", "ended"),
        ("breach-rolls-back", True, "GateBreached", "rollback"),
        ("rolling-back", True, "RollingBack", "rollback"),
        ("weight-raised", False, "WeightChanged", "weight-raised"),
    ],
)
def test_a_cloud_event_is_one(tmp_path: Path, event: str, warns: bool, reason: str, type_: str) -> None:
    """Given a transition, then its event in structured JSON has eight attributes and its data, by the format's rules."""
    one = happened(7, event, AT, warns=warns).model_copy(update={"reason": reason})
    request, body = made(channel(tmp_path, "cloudevents"), message_of(release(), one, cluster="west"))

    assert "application/cloudevents+json; charset=utf-8" == request.headers["Content-Type"]
    assert {*EVENT, "data"} == set(body)
    assert [] == [name for name, pattern in EVENT.items() if not re.fullmatch(pattern, body[name])]
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in body), "names of attributes"
    assert f"dev.tidegate.release.{type_}" == body["type"]
    assert event == body["data"]["event"]


def test_pager_duty_gets_one_incident_for_one_cause(tmp_path: Path) -> None:
    """Given a breach, then its key is that of the rollout's incident; the severity is one that PagerDuty knows."""
    _, body = made(channel(tmp_path, "pagerduty"), message())
    _, alone = made(channel(tmp_path, "pagerduty"), message("blocked"))

    assert "tidegate/uid-checkout.7" == alone["dedup_key"], "what nothing ends is an incident by itself"
    assert ("r0uting", "trigger", "tidegate/uid-checkout.rollout") == tuple(
        body[name] for name in ("routing_key", "event_action", "dedup_key")
    )
    payload = body["payload"]
    assert ("critical", f"checkout (shop, west): {TEXT}") == (payload["severity"], payload["summary"])
    severities = {made(channel(tmp_path, "pagerduty"), message(severity=one))[1]["payload"]["severity"] for one in Severity}
    assert {"info", "warning", "critical"} == severities


def test_an_alert_fires_from_when_it_comes(tmp_path: Path) -> None:
    """Given an alert that was under way for longer than it fires, then it fires all the same, with the labels of the first try."""
    config = channel(tmp_path, "alertmanager", firing="15m")
    (alert,) = made(config, message())[1]
    (late,) = json.loads(FORMATS[config.type](config, message(), AT + timedelta(hours=3)).body)

    assert alert["labels"] == late["labels"]
    assert ("TidegateBreachRollsBack", "critical") == tuple(alert["labels"][name] for name in ("alertname", "severity"))
    assert "transition" not in alert["labels"]
    assert "7" == made(config, message("blocked"))[1][0]["labels"]["transition"]
    assert ("2026-01-02T03:04:05.000Z", "2026-01-02T03:19:12.000Z", "2026-01-02T06:19:05.000Z") == (
        alert["startsAt"],
        alert["endsAt"],
        late["endsAt"],
    )


HOSTILE = "v2 <!channel> <https://evil.example|fix> [fix](https://evil.example) @here `x` & </at>"


def test_other_peoples_text_calls_nobody_in_slack(tmp_path: Path) -> None:
    """Given a version with Slack's and Mattermost's marks in its name, then none of them is left that calls, links or formats."""
    request, body = made(channel(tmp_path, "slack"), message(text=HOSTILE, version="<!here>"))

    text = body["text"]
    assert text.startswith("CRITICAL: checkout (shop, west): v2 ")
    said = request.body.decode()
    assert not any(mark in said for mark in ("<", ">", "@h", "](", "`"))
    assert {"Version", "Environment", "More"} == {field["title"] for field in body["attachments"][0]["fields"]}
    assert "kubectl tidegate status checkout -n shop" in said


def test_other_peoples_text_is_plain_in_teams(tmp_path: Path) -> None:
    """Given marks in a text, then it stands in runs, which are shown as they are; the card's colour is that of its severity."""
    _, body = made(channel(tmp_path, "teams"), message(text=HOSTILE))

    card = body["attachments"][0]["content"]
    (container,) = card["body"]
    assert "attention" == container["style"]
    assert {"RichTextBlock"} == {block["type"] for block in container["items"]}
    assert HOSTILE in container["items"][0]["inlines"][0]["text"]
    assert "entities" not in card.get("msteams", {}), "nobody is mentioned"


def test_a_template_says_it_otherwise(tmp_path: Path) -> None:
    """Given a template, then its placeholders are filled in; braces in what is filled in stay braces."""
    config = channel(tmp_path, "slack", template="[{severity}] {release}@{version}: {message}")
    _, body = made(config, message(severity=Severity.NOTICE, text="{version} is a name, too"))

    assert "[notice]\u200b checkout@\u200bv2: {version} is a name, too" == body["text"]


def test_control_characters_do_not_come_through(tmp_path: Path) -> None:
    """Given an escape sequence in a message, then it is shown as a sign for what cannot be shown."""
    one = message_of(release(), happened(7, "paused", AT, message="v2\x1b[2J\r\nX-Header: 1"), cluster=None)

    assert "v2\ufffd[2J X-Header: 1" == one.text


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("key", None, "the file of secretFile cannot be read (No such file or directory)"),
        ("key", "", "the file of secretFile is empty"),
        ("key", "s3cret", "the file of secretFile needs one key a line"),
        ("key", "whsec_c2hvcnQ=", "the file of secretFile needs one key a line"),
        ("key", "whsec_!!!!", "the file of secretFile needs one key a line"),
        ("url", "hooks.example/s3cret", "the file of urlFile has no address in it: it must look like https://host/path"),
        ("url", "https://a/s3cret\nhttps://b", "the file of urlFile has more than one line"),
        ("url", "https://a/\u00e4", "the file of urlFile is empty, or has other than printable ASCII"),
        ("url", "https://a/" + "x" * 20_000, "the file of urlFile is empty, or has other than printable ASCII"),
    ],
)
def test_a_bad_file_is_named_by_its_field(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    """Given a file that cannot be used, then its field and the cure are told, and neither path nor content."""
    config = channel(tmp_path, "webhook")
    (tmp_path / name).unlink() if text is None else (tmp_path / name).write_text(text)

    with pytest.raises(SecretError, match=re.escape(words)) as caught:
        FORMATS[config.type](config, message(), NOW)
    assert not any(part in str(caught.value) for part in ("s3cret", str(tmp_path)))


@pytest.mark.parametrize(
    ("given", "event", "warns", "expected"),
    [
        ({}, "weight-raised", False, False),
        ({}, "rollout-started", False, True),
        ({"severities": ["info"]}, "weight-raised", False, True),
        ({"severities": ["critical"]}, "breach-rolls-back", True, True),
        ({"events": ["ended"]}, "rollout-started", False, False),
        ({"namespaces": ["shop"]}, "rollout-started", False, True),
        ({"namespaces": ["bank"]}, "rollout-started", False, False),
        ({"labels": {"team": "payments"}}, "rollout-started", False, True),
        ({"labels": {"team": "payments", "tier": "1"}}, "rollout-started", False, False),
    ],
)
def test_a_channel_takes_what_it_is_for(tmp_path: Path, given: dict[str, Any], event: str, warns: bool, expected: bool) -> None:
    """Given severities, events, namespaces and labels, then all of them have to fit."""
    config = channel(tmp_path, "slack", **given)

    assert expected is takes(config, release(team="payments"), event, "Warning" if warns else "Normal")
