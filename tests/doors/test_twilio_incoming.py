"""A customer's SMS as Twilio passes it on: signed by Twilio or refused, a digit is an answer, all else is let be."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from twilio.request_validator import RequestValidator
from werkzeug.test import TestResponse

from channels.twilio_incoming import PATH
from incentives.kernel.throttle import LIMITS
from incentives.messages.tables import suppressions
from incentives.recovery.tables import recovery_cases, surveys
from tests.doors.feedback import FeedbackPages, opened

PHONE, OTHER = "+447400123456", "+447400123457"
TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://vouchers.northwind-air.example"
TWILIO = {
    "INCENTIVES_TWILIO_ACCOUNT_SID": "AC00000000000000000000000000000000",
    "INCENTIVES_TWILIO_AUTH_TOKEN": TOKEN,
    "INCENTIVES_TWILIO_FROM": "+15005550006",
    "INCENTIVES_PUBLIC_URL": PUBLIC,
}


@pytest.fixture
def pages(database_url: str) -> Iterator[FeedbackPages]:
    with opened(database_url, **TWILIO) as made:
        yield made


@pytest.fixture
def on_sqlite(sqlite: Any) -> Iterator[FeedbackPages]:
    url = sqlite.new()
    with opened(url, **TWILIO) as made:
        yield made
    sqlite.drop(url)


def message(text: str, sender: str = PHONE, sid: str = "SM1") -> dict[str, str]:
    return {"MessageSid": sid, "From": sender, "To": "+15005550006", "Body": text, "NumMedia": "0"}


def sms(pages: FeedbackPages, text: str, sender: str = PHONE, sid: str = "SM1", query: str = "") -> TestResponse:
    """Pass an SMS on as Twilio does, signed for our public address."""
    fields = message(text, sender, sid)
    signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}{PATH}{query}", fields)
    return pages.client.post(PATH + query, data=fields, headers={"X-Twilio-Signature": signature})


def test_a_digit_answers_the_question_and_twilio_hears_nothing(pages: FeedbackPages) -> None:
    pages.survey(phone=PHONE)
    answer = sms(pages, "4, thank you")
    assert (answer.status_code, answer.mimetype) == (200, "text/xml")
    assert answer.text.endswith("<Response/>")
    (piece,), (survey,), (case,) = pages.pieces(), pages.rows(surveys), pages.rows(recovery_cases)
    assert (piece.source, piece.score_given, piece.survey_id) == ("resurvey", "4", survey.id)
    assert pages.comment(piece) == "thank you"
    assert piece.customer_id == case.customer_id
    assert (survey.status, survey.answer_score_bp) == ("answered", 7500)
    assert (case.recovered, case.recovered_evidence) == (True, "score")


def test_what_the_second_account_passes_on_is_signed_by_its_own_token(database_url: str) -> None:
    spare, number = "fedcba9876543210fedcba9876543210", "+15005550007"
    url = f"https://AC11111111111111111111111111111111:{spare}@api.dublin.ie1.twilio.com?from={number}"
    with opened(database_url, **TWILIO, INCENTIVES_TWILIO_SPARE_URL=url) as pages:
        fields = {**message("STOP"), "To": number}
        for token, status in ((spare, 200), (TOKEN, 200), ("0" * 32, 403), ("", 403)):
            signature = RequestValidator(token).compute_signature(f"{PUBLIC}{PATH}", fields)
            answer = pages.client.post(PATH, data=fields, headers={"X-Twilio-Signature": signature})
            assert answer.status_code == status
        assert len(pages.rows(suppressions)) == 1


def test_the_same_sms_once_more_changes_nothing(pages: FeedbackPages) -> None:
    pages.survey(phone=PHONE)
    sms(pages, "1")
    before = pages.everything()
    assert sms(pages, "1").status_code == 200
    assert pages.everything() == before
    (case,) = pages.rows(recovery_cases)
    assert case.status == "open"


def test_a_second_thought_within_a_day_changes_the_answer_and_later_not(pages: FeedbackPages) -> None:
    pages.survey(phone=PHONE)
    sms(pages, "2", sid="SM1")
    pages.clock.advance(timedelta(hours=3))
    sms(pages, "5", sid="SM2")
    assert pages.rows(surveys)[0].answer_score_bp == 10_000
    pages.clock.advance(timedelta(hours=25))
    before = pages.everything()
    assert sms(pages, "1", sid="SM3").status_code == 200
    assert pages.everything() == before


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("STOP", "anonymous"),
        ("please stop", PHONE),
        ("6", PHONE),
        ("0", PHONE),
        ("hello", PHONE),
        ("", PHONE),
        ("\x00", PHONE),
        ("4", OTHER),
        ("4", "anonymous"),
        ("4", ""),
        ("4", "+44' OR 1=1"),
        ("x" * 100_000, PHONE),
    ],
)
def test_what_is_no_answer_is_let_be(on_sqlite: FeedbackPages, text: str, sender: str) -> None:
    on_sqlite.survey(phone=PHONE)
    before = on_sqlite.everything()
    assert sms(on_sqlite, text, sender).status_code == 200
    assert on_sqlite.everything() == before


def test_the_scale_says_which_digits_there_are(on_sqlite: FeedbackPages) -> None:
    on_sqlite.survey(phone=PHONE, scale="nps")
    sms(on_sqlite, "0")
    assert on_sqlite.rows(surveys)[0].answer_score_bp == 0


def test_who_was_asked_by_email_or_not_at_all_is_not_heard_by_sms(on_sqlite: FeedbackPages) -> None:
    on_sqlite.survey()
    before = on_sqlite.everything()
    assert sms(on_sqlite, "5").status_code == 200
    assert on_sqlite.everything() == before


def test_only_twilio_is_heard(on_sqlite: FeedbackPages) -> None:
    on_sqlite.survey(phone=PHONE)
    before = on_sqlite.everything()
    good = RequestValidator(TOKEN).compute_signature(PUBLIC + PATH, message("5"))
    wrong = {
        "none": {},
        "empty": {"X-Twilio-Signature": ""},
        "strange": {"X-Twilio-Signature": "é"},
        "of another token": {
            "X-Twilio-Signature": RequestValidator("x").compute_signature(PUBLIC + PATH, message("5"))
        },
        "of another address": {
            "X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(f"http://127.0.0.1{PATH}", message("5"))
        },
        "of another text": {"X-Twilio-Signature": good},
    }
    for name, headers in wrong.items():
        text = "1" if name == "of another text" else "5"
        answer = on_sqlite.client.post(PATH, data=message(text), headers=headers)
        assert answer.status_code == 403, name
    assert on_sqlite.everything() == before
    assert sms(on_sqlite, "5").status_code == 200
    assert len(on_sqlite.pieces()) == 1


def test_an_address_with_a_query_is_signed_with_it(on_sqlite: FeedbackPages) -> None:
    on_sqlite.survey(phone=PHONE)
    assert sms(on_sqlite, "5", query="?edge=dublin").status_code == 200
    assert len(on_sqlite.pieces()) == 1


def test_who_guesses_signatures_is_held_up(on_sqlite: FeedbackPages) -> None:
    tries = LIMITS["link-misses"].tries
    statuses = [on_sqlite.client.post(PATH, data=message("5")).status_code for _ in range(tries + 2)]
    assert statuses == [403] * tries + [429] * 2


def test_without_twilio_there_is_no_such_address(sqlite: Any) -> None:
    url = sqlite.new()
    with opened(url) as pages:
        assert pages.client.post(PATH, data=message("5")).status_code == 404
        assert pages.client.get(PATH).status_code == 405
    sqlite.drop(url)
