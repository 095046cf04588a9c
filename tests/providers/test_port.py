"""The port of messages: whatever carries a letter, real or not, keeps the same promises."""

from collections.abc import Callable

import pytest

from channels.capture import CaptureSender
from channels.smtp_email import SmtpSender
from incentives.messages.port import (
    Accepted,
    Captured,
    Letter,
    NotWritten,
    Outcome,
    Sender,
    TryLater,
    Unsure,
    WillNeverWork,
)
from tests.letters import CODE, KINDS, TOKEN, letter_of_kind
from tests.providers.conftest import sendgrid_sender, twilio_sender
from tests.providers.stand_in import Answer, StandIn

MakeSender = Callable[[], Sender]


@pytest.fixture(params=["sendgrid", "twilio", "capture-email", "capture-sms"])
def make_sender(request: pytest.FixtureRequest) -> MakeSender:
    """A function that makes each sender in turn."""
    name = str(request.param)
    if name.startswith("capture"):
        return lambda: CaptureSender(name.removeprefix("capture-"))
    stand_in: StandIn = request.getfixturevalue(name)
    if name == "sendgrid":
        return lambda: sendgrid_sender(stand_in.url)
    return lambda: twilio_sender(stand_in.url)


def letter_for(sender: Sender, kind: str = "amount_off", locale: str = "en") -> Letter:
    to = "ana.ruiz@customer.example" if sender.channel == "email" else "+15005550006"
    return letter_of_kind(kind, channel=sender.channel, to=to, locale=locale)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("locale", ["en", "es-MX", "fr"])
def test_every_kind_of_letter_goes_out_in_every_language(make_sender: MakeSender, kind: str, locale: str) -> None:
    sender = make_sender()
    assert isinstance(sender.send(letter_for(sender, kind, locale)), Accepted | Captured)


def test_a_sender_says_what_it_is(make_sender: MakeSender) -> None:
    sender = make_sender()
    assert sender.channel in ("email", "sms")
    assert 0 < len(sender.provider) <= 20


def test_a_reason_fits_where_it_is_stored() -> None:
    outcomes: list[Outcome] = []
    for status in [*range(200, 600, 7), 301, 401, 413, 429, 503]:
        with StandIn(Answer(status)).serving() as stand_in:
            for make in (sendgrid_sender, twilio_sender):
                sender: Sender = make(stand_in.url)
                outcomes.append(sender.send(letter_for(sender)))
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, TryLater | Unsure | WillNeverWork)]
    assert len(reasons) >= len(outcomes) - 1
    assert all(0 < len(reason) <= 300 and reason.endswith((".", ")")) for reason in reasons)


def smtp_sender(url: str) -> Sender:
    return SmtpSender(
        url=url.replace("http://", "smtp://"), email_from="a@b.example", email_from_name="", timeout_seconds=2
    )


@pytest.mark.parametrize(
    ("module", "writes", "make"),
    [
        ("sendgrid_email", "render_email", sendgrid_sender),
        ("twilio_sms", "render_sms", twilio_sender),
        ("smtp_email", "render_email", smtp_sender),
    ],
)
def test_a_bug_before_anybody_was_asked_is_told_from_one_afterwards(
    module: str, writes: str, make: Callable[[str], Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends while it is written is sent again for a day; what ends later may have been taken, and is not."""
    monkeypatch.setattr(f"channels.{module}.{writes}", lambda _letter: 1 / 0)
    with StandIn(Answer(500)).serving() as stand_in:
        sender = make(stand_in.url)
        with pytest.raises(NotWritten) as caught:
            sender.send(letter_for(sender))
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert stand_in.asked == []


@pytest.mark.parametrize(
    ("reads", "make"),
    [
        ("channels.sendgrid_email.outcome_of", sendgrid_sender),
        ("channels.twilio_sms.provider_message_id", twilio_sender),
    ],
)
def test_a_bug_over_the_answer_is_none_of_writing(
    reads: str, make: Callable[[str], Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, lambda *_: 1 / 0)
    with StandIn(Answer(202 if make is sendgrid_sender else 201, body=b'{"sid": "SM1"}')).serving() as stand_in:
        sender = make(stand_in.url)
        with pytest.raises(ZeroDivisionError):
            sender.send(letter_for(sender))
        assert len(stand_in.asked) == 1


def test_a_letter_does_not_tell_its_secrets_when_it_is_printed() -> None:
    shown = repr(letter_of_kind("amount_off"))
    assert "019ad000" in shown
    for secret in (CODE, TOKEN, "ana.ruiz", "Ana"):
        assert secret not in shown
