"""Emails by a mail server: what is said to it, and what each of its answers means for the message."""

import time

import idna
import pytest

from channels.provider import MISCONFIGURED_AFTER_SECONDS
from channels.smtp_email import SmtpSender
from incentives.messages.port import (
    EITHER,
    PACE,
    SETTINGS,
    THEIRS,
    Accepted,
    Outcome,
    TryLater,
    Unsure,
    WillNeverWork,
)
from tests.letters import CODE, HOST, TOKEN, letter
from tests.providers.mail_server import MailServer

LETTER = letter(to="ana.ruiz@customer.example")
USER, PASSWORD = "carrier", "a-password-that-nobody-may-see"

NOT_BY_IT = "the mail server does not let us send by it."
PERHAPS_NOT_BY_IT = TryLater(
    "The mail server does not let us send to this customer's email address, or to anybody's.", None, EITHER
)
PERHAPS_NOT_FROM_US = TryLater(
    "The mail server does not accept our sender's address, or not for this customer's.", None, EITHER
)
BAD_ADDRESS = "The mail server refuses the customer's email address."


def sender(url: str, timeout_seconds: float = 5.0) -> SmtpSender:
    return SmtpSender(
        url=url, email_from="care@brand.example", email_from_name="Brand", timeout_seconds=timeout_seconds
    )


def sent(server: MailServer) -> Outcome:
    with server.serving():
        return sender(server.url).send(LETTER)


def wrong(reason: str) -> TryLater:
    return TryLater(f"The configuration is wrong: {reason}", MISCONFIGURED_AFTER_SECONDS, SETTINGS)


def test_the_email_is_whole() -> None:
    server = MailServer()
    assert sent(server) == Accepted(None)
    (email,) = server.taken
    assert (email["From"], email["To"]) == ("Brand <care@brand.example>", "ana.ruiz@customer.example")
    assert email["Message-ID"] == f"<{LETTER.message_id}@brand.example>"
    assert email["Auto-Submitted"] == "auto-generated"
    text, html = email.get_body(("plain",)), email.get_body(("html",))
    assert text is not None
    assert html is not None
    for part in (text, html):
        assert CODE in part.get_content()
        assert TOKEN in part.get_content()


@pytest.mark.parametrize(
    ("step", "said", "outcome"),
    [
        ("MAIL", "550 5.7.1 No.", wrong("the mail server does not accept the sender's address.")),
        ("MAIL", "451 4.3.0 Later.", TryLater("The mail server does not take the message now.", None)),
        ("MAIL", "421 4.7.0 Too many.", TryLater("The mail server asks us to send more slowly.", None, PACE)),
        ("RCPT", "550 5.1.1 ana.ruiz", WillNeverWork(BAD_ADDRESS, "invalid")),
        ("RCPT", "550 5.1.1.", WillNeverWork(BAD_ADDRESS, "invalid")),
        ("RCPT", "550 5.1.10 ana.ruiz", WillNeverWork(BAD_ADDRESS, "invalid")),
        ("RCPT", "550 5.1.1.9 Odd.", WillNeverWork(BAD_ADDRESS)),
        ("RCPT", "550 5.1.0 ana.ruiz", WillNeverWork(BAD_ADDRESS)),
        ("RCPT", "550 No such user", WillNeverWork(BAD_ADDRESS)),
        ("RCPT", "553 5.1.8 No such domain.", PERHAPS_NOT_FROM_US),
        ("RCPT", "550 5.7.133 A group that hears its members only", PERHAPS_NOT_BY_IT),
        ("RCPT", "554 5.7.1 Relay access denied", PERHAPS_NOT_BY_IT),
        ("RCPT", "550 5.7.606 Access denied, banned IP", PERHAPS_NOT_BY_IT),
        ("RCPT", "554 Client host blocked", PERHAPS_NOT_BY_IT),
        ("RCPT", "530 Authentication required", wrong(NOT_BY_IT)),
        ("RCPT", "535 No.", wrong(NOT_BY_IT)),
        ("RCPT", "552 5.2.2 Full.", TryLater("The customer's mailbox is full.", None, THEIRS)),
        ("RCPT", "452 4.2.2 Full.", TryLater("The customer's mailbox is full.", None, THEIRS)),
        ("RCPT", "450 4.2.1 Later.", TryLater("The mail server does not take the message now.", None)),
        ("DATA", "554 5.7.1 No.", WillNeverWork("The mail server refuses the message.")),
        ("TEXT", "550 5.7.60 You may not send as this address.", PERHAPS_NOT_BY_IT),
        ("TEXT", "554 Transaction failed", WillNeverWork("The mail server refuses the message.")),
        ("TEXT", "554 5.6.0 No.", WillNeverWork("The mail server refuses the message.")),
        ("TEXT", "451 4.3.0 Later.", TryLater("The mail server does not take the message now.", None)),
    ],
)  # fmt: skip
def test_each_answer_has_its_meaning(step: str, said: str, outcome: Outcome) -> None:
    server = MailServer(says={step: said})
    assert sent(server) == outcome
    assert server.taken == []


@pytest.mark.parametrize("host", ["exämple.com", "straße.example", "例え.jp"])
def test_a_host_of_other_letters_is_written_as_names_on_the_net_are(host: str) -> None:
    server = MailServer()
    with server.serving():
        assert sender(server.url).send(letter(to=f"ana.ruiz@{host}")) == Accepted(None)
    (email,) = server.taken
    assert email["To"] == f"ana.ruiz@{idna.encode(host).decode()}"


def test_what_no_mail_server_takes_is_for_a_person() -> None:
    server = MailServer()
    with server.serving():
        outcome = sender(server.url).send(letter(to="änä@example.com"))
    assert outcome == WillNeverWork(
        "Mail servers take no email address with such letters before the @ as the customer's has."
    )
    assert server.asked == 0


def test_a_senders_address_that_no_line_can_carry_is_told_as_a_wrong_configuration() -> None:
    with MailServer().serving() as server:
        ours = SmtpSender(url=server.url, email_from="care@ä_b.example", email_from_name="", timeout_seconds=5)
        assert ours.send(LETTER) == wrong("the mail server does not accept the sender's address.")


def test_a_password_that_no_line_can_carry_is_told_as_a_wrong_configuration() -> None:
    with MailServer(offers=("AUTH PLAIN",)).serving() as server:
        outcome = sender(f"smtp://{USER}:%C3%A4@127.0.0.1:{server.port}").send(LETTER)
    assert outcome == wrong("the mail server does not accept the user or the password.")


@pytest.mark.parametrize("step", ["HELO", "MAIL", "RCPT", "DATA"])
def test_before_the_text_nobody_has_it(step: str) -> None:
    assert sent(MailServer(breaks=step)) == TryLater("The mail server cannot be reached.", None)


@pytest.mark.parametrize("takes_first", [False, True])
def test_after_the_text_somebody_may_have_it(takes_first: bool) -> None:
    server = MailServer(breaks="TEXT", takes_first=takes_first)
    assert sent(server) == Unsure("The mail server broke off before it said whether it took the message.")
    assert len(server.taken) == takes_first


def test_nobody_listening_is_tried_later() -> None:
    with MailServer().serving() as gone:
        url = gone.url
    assert sender(url).send(LETTER) == TryLater("The mail server cannot be reached.", None)


def test_a_wrong_password_is_told_as_a_wrong_configuration() -> None:
    server = MailServer(says={"AUTH": f"535 5.7.8 {PASSWORD}"}, offers=("AUTH PLAIN",))
    with server.serving():
        outcome = sender(f"smtp://{USER}:{PASSWORD}@127.0.0.1:{server.port}").send(LETTER)
    assert outcome == wrong("the mail server does not accept the user or the password.")


def test_a_line_that_cannot_be_encrypted_carries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels.smtp_email.is_loopback", lambda _host: False)
    server = MailServer()
    assert sent(server) == wrong("the mail server offers no encrypted line, or no good certificate.")
    assert (server.asked, server.taken) == (0, [])


def test_a_server_that_says_nothing_ends_at_the_time_out() -> None:
    started = time.monotonic()
    with MailServer(hangs="MAIL").serving() as server:
        outcome = sender(server.url, 0.5).send(LETTER)
    assert outcome == TryLater("The mail server cannot be reached.", None)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("url", ["https://mail.example", "smtp://", "smtp://mail.example/inbox"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="mail server"):
        sender(url)


def test_a_name_with_a_line_in_it_makes_no_header() -> None:
    with MailServer().serving() as server:
        strange = SmtpSender(
            url=server.url, email_from="care@brand.example", email_from_name="Br\r\nBcc: x@y.z", timeout_seconds=5
        )
        assert strange.send(LETTER) == Accepted(None)
    (email,) = server.taken
    assert email["Bcc"] is None
    assert email["From"].addresses[0].addr_spec == "care@brand.example"


def test_no_reason_tells_who_or_what() -> None:
    steps = ("MAIL", "RCPT", "DATA", "TEXT")
    secrets = (CODE, TOKEN, "ana.ruiz", HOST, PASSWORD)
    for step in steps:
        for code in (421, 450, 550, 554):
            outcome = sent(MailServer(says={step: f"{code} ana.ruiz@customer.example {CODE}"}))
            assert isinstance(outcome, TryLater | WillNeverWork)
            assert not any(secret in outcome.reason for secret in secrets)
