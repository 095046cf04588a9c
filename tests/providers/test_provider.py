"""What is alike for every provider: its address, its key, and how long it asks us to wait."""

import pytest

from channels.provider import (
    PROVIDER_MESSAGE_ID_LENGTH_MAX,
    RETRY_AFTER_SECONDS_MAX,
    checked_base_url,
    provider_message_id,
    retry_after_seconds,
)
from channels.sendgrid_email import SENDGRID_URL
from channels.twilio_sms import TWILIO_URL
from tests.providers.conftest import sendgrid_sender, twilio_sender


@pytest.mark.parametrize(
    "url",
    [
        SENDGRID_URL,
        TWILIO_URL,
        "https://stand-in.example:8443",
        "http://127.0.0.1:4010",
        "http://127.9.9.9",
        "http://localhost:4010",
        "http://[::1]:4010",
    ],
)
def test_https_anywhere_and_http_on_this_machine(url: str) -> None:
    assert checked_base_url(url + "/") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.sendgrid.com",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "ftp://127.0.0.1",
        "//127.0.0.1",
        "127.0.0.1:4010",
        "https://",
        "https://user:secret@api.twilio.com",
        "http://user@127.0.0.1",
        "https://api.twilio.com/?x=1",
        "https://api.twilio.com/#x",
        "file:///etc/passwd",
    ],
)
def test_every_other_address_is_refused_by_both(url: str) -> None:
    for make in (checked_base_url, sendgrid_sender, twilio_sender):
        with pytest.raises(ValueError, match="base URL"):
            make(url)


DATE = "Sun, 22 Nov 2026 03:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 30 "}, 30.0),
        ({"Retry-After": "999999999"}, RETRY_AFTER_SECONDS_MAX),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "\u0663"}, None),
        ({"Retry-After": "Sun, 22 Nov 2026 03:02:00 GMT", "Date": DATE}, 120.0),
        ({"Retry-After": "Sun, 22 Nov 2026 02:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Mon, 22 Nov 2027 03:00:00 GMT", "Date": DATE}, RETRY_AFTER_SECONDS_MAX),
        ({"Retry-After": "Sun, 22 Nov 2026 04:02:00 +0100", "Date": DATE}, 120.0),
        ({"Retry-After": "Sun, 99 Nov 2026 04:02:00 GMT", "Date": DATE}, None),
        ({"Retry-After": "Sun, 22 Nov 1999 03:02:00 GMT", "Date": "yesterday"}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("SM1", "SM1"),
        ("x" * PROVIDER_MESSAGE_ID_LENGTH_MAX, "x" * PROVIDER_MESSAGE_ID_LENGTH_MAX),
        ("x" * (PROVIDER_MESSAGE_ID_LENGTH_MAX + 1), None),
        ("", None),
        (None, None),
        (7, None),
        ("SM\n1", None),
        ("SMé", None),
    ],
)
def test_an_id_must_be_fit_to_be_stored(value: object, kept: str | None) -> None:
    assert provider_message_id(value) == kept
