"""Incentives: what may be offered. One class for all kinds, one table that says which fields a kind has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, ClassVar

from incentives.catalog.definitions import Definition


class IncentiveKind(StrEnum):
    """The typed kinds; ``FIELDS_OF_KIND`` says what each has and needs."""

    AMOUNT_OFF = "amount_off"
    PERCENT_OFF = "percent_off"
    STORE_CREDIT = "store_credit"
    REFUND_REQUEST = "refund_request"
    REPLACEMENT = "replacement"
    FREE_ITEM = "free_item"
    FREE_UPGRADE = "free_upgrade"
    FREE_SHIPPING = "free_shipping"
    POINTS = "points"
    APOLOGY_ONLY = "apology_only"


MONEY_KINDS = frozenset({IncentiveKind.AMOUNT_OFF, IncentiveKind.STORE_CREDIT, IncentiveKind.REFUND_REQUEST})
"""Kinds whose value is an amount of money on their face."""


@dataclass(frozen=True, slots=True)
class KindFields:
    """The fields that a kind must have and those it may have; every other field is a mistake."""

    required: tuple[str, ...]
    optional: tuple[str, ...]


_ALWAYS = ("key", "kind", "title")
_MAYBE = (
    "offerable_from_date",
    "offerable_until_date",
    "locations",
    "excluded_locations",
    "active",
    "exclusive_group",
    "most_open_per_customer",
    "offer_when",
    "offer_when_message",
)
_ANYWHERE = (
    "expiry",
    "redeem_locations",
    "redeemers",
    "redeem_when",
    "redeem_when_message",
    "reversal_days",
    "grace_days",
    "most_extend_days",
)
_AT_THE_TILL = (
    *_ANYWHERE,
    "max_redemptions",
    "min_order_minor",
    "products",
    "excluded_products",
    "collections",
)
_VOUCHER = (*_ALWAYS, "terms", "currency", "valid_days")
_RANGE = ("min_amount_minor", "max_amount_minor")

_MONEY = KindFields((*_VOUCHER, "amount_minor"), (*_MAYBE, *_AT_THE_TILL, *_RANGE))
# What is left of a refund or of a thing cannot become a new voucher; only spendable money can.
_SPENDABLE = KindFields(_MONEY.required, (*_MONEY.optional, "remainder"))
_ITEM = KindFields((*_VOUCHER, "item", "accounting_cost_minor"), (*_MAYBE, *_AT_THE_TILL))

FIELDS_OF_KIND: Mapping[str, KindFields] = {
    IncentiveKind.AMOUNT_OFF: _SPENDABLE,
    IncentiveKind.STORE_CREDIT: _SPENDABLE,
    # A refund is asked for once, and of no sale.
    IncentiveKind.REFUND_REQUEST: KindFields(_MONEY.required, (*_MAYBE, *_ANYWHERE, *_RANGE)),
    IncentiveKind.PERCENT_OFF: KindFields((*_VOUCHER, "percent", "max_discount_minor"), (*_MAYBE, *_AT_THE_TILL)),
    IncentiveKind.REPLACEMENT: _ITEM,
    IncentiveKind.FREE_ITEM: _ITEM,
    IncentiveKind.FREE_UPGRADE: _ITEM,
    IncentiveKind.FREE_SHIPPING: KindFields((*_VOUCHER, "accounting_cost_minor"), (*_MAYBE, *_AT_THE_TILL)),
    IncentiveKind.POINTS: KindFields((*_VOUCHER, "points", "accounting_cost_minor"), (*_MAYBE, *_AT_THE_TILL)),
    IncentiveKind.APOLOGY_ONLY: KindFields(_ALWAYS, _MAYBE),
}

END_OF_LOCAL_DAY = "end_of_local_day"
INSTANT = "instant"
FORFEIT = "forfeit"
NEW_VOUCHER = "new_voucher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incentive(Definition):
    """A pre-approved thing to offer. Fields that its kind does not have are None (see ``FIELDS_OF_KIND``).

    ``locations`` empty means offerable and usable everywhere but at ``excluded_locations``; ``redeem_locations`` are
    where it is usable if that is not where it is offered. Both offerable dates are included, in the location's time
    zone. All ``_minor`` amounts are in ``currency``.

    With ``max_redemptions`` above 1 every value is that of one redemption, and what is promised is so many times as
    much. A sale takes it from ``min_order_minor`` on; with ``products`` or ``collections`` only what of the sale
    belongs to them counts, and ``excluded_products`` never do. ``redeemers`` are roles, or emails or names of API
    keys. ``offer_when`` and ``redeem_when`` are conditions (``conditions.py``) with a message for whoever is refused.
    Of one ``exclusive_group`` a case has one open voucher. A redemption is reversed within ``reversal_days``, and what
    it gives back is good for ``grace_days`` at least; it can be extended by ``most_extend_days`` in all.
    """

    item_kind: ClassVar[str] = "incentive"

    key: str
    kind: str
    title: Mapping[str, str]
    terms: Mapping[str, str] | None = None
    currency: str | None = None
    valid_days: int | None = None
    expiry: str = END_OF_LOCAL_DAY
    offerable_from_date: date | None = None
    offerable_until_date: date | None = None
    locations: tuple[str, ...] = ()
    active: bool = True
    remainder: str = FORFEIT
    amount_minor: int | None = None
    min_amount_minor: int | None = None
    max_amount_minor: int | None = None
    percent: int | None = None
    max_discount_minor: int | None = None
    item: Mapping[str, str] | None = None
    points: int | None = None
    accounting_cost_minor: int | None = None
    excluded_locations: tuple[str, ...] = ()
    redeem_locations: tuple[str, ...] = ()
    max_redemptions: int = 1
    min_order_minor: int | None = None
    products: tuple[str, ...] = ()
    excluded_products: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    redeemers: tuple[str, ...] = ()
    exclusive_group: str | None = None
    most_open_per_customer: int | None = None
    offer_when: Mapping[str, Any] = field(default_factory=dict)
    offer_when_message: Mapping[str, str] = field(default_factory=dict)
    redeem_when: Mapping[str, Any] = field(default_factory=dict)
    redeem_when_message: Mapping[str, str] = field(default_factory=dict)
    reversal_days: int = 90
    grace_days: int = 7
    most_extend_days: int = 90

    @property
    def gives_voucher(self) -> bool:
        """Return whether the customer gets something to redeem; only an apology by itself gives nothing."""
        return self.kind != IncentiveKind.APOLOGY_ONLY

    @property
    def has_face_amount(self) -> bool:
        """Return whether the voucher is worth an amount of money by itself."""
        return self.kind in MONEY_KINDS

    @property
    def amount_bounds(self) -> tuple[int, int] | None:
        """Return the least and the most (minor units, inclusive) to choose from; None when it is fixed."""
        if self.min_amount_minor is None or self.max_amount_minor is None:
            return None
        return self.min_amount_minor, self.max_amount_minor

    @property
    def adjustable(self) -> bool:
        """Return whether staff may choose the amount."""
        return self.amount_bounds is not None

    def face_minor(self, amount_minor: int | None = None) -> int | None:
        """Return the money on the voucher's face: what was chosen or the default; None for kinds without."""
        if not self.has_face_amount:
            return None
        return self.amount_minor if amount_minor is None else amount_minor

    def charge_minor(self, amount_minor: int | None = None) -> int:
        """Return what budgets are charged when this is promised, in minor units of ``currency``.

        That is the face amount, the ceiling of a percentage, the accounting cost of a thing, and nothing for
        an apology, as often as it can be redeemed. ``amount_minor`` is what staff chose; None is the default amount.
        """
        face = self.face_minor(amount_minor)
        charges = (face, self.max_discount_minor, self.accounting_cost_minor)
        return next((charge for charge in charges if charge is not None), 0) * self.max_redemptions
