"""Emails through SendGrid's own client: what it asks, and what each answer becomes."""

import json
import logging.config
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from subprocess import run

import pytest

from channels.provider import MISCONFIGURED_AFTER_SECONDS
from channels.sendgrid_email import STATUSES, SendGridSender
from incentives.messages.port import PACE, SETTINGS, Accepted, Outcome, TryLater, Unsure, WillNeverWork
from tests.letters import CODE, HOST, TOKEN, letter
from tests.providers.conftest import API_KEY, sendgrid_sender
from tests.providers.stand_in import Answer, StandIn

LETTER = letter()


def sent(sendgrid: StandIn, *answers: Answer, timeout_seconds: float = 5.0) -> Outcome:
    sendgrid.will(*answers)
    return sendgrid_sender(sendgrid.url, timeout_seconds).send(LETTER)


def error_body(field: str) -> bytes:
    message = "The to email ana.ruiz@customer.example is not valid."
    return json.dumps({"errors": [{"message": message, "field": field, "help": None}]}).encode()


def test_a_202_is_accepted_with_the_vendors_id(sendgrid: StandIn) -> None:
    assert sent(sendgrid) == Accepted("14c5d75ce93.dfd.64b469")


def test_the_request_says_all_that_matters(sendgrid: StandIn) -> None:
    sent(sendgrid)
    (asked,) = sendgrid.asked
    body = asked.json
    assert (asked.method, asked.path) == ("POST", "/v3/mail/send")
    assert asked.headers["authorization"] == f"Bearer {API_KEY}"
    assert body["personalizations"] == [
        {
            "to": [{"email": "ana.ruiz@customer.example"}],
            "custom_args": {"message_id": str(LETTER.message_id)},
        }
    ]
    assert body["from"] == {"email": "care@northwind-air.example", "name": "Northwind"}
    assert body["categories"] == ["voucher"]
    assert body["tracking_settings"] == {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": False},
        "subscription_tracking": {"enable": False},
    }


def test_the_email_goes_out_as_text_and_as_html(sendgrid: StandIn) -> None:
    sent(sendgrid)
    content = sendgrid.asked[0].json["content"]
    assert isinstance(content, list)
    assert [part["type"] for part in content] == ["text/plain", "text/html"]
    assert all(CODE in part["value"] and TOKEN in part["value"] for part in content)


def test_a_name_in_the_settings_is_who_the_email_comes_from(sendgrid: StandIn) -> None:
    sender = SendGridSender(
        api_key=API_KEY,
        base_url=sendgrid.url,
        email_from="a@b.example",
        email_from_name="Care",
        timeout_seconds=5,
    )
    sender.send(LETTER)
    assert sendgrid.asked[0].json["from"] == {"email": "a@b.example", "name": "Care"}


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_every_status_row(sendgrid: StandIn, status: int) -> None:
    outcome = sent(sendgrid, Answer(status, {"Retry-After": "7"}, b"ana.ruiz@customer.example"))
    fault, reason = STATUSES[status]
    assert (
        outcome
        == {
            "never": WillNeverWork(reason),
            "mend": TryLater(reason, MISCONFIGURED_AFTER_SECONDS, SETTINGS),
            "later": TryLater(reason, 7.0),
            "slower": TryLater(reason, 7.0, PACE),
            "unsure": Unsure(reason),
        }[fault]
    )
    assert len(sendgrid.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, WillNeverWork),
        (413, WillNeverWork),
        (401, TryLater),
        (403, TryLater),
        (429, TryLater),
        (500, TryLater),
        (503, TryLater),
        (418, TryLater),
        (599, TryLater),
    ],
)
def test_what_is_final_and_what_is_not(sendgrid: StandIn, status: int, kind: type) -> None:
    assert isinstance(sent(sendgrid, Answer(status)), kind)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_told_as_a_wrong_configuration(sendgrid: StandIn, status: int) -> None:
    outcome = sent(sendgrid, Answer(status))
    assert isinstance(outcome, TryLater)
    assert "configuration is wrong" in outcome.reason


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("personalizations.0.to.0.email", WillNeverWork("SendGrid refuses the customer's email address.", "invalid")),
        ("personalizations.0.to", WillNeverWork("SendGrid refuses the customer's email address.", "invalid")),
        ("subject", WillNeverWork(STATUSES[400][1])),
    ],
)
def test_a_400_says_which_field_is_at_fault(sendgrid: StandIn, field: str, expected: Outcome) -> None:
    assert sent(sendgrid, Answer(400, {}, error_body(field))) == expected


def test_a_400_about_our_own_address_does_not_burn_the_message(sendgrid: StandIn) -> None:
    outcome = sent(sendgrid, Answer(400, {}, error_body("from.email")))
    assert isinstance(outcome, TryLater)
    assert "configuration is wrong" in outcome.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"errors": 3}',
        b'{"errors": [3]}',
        b'{"errors": [{}]}',
        b"\xff",
        b"[" * 60_000,
    ],
)
def test_a_400_with_any_body_is_final(sendgrid: StandIn, body: bytes) -> None:
    assert sent(sendgrid, Answer(400, {}, body)) == WillNeverWork(STATUSES[400][1])


@pytest.mark.parametrize("status", [200, 201, 203, 204])
def test_only_202_is_success(sendgrid: StandIn, status: int) -> None:
    portal = Answer(status, {"Content-Type": "text/html"}, b"" if status == 204 else b"<h1>Welcome to the lounge</h1>")
    assert isinstance(sent(sendgrid, portal), TryLater)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(sendgrid: StandIn, elsewhere: StandIn, status: int) -> None:
    outcome = sent(sendgrid, Answer(status, {"Location": f"{elsewhere.url}/v3/mail/send"}))
    assert isinstance(outcome, TryLater)
    assert len(sendgrid.asked) == 1
    assert elsewhere.asked == []


def test_retry_after_may_be_a_date(sendgrid: StandIn) -> None:
    at = datetime.now(UTC) + timedelta(seconds=90)
    outcome = sent(sendgrid, Answer(429, {"Retry-After": format_datetime(at, usegmt=True)}))
    assert isinstance(outcome, TryLater)
    assert outcome.after_seconds is not None
    assert 80 < outcome.after_seconds <= 91


def test_without_retry_after_the_outbox_decides(sendgrid: StandIn) -> None:
    assert sent(sendgrid, Answer(503)) == TryLater(STATUSES[503][1], None)


def test_a_provider_that_hangs_ends_at_the_time_out(sendgrid: StandIn) -> None:
    started = time.monotonic()
    outcome = sent(sendgrid, Answer(deed="hang"), timeout_seconds=0.5)
    assert outcome == Unsure("SendGrid did not answer in time.")
    assert time.monotonic() - started < 3


def test_a_body_that_drips_ends_at_the_time_out(sendgrid: StandIn) -> None:
    started = time.monotonic()
    outcome = sent(sendgrid, Answer(400, {}, b"{", deed="drip"), timeout_seconds=0.5)
    assert outcome == WillNeverWork(STATUSES[400][1])
    assert time.monotonic() - started < 3


def test_a_connection_that_breaks_may_have_carried_it(sendgrid: StandIn) -> None:
    assert sent(sendgrid, Answer(503, deed="reset")) == Unsure("The connection to SendGrid failed.")


def test_an_answer_that_is_cut_short_has_said_enough(sendgrid: StandIn) -> None:
    assert isinstance(sent(sendgrid, Answer(503, deed="cut")), TryLater)


def test_nobody_listening_is_tried_later() -> None:
    with StandIn(Answer()).serving() as gone:
        url = gone.url
    assert sendgrid_sender(url).send(LETTER) == TryLater("The connection to SendGrid failed.", None)


def test_an_answer_that_is_no_http_leaves_it_open(sendgrid: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sent(sendgrid, Answer(202, {"X-Filler": "x" * 70_000})) == Unsure("The connection to SendGrid failed.")


def test_an_id_that_is_none_is_not_stored(sendgrid: StandIn) -> None:
    assert sent(sendgrid, Answer(202, {"X-Message-Id": "x" * 101})) == Accepted(None)


def test_nothing_secret_is_logged_even_at_debug(sendgrid: StandIn, everything_logged: pytest.LogCaptureFixture) -> None:
    sent(sendgrid, Answer(400, {}, error_body("personalizations.0.to.0.email")))
    sent(sendgrid)
    debug = {"python_http_client": {"level": "DEBUG"}}
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "loggers": debug})
    sent(sendgrid)
    for secret in (API_KEY, CODE, TOKEN, "ana.ruiz", HOST):
        assert secret not in everything_logged.text


def test_no_reason_tells_who_or_what(sendgrid: StandIn) -> None:
    answers = [Answer(status, {}, error_body("subject")) for status in (*STATUSES, 200, 302, 418)]
    outcomes = [sent(sendgrid, answer) for answer in [*answers, Answer(deed="reset")]]
    for outcome in outcomes:
        assert isinstance(outcome, TryLater | Unsure | WillNeverWork)
        for secret in (API_KEY, CODE, TOKEN, "ana.ruiz", HOST, "Ana"):
            assert secret not in outcome.reason


def test_threads_do_not_meddle_with_each_other(sendgrid: StandIn) -> None:
    sender = sendgrid_sender(sendgrid.url)
    letters = [letter(to=f"customer-{number}@customer.example") for number in range(32)]
    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=lambda each=each: outcomes.append(sender.send(each))) for each in letters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert {asked.headers["authorization"] for asked in sendgrid.asked} == {f"Bearer {API_KEY}"}
    assert len({asked.body for asked in sendgrid.asked}) == 32


@pytest.mark.parametrize("key", ["", "SG.with\nnewline", "SG.with space", "SG.über"])
def test_a_key_that_no_header_carries_is_refused_at_once_and_not_quoted(key: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as refused:
        SendGridSender(api_key=key, base_url=None, email_from="a@b.example", email_from_name="", timeout_seconds=5)
    assert not key or key not in str(refused.value)


def test_importing_ours_does_not_import_theirs() -> None:
    code = "import sys, channels.sendgrid_email; print(int('sendgrid' in sys.modules))"
    assert run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "0\n"
