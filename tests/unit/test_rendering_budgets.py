"""The letter about a budget: what stands in it, and that nothing in a name can break it."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import html5lib
import pytest

from channels.rendering import render_email, render_sms
from incentives.kernel.money import Money
from incentives.messages.port import BudgetLetter
from incentives.spending.alerts import THRESHOLDS
from tests.letters import HOST

EVIL = '<script>alert("x")</script>&amp;{{7*7}}{brand}'
LETTER = BudgetLetter(
    message_id=uuid.UUID(int=3),
    channel="email",
    template="notice-budget",
    locale="en",
    to="fin@northwind.example",
    staff_name="Fin",
    brand="Northwind",
    budget="London",
    subject="London Heathrow",
    threshold_percent=80,
    used=Money(1_200_000, "GBP"),
    ceiling=Money(1_500_000, "GBP"),
    used_count=4100,
    ceiling_count=5000,
    ends_at=datetime(2027, 3, 31, 23, 0, tzinfo=UTC),
    time_zone="Europe/London",
    url=f"https://{HOST}/finance/budgets/london-month?period=2027-03-01",
)


def test_it_says_how_far_of_how_much_and_until_when() -> None:
    email = render_email(LETTER)
    assert email.subject == "A budget is 80 percent used: London"
    for text in (email.text, email.html):
        assert "London, London Heathrow" in text
        assert "£12,000.00 of £15,000.00, 4,100 of 5,000 vouchers" in text
        assert "until Apr 1, 2027, 00:00" in text
        assert LETTER.url in text
        assert "See when it will run dry" in text


def test_it_leaves_out_what_the_budget_does_not_limit() -> None:
    counted = replace(LETTER, used=None, ceiling=None, ends_at=None, subject=None)
    text = render_email(counted).text
    assert "4,100 of 5,000 vouchers\n" in text
    assert "£" not in text
    assert "until" not in text
    money = render_email(replace(LETTER, ceiling_count=None)).text
    assert " vouchers" not in money


@pytest.mark.parametrize("percent", THRESHOLDS)
def test_each_threshold_has_its_words(percent: int) -> None:
    email = render_email(replace(LETTER, threshold_percent=percent))
    assert email.subject == (
        "A budget is used up: London" if percent == 100 else f"A budget is {percent} percent used: London"
    )


def test_a_name_breaks_nothing() -> None:
    email = render_email(replace(LETTER, budget=f"{EVIL}\r\nBcc: x", subject=EVIL, brand=EVIL, staff_name=EVIL))
    html5lib.HTMLParser(strict=True).parse(email.html)
    assert "<script" not in email.html
    assert "49" not in email.text
    assert "\n" not in email.subject
    assert "\r" not in email.subject


def test_staff_get_no_sms() -> None:
    with pytest.raises(TypeError):
        render_sms(LETTER)
