"""How the staff pages say amounts, instants and states: the templates' filters and the tables of words behind them."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_currency

from incentives.kernel.money import AMOUNT_MINOR_MAX, Money, minor_digits
from incentives.queries.issuances import UNCERTAIN

LOCALE = "en_US"
# Digits, perhaps parted in thousands, and perhaps a sign with the decimals.
_AMOUNT = re.compile("([0-9][0-9 ,.'\u00a0\u202f]*?)(?:([.,])([0-9]{1,4}))?")
_END_OF_DAY = timedelta(minutes=1)
_JUST_NOW = timedelta(seconds=45)

MONEY_KINDS = {"amount_off": " off", "store_credit": " credit", "refund_request": " back"}
"""Kinds that are worth an amount of money on their face, and the word behind it."""

SEVERITIES = {1: "Slight", 2: "Annoying", 3: "Serious", 4: "Grave"}

LANGUAGE_WORDS = {
    "ar": "Arabic", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "tr": "Turkish", "zh": "Chinese",
}  # fmt: skip

BLOCKED = {
    "amount-above-protocol": "More than may be given for this trouble.",
    "budget-exhausted": "A budget for this has no room left.",
    "issuing-stopped": "Giving this is stopped for now.",
    "channel-without-address": "There is no address to send it to.",
    "exclusive-group-taken": "This case has one of its kind already.",
    "too-many-open": "This customer has enough of these already.",
    "customer-cap-reached": "This customer has had as much as one customer may have.",
    "inactive": "Not offered at present.",
    "no-budget": "No budget is in this currency.",
    "not-at-this-location": "Not offered at this location.",
    "window-closed": "Not offered today.",
    "wrong-currency": "In another currency than this location's.",
}

LIMITS = {
    "over-voucher-limit": "for one voucher",
    "over-daily-limit": "for one day",
    "over-customer-limit": "for one customer",
}

# Why a person must agree to what a rule would give; the limits of people have nothing to do with it.
RULES_ASK = {
    "rule-asks": "the rule asks for it",
    "automation-ceiling": "more than a rule gives by itself",
    "abuse:self_dealing": "it goes to an address of the giver's own",
    "abuse:same_customer_by_person": "the same person gave to this customer again and again",
    "abuse:issues_per_person": "the same person gives unusually often",
    "abuse:issues_per_key": "the same program gives unusually often",
    "abuse:issues_per_ip_block": "unusually much is given from this network",
    "abuse:just_below_limit": "the same person gives just below their limit again and again",
    "abuse:burst_at_end_of_shift": "most of the shift's gifts were given at its end",
    "abuse:review_list": "the customer or the giver is on the review list",
}

# What a delivery's status is called: tone, sign, words.
DELIVERIES = {
    "queued": ("news", "clock", "On its way"),
    "held": ("warn", "hourglass", "Held"),
    "sending": ("news", "clock", "On its way"),
    "captured": ("good", "inbox", "Captured here"),
    "sent": ("good", "check", "Sent"),
    "delivered": ("good", "check", "Delivered"),
    "bounced": ("bad", "cross", "Came back"),
    "failed": ("bad", "cross", "Not delivered"),
    "suppressed": ("warn", "lock", "Not sent"),
    "withdrawn": ("news", "cross", "Withdrawn"),
}
IN_DOUBT = "in-doubt"
"""How far a message has come of which nobody knows whether it arrived; it has failed, as far as statuses go."""
_UNCERTAIN = ("warn", "alert", "May have arrived")
MOVING = ("queued", "sending")
"""Statuses of a delivery that change by themselves within moments."""

CHANNELS = {"email": ("mail", "Email"), "sms": ("chat", "SMS")}

STEPS = {
    "apologize": "Apologize",
    "document": "Document",
    "fix": "Fix it",
    "follow_up": "Follow up",
    "gather": "Gather what happened",
    "resolve": "Resolve it",
    "review": "Review",
    "survey": "Ask how it went",
}


def delivery(status: str, reason: str | None) -> tuple[str, str, str]:
    """Return how a delivery is called: tone, sign, words. Of one that was given up nobody may know how it ended."""
    found = delivered(status, reason)
    return _UNCERTAIN if found == IN_DOUBT else DELIVERIES[found]


def delivered(status: str, reason: str | None) -> str:
    """Return how far a delivery has come: its status, or ``IN_DOUBT``."""
    return IN_DOUBT if reason == UNCERTAIN and status == "failed" else status


def money(amount: Money) -> str:
    """Return an amount as people write it: ``$1,234.50``, with exactly the currency's own minor digits."""
    digits = minor_digits(amount.currency)
    pattern = "¤#,##0" + ("." + "0" * digits if digits else "")
    value = Decimal(amount.amount_minor).scaleb(-digits)
    return format_currency(value, amount.currency, pattern, locale=LOCALE, currency_digits=False)


def worth(kind: str, amount: Money | None, percent: int | None) -> tuple[str, str]:
    """Return an incentive's worth in large letters and in small ones; a thing has small ones alone, its cost."""
    if kind == "apology_only" or amount is None:
        return "", ""
    if kind == "percent_off":
        return f"{percent}% off", f"at most {money(amount)}"
    if kind in MONEY_KINDS:
        return money(amount) + MONEY_KINDS[kind], ""
    return "", f"costs us {money(amount)}"


def plain_amount(amount: Money) -> str:
    """Return an amount's number alone, as a field holds it: ``1234.50``."""
    return f"{Decimal(amount.amount_minor).scaleb(-minor_digits(amount.currency)):f}"


def amount_minor_of(text: str, currency: str) -> int:
    """Return the minor units that a person typed: ``75``, ``$1,234.50`` and ``1.234,50`` are understood.

    Raises ``ValueError`` for anything else, for more decimal places than the currency has, and beyond the range.
    """
    digits = minor_digits(currency)
    found = _AMOUNT.fullmatch(text.strip().strip("$€£¥").strip())
    if found is None:
        raise ValueError(text)
    whole, sign, part = re.sub("[^0-9]", "", found[1]), found[2] or "", found[3] or ""
    if len(part) == 3 and digits != 3:  # noqa: PLR2004 - three digits behind a sign are thousands: 1,234
        whole, part = whole + part, ""
    # A sign that parts thousands does not part decimals too: 12.345.6 is a slip of the finger.
    if len(part) > digits or (part and sign in found[1]):
        raise ValueError(text)
    try:
        amount_minor = int(Decimal(f"{whole}.{part or 0}").scaleb(digits))
    except InvalidOperation as error:
        raise ValueError(text) from error
    if amount_minor > AMOUNT_MINOR_MAX:
        raise ValueError(text)
    return amount_minor


def instant(at: datetime, zone: str | None = None) -> str:
    """Return an instant in a zone: ``22 Nov 2026, 10:41`` (UTC is said where no zone is known)."""
    text = format_datetime(at, "d MMM y, HH:mm", tzinfo=ZoneInfo(zone or "UTC"), locale=LOCALE)
    return text if zone else f"{text} UTC"


def expiry(at: datetime, zone: str) -> str:
    """Return until when a voucher is good, with its zone: the end of a local day has no time of its own."""
    local = at.astimezone(ZoneInfo(zone))
    place = zone.rpartition("/")[2].replace("_", " ")
    if (local + _END_OF_DAY).date() != local.date():
        return f"{format_datetime(local, 'd MMMM y', locale=LOCALE)}, end of the day ({place} time)"
    return f"{format_datetime(local, 'd MMMM y, HH:mm', locale=LOCALE)} ({place} time)"


def ago(at: datetime, now: datetime) -> str:
    """Return how long ago something was, or how long it will take: ``8 minutes ago``, ``in 3 days``."""
    if abs(now - at) < _JUST_NOW:
        return "just now"
    return format_timedelta(at - now, add_direction=True, granularity="minute", locale=LOCALE)


def lasting(step: timedelta) -> str:
    """Return how long something took: ``less than a minute``, ``8 minutes``."""
    if step < timedelta(minutes=1):
        return "less than a minute"
    return format_timedelta(step, granularity="minute", threshold=1.5, locale=LOCALE)


def initials(name: str) -> str:
    """Return up to two letters that stand for a person."""
    letters = [word[0] for word in re.split(r"[\s._-]+", name) if word]
    return "".join((letters[0], letters[-1]) if len(letters) > 1 else letters[:1]).upper()


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its word: ``1 voucher``, ``2 vouchers``."""
    return f"{number:,} {one if number == 1 else many}"


def over_limits(slugs: Iterable[str], whose: str) -> str:
    """Return why somebody else must agree: ``above your limit for one voucher and for one day``."""
    kept = list(slugs)
    parts = [RULES_ASK[slug] for slug in kept if slug in RULES_ASK]
    limits = " and ".join(LIMITS.get(slug, in_words(slug)) for slug in kept if slug not in RULES_ASK)
    return ", ".join((*parts, *((f"above {whose} limit {limits}",) if limits else ())))


def in_words(slug: str) -> str:
    """Return a slug as words, where no table has better ones."""
    return slug.replace("-", " ").replace("_", " ").capitalize()
