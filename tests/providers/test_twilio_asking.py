"""Asking Twilio: whether it took a letter that we are unsure of, and what became of a message nobody told us about."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from channels.rendering import render_sms
from channels.twilio_sms import TwilioSender
from incentives.messages.port import Informant, StatusReport
from tests.letters import CODE, sms
from tests.providers.conftest import ACCOUNT_SID, AUTH_TOKEN, sendgrid_sender, twilio_sender
from tests.providers.stand_in import Answer, StandIn

LETTER = sms()
TEXT = render_sms(LETTER).text
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SID = f"SM{7:032x}"


def message(body: str, *, sid: str = SID, made_at: datetime = NOW, **more: object) -> dict[str, object]:
    made = format_datetime(made_at)
    return {"sid": sid, "body": body, "to": LETTER.to, "date_created": made, "status": "delivered", **more}


def answer(content: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


def page(*messages: Mapping[str, object]) -> Answer:
    return answer({"messages": list(messages), "next_page_uri": None, "uri": "/x", "page": 0, "page_size": 50})


def looked_for(twilio: StandIn, said: Answer) -> list[str] | None:
    twilio.will(said)
    return twilio_sender(twilio.url).look_for(LETTER, NOW)


def asked(twilio: StandIn, said: Answer) -> StatusReport | None:
    twilio.will(said)
    return twilio_sender(twilio.url).ask(SID, NOW)


def test_twilio_can_be_asked_and_sendgrid_cannot() -> None:
    assert isinstance(twilio_sender("http://127.0.0.1:1"), Informant)
    assert not isinstance(sendgrid_sender("http://127.0.0.1:1"), Informant)


def test_a_letter_that_was_taken_is_found_by_what_it_says(twilio: StandIn) -> None:
    other = message("Another text", sid=f"SM{8:032x}")
    assert looked_for(twilio, page(other, message(TEXT))) == [SID]
    (request,) = twilio.asked
    assert request.method == "GET"
    assert request.path.startswith(f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?")
    assert "To=%2B15005550006" in request.path
    assert CODE not in request.path


def test_what_says_the_same_is_told_of_the_latest_first(twilio: StandIn) -> None:
    copy = f"SM{9:032x}"
    assert looked_for(twilio, page(message(TEXT, sid=copy), message(TEXT))) == [copy, SID]


def test_a_link_is_as_good_as_the_text(twilio: StandIn) -> None:
    assert LETTER.url
    assert looked_for(twilio, page(message(f"Rewritten by Twilio: {LETTER.url}"))) == [SID]


def test_what_is_not_there_was_never_taken(twilio: StandIn) -> None:
    assert looked_for(twilio, page(message("Another text"))) == []
    assert looked_for(twilio, page()) == []


def test_what_was_there_before_is_another_copy(twilio: StandIn) -> None:
    assert looked_for(twilio, page(message(TEXT, made_at=NOW - timedelta(hours=1)))) == []


@pytest.mark.parametrize(
    "said",
    [
        Answer(503),
        Answer(401),
        Answer(deed="reset"),
        Answer(200, {"Content-Type": "text/html"}, b"<h1>Welcome to the lounge</h1>"),
        Answer(201, {}, b"{}"),
        Answer(302, {"Location": "http://127.0.0.1:1/"}),
    ],
)
def test_where_twilio_does_not_say_nothing_is_known(twilio: StandIn, said: Answer) -> None:
    assert looked_for(twilio, said) is None
    assert asked(twilio, said) is None


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"messages": None},
        {"messages": {}},
        {"messages": "x"},
        {"messages": [1]},
        {"messages": [None]},
        {"items": []},
        {"meta": {"key": "messages"}},
        {"messages": [], "next_page_uri": 7},
        {"messages": [message(TEXT) | {"body": 5}]},
        {"messages": [message(TEXT) | {"date_created": 5}]},
        {"messages": [message(TEXT) | {"date_created": "32 Nov 2026 99:00:00"}]},
        {"messages": [message(TEXT) | {"sid": None}]},
    ],
)
def test_of_an_odd_answer_nothing_is_known_and_nothing_is_raised(twilio: StandIn, content: Mapping[str, Any]) -> None:
    assert looked_for(twilio, answer(content)) is None


@pytest.mark.parametrize("body", ["", None])
def test_a_text_that_was_blacked_out_may_be_the_letters(twilio: StandIn, body: str | None) -> None:
    blank = message("") | {"body": body}
    assert looked_for(twilio, page(blank, message("Another text", sid=f"SM{8:032x}"))) is None
    assert looked_for(twilio, page(blank, message(TEXT, sid=f"SM{9:032x}"))) == [f"SM{9:032x}"]
    long_ago = blank | {"date_created": format_datetime(NOW - timedelta(hours=1))}
    assert looked_for(twilio, page(long_ago)) == []


@pytest.mark.parametrize("odd", [{"to": 5}, {"date_created": 5}, {"date_updated": 5}, {"status": {}}, {"status": None}])
def test_of_an_odd_message_nothing_is_known_and_nothing_is_raised(twilio: StandIn, odd: dict[str, Any]) -> None:
    assert asked(twilio, answer(message(TEXT) | odd)) is None


@pytest.mark.parametrize("of", ["date_updated", "date_sent", "date_created"])
def test_what_became_of_a_message_is_as_old_as_twilio_says(twilio: StandIn, of: str) -> None:
    dates = dict.fromkeys(("date_created", "date_sent", "date_updated"))
    before = NOW - timedelta(hours=5)
    report = asked(twilio, answer(message(TEXT) | dates | {of: format_datetime(before)}))
    assert report is not None
    assert report.occurred_at == before


@pytest.mark.parametrize("at", [None, "yesterday", format_datetime(NOW + timedelta(hours=1))])
def test_what_became_of_a_message_is_never_of_later_than_now(twilio: StandIn, at: str | None) -> None:
    dates = dict.fromkeys(("date_created", "date_sent"))
    report = asked(twilio, answer(message(TEXT) | dates | {"date_updated": at}))
    assert report is not None
    assert report.occurred_at == NOW


@pytest.mark.parametrize(
    ("status", "code", "means", "suppresses"),
    [
        ("delivered", None, "delivered", None),
        ("undelivered", 30005, "bounced", "invalid"),
        ("failed", 30008, "failed", None),
        ("sent", None, "sent", None),
        ("read", None, "opened", None),
    ],
)
def test_what_became_of_a_message_is_told_as_a_callback_would(
    twilio: StandIn, status: str, code: int | None, means: str, suppresses: str | None
) -> None:
    report = asked(twilio, answer(message(TEXT, status=status, error_code=code)))
    assert report is not None
    assert (report.means, report.suppresses, report.provider_message_id) == (means, suppresses, SID)
    assert report.event_key == f"{SID}:{status}"
    (request,) = twilio.asked
    assert (request.method, request.path) == ("GET", f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{SID}.json")


def test_a_second_account_answers_for_itself(twilio: StandIn) -> None:
    sender = TwilioSender(
        account_sid=ACCOUNT_SID,
        auth_token=AUTH_TOKEN,
        messaging_service_sid=None,
        sms_from="+15005550001",
        base_url=twilio.url,
        timeout_seconds=5,
        provider="twilio-2",
    )
    twilio.will(answer(message(TEXT)))
    report = sender.ask(SID, NOW)
    assert report is not None
    assert report.provider == sender.provider == "twilio-2"


def test_nothing_secret_is_logged(twilio: StandIn, everything_logged: pytest.LogCaptureFixture) -> None:
    looked_for(twilio, page(message(TEXT)))
    asked(twilio, answer(message(TEXT)))
    for secret in (AUTH_TOKEN, CODE, str(LETTER.to).removeprefix("+")):
        assert secret not in everything_logged.text
