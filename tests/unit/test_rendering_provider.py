"""The letter about a provider that refuses our settings: what it said stands in it, and nothing can break it."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import html5lib
import pytest

from channels.rendering import render_email, render_sms
from incentives.messages.port import ProviderLetter
from tests.letters import HOST

EVIL = '<script>alert("x")</script>&amp;{{7*7}}'
LETTER = ProviderLetter(
    message_id=uuid.UUID(int=5),
    channel="email",
    template="notice-provider",
    locale="en",
    to="ada@northwind.example",
    staff_name="Ada",
    brand="Northwind",
    provider="sendgrid",
    carries="email",
    reason="The configuration is wrong: SendGrid does not accept the API key.",
    since_at=datetime(2026, 11, 20, 12, 5, tzinfo=UTC),
    time_zone="Europe/London",
    url=f"https://{HOST}/audit",
)


def test_it_says_who_refuses_and_why_and_what_to_do() -> None:
    email = render_email(LETTER)
    assert email.subject == "sendgrid does not take our emails"
    for text in (email.text, email.html):
        for part in (LETTER.reason, "Nov 20, 2026, 12:05", LETTER.url, "Mend the settings", "Ada"):
            assert part in text
    assert render_email(replace(LETTER, carries="sms")).subject == "sendgrid does not take our SMS"


def test_nothing_in_it_is_taken_for_html() -> None:
    evil = replace(LETTER, staff_name=EVIL, brand=EVIL, reason=EVIL)
    email = render_email(evil)
    assert "<script" not in email.html
    assert "49" not in email.html
    html5lib.HTMLParser(strict=True).parse(email.html)


def test_it_is_an_email_and_shows_little_of_itself() -> None:
    with pytest.raises(TypeError):
        render_sms(LETTER)
    assert "Ada" not in repr(LETTER)
