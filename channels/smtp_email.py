"""Emails by any mail server that speaks SMTP: the one that carries them while the first provider is ill.

What may have been taken and what was not is told apart by the step that failed: nobody has an email before the end of
its text was sent, and whoever does not answer after that may have it.
"""

import re
import smtplib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from channels.deadline import Deadline
from channels.provider import MISCONFIGURED_AFTER_SECONDS, is_loopback, writing
from channels.rendered import one_line
from channels.rendering import render_email
from incentives.messages.port import (
    EITHER,
    PACE,
    PROVIDER,
    SETTINGS,
    THEIRS,
    Accepted,
    AnyLetter,
    Outcome,
    TryLater,
    Unsure,
    WillNeverWork,
)

_SUBMISSION_PORT, _TLS_PORT = 587, 465

_AWAY = "The mail server cannot be reached."
_SILENT = "The mail server broke off before it said whether it took the message."
_WRONG_SENDER = "The configuration is wrong: the mail server does not accept the sender's address."
_WRONG_RELAY = "The configuration is wrong: the mail server does not let us send by it."
_SENDER_OR_READER = "The mail server does not accept our sender's address, or not for this customer's."
_RELAY_OR_READER = "The mail server does not let us send to this customer's email address, or to anybody's."
_WRONG_LOGIN = "The configuration is wrong: the mail server does not accept the user or the password."
_NO_TLS = "The configuration is wrong: the mail server offers no encrypted line, or no good certificate."
_BAD_ADDRESS = "The mail server refuses the customer's email address."
_BAD_MESSAGE = "The mail server refuses the message."
_NO_ASCII = "Mail servers take no email address with such letters before the @ as the customer's has."
_FULL = "The customer's mailbox is full."
_BUSY = "The mail server does not take the message now."
_SLOWER = "The mail server asks us to send more slowly."

# https://www.rfc-editor.org/rfc/rfc3463: enhanced codes of refusals for now that mean that we send too much.
_TOO_MUCH = ("4.7.0", "4.7.28", "4.3.2", "4.4.5")
# And of refusals for good: what is wrong with the address itself, with the sender's, and what says nothing of it.
_BAD_ADDRESSES = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10")
_BAD_SENDERS = ("5.1.7", "5.1.8")
_FULL_MAILBOX = ("4.2.2", "5.2.2")
# By far the most often it is we who may not: the relay, the login, a list that our machine stands on. But it may be a
# list that writes to members only, too. Of a text that was sent these two say that a filter did not like it.
_POLICY, _FILTERED = "5.7.", ("5.7.0", "5.7.1")
_NOT_US = (530, 535)
_REFUSED_AS_A_WHOLE = 554
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?!\.?[0-9])")
_LEADING_DOT = re.compile(rb"(?m)^\.")
_REFUSED, _FINAL, _TAKEN = 400, 500, 250


class SmtpSender:
    """Sends one email for one letter through a mail server, over a line of its own. Safe to use from many threads."""

    channel = "email"
    provider = "smtp"

    def __init__(self, *, url: str, email_from: str, email_from_name: str, timeout_seconds: float) -> None:
        """Keep the settings; nothing is sent yet.

        ``url`` is ``smtp://user:password@host:port``, which becomes encrypted before anything is said, or ``smtps://…``,
        which is from the first byte. Only on this very machine may a line stay in the clear. Raises ``ValueError`` for
        anything else.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/"):
            message = "a mail server's address must be smtp://host:port or smtps://host:port"
            raise ValueError(message)
        self._host, self._encrypted = parts.hostname, parts.scheme == "smtps"
        self._port = parts.port or (_TLS_PORT if self._encrypted else _SUBMISSION_PORT)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._from, self._from_name = _in_ascii(email_from) or email_from, email_from_name
        self._timeout_seconds = float(timeout_seconds)
        self._deadline = Deadline("The mail server", self._timeout_seconds)

    def send(self, letter: AnyLetter) -> Outcome:
        """Render and send; only a 250 after the text's end counts as accepted."""
        with writing():
            to = _in_ascii(letter.to)
            if to is None:
                return WillNeverWork(_NO_ASCII)
            message = self._message(letter, to)
        return self._deadline.within(lambda: self._carry(to, message))

    def _message(self, letter: AnyLetter, to: str) -> EmailMessage:
        email = render_email(letter)
        message = EmailMessage()
        message["From"] = Address(one_line(self._from_name or letter.brand), addr_spec=self._from)
        message["To"] = Address(addr_spec=to)
        message["Subject"] = email.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        # The same for each copy of one message, so that a mailbox which looks at it shows one.
        message["Message-ID"] = f"<{letter.message_id}@{self._from.partition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(email.text)
        message.add_alternative(email.html, subtype="html")
        return message

    def _carry(self, to: str, message: EmailMessage) -> Outcome:
        try:
            server = self._connected()
        except (ssl.SSLError, smtplib.SMTPNotSupportedError):
            return _wrong(_NO_TLS)
        except smtplib.SMTPAuthenticationError as refusal:
            return _wrong(_WRONG_LOGIN) if refusal.smtp_code >= _FINAL else TryLater(_BUSY, None)
        except UnicodeError:  # a user or a password that no line can carry
            return _wrong(_WRONG_LOGIN)
        except (OSError, smtplib.SMTPException):
            return TryLater(_AWAY, None)
        try:
            return self._hand_over(server, to, message)
        finally:
            server.close()  # no farewell: nobody waits for its answer

    def _connected(self) -> smtplib.SMTP:
        """Return a line that is encrypted, unless it does not leave this machine, and signed in if there is a user."""
        context = ssl.create_default_context()
        if self._encrypted:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout_seconds, context=context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_seconds)
        try:
            server.ehlo()
            if not self._encrypted and not is_loopback(self._host):
                server.starttls(context=context)
                server.ehlo()
            if self._user:
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server

    def _hand_over(self, server: smtplib.SMTP, to: str, message: EmailMessage) -> Outcome:
        steps: tuple[tuple[Callable[[], tuple[int, bytes]], str], ...] = (
            (lambda: server.mail(self._from), "sender"),
            (lambda: server.rcpt(to), "address"),
            (lambda: server.docmd("data"), "message"),
        )
        try:
            for step, about in steps:
                code, said = step()
                if code >= _REFUSED:
                    return _refused(code, said, about)
        except UnicodeError:  # the customer's address is in ASCII by now
            return _wrong(_WRONG_SENDER)
        except (OSError, smtplib.SMTPException):
            return TryLater(_AWAY, None)
        return _text(server, message)


def _in_ascii(address: str) -> str | None:
    """Return an address as every mail server takes it, its host in the alphabet of names on the net.

    None where what stands before the @ is not in ASCII: there is no other way to write that.
    """
    if address.isascii():
        return address
    from email_validator import EmailNotValidError, validate_email  # a moment that only such addresses should cost

    try:
        return validate_email(address, check_deliverability=False, test_environment=True).ascii_email
    except EmailNotValidError:
        return None


def _text(server: smtplib.SMTP, message: EmailMessage) -> Outcome:
    """Send the text: from its end on, whoever does not answer may have it."""
    text = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
    try:
        server.send(_LEADING_DOT.sub(b"..", text) + b"\r\n.\r\n")
        code, said = server.getreply()
    except (OSError, smtplib.SMTPException):
        return Unsure(_SILENT)
    return Accepted(None) if code == _TAKEN else _refused(code, said, "message")


def _refused(code: int, said: bytes | str, about: str) -> Outcome:
    """Return what a refusal means: by its codes, and by the step that it answers. Its words quote, and are not kept."""
    text = said.decode("ascii", "replace") if isinstance(said, bytes) else said
    found = _ENHANCED.match(text)
    enhanced = found[0] if found else ""
    if about == "address" and enhanced in _FULL_MAILBOX:
        return TryLater(_FULL, None, THEIRS)
    if code >= _FINAL:
        return _refused_for_good(code, enhanced, about)
    slower = enhanced in _TOO_MUCH
    return TryLater(_SLOWER if slower else _BUSY, None, PACE if slower else PROVIDER)


def _refused_for_good(code: int, enhanced: str, about: str) -> Outcome:
    """Return what a refusal for good means: nothing is held against an address that it does not clearly name.

    Once the address was said, most of what refuses us may be said of that address alone.
    """
    if about == "sender":
        return _wrong(_WRONG_SENDER)
    if code in _NOT_US:
        return _wrong(_WRONG_RELAY)
    if enhanced in _BAD_SENDERS:
        return TryLater(_SENDER_OR_READER, None, EITHER)
    as_a_whole = about == "address" and code == _REFUSED_AS_A_WHOLE and not enhanced
    filtered = about == "message" and enhanced in _FILTERED
    if (enhanced.startswith(_POLICY) and not filtered) or as_a_whole:
        return TryLater(_RELAY_OR_READER, None, EITHER)
    if about == "message":
        return WillNeverWork(_BAD_MESSAGE)
    return WillNeverWork(_BAD_ADDRESS, "invalid" if enhanced in _BAD_ADDRESSES else None)


def _wrong(reason: str) -> TryLater:
    return TryLater(reason, MISCONFIGURED_AFTER_SECONDS, SETTINGS)
