"""What Twilio says became of an SMS: signed by Twilio for our public address, or refused and nothing kept."""

from collections.abc import Iterator
from typing import Any

import pytest
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from channels.twilio_numbers import SUPPRESSES
from channels.twilio_sms import CODES, is_signed
from channels.twilio_status import PATH, STATUSES, callback_url, report_in
from incentives.kernel.settings import Settings
from incentives.kernel.throttle import LIMITS
from incentives.messages.tables import MEANINGS, SUPPRESSION_REASONS, delivery_events, outbox_messages, suppressions
from tests.doors.callbacks import PHONE, PUBLIC, SETTINGS, SHARED_KEY, TOKEN, Callbacks, opened, status_of
from tests.letters import sms
from tests.world import START, environ
from wsgi import build_senders

SID = "SM0123456789abcdef0123456789abcdef"


@pytest.fixture
def on_sqlite(sqlite: Any) -> Iterator[Callbacks]:
    url = sqlite.new()
    with opened(url) as made:
        yield made
    sqlite.drop(url)


def test_the_documented_signature_is_twilios() -> None:
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    address = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert is_signed("12345", address, fields, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")
    assert not is_signed("12345", address, fields, "RSOYDt4T1cUTdK1PDd93/VVr8B9=")


def test_an_sms_is_followed_to_its_end_by_our_own_id(calls: Callbacks) -> None:
    (message_id,) = calls.sent(SID, "sms")
    for status in ("sent", "delivered", "queued", "sending"):
        answer = calls.twilio(status_of(SID, status), f"{PATH}/{message_id}")
        assert (answer.status_code, answer.data) == (204, b"")
    assert calls.statuses() == [("sms", "delivered")]
    events = calls.rows(delivery_events)
    assert [(each.event_key, each.message_id) for each in events] == [
        (f"{SID}:{status}", message_id) for status in ("sent", "delivered", "queued", "sending")
    ]
    assert PHONE not in str(events)


def test_without_our_id_it_is_known_by_twilios(calls: Callbacks) -> None:
    calls.sent(SID, "sms")
    assert calls.twilio(status_of(SID, "undelivered", ErrorCode="30003")).status_code == 204
    (row,) = calls.rows(outbox_messages)
    assert (row.status, row.reason) == (
        "bounced",
        "It came back: the provider could not deliver it to this address. (twilio 30003)",
    )
    assert calls.rows(suppressions) == []  # a phone that is off is switched on again


@pytest.mark.parametrize(("code", "reason"), sorted(SUPPRESSES.items()))
def test_a_number_that_takes_no_sms_is_suppressed(on_sqlite: Callbacks, code: int, reason: str) -> None:
    (message_id,) = on_sqlite.sent(SID, "sms")
    on_sqlite.twilio(status_of(SID, "failed", ErrorCode=str(code)), f"{PATH}/{message_id}")
    (entry,) = on_sqlite.rows(suppressions)
    assert (entry.channel, entry.reason, entry.code, entry.hint) == ("sms", reason, str(code), "…3456")


@pytest.mark.parametrize("status", [*STATUSES, "unheard_of"])
@pytest.mark.parametrize("code", SUPPRESSES)
def test_whoever_got_an_sms_is_not_suppressed_for_its_code(status: str, code: int) -> None:
    form = {"MessageSid": SID, "MessageStatus": status, "ErrorCode": str(code), "To": PHONE}
    found = report_in(form, None, START, "twilio")
    assert found is not None
    came_back = status in ("failed", "undelivered", "canceled")
    assert found.suppresses == (SUPPRESSES[code] if came_back else None)
    assert found.code == str(code)


def test_the_tables_use_words_that_there_are() -> None:
    assert set(STATUSES.values()) <= set(MEANINGS)
    assert set(SUPPRESSES.values()) <= set(SUPPRESSION_REASONS)
    assert all(CODES[code][0] == "never" for code in SUPPRESSES.keys() & CODES.keys())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"MessageSid": SID},
        {"MessageStatus": "sent"},
        {"MessageSid": "SM 1", "MessageStatus": "sent"},
        {"MessageSid": SID, "MessageStatus": "s\x00nt"},
        {"MessageSid": SID + "\x00", "MessageStatus": "sent"},
        {"MessageSid": "S" * 5000, "MessageStatus": "sent"},
    ],
)
def test_what_reports_nothing_is_let_be(on_sqlite: Callbacks, fields: dict[str, str]) -> None:
    before = on_sqlite.everything()
    assert on_sqlite.twilio(fields).status_code == 204
    assert on_sqlite.everything() == before


def test_a_word_that_we_do_not_know_is_kept(on_sqlite: Callbacks) -> None:
    (message_id,) = on_sqlite.sent(SID, "sms")
    strange = status_of(SID, "teleported", ErrorCode="\u0663\u0660", To="somebody")
    assert on_sqlite.twilio(strange, f"{PATH}/{message_id}").status_code == 204
    (event,) = on_sqlite.rows(delivery_events)
    assert (event.status, event.means, event.code) == ("teleported", None, None)
    assert on_sqlite.statuses() == [("sms", "sent")]


def test_only_twilio_is_heard(on_sqlite: Callbacks) -> None:
    calls = on_sqlite
    (message_id,) = calls.sent(SID, "sms")
    path, fields = f"{PATH}/{message_id}", status_of(SID, "delivered")
    right = RequestValidator(TOKEN)
    wrong = {
        "none": {},
        "empty": {"X-Twilio-Signature": ""},
        "no base64": {"X-Twilio-Signature": "%%%"},
        "no ascii": {"X-Twilio-Signature": "é"},
        "short": {"X-Twilio-Signature": "a"},
        "of another token": {"X-Twilio-Signature": RequestValidator("x").compute_signature(PUBLIC + path, fields)},
        "of another status": {
            "X-Twilio-Signature": right.compute_signature(PUBLIC + path, status_of(SID, "delivereD"))
        },
        "of another message": {"X-Twilio-Signature": right.compute_signature(PUBLIC + PATH, fields)},
        "of the address behind the proxy": {
            "X-Twilio-Signature": right.compute_signature(f"http://localhost{path}", fields)
        },
        "of an algorithm that there is not": {
            "X-Twilio-Signature": right.compute_signature(PUBLIC + path, fields),
            "X-Twilio-Webhooks-Signature-Settings": "key=x,algorithm=HMAC_MD5",
        },
        "of the token where the key signs": {
            "X-Twilio-Signature": right.compute_signature(PUBLIC + path, fields, "HMAC_SHA256"),
            "X-Twilio-Webhooks-Signature-Settings": "key=x,algorithm=HMAC_SHA256",
        },
        "of the key where the token signs": {
            "X-Twilio-Signature": RequestValidator(SHARED_KEY).compute_signature(PUBLIC + path, fields)
        },
    }
    before = calls.everything()
    for name, headers in wrong.items():
        assert calls.client.post(path, data=fields, headers=headers).status_code == 403, name
    assert calls.everything() == before
    assert calls.twilio(fields, path).status_code == 204
    assert calls.statuses() == [("sms", "delivered")]


def test_a_shared_key_signs_as_well(on_sqlite: Callbacks) -> None:
    (message_id,) = on_sqlite.sent(SID, "sms")
    path, fields = f"{PATH}/{message_id}", status_of(SID, "delivered")
    headers = {
        "X-Twilio-Signature": RequestValidator(SHARED_KEY).compute_signature(PUBLIC + path, fields, "HMAC_SHA256"),
        "X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
    }
    assert on_sqlite.client.post(path, data=fields, headers=headers).status_code == 204
    assert on_sqlite.statuses() == [("sms", "delivered")]


SPARE_SID, SPARE_TOKEN, SPARE_KEY = "AC" + "1" * 32, "fedcba9876543210fedcba9876543210", "a-key-of-the-second-account"
SPARE_URL = f"https://{SPARE_SID}:{SPARE_TOKEN}@api.dublin.ie1.twilio.com?from=%2B15005550007"


@pytest.fixture
def two_accounts(sqlite: Any) -> Iterator[Callbacks]:
    url = sqlite.new()
    more = {"INCENTIVES_TWILIO_SPARE_URL": SPARE_URL, "INCENTIVES_TWILIO_SPARE_WEBHOOK_KEY": SPARE_KEY}
    with opened(url, **more) as made:
        yield made
    sqlite.drop(url)


def headers_by(secret: str, path: str, fields: dict[str, str], *, shared: bool = False) -> dict[str, str]:
    """Return the headers of a call that a secret signs, as a token does or as a shared key."""
    if not shared:
        return {"X-Twilio-Signature": RequestValidator(secret).compute_signature(PUBLIC + path, fields)}
    return {
        "X-Twilio-Signature": RequestValidator(secret).compute_signature(PUBLIC + path, fields, "HMAC_SHA256"),
        "X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
    }


@pytest.mark.parametrize(("secret", "shared"), [(SPARE_TOKEN, False), (SPARE_KEY, True)])
def test_what_became_of_the_second_account_s_sms_it_signs_itself(
    two_accounts: Callbacks, secret: str, shared: bool
) -> None:
    (message_id,) = two_accounts.sent(SID, "sms")
    path, fields = f"{PATH}/{message_id}", status_of(SID, "delivered", AccountSid=SPARE_SID)
    headers = headers_by(secret, path, fields, shared=shared)
    assert two_accounts.client.post(path, data=fields, headers=headers).status_code == 204
    assert two_accounts.statuses() == [("sms", "delivered")]
    (event,), (row,) = two_accounts.rows(delivery_events), two_accounts.rows(outbox_messages)
    assert (event.provider, row.provider, row.provider_message_id) == ("twilio-2", "twilio-2", SID)


def test_neither_account_s_secret_signs_in_the_name_of_the_other(two_accounts: Callbacks) -> None:
    (message_id,) = two_accounts.sent(SID, "sms")
    path, before = f"{PATH}/{message_id}", two_accounts.everything()
    of_first, of_spare = status_of(SID, "delivered"), status_of(SID, "delivered", AccountSid=SPARE_SID)
    of_nobody = status_of(SID, "delivered", AccountSid="AC" + "2" * 32)
    wrong = [
        (SPARE_TOKEN, of_first, False),
        (SPARE_KEY, of_first, True),
        (TOKEN, of_spare, False),
        (SHARED_KEY, of_spare, True),
        (SPARE_KEY, of_spare, False),
        (SPARE_TOKEN, of_spare, True),
        ("0" * 32, of_spare, False),
        (TOKEN, of_nobody, False),
    ]
    for secret, fields, shared in wrong:
        headers = headers_by(secret, path, fields, shared=shared)
        assert two_accounts.client.post(path, data=fields, headers=headers).status_code == 403, (secret, fields)
    assert two_accounts.everything() == before
    assert two_accounts.client.post(path, data=of_spare).status_code == 403


@pytest.mark.parametrize(("secret", "status"), [(SPARE_TOKEN, 200), (TOKEN, 403)])
def test_a_stop_to_the_second_account_s_number_is_signed_by_it(
    two_accounts: Callbacks, secret: str, status: int
) -> None:
    path = "/providers/twilio/incoming"
    fields = {"MessageSid": "SM1", "AccountSid": SPARE_SID, "From": PHONE, "To": "+15005550007", "Body": "STOP"}
    answer = two_accounts.client.post(path, data=fields, headers=headers_by(secret, path, fields))
    assert answer.status_code == status
    assert [entry.source for entry in two_accounts.rows(suppressions)] == ["twilio-2"][: status == 200]


def test_without_a_second_account_none_is_heard(on_sqlite: Callbacks) -> None:
    fields = status_of(SID, "delivered", AccountSid="")
    for secret in ("", SPARE_TOKEN):
        assert on_sqlite.client.post(PATH, data=fields, headers=headers_by(secret, PATH, fields)).status_code == 403


def test_the_second_account_is_told_where_to_call() -> None:
    settings = Settings.from_environ(environ("sqlite://", **SETTINGS, INCENTIVES_TWILIO_SPARE_URL=SPARE_URL))
    _, spares = build_senders(settings)
    spare: Any = spares["sms"]
    assert spare._status_callback(sms())["status_callback"].startswith(f"{PUBLIC}{PATH}/")


def test_a_field_that_is_repeated_is_signed_once_each(on_sqlite: Callbacks) -> None:
    (message_id,) = on_sqlite.sent(SID, "sms")
    path = f"{PATH}/{message_id}"
    fields = status_of(SID, "delivered")
    signed = PUBLIC + path + "".join(name + fields[name] for name in sorted(fields)) + "ZoneaZoneb"
    fields_sent = [*fields.items(), ("Zone", "b"), ("Zone", "a"), ("Zone", "a")]
    headers = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(signed, {})}
    assert on_sqlite.client.post(path, data=MultiDict(fields_sent), headers=headers).status_code == 204


@pytest.mark.parametrize(
    "public",
    ["https://shop.example", "https://shop.example:443", "https://[2001:db8::1]:8443/in", "http://shop.example"],
)
def test_whatever_address_the_world_knows_is_the_one_that_is_signed(sqlite: Any, public: str) -> None:
    url = sqlite.new()
    with opened(url, INCENTIVES_PUBLIC_URL=public) as calls:
        (message_id,) = calls.sent(SID, "sms")
        address, fields = f"{callback_url(public)}/{message_id}", status_of(SID, "delivered")
        headers = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(address, fields)}
        behind = {"base_url": "http://10.0.0.7:8000/"}  # the proxy has taken its own part of the path away
        assert calls.client.post(f"{PATH}/{message_id}", data=fields, headers=headers, **behind).status_code == 204
        assert calls.statuses() == [("sms", "delivered")]
    sqlite.drop(url)


def test_twilio_is_not_told_to_call_a_machine_that_it_cannot_reach() -> None:
    assert callback_url("http://127.0.0.1:8000") is None
    assert callback_url("http://localhost:8000") is None
    assert callback_url(PUBLIC) == f"{PUBLIC}{PATH}"


def test_who_guesses_signatures_is_held_up(on_sqlite: Callbacks) -> None:
    tries = LIMITS["link-misses"].tries
    statuses = [on_sqlite.client.post(PATH, data={}).status_code for _ in range(tries + 1)]
    assert statuses == [403] * tries + [429]


def test_stop_and_start_by_sms(on_sqlite: Callbacks) -> None:
    incoming = "/providers/twilio/incoming"
    said = {"MessageSid": "SM1", "From": PHONE, "To": "+15005550006", "Body": " Stop\n"}
    assert on_sqlite.twilio(said, incoming).status_code == 200
    (entry,) = on_sqlite.rows(suppressions)
    assert (entry.reason, entry.source, entry.lifted_at, PHONE in str(entry)) == ("unsubscribed", "twilio", None, False)
    for body in ("HELP", "stop it please"):
        on_sqlite.twilio({**said, "MessageSid": "SM2", "Body": body}, incoming)
    on_sqlite.twilio({**said, "MessageSid": "SM3", "Body": "Empezar", "OptOutType": "START"}, incoming)
    on_sqlite.twilio(said, incoming)  # once more
    (entry,) = on_sqlite.rows(suppressions)
    assert entry.lift_reason == "The customer wrote START."


def test_without_twilio_there_is_no_such_address(sqlite: Any) -> None:
    url = sqlite.new()
    with opened(url, INCENTIVES_TWILIO_ACCOUNT_SID="", INCENTIVES_TWILIO_AUTH_TOKEN="") as calls:
        assert calls.client.post(PATH, data=status_of(SID, "sent")).status_code == 404
        assert calls.client.get(PATH).status_code == 405
    sqlite.drop(url)
