"""What people type and read: amounts, instants, reasons."""

from datetime import UTC, datetime, timedelta

import pytest

from admin import plain, words
from admin.csrf import check, token_for
from incentives.kernel import errors
from incentives.kernel.errors import CsrfRejected, Refusal
from incentives.kernel.keys import KeyRing
from incentives.kernel.money import Money

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("25", "GBP", 2500),
        ("25.5", "GBP", 2550),
        ("25,50", "EUR", 2550),
        ("£25.00", "GBP", 2500),
        (" 1,234.56 ", "USD", 123456),
        ("1.234,56", "EUR", 123456),
        ("1 234,56", "EUR", 123456),
        ("1'234.50", "CHF", 123450),
        ("1,234", "USD", 123400),
        ("1,234,567", "USD", 123456700),
        ("500", "JPY", 500),
        ("1,500", "JPY", 1500),
        ("1.234", "KWD", 1234),
        ("0", "USD", 0),
    ],
)
def test_amounts_are_understood_as_people_type_them(text: str, currency: str, amount_minor: int) -> None:
    assert words.amount_minor_of(text, currency) == amount_minor


@pytest.mark.parametrize(
    "text", ["", "many", "-5", "+5", "1e3", "5.5.5.5x", "0x10", "12.345.6", "nan", "٣", "9" * 30, "1.2345", "."]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        words.amount_minor_of(text, "USD")


def test_a_yen_has_no_decimals() -> None:
    with pytest.raises(ValueError, match=r"5\.5"):
        words.amount_minor_of("5.5", "JPY")


@pytest.mark.parametrize(
    ("amount", "text", "plain_text"),
    [
        (Money(123456, "USD"), "$1,234.56", "1234.56"),
        (Money(500, "JPY"), "¥500", "500"),
        (Money(1500, "KWD"), "KWD\u00a01.500", "1.500"),
        (Money(0, "EUR"), "€0.00", "0.00"),
        (Money(-2500, "GBP"), "-£25.00", "-25.00"),
    ],
)
def test_amounts_are_written_with_all_their_digits(amount: Money, text: str, plain_text: str) -> None:
    assert words.money(amount).replace("KWD1", "KWD\u00a01") == text
    assert words.plain_amount(amount) == plain_text


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
def test_a_field_that_nobody_touched_means_the_same_amount(currency: str) -> None:
    for amount_minor in (0, 1, 999, 1000, 123456):
        assert words.amount_minor_of(words.plain_amount(Money(amount_minor, currency)), currency) == amount_minor


def test_the_end_of_a_local_day_has_no_time() -> None:
    end = datetime(2027, 3, 31, 22, 59, 59, 999999, tzinfo=UTC)
    assert words.expiry(end, "Europe/London") == "31 March 2027, end of the day (London time)"
    assert words.expiry(end, "America/New_York") == "31 March 2027, 18:59 (New York time)"


def test_instants_say_their_zone_when_it_is_nobodys() -> None:
    assert words.instant(NOW, "Europe/Madrid") == "20 Nov 2026, 13:00"
    assert words.instant(NOW) == "20 Nov 2026, 12:00 UTC"


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (timedelta(seconds=-20), "just now"),
        (timedelta(minutes=-8), "8 minutes ago"),
        (timedelta(days=3), "in 3 days"),
    ],
)
def test_how_long_ago(step: timedelta, text: str) -> None:
    assert words.ago(NOW + step, NOW) == text


@pytest.mark.parametrize(
    ("name", "text"), [("Ana Torres", "AT"), ("ana", "A"), ("Till at the desk", "TD"), ("", ""), ("a.b-c", "AC")]
)
def test_initials(name: str, text: str) -> None:
    assert words.initials(name) == text


def test_every_status_has_words() -> None:
    from incentives.messages.tables import CHANNELS, STATUSES  # noqa: PLC0415 - only here

    assert set(words.DELIVERIES) == set(STATUSES)
    assert set(words.CHANNELS) == set(CHANNELS)


def test_no_next_step_on_a_page_is_for_programs() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Refusal)]
    # Said only by the API or at the operator's prompt.
    elsewhere = {errors.IdempotencyKeyMissing, errors.SettingsInvalid, errors.TooManyRequests}
    said = {kind.__name__: plain.next_step_of(kind) for kind in kinds if kind not in elsewhere}
    jargon = ("/api/", "Idempotency", "POST", "GET ", "bearer", "_minor", "order_total", "case_id")
    assert {name: text for name, text in said.items() if any(word in text for word in jargon)} == {}


def test_a_wait_is_said_in_minutes() -> None:
    assert plain.next_step(errors.TooManyRequests(retry_after_seconds=61)) == "Wait 2 minutes, then try again."


def test_a_rotated_key_still_verifies_and_a_retired_one_does_not() -> None:
    old, new = ("old", b"o" * 32), ("new", b"n" * 32)
    token = token_for(KeyRing((old,)), "secret")
    check(KeyRing((old, new)), secret="secret", token=token, headers={}, own_origins=())
    with pytest.raises(CsrfRejected):
        check(KeyRing((new,)), secret="secret", token=token, headers={}, own_origins=())
