"""Mail to a real server on loopback: what it looks like, each recipient once, and in time whatever the server does."""

from __future__ import annotations

import asyncio
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest

from tidegate.notifications.channel import FOR_SOME_SECONDS
from tidegate.notifications.config import ChannelConfig
from tidegate.notifications.couriers import courier_of
from tidegate.notifications.mail import Mail, mail_of
from tidegate.notifications.message import Message, message_of
from tidegate.notifications.pauses import FEW
from tidegate.notifications.secrets import SecretError
from tidegate.notifications.sending import Answer
from tidegate.runtime.clock import ManualClock
from unit.controller.api_server import settled
from unit.notifications.post_office import PostOffice, certificate, open_post_office
from unit.notifications.receiver import Told, happened, release

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PASSWORD = "pa55w0rd"


def channel(port: int = 25, **more: Any) -> ChannelConfig:
    smtp = {
        "host": "127.0.0.1",
        "port": port,
        "tls": "None",
        "from": "tidegate@example.com",
        "to": ["ops@example.com", "b@example.org"],
    }
    top = {name: more.pop(name) for name in ("caFile", "timeout", "template") if name in more}
    return ChannelConfig.model_validate({"name": "mail", "type": "email", "timeout": "1s", "smtp": {**smtp, **more}, **top})


def message(text: str = "Rolling back v2: error rate 5.2%", number: int = 7) -> Message:
    return message_of(release(), happened(number, "breach-rolls-back", AT, warns=True, message=text), cluster="west")


async def deliver(config: ChannelConfig, one: Message | None = None) -> Answer:
    courier = courier_of(config)
    try:
        return await courier.deliver(one or message(), AT)
    finally:
        await courier.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mail")


@pytest.fixture(scope="module")
def context(folder: Path) -> SSLContext:
    return certificate(folder)


async def test_a_mail_says_what_has_happened() -> None:
    """Given a message, then its mail has the verdict first, the id of the transition, and is the same at each try."""
    async with open_post_office() as office:
        answer = await deliver(channel(office.port))

    ((mail, to, _),) = office.got
    assert Answer(delivered=True) == answer
    assert ["ops@example.com", "b@example.org"] == to
    assert "[critical] checkout (shop, west): Rolling back v2: error rate 5.2%" == mail["Subject"]
    assert ("<uid-checkout.7@example.com>", "<uid-checkout@example.com>") == (mail["Message-ID"], mail["References"])
    assert ("tidegate@example.com", "auto-generated") == (mail["From"], mail["Auto-Submitted"])
    body = mail.get_content()
    assert body.startswith("checkout (shop, west): Rolling back v2")
    assert "More: kubectl tidegate status checkout -n shop" in body
    assert bytes(mail_of(channel(), message())) == bytes(mail_of(channel(), message()))


async def test_a_text_with_lines_and_signs_is_one_subject() -> None:
    """Given line breaks, dots and letters of other scripts in a version, then they make no header and end no mail."""
    async with open_post_office() as office:
        await deliver(
            channel(office.port, template="{message}"), message("v2\r\nBcc: evil@example.com\r\n.\r\n\u00e4\u4e16 " + "x" * 900)
        )

    ((mail, _, _),) = office.got
    assert mail["Bcc"] is None
    assert str(mail["Subject"]).startswith("[critical] v2 Bcc: evil@example.com . \u00e4\u4e16 xxx")
    assert 200 >= len(str(mail["Subject"]))
    assert mail.get_content().startswith("v2 Bcc: evil@example.com . \u00e4\u4e16 xxx")


async def test_it_is_encrypted_and_logs_in(folder: Path, context: SSLContext, tmp_path: Path) -> None:
    """Given STARTTLS and a password in a file, then nothing is said before the server is verified."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    login = {"username": "tidegate", "passwordFile": str(tmp_path / "password"), "caFile": str(folder / "ca.crt")}
    async with open_post_office(context) as office:
        answer = await deliver(channel(office.port, host="localhost", tls="StartTLS", timeout="5s", **login))

    assert (Answer(delivered=True), [f"\0tidegate\0{PASSWORD}"], [True]) == (
        answer,
        office.logins,
        [one for _, _, one in office.got],
    )


async def test_it_is_encrypted_from_the_first_byte(folder: Path, context: SSLContext) -> None:
    """Given TLS, then there is no greeting in clear."""
    async with open_post_office(context, tls=True) as office:
        answer = await deliver(channel(office.port, host="localhost", tls="TLS", timeout="5s", caFile=str(folder / "ca.crt")))

    assert (Answer(delivered=True), 1) == (answer, len(office.got))


async def test_a_server_that_is_another_gets_nothing(context: SSLContext) -> None:
    """Given a certificate that nobody trusts, then neither login nor mail is sent."""
    async with open_post_office(context) as office:
        answer = await deliver(channel(office.port, host="localhost", tls="StartTLS", timeout="5s"))

    assert Answer(words="its certificate is not trusted: give caFile, or check smtp.host") == answer
    assert ([], []) == (office.got, office.logins)


async def test_without_starttls_nothing_is_sent_in_clear() -> None:
    """Given a server, or somebody between, that offers no STARTTLS, then it is not done without."""
    async with open_post_office() as office:
        answer = await deliver(channel(office.port, tls="StartTLS"))

    assert ("it has no STARTTLS, or no login: check smtp.port and smtp.tls", []) == (answer.words, office.got)


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"greeting": "554 go away"}, Answer(words="its greeting is SMTP 554")),
        (
            {"MAIL": "530 log in, ops@example.com"},
            Answer(words="the sender is refused (SMTP 530): check smtp.from, and whether it wants a login"),
        ),
        ({"RCPT": "550 nobody"}, Answer(final=True, words="all recipients are refused (SMTP 550): check smtp.to")),
        ({"RCPT": "450 later"}, Answer(words="all recipients are refused (SMTP 450): check smtp.to")),
        ({".": "554 spam"}, Answer(final=True, words="the mail is refused (SMTP 554)")),
        ({".": "451 later"}, Answer(words="the mail is refused (SMTP 451)")),
    ],
    ids=["greeting", "sender", "recipients", "greylist", "spam", "later"],
)
async def test_a_refusal_says_why(replies: dict[str, str], expected: Answer) -> None:
    """Given a refusal, then its code and a cure are told, and not what the server says."""
    async with open_post_office() as office:
        office.replies = replies
        answer = await deliver(channel(office.port))

    assert (expected, []) == (answer, office.got)


async def test_each_recipient_gets_it_once() -> None:
    """Given one recipient who is to be tried later, then the next try is for them alone."""
    async with open_post_office() as office:
        courier = Mail(channel(office.port))
        office.replies = {"RCPT TO:<b@": "450 later"}
        first = await courier.deliver(message(), AT)
        second = await courier.deliver(message(), AT)
        office.replies = {}
        third = await courier.deliver(message(), AT)

    assert [False, False, True] == [answer.delivered for answer in (first, second, third)]
    assert [["ops@example.com"], ["b@example.org"]] == [to for _, to, _ in office.got]
    assert 1 == len({mail["Message-ID"] for mail, _, _ in office.got})


@pytest.mark.parametrize("drips", ["EHLO", "EHLO ", "MAIL", "DATA"])
async def test_one_that_drips_is_left_in_time(drips: str) -> None:
    """Given a server that answers byte by byte, then the try ends, its thread too, and the next one can begin."""
    async with open_post_office() as office:
        office.drips = drips
        courier = Mail(channel(office.port, timeout="500ms"))
        answer = await courier.deliver(message(), AT)
        await settled(lambda: not any(thread.name == "mail of mail" for thread in threading.enumerate()))
        office.drips = ""
        again = await courier.deliver(message(), AT)

    assert (Answer(words="no answer within 500ms"), True) == (answer, again.delivered)


async def test_one_that_is_gone_is_told() -> None:
    """Given a port where nobody listens, then the system's word for it is told."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert Answer(words="no connection (Connection refused)") == await deliver(channel(port))


async def test_a_missing_password_is_named_by_its_field(tmp_path: Path) -> None:
    """Given a file that is not mounted, then its field is named."""
    login = {"username": "tidegate", "passwordFile": str(tmp_path / "absent")}

    with pytest.raises(SecretError, match=r"the file of smtp\.passwordFile cannot be read"):
        await deliver(channel(**login))


async def test_a_channel_sends_mail() -> None:
    """Given a channel of mail whose server is away for a while, then each mail comes once and in order."""
    async with open_post_office() as office:
        told = Told(ManualClock(), channel(office.port))
        office.replies = {"MAIL": "451 later"}
        told.channel.start()
        for number in (1, 2, 3):
            told.take(number)
        await settled(lambda: "failed" in told.outcomes)
        office.replies = {}
        told.clock.advance(2)
        await settled(lambda: told.channel.waiting() == 0)
        await told.channel.stop(within=0)

    assert [f"<uid-checkout.{number}@example.com>" for number in (1, 2, 3)] == [mail["Message-ID"] for mail, _, _ in office.got]


async def test_one_that_is_cancelled_ends_its_thread() -> None:
    """Given a process that ends while a mail is under way, then the connection is shut down, and the thread ends."""
    async with open_post_office() as office:
        office.drips = "MAIL"
        courier = Mail(channel(office.port, timeout="30s"))
        task = asyncio.create_task(courier.deliver(message(), AT))
        await settled(lambda: office.tries == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        await settled(lambda: not any(thread.name == "mail of mail" for thread in threading.enumerate()))

    assert isinstance(office, PostOffice)
    assert task.cancelled()


async def test_who_has_a_mail_is_known_after_many_that_were_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given more mails that a recipient never took than are remembered, then the next one comes to the others once as well."""
    monkeypatch.setattr("tidegate.notifications.mail.REMEMBERED", 2)
    async with open_post_office() as office:
        courier = Mail(channel(office.port))
        office.replies = {"RCPT TO:<b@": "452 mailbox full"}
        for number in (1, 2, 3):
            await courier.deliver(message(number=number), AT)
        office.replies = {}
        await courier.deliver(message(number=3), AT)

    assert [*[["ops@example.com"]] * 3, ["b@example.org"]] == [to for _, to, _ in office.got]


async def test_a_recipient_who_takes_nothing_is_in_nobodys_way() -> None:
    """Given a mailbox that is full for hours, then mails of many namespaces reach the other one at once, later ones in time."""
    async with open_post_office() as office:
        told = Told(ManualClock(), channel(office.port))
        office.replies = {"RCPT TO:<b@": "452 mailbox full"}
        told.channel.start()
        for place in range(FEW + 3):
            told.channel.take(release(f"r{place}", f"shop-{place}"), happened(1, "ended", told.clock.now()), again=False)
        await settled(lambda: len(office.got) == FEW + 3)
        told.channel.take(release("r0", "shop-0"), happened(2, "rolling-back", told.clock.now(), warns=True), again=False)
        told.clock.advance(FOR_SOME_SECONDS + 1)
        await settled(lambda: told.channel.waiting() == 0)
        await told.channel.stop(within=0)

    assert {("ops@example.com",)} == {tuple(to) for _, to, _ in office.got}
    assert (FEW + 4, [], "delivered") == (len(office.got), told.dropped, told.outcomes[-1])
