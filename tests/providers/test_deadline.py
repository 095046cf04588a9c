"""The deadline of a whole call: a provider that drips holds nobody up, and leaves nothing behind."""

import threading
import time

import pytest

from channels import deadline
from channels.deadline import ABANDONED_AFTER_SECONDS, ABANDONED_MAX, Deadline
from incentives.messages.port import Accepted, Outcome, Sender, TryLater, Unsure
from tests.letters import letter, sms
from tests.providers.conftest import TwilioStandIn, sendgrid_sender, twilio_sender
from tests.providers.stand_in import Answer, StandIn

DONE = Accepted("1")


def calls() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "provider-call"]


def assert_abandoned(sender: Sender, provider: str) -> None:
    started = time.monotonic()
    outcome = sender.send(sms() if sender.channel == "sms" else letter())
    assert outcome == Unsure(f"{provider} did not answer in time.")
    assert time.monotonic() - started < 0.5 + deadline.MARGIN_SECONDS + 1
    # The provider drips on, but the thread does not listen any more.
    for call in calls():
        call.join(2)
    assert calls() == []


@pytest.mark.parametrize("answer", [Answer(201, deed="drip"), Answer(400, deed="drip"), Answer(deed="drip-headers")])
def test_twilio_drips(twilio: TwilioStandIn, answer: Answer) -> None:
    sender = twilio_sender(twilio.url, 0.5)
    twilio.will(answer)
    assert_abandoned(sender, "Twilio")
    assert isinstance(sender.send(sms()), Accepted)


def test_sendgrid_drips(sendgrid: StandIn) -> None:
    sender = sendgrid_sender(sendgrid.url, 0.5)
    sendgrid.will(Answer(deed="drip-headers"))
    assert_abandoned(sender, "SendGrid")
    assert isinstance(sender.send(letter()), Accepted)


def test_no_more_calls_are_begun_than_may_hang() -> None:
    patient, released, begun = Deadline("Twilio", -0.4), threading.Event(), threading.Semaphore(0)

    def hang() -> Outcome:
        begun.release()
        released.wait(30)  # Not a byte comes, so nothing wakes the thread.
        return DONE

    try:
        outcomes = [patient.within(hang) for _ in range(ABANDONED_MAX + 1)]
        late = Unsure("Twilio did not answer in time.")
        full = TryLater("Twilio keeps earlier calls hanging.", ABANDONED_AFTER_SECONDS)
        assert outcomes == [late] * ABANDONED_MAX + [full]
        assert len(calls()) == ABANDONED_MAX
    finally:
        released.set()
    for call in calls():
        call.join(5)
    assert Deadline("Twilio", 5).within(hang) == DONE
    assert patient.within(lambda: DONE) == DONE


def test_what_a_call_raises_is_raised() -> None:
    def broken() -> Outcome:
        raise LookupError

    with pytest.raises(LookupError):
        Deadline("Twilio", 5).within(broken)
