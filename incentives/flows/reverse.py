"""Reverse: a redemption is undone, once; a till annuls its own mistaken scan, whoever may reverses after a refund."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.engine import Connection

from incentives.catalog import releases
from incentives.deeds import reasons, restoring
from incentives.deeds.batch import Batch
from incentives.deeds.restoring import Restored, Undone
from incentives.deeds.undoing import ANNULMENT, RESTORES, REVERSAL, SAME_CODE, Undoing
from incentives.kernel import idempotency
from incentives.kernel.actors import Actor, permit
from incentives.kernel.core import Core
from incentives.kernel.errors import (
    AnnulmentTooLate,
    InputInvalid,
    NotYourRedemption,
    RedemptionNotFound,
    Refusal,
    ReversalTooLate,
)
from incentives.kernel.idempotency import Claim
from incentives.vouchers import lifecycle

__all__ = [
    "ANNUL_WITHIN",
    "AnnulRedemption",
    "Restored",
    "ReverseRedemption",
    "Undone",
    "annul_redemption",
    "reverse_redemption",
]

ANNUL_WITHIN = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnulRedemption:
    """Undo a mistaken scan: the same code can be redeemed again."""

    redemption_id: uuid.UUID
    reason: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseRedemption:
    """Undo a redemption; ``restore`` is ``same_code``, ``new_code`` or ``none``."""

    redemption_id: uuid.UUID
    reason: str
    restore: str
    idempotency_key: str | None = None


def annul_redemption(*, core: Core, actor: Actor, command: AnnulRedemption) -> Undone:
    """Undo a scan by whoever made it, within fifteen minutes.

    The voucher is good for as long as it was, and at least so long that it can be scanned again; that is granted once.

    Raises ``RedemptionNotFound``, ``NotYourRedemption``, ``AnnulmentTooLate``, ``RedemptionAlreadyReversed``,
    ``RemainderUsed``, ``CodeGone``, ``VoucherFrozen``, ``InputInvalid``, ``IdempotencyKeyReused``,
    ``IdempotencyKeyInFlight`` and ``NotPermitted``.
    """
    permit(actor, "redemptions:create")
    batch = Batch(core=core, actor=actor, now=core.clock.now())
    claim = _claim(batch, "annulments", command, SAME_CODE)
    with core.database.write() as tx:
        before = _before(tx, batch, claim)
        if before is not None:
            return before
        row = _redemption(tx, command.redemption_id)
        if row.actor != actor.label:
            raise NotYourRedemption
        if batch.now > row.redeemed_at + ANNUL_WITHIN:
            raise AnnulmentTooLate(annullable_until_at=(row.redeemed_at + ANNUL_WITHIN).isoformat())
        undoing = Undoing(
            id=claim.result_id,
            kind=ANNULMENT,
            restore=SAME_CODE,
            reason=command.reason.strip(),
            redemption=row,
            incentive=releases.incentive_of(tx, row.incentive_item_id, core.cache),
            good_until_at=batch.now + ANNUL_WITHIN,
        )
        return restoring.undo(tx, batch, undoing)


def reverse_redemption(*, core: Core, actor: Actor, command: ReverseRedemption) -> Undone:
    """Undo a redemption within the incentive's window, also where the voucher would have expired meanwhile.

    What is given back is good for the incentive's days of grace at least, to the end of the last one. Where other uses
    of the same voucher have lapsed with it, only a new code gives back this one (``CodeGone``). A new code is told to
    the customer by the issuance's channels; where it has none, whoever may give sees it in the answer. Who belongs to
    a place reverses what was redeemed or given there; the rest is not there for them.

    Raises ``RedemptionNotFound``, ``ReversalTooLate``, ``RedemptionAlreadyReversed``, ``RemainderUsed``, ``CodeGone``,
    ``VoucherFrozen``, ``InputInvalid``, ``IdempotencyKeyReused``, ``IdempotencyKeyInFlight`` and ``NotPermitted``.
    """
    permit(actor, "redemptions:reverse")
    batch = Batch(core=core, actor=actor, now=core.clock.now())
    if command.restore not in RESTORES:
        raise InputInvalid(errors=[{"field": "restore", "message": f"Send one of {', '.join(RESTORES)}."}])
    claim = _claim(batch, "reversals", command, command.restore)
    with core.database.write() as tx:
        before = _before(tx, batch, claim)
        if before is not None:
            return before
        row = _redemption(tx, command.redemption_id)
        if actor.location not in (None, row.location or actor.location, row.issued_location or actor.location):
            raise RedemptionNotFound
        incentive = releases.incentive_of(tx, row.incentive_item_id, core.cache)
        until = row.redeemed_at + timedelta(days=incentive.reversal_days)
        if batch.now > until:
            raise ReversalTooLate(reversible_until_at=until.isoformat())
        undoing = Undoing(
            id=claim.result_id,
            kind=REVERSAL,
            restore=command.restore,
            reason=command.reason.strip(),
            redemption=row,
            incentive=incentive,
            good_until_at=restoring.grace_end(incentive, row.time_zone, batch.now),
        )
        return restoring.undo(tx, batch, undoing)


def _claim(batch: Batch, scope: str, command: AnnulRedemption | ReverseRedemption, restore: str) -> Claim:
    reason = reasons.reason(command.reason)
    request = {"redemption_id": str(command.redemption_id), "reason": reason, "restore": restore}
    key = command.idempotency_key or ""
    return Claim(f"{batch.actor.label}:{scope}", key, request, batch.core.ids.new(batch.now))


def _before(tx: Connection, batch: Batch, claim: Claim) -> Undone | None:
    """Claim the key, where there is one; return what the first request with it got."""
    if not claim.key:
        return None
    ring = batch.core.keys.codes
    found = idempotency.claim(tx, ring, [claim], batch.now).get((claim.scope, claim.key))
    if isinstance(found, Refusal):
        raise found
    return restoring.replay(tx, batch, found) if found is not None else None


def _redemption(tx: Connection, redemption_id: uuid.UUID) -> Any:
    row = lifecycle.redemption_with_voucher(tx, redemption_id)
    if row is None:
        raise RedemptionNotFound
    return row
