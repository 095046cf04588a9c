"""Restoring: a redemption is undone, once and for ever, and the customer has what it took again, or nothing.

Not a flow: it opens no transaction. Annulling a mistaken scan and reversing after a refund share it.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from incentives.books import ledger
from incentives.catalog import eligibility
from incentives.catalog.incentive import Incentive
from incentives.deeds import answers, selling, unneeded, wording
from incentives.deeds.batch import Batch
from incentives.deeds.undoing import ANNULMENT, NEW_CODE, NONE, SAME_CODE, Ground, Undoing
from incentives.kernel.actors import may
from incentives.kernel.errors import CodeGone, RedemptionAlreadyReversed, RemainderUsed
from incentives.kernel.money import Money
from incentives.messages import outbox
from incentives.spending import budgets, settling
from incentives.spending.tables import budget_periods
from incentives.vouchers import lifecycle, reservations
from incentives.vouchers.tables import redemption_reversals, redemptions, vouchers

_GATHERED = "The purchase that left it was undone."
_UNDONE = ("redemption.annulled", "redemption.reversed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The voucher that the customer has again; its secrets only where they are made anew and nobody else tells them."""

    id: uuid.UUID
    last4: str
    amount: Money
    expires_at: datetime
    status: str = "issued"
    code: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What came of it; ``amount`` is what was given back, or with ``none`` what was taken back."""

    id: uuid.UUID
    redemption_id: uuid.UUID
    kind: str
    restore: str
    amount: Money
    reason: str
    at: datetime
    voucher: Restored | None
    replayed: bool = False


def undo(tx: Connection, batch: Batch, undoing: Undoing) -> Undone:
    """Undo a redemption. Locks its voucher and what it left, then decides once by the redemption's own row.

    With the same code the voucher can be redeemed once more. With a new one the customer gets a new voucher over what
    was spent and lapsed; the old code stays dead. What the redemption left on a voucher of its own is gathered in
    where nobody used it; where somebody did, only a new code can give back the rest of it. With none, what was spent
    is taken back and nobody has it: what was left on another voucher stays as it is.

    What is frozen stays as it is: it does not go on as another voucher.

    Raises ``RedemptionAlreadyReversed``, ``RemainderUsed``, ``CodeGone`` and ``VoucherFrozen``.
    """
    ground = _ground(tx, batch, undoing)
    _gather(tx, batch, undoing, ground)
    restored = _give_back(tx, batch, ground)
    amount_minor = ground.spent_minor if undoing.restore == NONE else ground.worth_minor
    amount = Money(amount_minor, ground.voucher.currency)
    tx.execute(redemption_reversals.insert(), _reversal_row(batch, undoing, amount, restored))
    batch.entries.append(
        ledger.undone(
            batch.core,
            redemption_id=undoing.redemption.id,
            voucher_id=ground.voucher.id,
            currency=ground.voucher.currency,
            owed_again_minor=ground.owed_again_minor,
            spent_minor=ground.spent_minor,
            unlapsed_minor=ground.unlapsed_minor,
            now=batch.now,
        )
    )
    pots, allocations = _move(tx, batch, ground)
    _note(batch, ground, restored, allocations)
    batch.write(tx, pots)
    return Undone(
        id=undoing.id,
        redemption_id=undoing.redemption.id,
        kind=undoing.kind,
        restore=undoing.restore,
        amount=amount,
        reason=undoing.reason,
        at=batch.now,
        voucher=restored,
    )


def _ground(tx: Connection, batch: Batch, undoing: Undoing) -> Ground:
    row = undoing.redemption
    voucher = lifecycle.lock(tx, row.voucher_id)
    rest = lifecycle.lock(tx, row.remainder_id) if row.remainder_id else None
    if not mark(tx, row.id, batch.now):
        raise _already(tx, row.id)
    unused = rest is not None and lifecycle.status_now(rest, batch.now) == "issued"
    _check_frozen(undoing, voucher, rest if unused else None, batch.now)
    if undoing.restore == SAME_CODE:
        if rest is not None and not unused:
            raise RemainderUsed(remainder_id=str(rest.id))
        if lifecycle.status_now(voucher, batch.now) not in ("issued", "reserved", "redeemed"):
            raise CodeGone(voucher_status=lifecycle.status_now(voucher, batch.now))
    rest_minor = int(rest.amount_minor) if rest and unused and undoing.restore != NONE else 0
    return Ground(undoing=undoing, voucher=voucher, rest_minor=rest_minor, rest=rest if rest_minor else None)


def _check_frozen(undoing: Undoing, voucher: Any, rest: Any, now: datetime) -> None:
    """Refuse to let what is frozen be good again as another voucher. Raises ``VoucherFrozen``."""
    goes_on = [voucher if undoing.restore == NEW_CODE else None, rest if undoing.restore != NONE else None]
    for each in goes_on:
        if each is not None and lifecycle.is_frozen(each, now):
            raise selling.frozen(each)


def mark(tx: Connection, redemption_id: uuid.UUID, now: datetime) -> bool:
    """Write down that a redemption does not stand any more: one conditional update, whose row count is the answer."""
    this = (redemptions.c.id == redemption_id, redemptions.c.reversed_at.is_(None))
    return tx.execute(redemptions.update().where(*this).values(reversed_at=now)).rowcount == 1


def _already(tx: Connection, redemption_id: uuid.UUID) -> RedemptionAlreadyReversed:
    table = redemption_reversals
    before = tx.execute(sa.select(table).where(table.c.redemption_id == redemption_id)).one()
    return RedemptionAlreadyReversed(reversed_at=before.at.isoformat(), kind=before.kind, restore=before.restore)


def _gather(tx: Connection, batch: Batch, undoing: Undoing, ground: Ground) -> None:
    """Take back the voucher over what was left; its worth goes on, so the books have nothing to say about it."""
    if ground.rest_minor:
        this = (vouchers.c.id == undoing.redemption.remainder_id, lifecycle.free(batch.now))
        values = {"status": "voided", "reservation_id": None, "reserved_until_at": None}
        tx.execute(vouchers.update().where(*this).values(**values))
        reservations.lapse(tx, undoing.redemption.remainder_id)
        outbox.withdraw(tx, [(ground.voucher.issuance_id, undoing.redemption.remainder_id)], batch.now, _GATHERED)


def _give_back(tx: Connection, batch: Batch, ground: Ground) -> Restored | None:
    voucher, undoing = ground.voucher, ground.undoing
    this = vouchers.update().where(vouchers.c.id == voucher.id)
    single = voucher.max_redemptions == 1
    if undoing.restore == SAME_CODE:
        expires_at = _good_until(tx, batch, ground)
        status = "issued" if voucher.status == "redeemed" else voucher.status
        values = {"status": status, "redeemed_count": voucher.redeemed_count - 1, "expires_at": expires_at}
        tx.execute(this.values(**values, extended_days=ground.extended_days))
        worth = Money(ground.worth_minor, voucher.currency)
        return Restored(id=voucher.id, last4=voucher.last4, amount=worth, expires_at=expires_at, status=status)
    if single:
        tx.execute(this.values(status="replaced" if undoing.restore == NEW_CODE else "voided"))
    return _new_voucher(tx, batch, ground) if undoing.restore == NEW_CODE else None


def _good_until(tx: Connection, batch: Batch, ground: Ground) -> datetime:
    """Return until when a voucher is good again under the code that it had.

    That a till annuls lets it last a little longer once, and no longer from that end on: a till that redeemed and
    annulled by turns would keep it from ever expiring.
    """
    ends_at, until_at = ground.ends_at, ground.undoing.good_until_at
    if ground.undoing.kind == ANNULMENT and until_at > ends_at:
        undone, more = redemption_reversals.c, until_at - batch.now
        query = (
            sa.select(undone.id)
            .join(redemptions, redemptions.c.id == undone.redemption_id)
            .where(redemptions.c.voucher_id == ground.voucher.id, undone.kind == ANNULMENT, undone.at == ends_at - more)
        )
        if tx.execute(query.limit(1)).first() is not None:
            return ends_at
    return max(ends_at, until_at)


def _new_voucher(tx: Connection, batch: Batch, ground: Ground) -> Restored:
    voucher, row = ground.voucher, ground.undoing.redemption
    made = lifecycle.make(
        core=batch.core,
        now=batch.now,
        issuance_id=voucher.issuance_id,
        number=lifecycle.next_number(tx, voucher.issuance_id),
        incentive_item_id=voucher.incentive_item_id,
        amount=Money(ground.worth_minor, voucher.currency),
        expires_at=max(ground.ends_at, ground.undoing.good_until_at),
        time_zone=voucher.time_zone,
        replaces_id=voucher.id if voucher.max_redemptions == 1 else None,
    )
    shown = may_see(batch, row.channels)
    shown_to = batch.actor.label if shown else None  # who sees the code does not redeem it
    more = {"extended_days": ground.extended_days, "shown_to": shown_to}
    tx.execute(vouchers.insert(), {**made.row, **more})  # at once, for the reversal's row names it
    batch.tell(voucher.issuance_id, made.row["id"], row.channels, wording.not_before(row))
    return Restored(
        id=made.row["id"],
        last4=made.row["last4"],
        amount=Money(ground.worth_minor, voucher.currency),
        expires_at=made.row["expires_at"],
        code=made.code if shown else None,
        token=made.token if shown else None,
    )


def may_see(batch: Batch, channels: Collection[str]) -> bool:
    """Return whether the actor is shown a new code: who gives by hand, where no letter carries it to the customer."""
    return not channels and may(batch.actor, "issuances:create")


def _reversal_row(batch: Batch, undoing: Undoing, amount: Money, restored: Restored | None) -> dict[str, Any]:
    return {
        "id": undoing.id,
        "redemption_id": undoing.redemption.id,
        "kind": undoing.kind,
        "restore": undoing.restore,
        "amount_minor": amount.amount_minor,
        "currency": amount.currency,
        "voucher_id": restored.id if restored else None,
        "reason": undoing.reason,
        "actor": batch.actor.label,
        "actor_name": batch.actor.name,
        "at": batch.now,
    }


def _move(tx: Connection, batch: Batch, ground: Ground) -> tuple[Collection[budgets.Pot], list[dict[str, Any]]]:
    """Turn what was spent into what is promised again, or free it; a pot without room for that is allotted it.

    Return the pots, and what the audit trail is told of the allocations.
    """
    issuance_id, redemption = ground.voucher.issuance_id, ground.undoing.redemption
    lifecycle.lock_issuance(tx, issuance_id)
    counts, broke = _counts(tx, ground), _broke(tx, issuance_id)
    charged, pots = budgets.lock_charged(tx, [issuance_id])
    kind = "release" if ground.undoing.restore == NONE else "restore"
    moved = settling.moved_by(tx, issuance_id, redemption.id)
    for each in charged:
        freed_minor, used_minor = moved.get(each.pot_id, (0, 0))
        again_minor = settling.again_minor(ground.owed_again_minor, freed_minor, ground.settled_minor)
        minor = {"committed_minor": again_minor, "spent_minor": -used_minor}
        # A pot that has kept breakage of it goes on counting it as spent: that is not undone with a purchase.
        counted = each.sums["spent_count"] > 0 and not (broke and each.on_expiry == "keep")
        unit = each.in_its_unit({**minor, **(counts if counted else {})})
        if any(unit.values()):
            batch.move(pots[each.pot_id], issuance_id, redemption.id, kind, unit)
    _make_room(tx, batch, ground, pots)
    allotted = [(each.pot, pots[each.pot_id].allotments["allotted_minor"]) for each in charged]
    allocations = [
        {"pot": list(pot), "kind": "restored", "amount_minor": by, "amount_count": 0} for pot, by in allotted if by
    ]
    if ground.undoing.restore == NONE:  # nobody has it any more: what a cap was passed by for it is no room for others
        allocations = unneeded.take_back(tx, batch, {issuance_id: ground.undoing.id}, pots)
    return pots.values(), allocations


def _counts(tx: Connection, ground: Ground) -> dict[str, int]:
    """Return what becomes of the issuance's place under a cap: spent while anything is, else promised, else free."""
    of_issuance = vouchers.c.issuance_id == ground.voucher.issuance_id
    standing = (
        sa.select(redemptions.c.id)
        .join(vouchers, vouchers.c.id == redemptions.c.voucher_id)
        .where(of_issuance, redemptions.c.reversed_at.is_(None))
    )
    if tx.execute(standing.limit(1)).first() is not None:
        return {}
    live = sa.select(vouchers.c.id).where(of_issuance, vouchers.c.status.in_(("issued", "reserved"))).limit(1)
    promised = tx.execute(live).first() is not None
    return {"spent_count": -1, "committed_count": 1 if promised else 0}


def _broke(tx: Connection, issuance_id: uuid.UUID) -> bool:
    """Return whether any voucher of an issuance has expired unspent."""
    expired = sa.select(vouchers.c.id).where(vouchers.c.issuance_id == issuance_id, vouchers.c.status == "expired")
    return tx.execute(expired.limit(1)).first() is not None


def _make_room(tx: Connection, batch: Batch, ground: Ground, pots: dict[uuid.UUID, budgets.Pot]) -> None:
    """Allot what a pot lacks: what had lapsed was free for others, and a promise that is made again is kept."""
    if ground.owed_again_minor <= ground.spent_minor:
        return
    table = budget_periods.c
    caps = sa.select(table.id, table.cap_minor).where(
        table.id.in_(list(pots)), table.basis == "face", table.cap_minor.is_not(None), table.currency.is_not(None)
    )
    for pot_id, cap_minor in tx.execute(caps).all():
        pot = pots[pot_id]
        lacks = pot.used("minor") - cap_minor - pot.allowance("minor")
        if lacks > 0 and pot.changed:
            reason = "A redemption was undone, and what had lapsed of it is promised again."
            batch.allot(pot, "restored", ground.undoing.id, reason, {"minor": lacks})


def _note(batch: Batch, ground: Ground, restored: Restored | None, allocations: Sequence[Mapping[str, Any]]) -> None:
    """Write down enough to count budgets and accounts again from the audit trail alone."""
    undoing, voucher = ground.undoing, ground.voucher
    facts = {
        "redemption_id": str(undoing.redemption.id),
        "voucher_id": str(voucher.id),
        "last4": voucher.last4,
        "restore": undoing.restore,
        "currency": voucher.currency,
        "amount_minor": ground.worth_minor,
        "spent_minor": ground.spent_minor,
        "settled_minor": ground.settled_minor,
        "owed_again_minor": ground.owed_again_minor,
        "unlapsed_minor": ground.unlapsed_minor,
        "gathered_minor": ground.rest_minor,
        "gathered_id": str(undoing.redemption.remainder_id) if ground.rest_minor else None,
        "restored_id": str(restored.id) if restored else None,
        "restored_status": restored.status if restored else None,
        "restored_until_at": restored.expires_at.isoformat() if restored else None,
        "before": voucher.expires_at.isoformat(),
        "allocations": list(allocations),
    }
    action = "redemption.annulled" if undoing.kind == ANNULMENT else "redemption.reversed"
    batch.note(action, voucher.issuance_id, undoing.redemption.case_id, undoing.reason, facts)


def grace_end(incentive: Incentive, time_zone: str, now: datetime) -> datetime:
    """Return the end of the day, in a zone, until which what is given back is good at least."""
    zone = ZoneInfo(time_zone)
    return eligibility.end_of_day(now.astimezone(zone).date() + timedelta(days=incentive.grace_days), zone)


def replay(tx: Connection, batch: Batch, reversal_id: uuid.UUID) -> Undone:
    """Return the answer that the first request got."""
    table = redemption_reversals
    row = tx.execute(sa.select(table).where(table.c.id == reversal_id)).one()
    return Undone(
        id=row.id,
        redemption_id=row.redemption_id,
        kind=row.kind,
        restore=row.restore,
        amount=Money(row.amount_minor, row.currency),
        reason=row.reason,
        at=row.at,
        voucher=_again(tx, batch, row) if row.voucher_id else None,
        replayed=True,
    )


def _again(tx: Connection, batch: Batch, row: Any) -> Restored:
    voucher = lifecycle.state(tx, row.voucher_id)
    # Whom the first answer showed it, whatever the channels have become since.
    shown = row.restore == NEW_CODE and voucher.shown_to == batch.actor.label
    code, token = answers.secrets_again(batch.core, voucher.id, voucher.code_key_id) if shown else (None, None)
    facts = _told(tx, voucher.issuance_id, row.redemption_id)
    return Restored(
        id=voucher.id,
        last4=voucher.last4,
        amount=Money(row.amount_minor, row.currency),
        expires_at=datetime.fromisoformat(facts["restored_until_at"]),
        status=facts.get("restored_status", "issued"),  # what was undone earlier does not say it
        code=code,
        token=token,
    )


def _told(tx: Connection, issuance_id: uuid.UUID, redemption_id: uuid.UUID) -> Mapping[str, Any]:
    """Return what the audit trail was told when a redemption was undone, which is done once."""
    found = (event for event in answers.history(tx, issuance_id) if event.action in _UNDONE)
    facts: Mapping[str, Any] = next(
        event.facts for event in found if event.facts["redemption_id"] == str(redemption_id)
    )
    return facts
