"""Redeem: a use of a voucher is spent exactly once. A conditional update and a unique constraint decide, not a reading.

So that no hold that ends meanwhile lets one slip through unweighed, each try begins with the row as it is. Requests
that wait at the same moment go together.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.catalog.catalog import Catalog
from incentives.catalog.incentive import Incentive
from incentives.deeds import guarding, reviewing, selling, suspecting_tills, valuing
from incentives.deeds.batch import Batch
from incentives.deeds.selling import Redeemed, Spent
from incentives.deeds.valuing import Sale
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import InputInvalid, Refusal, VoucherNotFound, VoucherReserved
from incentives.kernel.idempotency import Claim
from incentives.kernel.together import AGAIN, Again, Together
from incentives.vouchers import finding, lifecycle
from incentives.vouchers.orders import ITEMS_MOST, Item, OrderTold

__all__ = ["ITEMS_MOST", "Item", "RedeemVoucher", "Redeemed", "redeem_voucher"]

_TRIES = 3
_TOGETHER = "redeem"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemVoucher(OrderTold):
    """Spend a voucher by its code or its token (exactly one), on an order."""

    code: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    location: str | None = None
    idempotency_key: str | None = None


_Wish = tuple[Actor, RedeemVoucher]


def redeem_voucher(*, core: Core, actor: Actor, command: RedeemVoucher) -> Redeemed:
    """Spend one use of a voucher.

    A refused try is recorded too, with what it was refused for; so the refusal is raised after the transaction.
    Raises ``VoucherNotFound``, ``CodeMalformed``, ``CodeRetired``, ``AlreadyRedeemed``, ``VoucherExpired``,
    ``VoucherVoided``, ``VoucherReserved``, ``VoucherReplaced``, ``VoucherFrozen``, ``SelfRedemption``,
    ``RedeemerNotAllowed``, ``CurrencyMismatch``, ``OrderTotalMissing``, ``OrderItemsMissing``, ``OrderRefMissing``,
    ``OrderTooSmall``, ``NothingEligible``, ``NotCombinable``, ``ConditionNotMet``, ``NotUsableHere``,
    ``UnknownLocation``, ``OtherLocation``, ``RedeemingStopped``, ``StepUpRequired``, ``BlockedBySafeguards``,
    ``InputInvalid``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight``, ``NoCatalog`` and ``NotPermitted``.
    """
    permit(actor, "redemptions:create")
    if (command.code is None) == (command.token is None):
        raise InputInvalid(errors=[{"field": "code", "message": "Send either code or token."}])
    together: Together[_Wish, Redeemed] = core.meetings.get(_TOGETHER) or core.meetings.setdefault(
        _TOGETHER, Together(lambda wishes, shared: _redeem_all(core, wishes, shared=shared), _names)
    )
    return together.submit((actor, command))


def _names(wish: _Wish) -> list[tuple[str, ...]]:
    """Return what no two that go together may share: the key, the code as it was sent, and the order."""
    actor, command = wish
    keys = [(actor.label, command.idempotency_key)] if command.idempotency_key else []
    orders = [("order", command.order_ref)] if command.order_ref else []  # Two of its vouchers may exclude each other.
    return [*keys, *orders, ("code", command.code or command.token or "")]


@dataclass(slots=True, kw_only=True)
class _Try:
    """One command on its way through the flow."""

    batch: Batch
    command: RedeemVoucher
    claim: Claim | None
    sale: Sale | None = None
    sought: finding.Sought = None
    voucher: Any = None
    location: str | None = None
    incentive: Incentive | None = None
    takes_minor: int | None = None
    count: int | None = None
    passed: bool = False
    replayed: bool = False
    result: Redeemed | Refusal | Again | None = None


def _redeem_all(core: Core, wishes: Sequence[_Wish], *, shared: bool = True) -> list[Redeemed | Refusal | Again]:
    now = core.clock.now()
    with core.database.write(shared=shared) as tx:
        batch = Batch(core=core, actor=wishes[0][0], now=now)
        tries = [
            _Try(batch=batch.by(actor), command=command, claim=_claim(core, actor, command, now))
            for actor, command in wishes
        ]
        _replay(tx, core, tries, now)
        _weigh(tx, core, tries, now)
        stopped = _refuse(tx, core, tries, now)
        for each in _open(tries):
            if each.sale is not None:
                # Whoever waited for the voucher's row asks again: what was stopped meanwhile is undone with all others.
                valuing.guard(tx, each.sale, each.voucher)
        spent = [(each, _spent(core, each, now)) for each in _open(tries)]
        if spent:
            uses = [(each.batch.actor, use) for each, use in spent]
            done = {redeemed.id: redeemed for redeemed in selling.settle_all(tx, batch, uses, last=True)}
            for each, use in spent:
                each.result = done[use.redemption_id]
    if stopped:
        guarding.forget(core)
    return [each.result for each in tries if each.result is not None]


def _open(tries: Sequence[_Try]) -> list[_Try]:
    return [each for each in tries if each.result is None]


def _attempt(each: _Try, step: Callable[[_Try], None]) -> None:
    """Let a step refuse one command without disturbing the others."""
    try:
        step(each)
    except Refusal as refusal:
        each.result = refusal


def _replay(tx: Connection, core: Core, tries: Sequence[_Try], now: datetime) -> None:
    """Claim the keys; answer those that were used before."""
    before = idempotency.claim(tx, core.keys.codes, [each.claim for each in tries if each.claim], now)
    for each in tries:
        found = before.get((each.claim.scope, each.claim.key)) if each.claim else None
        if found is not None:
            each.replayed = True
            each.result = found if isinstance(found, Refusal) else selling.replay(tx, core, found)


def _weigh(tx: Connection, core: Core, tries: Sequence[_Try], now: datetime) -> None:
    """Find the vouchers, weigh each in its sale, and spend one use of those that are good."""
    seen = suspecting_tills.Seen()
    catalog = releases.cached_current(tx, core).catalog
    for each in _open(tries):
        _attempt(each, lambda this: _begin(core, this, catalog, now))
    for _ in range(_TRIES):
        pending = [each for each in _open(tries) if each.count is None]
        if not pending:
            return
        rows = finding.find_all(tx, [each.sought for each in pending])
        met: set[uuid.UUID] = set()
        for each in pending:
            each.voucher = rows.get(each.sought)
            if each.voucher is not None and each.voucher.issuance_id in met:
                each.result = AGAIN
                continue
            _attempt(each, lambda this: _check(tx, core, this, seen))
            if each.voucher is not None:
                met.add(each.voucher.issuance_id)
        weighed = [each for each in pending if each.result is None]
        counts = lifecycle.redeem_all(tx, {each.voucher.id: each.voucher for each in weighed}, now) if weighed else {}
        for each in weighed:
            each.count = counts.get(each.voucher.id)
    for each in _open(tries):
        if each.count is None:
            each.result = VoucherReserved(last4=each.voucher.last4)


def _begin(core: Core, each: _Try, catalog: Catalog, now: datetime) -> None:
    actor, command = each.batch.actor, each.command
    each.location = actor.location
    place = valuing.place_in(catalog, actor, command.location)
    each.location = place.key if place else None
    each.sale = Sale(core=core, actor=actor, now=now, catalog=catalog, place=place, order=command.order)
    each.sought = finding.sought_by(core, code=command.code, token=command.token)


def _check(tx: Connection, core: Core, each: _Try, seen: suspecting_tills.Seen) -> None:
    sale, voucher = each.sale, each.voucher
    if voucher is None or sale is None:
        raise VoucherNotFound
    finding.refuse_retired(sale.core, each.sought, voucher)
    refusal = selling.why_not(tx, voucher, sale.now)
    if refusal is not None:
        raise refusal
    each.incentive = releases.incentive_of(tx, voucher.incentive_item_id, core.cache)
    each.takes_minor = valuing.takes_minor(tx, sale, voucher, each.incentive)
    valuing.check_alone(tx, sale, each.incentive)
    if not each.passed:  # Once: what was let pass is counted.
        suspecting_tills.refuse_redeeming(
            tx, core, sale.actor, voucher, each.location, sale.catalog.abuse, sale.now, seen=seen
        )
        each.passed = True


def _refuse(tx: Connection, core: Core, tries: Sequence[_Try], now: datetime) -> bool:
    """Note what was refused, for what, and let its key go, with that of what is tried again.

    Returns whether somebody was stopped for it.
    """
    stopped = False
    given_up = [each for each in tries if not each.replayed and isinstance(each.result, Refusal | Again)]
    idempotency.release(tx, [each.claim for each in given_up if each.claim])
    for each in given_up:
        if isinstance(each.result, Refusal):
            outcome, code = each.result.slug, each.command.code
            selling.note_attempt(
                tx, each.batch, voucher=each.voucher, code=code, location=each.location, outcome=outcome
            )
            stopped = reviewing.remember(tx, core, each.batch.actor, [each.result], now) or stopped
    return stopped


def _spent(core: Core, each: _Try, now: datetime) -> Spent:
    if each.incentive is None or each.count is None:
        raise AssertionError("a voucher was spent before it was weighed")
    return Spent(
        redemption_id=each.claim.result_id if each.claim else core.ids.new(now),
        voucher=each.voucher,
        incentive=each.incentive,
        location=each.location,
        order=each.command.order,
        takes_minor=each.takes_minor,
        count=each.count,
    )


def _claim(core: Core, actor: Actor, command: RedeemVoucher, now: datetime) -> Claim | None:
    if not command.idempotency_key:
        return None
    request = command.request("code", "token", "location")
    return Claim(f"{actor.label}:redemptions", command.idempotency_key, request, core.ids.new(now))
