"""Mail, by the standard library's client in a thread of the channel's own, which is ended by shutting its connection down.

It is imported only where a channel sends mail. A look-up of names that hangs, or a server that drips, holds that one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import structlog

from tidegate.api.base import clip, format_duration, format_time
from tidegate.notifications.chat import sentence
from tidegate.notifications.config import ChannelConfig, SmtpConfig, Tls
from tidegate.notifications.message import Message
from tidegate.notifications.secrets import SecretError, one_line
from tidegate.notifications.sending import Answer, system_words, trusting

log = structlog.get_logger(__name__)

LONGEST_SUBJECT = 200
REMEMBERED = 10_000
"""Messages of which it is known who has them, while some recipient does not."""


def mail_of(channel: ChannelConfig, message: Message) -> EmailMessage:
    """Return a mail, the same at each try: those of one Release are a thread, and `Message-ID` is that of the transition."""
    assert channel.smtp is not None
    smtp, said = channel.smtp, sentence(channel, message)
    domain = smtp.sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = smtp.sender, ", ".join(smtp.recipients)
    mail["Subject"] = clip(f"[{message.severity.value}] {said}", LONGEST_SUBJECT)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    mail["References"] = f"<{message.uid}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    facts = [
        ("Release", message.where),
        ("Environment", message.environment),
        ("Version", message.version),
        ("Severity", message.severity.value),
        ("Time", format_time(message.at)),
        ("More", message.more),
        ("Id", f"{message.event} {message.id}"),
    ]
    mail.set_content("\n".join([said, "", *(f"{name}: {value}" for name, value in facts if value)]) + "\n", cte="quoted-printable")
    return mail


class Mail:
    """Delivers mail, one at a time.

    Args:
        channel: the channel.
    """

    def __init__(self, channel: ChannelConfig) -> None:
        assert channel.smtp is not None
        self._channel, self._smtp = channel, channel.smtp
        self._turn = asyncio.Lock()
        self._last: _Attempt | None = None
        self._left: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    async def deliver(self, message: Message, now: datetime) -> Answer:  # noqa: ARG002 - the mail has the transition's own time
        """Make one try."""
        async with self._turn:
            if self._last is not None and self._last.busy:
                self._last.abort()
                return Answer(words="the try before still waits for the network")
            recipients = self._left.get(message.id, self._smtp.recipients)
            attempt = self._last = _Attempt(self._channel, mail_of(self._channel, message), recipients)
            attempt.start()
            try:
                async with asyncio.timeout(self._channel.timeout.total_seconds()):
                    answer = await attempt.ended
            except TimeoutError:
                return Answer(words=f"no answer within {format_duration(self._channel.timeout)}")
            finally:
                attempt.abort()
            self._note(message.id, () if answer.delivered or answer.final else attempt.left)
            return answer

    async def close(self) -> None:
        """Nothing is kept open: a try that is cancelled ends its connection."""

    def _note(self, id_: str, left: tuple[str, ...]) -> None:
        """Note who has not got a mail yet, so that the others get it once."""
        self._left.pop(id_, None)
        if left and left != self._smtp.recipients:
            self._left[id_] = left
            if len(self._left) > REMEMBERED:
                # It was tried longest ago: one that is given up is never heard of again.
                self._left.popitem(last=False)


class _Attempt(threading.Thread):
    """One try, in a thread.

    Attributes:
        ended: what has become of it.
        left: recipients who have not got it.
        busy: it has not ended, although nobody may wait for it any more.
    """

    def __init__(self, channel: ChannelConfig, mail: EmailMessage, recipients: tuple[str, ...]) -> None:
        super().__init__(name=f"mail of {channel.name}", daemon=True)
        assert channel.smtp is not None
        self._channel, self._smtp, self._mail, self._recipients = channel, channel.smtp, mail, recipients
        # Read here: whether a file can be used is told to the loop.
        self._login = _login_of(channel.smtp)
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Answer] = self._loop.create_future()
        self.left = recipients
        self._client: smtplib.SMTP | None = None
        self._aborted = False
        self.busy = True

    def abort(self) -> None:
        """End the connection, whatever it waits for; one that has ended stays as it is."""
        self._aborted = True
        connection = self._client.sock if self._client is not None else None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Make it, in the thread."""
        try:
            answer = self._send()
        except Exception as error:  # noqa: BLE001 - whatever the library raises for what a server says
            answer = self._of_others(error) or _words_of(error)
        self.busy = False
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, answer)

    def _of_others(self, error: Exception) -> Answer | None:
        """Return what has become of a try for those who are left, who were all refused; None where it was none."""
        if not isinstance(error, smtplib.SMTPRecipientsRefused) or self._recipients == self._smtp.recipients:
            return None
        return self._answer(error.recipients)

    def _answer(self, refused: Mapping[str, tuple[int, bytes]]) -> Answer:
        """Return what has become of a mail that others than these have."""
        self.left = tuple(one for one, (code, _) in refused.items() if code < 500)
        if gone := [one for one in refused if one not in self.left]:
            log.warning("recipients of a mail were refused", channel=self._channel.name, count=len(gone))
        if not self.left:
            return Answer(delivered=True)
        return Answer(partly=True, words=f"{len(self.left)} of its recipients are to be tried again")

    def _end(self, answer: Answer) -> None:
        if not self.ended.done():
            self.ended.set_result(answer)

    def _send(self) -> Answer:
        smtp, seconds = self._smtp, self._channel.timeout.total_seconds()
        context = trusting(self._channel.ca_file) if smtp.tls is not Tls.NONE else None
        # A name of one's own that is looked up would be one more wait for the network.
        name = socket.gethostname()
        if smtp.tls is Tls.TLS:
            client: smtplib.SMTP = smtplib.SMTP_SSL(local_hostname=name, timeout=seconds, context=context)
        else:
            client = smtplib.SMTP(local_hostname=name, timeout=seconds)
        self._client = client
        try:
            # The library takes the name to verify from here, and not from what it connects to.
            client._host = smtp.host  # type: ignore[attr-defined]  # noqa: SLF001
            code, _ = client.connect(smtp.host, smtp.port)
            if self._aborted:
                return Answer(words="it was given up")
            if code != 220:
                return Answer(words=f"its greeting is SMTP {code}")
            if smtp.tls is Tls.START_TLS:
                client.starttls(context=context)
            if self._login is not None:
                client.login(*self._login)
            refused = client.send_message(self._mail, from_addr=smtp.sender, to_addrs=self._recipients)
            # Its answer is not waited for: the mail is delivered.
            with contextlib.suppress(OSError):
                client.putcmd("quit")
        finally:
            client.close()
        return self._answer(refused)


def _login_of(smtp: SmtpConfig) -> tuple[str, str] | None:
    if smtp.password_file is None:
        return None
    user = one_line(smtp.username_file, "smtp.usernameFile") if smtp.username_file is not None else smtp.username or ""
    return user, one_line(smtp.password_file, "smtp.passwordFile")


def _words_of(error: Exception) -> Answer:
    """Return what has become of a try that failed, without what the server says: it quotes what it was sent."""
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            codes = {code for code, _ in refused.values()}
            words = f"all recipients are refused (SMTP {', '.join(map(str, sorted(codes)))}): check smtp.to"
            return Answer(final=min(codes, default=0) >= 500, words=words)
        case smtplib.SMTPDataError(smtp_code=code):
            return Answer(final=code >= 500, words=f"the mail is refused (SMTP {code})")
        case smtplib.SMTPSenderRefused(smtp_code=code):
            return Answer(words=f"the sender is refused (SMTP {code}): check smtp.from, and whether it wants a login")
        case smtplib.SMTPAuthenticationError(smtp_code=code):
            return Answer(words=f"the login is refused (SMTP {code}): check smtp.username and the file of smtp.passwordFile")
        case smtplib.SMTPNotSupportedError():
            return Answer(words="it has no STARTTLS, or no login: check smtp.port and smtp.tls")
        case smtplib.SMTPServerDisconnected():
            return Answer(words="it closed the connection without an answer")
        case smtplib.SMTPResponseException(smtp_code=code):
            return Answer(words=f"it answers SMTP {code}")
        case OSError():
            return Answer(words=_network(error))
        case SecretError():
            return Answer(words=str(error))
    return Answer(words=f"it could not be sent ({type(error).__name__})")


def _network(error: OSError) -> str:
    """Say why there is no connection."""
    match error:
        case ssl.SSLCertVerificationError():
            return "its certificate is not trusted: give caFile, or check smtp.host"
        case ssl.SSLError():
            return "no TLS connection: check smtp.port and smtp.tls"
        case TimeoutError():
            return "no answer in time"
        case socket.gaierror():
            return "the name of its host is not known: check smtp.host, and the network's name server"
    return f"no connection ({system_words(error)})"
