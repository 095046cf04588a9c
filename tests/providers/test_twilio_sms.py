"""SMS through Twilio's own client: what it asks, and what each answer becomes."""

import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from subprocess import run
from urllib.parse import parse_qs

import pytest
from requests.exceptions import InvalidURL

from channels.provider import MISCONFIGURED_AFTER_SECONDS
from channels.twilio_numbers import SUPPRESSES
from channels.twilio_sms import CODES, STATUSES, VALIDITY_SECONDS, TwilioSender
from incentives.messages.port import EITHER, PACE, SETTINGS, Accepted, Outcome, TryLater, Unsure, WillNeverWork
from tests.letters import CODE, HOST, TOKEN, sms
from tests.providers.conftest import ACCOUNT_SID, AUTH_TOKEN, STATUS_CALLBACK, TwilioStandIn, twilio_sender
from tests.providers.stand_in import Answer, Asked, StandIn

LETTER = sms()
NUMBER = "+15005550006"
SERVICE = "MG" + "f" * 32


def sent(twilio: StandIn, *answers: Answer, timeout_seconds: float = 5.0) -> Outcome:
    twilio.will(*answers)
    return twilio_sender(twilio.url, timeout_seconds).send(LETTER)


def error(status: int, code: int, **headers: str) -> Answer:
    message = f"The number {NUMBER} is not a valid phone number."
    body = json.dumps({"code": code, "message": message, "more_info": "https://www.twilio.com/docs", "status": status})
    return Answer(status, {"Content-Type": "application/json", **headers}, body.encode())


def form(asked: Asked) -> dict[str, list[str]]:
    return parse_qs(asked.body.decode(), strict_parsing=True)


def test_a_201_is_accepted_with_the_vendors_id(twilio: StandIn) -> None:
    assert sent(twilio) == Accepted(f"SM{1:032x}")


def test_the_request_says_all_that_matters(twilio: StandIn) -> None:
    sent(twilio)
    (asked,) = twilio.asked
    said = form(asked)
    assert (asked.method, asked.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json")
    assert said["To"] == [NUMBER]
    assert said["From"] == ["+15005550001"]
    assert said["ValidityPeriod"] == [str(VALIDITY_SECONDS)]
    assert [value.lower() for value in said["SmartEncoded"]] == ["true"]
    assert CODE in said["Body"][0]
    assert TOKEN in said["Body"][0]


def test_twilio_is_told_where_to_say_what_became_of_it_and_to_try_more_than_once(twilio: StandIn) -> None:
    sent(twilio)
    assert form(twilio.asked[0])["StatusCallback"] == [
        f"{STATUS_CALLBACK}/{LETTER.message_id}#ct=3000&rt=1500&rc=5&rp=all"
    ]


def test_a_messaging_service_takes_the_place_of_a_number(twilio: StandIn) -> None:
    twilio_sender(twilio.url, service=SERVICE).send(LETTER)
    said = form(twilio.asked[0])
    assert said["MessagingServiceSid"] == [SERVICE]
    assert "From" not in said


def test_without_service_and_number_there_is_no_sender() -> None:
    with pytest.raises(ValueError, match="to come from"):
        TwilioSender(
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            messaging_service_sid="",
            sms_from=None,
            base_url=None,
            timeout_seconds=5,
        )


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_every_status_row(twilio: StandIn, status: int) -> None:
    fault, reason = STATUSES[status]
    assert (
        sent(twilio, Answer(status, {"Retry-After": "7"}, b"<html>"))
        == {
            "never": WillNeverWork(reason),
            "mend": TryLater(reason, MISCONFIGURED_AFTER_SECONDS, SETTINGS),
            "later": TryLater(reason, 7.0),
            "slower": TryLater(reason, 7.0, PACE),
            "unsure": Unsure(reason),
        }[fault]
    )
    assert len(twilio.asked) == 1


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_code_row(twilio: StandIn, code: int) -> None:
    fault, words = CODES[code]
    reason = f"{words} (Twilio {code})"
    assert (
        sent(twilio, error(429 if fault in ("later", "slower") else 400, code, **{"Retry-After": "7"}))
        == {
            "never": WillNeverWork(reason, suppresses=SUPPRESSES.get(code)),
            "mend": TryLater(reason, MISCONFIGURED_AFTER_SECONDS, SETTINGS),
            "either": TryLater(reason, None, EITHER),
            "later": TryLater(reason, 7.0),
            "slower": TryLater(reason, 7.0, PACE),
            "unsure": Unsure(reason),
        }[fault]
    )
    assert len(twilio.asked) == 1


@pytest.mark.parametrize("code", [21606, 21608, 21659, 21703])
def test_what_may_be_said_of_this_number_alone_says_nothing_of_our_settings_yet(twilio: StandIn, code: int) -> None:
    outcome = sent(twilio, error(400, code))
    assert isinstance(outcome, TryLater)
    assert (outcome.blame, outcome.after_seconds) == (EITHER, None)


def test_a_days_limit_is_for_an_administrator_to_raise(twilio: StandIn) -> None:
    outcome = sent(twilio, error(429, 63038))
    assert isinstance(outcome, TryLater)
    assert outcome.blame == SETTINGS


@pytest.mark.parametrize("code", [21211, 21610, 21614, 21408, 21612, 21635])
def test_what_is_the_customers_number_is_final(twilio: StandIn, code: int) -> None:
    assert isinstance(sent(twilio, error(400, code)), WillNeverWork)


@pytest.mark.parametrize(("status", "code"), [(401, 20003), (403, 20005), (400, 21212), (400, 21660), (404, 20404)])
def test_what_is_our_own_mistake_does_not_burn_the_message(twilio: StandIn, status: int, code: int) -> None:
    outcome = sent(twilio, error(status, code))
    assert isinstance(outcome, TryLater)
    assert "configuration is wrong" in outcome.reason


def test_a_code_that_nobody_knows_goes_by_its_status(twilio: StandIn) -> None:
    assert sent(twilio, error(400, 29999)) == WillNeverWork(f"{STATUSES[400][1]} (Twilio 29999)")
    assert sent(twilio, error(429, 29999)) == TryLater(f"{STATUSES[429][1]} (Twilio 29999)", None, PACE)


def test_a_final_code_in_a_fault_of_theirs_is_not_believed(twilio: StandIn) -> None:
    assert isinstance(sent(twilio, error(503, 21610)), TryLater)


def test_the_new_shape_of_errors_is_read_too(twilio: StandIn) -> None:
    body = json.dumps({"type": "https://x.example", "title": "No", "status": 400, "code": 21610, "detail": NUMBER})
    assert isinstance(
        sent(twilio, Answer(400, {"Content-Type": "application/problem+json"}, body.encode())), WillNeverWork
    )


@pytest.mark.parametrize("status", [200, 202, 204])
def test_only_201_is_success(twilio: StandIn, status: int) -> None:
    portal = Answer(status, {"Content-Type": "text/html"}, b"" if status == 204 else b"<h1>Welcome to the lounge</h1>")
    assert isinstance(sent(twilio, portal), TryLater)


def test_a_200_that_looks_like_twilio_is_no_success_either(twilio: StandIn) -> None:
    body = json.dumps({"sid": f"SM{1:032x}", "status": "queued"}).encode()
    assert isinstance(sent(twilio, Answer(200, {"Content-Type": "application/json"}, body)), TryLater)


@pytest.mark.parametrize("body", [b"<h1>Created</h1>", b"", b"{}", b'{"sid": 5}', b'"SM"', b"[1]", b"[" * 60_000])
def test_a_201_that_names_no_message_may_have_been_taken(twilio: StandIn, body: bytes) -> None:
    said = Answer(201, {"Content-Type": "text/html"}, body)
    assert sent(twilio, said) == Unsure("Twilio's answer named no message.")


@pytest.mark.parametrize(
    "said",
    [
        Answer(201, {}, b'{"sid": "SM12', deed="cut"),
        Answer(201, {"Content-Encoding": "gzip"}, b"no gzip"),
        Answer(201, {}, b'{"sid": "SM12'),
    ],
)
def test_an_answer_that_breaks_off_may_be_a_message_that_was_taken(twilio: StandIn, said: Answer) -> None:
    assert isinstance(sent(twilio, said), Unsure)


def test_what_could_not_even_be_asked_was_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise InvalidURL

    monkeypatch.setattr("requests.Session.send", refuse)
    assert twilio_sender("http://127.0.0.1:1").send(LETTER) == TryLater("The connection to Twilio failed.", None)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(twilio: StandIn, elsewhere: StandIn, status: int) -> None:
    outcome = sent(twilio, Answer(status, {"Location": f"{elsewhere.url}/2010-04-01/x.json"}))
    assert isinstance(outcome, TryLater)
    assert len(twilio.asked) == 1
    assert elsewhere.asked == []


def test_retry_after_is_kept_as_seconds(twilio: StandIn) -> None:
    outcome = sent(twilio, error(429, 20429, **{"Retry-After": "42"}))
    assert outcome == TryLater(f"{STATUSES[429][1]} (Twilio 20429)", 42.0, PACE)


def test_retry_after_is_kept_as_a_date(twilio: StandIn) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    outcome = sent(twilio, Answer(503, {"Retry-After": at}))
    assert isinstance(outcome, TryLater)
    assert outcome.after_seconds is not None
    assert 80 < outcome.after_seconds <= 91


def test_a_provider_that_hangs_ends_at_the_time_out(twilio: StandIn) -> None:
    started = time.monotonic()
    outcome = sent(twilio, Answer(deed="hang"), timeout_seconds=0.5)
    assert outcome == Unsure("Twilio did not answer in time.")
    assert time.monotonic() - started < 3


def test_a_connection_that_breaks_may_have_carried_it(twilio: StandIn) -> None:
    assert sent(twilio, Answer(deed="reset")) == Unsure("The connection to Twilio failed.")


def test_nobody_listening_is_tried_later() -> None:
    with TwilioStandIn().serving() as gone:
        url = gone.url
    assert twilio_sender(url).send(LETTER) == TryLater("The connection to Twilio failed.", None)


def test_nothing_secret_is_logged_even_at_debug(twilio: StandIn, everything_logged: pytest.LogCaptureFixture) -> None:
    sent(twilio, error(400, 21211))
    sent(twilio)
    for secret in (AUTH_TOKEN, CODE, TOKEN, NUMBER, NUMBER.removeprefix("+"), HOST):
        assert secret not in everything_logged.text


def test_no_reason_tells_who_or_what(twilio: StandIn) -> None:
    answers = [
        *(Answer(status) for status in (*STATUSES, 200, 302, 418)),
        *(error(400, code) for code in CODES),
    ]
    outcomes = [sent(twilio, answer) for answer in [*answers, Answer(deed="reset")]]
    for outcome in outcomes:
        assert isinstance(outcome, TryLater | Unsure | WillNeverWork)
        for secret in (AUTH_TOKEN, ACCOUNT_SID, CODE, TOKEN, NUMBER.removeprefix("+"), HOST, "Ana"):
            assert secret not in outcome.reason


def test_the_environment_does_not_move_the_address(twilio: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_REGION", "au1")
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert isinstance(sent(twilio), Accepted)


def test_nothing_of_the_message_stays_in_the_client(twilio: StandIn) -> None:
    sender = twilio_sender(twilio.url)
    sender.send(LETTER)
    transport = sender._client().http_client
    assert transport._test_only_last_request is None
    assert transport._test_only_last_response is None


def test_threads_do_not_meddle_with_each_other(twilio: StandIn) -> None:
    sender = twilio_sender(twilio.url)
    outcomes: list[Outcome] = []
    letters = [sms(to=f"+1500555{number:04}") for number in range(32)]
    threads = [threading.Thread(target=lambda each=each: outcomes.append(sender.send(each))) for each in letters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {outcome.provider_message_id for outcome in outcomes if isinstance(outcome, Accepted)}
    assert len(ids) == 32
    assert {form(asked)["To"][0] for asked in twilio.asked} == {each.to for each in letters}


def test_importing_ours_does_not_import_theirs() -> None:
    code = "import sys, channels.twilio_sms; print(int('twilio' in sys.modules or 'requests' in sys.modules))"
    assert run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "0\n"
