"""The read side of vouchers: what a till, the issuer and the customer may see. Nothing here changes anything."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from incentives.catalog import releases
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, IssuanceNotFound, KeyRetired
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries import letters
from incentives.recovery import links
from incentives.vouchers import lifecycle
from incentives.vouchers.tables import issuances, vouchers

# How long after issuing the issuer's screen shows the code: as long as a customer may stand at the desk.
HANDOVER_WINDOW = timedelta(hours=1)
# Who waited for an approval comes back when they hear of it.
GRANTED_WINDOW = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class TillVoucher:
    """What a till needs to know. ``where_to_use`` empty means everywhere; ``redeemed_*`` stand once it was spent."""

    id: uuid.UUID
    status: str
    redeemable: bool
    incentive: str
    title: str
    terms: str
    kind: str
    amount: Money
    percent: int | None
    needs_order_total: bool
    last4: str
    expires_at: datetime
    time_zone: str
    where_to_use: tuple[str, ...]
    usable_here: bool
    redeemed_at: datetime | None = None
    redeemed_location: str | None = None
    redeemed_by: str | None = None


def lookup(
    *, core: Core, actor: Actor, code: str | None = None, token: str | None = None, locale: str | None = None
) -> TillVoucher:
    """Return what a till needs to know of a voucher.

    Raises ``CodeMalformed``, ``VoucherNotFound``, ``InputInvalid`` and ``NotPermitted``.
    """
    permit(actor, "vouchers:lookup")
    if (code is None) == (token is None):
        raise InputInvalid(errors=[{"field": "code", "message": "Send either code or token."}])
    now = core.clock.now()
    with core.database.read() as tx:
        row = lifecycle.find(tx, core, code=code, token=token)
        incentive = releases.incentive_of(tx, row.incentive_item_id, core.cache)
        catalog = releases.cached_current(tx, core).catalog
        before = lifecycle.standing_redemption(tx, row.id) if row.status == "redeemed" else None
    status = lifecycle.status_now(row, now)
    usable_here = not incentive.locations or actor.location is None or actor.location in incentive.locations
    return TillVoucher(
        id=row.id,
        status=status,
        redeemable=status == "issued" and usable_here,
        incentive=incentive.key,
        title=catalog.words(incentive.title, locale),
        terms=catalog.words(incentive.terms or {}, locale),
        kind=incentive.kind,
        amount=Money(row.amount_minor, row.currency),
        percent=incentive.percent,
        needs_order_total=incentive.percent is not None,
        last4=row.last4,
        expires_at=row.expires_at,
        time_zone=row.time_zone,
        usable_here=usable_here,
        where_to_use=tuple(catalog.locations[key].name for key in incentive.locations if key in catalog.locations),
        redeemed_at=before.redeemed_at if before else None,
        redeemed_location=before.location if before else None,
        redeemed_by=before.actor_name if before else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerVoucher:
    """What the customer's page shows of a voucher that can be used."""

    brand: str
    locale: str
    customer_name: str | None
    apology: str
    title: str
    terms: str
    kind: str
    amount: Money | None
    percent: int | None
    points: int | None
    item: str | None
    code: str
    url: str
    expires_at: datetime
    time_zone: str
    where_to_use: tuple[str, ...]
    feedback_url: str


def customer_voucher(*, core: Core, token: str) -> CustomerVoucher | None:
    """Return a voucher by its link, or None alike for one that is unknown, used, expired or taken back."""
    now = core.clock.now()
    with core.database.read() as tx:
        found = letters.voucher_of_link(tx, core, token)
        # Before anything else is read: how long this takes must not tell a spent voucher from an unknown one.
        if found is None or lifecycle.status_now(found, now) != "issued":
            return None
        try:
            facts = letters.told(tx, core, found.issuance_id, found.id, now)
        except KeyRetired:
            return None
    if facts.code is None or facts.url is None or facts.expires_at is None:
        return None
    return CustomerVoucher(
        brand=facts.brand,
        locale=facts.locale,
        customer_name=facts.contact.name,
        apology=facts.apology,
        title=facts.title,
        terms=facts.terms,
        kind=facts.kind,
        amount=facts.amount,
        percent=facts.percent,
        points=facts.points,
        item=facts.item,
        code=facts.code,
        url=facts.url,
        expires_at=facts.expires_at,
        time_zone=facts.time_zone,
        where_to_use=facts.where_to_use,
        feedback_url=links.url_of(core.settings.public_url, core.keys.links, links.VOUCHER, found.id),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverDelivery:
    """One message about the voucher, and how far it has come."""

    channel: str
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What the issuer shows the customer on the screen; ``code`` and ``url`` only while it is fresh and can be used."""

    issuance_id: uuid.UUID
    case_id: uuid.UUID
    status: str
    voucher_status: str | None
    apology: str
    title: str
    kind: str
    amount: Money | None
    percent: int | None
    code: str | None
    url: str | None
    expires_at: datetime | None
    time_zone: str
    where_to_use: tuple[str, ...]
    deliveries: tuple[HandoverDelivery, ...]


def handover(*, core: Core, actor: Actor, issuance_id: uuid.UUID) -> Handover:
    """Return an issuance for the screen of whoever issued it.

    The code is for the issuer alone: to everybody else the issuance is not there. Raises ``IssuanceNotFound``.
    """
    permit(actor, "issuances:create")
    now = core.clock.now()
    with core.database.read() as tx:
        row = tx.execute(
            sa.select(issuances).where(issuances.c.id == issuance_id, issuances.c.actor == actor.label)
        ).one_or_none()
        if row is None:
            raise IssuanceNotFound
        voucher_id = tx.execute(
            sa.select(vouchers.c.id)
            .where(vouchers.c.issuance_id == issuance_id)
            .order_by(vouchers.c.number.desc())
            .limit(1),
        ).scalar_one_or_none()
        facts = letters.told(tx, core, issuance_id, voucher_id, now)
        table = outbox_messages.c
        messages = tx.execute(
            sa.select(table.channel, table.status, table.reason)
            .where(table.issuance_id == issuance_id)
            .order_by(table.created_at, table.channel),
        ).all()
    waited = row.issued_at is not None and row.issued_at > row.requested_at
    window = GRANTED_WINDOW if waited else HANDOVER_WINDOW
    fresh = row.issued_at is not None and now - row.issued_at < window
    usable = fresh and voucher_id is not None and facts.status == "issued"
    return Handover(
        issuance_id=issuance_id,
        case_id=row.case_id,
        status=row.status,
        voucher_status=facts.status if voucher_id else None,
        apology=facts.apology,
        title=facts.title,
        kind=facts.kind,
        amount=facts.amount or (Money(row.amount_minor, row.currency) if row.amount_minor else None),
        percent=facts.percent,
        code=facts.code if usable else None,
        url=facts.url if usable else None,
        expires_at=facts.expires_at,
        time_zone=facts.time_zone,
        where_to_use=facts.where_to_use,
        deliveries=tuple(
            HandoverDelivery(channel=each.channel, status=each.status, reason=each.reason) for each in messages
        ),
    )
