"""Money, dates and what an incentive is worth, in the customer's language and their country's writing."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Protocol
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_timezone_location
from babel.numbers import format_decimal, format_percent, get_currency_symbol

from channels.sms_text import fold, plain_typography, size_of
from channels.words import LANGUAGES, Words, language_of, words_for
from incentives.kernel.money import Money, minor_digits

_NO_BREAK_SPACE = "\u00a0"


class Offer(Protocol):
    """What letters and vouchers have in common: what is given."""

    @property
    def kind(self) -> str:
        """The incentive's kind, such as ``amount_off``."""

    @property
    def title(self) -> str:
        """Its title in the customer's language."""

    @property
    def amount(self) -> Money | None:
        """Face value, ceiling, or what it costs us, by kind."""

    @property
    def percent(self) -> int | None:
        """Of ``percent_off``."""

    @property
    def points(self) -> int | None:
        """Of ``points``."""

    @property
    def item(self) -> str | None:
        """What is replaced, given or upgraded to."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A language's words together with the country's way to write numbers and dates."""

    words: Words
    locale: Locale

    @property
    def tag(self) -> str:
        """Return the tag for HTML's ``lang``: ``es-MX``."""
        return str(self.locale).replace("_", "-")

    def for_sms(self) -> "Speech":
        """Return the same speech with our own words in the seven-bit alphabet, for the price of it."""
        return Speech(_folded(self.words), self.locale)


@cache
def _folded(words: Words) -> Words:
    return Words(**{field.name: fold(getattr(words, field.name)) for field in fields(words)})


def speech_for(locale: str | None) -> Speech:
    """Return how to speak to a customer: ``es-MX`` is Spanish with Mexico's numbers.

    A language that we do not speak is answered in English. The country is kept only together with its
    language: English words around German numbers would be misread.
    """
    words = words_for(locale)
    if language_of(locale) not in LANGUAGES:
        return Speech(words, Locale.parse(words.language))
    try:
        return Speech(words, Locale.parse((locale or "").replace("_", "-").strip(), sep="-"))
    except (UnknownLocaleError, ValueError):
        return Speech(words, Locale.parse(words.language))


def money_text(money: Money, speech: Speech, *, short: bool = False) -> str:
    """Return an amount as the customer's country writes it: ``$25.00``, ``25,00 €``.

    ``short`` is for SMS: no cents where there are none, and the currency's code where its symbol would double
    the price of the message (``INR 500`` for ``₹500``).
    """
    digits = minor_digits(money.currency)
    amount = Decimal(money.amount_minor).scaleb(-digits)
    pattern = copy(speech.locale.currency_formats["standard"])
    # Babel would round to CLDR's digits, which are not ISO 4217's: RSD 25.50 would read 26.
    digits = 0 if short and amount == amount.to_integral_value() else digits
    pattern.frac_prec = (digits, digits)
    text = pattern.apply(amount, speech.locale, currency=money.currency, currency_digits=False)
    symbol = get_currency_symbol(money.currency, locale=speech.locale)
    if short and size_of(plain_typography(text)).encoding != "GSM-7":
        text, symbol = text.replace(symbol, money.currency), money.currency
    return _apart(text, symbol)


def _apart(text: str, symbol: str) -> str:
    """Put a space between a currency's letters and the digits (``USD25`` -> ``USD 25``), as CLDR asks."""
    head, found, tail = text.partition(symbol)
    if found and symbol[-1].isalpha() and tail[:1].isdigit():
        return head + symbol + _NO_BREAK_SPACE + tail
    return text


def value_text(offer: Offer, speech: Speech, *, short: bool = False) -> str:
    """Return what the customer gets: ``$25.00 off``; empty when it is an apology and nothing else.

    The amount of a replacement, an item, an upgrade, shipping or points is what it costs us, which is no
    business of the customer's: those are told by their name.
    """
    words = speech.words
    money = money_text(offer.amount, speech, short=short) if offer.amount else ""
    percent = format_percent(Decimal(offer.percent or 0) / 100, locale=speech.locale)
    item = offer.item or offer.title
    said = {
        "amount_off": (words.sms_amount_off if short else words.amount_off).format(amount=money),
        "percent_off": _percent_off(words, percent, money, short=short),
        "store_credit": (words.sms_store_credit if short else words.store_credit).format(amount=money),
        "refund_request": words.refund_request.format(amount=money),
        "replacement": words.replacement.format(item=item),
        "free_item": words.free_item.format(item=item),
        "free_upgrade": words.free_upgrade.format(item=item),
        "free_shipping": words.free_shipping,
        "points": _points(offer.points or 0, speech),
        "apology_only": "",
    }
    return said.get(offer.kind, offer.title)


def _percent_off(words: Words, percent: str, ceiling: str, *, short: bool) -> str:
    if short:
        return (words.sms_percent_off_up_to if ceiling else words.sms_percent_off).format(
            percent=percent, amount=ceiling
        )
    return (words.percent_off_up_to if ceiling else words.percent_off).format(percent=percent, amount=ceiling)


def _points(points: int, speech: Speech) -> str:
    text = speech.words.points_one if points == 1 else speech.words.points_many
    return text.format(points=format_decimal(points, locale=speech.locale))


def last_moment(expires_at: datetime, time_zone: str) -> datetime:
    """Return the last instant at which the voucher is good, in the zone that its expiry is told in.

    A voucher that ends at midnight ends with the day before: telling the new day's date would promise a day
    too much.
    """
    return (expires_at - timedelta(microseconds=1)).astimezone(ZoneInfo(time_zone))


def date_text(expires_at: datetime, time_zone: str, speech: Speech) -> str:
    """Return the last day, briefly: ``Mar 31, 2027``."""
    return format_date(last_moment(expires_at, time_zone), "medium", locale=speech.locale)


def expiry_text(expires_at: datetime, time_zone: str, speech: Speech) -> str:
    """Return until when, with the zone: ``until the end of March 31, 2027 (New York time)``."""
    last = last_moment(expires_at, time_zone)
    date = format_date(last, "long", locale=speech.locale)
    zone = speech.words.zone.format(city=_city(time_zone, speech))
    if (last + timedelta(minutes=1)).date() != last.date():
        return speech.words.until_end_of_day.format(date=date, zone=zone)
    moment = expires_at.astimezone(ZoneInfo(time_zone))
    time = format_time(moment, "short", locale=speech.locale)
    return speech.words.until_moment.format(time=time, date=date, zone=zone)


def _city(time_zone: str, speech: Speech) -> str:
    """Return a zone's city in the customer's language: a name that people know, in summer as in winter."""
    city = get_timezone_location(time_zone, locale=speech.locale, return_city=True)
    return city.rpartition("/")[2]


def where_text(where_to_use: Sequence[str], brand: str, speech: Speech) -> list[str]:
    """Return the places that take the voucher, one a line."""
    return list(where_to_use) or [speech.words.everywhere.format(brand=brand)]
