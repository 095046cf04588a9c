"""What the world calls things: currencies, countries, time zones, languages, addresses."""

from functools import cache
from zoneinfo import available_timezones

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from email_validator import EmailNotValidError, validate_email


def is_currency(text: str) -> bool:
    """Return whether this is an ISO 4217 currency in which people pay somewhere today."""
    return text in _currencies()


def is_country(text: str) -> bool:
    """Return whether this is an ISO 3166 country, one that has telephone numbers of its own."""
    import phonenumbers  # noqa: PLC0415 - a few megabytes that only who reads a catalog needs

    return text in phonenumbers.SUPPORTED_REGIONS


def is_time_zone(text: str) -> bool:
    """Return whether this is a zone of the IANA database, spelled as there."""
    return text in time_zones()


@cache
def time_zones() -> frozenset[str]:
    """Return the names of all zones that name a place, and UTC; abbreviations such as EST are left out."""
    return frozenset(name for name in available_timezones() if "/" in name or name == "UTC")


def is_language(text: str) -> bool:
    """Return whether this is a BCP 47 language tag that CLDR knows, such as en, es or pt-BR."""
    try:
        return str(Locale.parse(text, sep="-")).replace("_", "-") == text
    except (UnknownLocaleError, ValueError):
        return False


def is_email(text: str) -> bool:
    """Return whether this has the form of an email address; nobody is asked whether it exists."""
    try:
        validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True


@cache
def _currencies() -> frozenset[str]:
    # CLDR lists for each territory (code, from, until, tender): money of today has no end and is tender.
    lists = get_global("territory_currencies").values()
    return frozenset(code for entries in lists for code, _, until, tender in entries if until is None and tender)
