"""The read side of vouchers: what a till, the issuer and the customer may see. Nothing here changes anything."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.catalog import redeeming, releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.incentive import Incentive
from incentives.kernel import errors
from incentives.kernel.actors import Actor, permit
from incentives.kernel.combiner import Combiner
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, IssuanceNotFound, KeyRetired, Refusal, VoucherNotFound
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.queries import letters, mailboxes
from incentives.recovery import links
from incentives.vouchers import finding, lifecycle, reservations, shares
from incentives.vouchers.tables import issuances, vouchers

# How long after issuing the issuer's screen shows the code: as long as a customer may stand at the desk.
HANDOVER_WINDOW = timedelta(hours=1)
# Who waited for an approval comes back when they hear of it.
GRANTED_WINDOW = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Who holds a voucher, where, since when and until when; ``own`` where it is who asks."""

    reservation_id: uuid.UUID
    held_by: str
    location: str | None
    reserved_at: datetime
    expires_at: datetime
    own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TillVoucher:
    """What a till needs to know. ``where_to_use`` empty means everywhere; ``redeemed_*`` stand once it was spent.

    ``amount`` is what one use of it takes off at most, ``uses_left`` how often it can be redeemed yet. ``reason`` is
    the slug of the refusal that redeeming would end in, whatever is bought.
    """

    id: uuid.UUID
    status: str
    redeemable: bool
    reason: str | None
    incentive: str
    title: str
    terms: str
    kind: str
    amount: Money
    percent: int | None
    max_redemptions: int
    uses_left: int
    min_order: Money | None
    needs_order_total: bool
    needs_items: bool
    products: tuple[str, ...]
    collections: tuple[str, ...]
    excluded_products: tuple[str, ...]
    frozen: bool
    last4: str
    expires_at: datetime
    time_zone: str
    where_to_use: tuple[str, ...]
    usable_here: bool
    needs_order_ref: bool = False
    hold: Hold | None = None
    redeemed_at: datetime | None = None
    redeemed_location: str | None = None
    redeemed_by: str | None = None

    @property
    def redemption(self) -> "TillVoucher | None":
        """Return what says when, where and by whom it was redeemed; None while nothing stands."""
        return self if self.redeemed_at else None


def lookup(
    *, core: Core, actor: Actor, code: str | None = None, token: str | None = None, locale: str | None = None
) -> TillVoucher:
    """Return what a till needs to know of a voucher.

    Raises ``CodeMalformed``, ``VoucherNotFound``, ``CodeRetired``, ``InputInvalid`` and ``NotPermitted``.
    """
    permit(actor, "vouchers:lookup")
    if (code is None) == (token is None):
        raise InputInvalid(errors=[{"field": "code", "message": "Send either code or token."}])
    now = core.clock.now()
    asked = _Asked(actor=actor, sought=finding.sought_by(core, code=code, token=token), now=now)
    together: Combiner[_Asked, _Seen | Refusal] = core.meetings.get(_LOOKED_UP) or core.meetings.setdefault(
        _LOOKED_UP, Combiner(lambda many: _see_all(core, many))
    )
    seen = together.submit(asked)
    if isinstance(seen, Refusal):
        raise seen
    row, incentive, catalog, before, status = seen.row, seen.incentive, seen.catalog, seen.before, seen.status
    frozen = lifecycle.is_frozen(row, now)
    usable_here = actor.location is None or redeeming.usable_at(incentive, actor.location)
    refusal = redeeming.redeemer_refusal(
        incentive, actor, issued_by=row.issued_by, shown_to=row.shown_to, same_mailbox=seen.themselves
    )
    reason = _why_not(status, frozen, refusal, usable_here)
    where = redeeming.usable_locations(incentive)
    return TillVoucher(
        id=row.id,
        status=status,
        redeemable=reason is None,
        reason=reason,
        incentive=incentive.key,
        title=catalog.words(incentive.title, locale),
        terms=catalog.words(incentive.terms or {}, locale),
        kind=incentive.kind,
        amount=_per_use(row),
        percent=incentive.percent,
        max_redemptions=row.max_redemptions,
        uses_left=row.max_redemptions - row.redeemed_count,
        min_order=Money(incentive.min_order_minor, row.currency) if incentive.min_order_minor is not None else None,
        needs_order_total=incentive.percent is not None or incentive.min_order_minor is not None,
        needs_items=bool(incentive.products or incentive.collections or incentive.excluded_products),
        needs_order_ref=incentive.exclusive_group is not None,
        products=incentive.products,
        collections=incentive.collections,
        excluded_products=incentive.excluded_products,
        frozen=frozen,
        last4=row.last4,
        expires_at=row.expires_at,
        time_zone=row.time_zone,
        usable_here=usable_here,
        where_to_use=tuple(catalog.locations[key].name for key in where if key in catalog.locations),
        hold=_hold(seen.held, actor) if seen.held else None,
        redeemed_at=before.redeemed_at if before else None,
        redeemed_location=before.location if before else None,
        redeemed_by=before.actor_name if before else None,
    )


_LOOKED_UP = "look-up"  # in the core's meetings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One look-up: who asks, for what, and when."""

    actor: Actor
    sought: finding.Sought
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the database says of it."""

    row: Any
    incentive: Incentive
    catalog: Catalog
    before: Any
    status: str
    held: Any
    themselves: bool


def _see_all(core: Core, many: Sequence[_Asked]) -> list[_Seen | Refusal]:
    """Read what look-ups that wait at the same moment ask for, by one statement for all; a refusal is an answer."""
    with core.database.read() as tx:
        rows = finding.find_all(tx, [asked.sought for asked in many])
        return [_seen(tx, core, asked, rows.get(asked.sought)) for asked in many]


def _seen(tx: Connection, core: Core, asked: _Asked, row: Any) -> _Seen | Refusal:
    if row is None:
        return VoucherNotFound()
    try:
        finding.refuse_retired(core, asked.sought, row)
        incentive = releases.incentive_of(tx, row.incentive_item_id, core.cache)
        catalog = releases.recent_current(tx, core).catalog
    except Refusal as refusal:
        return refusal
    status = lifecycle.status_now(row, asked.now)
    return _Seen(
        row=row,
        incentive=incentive,
        catalog=catalog,
        before=lifecycle.standing_redemption(tx, row.id) if row.redeemed_count else None,
        status=status,
        held=reservations.find(tx, row.reservation_id) if status == "reserved" else None,
        themselves=mailboxes.shared(tx, asked.actor, row.issued_by, row.shown_to),
    )


_REASONS = {
    "redeemed": errors.AlreadyRedeemed,
    "expired": errors.VoucherExpired,
    "voided": errors.VoucherVoided,
    "reserved": errors.VoucherReserved,
    "replaced": errors.VoucherReplaced,
}


def _why_not(status: str, frozen: bool, redeemer: Refusal | None, usable_here: bool) -> str | None:  # noqa: FBT001 - of this file only
    """Return the slug of the refusal that redeeming would end in, in the order in which redeeming looks."""
    if status in _REASONS:
        return errors.slug_of(_REASONS[status])
    if frozen:
        return errors.slug_of(errors.VoucherFrozen)
    if redeemer is not None:
        return redeemer.slug
    return None if usable_here else errors.slug_of(errors.NotUsableHere)


def _per_use(row: Any) -> Money:
    """Return what the next use of a voucher is worth, or the last one where all are spent."""
    number = min(row.redeemed_count + 1, row.max_redemptions)
    return Money(shares.share_minor(row.amount_minor, row.max_redemptions, number), row.currency)


def _hold(row: Any, actor: Actor) -> Hold:
    return Hold(
        reservation_id=row.id,
        held_by=row.actor_name,
        location=row.location,
        reserved_at=row.reserved_at,
        expires_at=row.expires_at,
        own=row.actor == actor.label,
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
    personal_note: str | None = None
    max_redemptions: int = 1
    uses_left: int = 1


def customer_voucher(*, core: Core, token: str) -> CustomerVoucher | None:
    """Return a voucher by its link, or None alike for one that is unknown, used, held, frozen, expired or voided."""
    now = core.clock.now()
    with core.database.read() as tx:
        found = letters.voucher_of_link(tx, core, token, now)
        # Before anything else is read: how long this takes must not tell a spent voucher from an unknown one.
        if found is None:
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
        amount=_per_use(found) if facts.amount else None,
        percent=facts.percent,
        points=facts.points,
        item=facts.item,
        code=facts.code,
        url=facts.url,
        expires_at=facts.expires_at,
        time_zone=facts.time_zone,
        where_to_use=facts.where_to_use,
        max_redemptions=found.max_redemptions,
        uses_left=found.max_redemptions - found.redeemed_count,
        feedback_url=links.url_of(core.settings.public_url, core.keys.links, links.VOUCHER, found.id),
        personal_note=facts.personal_note,
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
