"""Selling: a voucher is spent, and what follows from it: what redeeming and committing a hold share.

Not a flow: it opens no transaction. The conditional update that spends one use has been made by the caller.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy.engine import Connection

from incentives.books import ledger
from incentives.catalog import releases
from incentives.catalog.incentive import NEW_VOUCHER, Incentive, IncentiveKind
from incentives.deeds import answers, asking, unneeded, wording
from incentives.deeds.answers import Remainder
from incentives.deeds.batch import Batch
from incentives.kernel.actors import Actor, may
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    AlreadyRedeemed,
    Refusal,
    VoucherExpired,
    VoucherFrozen,
    VoucherReplaced,
    VoucherReserved,
    VoucherVoided,
)
from incentives.kernel.many import insert_many
from incentives.kernel.money import Money
from incentives.kernel.throttle import block_of
from incentives.spending import budgets, settling
from incentives.spending.budgets import Charged
from incentives.vouchers import finding, lifecycle, reservations, shares
from incentives.vouchers.orders import Order
from incentives.vouchers.tables import redemption_attempts, redemptions, vouchers


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """One redemption of a voucher; ``remainder`` is a new voucher over what was left, if the incentive says so."""

    id: uuid.UUID
    voucher_id: uuid.UUID
    amount: Money
    location: str | None
    order_ref: str | None
    redeemed_at: datetime
    last4: str
    incentive: str
    remainder: Remainder | None = None
    use_number: int = 1
    max_redemptions: int = 1
    reservation_id: uuid.UUID | None = None
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one use of a voucher was spent on. ``count`` is how many uses are spent now, this one included."""

    redemption_id: uuid.UUID
    voucher: Any
    incentive: Incentive
    location: str | None
    order: Order
    takes_minor: int | None
    count: int
    reservation_id: uuid.UUID | None = None

    @cached_property
    def share_minor(self) -> int:
        """Return what this use of the voucher is worth, in its minor units."""
        return shares.share_minor(self.voucher.amount_minor, self.voucher.max_redemptions, self.count)

    @cached_property
    def spent_minor(self) -> int:
        """Return how much of it the sale takes."""
        return self.share_minor if self.takes_minor is None else min(self.takes_minor, self.share_minor)

    @cached_property
    def left_minor(self) -> int:
        """Return what the sale left of it."""
        return self.share_minor - self.spent_minor

    @cached_property
    def remainder_minor(self) -> int:
        """Return how much of that becomes a new voucher."""
        return self.left_minor if self.incentive.remainder == NEW_VOUCHER else 0

    @cached_property
    def overestimated_minor(self) -> int:
        """Return how much of that was never promised to be spent: what is under a percentage's ceiling."""
        return self.left_minor if self.incentive.kind == IncentiveKind.PERCENT_OFF else 0

    @cached_property
    def lapsed_minor(self) -> int:
        """Return how much of that is forfeited."""
        return self.left_minor - self.remainder_minor - self.overestimated_minor


def why_not(tx: Connection, row: Any, now: datetime) -> Refusal | None:
    """Return why a voucher, as its row says, cannot be redeemed or held now; None when it can."""
    status = lifecycle.status_now(row, now)
    if status == "redeemed":
        return _already(lifecycle.standing_redemption(tx, row.id), row)
    if status == "expired":
        return VoucherExpired(expires_at=row.expires_at.isoformat(), time_zone=row.time_zone, last4=row.last4)
    if status == "reserved":
        return _held(tx, row)
    if status == "issued":
        return frozen(row) if lifecycle.is_frozen(row, now) else None
    kind: type[Refusal] = {"voided": VoucherVoided, "replaced": VoucherReplaced}[status]
    return kind(last4=row.last4)


def frozen(row: Any) -> VoucherFrozen:
    """Return the refusal of a frozen voucher. Why it is frozen is for whoever leads to see."""
    until = {"frozen_until_at": row.frozen_until_at.isoformat()} if row.frozen_until_at else {}
    return VoucherFrozen(last4=row.last4, **until)


def _already(before: Any, voucher: Any) -> AlreadyRedeemed:
    if before is None:  # each use was undone, and its worth went on to other vouchers
        return AlreadyRedeemed(last4=voucher.last4)
    return AlreadyRedeemed(
        redeemed_at=before.redeemed_at.isoformat(),
        location=before.location,
        redeemed_by=before.actor_name,
        last4=voucher.last4,
    )


def _held(tx: Connection, row: Any) -> VoucherReserved:
    hold = reservations.find(tx, row.reservation_id)
    by = {"location": hold.location, "held_by": hold.actor_name} if hold else {}
    return VoucherReserved(last4=row.last4, held_until_at=row.reserved_until_at.isoformat(), **by)


def note_attempt(
    tx: Connection, batch: Batch, *, voucher: Any, code: str | None, location: str | None, outcome: str
) -> None:
    """Write a try at a till down, with what came of it; of the code only the last four symbols."""
    attempt = attempt_row(batch, voucher=voucher, code=code, location=location, outcome=outcome)
    tx.execute(redemption_attempts.insert(), attempt)


def attempt_row(batch: Batch, *, voucher: Any, code: str | None, location: str | None, outcome: str) -> dict[str, Any]:
    """Return the row of a try at a till."""
    return {
        "id": batch.core.ids.new(batch.now),
        "voucher_id": voucher.id if voucher else None,
        "outcome": outcome,
        "last4": voucher.last4 if voucher else finding.last4_of(code),
        "location": location,
        "actor": batch.actor.label,
        "ip_block": block_of(batch.actor.ip),
        "at": batch.now,
    }


def settle(tx: Connection, batch: Batch, spent: Spent) -> Redeemed:
    """Write one redemption as ``settle_all`` does."""
    (redeemed,) = settle_all(tx, batch, [(batch.actor, spent)])
    return redeemed


def settle_all(
    tx: Connection, batch: Batch, uses: Sequence[tuple[Actor, Spent]], *, last: bool = False
) -> list[Redeemed]:
    """Write redemptions, each of another issuance, their entries and what follows; the budgets come last.

    ``last`` where the caller's transaction has nothing to do after it.
    """
    # In one order everywhere, so that two tills' sequences cannot wait for each other in a ring.
    uses = sorted(uses, key=lambda use: (str(use[1].voucher.customer_id), use[1].voucher.issuance_id))
    several = [spent for _, spent in uses if spent.remainder_minor or lifecycle.has_siblings(spent.voucher)]
    if several:
        # Where an issuance may have several vouchers, no two of them both count as the first.
        lifecycle.lock_issuance(tx, *(spent.voucher.issuance_id for spent in several))
    done = [_lay_out(tx, batch.by(actor), spent) for actor, spent in uses]
    notes = batch.events[-len(uses) :]
    following = [(actor, spent) for actor, spent in uses if _is_followed(tx, batch, spent)]
    if following:
        # Who asks again looks at what was redeemed.
        insert_many(tx, redemptions, batch.redemptions)
        batch.redemptions.clear()
        for actor, spent in following:
            _follow(tx, batch.by(actor), spent)
    charged, pots = _charged(tx, [spent for _, spent in uses])
    for (actor, spent), note in zip(uses, notes, strict=True):
        own = batch.by(actor)
        theirs = _spend(own, spent, charged.get(spent.voucher.issuance_id, ()), pots)
        # What was promised beyond a cap and lapses now is no room for somebody else.
        allocations = unneeded.take_back(tx, own, {spent.voucher.issuance_id: spent.redemption_id}, theirs)
        note["facts"].update({"allocations": allocations} if allocations else {})
    batch.write(tx, pots.values(), last=last)
    return done


def _lay_out(tx: Connection, batch: Batch, spent: Spent) -> Redeemed:
    """Lay out one redemption and its entry."""
    voucher = spent.voucher
    use_number = lifecycle.free_use(tx, voucher.id) if voucher.max_redemptions > 1 else 1
    if voucher.reservation_id is not None and spent.reservation_id is None:
        reservations.lapse(tx, voucher.id)
    remainder = _remainder(tx, batch, spent) if spent.remainder_minor else None
    batch.redemptions.append(_redemption_row(batch, spent, use_number, remainder))
    batch.attempts.append(attempt_row(batch, voucher=voucher, code=None, location=spent.location, outcome="redeemed"))
    batch.entries.append(
        ledger.honored(
            batch.core,
            redemption_id=spent.redemption_id,
            voucher_id=voucher.id,
            currency=voucher.currency,
            spent_minor=spent.spent_minor,
            forfeited_minor=spent.lapsed_minor,
            overestimated_minor=spent.overestimated_minor,
            now=batch.now,
            actor=batch.actor.label,
        )
    )
    batch.note("voucher.redeemed", voucher.issuance_id, voucher.case_id, None, _facts(spent, use_number, remainder))
    return Redeemed(
        id=spent.redemption_id,
        voucher_id=voucher.id,
        amount=Money(spent.spent_minor, voucher.currency),
        location=spent.location,
        order_ref=spent.order.ref,
        redeemed_at=batch.now,
        last4=voucher.last4,
        incentive=voucher.incentive,
        remainder=remainder,
        use_number=use_number,
        max_redemptions=voucher.max_redemptions,
        reservation_id=spent.reservation_id,
    )


def _facts(spent: Spent, use_number: int, remainder: Remainder | None) -> dict[str, Any]:
    """Return what the audit trail knows of a redemption: enough to count budgets and accounts again from it alone."""
    return {
        "redemption_id": str(spent.redemption_id),
        "voucher_id": str(spent.voucher.id),
        "last4": spent.voucher.last4,
        "amount_minor": spent.spent_minor,
        "currency": spent.voucher.currency,
        "spent_minor": spent.spent_minor,
        "lapsed_minor": spent.lapsed_minor,
        "overestimated_minor": spent.overestimated_minor,
        "use_number": use_number,
        "redeemed_count": spent.count,
        "max_redemptions": spent.voucher.max_redemptions,
        "remainder_id": str(remainder.id) if remainder else None,
        "remainder_minor": spent.remainder_minor,
        "location": spent.location,
        "reservation_id": str(spent.reservation_id) if spent.reservation_id else None,
    }


def _is_followed(tx: Connection, batch: Batch, spent: Spent) -> bool:
    asks = asking.asks_after(tx, batch.core, spent.voucher.protocol_item_id, "redemption")
    return bool(asks or (spent.order.ref and spent.voucher.customer_id))


def _follow(tx: Connection, batch: Batch, spent: Spent) -> None:
    """Let the customer's cases know: who comes back with an order has bought again, and may be asked how it was."""
    core, now, voucher = batch.core, batch.now, spent.voucher
    catalog = releases.cached_current(tx, core).catalog
    if spent.order.ref:
        asking.bought_again(tx, core, now, catalog, voucher.customer_id, now)
    if asking.asks_after(tx, core, voucher.protocol_item_id, "redemption"):
        asking.plan(tx, core, now, catalog, voucher.case_id, "redemption", actor=batch.actor)


def _redemption_row(batch: Batch, spent: Spent, use_number: int, remainder: Remainder | None) -> dict[str, Any]:
    return {
        "id": spent.redemption_id,
        "voucher_id": spent.voucher.id,
        "amount_minor": spent.spent_minor,
        "currency": spent.voucher.currency,
        "location": spent.location,
        **spent.order.columns(),
        "actor": batch.actor.label,
        "actor_name": batch.actor.name,
        "use_number": use_number,
        "settled_minor": spent.share_minor - spent.remainder_minor,
        "reservation_id": spent.reservation_id,
        "remainder_id": remainder.id if remainder else None,
        "redeemed_at": batch.now,
    }


def _remainder(tx: Connection, batch: Batch, spent: Spent) -> Remainder:
    """Make a new voucher over what was left, good for as long as the one before, told by the same channels.

    Its code is shown at the till only where none of them carries it. A till gives it to whoever comes back with it; a
    person who may give is no till, and does not redeem what they were shown.
    """
    voucher = spent.voucher
    made = lifecycle.make(
        core=batch.core,
        now=batch.now,
        issuance_id=voucher.issuance_id,
        number=lifecycle.next_number(tx, voucher.issuance_id),
        time_zone=voucher.time_zone,
        incentive_item_id=voucher.incentive_item_id,
        amount=Money(spent.remainder_minor, voucher.currency),
        expires_at=voucher.expires_at,
    )
    told = bool(voucher.channels)
    shown_to = batch.actor.label if not told and may(batch.actor, "issuances:create") else None
    values = {**made.row, "extended_days": voucher.extended_days, "shown_to": shown_to}
    tx.execute(vouchers.insert(), values)  # at once, for the redemption's row names it
    batch.tell(voucher.issuance_id, made.row["id"], voucher.channels, wording.not_before(voucher))
    return answers.left(answers.shown(made), told=told)


def _charged(
    tx: Connection, uses: Sequence[Spent]
) -> tuple[Mapping[uuid.UUID, Sequence[Charged]], Mapping[uuid.UUID, budgets.Pot]]:
    """Return what the issuances have in which pots, and the pots, locked."""
    charged: dict[uuid.UUID, list[Charged]] = {}
    found, pots = budgets.lock_charged(tx, {spent.voucher.issuance_id for spent in uses})
    for each in found:
        charged.setdefault(each.issuance_id, []).append(each)
    return charged, pots


def _spend(
    batch: Batch, spent: Spent, charged: Sequence[Charged], pots: Mapping[uuid.UUID, budgets.Pot]
) -> Mapping[uuid.UUID, budgets.Pot]:
    """Turn what budgets had committed into what is spent; what will not be spent is free again. Return its pots.

    The issuance counts as spent from its first redemption on: that the rest may lapse must not free a place under a
    cap.
    """
    voucher = spent.voucher
    gone_minor = spent.share_minor - spent.remainder_minor
    for each, changes in settling.taken(charged, gone_minor, spent_minor=spent.spent_minor):
        counts = {"committed_count": -1, "spent_count": 1} if each.sums["committed_count"] > 0 else {}
        unit = {**changes, **counts}
        if any(unit.values()):
            batch.move(pots[each.pot_id], voucher.issuance_id, spent.redemption_id, "spend", unit)
    return {each.pot_id: pots[each.pot_id] for each in charged}


def replay(tx: Connection, core: Core, redemption_id: uuid.UUID) -> Redeemed:
    """Return the answer that the first request got."""
    row = lifecycle.redemption_with_voucher(tx, redemption_id)
    remainder = lifecycle.by_id(tx, row.remainder_id) if row.remainder_id else None
    return Redeemed(
        id=row.id,
        voucher_id=row.voucher_id,
        amount=Money(row.amount_minor, row.currency),
        location=row.location,
        order_ref=row.order_ref,
        redeemed_at=row.redeemed_at,
        last4=row.last4,
        incentive=row.incentive,
        remainder=answers.left_again(tx, core, remainder) if remainder else None,
        use_number=row.use_number,
        max_redemptions=row.max_redemptions,
        reservation_id=row.reservation_id,
        replayed=True,
    )
