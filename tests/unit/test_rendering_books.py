"""The letter about books that do not hold: what is broken stands in it, and nothing can break it."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import html5lib
import pytest

from channels.rendering import render_email, render_sms
from incentives.messages.port import BooksLetter
from tests.letters import HOST

EVIL = '<script>alert("x")</script>&amp;{{7*7}}{brand}'
LETTER = BooksLetter(
    message_id=uuid.UUID(int=4),
    channel="email",
    template="notice-books",
    locale="en",
    to="fin@northwind.example",
    staff_name="Fin",
    brand="Northwind",
    broken=("audit_events 0199, seal 7: is not as it was sealed", "seal 9: is missing"),
    ended_at=datetime(2026, 11, 20, 12, 5, tzinfo=UTC),
    time_zone="Europe/London",
    url=f"https://{HOST}/finance#checks",
)


def test_it_says_what_is_broken_and_when_and_where_to_look() -> None:
    email = render_email(LETTER)
    assert email.subject == "The books do not hold"
    for text in (email.text, email.html):
        for part in (*LETTER.broken, "Nov 20, 2026, 12:05", LETTER.url, "Do not repair anything yet", "Fin"):
            assert part in text
    many = replace(LETTER, broken=tuple(f"seal {number}: is missing" for number in range(13)))
    assert "and 3 more" in render_email(many).text


def test_nothing_in_it_is_taken_for_html() -> None:
    evil = render_email(replace(LETTER, broken=(EVIL,), brand=EVIL, staff_name=EVIL))
    assert "<script>" not in evil.html
    assert "49" not in evil.text
    html5lib.HTMLParser(strict=True).parse(evil.html)


def test_it_has_no_sms() -> None:
    with pytest.raises(TypeError, match="no SMS"):
        render_sms(LETTER)
