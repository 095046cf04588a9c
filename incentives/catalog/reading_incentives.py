"""The incentives of the catalog file: which fields each kind has, where it is good, and when."""

from dataclasses import replace
from typing import Any

from incentives.catalog.conditions import OFFER, REDEEM
from incentives.catalog.definitions import Brand
from incentives.catalog.fields import Fields
from incentives.catalog.incentive import (
    END_OF_LOCAL_DAY,
    FIELDS_OF_KIND,
    FORFEIT,
    INSTANT,
    NEW_VOUCHER,
    Incentive,
)
from incentives.catalog.international import is_email
from incentives.catalog.reading_conditions import read_condition
from incentives.kernel.actors import PERMISSIONS, Role

VALID_DAYS_MOST = 3650
REDEMPTIONS_MOST = 100

_TITLE_LONGEST = 60
_TERMS_LONGEST = 500
_MESSAGE_LONGEST = 200
_NAME_LONGEST = 200
_POINTS_MOST = 100_000_000
_DAYS_MOST = 3650
_OPEN_MOST = 1000
_PRODUCT_LISTS = ("products", "excluded_products", "collections")


def read_incentive(fields: Fields, brand: Brand) -> Incentive:
    """Read an incentive; its kind says which fields it must have, and it has no others."""
    kind = fields.choice("kind", tuple(FIELDS_OF_KIND))
    if kind in FIELDS_OF_KIND:
        has = FIELDS_OF_KIND[kind]
        fields.only(has.required, has.optional, of=f"an incentive of kind {kind}")
    else:
        every = [name for has in FIELDS_OF_KIND.values() for name in (*has.required, *has.optional)]
        fields.only(("key", "kind", "title"), dict.fromkeys(every), of="an incentive")
    incentive = Incentive(
        key=fields.key(),
        kind=kind,
        title=fields.words("title", brand.languages, longest=_TITLE_LONGEST),
        active=fields.flag("active", default=True),
        offerable_from_date=fields.date("offerable_from_date"),
        offerable_until_date=fields.date("offerable_until_date"),
    )
    more = (_voucher_fields(fields, brand), _value_fields(fields, brand), _place_fields(fields), _till_fields(fields))
    for read in (*more, _condition_fields(fields, brand)):
        incentive = replace(incentive, **read)
    _check_dates(fields, incentive)
    _check_range(fields, incentive)
    _check_uses(fields, incentive)
    return incentive


def _voucher_fields(fields: Fields, brand: Brand) -> dict[str, Any]:
    return {
        "terms": fields.maybe_words("terms", brand.languages, longest=_TERMS_LONGEST),
        "currency": fields.currency(),
        "valid_days": fields.maybe_number("valid_days", least=1, most=VALID_DAYS_MOST),
        "expiry": fields.choice("expiry", (END_OF_LOCAL_DAY, INSTANT), END_OF_LOCAL_DAY),
        "remainder": fields.choice("remainder", (FORFEIT, NEW_VOUCHER), FORFEIT),
    }


def _value_fields(fields: Fields, brand: Brand) -> dict[str, Any]:
    return {
        "amount_minor": fields.maybe_amount("amount_minor"),
        "min_amount_minor": fields.maybe_amount("min_amount_minor"),
        "max_amount_minor": fields.maybe_amount("max_amount_minor"),
        "percent": fields.maybe_number("percent", least=1, most=100),
        "max_discount_minor": fields.maybe_amount("max_discount_minor"),
        "item": fields.maybe_words("item", brand.languages, longest=_TITLE_LONGEST),
        "points": fields.maybe_number("points", least=1, most=_POINTS_MOST),
        "accounting_cost_minor": fields.maybe_amount("accounting_cost_minor", least=0),
    }


def _place_fields(fields: Fields) -> dict[str, Any]:
    return {
        "locations": fields.locations("locations"),
        "excluded_locations": fields.locations("excluded_locations"),
        "redeem_locations": fields.locations("redeem_locations"),
        "exclusive_group": fields.key("exclusive_group") or None,
        "most_open_per_customer": fields.maybe_number("most_open_per_customer", least=1, most=_OPEN_MOST),
    }


def _till_fields(fields: Fields) -> dict[str, Any]:
    return {
        "max_redemptions": fields.number_or(1, "max_redemptions", least=1, most=REDEMPTIONS_MOST),
        "min_order_minor": fields.maybe_amount("min_order_minor"),
        **{name: tuple(fields.texts(name, longest=_NAME_LONGEST)) for name in _PRODUCT_LISTS},
        "redeemers": _redeemers(fields),
        "reversal_days": fields.number_or(90, "reversal_days", least=0, most=_DAYS_MOST),
        "grace_days": fields.number_or(7, "grace_days", least=0, most=_DAYS_MOST),
        "most_extend_days": fields.number_or(90, "most_extend_days", least=0, most=_DAYS_MOST),
    }


def _redeemers(fields: Fields) -> tuple[str, ...]:
    """Read roles, emails and names of API keys; what looks like an email must be one, and goes in small letters."""
    found = fields.texts("redeemers", longest=_NAME_LONGEST)
    for text, node in found.items():
        if "@" in text and not is_email(text):
            fields.wrong(node, f"“{text}” is not an email address.")
        if text in tuple(Role) and "redemptions:create" not in PERMISSIONS[Role(text)]:
            fields.wrong(node, f"The role {text} never redeems anything; take it out.")
    return tuple(text.lower() if "@" in text else text for text in found)


def _condition_fields(fields: Fields, brand: Brand) -> dict[str, Any]:
    currency = fields.currency() if fields.has("currency") else None
    read: dict[str, Any] = {}
    for name, stage in (("offer_when", OFFER), ("redeem_when", REDEEM)):
        read[name] = read_condition(fields, name, stage=stage, currency=currency)
        said = f"{name}_message"
        read[said] = fields.words(said, brand.languages, longest=_MESSAGE_LONGEST)
        if fields.has(said) and not fields.has(name):
            fields.wrong(fields.at(said), f"Nobody is ever told this without “{name}”; add it, or leave this out.")
    return read


def _check_uses(fields: Fields, incentive: Incentive) -> None:
    if incentive.max_redemptions > 1 and incentive.remainder == NEW_VOUCHER:
        why = "What can be redeemed several times leaves no remainder; leave one of the two out."
        fields.wrong(fields.at("remainder"), why)
    both = [each for each in incentive.excluded_products if each in incentive.products]
    if both:
        fields.wrong(
            fields.at("excluded_products"), f"“{both[0]}” is both wanted and excluded; take it out of one list."
        )


def _check_dates(fields: Fields, incentive: Incentive) -> None:
    first, last = incentive.offerable_from_date, incentive.offerable_until_date
    if first and last and last < first:
        fields.wrong(fields.at("offerable_until_date"), f"This is before the first day ({first}); put them in order.")


def _check_range(fields: Fields, incentive: Incentive) -> None:
    if incentive.kind not in FIELDS_OF_KIND or "min_amount_minor" not in FIELDS_OF_KIND[incentive.kind].optional:
        return
    has_least, has_most = fields.has("min_amount_minor"), fields.has("max_amount_minor")
    if has_least != has_most:
        there = "min_amount_minor" if has_least else "max_amount_minor"
        fields.wrong(fields.at(there), "Give both min_amount_minor and max_amount_minor, or neither.")
    bounds, amount = incentive.amount_bounds, incentive.amount_minor
    if bounds is None or amount is None:
        return
    if not bounds[0] <= amount <= bounds[1]:
        fields.wrong(fields.at("amount_minor"), f"{amount} is not between the bounds {bounds[0]} and {bounds[1]}.")
